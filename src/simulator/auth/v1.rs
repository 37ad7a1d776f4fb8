//! Verifies signatures of the first version: HmacSHA1 and HmacSHA256 over the sorted parameters.

use super::{Known, check_age, check_token, timestamp, unproven};
use crate::simulator::catalog::KeyPair;
use crate::simulator::door::Letter;
use crate::simulator::validate::invalid;
use crate::simulator::wire::Refusal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use time::UtcDateTime;

/// Proves that the request was signed at about `now` by a key of the catalogue.
///
/// # Errors
/// The API's `AuthFailure.…`, `MissingParameter` and `InvalidParameter…` refusals.
pub(super) fn verify<'a>(
    known: &'a Known,
    letter: &Letter<'_>,
    now: UtcDateTime,
) -> Result<&'a KeyPair, Refusal> {
    letter.required("SecretId")?;
    let signature = letter.required("Signature")?;
    let nonce = letter.required("Nonce")?;
    if !nonce.parse::<u64>().is_ok_and(|nonce| nonce > 0) {
        return Err(invalid("Nonce", "must be a positive integer"));
    }
    let method = Method::parse(letter.common("SignatureMethod"))?;
    let signed_at = timestamp(letter.required("Timestamp")?)?;
    check_age(signed_at, now, known.life)?;
    let key = known.key.as_ref().map_err(Refusal::clone)?;
    let hosts = letter.received.hosts();
    let genuine = hosts.into_iter().any(|host| {
        let expected = method.sign(key.secret_key.expose_secret(), &text(letter, host));
        expected.as_bytes().ct_eq(signature.as_bytes()).into()
    });
    if !genuine {
        return Err(unproven());
    }
    check_token(key, letter)?;
    Ok(key)
}

/// What is signed: values as they are meant, not as they are encoded on the wire.
fn text(letter: &Letter<'_>, host: &str) -> String {
    let mut pairs: Vec<_> = letter.pairs.iter().collect();
    pairs.retain(|(name, _)| name != "Signature");
    pairs.sort();
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"));
    let pairs = pairs.collect::<Vec<_>>().join("&");
    format!("{}{host}/?{pairs}", letter.received.method)
}

#[derive(Clone, Copy, Debug)]
enum Method {
    HmacSha1,
    HmacSha256,
}

impl Method {
    fn parse(name: Option<&str>) -> Result<Self, Refusal> {
        match name {
            None | Some("HmacSHA1") => Ok(Self::HmacSha1),
            Some("HmacSHA256") => Ok(Self::HmacSha256),
            Some(_) => Err(invalid("SignatureMethod", "must be HmacSHA1 or HmacSHA256")),
        }
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn sign(self, secret: &str, text: &str) -> String {
        let key = secret.as_bytes();
        match self {
            Self::HmacSha1 => {
                let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("any length");
                mac.update(text.as_bytes());
                STANDARD.encode(mac.finalize().into_bytes())
            }
            Self::HmacSha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
                mac.update(text.as_bytes());
                STANDARD.encode(mac.finalize().into_bytes())
            }
        }
    }
}
