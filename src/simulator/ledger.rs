//! The append-only record of every call that reached the simulator, for tests and people to check against.

use super::door::Letter;
use super::{Face, auth, world};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use http::{HeaderMap, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use time::UtcDateTime;

/// Calls kept; then the simulator refuses more instead of forgetting some.
const ATTEMPTS_MAX: usize = 1_000_000;
/// Bytes of what the calls said, for the same reason.
const BYTES_MAX: usize = 512 << 20;
/// Longer bodies are not kept, only their hash is.
const BODY_MAX: usize = 64 * 1024;
/// The longest ledger to compare with, in bytes.
const EARLIER_MAX: usize = 512 << 20;
/// Headers that are kept in any case; so are those of the API, but for the token.
const PLAIN_HEADERS: [&str; 2] = ["content-type", "user-agent"];
/// Members whose values do not enter the ledger, wherever they stand, unless it keeps secrets.
const SECRET_MEMBERS: [&str; 5] = [
    "Metadata",
    "Password",
    "TokenCode",
    "UserData",
    "WebIdentityToken",
];

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Shared with who reads them, so that they are copied at once.
    attempts: Vec<Arc<Attempt>>,
    bytes: usize,
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
    pub(super) method: String,
    /// The path; also the query, which may hold secrets, when the ledger keeps those.
    pub(super) target: String,
    /// Those that say what the call is; all of them when the ledger keeps secrets.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body_sha256: String,
    /// As received; rewritten without its secrets when it has some, null when not JSON or too long.
    pub(super) body: Option<String>,
    /// The body when it is no UTF-8 and the ledger keeps secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body_base64: Option<String>,
}

/// How the ledger is kept: `[ledger]` of a catalogue.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keeping {
    /// Bodies, queries and headers as they came, with passwords, user data and signatures.
    pub(super) keep_secrets: bool,
}

/// What came of a call.
pub(super) struct Verdict<'a> {
    pub(super) at: UtcDateTime,
    pub(super) request_id: &'a str,
    pub(super) verdict: Cow<'static, str>,
}

impl Keeping {
    /// The call as the ledger keeps it, before it has come to its end.
    pub(super) fn attempt(self, letter: &Letter<'_>, parameters: Option<&Value>) -> Attempt {
        let common = |name: &str| letter.common(name).map(str::to_owned);
        let received = &letter.received;
        let token = parameters.and_then(|parameters| parameters.get("ClientToken"));
        let unsigned = received.header("x-tc-content-sha256") == Some(auth::UNSIGNED_PAYLOAD);
        let (body, body_base64) = self.body(letter, parameters);
        Attempt {
            kind: Kind::Attempt,
            at: String::new(),
            request_id: String::new(),
            verdict: Cow::Borrowed(""),
            action: common("Action"),
            region: common("Region"),
            key_id: letter.claimed_key_id(),
            signed_at: common("Timestamp"),
            host: received.header("host").map(str::to_owned),
            unsigned_payload: unsigned,
            client_token: token.and_then(Value::as_str).map(str::to_owned),
            method: received.method.to_string(),
            target: match (self.keep_secrets, received.query) {
                (false, _) | (_, "") => "/".to_owned(),
                (true, query) => format!("/?{query}"),
            },
            headers: self.headers(received.headers),
            body_sha256: auth::sha256_hex(received.body),
            body,
            body_base64,
        }
    }

    fn body(
        self,
        letter: &Letter<'_>,
        parameters: Option<&Value>,
    ) -> (Option<String>, Option<String>) {
        let received = &letter.received;
        let bytes = received.body;
        if self.keep_secrets {
            return match std::str::from_utf8(bytes) {
                Ok(text) => (Some(text.to_owned()), None),
                Err(_) => {
                    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
                    (None, Some(encoded))
                }
            };
        }
        let text = match *received.method {
            Method::GET => parameters.map(Value::to_string).unwrap_or_default(),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        };
        (keepable(&text, parameters), None)
    }

    fn headers(self, headers: &HeaderMap) -> Vec<(String, String)> {
        let api = |name: &str| name.starts_with("x-tc-") && name != "x-tc-token";
        let plain = |name: &str| PLAIN_HEADERS.contains(&name) || api(name);
        let kept = headers
            .iter()
            .filter(|(name, _)| self.keep_secrets || plain(name.as_str()));
        kept.map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        })
        .collect()
    }
}

