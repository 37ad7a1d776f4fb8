//! TC3-HMAC-SHA256, the cloud's request signature: values in, header texts out.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use time::{Date, UtcDateTime};
use zeroize::Zeroizing;

const ALGORITHM: &str = "TC3-HMAC-SHA256";
const SERVICE: &str = "cvm";
const TERMINATOR: &str = "tc3_request";

/// Room for either text of one of our calls.
const TEXT_BYTES: usize = 384;

/// What the signatures of calls of one kind have in common: all that is covered but time and body. That
/// comes first in what is hashed, and is hashed once.
#[derive(Clone)]
pub struct Form {
    hashed: Sha256,
    /// The names of the signed headers.
    names: String,
}

impl Form {
    /// Of calls with this HTTP method, upper case; this query exactly as sent, without `?`, empty for POST; and
    /// these signed headers: lower-case names in ascending order, values as sent. The cloud demands
    /// `content-type` and `host`; sign `x-tc-action` as well, or a body can be replayed as another
    /// action.
    #[must_use]
    pub fn new(method: &str, query: &str, headers: &[(&str, &str)]) -> Self {
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let text = canonical(method, query, headers, &names);
        Self {
            hashed: Sha256::new_with_prefix(text),
            names,
        }
    }

    /// Signs a call as sent at `at`, to the second, with this body as sent, empty for GET. The cloud takes the
    /// signature for 300 s before and after `at`, and only when `key` covers `at`.
    #[must_use]
    pub fn sign(&self, payload: &[u8], key: &DayKey, at: UtcDateTime) -> SignedHeaders {
        let timestamp = at.unix_timestamp().to_string();
        let payload = hex(&Sha256::digest(payload).into());
        let hash = self.hashed.clone().chain_update(payload).finalize().into();
        let text = string_to_sign(&timestamp, &key.scope, &hash);
        let signature = key.mac.clone().chain_update(text).finalize();
        let signature = hex(&signature.into_bytes().into());

        let mut authorization = String::with_capacity(TEXT_BYTES);
        authorization.push_str(&key.credential);
        authorization.push_str(", SignedHeaders=");
        authorization.push_str(&self.names);
        authorization.push_str(", Signature=");
        authorization.extend(str::from_utf8(&signature));
        SignedHeaders {
            timestamp,
            authorization,
        }
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// The texts that signing adds to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// The value of `X-TC-Timestamp`: seconds since the epoch.
    pub timestamp: String,
    /// The value of `Authorization`.
    pub authorization: String,
}

/// A secret key prepared for one UTC day: the HMAC state behind every signature of that day. It is wiped
/// from memory with its last copy, as is every step to it.
#[derive(Clone)]
pub struct DayKey {
    date: Date,
    /// `<date>/cvm/tc3_request`.
    scope: String,
    /// What `Authorization` says of the key: the algorithm, the key's name, and the scope.
    credential: String,
    mac: Hmac<Sha256>,
}

impl DayKey {
    /// Derives the key of the day that `at` falls on, for the CVM API, from the key named `secret_id`.
    #[must_use]
    pub fn derive(secret_id: &str, secret_key: &str, at: UtcDateTime) -> Self {
        Self::of_service(secret_id, secret_key, SERVICE, at)
    }

    /// Derives the key of the day that `at` falls on, for another service.
    #[must_use]
    pub fn of_service(secret_id: &str, secret_key: &str, service: &str, at: UtcDateTime) -> Self {
        let date = at.date();
        let day = date.to_string();
        let seed = Zeroizing::new(["TC3", secret_key].concat());
        let secret_date = hmac_of(seed.as_bytes(), &day);
        let secret_service = hmac_of(&*secret_date, service);
        let secret_signing = hmac_of(&*secret_service, TERMINATOR);
        let scope = format!("{day}/{service}/{TERMINATOR}");
        Self {
            date,
            credential: format!("{ALGORITHM} Credential={secret_id}/{scope}"),
            scope,
            mac: keyed(&*secret_signing),
        }
    }

