//! What the tests of identities share, and what needs more than one of them. Clocks stand still.

use super::*;
use crate::domain::ids::OrganizationId;
use crate::metrics::Metrics;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callers::Pattern;
use futures_util::FutureExt;
use http::{HeaderValue, header};
use jsonwebtoken::{EncodingKey, crypto};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

pub(in crate::identity) const NOW: UtcDateTime = utc_datetime!(2026-11-28 12:00);

/// Files in memory.
#[derive(Clone, Default)]
pub(in crate::identity) struct Files(Arc<Mutex<HashMap<String, String>>>);

impl Files {
    pub(in crate::identity) fn put(&self, name: &str, text: &str) {
        let mut files = self.0.lock().unwrap();
        files.insert(name.to_owned(), text.to_owned());
    }

    fn reader(&self) -> Reader {
        let files = Arc::clone(&self.0);
        Reader::new(move |name, bytes_max| {
            let files = files.lock().unwrap();
            let text = files.get(name).ok_or(format!("cannot read {name}"))?;
            if u64::try_from(text.len()).unwrap() > bytes_max {
                return Err(format!("{name} is too large"));
            }
            Ok(text.clone().into())
        })
    }
}

/// Whose the callers of the corpus are.
fn rules() -> Callers {
    let mut callers = Callers::default();
    let rows = [
        (Pattern::spiffe_below("spiffe://example.org/ns/web/"), "web"),
        (
            Pattern::spiffe("spiffe://example.org/ns/other/sa/api"),
            "other",
        ),
        (Pattern::dns("api.web.example"), "web"),
        (Pattern::dns_below(".hosts.example"), "other"),
        (
            Pattern::subject_below("cluster", "system:serviceaccount:web:"),
            "web",
        ),
        (
            Pattern::subject("cluster", "system:serviceaccount:other:api"),
            "other",
        ),
        (Pattern::subject("people", "alice@example.org"), "web"),
    ];
    for (pattern, organization) in rows {
        let organization = OrganizationId::parse(organization).unwrap();
        assert!(callers.add(pattern.unwrap(), organization));
    }
    callers
}

pub(in crate::identity) fn settings(files: &Files, required: Required) -> Settings {
    Settings {
        required,
        tls: None,
        denied_file: Some("denied".to_owned()),
        reload_interval: Duration::from_secs(10),
        issuers: Vec::new(),
        callers: rules(),
        reader: files.reader(),
    }
}

pub(in crate::identity) fn open(settings: Settings, clock: Clock) -> Gate {
    let metrics = Metrics::new("test").unwrap().identity;
    Gate::open(settings, clock, metrics).unwrap()
}

/// The headers of a call that carries these credentials.
pub(in crate::identity) fn carrying(values: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(header::AUTHORIZATION, value);
    }
    headers
}

pub(in crate::identity) fn peer(chain: &[Vec<u8>]) -> Peer {
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone()));
    Peer::new(chain.collect())
}

/// The name of who is let in, or why nobody is.
pub(in crate::identity) async fn judge(
    gate: &Gate,
    peer: Option<&Peer>,
    headers: &HeaderMap,
) -> String {
    match gate.principal(peer, headers).await {
        Ok((principal, _)) => format!("{} of {}", principal.name, principal.organization),
        Err(rejection) => rejection.as_str().to_owned(),
    }
}

/// A key pair under a name.
pub(in crate::identity) struct Signer {
    pub(in crate::identity) id: String,
    key: EncodingKey,
    /// What is published of it.
    pub(in crate::identity) jwk: Value,
    /// In PEM, as people publish it, too.
    pub(in crate::identity) public_pem: String,
}

pub(in crate::identity) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// In a PKCS #8 key of RSA, what precedes the PKCS #1 key within it.
const RSA_HEAD: usize = 26;

impl Signer {
    pub(in crate::identity) fn p256(id: &str) -> Self {
        Self::curve(
            id,
            "P-256",
            &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        )
    }

    pub(in crate::identity) fn p384(id: &str) -> Self {
        Self::curve(
            id,
            "P-384",
            &KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        )
    }

    fn curve(id: &str, curve: &str, pair: &KeyPair) -> Self {
        let (x, y) = pair.public_key_raw()[1..].split_at((pair.public_key_raw().len() - 1) / 2);
        let jwk = json!({"kty": "EC", "kid": id, "crv": curve, "x": base64(x), "y": base64(y)});
        Self::of(
            id,
            EncodingKey::from_ec_der(&pair.serialize_der()),
            jwk,
            pair,
        )
    }

    pub(in crate::identity) fn ed25519(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let x = base64(pair.public_key_raw());
        let jwk = json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": x});
        Self::of(
            id,
            EncodingKey::from_ed_der(&pair.serialize_der()),
            jwk,
            &pair,
        )
    }

