//! Proves who signed a request: TC3-HMAC-SHA256 here, the older signatures in `v1`. Both over the bytes
//! as they came; shares no code with the signer in `cloud`.

mod v1;

use super::action::Service;
use super::catalog::misbehaviour::Faults;
use super::catalog::{Catalog, KeyPair};
use super::door::{Letter, Received, Scheme};
use super::validate::missing;
use super::wire::Refusal;
use super::world::Issued;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, header};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::UtcDateTime;

const ALGORITHM: &str = "TC3-HMAC-SHA256";
/// The value of X-TC-Content-SHA256 that leaves the body out of the signature.
pub(super) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The Authorization header, taken apart.
#[derive(Debug)]
struct Authorization<'a> {
    secret_id: &'a str,
    date: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// Every key there is at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys<'a> {
    pub(super) catalog: &'a Catalog,
    /// Those that were handed out for roles.
    pub(super) issued: &'a Issued,
    pub(super) faults: &'a Faults,
}

/// What is known of the key that a request claims.
#[derive(Debug)]
pub(super) struct Known {
    key: Result<KeyPair, Refusal>,
    /// How far the signed time of a request may lie from the clock.
    life: time::Duration,
}

impl Keys<'_> {
    pub(super) fn known(self, letter: &Letter<'_>, now: UtcDateTime) -> Known {
        let claimed = letter.claimed_key_id();
        Known {
            key: self.find(claimed.as_deref().unwrap_or_default(), now),
            life: self.faults.signature_life(self.catalog),
        }
    }

    fn find(self, secret_id: &str, now: UtcDateTime) -> Result<KeyPair, Refusal> {
        let revoked = self.faults.revoked_keys.contains(secret_id);
        let permanent = self.catalog.key(secret_id);
        let key = permanent.or_else(|| self.issued.key(secret_id, now));
        let key = key.filter(|_| !revoked);
        key.cloned().ok_or_else(|| {
            if self.issued.knows(secret_id) {
                let message = "The temporary key has expired or was revoked.";
                return Refusal::new("AuthFailure.TokenFailure", message);
            }
            let message = "The SecretId is not found, please ensure that your SecretId is correct.";
            Refusal::new("AuthFailure.SecretIdNotFound", message)
        })
    }
}

impl Known {
    /// Proves that the request was signed by the key at about `now`; the id of the key.
    ///
    /// # Errors
    /// The API's `AuthFailure.…` and `MissingParameter` refusals.
    pub(super) fn verify(&self, letter: &Letter<'_>, now: UtcDateTime) -> Result<&str, Refusal> {
        let key = match letter.scheme {
            Scheme::Tc3 => self.verify_tc3(letter, now),
            Scheme::V1 => v1::verify(self, letter, now),
        }?;
        Ok(&key.secret_id)
    }

    fn verify_tc3(&self, letter: &Letter<'_>, now: UtcDateTime) -> Result<&KeyPair, Refusal> {
        let header = letter.received.header("authorization");
        let header = header.ok_or_else(|| missing("Authorization"))?;
        let authorization = Authorization::parse(header).ok_or_else(|| {
            let message = "The `Authorization` header is not a TC3-HMAC-SHA256 authorization.";
            Refusal::new("AuthFailure.InvalidAuthorization", message)
        })?;
        let signed_at = timestamp(letter.required("Timestamp")?)?;
        check_age(signed_at, now, self.life)?;
        let key = self.key.as_ref().map_err(Refusal::clone)?;
        if !authorization.is_genuine(&letter.received, signed_at, key) {
            return Err(unproven());
        }
        check_token(key, letter)?;
        Ok(key)
    }
}