impl Attempt {
    /// Of all that its sender chose: a token may be as long as a body.
    fn bytes(&self) -> usize {
        let optional = [
            &self.action,
            &self.region,
            &self.key_id,
            &self.signed_at,
            &self.host,
            &self.client_token,
            &self.body,
            &self.body_base64,
        ];
        let headers = self.headers.iter().flat_map(|(name, value)| [name, value]);
        let texts = optional.into_iter().flatten().chain(headers);
        let texts = texts.chain([&self.method, &self.target]);
        texts.map(String::len).sum()
    }

    /// The call with what came of it.
    pub(super) fn ended(self, verdict: Verdict<'_>) -> Self {
        Self {
            at: world::timestamp(verdict.at),
            request_id: verdict.request_id.to_owned(),
            verdict: verdict.verdict,
            ..self
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Attempt,
}

impl Ledger {
    pub(super) fn is_full(&self) -> bool {
        self.attempts.len() >= ATTEMPTS_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn push(&mut self, attempt: Attempt) {
        self.bytes += attempt.bytes();
        self.attempts.push(Arc::new(attempt));
    }
}

pub(super) fn routes() -> Router<Arc<Face>> {
    Router::new()
        .route("/_ledger", get(whole))
        .route("/_ledger/diff", post(since))
        .layer(DefaultBodyLimit::max(EARLIER_MAX))
}

/// JSON lines: every call, then every machine, then every charge, each in order, and the account last.
async fn whole(State(face): State<Arc<Face>>) -> Response {
    match lines(&face) {
        Ok(lines) => shown(lines.iter().map(String::as_str)),
        Err(error) => broken(&error),
    }
}

/// The lines that are not in an earlier ledger: what is new, and what is otherwise by now.
async fn since(State(face): State<Arc<Face>>, earlier: Bytes) -> Response {
    let Ok(earlier) = std::str::from_utf8(&earlier) else {
        return (StatusCode::BAD_REQUEST, "a ledger is UTF-8\n").into_response();
    };
    let earlier: HashSet<&str> = earlier.lines().collect();
    match lines(&face) {
        Ok(lines) => {
            let lines = lines.iter().map(String::as_str);
            shown(lines.filter(|line| !earlier.contains(line)))
        }
        Err(error) => broken(&error),
    }
}

fn lines(face: &Face) -> Result<Vec<String>, serde_json::Error> {
    // Calls wait for the copies alone.
    let (now, attempts, books) = {
        let record = face.lock();
        let attempts = record.ledger.attempts.clone();
        (face.clock.now(), attempts, record.world.books())
    };
    let attempts = attempts
        .iter()
        .map(|attempt| serde_json::to_string(&**attempt));
    let rest = books.lines(now).map(|line| Ok(line.to_string()));
    attempts.chain(rest).collect()
}

fn shown<'a>(lines: impl Iterator<Item = &'a str>) -> Response {
    let body: String = lines.flat_map(|line| [line, "\n"]).collect();
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

fn broken(error: &serde_json::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
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
    use crate::simulator::door::Received;

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
    fn all_that_a_call_says_counts() {
        let headers = [
            ("host", "cvm"),
            ("x-tc-action", "Run"),
            ("cookie", "not kept"),
        ];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers = HeaderMap::from_iter(headers);
        let token = "t".repeat(2 * BODY_MAX);
        let body = format!("{{\"ClientToken\": \"{token}\"}}");
        let letter = Letter::open(Received {
            method: &Method::POST,
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        });
        let parameters = letter.parameters().unwrap();
        let attempt = Keeping::default().attempt(&letter, Some(&parameters));
        assert_eq!(
            (attempt.body.as_ref(), attempt.client_token.as_ref()),
            (None, Some(&token))
        );
        let mut ledger = Ledger::default();
        ledger.push(attempt);
        let others = ["cvm", "Run", "x-tc-action", "Run", "POST", "/"].concat();
        assert_eq!(ledger.bytes, token.len() + others.len());
    }

    #[test]
    fn long_bodies_are_not_kept() {
        let text = format!("\"{}\"", "x".repeat(BODY_MAX));
        let parameters = serde_json::from_str(&text).ok();
        assert_eq!(keepable(&text, parameters.as_ref()), None);
    }
}