    /// Whether this is the key of the day that `at` falls on.
    #[must_use]
    pub fn covers(&self, at: UtcDateTime) -> bool {
        self.date == at.date()
    }
}

/// Prints the day, never the key.
impl fmt::Debug for DayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DayKey")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Step 1: the request in the one form that both sides hash, but for its end, the hash of the body.
fn canonical(method: &str, query: &str, headers: &[(&str, &str)], names: &str) -> String {
    let mut text = [method, "\n/\n", query, "\n"].concat();
    for (name, value) in headers {
        let value = value.trim_ascii().to_ascii_lowercase();
        text.extend([*name, ":", &value, "\n"]);
    }
    text.extend(["\n", names, "\n"]);
    text
}

/// Step 2: what is signed, that is time, scope and the hash of step 1.
fn string_to_sign(timestamp: &str, scope: &str, hash: &[u8; 32]) -> String {
    let mut text = String::with_capacity(TEXT_BYTES);
    for part in [ALGORITHM, timestamp, scope] {
        text.push_str(part);
        text.push('\n');
    }
    text.extend(str::from_utf8(&hex(hash)));
    text
}

/// A hash as lower-case hex, without the allocation of `hex::encode`.
fn hex(hash: &[u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(hash) {
        *pair = [byte >> 4, byte & 15];
    }
    for digit in &mut digits {
        // Without a branch or a check, so that many are made at once.
        let letter = u8::from(*digit > 9).wrapping_mul(b'a' - b'9' - 1);
        *digit = digit.wrapping_add(b'0').wrapping_add(letter);
    }
    digits
}

fn hmac_of(key: &[u8], text: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = keyed(key);
    mac.update(text.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::Value;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A request and the texts that signing it must give.
    struct Case {
        name: String,
        input: Input,
        canonical: String,
        string_to_sign: String,
        authorization: String,
    }

    #[derive(Deserialize)]
    struct Input {
        secret_id: String,
        secret_key: String,
        timestamp: i64,
        method: String,
        query: String,
        headers: Vec<(String, String)>,
        payload: String,
    }

    fn testdata(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata")
            .join(path)
    }

    fn folder(path: &str) -> Vec<PathBuf> {
        fs::read_dir(testdata(path))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    fn golden_cases() -> Vec<Case> {
        let read = |case: &Path, name| fs::read_to_string(case.join(name)).unwrap();
        folder("tc3")
            .iter()
            .filter(|case| case.is_dir())
            .map(|case| Case {
                name: case.display().to_string(),
                input: serde_json::from_str(&read(case, "request.json")).unwrap(),
                canonical: read(case, "canonical.txt"),
                string_to_sign: read(case, "string_to_sign.txt"),
                authorization: read(case, "authorization.txt"),
            })
            .collect()
    }

    /// Requests that the official Python SDK and command line sent to a loopback server.
    fn captured_cases() -> Vec<Case> {
        folder("contract/captures")
            .iter()
            .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
            .filter(|capture: &Value| capture["verification"]["scheme"] == ALGORITHM)
            .map(|capture| captured_case(&capture))
            .collect()
    }

    fn captured_case(capture: &Value) -> Case {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (sent, verified) = (&capture["request"], &capture["verification"]);
        let headers: Vec<(String, String)> =
            serde_json::from_value(sent["headers"].clone()).unwrap();
        let header = |name: &str| {
            let found = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let signed = text(&verified["signed_headers"]);
        let body = base64::engine::general_purpose::STANDARD
            .decode(text(&sent["body_base64"]))
            .unwrap();
        let target = text(&sent["target"]);
        Case {
            name: format!("{} {}", capture["variant"], capture["example"]),
            input: Input {
                secret_id: text(&capture["secret_id"]),
                secret_key: text(&capture["secret_key"]),
                timestamp: capture["timestamp"].as_i64().unwrap(),
                method: text(&sent["method"]),
                query: target.split_once('?').map_or("", |(_, q)| q).to_owned(),
                headers: signed
                    .split(';')
                    .map(|name| (name.to_owned(), header(name).unwrap()))
                    .collect(),
                payload: header("X-TC-Content-SHA256")
                    .unwrap_or_else(|| String::from_utf8(body).unwrap()),
            },
            canonical: text(&verified["canonical_request"]),
            string_to_sign: text(&verified["string_to_sign"]),
            authorization: header("Authorization").unwrap(),
        }
    }

    fn check(case: &Case) {
        let (input, name) = (&case.input, &case.name);
        let headers: Vec<(&str, &str)> = input
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let form = Form::new(&input.method, &input.query, &headers);
        let at = UtcDateTime::from_unix_timestamp(input.timestamp).unwrap();
        let key = DayKey::derive(&input.secret_id, &input.secret_key, at);
        let signed = form.sign(input.payload.as_bytes(), &key, at);
        let mut text = canonical(&input.method, &input.query, &headers, &form.names);
        text.push_str(&hex::encode(Sha256::digest(&input.payload)));
        assert_eq!(text, case.canonical, "canonical request of {name}");
        let hash = Sha256::digest(&text).into();
        let to_sign = string_to_sign(&signed.timestamp, &key.scope, &hash);
        assert_eq!(to_sign, case.string_to_sign, "string to sign of {name}");
        assert_eq!(signed.authorization, case.authorization, "{name}");
    }

    #[test]
    fn published_and_derived_vectors_reproduce() {
        let cases = golden_cases();
        assert_eq!(cases.len(), 13);
        cases.iter().for_each(check);
    }

    #[test]
    fn requests_of_the_official_clients_reproduce() {
        let cases = captured_cases();
        assert_eq!(cases.len(), 88);
        cases.iter().for_each(check);
    }

    #[test]
    fn a_key_covers_its_utc_day_and_hides_itself() {
        let at = |seconds| UtcDateTime::from_unix_timestamp(seconds).unwrap();
        let key = DayKey::derive("canary-id", "canary-secret", at(1_772_323_199));
        assert!(key.covers(at(1_772_323_199)) && key.covers(at(1_772_236_800)));
        assert!(!key.covers(at(1_772_323_200)) && !key.covers(at(1_772_236_799)));
        assert_eq!(
            format!("{key:?}"),
            r#"DayKey { scope: "2026-02-28/cvm/tc3_request", .. }"#
        );
    }

    #[test]
    fn the_state_behind_signatures_is_wiped() {
        fn is_wiped<T: zeroize::ZeroizeOnDrop>() {}
        // Two of these, and nothing else, are in an HMAC.
        is_wiped::<Sha256>();
    }

    proptest! {
        #[test]
        fn signing_never_panics(
            texts in proptest::collection::vec(".*", 5),
            names in proptest::collection::vec((".*", ".*"), 0..4),
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            seconds in UtcDateTime::MIN.unix_timestamp()..=UtcDateTime::MAX.unix_timestamp(),
        ) {
            let [method, query, secret_id, secret_key, value] = &texts[..] else { panic!() };
            let mut headers: Vec<(&str, &str)> =
                names.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            headers.push(("host", value));
            let at = UtcDateTime::from_unix_timestamp(seconds).unwrap();
            let key = DayKey::derive(secret_id, secret_key, at);
            let signed = Form::new(method, query, &headers).sign(&payload, &key, at);
            prop_assert_eq!(signed.timestamp.parse(), Ok(seconds));
        }
    }
}
