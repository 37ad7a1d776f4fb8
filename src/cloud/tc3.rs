//! TC3-HMAC-SHA256, the cloud's request signature: values in, header texts out.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use time::{Date, UtcDateTime};
use zeroize::Zeroizing;

const ALGORITHM: &str = "TC3-HMAC-SHA256";
const SERVICE: &str = "cvm";
const TERMINATOR: &str = "tc3_request";

/// Room for each of the three texts of one of our calls.
const TEXT_BYTES: usize = 384;

/// What a signature covers, apart from its time.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The HTTP method, upper case.
    pub method: &'a str,
    /// The query exactly as sent, without `?`; empty for POST.
    pub query: &'a str,
    /// The signed headers: lower-case names in ascending order, values as sent. The cloud demands
    /// `content-type` and `host`; sign `x-tc-action` as well, or the body can be replayed as
    /// another action.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body as sent; empty for GET.
    pub payload: &'a [u8],
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
    mac: Hmac<Sha256>,
}

impl DayKey {
    /// Derives the key of the day that `at` falls on, for the CVM API.
    #[must_use]
    pub fn derive(secret_key: &str, at: UtcDateTime) -> Self {
        Self::of_service(secret_key, SERVICE, at)
    }

    /// Derives the key of the day that `at` falls on, for another service.
    #[must_use]
    pub fn of_service(secret_key: &str, service: &str, at: UtcDateTime) -> Self {
        let date = at.date();
        let day = date.to_string();
        let seed = Zeroizing::new(["TC3", secret_key].concat());
        let secret_date = hmac_of(seed.as_bytes(), &day);
        let secret_service = hmac_of(&*secret_date, service);
        let secret_signing = hmac_of(&*secret_service, TERMINATOR);
        Self {
            date,
            scope: format!("{day}/{service}/{TERMINATOR}"),
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

/// Signs `request` with the key named `secret_id` as sent at `at`, to the second. The cloud takes
/// the signature for 300 s before and after `at`, and only when `key` covers `at`.
#[must_use]
pub fn sign(
    request: &Request<'_>,
    secret_id: &str,
    key: &DayKey,
    at: UtcDateTime,
) -> SignedHeaders {
    let timestamp = at.unix_timestamp().to_string();
    // One buffer for the three texts: an allocation costs as much as hashing a block.
    let mut text = String::with_capacity(TEXT_BYTES + request.query.len());
    push_canonical_request(&mut text, request);
    let hash = Sha256::digest(&text).into();

    text.clear();
    push_string_to_sign(&mut text, &timestamp, &key.scope, &hash);
    let signature = key.mac.clone().chain_update(&text).finalize();

    text.clear();
    text.push_str(ALGORITHM);
    text.push_str(" Credential=");
    text.push_str(secret_id);
    text.push('/');
    text.push_str(&key.scope);
    text.push_str(", SignedHeaders=");
    push_names(&mut text, request.headers);
    text.push_str(", Signature=");
    push_hex(&mut text, &signature.into_bytes().into());
    SignedHeaders {
        timestamp,
        authorization: text,
    }
}

/// Step 1: the request in the one form that both sides hash.
fn push_canonical_request(text: &mut String, request: &Request<'_>) {
    text.push_str(request.method);
    text.push_str("\n/\n");
    text.push_str(request.query);
    text.push('\n');
    for (name, value) in request.headers {
        text.push_str(name);
        text.push(':');
        let start = text.len();
        text.push_str(value.trim_ascii());
        if let Some(written) = text.get_mut(start..) {
            written.make_ascii_lowercase();
        }
        text.push('\n');
    }
    text.push('\n');
    push_names(text, request.headers);
    text.push('\n');
    push_hex(text, &Sha256::digest(request.payload).into());
}

/// Step 2: what is signed, that is time, scope and the hash of step 1.
fn push_string_to_sign(text: &mut String, timestamp: &str, scope: &str, hash: &[u8; 32]) {
    text.push_str(ALGORITHM);
    text.push('\n');
    text.push_str(timestamp);
    text.push('\n');
    text.push_str(scope);
    text.push('\n');
    push_hex(text, hash);
}

fn push_names(text: &mut String, headers: &[(&str, &str)]) {
    for (index, (name, _)) in headers.iter().enumerate() {
        if index > 0 {
            text.push(';');
        }
        text.push_str(name);
    }
}

/// Appends a hash as lower-case hex, without the allocation of `hex::encode`.
fn push_hex(text: &mut String, hash: &[u8; 32]) {
    let mut digits = [[0; 2]; 32];
    for (pair, byte) in digits.iter_mut().zip(hash) {
        *pair = [byte >> 4, byte & 15];
    }
    let digits = digits.as_flattened_mut();
    for digit in digits.iter_mut() {
        // Without a branch or a check, so that many are made at once.
        let letter = u8::from(*digit > 9).wrapping_mul(b'a' - b'9' - 1);
        *digit = digit.wrapping_add(b'0').wrapping_add(letter);
    }
    text.extend(str::from_utf8(digits));
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
        let request = Request {
            method: &input.method,
            query: &input.query,
            headers: &headers,
            payload: input.payload.as_bytes(),
        };
        let at = UtcDateTime::from_unix_timestamp(input.timestamp).unwrap();
        let key = DayKey::derive(&input.secret_key, at);
        let signed = sign(&request, &input.secret_id, &key, at);
        let mut canonical = String::new();
        push_canonical_request(&mut canonical, &request);
        assert_eq!(canonical, case.canonical, "canonical request of {name}");
        let mut to_sign = String::new();
        let hash = Sha256::digest(&canonical).into();
        push_string_to_sign(&mut to_sign, &signed.timestamp, &key.scope, &hash);
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
        let key = DayKey::derive("canary-secret", at(1_772_323_199));
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
            let request = Request { method, query, headers: &headers, payload: &payload };
            let signed = sign(&request, secret_id, &DayKey::derive(secret_key, at), at);
            prop_assert_eq!(signed.timestamp.parse(), Ok(seconds));
        }
    }
}