/// Refuses a signature for another service than the one whose action is called; the host may give that a
/// name of its own. Signatures of the first version name none.
///
/// # Errors
/// `AuthFailure.SignatureFailure`.
pub(super) fn check_scope(received: &Received<'_>, service: Service) -> Result<(), Refusal> {
    let header = received.header("authorization");
    let authorization = header.and_then(Authorization::parse);
    let named = authorization.map(|authorization| authorization.service);
    let fits = |named| named == service.as_str() || received.host_label() == Some(named);
    named.is_none_or(fits).then_some(()).ok_or_else(unproven)
}

fn unproven() -> Refusal {
    let message =
        "The provided credentials could not be validated. Please check your signature is correct.";
    Refusal::new("AuthFailure.SignatureFailure", message)
}

fn timestamp(text: &str) -> Result<UtcDateTime, Refusal> {
    let seconds = text.parse().ok();
    let signed_at = seconds.and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok());
    signed_at.ok_or_else(|| {
        let message = "The value type of parameter `Timestamp` is not valid.";
        Refusal::new("InvalidParameter", message)
    })
}

/// Refuses a signature that is `life` off: five minutes in the real cloud.
///
/// # Errors
/// `AuthFailure.SignatureExpire`.
pub(super) fn check_age(
    signed_at: UtcDateTime,
    now: UtcDateTime,
    life: time::Duration,
) -> Result<(), Refusal> {
    if (now - signed_at).abs() > life {
        let seconds = life.whole_seconds();
        let message = format!(
            "The provided signature has expired: `Timestamp` is more than {seconds} seconds off."
        );
        return Err(Refusal::new("AuthFailure.SignatureExpire", message));
    }
    Ok(())
}

/// The key id that a request claims, proven or not.
pub(super) fn claimed_key_id(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Authorization::parse(header).map(|parsed| parsed.secret_id.to_owned())
}

/// A permanent key's token is not looked at: the contract's clients send one beside such a key.
fn check_token(key: &KeyPair, letter: &Letter<'_>) -> Result<(), Refusal> {
    let Some(token) = &key.token else {
        return Ok(());
    };
    let sent = letter.common("Token").unwrap_or_default();
    if token
        .expose_secret()
        .as_bytes()
        .ct_eq(sent.as_bytes())
        .into()
    {
        return Ok(());
    }
    let message = "The token is missing or does not belong to this SecretId.";
    Err(Refusal::new("AuthFailure.TokenFailure", message))
}

fn payload_hash(received: &Received<'_>) -> String {
    let unsigned = received.header("x-tc-content-sha256") == Some(UNSIGNED_PAYLOAD);
    match (unsigned, received.method) {
        (true, _) => sha256_hex(UNSIGNED_PAYLOAD.as_bytes()),
        (false, &Method::GET) => sha256_hex(b""),
        (false, _) => sha256_hex(received.body),
    }
}

/// A value as it came, and as the specification wants it: SDKs sign theirs as they are.
fn spellings(value: &str) -> impl Iterator<Item = String> + Clone {
    let raw = value.trim().to_owned();
    let lower = Some(raw.to_lowercase()).filter(|lower| *lower != raw);
    std::iter::once(raw).chain(lower)
}

