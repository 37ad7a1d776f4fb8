//! Everything that the gateway asks of the cloud, and how the cloud's refusals are understood.

pub mod body;
pub mod client;
pub mod codes;
pub mod credentials;
pub mod dry_run;
pub mod endpoint;
pub mod limiter;
mod skew;
pub mod tc3;
pub mod wire;

use crate::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::Failure;
use crate::domain::outlook::{Offer, Price, Quota};
use crate::domain::reason::Reason;
use crate::domain::standing::KeyStanding;
use async_trait::async_trait;
use limiter::Permit;
use time::UtcDateTime;

/// The most ids that one describe call may name.
pub const IDS_PER_CALL_MAX: usize = 100;

/// The calls that the gateway makes. Implemented over HTTP, and by the simulated world. Each takes
/// its [`Permit`], which it tells the answer to, by [`Permit::answered`].
#[async_trait]
pub trait Cloud: Send + Sync + std::fmt::Debug {
    /// The host that calls for `target` go to. What one host does not know, another may.
    fn host(&self, target: &Target) -> String;

    /// How the keys of the accounts stand; none are needed where nothing is signed.
    fn keys(&self) -> Vec<KeyStanding> {
        Vec::new()
    }

    /// Launches instances: sends `body`, the very JSON that was approved and journalled, signed as
    /// `signing` says. Sends at most once. The cloud refuses it from 300 s after [`Signing::at`].
    async fn run_instances(
        &self,
        permit: Permit,
        target: &Target,
        body: &[u8],
        signing: Signing<'_>,
    ) -> Result<Accepted, CloudError>;

    /// The states of up to [`IDS_PER_CALL_MAX`] instances. One that is not visible, not yet or no
    /// more, is left out of the answer.
    async fn describe_instances_status(
        &self,
        permit: Permit,
        target: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<(InstanceId, InstanceState)>, CloudError>;

    /// The details of up to [`IDS_PER_CALL_MAX`] instances; left out as above.
    async fn describe_instances(
        &self,
        permit: Permit,
        target: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<InstanceDetail>, CloudError>;

    /// Gives back up to [`IDS_PER_CALL_MAX`] instances, all of them or none; the call is signed as
    /// `signing` says. The cloud knows no token for it: look at the instances before each call.
    async fn terminate_instances(
        &self,
        permit: Permit,
        target: &Target,
        leaving: Leaving<'_>,
        signing: Signing<'_>,
    ) -> Result<(), CloudError>;

    /// Every visible instance that carries the tag: all pages, each with a permit of its own, or
    /// an error.
    async fn find_by_tag(
        &self,
        permit: Permit,
        target: &Target,
        key: &str,
        value: &str,
    ) -> Result<Vec<InstanceDetail>, CloudError>;

    /// Every visible instance that carries a tag of that key, whatever its value: all pages, each
    /// with a permit of its own, or an error. Pages shift while instances come and go, so one may
    /// be left out all the same, and one that is gone may be in it.
    async fn list_tagged(
        &self,
        permit: Permit,
        target: &Target,
        key: &str,
    ) -> Result<Vec<Tagged>, CloudError>;

    /// What the launch `body` would cost with `count` instances, [`PRICED_MAX`] at most.
    /// Like those below, only a cloud that plans are made for need answer.
    ///
    /// [`PRICED_MAX`]: crate::domain::outlook::PRICED_MAX
    async fn price(
        &self,
        permit: Permit,
        target: &Target,
        body: &[u8],
        count: u32,
    ) -> Result<Price, CloudError> {
        drop(permit);
        Err(unasked(target, (body, count)))
    }

    /// Whether there is stock in `places`, zones with models, for instances of `charge_type`; none
    /// means what the cloud takes for it. A place that the cloud does not know is left out.
    async fn offers(
        &self,
        permit: Permit,
        target: &Target,
        places: &[(String, String)],
        charge_type: Option<&str>,
    ) -> Result<Vec<Offer>, CloudError> {
        drop(permit);
        Err(unasked(target, (places, charge_type)))
    }

    /// The host that [`Cloud::regions`] asks: one that does not depend on whether the target's region
    /// exists, where there is such a host.
    fn host_of_regions(&self, target: &Target) -> String {
        self.host(target)
    }

    /// The regions that the target's account sees; at least one. The cloud's list is frozen by its own
    /// word, so a new region may be missing in it.
    async fn regions(&self, permit: Permit, target: &Target) -> Result<Vec<String>, CloudError> {
        drop(permit);
        Err(unasked(target, ()))
    }

    /// The zones of the target's region; at least one.
    async fn zones(&self, permit: Permit, target: &Target) -> Result<Vec<String>, CloudError> {
        drop(permit);
        Err(unasked(target, ()))
    }

    /// The account's quotas in `zone` that instances of `charge_type` count against.
    async fn quotas(
        &self,
        permit: Permit,
        target: &Target,
        zone: &str,
        charge_type: Option<&str>,
    ) -> Result<Vec<Quota>, CloudError> {
        drop(permit);
        Err(unasked(target, (zone, charge_type)))
    }
}

fn unasked<T>(target: &Target, _question: T) -> CloudError {
    let region = &target.region;
    Fault::InvalidCall.error(format!("this cloud answers no questions about {region}"))
}

/// An instance that carries a tag that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    pub id: InstanceId,
    pub state: InstanceState,
    /// Of the tag; empty while the cloud does not show it.
    pub value: String,
    /// When the cloud made it; none when it does not say so.
    pub created: Option<UtcDateTime>,
}

/// How a call that changes something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signing<'a> {
    /// As of when: the time that was journalled, never that of the call.
    pub at: UtcDateTime,
    /// For whom, as the cloud's own audit is told where roles are assumed by caller; none: for the
    /// organisation.
    pub caller: Option<&'a str>,
}

