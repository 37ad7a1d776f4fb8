//! What the audit is told of a call, beside what comes of it. Nothing in it is secret.

use crate::domain::change::Change;
use crate::domain::decision::Decision;
use crate::domain::ids::Principal;
use crate::domain::operation::Place;
use crate::domain::outlook::Size;
use time::UtcDateTime;

/// By what a caller has proven who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// SHA-256 of its certificate, in hex.
    pub certificate_sha256: Option<String>,
    /// The `jti` of its token; never the token.
    pub token_id: Option<String>,
}

/// A call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub proof: Proof,
    /// The request in protobuf JSON, with secrets masked; empty where nobody keeps it.
    pub request: String,
    /// What layers made of it.
    pub changes: Vec<Change>,
    /// How big the models in its places are, where a rule or a limit asked.
    pub sizes: Vec<(Place, Size)>,
    /// Whose launch it would end.
    pub launched_by: Option<String>,
}

/// A call that would have changed something, and was denied by policy or refused before that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub time: UtcDateTime,
    /// The RPC.
    pub action: &'static str,
    pub principal: Principal,
    pub asked: Call,
    /// As far as the call names one.
    pub account: String,
    /// As far as the call names one.
    pub region: String,
    /// None: it never came before policy.
    pub decision: Option<Decision>,
    /// What the caller was told.
    pub reason: String,
}

impl Refused {
    /// Which kind it is of.
    #[must_use]
    pub const fn event(&self) -> &'static str {
        match self.decision {
            Some(_) => "denied",
            None => "refused",
        }
    }
}

/// Calls of which no row tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppressed {
    pub time: UtcDateTime,
    /// Which kind they are of.
    pub event: &'static str,
    pub principal: Principal,
    pub calls: u64,
}