/// Part one of the signature; `None` when a signed header is not there.
fn canonical(
    received: &Received<'_>,
    host: &str,
    content_type: &str,
    signed_headers: &str,
) -> Option<String> {
    let mut headers = String::new();
    for name in signed_headers.split(';') {
        let value = match name {
            "host" => host.to_owned(),
            "content-type" => content_type.to_owned(),
            name => received.header(name)?.trim().to_lowercase(),
        };
        headers.push_str(&format!("{name}:{value}\n"));
    }
    let (method, payload) = (received.method, payload_hash(received));
    let query = match *method {
        Method::GET => received.query,
        _ => "",
    };
    Some(format!(
        "{method}\n/\n{query}\n{headers}\n{signed_headers}\n{payload}"
    ))
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let mut fields = header.strip_prefix(ALGORITHM)?.split(',').map(str::trim);
        let credential = fields.next()?.strip_prefix("Credential=")?;
        let signed_headers = fields.next()?.strip_prefix("SignedHeaders=")?;
        let signature = fields.next()?.strip_prefix("Signature=")?;
        let mut scope = credential.split('/');
        let (secret_id, date) = (scope.next()?, scope.next()?);
        let (service, terminator) = (scope.next()?, scope.next()?);
        let complete =
            terminator == "tc3_request" && scope.next().is_none() && fields.next().is_none();
        let covers = |name| signed_headers.split(';').any(|signed| signed == name);
        (complete && covers("content-type") && covers("host")).then_some(Self {
            secret_id,
            date,
            service,
            signed_headers,
            signature,
        })
    }

    fn is_genuine(&self, received: &Received<'_>, at: UtcDateTime, key: &KeyPair) -> bool {
        let date = at.date().to_string();
        let service = self.service;
        let named = |known: Service| known.as_str() == service;
        let served = Service::ALL.into_iter().any(named) || received.host_label() == Some(service);
        if self.date != date || !served {
            return false;
        }
        let secret = format!("TC3{}", key.secret_key.expose_secret());
        let key = hmac_sha256(secret.as_bytes(), &date);
        let key = hmac_sha256(&key, service);
        let key = hmac_sha256(&key, "tc3_request");
        let timestamp = at.unix_timestamp();
        let content_types = received.header("content-type").into_iter();
        let content_types = content_types.flat_map(spellings);
        let hosts = received.hosts().into_iter().flat_map(spellings);
        let mut pairs =
            hosts.flat_map(|host| content_types.clone().map(move |kind| (host.clone(), kind)));
        pairs.any(|(host, kind)| {
            let Some(canonical) = canonical(received, &host, &kind, self.signed_headers) else {
                return false;
            };
            let canonical = sha256_hex(canonical.as_bytes());
            let text =
                format!("{ALGORITHM}\n{timestamp}\n{date}/{service}/tc3_request\n{canonical}");
            let expected = hex::encode(hmac_sha256(&key, &text));
            expected.as_bytes().ct_eq(self.signature.as_bytes()).into()
        })
    }
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use serde_json::Value;

    /// A request with its time, as a test holds and changes it.
    struct Sample {
        name: String,
        method: Method,
        query: String,
        headers: HeaderMap,
        body: Vec<u8>,
        at: UtcDateTime,
    }

    impl Sample {
        fn received(&self) -> Received<'_> {
            Received {
                method: &self.method,
                query: &self.query,
                headers: &self.headers,
                body: &self.body,
            }
        }

        fn verify(&self, catalog: &Catalog) -> Result<(), &'static str> {
            self.verify_at(catalog, self.at)
        }

        fn verify_at(&self, catalog: &Catalog, now: UtcDateTime) -> Result<(), &'static str> {
            let letter = Letter::open(self.received());
            let issued = &Issued::default();
            let faults = &catalog.faults;
            let keys = Keys {
                catalog,
                issued,
                faults,
            };
            let known = keys.known(&letter, now);
            known
                .verify(&letter, now)
                .map(|_| ())
                .map_err(Refusal::into_code)
        }

        fn set(mut self, name: &'static str, value: &str) -> Self {
            self.headers.insert(name, value.parse().unwrap());
            self
        }

        /// Signed anew, with this service in its scope.
        fn signed(self, service: &str) -> Self {
            let sent = ["host", "content-type"].map(|name| self.headers[name].to_str().unwrap());
            let [host, content_type] = sent.map(str::to_owned);
            self.signed_as(service, &host, &content_type)
        }

        /// As if these were its headers.
        fn signed_as(self, service: &str, host: &str, content_type: &str) -> Self {
            let received = self.received();
            let signed = "content-type;host";
            let canonical = canonical(&received, host, content_type, signed).unwrap();
            let canonical = sha256_hex(canonical.as_bytes());
            let (date, timestamp) = (self.at.date().to_string(), self.at.unix_timestamp());
            let scope = format!("{date}/{service}/tc3_request");
            let text = format!("{ALGORITHM}\n{timestamp}\n{scope}\n{canonical}");
            let catalog = Catalog::embedded();
            let (id, secret) = (&catalog.keys[0].secret_id, &catalog.keys[0].secret_key);
            let steps = [date.as_str(), service, "tc3_request", &text];
            let secret = format!("TC3{}", secret.expose_secret()).into_bytes();
            let signature = steps
                .iter()
                .fold(secret, |key, step| hmac_sha256(&key, step));
            let signature = hex::encode(signature);
            let header = format!(
                "{ALGORITHM} Credential={id}/{scope}, SignedHeaders=content-type;host, Signature={signature}"
            );
            self.set("authorization", &header)
        }

        fn without(mut self, name: &str) -> Self {
            self.headers.remove(name).unwrap();
            self
        }
    }

    fn testdata(path: &str) -> Value {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/contract/");
        serde_json::from_str(&std::fs::read_to_string(format!("{root}{path}")).unwrap()).unwrap()
    }

    fn capture(file: &str) -> Sample {
        let capture = testdata(&format!("captures/{file}"));
        let request = &capture["request"];
        let mut headers = HeaderMap::new();
        for pair in request["headers"].as_array().unwrap() {
            let name: http::HeaderName = pair[0].as_str().unwrap().parse().unwrap();
            headers.append(name, pair[1].as_str().unwrap().parse().unwrap());
        }
        let body = request["body_base64"].as_str().unwrap();
        let query = request["target"].as_str().unwrap().split_once('?');
        Sample {
            name: file.to_owned(),
            method: request["method"].as_str().unwrap().parse().unwrap(),
            query: query.map_or("", |(_, query)| query).to_owned(),
            headers,
            body: base64::engine::general_purpose::STANDARD
                .decode(body)
                .unwrap(),
            at: UtcDateTime::from_unix_timestamp(capture["timestamp"].as_i64().unwrap()).unwrap(),
        }
    }

    fn captures() -> Vec<Sample> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/contract/captures");
        let files = std::fs::read_dir(folder).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.map(|name| capture(&name)).collect()
    }

    #[test]
    fn every_capture_of_official_clients_verifies() {
        let catalog = Catalog::embedded();
        let captures = captures();
        let of = |scheme: &str, method: Method| {
            let named = captures
                .iter()
                .filter(|sample| sample.name.contains(scheme));
            named.filter(|sample| sample.method == method).count()
        };
        let counted = [
            of("tc3", Method::POST),
            of("tc3", Method::GET),
            of("hmacsha256", Method::POST),
            of("hmacsha1", Method::GET),
        ];
        assert_eq!((captures.len(), counted), (102, [81, 7, 7, 7]));
        for sample in &captures {
            assert_eq!(sample.verify(&catalog), Ok(()), "{}", sample.name);
        }
    }

    #[test]
    fn every_tc3_vector_of_the_contract_verifies() {
        let contract = testdata("cvm-contract.json");
        let vectors = contract["test_vectors"]["tc3"].as_array().unwrap();
        assert_eq!(vectors.len(), 13);
        for vector in vectors {
            let text = |key: &str| vector[key].as_str().unwrap_or_default().to_owned();
            let mut catalog = Catalog::embedded();
            catalog.keys = vec![KeyPair {
                secret_id: text("secret_id"),
                secret_key: text("secret_key").into(),
                token: vector["headers"]["X-TC-Token"].as_str().map(Into::into),
            }];
            let mut headers = HeaderMap::new();
            for (name, value) in vector["headers"].as_object().unwrap() {
                let name: http::HeaderName = name.parse().unwrap();
                headers.insert(name, value.as_str().unwrap().parse().unwrap());
            }
            headers.insert("authorization", text("authorization").parse().unwrap());
            let sample = Sample {
                name: text("name"),
                method: text("method").parse().unwrap(),
                query: text("query"),
                headers,
                body: text("body").into_bytes(),
                at: UtcDateTime::from_unix_timestamp(vector["timestamp"].as_i64().unwrap())
                    .unwrap(),
            };
            assert_eq!(sample.verify(&catalog), Ok(()), "{}", sample.name);
        }
    }

    /// A vector of the first version, with some parameters changed after it was signed.
    fn vector(vector: &Value, change: impl FnOnce(&mut Vec<(String, String)>)) -> Sample {
        let params = vector["params"].as_object().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut pairs: Vec<_> = params
            .map(|(name, value)| (name.clone(), text(value)))
            .collect();
        pairs.push(("Signature".to_owned(), text(&vector["signature"])));
        change(&mut pairs);
        let seconds = text(&vector["params"]["Timestamp"]).parse().unwrap();
        let mut form = form_urlencoded::Serializer::new(String::new());
        let form = form.extend_pairs(pairs).finish();
        let by_query = vector["method"] == "GET";
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [("host", text(&vector["host"])), (kind.0, kind.1.to_owned())];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Sample {
            name: text(&vector["name"]),
            method: text(&vector["method"]).parse().unwrap(),
            query: if by_query {
                form.clone()
            } else {
                String::new()
            },
            headers: HeaderMap::from_iter(headers),
            body: if by_query {
                Vec::new()
            } else {
                form.into_bytes()
            },
            at: UtcDateTime::from_unix_timestamp(seconds).unwrap(),
        }
    }

    fn v1_vectors() -> Vec<(Value, Catalog)> {
        let contract = testdata("cvm-contract.json");
        let vectors = contract["test_vectors"]["v1"].as_array().unwrap().iter();
        let keyed = vectors.map(|vector| {
            let mut catalog = Catalog::embedded();
            catalog.keys = vec![KeyPair {
                secret_id: vector["params"]["SecretId"].as_str().unwrap().to_owned(),
                secret_key: vector["secret_key"].as_str().unwrap().into(),
                token: None,
            }];
            (vector.clone(), catalog)
        });
        keyed.collect()
    }

    #[test]
    fn every_v1_vector_of_the_contract_verifies() {
        let vectors = v1_vectors();
        assert_eq!(vectors.len(), 5);
        for (row, catalog) in vectors {
            let sample = vector(&row, |_| ());
            assert_eq!(sample.verify(&catalog), Ok(()), "{}", sample.name);
        }
    }

    #[test]
    fn a_changed_request_of_the_first_version_is_refused() {
        let set = |name: &'static str, value: &'static str| {
            move |pairs: &mut Vec<(String, String)>| {
                pairs.retain(|(pair, _)| pair != name);
                pairs.push((name.to_owned(), value.to_owned()));
            }
        };
        let rows = [
            ("Limit", "21", "AuthFailure.SignatureFailure"),
            ("Offset.0", "1", "AuthFailure.SignatureFailure"),
            ("Nonce", "11887", "AuthFailure.SignatureFailure"),
            ("Nonce", "0", "InvalidParameterValue"),
            ("Nonce", "-1", "InvalidParameterValue"),
            (
                "SignatureMethod",
                "HmacSHA256",
                "AuthFailure.SignatureFailure",
            ),
            ("SignatureMethod", "HmacMD5", "InvalidParameterValue"),
            ("Signature", "", "AuthFailure.SignatureFailure"),
            ("SecretId", "AKIDunknown", "AuthFailure.SecretIdNotFound"),
            ("Timestamp", "1465185467", "AuthFailure.SignatureExpire"),
            ("Timestamp", "now", "InvalidParameter"),
        ];
        let (row, catalog) = v1_vectors().remove(0);
        for (name, value, code) in rows {
            let sample = vector(&row, set(name, value));
            assert_eq!(sample.verify(&catalog), Err(code), "{name}={value}");
        }
        for name in ["Nonce", "SecretId", "Timestamp"] {
            let without = |pairs: &mut Vec<_>| pairs.retain(|(pair, _)| pair != name);
            let sample = vector(&row, without);
            assert_eq!(sample.verify(&catalog), Err("MissingParameter"), "{name}");
        }
    }

    #[test]
    fn a_temporary_key_needs_its_token_in_the_first_version_too() {
        let (row, mut catalog) = v1_vectors().remove(0);
        catalog.keys[0].token = Some("token".into());
        let sample = vector(&row, |_| ());
        assert_eq!(sample.verify(&catalog), Err("AuthFailure.TokenFailure"));
    }

    #[test]
    fn a_scope_names_the_service_or_the_first_label_of_the_host() {
        let host = |host: &str| capture("python-sdk__tc3-post__ex2.json").set("host", host);
        let at = host("cvm.localhost:8080");
        let cases = [
            ("cvm.localhost:8080", "cvm"),
            ("localhost:8080", "localhost"),
            ("127.0.0.1:8080", "127"),
        ];
        for (name, service) in cases {
            let signed = host(name).signed(service);
            assert_eq!(
                signed.verify(&Catalog::embedded()),
                Ok(()),
                "{name} {service}"
            );
        }
        let strange = at.signed("cos");
        assert_eq!(
            strange.verify(&Catalog::embedded()),
            Err("AuthFailure.SignatureFailure")
        );
    }

    #[test]
    fn host_and_content_type_are_signed_as_they_are_or_in_lower_case() {
        let catalog = Catalog::embedded();
        let (host, kind) = ("CVM.LocalHost:8080", "application/json; charset=UTF-8");
        let (lower_host, lower_kind) = (host.to_lowercase(), kind.to_lowercase());
        let rows = [
            (host, kind, true),
            (&lower_host, &lower_kind, true),
            (host, &lower_kind, true),
            (&lower_host, kind, true),
            ("CVM.LocalHost", kind, true),
            ("CVM.LOCALHOST:8080", kind, false),
            (host, "application/json; CHARSET=UTF-8", false),
        ];
        for (signed_host, signed_kind, genuine) in rows {
            let sample = capture("python-sdk__tc3-post__ex2.json")
                .set("host", host)
                .set("content-type", kind)
                .signed_as("cvm", signed_host, signed_kind);
            let verdict = sample.verify(&catalog);
            assert_eq!(verdict.is_ok(), genuine, "{signed_host} {signed_kind}");
        }
    }

    #[test]
    fn a_scope_is_of_the_service_whose_action_it_is() {
        let rows = [
            ("cvm", "127.0.0.1:8080", Service::Cvm, true),
            ("sts", "127.0.0.1:8080", Service::Sts, true),
            ("cvm", "127.0.0.1:8080", Service::Sts, false),
            ("sts", "127.0.0.1:8080", Service::Cvm, false),
            ("localhost", "localhost:8080", Service::Cvm, true),
            ("vpc", "vpc.localhost", Service::Vpc, true),
        ];
        for (named, host, service, fits) in rows {
            let sample = capture("python-sdk__tc3-post__ex2.json");
            let sample = sample.set("host", host).signed(named);
            assert_eq!(sample.verify(&Catalog::embedded()), Ok(()), "{named}");
            let checked = check_scope(&sample.received(), service);
            assert_eq!(checked.is_ok(), fits, "{named} at {host} for {service:?}");
        }
        let (row, _) = v1_vectors().remove(0);
        let first_version = vector(&row, |_| ());
        assert_eq!(check_scope(&first_version.received(), Service::Sts), Ok(()));
    }

    #[test]
    fn a_changed_request_is_refused() {
        let catalog = Catalog::embedded();
        let good = || capture("python-sdk__tc3-post__ex2.json");
        let authorization = good().headers["authorization"].to_str().unwrap().to_owned();
        let with =
            |from: &str, to: &str| good().set("authorization", &authorization.replace(from, to));
        let mut other_body = good();
        other_body.body.push(b' ');
        let later = (good().at + time::Duration::seconds(1))
            .unix_timestamp()
            .to_string();
        let rows = [
            (other_body, "AuthFailure.SignatureFailure"),
            (
                good().set("host", "127.0.0.1:18081"),
                "AuthFailure.SignatureFailure",
            ),
            (
                good().set("content-type", "application/json; charset=utf-8"),
                "AuthFailure.SignatureFailure",
            ),
            (
                good().set("x-tc-timestamp", &later),
                "AuthFailure.SignatureFailure",
            ),
            (good().without("host"), "AuthFailure.SignatureFailure"),
            (
                with("2026-11-23", "2026-11-24"),
                "AuthFailure.SignatureFailure",
            ),
            (with("/cvm/", "/cbs/"), "AuthFailure.SignatureFailure"),
            (
                with("content-type;host", "content-type;host;x-tc-action"),
                "AuthFailure.SignatureFailure",
            ),
            (
                with("content-type;host", "host"),
                "AuthFailure.InvalidAuthorization",
            ),
            (
                with("tc3_request", "tc4_request"),
                "AuthFailure.InvalidAuthorization",
            ),
            (
                with(", Signature=", ", Sig="),
                "AuthFailure.InvalidAuthorization",
            ),
            (
                with("TC3-HMAC-SHA256", "TC3-HMAC-SHA1"),
                "AuthFailure.InvalidAuthorization",
            ),
            (
                with("Only0000001", "Only0000009"),
                "AuthFailure.SecretIdNotFound",
            ),
            (
                with("Only0000001", "Only0000002"),
                "AuthFailure.SignatureFailure",
            ),
            (good().without("authorization"), "MissingParameter"),
            (good().without("x-tc-timestamp"), "MissingParameter"),
            (good().set("x-tc-timestamp", "now"), "InvalidParameter"),
        ];
        for (sample, code) in rows {
            assert_eq!(sample.verify(&catalog), Err(code), "{:?}", sample.headers);
        }
    }

    #[test]
    fn a_signature_lives_five_minutes_either_way() {
        let catalog = Catalog::embedded();
        let sample = capture("python-sdk__tc3-post__ex2.json");
        let rows = [(-301, false), (-300, true), (300, true), (301, false)];
        for (skew, accepted) in rows {
            let now = sample.at + time::Duration::seconds(skew);
            let expected = if accepted {
                Ok(())
            } else {
                Err("AuthFailure.SignatureExpire")
            };
            assert_eq!(sample.verify_at(&catalog, now), expected, "{skew}");
        }
    }

    #[test]
    fn a_catalogue_may_shorten_the_life_of_signatures() {
        let text = crate::simulator::EMBEDDED;
        let text = text.replace("signature_life_s = 300\n", "signature_life_s = 2\n");
        let catalog = Catalog::parse(&text).unwrap();
        let sample = capture("python-sdk__tc3-post__ex2.json");
        for (skew, accepted) in [(-3, false), (-2, true), (2, true), (3, false)] {
            let now = sample.at + time::Duration::seconds(skew);
            assert_eq!(sample.verify_at(&catalog, now).is_ok(), accepted, "{skew}");
        }
    }

    #[test]
    fn a_temporary_key_needs_its_token() {
        let mut catalog = Catalog::embedded();
        catalog.keys[0].token = Some("fake-session-token/with+chars==".into());
        let sample = || capture("python-sdk__tc3-post-token__ex2.json");
        assert_eq!(sample().verify(&catalog), Ok(()));
        let refused = Err("AuthFailure.TokenFailure");
        assert_eq!(
            sample().set("x-tc-token", "other").verify(&catalog),
            refused
        );
        assert_eq!(sample().without("x-tc-token").verify(&catalog), refused);
    }
}
