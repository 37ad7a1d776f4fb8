//! The append-only record of every call that reached the simulator, for tests and people to check against.

use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// Calls kept; then the simulator refuses more instead of forgetting some.
const ATTEMPTS_MAX: usize = 1_000_000;
/// Bytes of bodies kept, for the same reason.
const BODIES_MAX: usize = 512 << 20;
/// Longer bodies are not kept, only their hash is.
const BODY_MAX: usize = 64 * 1024;
/// Members whose values never enter the ledger, wherever they stand.
const SECRET_MEMBERS: [&str; 5] = [
    "Metadata",
    "Password",
    "TokenCode",
    "UserData",
    "WebIdentityToken",
];

#[derive(Debug, Default)]
pub(super) struct Ledger {
    attempts: Vec<Attempt>,
    body_bytes: usize,
}

/// One call, whatever came of it.
#[derive(Debug, Serialize)]
pub(super) struct Attempt {
    pub(super) kind: Kind,
    pub(super) at: String,
    pub(super) request_id: String,
    /// `OK` or the code of the refusal.
    pub(super) verdict: Cow<'static, str>,
    pub(super) action: Option<String>,
    pub(super) region: Option<String>,
    /// As claimed: a refused call proves nothing.
    pub(super) key_id: Option<String>,
    /// UNIX seconds, as sent.
    pub(super) signed_at: Option<String>,
    pub(super) host: Option<String>,
    /// The signature did not cover the body.
    pub(super) unsigned_payload: bool,
    pub(super) client_token: Option<String>,
    pub(super) body_sha256: String,
    /// As received; rewritten without its secrets when it has some, null when not JSON or too long.
    pub(super) body: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Attempt,
}

impl Ledger {
    pub(super) fn is_full(&self) -> bool {
        self.attempts.len() >= ATTEMPTS_MAX || self.body_bytes >= BODIES_MAX
    }

    pub(super) fn push(&mut self, attempt: Attempt) {
        self.body_bytes += attempt.body.as_ref().map_or(0, String::len);
        self.attempts.push(attempt);
    }

    pub(super) fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }
}

/// The body as the ledger keeps it. `parameters` is `text`, decoded.
pub(super) fn keepable(text: &str, parameters: Option<&Value>) -> Option<String> {
    let parameters = parameters.filter(|_| text.len() <= BODY_MAX)?;
    let mut masked = parameters.clone();
    if mask(&mut masked) {
        return Some(masked.to_string());
    }
    Some(text.to_owned())
}

/// Whether anything had to be masked.
fn mask(value: &mut Value) -> bool {
    match value {
        Value::Object(members) => {
            let mut any = false;
            for (name, member) in members {
                if SECRET_MEMBERS.contains(&name.as_str()) {
                    *member = Value::from("***");
                    any = true;
                } else {
                    any |= mask(member);
                }
            }
            any
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| mask(item) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_everything_else_is_kept_as_received() {
        let rows = [
            ("{ \"Limit\" : 1 }", Some("{ \"Limit\" : 1 }")),
            (
                r#"{ "LoginSettings": {"Password": "canary"}, "UserData": "canary", "ImageId": "img-1" }"#,
                Some(r#"{"LoginSettings":{"Password":"***"},"UserData":"***","ImageId":"img-1"}"#),
            ),
            (
                r#"{"Metadata": {"Items": [{"Key": "k", "Value": "canary"}]}}"#,
                Some(r#"{"Metadata":"***"}"#),
            ),
            (
                r#"[{"Password": ["canary"]}]"#,
                Some(r#"[{"Password":"***"}]"#),
            ),
            ("Password=canary", None),
        ];
        for (text, expected) in rows {
            let parameters = serde_json::from_str(text).ok();
            assert_eq!(keepable(text, parameters.as_ref()).as_deref(), expected);
        }
    }

    #[test]
    fn long_bodies_are_not_kept() {
        let text = format!("\"{}\"", "x".repeat(BODY_MAX));
        let parameters = serde_json::from_str(&text).ok();
        assert_eq!(keepable(&text, parameters.as_ref()), None);
    }
}
