//! The service that hands out temporary keys for roles, and what its answers mean.

use super::{Credential, Part};
use crate::cloud::codes;
use crate::cloud::skew::{SIGNATURE_EXPIRED, Signature};
use crate::cloud::{Retry, SettingsError};
use crate::domain::secret::{self, Secret, SecretJson};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use time::UtcDateTime;
use zeroize::Zeroizing;

pub(super) const VERSION: &str = "2018-08-13";
/// The cloud's own bounds for the name of a session.
const SESSION_MIN: usize = 2;
const SESSION_MAX: usize = 128;
/// So many hexadecimal digits of the hash of a name make it one of a kind again.
const HASH_DIGITS: usize = 16;

/// How a role is assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Which, e.g. `qcs::cam::uin/100000000001:roleName/gateway`.
    pub arn: String,
    /// What the role's trust asks for.
    pub external_id: Option<Secret>,
    /// How long its keys are good.
    pub duration_seconds: u32,
    /// What its keys may at most do: JSON, in the cloud's language of policies.
    pub policy: Option<String>,
    /// In whose name.
    pub session: SessionOf,
}

/// In whose name a role is assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOf {
    /// In the organisation's.
    Organization,
    /// In the caller's, for what a caller changes; else in the organisation's.
    Caller,
}

/// Why there are no keys.
#[derive(Debug)]
pub(super) struct Refused {
    /// The cloud refuses the key that asked, and not what it asked for.
    pub(super) key: bool,
    /// What it made of the signature.
    pub(super) signature: Signature,
    pub(super) message: String,
}

impl Refused {
    /// There is no answer, or none that can be used.
    pub(super) fn unusable(message: String) -> Self {
        Self {
            key: false,
            signature: Signature::Unknown,
            message,
        }
    }

    /// The cloud says no with this code.
    fn with(code: &str, request_id: Option<String>) -> Self {
        // What is wrong with a signature that expired is the time: another key would not help.
        let resign = codes::classify(code).retry == Retry::Resign;
        let signature = Signature::refused(code, request_id.as_deref());
        // Without the cloud's text, which may quote what was asked for.
        let shown = |text: &str, most: usize| -> String {
            let graphic = text.chars().filter(char::is_ascii_graphic);
            graphic.take(most).collect()
        };
        let (shown_code, request) = (shown(code, 128), request_id.unwrap_or_default());
        let request = shown(&request, 64);
        Self {
            key: resign && code != SIGNATURE_EXPIRED,
            signature,
            message: format!("STS refuses with {shown_code}, request {request}"),
        }
    }
}

impl Role {
    pub(super) fn body(&self, session: &str) -> Zeroizing<String> {
        let mut body = SecretJson(json!({
            "RoleArn": self.arn,
            "RoleSessionName": session,
            "DurationSeconds": self.duration_seconds,
        }));
        if let Some(members) = body.0.as_object_mut() {
            let external_id = self.external_id.as_ref().map(Secret::expose);
            members.extend(external_id.map(|id| ("ExternalId".to_owned(), json!(id))));
            let policy = self.policy.as_deref().map(escaped);
            members.extend(policy.map(|text| ("Policy".to_owned(), json!(text))));
        }
        text_of(&body)
    }
}

fn text_of(body: &SecretJson) -> Zeroizing<String> {
    let mut text = secret::json(&body.0).unwrap_or_default();
    // JSON is text.
    Zeroizing::new(String::from_utf8(std::mem::take(&mut *text)).unwrap_or_default())
}

/// A text as it may stand in a URL, which is how the cloud takes a policy.
fn escaped(text: &str) -> String {
    let escaped: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    escaped.replace('+', "%20")
}

/// A name for the sessions of `who`: what the cloud does not take in it is replaced, and then, or
/// when it is too long, a hash of the whole keeps it apart from others.
pub(super) fn session_name(who: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let replaced: String = who
        .chars()
        .map(|c| if legal(c) { c } else { '-' })
        .collect();
    if replaced == who && (SESSION_MIN..=SESSION_MAX).contains(&who.len()) {
        return replaced;
    }
    let hash = hex::encode(Sha256::digest(who));
    let kept: String = replaced
        .chars()
        .take(SESSION_MAX - HASH_DIGITS - 1)
        .collect();
    let digits: String = hash.chars().take(HASH_DIGITS).collect();
    format!("{kept}-{digits}")
}

/// The keys in an answer.
pub(super) fn read(answer: &[u8]) -> Result<Credential, Refused> {
    let malformed = |what: &str| Refused::unusable(format!("the answer of STS {what}"));
    let Ok(Envelope { response }) = serde_json::from_slice(answer) else {
        return Err(malformed("is none"));
    };
    if let Some(error) = response.error {
        return Err(Refused::with(&error.code, response.request_id));
    }
    let (Some(keys), Some(end)) = (response.credentials, response.expired_time) else {
        return Err(malformed("has no keys or no end"));
    };
    let end = UtcDateTime::from_unix_timestamp(end).or(Err(malformed("has no end")))?;
    let credential = keys
        .credential()
        .map_err(|rule| malformed(&format!("cannot be used: {rule}")));
    Ok(credential?.expiring(end))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    response: Response,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    error: Option<Error>,
    credentials: Option<TemporaryKeys>,
    expired_time: Option<i64>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Error {
    code: String,
}

/// Keys as STS and the metadata service spell them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TemporaryKeys {
    tmp_secret_id: String,
    tmp_secret_key: SecretString,
    token: SecretString,
}

