//! A bearer token (RFC 6750, RFC 7519): taken apart, and judged by the rules of its issuer.

use super::keys::Keys;
use super::proven::{Proven, SpiffeId};
use super::rejection::Rejection;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use time::UtcDateTime;

/// Tokens of Kubernetes have 1 KiB, those with many groups some more.
const BYTES_MAX: usize = 8 << 10;
/// A subject is a name, not a text.
const SUBJECT_BYTES_MAX: usize = 512;
/// No token is for longer; who writes milliseconds means another year.
const LIFE_MAX_SECONDS: f64 = 2.0 * 366.0 * 86_400.0;
/// What a token may say that it is.
const TYPES: [&str; 4] = ["JWT", "JOSE", "at+jwt", "application/at+jwt"];

/// What an issuer's tokens must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// The issuer, as the configuration calls it.
    pub name: String,
    /// What its tokens have as `iss`.
    pub issuer: String,
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
    /// What it signs with, whatever a token says.
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the caller, or the JSON pointer to it.
    pub subject_claim: String,
    /// Whose SPIFFE ids it may give; none: a subject that looks like one is none.
    pub trust_domain: Option<String>,
    /// How far its clock may be from ours.
    pub leeway: Duration,
}

/// A token that was taken apart. Nothing in it is proven yet.
#[derive(Debug)]
pub(super) struct Token<'a> {
    header: Header,
    registered: Registered,
    claims: Value,
    message: &'a str,
    signature: &'a str,
}

/// What is read of a token's header: never where its key may be had, nor a key.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    /// Extensions that must be understood. None is.
    crit: Option<Value>,
}

/// The claims that every token needs. A name that stands twice is an error.
#[derive(Debug, Deserialize)]
struct Registered {
    iss: Option<String>,
    aud: Option<Audiences>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

/// The token of a call's headers.
///
/// # Errors
/// When there is none, more than one, or one that is too large.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Rejection> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Rejection::NoToken)?;
    if values.next().is_some() {
        return Err(Rejection::TokenMalformed);
    }
    let value = value.to_str().or(Err(Rejection::TokenMalformed))?;
    let (scheme, token) = value.split_once(' ').ok_or(Rejection::NoToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Rejection::NoToken);
    }
    if token.len() > BYTES_MAX {
        return Err(Rejection::TokenTooLarge);
    }
    Ok(token)
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Rejection> {
        let malformed = Rejection::TokenMalformed;
        let (message, signature) = text.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = message.split_once('.').ok_or(malformed)?;
        if payload.contains('.') {
            return Err(malformed);
        }
        let header = decoded(header)?;
        let header: Header = serde_json::from_slice(&header).or(Err(malformed))?;
        let typ = header.typ.as_deref();
        let known = |typ: &str| TYPES.iter().any(|one| one.eq_ignore_ascii_case(typ));
        if header.crit.is_some() || !typ.is_none_or(known) {
            return Err(malformed);
        }
        let payload = decoded(payload)?;
        let claims: Value = serde_json::from_slice(&payload).or(Err(malformed))?;
        if !claims.is_object() {
            return Err(malformed);
        }
        let registered = serde_json::from_slice(&payload).or(Err(Rejection::TokenClaims))?;
        Ok(Self {
            header,
            registered,
            claims,
            message,
            signature,
        })
    }

    /// Who says that it has issued it.
    pub(super) fn issuer(&self) -> Result<&str, Rejection> {
        let issuer = self.registered.iss.as_deref();
        issuer.ok_or(Rejection::TokenClaims)
    }

    /// Its own id, if it has one that can be shown.
    pub(super) fn id(&self) -> Option<String> {
        let id = self.claims.get("jti").and_then(Value::as_str)?;
        let sound = id.len() <= SUBJECT_BYTES_MAX && !id.contains(char::is_control);
        sound.then(|| id.to_owned())
    }

    /// What it is signed with, if its issuer signs so.
    fn algorithm(&self, rules: &TokenRules) -> Result<Algorithm, Rejection> {
        let algorithm: Option<Algorithm> = self.header.alg.parse().ok();
        let known = algorithm.filter(|algorithm| rules.algorithms.contains(algorithm));
        known.ok_or(Rejection::TokenAlgorithm)
    }

    /// Whether its issuer has signed it.
    pub(super) fn verify(&self, rules: &TokenRules, keys: &Keys) -> Result<(), Rejection> {
        let algorithm = self.algorithm(rules)?;
        let id = self.header.kid.as_deref();
        keys.verify(id, algorithm, self.message, self.signature)
    }

    /// Whom it names, if it is for us and now. Its signature was verified before.
    pub(super) fn subject(
        &self,
        rules: &TokenRules,
        now: UtcDateTime,
    ) -> Result<Proven, Rejection> {
        let audiences = match &self.registered.aud {
            Some(Audiences::One(one)) => std::slice::from_ref(one),
            Some(Audiences::Many(many)) => many.as_slice(),
            None => &[],
        };
        if !audiences.iter().any(|one| rules.audiences.contains(one)) {
            return Err(Rejection::TokenAudience);
        }
        self.check_times(rules, now)?;
        let claim = match rules.subject_claim.strip_prefix('/') {
            Some(_) => self.claims.pointer(&rules.subject_claim),
            None => self.claims.get(&rules.subject_claim),
        };
        let subject = claim
            .and_then(Value::as_str)
            .ok_or(Rejection::TokenClaims)?;
        let sound = (1..=SUBJECT_BYTES_MAX).contains(&subject.len())
            && !subject.contains(char::is_control)
            && subject.trim() == subject;
        if !sound {
            return Err(Rejection::TokenClaims);
        }
        match &rules.trust_domain {
            Some(domain) if subject.starts_with("spiffe:") => {
                let id = SpiffeId::parse(subject).filter(|id| id.trust_domain() == domain);
                id.map(Proven::Spiffe).ok_or(Rejection::TokenClaims)
            }
            Some(_) | None => Ok(Proven::Subject {
                issuer: rules.name.clone(),
                subject: subject.to_owned(),
            }),
        }
    }

    fn check_times(&self, rules: &TokenRules, now: UtcDateTime) -> Result<(), Rejection> {
        let Registered { exp, nbf, iat, .. } = &self.registered;
        let now = (now - UtcDateTime::UNIX_EPOCH).as_seconds_f64();
        let leeway = rules.leeway.as_secs_f64();
        let end = exp.ok_or(Rejection::TokenClaims)?;
        let begins = [*nbf, *iat].into_iter().flatten();
        if begins.clone().any(|begin| begin > end) || end > now + LIFE_MAX_SECONDS {
            return Err(Rejection::TokenClaims);
        }
        if end + leeway <= now {
            return Err(Rejection::TokenExpired);
        }
        if begins.clone().any(|begin| begin > now + leeway) {
            return Err(Rejection::TokenNotYetValid);
        }
        Ok(())
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Rejection> {
    let decoded = URL_SAFE_NO_PAD.decode(part);
    decoded.or(Err(Rejection::TokenMalformed))
}

#[cfg(test)]
mod tests;
