//! Callers with tokens, over real sockets.

use super::pki::{Authority, uri};
use super::{CALLERS, Counts, WEB, channel, counts, list, put, rejections, write};
use crate::canary::CLAIM;
use crate::refusals::told;
use crate::tap::Tap;
use crate::world::{Client, World, read, wish};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::KeyPair;
use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// Tokens of one issuer, whose keys are in a file.
pub(crate) const ISSUER: &str = r#"
[identity.issuers.cluster]
issuer = "https://cluster.example"
audiences = ["cvm-gateway"]
algorithms = ["ES256"]
jwks_file = "jwks.json"

[identity.callers.web-accounts]
organization = "development"
issuer = "cluster"
subject_prefix = "system:serviceaccount:web:"

[identity.callers.other-accounts]
organization = "other"
issuer = "cluster"
subject_prefix = "system:serviceaccount:other:"
"#;

/// Signs tokens.
pub(crate) struct Signer(KeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    /// What is published of it.
    pub(crate) fn jwks(&self) -> String {
        let raw = self.0.public_key_raw();
        let [x, y] = [&raw[1..33], &raw[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": x, "y": y}]}).to_string()
    }

    /// A token for `subject` that is good for `seconds`.
    pub(crate) fn token(&self, subject: &str, seconds: i64) -> String {
        let claims = json!({
            "iss": "https://cluster.example",
            "aud": ["cvm-gateway"],
            "sub": subject,
            "exp": Clock::system().now().unix_timestamp() + seconds,
            "canary": CLAIM,
        });
        let head = json!({"alg": "ES256", "kid": "1", "typ": "JWT"});
        let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{head}.{claims}");
        let key = EncodingKey::from_ec_der(&self.0.serialize_der());
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

fn with<T>(message: T, tokens: &[&str]) -> Request<T> {
    let mut request = Request::new(message);
    for token in tokens {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().append("authorization", value);
    }
    request
}

const API: &str = "system:serviceaccount:web:api";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_names_the_caller_and_is_never_repeated() {
    let world = World::new(100.0).await;
    let signer = Signer::new();
    put(&world.folder, "jwks.json", &signer.jwks());
    put(&world.folder, "denied.txt", "");
    let (callers, _) = CALLERS.split_once("[grpc.tls]").unwrap();
    let extra = format!("{}{ISSUER}", callers.replace("mtls", "jwt"));
    let gateway = world.gateway(&extra).await;
    let mut client = crate::world::client(&gateway).await;
    let token = signer.token(API, 600);
    let launched = client.run_instances(with(wish("w", 1), &[&token])).await;
    let seen = read(launched.unwrap().into_inner()).await;
    seen.end.as_ref().unwrap();
    let name = seen.last().name.clone();

    let strange = Signer::new().token(API, 600);
    let old = signer.token(API, -3600);
    let nobody = signer.token("system:serviceaccount:nobody:api", 600);
    let rows: [(&[&str], &str); 6] = [
        (&[], "no_token"),
        (&[&strange], "token_signature"),
        (&[&old], "token_expired"),
        (&[&nobody], "no_organization"),
        (&["canary"], "token_malformed"),
        (&[&token, &token], "token_malformed"),
    ];
    for (tokens, reason) in rows {
        let before: Counts = counts(&gateway).await;
        let get = pb::GetOperationRequest { name: name.clone() };
        let told = told(&client.get_operation(with(get, tokens)).await.unwrap_err());
        assert_eq!(told.code, Code::Unauthenticated, "{reason}");
        assert_eq!(rejections(&gateway, &before).await, [reason]);
    }
    // The stream ended long ago; what the log says of all this has the caller's name and no token.
    let log = crate::log::text();
    assert!(log.contains("principal=\"cluster:system:serviceaccount:web:api\""));
    for part in token.split('.').chain(strange.split('.')) {
        assert!(!log.contains(part), "{part} is logged");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_and_token_go_together_where_both_are_required() {
    let world = World::new(100.0).await;
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    let signer = Signer::new();
    write(&world.folder, &servers.server(), &callers.pem());
    put(&world.folder, "jwks.json", &signer.jwks());
    put(&world.folder, "denied.txt", "");
    let extra = CALLERS.replace("[\"mtls\"]", "[\"mtls\", \"jwt\"]");
    let gateway = world.gateway(&format!("{extra}{ISSUER}")).await;
    let certificate = callers.client(vec![uri(WEB)]);
    let with_certificate: Channel = channel(&gateway, &servers, Some(&certificate)).await;
    let without: Channel = channel(&gateway, &servers, None).await;
    let token = signer.token(API, 600);
    let other = signer.token("system:serviceaccount:other:api", 600);
    let rows: [(&Channel, &[&str], &str); 5] = [
        (&with_certificate, &[&token], ""),
        (&with_certificate, &[], "no_token"),
        (&without, &[&token], "no_certificate"),
        (&without, &[], "no_certificate"),
        (&with_certificate, &[&other], "two_organizations"),
    ];
    for (channel, tokens, reason) in rows {
        let before = counts(&gateway).await;
        let mut client = Client::new(Tap(channel.clone()));
        let answer = client.list_operations(with(list(), tokens)).await;
        let code = answer.err().map(|status| status.code());
        let expected = (!reason.is_empty()).then_some(Code::Unauthenticated);
        assert_eq!(code, expected, "{reason}");
        assert_eq!(rejections(&gateway, &before).await.concat(), reason);
    }
    gateway.stop().await;
}
