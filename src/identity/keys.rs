//! The public keys of an issuer of tokens: a JSON Web Key Set (RFC 7517).

use super::rejection::Rejection;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

/// A set with a hundred keys is some 40 KiB.
pub const BYTES_MAX: u64 = 256 << 10;
/// Issuers have two or three; each may have to be tried.
const KEYS_MAX: usize = 100;
/// What SPIFFE bundles call keys that sign tokens.
const SPIFFE_USE: &str = "jwt-svid";

/// Keys that signatures can be verified with.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a key set. Keys of other kinds and for other uses are left out, as the standard asks.
    ///
    /// # Errors
    /// When it is none, or has no key of use.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Without the parser's words: they quote what was found.
        let set: Set = serde_json::from_str(text)
            .map_err(|_not_one| "is no JSON Web Key Set: {\"keys\": [...]}".to_owned())?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("has more than {KEYS_MAX} keys"));
        }
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err("has no public key that signatures can be verified with".to_owned());
        }
        Ok(Self(keys))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether one of them can sign with one of `algorithms`.
    #[must_use]
    pub fn suit(&self, algorithms: &[Algorithm]) -> bool {
        let suits = |key: &Key| key.algorithms.iter().any(|one| algorithms.contains(one));
        self.0.iter().any(suits)
    }

    /// Whether one of them made `signature` of `message`. Without an id, there must be one only.
    ///
    /// # Errors
    /// [`Rejection::TokenKey`], [`Rejection::TokenSignature`].
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &str,
        signature: &str,
    ) -> Result<(), Rejection> {
        let fit = |key: &&Key| {
            key.algorithms.contains(&algorithm) && (id.is_none() || id == key.id.as_deref())
        };
        let keys: Vec<&Key> = self.0.iter().filter(fit).collect();
        if keys.is_empty() || id.is_none() && keys.len() > 1 {
            return Err(Rejection::TokenKey);
        }
        let made = |key: &&Key| {
            let verified = crypto::verify(signature, message.as_bytes(), &key.key, algorithm);
            verified.unwrap_or(false)
        };
        let one = keys.iter().any(made);
        if one {
            Ok(())
        } else {
            Err(Rejection::TokenSignature)
        }
    }
}

impl Key {
    /// The key, if it is of use.
    fn of(value: Value) -> Option<Self> {
        let jwk = Jwk::deserialize(value).ok()?;
        let signs = match &jwk.common.public_key_use {
            None | Some(PublicKeyUse::Signature) => true,
            Some(PublicKeyUse::Other(other)) => other == SPIFFE_USE,
            Some(PublicKeyUse::Encryption) => false,
        };
        let algorithms = narrowed(algorithms(&jwk.algorithm), jwk.common.key_algorithm)?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        (signs && !algorithms.is_empty()).then_some(Self {
            id: jwk.common.key_id,
            algorithms,
            key,
        })
    }
}

/// What a key of this kind can sign with. Secrets that both sides know are no public keys.
fn algorithms(parameters: &AlgorithmParameters) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[EdDSA],
        AlgorithmParameters::EllipticCurve(_)
        | AlgorithmParameters::OctetKeyPair(_)
        | AlgorithmParameters::OctetKey(_)
        | AlgorithmParameters::Other(_)
        | _ => &[],
    }
}

/// Only the one that the key says it is for; nothing when that is none of `all`.
fn narrowed(all: &'static [Algorithm], only: Option<KeyAlgorithm>) -> Option<&'static [Algorithm]> {
    let Some(only) = only else {
        return Some(all);
    };
    let only = Algorithm::try_from(only).ok()?;
    let at = all.iter().position(|algorithm| *algorithm == only)?;
    all.get(at..=at)
}

#[cfg(test)]
mod tests;