impl TemporaryKeys {
    /// They are of no use without their token.
    pub(super) fn credential(self) -> Result<Credential, SettingsError> {
        Part::Token.check(self.token.expose_secret())?;
        Credential::new(self.tmp_secret_id, self.tmp_secret_key, Some(self.token))
    }
}

/// What asks for the keys of a role by a token of Kubernetes.
pub(super) fn web_identity(
    arn: &str,
    session: &str,
    provider: &str,
    token: &str,
) -> Zeroizing<String> {
    text_of(&SecretJson(json!({
        "ProviderId": provider,
        "WebIdentityToken": token,
        "RoleArn": arn,
        "RoleSessionName": session,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_of_sessions_are_legal_and_tell_callers_apart() {
        let long = "x".repeat(200);
        let callers = [
            "web@example.org",
            "ab",
            "a",
            "",
            "spiffe://example.org/ns/web/sa/api",
            "spiffe:--example.org-ns-web-sa-api",
            "system:serviceaccount:web:api",
            "ärger 😀",
            "a\r\nb",
            &long,
            &format!("{long}y"),
        ];
        let mut names = BTreeSet::new();
        for caller in callers {
            let name = session_name(caller);
            let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
            assert!(
                (2..=128).contains(&name.len()) && name.chars().all(legal),
                "{name}"
            );
            assert_eq!(name, session_name(caller));
            assert!(names.insert(name), "{caller:?} has the name of another one");
        }
        assert_eq!(session_name("web@example.org"), "web@example.org");
        let hashed = session_name("system:serviceaccount:web:api");
        assert!(
            hashed.starts_with("system-serviceaccount-web-api-"),
            "{hashed}"
        );
    }

    #[test]
    fn a_role_is_asked_for_as_the_contract_says() {
        let role = Role {
            arn: "qcs::cam::uin/1:roleName/r".to_owned(),
            external_id: None,
            duration_seconds: 7200,
            policy: None,
            session: SessionOf::Organization,
        };
        assert_eq!(
            *role.body("s-1"),
            r#"{"RoleArn":"qcs::cam::uin/1:roleName/r","RoleSessionName":"s-1","DurationSeconds":7200}"#
        );
        let more = Role {
            external_id: Some(Secret::new("x".to_owned())),
            policy: Some(r#"{"a": "b+ä"}"#.to_owned()),
            ..role
        };
        let ends = r#","ExternalId":"x","Policy":"%7B%22a%22%3A%20%22b%2B%C3%A4%22%7D"}"#;
        assert!(more.body("s-1").ends_with(ends));
    }

    #[test]
    fn answers_of_sts_are_keys_or_say_what_is_wrong() {
        let sound =
            br#"{"Response":{"Credentials":{"Token":"t","TmpSecretId":"i","TmpSecretKey":"k"},
            "ExpiredTime":1795435800,"Expiration":"x","RequestId":"r"}}"#;
        let made = read(sound).unwrap();
        let end = made.expires_at().map(UtcDateTime::unix_timestamp);
        assert_eq!((made.secret_id(), end), ("i", Some(1_795_435_800)));
        assert!(made.token().is_some());
        for (answer, key, said) in [
            (
                r#"{"Response":{"Error":{"Code":"AuthFailure.TokenFailure","Message":"canary"},"RequestId":"r-1"}}"#,
                true,
                "STS refuses with AuthFailure.TokenFailure, request r-1",
            ),
            (
                r#"{"Response":{"Error":{"Code":"AuthFailure.SecretIdNotFound","Message":""}}}"#,
                true,
                "STS refuses with AuthFailure.SecretIdNotFound",
            ),
            (
                r#"{"Response":{"Error":{"Code":"AuthFailure.SignatureExpire","Message":"canary"},"RequestId":"r-2"}}"#,
                false,
                "STS refuses with AuthFailure.SignatureExpire, request r-2",
            ),
            (
                r#"{"Response":{"Error":{"Code":"ResourceNotFound.RoleNotFound","Message":"canary"},"RequestId":"r\n"}}"#,
                false,
                "STS refuses with ResourceNotFound.RoleNotFound, request r",
            ),
            (
                r#"{"Response":{"RequestId":"r"}}"#,
                false,
                "has no keys or no end",
            ),
            (
                r#"{"Response":{"Credentials":{"Token":"t","TmpSecretId":"i","TmpSecretKey":"k"}}}"#,
                false,
                "has no keys or no end",
            ),
            (
                r#"{"Response":{"Credentials":{"Token":"","TmpSecretId":"i","TmpSecretKey":"canary"},"ExpiredTime":1}}"#,
                false,
                "cannot be used",
            ),
            (
                r#"{"Response":{"Credentials":{"Token":"canary"},"ExpiredTime":1}}"#,
                false,
                "is none",
            ),
            (
                r#"{"Response":{"Credentials":{"Token":"t","TmpSecretId":"i","TmpSecretKey":"k"},"ExpiredTime":9000000000000000}}"#,
                false,
                "has no end",
            ),
            ("", false, "is none"),
            ("canary", false, "is none"),
        ] {
            let refused = read(answer.as_bytes()).map(drop).unwrap_err();
            assert_eq!(refused.key, key, "{answer}");
            assert!(refused.message.contains(said), "{refused:?}");
            assert!(!refused.message.contains("canary"), "{refused:?}");
        }
    }
}