    pub(in crate::identity) fn rsa(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pair.public_key_pem().as_bytes());
        let info = info.unwrap();
        let (_, info) = SubjectPublicKeyInfo::from_der(&info).unwrap();
        let Ok(PublicKey::RSA(public)) = info.parsed() else {
            panic!("it is of RSA");
        };
        let number = |bytes: &[u8]| {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            base64(&bytes[zeros..])
        };
        let (n, e) = (number(public.modulus), number(public.exponent));
        let jwk = json!({"kty": "RSA", "kid": id, "n": n, "e": e});
        let key = EncodingKey::from_rsa_der(&pair.serialize_der()[RSA_HEAD..]);
        Self::of(id, key, jwk, &pair)
    }

    fn of(id: &str, key: EncodingKey, jwk: Value, pair: &KeyPair) -> Self {
        Self {
            id: id.to_owned(),
            key,
            jwk,
            public_pem: pair.public_key_pem(),
        }
    }

    /// The token of a header and a payload, whatever these are.
    pub(in crate::identity) fn sign(
        &self,
        algorithm: Algorithm,
        header: &str,
        payload: &str,
    ) -> String {
        let message = format!(
            "{}.{}",
            base64(header.as_bytes()),
            base64(payload.as_bytes())
        );
        let signature = crypto::sign(message.as_bytes(), &self.key, algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// The text of a key set.
pub(in crate::identity) fn set(keys: &[&Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// An issuer whose keys are behind an URL.
fn issuer_at(address: SocketAddr) -> IssuerSettings {
    IssuerSettings {
        rules: TokenRules {
            name: "cluster".to_owned(),
            issuer: "https://cluster.example".to_owned(),
            audiences: vec!["cvm-gateway".to_owned()],
            algorithms: vec![Algorithm::ES256],
            subject_claim: "sub".to_owned(),
            trust_domain: None,
            leeway: Duration::from_secs(30),
        },
        source: KeySource::Url(Box::new(KeyUrl {
            url: KeyUrl::parse(&format!("http://{address}/jwks")).unwrap(),
            ca_file: None,
            token_file: Some("own-token".to_owned()),
            refresh_interval: Duration::from_secs(300),
            keep: Duration::from_secs(3600),
        })),
    }
}

/// A token of that issuer, of an account of `namespace`, good for hours.
fn token_of(signer: &Signer, namespace: &str) -> HeaderMap {
    let claims = json!({
        "iss": "https://cluster.example",
        "aud": "cvm-gateway",
        "sub": format!("system:serviceaccount:{namespace}:api"),
        "exp": NOW.unix_timestamp() + 86_400,
    });
    let header = json!({"alg": "ES256", "kid": signer.id}).to_string();
    let token = signer.sign(Algorithm::ES256, &header, &claims.to_string());
    carrying(&[format!("Bearer {token}")])
}

const IN: &str = "cluster:system:serviceaccount:web:api of web";

/// What a server of keys answers now, and what it was asked.
#[derive(Clone, Default)]
struct KeyServer(Arc<Mutex<(String, Vec<String>)>>);

impl KeyServer {
    /// Answers this to all requests to come. Nothing: it cuts the connection.
    fn answers(&self, head: &str, body: &str) {
        let answer = match head {
            "" => String::new(),
            head => format!(
                "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            ),
        };
        self.0.lock().unwrap().0 = answer;
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let answer = {
                let mut state = self.0.lock().unwrap();
                state.1.push(request);
                state.0.clone()
            };
            // Who asks may be gone.
            drop(stream.write_all(answer.as_bytes()).await);
        }
    }
}

/// Judges calls while the server serves, and the gate fetches its keys.
async fn with_server<T>(
    server: &KeyServer,
    listener: TcpListener,
    gate: &Gate,
    test: impl Future<Output = T>,
) -> T {
    let errands = gate.errands();
    assert_eq!(errands.len(), 2);
    let fetching = errands.into_iter().nth(1).unwrap();
    tokio::select! {
        () = server.clone().serve(listener) => panic!("the server ended"),
        () = fetching => panic!("the errand ended"),
        done = test => done,
    }
}

/// A gate that takes tokens of an issuer whose keys are behind `listener`.
fn gate_at(listener: &TcpListener, clock: &Clock) -> Gate {
    let files = Files::default();
    files.put("denied", "");
    files.put("own-token", "canary\n");
    let settings = Settings {
        issuers: vec![issuer_at(listener.local_addr().unwrap())],
        ..settings(&files, Required::Token)
    };
    open(settings, clock.clone())
}

#[tokio::test]
async fn keys_are_fetched_kept_while_they_cannot_be_had_and_given_up_at_last() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, clock) = (KeyServer::default(), Clock::manual(NOW));
    let gate = gate_at(&listener, &clock);
    let [old, new] = ["old", "new"].map(Signer::p256);
    let (by_old, by_new) = (token_of(&old, "web"), token_of(&new, "web"));
    let test = async {
        let judge = async |call: &HeaderMap| judge(&gate, None, call).await;
        let wait = |seconds| clock.advance(Duration::from_secs(seconds));
        // It is down from the start; asked again at most every ten seconds.
        server.answers("503 Service Unavailable", "");
        assert_eq!(judge(&by_old).await, "keys_unavailable");
        server.answers("200 OK", &set(&[&old.jwk]));
        assert_eq!(judge(&by_old).await, "keys_unavailable");
        assert_eq!(server.asked(), 1);
        wait(10);
        assert_eq!(judge(&by_old).await, IN);
        // An unknown key is asked for, and again only after ten seconds.
        wait(10);
        assert_eq!(judge(&by_new).await, "token_key");
        server.answers("200 OK", &set(&[&old.jwk, &new.jwk]));
        assert_eq!(judge(&by_new).await, "token_key");
        assert_eq!(server.asked(), 3);
        wait(10);
        assert_eq!(judge(&by_new).await, IN);
        assert_eq!(judge(&by_old).await, IN);
        // What it answers while it is broken takes nothing away, up to the bound.
        let large = set(&[&old.jwk]) + &" ".repeat(300 << 10);
        let broken = [
            ("", ""),
            ("200 OK", "<html>"),
            ("200 OK", "{\"keys\":[]}"),
            ("302 Found", "x"),
            ("200 OK", &large),
        ];
        let stranger = token_of(&Signer::p256("stranger"), "web");
        for (head, body) in broken {
            wait(10);
            server.answers(head, body);
            let before = server.asked();
            assert_eq!(judge(&stranger).await, "token_key", "{head}");
            assert!(server.asked() > before, "{head}");
            assert_eq!(judge(&by_new).await, IN, "{head}");
        }
        wait(3600 - 50);
        assert_eq!(judge(&by_new).await, IN);
        wait(1);
        assert_eq!(judge(&by_new).await, "keys_unavailable");
        server.answers("200 OK", &set(&[&new.jwk]));
        wait(10);
        assert_eq!(judge(&by_new).await, IN);
        wait(10);
        assert_eq!(
            judge(&by_old).await,
            "token_key",
            "a key that was taken back"
        );
    };
    with_server(&server, listener, &gate, test).await;
    let asked = &server.0.lock().unwrap().1;
    let own = asked
        .iter()
        .all(|request| request.contains("authorization: Bearer canary\r\n"));
    assert!(
        own && asked[0].starts_with("GET /jwks HTTP/1.1"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn keys_are_fetched_in_the_background() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, clock) = (KeyServer::default(), Clock::manual(NOW));
    let gate = gate_at(&listener, &clock);
    let [old, new] = ["old", "new"].map(Signer::p256);
    let asked = async |count: usize| {
        // Time goes on only when the errand sleeps, or its fetch would take too long.
        while server.asked() < count {
            for _ in 0..100 {
                Clock::system().sleep(Duration::from_millis(2)).await;
                if server.asked() == count {
                    return;
                }
            }
            clock.advance(Duration::from_secs(300));
        }
    };
    let judge = async |signer: &Signer| judge(&gate, None, &token_of(signer, "web")).await;
    let test = async {
        server.answers("200 OK", &set(&[&old.jwk]));
        asked(1).await;
        assert_eq!(judge(&old).await, IN);
        server.answers("200 OK", &set(&[&new.jwk]));
        asked(2).await;
        assert_eq!(judge(&new).await, IN);
        assert_eq!(judge(&old).await, "token_key");
        assert_eq!(server.asked(), 2, "no call had to ask");
    };
    with_server(&server, listener, &gate, test).await;
}

/// Waits, by the system's clock, until the server was asked so often. Its answer may still be on its way.
async fn asked(server: &KeyServer, count: usize) {
    for _ in 0..1000 {
        if server.asked() >= count {
            return;
        }
        Clock::system().sleep(Duration::from_millis(2)).await;
    }
    panic!("asked {} times, not {count}", server.asked());
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_no_fetch_along() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, clock) = (KeyServer::default(), Clock::manual(NOW));
    let gate = gate_at(&listener, &clock);
    let [old, new] = ["old", "new"].map(Signer::p256);
    let (by_old, by_new) = (token_of(&old, "web"), token_of(&new, "web"));
    let test = async {
        server.answers("200 OK", &set(&[&old.jwk]));
        assert_eq!(judge(&gate, None, &by_old).await, IN);
        server.answers("200 OK", &set(&[&new.jwk]));
        clock.advance(Duration::from_secs(10));
        // Its deadline is the first thing that comes.
        assert_eq!(judge(&gate, None, &by_new).now_or_never(), None);
        asked(&server, 2).await;
        assert_eq!(judge(&gate, None, &by_new).await, IN);
        assert_eq!(server.asked(), 2);
    };
    with_server(&server, listener, &gate, test).await;
}

#[tokio::test]
async fn callers_who_go_away_do_not_put_the_refresh_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, clock) = (KeyServer::default(), Clock::manual(NOW));
    let gate = gate_at(&listener, &clock);
    let (old, stranger) = (Signer::p256("old"), Signer::p256("stranger"));
    let (by_old, by_stranger) = (token_of(&old, "web"), token_of(&stranger, "web"));
    let test = async {
        server.answers("200 OK", &set(&[&old.jwk]));
        assert_eq!(judge(&gate, None, &by_old).await, IN);
        // Longer than keys count, and never a call that waits for what it asks.
        for round in 0..40 {
            clock.advance(Duration::from_secs(100));
            for _ in 0..5 {
                assert_eq!(judge(&gate, None, &by_stranger).now_or_never(), None);
            }
            asked(&server, round + 2).await;
            // The answer arrives.
            assert_eq!(judge(&gate, None, &by_stranger).await, "token_key");
            assert_eq!(server.asked(), round + 2, "one fetch for all of them");
        }
        assert_eq!(judge(&gate, None, &by_old).await, IN);
    };
    with_server(&server, listener, &gate, test).await;
}