/// Where a call goes and in whose name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The account whose credential signs.
    pub account: AccountName,
    /// The region that the call is about.
    pub region: Region,
}

/// A launch that the cloud accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The instances that now exist, each id once; none after a dry run.
    pub instance_ids: Vec<InstanceId>,
    /// The cloud's id of the call.
    pub request_id: String,
}

/// What is given back.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// Up to [`IDS_PER_CALL_MAX`] instances.
    pub ids: &'a [InstanceId],
    /// Whether public addresses go with them that would stay, and cost money.
    pub release_addresses: bool,
}

/// Whether a failed call may have changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// No byte of the request left.
    NotSent,
    /// The cloud refused this call and did nothing.
    Definite,
    /// It may have been carried out; for a read this only means that there is no answer.
    Ambiguous,
}

/// When a failed call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Not before the request, the account or a resource changes.
    No,
    /// In minutes to days, or with another zone, type or count.
    Later,
    /// Soon, with backoff and jitter.
    Backoff,
    /// Only with the same client token: the outcome is unknown.
    Token,
    /// Once, with a new signature or a fresh credential.
    Resign,
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CloudError {
    /// Whether the call may have changed anything.
    pub effect: Effect,
    /// What the caller is told.
    pub reason: Reason,
    /// When the call may be repeated.
    pub retry: Retry,
    /// The cloud's error code, or the name of a [`Fault`].
    pub code: String,
    /// Free text for people, at most 4 KiB and without control characters. The cloud's texts may
    /// quote values of the request: see [`body::hide_secrets`].
    pub message: String,
    /// The request fields that the code blames, as contract paths, e.g. `Placement.Zone`.
    pub fields: Vec<String>,
    /// The cloud's id of the call, when it answered with one.
    pub request_id: Option<String>,
}

impl CloudError {
    /// Whether a read that names several instances may work without one of them: the cloud refuses
    /// one, or its answer about one cannot be understood, or is too long with the others.
    #[must_use]
    pub fn blames_an_instance(&self) -> bool {
        let unread = [Fault::MalformedAnswer, Fault::AnswerTooLarge];
        self.refuses_an_instance() || unread.iter().any(|fault| self.code == fault.as_str())
    }

    /// Whether the cloud says, to a read that names one instance, that it has none of that id.
    #[must_use]
    pub fn denies_the_instance(&self) -> bool {
        let denied = [Reason::ResourceNotFound, Reason::InvalidParameter].contains(&self.reason);
        denied && self.refuses_an_instance()
    }

    fn refuses_an_instance(&self) -> bool {
        let blamed = self.fields.iter().any(|field| field == "InstanceIds");
        blamed && self.effect == Effect::Definite
    }

    /// Whether the state that an instance is in now is what forbids the call. It may be another one
    /// soon, or the very end that the call was meant to bring about.
    #[must_use]
    pub fn is_about_a_state(&self) -> bool {
        self.code.starts_with("UnsupportedOperation.InstanceState")
    }

