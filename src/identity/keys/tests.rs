//! Key sets, and what their keys verify.

use super::*;
use crate::identity::tests::{Signer, set};
use Algorithm::{ES256, ES384, PS256, RS256, RS512};
use serde_json::json;

/// The key with another member.
fn with(key: &Value, member: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[member] = value;
    key
}

#[test]
fn key_sets_are_read_or_refused() {
    let key = Signer::p256("a").jwk;
    let usable = |key: &Value| Keys::parse(&set(&[key])).map(|keys| keys.count());
    let none = "has no public key that signatures can be verified with";
    let no_set = "is no JSON Web Key Set: {\"keys\": [...]}";
    let rows = [
        (key.clone(), Ok(1)),
        (with(&key, "use", json!("sig")), Ok(1)),
        (with(&key, "use", json!("jwt-svid")), Ok(1)),
        (with(&key, "use", json!("enc")), Err(none)),
        (with(&key, "use", json!("x509-svid")), Err(none)),
        (with(&key, "alg", json!("ES256")), Ok(1)),
        (with(&key, "alg", json!("ES384")), Err(none)),
        (with(&key, "alg", json!("RS256")), Err(none)),
        (with(&key, "alg", json!("HS256")), Err(none)),
        (with(&key, "alg", json!("none")), Err(none)),
        (with(&key, "crv", json!("P-521")), Err(none)),
        (with(&key, "crv", json!("secp256k1")), Err(none)),
        (with(&key, "kty", json!("oct")), Err(none)),
        (with(&key, "kty", json!("of tomorrow")), Err(none)),
        (with(&key, "x", json!("?")), Err(none)),
        (with(&key, "x", json!(7)), Err(none)),
        (
            json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
            Err(none),
        ),
        (json!("a"), Err(none)),
        (json!({}), Err(none)),
        (Value::Null, Err(none)),
    ];
    for (key, expected) in rows {
        let expected = expected.map_err(str::to_owned);
        assert_eq!(usable(&key), expected, "{key}");
    }
    for text in [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "{\"keys\": {}}",
        "{\"keys\": 7}",
        "<html>",
    ] {
        let told = Keys::parse(text).map(|keys| keys.count());
        assert_eq!(told, Err(no_set.to_owned()), "{text}");
    }
    let told = Keys::parse("{\"keys\": []}").map(|keys| keys.count());
    assert_eq!(told, Err(none.to_owned()));
    let strange = json!({"kty": "of tomorrow"});
    assert_eq!(Keys::parse(&set(&[&strange, &key])).unwrap().count(), 1);
    let many = vec![&key; 101];
    assert!(Keys::parse(&set(&many)).is_err());
}

#[test]
fn a_key_is_found_by_its_id_and_fits_its_algorithm() {
    let [a, b] = ["a", "b"].map(Signer::p256);
    let (rsa, twin) = (Signer::rsa("rsa"), Signer::p256("a"));
    let keys = Keys::parse(&set(&[&a.jwk, &b.jwk, &rsa.jwk, &twin.jwk])).unwrap();
    let lonely = Keys::parse(&set(&[&a.jwk, &rsa.jwk])).unwrap();
    let verify = |keys: &Keys, signer: &Signer, id, algorithm: Algorithm, as_of| {
        let token = signer.sign(algorithm, "h", "p");
        let (message, signature) = token.rsplit_once('.').unwrap();
        keys.verify(id, as_of, message, signature)
    };
    let rows = [
        (&keys, &a, Some("a"), ES256, ES256, Ok(())),
        (&keys, &twin, Some("a"), ES256, ES256, Ok(())),
        (&keys, &b, Some("b"), ES256, ES256, Ok(())),
        (
            &keys,
            &b,
            Some("a"),
            ES256,
            ES256,
            Err(Rejection::TokenSignature),
        ),
        (&keys, &a, Some("c"), ES256, ES256, Err(Rejection::TokenKey)),
        (&keys, &a, Some(""), ES256, ES256, Err(Rejection::TokenKey)),
        (&keys, &a, None, ES256, ES256, Err(Rejection::TokenKey)),
        (&keys, &a, Some("a"), ES256, ES384, Err(Rejection::TokenKey)),
        (
            &keys,
            &a,
            Some("rsa"),
            ES256,
            ES256,
            Err(Rejection::TokenKey),
        ),
        (&keys, &rsa, Some("rsa"), RS256, RS256, Ok(())),
        (&keys, &rsa, Some("rsa"), RS512, RS512, Ok(())),
        (&keys, &rsa, Some("rsa"), PS256, PS256, Ok(())),
        (
            &keys,
            &rsa,
            Some("rsa"),
            RS256,
            RS512,
            Err(Rejection::TokenSignature),
        ),
        (
            &keys,
            &rsa,
            Some("rsa"),
            RS256,
            PS256,
            Err(Rejection::TokenSignature),
        ),
        (&keys, &rsa, None, RS256, RS256, Ok(())),
        (&lonely, &a, None, ES256, ES256, Ok(())),
        (
            &lonely,
            &b,
            None,
            ES256,
            ES256,
            Err(Rejection::TokenSignature),
        ),
    ];
    for (at, (keys, signer, id, algorithm, as_of, expected)) in rows.into_iter().enumerate() {
        assert_eq!(
            verify(keys, signer, id, algorithm, as_of),
            expected,
            "row {at}"
        );
    }
}