#[tokio::test]
async fn both_are_needed_where_both_are_required_and_must_be_of_one_organisation() {
    let (files, signer) = (Files::default(), Signer::p256("key"));
    let (tls, root) = authority(&files);
    files.put("cluster.json", &set(&[&signer.jwk]));
    let mut issuer = issuer_at(SocketAddr::from(([127, 0, 0, 1], 1)));
    issuer.source = KeySource::File("cluster.json".to_owned());
    let settings = Settings {
        tls: Some(tls),
        issuers: vec![issuer],
        ..settings(&files, Required::Both)
    };
    let gate = open(settings, Clock::manual(NOW));
    let host = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = (NOW + time::Duration::DAY).into();
        let key = KeyPair::generate().unwrap();
        peer(&[params.signed_by(&key, &root).unwrap().der().to_vec()])
    };
    let (web, other) = (host("api.web.example"), host("a.hosts.example"));
    let nobody = host("nobody.example");
    let call = |namespace: &str| token_of(&signer, namespace);
    let rows = [
        (Some(&web), call("web"), IN),
        (None, call("web"), "no_certificate"),
        (Some(&web), HeaderMap::new(), "no_token"),
        (None, HeaderMap::new(), "no_certificate"),
        (Some(&other), call("web"), "two_organizations"),
        (Some(&web), call("other"), "two_organizations"),
        (
            Some(&other),
            call("other"),
            "cluster:system:serviceaccount:other:api of other",
        ),
        (Some(&nobody), call("web"), "no_organization"),
        (Some(&web), call("nobody"), "no_organization"),
        (
            Some(&web),
            token_of(&Signer::p256("key"), "web"),
            "token_signature",
        ),
    ];
    for (at, (peer, headers, says)) in rows.into_iter().enumerate() {
        assert_eq!(judge(&gate, peer, &headers).await, says, "row {at}");
    }
}