    /// Whether a call that names several instances may be refused because of some of them, so that
    /// it may work for the others. A limit of the rate and a key are about the call; a permission may
    /// be for some instances.
    #[must_use]
    pub fn may_be_about_an_instance(&self) -> bool {
        if self.refuses_an_instance() || self.is_about_a_state() {
            return true;
        }
        let about_the_call = matches!(
            self.reason,
            Reason::CloudRateLimited | Reason::GatewayCredential | Reason::GatewayDefect
        );
        let lasts = matches!(self.retry, Retry::No | Retry::Later);
        self.effect == Effect::Definite && self.fields.is_empty() && lasts && !about_the_call
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Self {
        let ours = Fault::ALL.iter().any(|fault| fault.as_str() == error.code);
        Self {
            reason: error.reason,
            message: error.message,
            cloud_code: if ours { String::new() } else { error.code },
            cloud_request_id: error.request_id.unwrap_or_default(),
            parameters: error.fields,
        }
    }
}

/// What can go wrong on the way to the cloud's verdict. The names are no codes of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The gateway holds no credential for the account.
    NoCredential,
    /// The account's source gives no key at present.
    CredentialUnavailable,
    /// The call breaks a limit of this room, or cannot be put into HTTP.
    InvalidCall,
    /// Name look-up, TCP or TLS failed, or took too long.
    ConnectFailed,
    /// No whole answer in time.
    Timeout,
    /// The connection broke after the request may have left.
    ConnectionLost,
    /// A status other than 200: the cloud answers 200 even to what it refuses.
    HttpStatus,
    /// The answer is longer than [`client::ANSWER_BYTES_MAX`], or pages have no end.
    AnswerTooLarge,
    /// The answer is not what the contract says.
    MalformedAnswer,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::NoCredential,
        Self::CredentialUnavailable,
        Self::InvalidCall,
        Self::ConnectFailed,
        Self::Timeout,
        Self::ConnectionLost,
        Self::HttpStatus,
        Self::AnswerTooLarge,
        Self::MalformedAnswer,
    ];

    /// The fault as a [`CloudError::code`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredential => "NoCredential",
            Self::CredentialUnavailable => "CredentialUnavailable",
            Self::InvalidCall => "InvalidCall",
            Self::ConnectFailed => "ConnectFailed",
            Self::Timeout => "Timeout",
            Self::ConnectionLost => "ConnectionLost",
            Self::HttpStatus => "HttpStatus",
            Self::AnswerTooLarge => "AnswerTooLarge",
            Self::MalformedAnswer => "MalformedAnswer",
        }
    }

    /// The fault as an error, judged: what never left is safe to repeat, all else is ambiguous.
    #[must_use]
    pub fn error(self, message: impl Into<String>) -> CloudError {
        let (effect, reason, retry) = match self {
            Self::NoCredential => (Effect::NotSent, Reason::GatewayCredential, Retry::No),
            Self::CredentialUnavailable => {
                (Effect::NotSent, Reason::GatewayCredential, Retry::Backoff)
            }
            Self::InvalidCall => (Effect::NotSent, Reason::GatewayDefect, Retry::No),
            Self::ConnectFailed => (Effect::NotSent, Reason::CloudUnavailable, Retry::Backoff),
            Self::Timeout | Self::ConnectionLost => {
                (Effect::Ambiguous, Reason::CloudUnavailable, Retry::Token)
            }
            Self::HttpStatus | Self::AnswerTooLarge | Self::MalformedAnswer => {
                (Effect::Ambiguous, Reason::CloudInternal, Retry::Token)
            }
        };
        CloudError {
            effect,
            reason,
            retry,
            code: self.as_str().to_owned(),
            message: message.into(),
            fields: Vec::new(),
            request_id: None,
        }
    }
}

/// A setting of this room that cannot be used. The text names the setting and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `cloud.endpoint.domain` is not a domain of the cloud.
    #[error(
        "cloud.endpoint.domain: `{0}` is not a domain of the cloud; use one of {known}",
        known = endpoint::DOMAINS.join(", ")
    )]
    Domain(String),
    /// `cloud.endpoint.override` is not a plain base URL.
    #[error("cloud.endpoint.override: `{url}` {problem}; use a URL like https://host:port")]
    Override {
        /// The setting's value.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `cloud.endpoint.override` would send requests over the network unencrypted.
    #[error(
        "cloud.endpoint.override: `{0}` is plain http to another machine; use https, or a \
         loopback address for a simulator"
    )]
    PlainHttp(String),
    /// A credential that no request can be signed with.
    #[error("cloud credential: {0}; copy it again from the cloud's console")]
    Credential(&'static str),
    /// `cloud.ca_file` holds no usable certificate.
    #[error("cloud.ca_file: not a PEM file of certificates")]
    CaFile,
    /// `cloud.proxy` is not a proxy's URL.
    #[error("cloud.proxy: not a URL; use one like http://host:port")]
    Proxy,
    /// The HTTP client cannot be built, e.g. because the system has no trusted certificates.
    #[error("the HTTP client for the cloud cannot be built; check cloud.ca_file")]
    Client(#[source] reqwest::Error),
}
