//! A request as it came in, taken apart as far as that needs no proof: how it is signed, its common
//! parameters, and the action's own.

use super::wire::{self, Refusal};
use super::{auth, validate};
use http::{HeaderMap, Method, header};
use serde_json::Value;

/// Parameters of every call that V1 sends beside those of the action.
const COMMON: [&str; 11] = [
    "Action",
    "Version",
    "Region",
    "Timestamp",
    "Nonce",
    "SecretId",
    "Signature",
    "SignatureMethod",
    "Token",
    "Language",
    "RequestClient",
];
const FORM: &str = "application/x-www-form-urlencoded";
/// Queries that the cloud takes, in bytes (contract §1).
const QUERY_MAX: usize = 32 * 1024;
/// Bodies of V1; those of TC3 may be ten times as large.
const FORM_MAX: usize = 1024 * 1024;

/// What came over the wire.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) method: &'a Method,
    /// The raw query, empty when there is none.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// With an Authorization header; the common parameters are headers, too.
    Tc3,
    /// With a parameter `Signature` among the others.
    V1,
}

/// A request, read once.
#[derive(Debug)]
pub(super) struct Letter<'a> {
    pub(super) received: Received<'a>,
    pub(super) scheme: Scheme,
    /// The names and values of a query or of a form, decoded.
    pub(super) pairs: Vec<(String, String)>,
    is_form: bool,
}

impl Received<'_> {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The host as sent, and as a client may have signed it: without the scheme that tccli writes
    /// before it, and without the port that an HTTP library appends.
    pub(super) fn hosts(&self) -> Vec<&str> {
        let Some(sent) = self.header("host") else {
            return Vec::new();
        };
        let bare = sent.split_once("://").map_or(sent, |(_, bare)| bare);
        let name = bare.rsplit_once(':').map_or(bare, |(name, _)| name);
        let mut hosts = vec![sent, bare, name];
        hosts.dedup();
        hosts
    }

    /// The first label of the host: the service, when it is a host of the cloud.
    pub(super) fn host_label(&self) -> Option<&str> {
        let bare = self.hosts().pop()?;
        bare.split('.').next()
    }
}

impl<'a> Letter<'a> {
    pub(super) fn open(received: Received<'a>) -> Self {
        let by_query = *received.method == Method::GET;
        let kind = received.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_form = by_query || kind.eq_ignore_ascii_case(FORM);
        let text = if by_query {
            received.query.as_bytes()
        } else {
            received.body
        };
        let pairs = is_form.then(|| form_urlencoded::parse(text).into_owned().collect());
        let pairs: Vec<(String, String)> = pairs.unwrap_or_default();
        let signed = pairs.iter().any(|(name, _)| name == "Signature");
        let scheme = if signed && !received.headers.contains_key(header::AUTHORIZATION) {
            Scheme::V1
        } else {
            Scheme::Tc3
        };
        Self {
            received,
            scheme,
            pairs,
            is_form,
        }
    }

    /// Whether the cloud takes so much.
    pub(super) fn fits(&self) -> bool {
        let short = self.received.query.len() <= QUERY_MAX;
        short && (self.scheme == Scheme::Tc3 || self.received.body.len() <= FORM_MAX)
    }

    /// A common parameter, named as V1 names it.
    pub(super) fn common(&self, name: &str) -> Option<&str> {
        match self.scheme {
            Scheme::Tc3 => self.received.header(&format!("x-tc-{name}")),
            Scheme::V1 => {
                let mut pairs = self.pairs.iter();
                let (_, value) = pairs.find(|(pair, _)| pair == name)?;
                Some(value)
            }
        }
    }

    /// # Errors
    /// `MissingParameter`.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.common(name).ok_or_else(|| validate::missing(name))
    }

    /// The key id that the request claims, proven or not.
    pub(super) fn claimed_key_id(&self) -> Option<String> {
        match self.scheme {
            Scheme::Tc3 => auth::claimed_key_id(self.received.headers),
            Scheme::V1 => self.common("SecretId").map(str::to_owned),
        }
    }

    /// What the action is asked to do.
    ///
    /// # Errors
    /// `InvalidParameter` when it cannot be read at all.
    pub(super) fn parameters(&self) -> Result<Value, Refusal> {
        if !self.is_form {
            return wire::json(self.received.body);
        }
        let common = |name: &str| self.scheme == Scheme::V1 && COMMON.contains(&name);
        let own = self.pairs.iter().filter(|(name, _)| !common(name));
        wire::flattened(own.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// Whether a signed form of so many bytes fits.
    fn fits(method: &Method, form: &str) -> bool {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        let headers = HeaderMap::from_iter([kind]);
        let by_query = *method == Method::GET;
        let letter = Letter::open(Received {
            method,
            query: if by_query { form } else { "" },
            headers: &headers,
            body: if by_query { &[] } else { form.as_bytes() },
        });
        assert_eq!(letter.scheme, Scheme::V1);
        letter.fits()
    }

    #[test]
    fn forms_and_queries_are_as_long_as_the_contract_says() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/testdata/contract/cvm-contract.json"
        );
        let contract = std::fs::read_to_string(path).unwrap();
        let contract: Value = serde_json::from_str(&contract).unwrap();
        let limits = &contract["service"]["protocol"]["size_limits_bytes"];
        let rows = [
            (Method::POST, "POST V1 HmacSHA1/HmacSHA256"),
            (Method::GET, "GET"),
        ];
        for (method, name) in rows {
            let most = usize::try_from(limits[name].as_u64().unwrap()).unwrap();
            let form = |length: usize| "Signature=".to_owned() + &"n".repeat(length - 10);
            assert!(fits(&method, &form(most)), "{name}");
            assert!(!fits(&method, &form(most + 1)), "{name}");
        }
    }
}