/// The gateway's TLS, and who vouches for callers.
fn authority(files: &Files) -> (TlsFiles, CertifiedIssuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    files.put("denied", "");
    files.put("own.pem", &root.pem());
    files.put("own.key", &root.key().serialize_pem());
    let tls = TlsFiles {
        certificate: "own.pem".to_owned(),
        key: "own.key".to_owned(),
        client_authorities: Some("own.pem".to_owned()),
    };
    (tls, root)
}

#[test]
fn key_urls_are_encrypted_or_of_this_machine() {
    let rows = [
        ("https://issuer.example/jwks", true),
        ("https://10.0.0.1:6443/openid/v1/jwks", true),
        ("http://127.0.0.1:8080/jwks", true),
        ("http://127.9.9.9/jwks", true),
        ("http://[::1]:8080/jwks", true),
        ("http://localhost/jwks", true),
        ("http://issuer.example/jwks", false),
        ("http://localhost.example/jwks", false),
        ("http://127.0.0.1.example/jwks", false),
        ("http://10.0.0.1/jwks", false),
        ("http://169.254.169.254/jwks", false),
        ("https://user:canary@issuer.example/jwks", false),
        ("http://user@127.0.0.1/jwks", false),
        ("file:///etc/passwd", false),
        ("ftp://issuer.example/jwks", false),
        ("issuer.example/jwks", false),
        ("", false),
    ];
    for (text, sound) in rows {
        assert_eq!(KeyUrl::parse(text).is_ok(), sound, "{text}");
    }
}
