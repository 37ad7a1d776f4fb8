//! The corpus of tokens: each with what must come of it.
#![expect(clippy::too_many_lines, reason = "tables")]

use super::*;
use crate::clock::Clock;
use crate::identity::tests::{Files, NOW, Signer, base64, carrying, judge, open, set, settings};
use crate::identity::{Gate, IssuerSettings, KeySource, Required, Settings};
use jsonwebtoken::Algorithm::{
    self, ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::sync::LazyLock;

/// What Kubernetes' tokens have as their issuer.
const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
const PEOPLE: &str = "https://login.example.org/";
const SPIRE: &str = "https://spire.example.org";
const SUBJECT: &str = "system:serviceaccount:web:api";
const IN: &str = "cluster:system:serviceaccount:web:api of web";
const LEEWAY: i64 = 30;

/// A case: its name, the values of the header, and what comes of it.
type Row = (String, Vec<String>, String);

static SIGNERS: LazyLock<Signers> = LazyLock::new(|| Signers {
    ec: Signer::p256("ec"),
    big: Signer::p384("big"),
    ed: Signer::ed25519("ed"),
    rsa: Signer::rsa("rsa"),
    stranger: Signer::p256("ec"),
});

struct Signers {
    ec: Signer,
    big: Signer,
    ed: Signer,
    rsa: Signer,
    /// Nobody published it, though it has the id of one that is.
    stranger: Signer,
}

fn now() -> i64 {
    NOW.unix_timestamp()
}

/// The claims of a projected token of Kubernetes.
fn claims() -> Value {
    json!({
        "aud": ["cvm-gateway"],
        "exp": now() + 3600,
        "iat": now(),
        "nbf": now(),
        "iss": CLUSTER,
        "jti": "f2b1ba29-0a54-4b5d-a2fd-6d3c6a0f9a0e",
        "kubernetes.io": {
            "namespace": "web",
            "pod": {"name": "api-5d7c", "uid": "0b1f"},
            "serviceaccount": {"name": "api", "uid": "4a1e"},
        },
        "sub": SUBJECT,
    })
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

fn header(algorithm: Algorithm, id: &str) -> String {
    json!({"alg": algorithm, "kid": id, "typ": "JWT"}).to_string()
}

/// Signed as the cluster does.
fn signed(claims: &Value) -> String {
    let signer = &SIGNERS.ec;
    signer.sign(ES256, &header(ES256, &signer.id), &claims.to_string())
}

fn bearer(token: &str) -> Vec<String> {
    vec![format!("Bearer {token}")]
}

fn rows(rows: Vec<(&str, String, &str)>) -> Vec<Row> {
    let rows = rows.into_iter();
    rows.map(|(name, token, says)| (name.to_owned(), bearer(&token), says.to_owned()))
        .collect()
}

fn issuer(name: &str, issuer: &str, algorithms: &[Algorithm]) -> IssuerSettings {
    IssuerSettings {
        rules: TokenRules {
            name: name.to_owned(),
            issuer: issuer.to_owned(),
            audiences: vec![
                "cvm-gateway".to_owned(),
                "https://gateway.example".to_owned(),
            ],
            algorithms: algorithms.to_vec(),
            subject_claim: "sub".to_owned(),
            trust_domain: None,
            leeway: Duration::from_secs(LEEWAY.unsigned_abs()),
        },
        source: KeySource::File(format!("{name}.json")),
    }
}

/// A gate with three issuers, each with keys in a file.
fn gate(files: &Files, required: Required) -> Gate {
    let Signers {
        ec, big, ed, rsa, ..
    } = &*SIGNERS;
    files.put("denied", "");
    files.put(
        "cluster.json",
        &set(&[&ec.jwk, &rsa.jwk, &big.jwk, &ed.jwk]),
    );
    files.put("people.json", &set(&[&rsa.jwk]));
    files.put("spire.json", &set(&[&ec.jwk]));
    let cluster = issuer(
        "cluster",
        CLUSTER,
        &[
            ES256, ES384, EdDSA, RS256, RS384, RS512, PS256, PS384, PS512,
        ],
    );
    let mut people = issuer("people", PEOPLE, &[RS256]);
    people.rules.subject_claim = "/profile/e~1mail".to_owned();
    let mut spire = issuer("spire", SPIRE, &[ES256]);
    spire.rules.trust_domain = Some("example.org".to_owned());
    let settings = Settings {
        issuers: vec![cluster, people, spire],
        ..settings(files, required)
    };
    open(settings, Clock::manual(NOW))
}

/// How tokens are carried.
fn of_carriage() -> Vec<Row> {
    let token = signed(&claims());
    let t = token.as_str();
    let large = "x".repeat(9000);
    let rows: Vec<(&str, Vec<String>, &str)> = vec![
        ("Bearer", vec![format!("Bearer {t}")], IN),
        ("bearer", vec![format!("bearer {t}")], IN),
        ("BEARER", vec![format!("BEARER {t}")], IN),
        ("nothing", vec![], "no_token"),
        ("an empty value", vec![String::new()], "no_token"),
        ("a scheme alone", vec!["Bearer".to_owned()], "no_token"),
        ("a token alone", vec![token.clone()], "no_token"),
        ("Basic", vec!["Basic dXNlcjpwYXNz".to_owned()], "no_token"),
        ("Digest", vec![format!("Digest {t}")], "no_token"),
        (
            "another scheme with it",
            vec![format!("Token {t}")],
            "no_token",
        ),
        (
            "Bearer without a space",
            vec![format!("Bearer{t}")],
            "no_token",
        ),
        (
            "Bearer with a colon",
            vec![format!("Bearer: {t}")],
            "no_token",
        ),
        (
            "Bearer and nothing",
            vec!["Bearer ".to_owned()],
            "token_malformed",
        ),
        (
            "two spaces",
            vec![format!("Bearer  {t}")],
            "token_malformed",
        ),
        ("a tab", vec![format!("Bearer\t{t}")], "no_token"),
        (
            "a space after it",
            vec![format!("Bearer {t} ")],
            "token_signature",
        ),
        (
            "two tokens in one",
            vec![format!("Bearer {t},{t}")],
            "token_malformed",
        ),
        (
            "two tokens by comma",
            vec![format!("Bearer {t}, Bearer {t}")],
            "token_malformed",
        ),
        (
            "twice the same",
            vec![format!("Bearer {t}"), format!("Bearer {t}")],
            "token_malformed",
        ),
        (
            "one and an empty one",
            vec![format!("Bearer {t}"), String::new()],
            "token_malformed",
        ),
        (
            "Basic and Bearer",
            vec!["Basic eA==".to_owned(), format!("Bearer {t}")],
            "token_malformed",
        ),
        ("quoted", vec![format!("Bearer \"{t}\"")], "token_malformed"),
        (
            "letters beyond ASCII",
            vec![format!("Bearer {t}ü")],
            "token_malformed",
        ),
        (
            "a giant",
            vec![format!("Bearer {large}")],
            "token_too_large",
        ),
        (
            "a giant signature",
            vec![format!("Bearer {t}{large}")],
            "token_too_large",
        ),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, values, says)| (name.to_owned(), values, says.to_owned()))
        .collect()
}

/// How tokens are written.
fn of_form() -> Vec<Row> {
    let token = signed(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let [head, body, signature] = parts[..] else {
        panic!("{token}");
    };
    let form = |head: &str, body: &str| SIGNERS.ec.sign(ES256, head, body);
    let good = header(ES256, "ec");
    let malformed = "token_malformed";
    let deep = format!("{{\"iss\":{}1{}}}", "[".repeat(2000), "]".repeat(2000));
    rows(vec![
        ("no dot", "x".to_owned(), malformed),
        ("one dot", format!("{head}.{body}"), malformed),
        ("three dots", format!("{token}.x"), malformed),
        ("five parts, encrypted", format!("{token}.x.y"), malformed),
        ("dots only", "..".to_owned(), malformed),
        ("no header", format!(".{body}.{signature}"), malformed),
        ("no payload", format!("{head}..{signature}"), malformed),
        ("no signature", format!("{head}.{body}."), "token_signature"),
        (
            "half a signature",
            format!("{head}.{body}.{}", &signature[..40]),
            "token_signature",
        ),
        (
            "a signature with padding",
            format!("{token}=="),
            "token_signature",
        ),
        (
            "a signature of zeros",
            format!("{head}.{body}.{}", base64(&[0; 64])),
            "token_signature",
        ),
        (
            "a signature that is no base64",
            format!("{head}.{body}.%%%"),
            "token_signature",
        ),
        (
            "a signature in base64 of plus",
            format!("{head}.{body}.++//"),
            "token_signature",
        ),
        (
            "a header with padding",
            format!("{head}=.{body}.{signature}"),
            malformed,
        ),
        (
            "a payload with padding",
            format!("{head}.{body}=.{signature}"),
            malformed,
        ),
        (
            "a newline in it",
            format!("{head}.{body}.{signature}").replacen('.', ".%0a", 1),
            malformed,
        ),
        ("a header of text", form("hello", "{}"), malformed),
        ("a header of a list", form("[]", "{}"), malformed),
        ("a header of null", form("null", "{}"), malformed),
        ("an empty header", form("{}", "{}"), malformed),
        (
            "a header without alg",
            form("{\"kid\":\"ec\"}", "{}"),
            malformed,
        ),
        (
            "a header with alg twice",
            form("{\"alg\":\"ES256\",\"alg\":\"none\"}", "{}"),
            malformed,
        ),
        (
            "a header with kid twice",
            form("{\"alg\":\"ES256\",\"kid\":\"a\",\"kid\":\"ec\"}", "{}"),
            malformed,
        ),
        (
            "a header with an alg of a number",
            form("{\"alg\":256}", "{}"),
            malformed,
        ),
        (
            "a header with a kid of a number",
            form("{\"alg\":\"ES256\",\"kid\":1}", "{}"),
            malformed,
        ),
        ("a payload of text", form(&good, "hello"), malformed),
        ("a payload of a list", form(&good, "[]"), malformed),
        ("a payload of null", form(&good, "null"), malformed),
        ("a payload of a number", form(&good, "1"), malformed),
        ("an empty payload", form(&good, ""), malformed),
        ("an empty object", form(&good, "{}"), "token_claims"),
        (
            "a payload with more behind it",
            form(&good, &format!("{}x", claims())),
            malformed,
        ),
        (
            "a payload with spaces around it",
            form(&good, &format!(" {} ", claims())),
            IN,
        ),
        ("a deep payload", form(&good, &deep), malformed),
        (
            "a payload with a number beyond all",
            form(&good, "{\"exp\":1e999}"),
            malformed,
        ),
        (
            "bytes that are no UTF-8",
            {
                let body = base64(&[b'{', 0xff, b'}']);
                format!("{head}.{body}.{signature}")
            },
            malformed,
        ),
        (
            "iss twice",
            form(&good, &twice("iss", CLUSTER)),
            "token_claims",
        ),
        (
            "aud twice",
            form(&good, &twice("aud", "cvm-gateway")),
            "token_claims",
        ),
        (
            "exp twice",
            form(&good, &twice("exp", now() + 60)),
            "token_claims",
        ),
        (
            "a claim of nobody's twice",
            form(&good, &twice("x", "y")),
            IN,
        ),
    ])
}

/// The claims with a member that stands twice.
fn twice(member: &str, value: impl Into<Value>) -> String {
    let (value, rest) = (value.into(), without(member).to_string());
    let more = format!("{{\"{member}\":{value},\"{member}\":{value},");
    rest.replacen('{', &more, 1)
}

/// How tokens are signed.
fn of_signatures() -> Vec<Row> {
    let Signers {
        ec,
        big,
        ed,
        rsa,
        stranger,
    } = &*SIGNERS;
    let body = claims().to_string();
    let with_alg = |alg: &str| {
        ec.sign(
            ES256,
            &json!({"alg": alg, "kid": "ec", "typ": "JWT"}).to_string(),
            &body,
        )
    };
    let mut all = rows(vec![
        ("ES256", ec.sign(ES256, &header(ES256, "ec"), &body), IN),
        ("ES384", big.sign(ES384, &header(ES384, "big"), &body), IN),
        ("EdDSA", ed.sign(EdDSA, &header(EdDSA, "ed"), &body), IN),
        ("RS256", rsa.sign(RS256, &header(RS256, "rsa"), &body), IN),
        ("RS384", rsa.sign(RS384, &header(RS384, "rsa"), &body), IN),
        ("RS512", rsa.sign(RS512, &header(RS512, "rsa"), &body), IN),
        ("PS256", rsa.sign(PS256, &header(PS256, "rsa"), &body), IN),
        ("PS384", rsa.sign(PS384, &header(PS384, "rsa"), &body), IN),
        ("PS512", rsa.sign(PS512, &header(PS512, "rsa"), &body), IN),
        (
            "PS256 that says RS256",
            rsa.sign(PS256, &header(RS256, "rsa"), &body),
            "token_signature",
        ),
        (
            "RS512 that says RS256",
            rsa.sign(RS512, &header(RS256, "rsa"), &body),
            "token_signature",
        ),
        (
            "ES256 that says RS256",
            ec.sign(ES256, &header(RS256, "rsa"), &body),
            "token_signature",
        ),
        (
            "ES256 with RSA's key",
            ec.sign(ES256, &header(ES256, "rsa"), &body),
            "token_key",
        ),
        (
            "RS256 with the curve's key",
            rsa.sign(RS256, &header(RS256, "ec"), &body),
            "token_key",
        ),
        (
            "ES384 with the small curve's key",
            big.sign(ES384, &header(ES384, "ec"), &body),
            "token_key",
        ),
        (
            "of a stranger with a known id",
            stranger.sign(ES256, &header(ES256, "ec"), &body),
            "token_signature",
        ),
        (
            "of a stranger with his own id",
            stranger.sign(ES256, &header(ES256, "x"), &body),
            "token_key",
        ),
        (
            "without an id, of two curves",
            big.sign(ES384, &json!({"alg": "ES384"}).to_string(), &body),
            IN,
        ),
        (
            "without an id",
            ec.sign(ES256, &json!({"alg": "ES256"}).to_string(), &body),
            IN,
        ),
        (
            "with an id of null",
            ec.sign(
                ES256,
                &json!({"alg": "ES256", "kid": null}).to_string(),
                &body,
            ),
            IN,
        ),
        (
            "with an empty id",
            ec.sign(ES256, &header(ES256, ""), &body),
            "token_key",
        ),
        (
            "with an id of another case",
            ec.sign(ES256, &header(ES256, "EC"), &body),
            "token_key",
        ),
        (
            "with an id that is a path",
            ec.sign(ES256, &header(ES256, "../../dev/null"), &body),
            "token_key",
        ),
        (
            "with an id that is SQL",
            ec.sign(ES256, &header(ES256, "' OR 1=1 --"), &body),
            "token_key",
        ),
        (
            "with an id that is a URL",
            ec.sign(ES256, &header(ES256, "http://127.0.0.1/jwks"), &body),
            "token_key",
        ),
        (
            "with a long id",
            ec.sign(ES256, &header(ES256, &"k".repeat(3000)), &body),
            "token_key",
        ),
    ]);
    let names = [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "es256", "ES256 ", "ES256K",
        "ES512", "RS1", "A128GCM", "dir", "ES256\0",
    ];
    for name in names {
        let says = "token_algorithm".to_owned();
        all.push((format!("alg {name:?}"), bearer(&with_alg(name)), says));
    }
    all.extend(of_secrets(&body));
    all.extend(of_headers(&body));
    all
}

/// The public key taken for a secret, and no signature at all.
fn of_secrets(body: &str) -> Vec<Row> {
    let Signers { ec, rsa, .. } = &*SIGNERS;
    let secrets = [
        ("the PEM", rsa.public_pem.clone(), "rsa"),
        (
            "the PEM without its end",
            rsa.public_pem.trim().to_owned(),
            "rsa",
        ),
        (
            "the modulus",
            rsa.jwk["n"].as_str().unwrap().to_owned(),
            "rsa",
        ),
        ("the curve's PEM", ec.public_pem.clone(), "ec"),
        (
            "the curve's point",
            ec.jwk["x"].as_str().unwrap().to_owned(),
            "ec",
        ),
        ("the key as it is published", ec.jwk.to_string(), "ec"),
        ("nothing", String::new(), "ec"),
    ];
    let mut all = Vec::new();
    for (name, secret, id) in secrets {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let head = base64(header(algorithm, id).as_bytes());
            let message = format!("{head}.{}", base64(body.as_bytes()));
            let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
            let signed = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
            let name = format!("{algorithm:?} with {name} as the secret");
            let says = "token_algorithm".to_owned();
            all.push((name, bearer(&format!("{message}.{signed}")), says));
        }
    }
    for alg in ["none", "None", "NONE"] {
        let head = base64(json!({"alg": alg}).to_string().as_bytes());
        let token = format!("{head}.{}.", base64(body.as_bytes()));
        let says = "token_algorithm".to_owned();
        all.push((format!("alg {alg} and no signature"), bearer(&token), says));
    }
    all
}

/// What else a header says.
fn of_headers(body: &str) -> Vec<Row> {
    let Signers { ec, stranger, .. } = &*SIGNERS;
    let head = |more: Value, id: &str| {
        let mut head = json!({"alg": "ES256", "kid": id});
        let more: Map<String, Value> = serde_json::from_value(more).unwrap();
        head.as_object_mut().unwrap().extend(more);
        head.to_string()
    };
    let own = |more: Value| stranger.sign(ES256, &head(more, "ec"), body);
    let good = |more: Value| ec.sign(ES256, &head(more, "ec"), body);
    rows(vec![
        ("typ JOSE", good(json!({"typ": "JOSE"})), IN),
        ("typ jwt", good(json!({"typ": "jwt"})), IN),
        ("typ at+jwt", good(json!({"typ": "at+jwt"})), IN),
        (
            "typ application/at+jwt",
            good(json!({"typ": "application/at+jwt"})),
            IN,
        ),
        ("typ null", good(json!({"typ": null})), IN),
        (
            "typ secevent+jwt",
            good(json!({"typ": "secevent+jwt"})),
            "token_malformed",
        ),
        (
            "typ logout+jwt",
            good(json!({"typ": "logout+jwt"})),
            "token_malformed",
        ),
        (
            "typ dpop+jwt",
            good(json!({"typ": "dpop+jwt"})),
            "token_malformed",
        ),
        ("an empty typ", good(json!({"typ": ""})), "token_malformed"),
        (
            "typ of a number",
            good(json!({"typ": 1})),
            "token_malformed",
        ),
        ("crit", good(json!({"crit": ["exp"]})), "token_malformed"),
        (
            "crit of b64",
            good(json!({"crit": ["b64"], "b64": false})),
            "token_malformed",
        ),
        (
            "an empty crit",
            good(json!({"crit": []})),
            "token_malformed",
        ),
        (
            "more that nobody reads",
            good(json!({"x5t": "x", "cty": "y", "z": {}})),
            IN,
        ),
        (
            "a key of his own",
            own(json!({"jwk": stranger.jwk})),
            "token_signature",
        ),
        (
            "a URL of his own keys",
            own(json!({"jku": "http://127.0.0.1:1/jwks"})),
            "token_signature",
        ),
        (
            "a URL of his own certificates",
            own(json!({"x5u": "http://127.0.0.1:1/x"})),
            "token_signature",
        ),
        (
            "certificates of his own",
            own(json!({"x5c": ["MIIB"]})),
            "token_signature",
        ),
        (
            "a known key's URL",
            good(json!({"jku": "http://127.0.0.1:1/jwks"})),
            IN,
        ),
    ])
}

/// Each claim with each kind of value.
fn of_kinds() -> Vec<Row> {
    let kinds = [
        ("null", Value::Null),
        ("a number", json!(7)),
        ("text", json!("text")),
        ("an empty text", json!("")),
        ("a flag", json!(true)),
        ("an empty list", json!([])),
        ("a list of numbers", json!([7])),
        ("a list of lists", json!([["cvm-gateway"]])),
        ("an object", json!({"a": 1})),
    ];
    // In the order of the kinds.
    let (c, i, a, e) = (
        "token_claims",
        "token_issuer",
        "token_audience",
        "token_expired",
    );
    let claims = [
        ("iss", [c, c, i, i, c, c, c, c, c]),
        ("aud", [a, c, a, a, c, a, c, c, c]),
        ("exp", [c, c, c, c, c, c, c, c, c]),
        ("nbf", [IN, IN, c, c, c, c, c, c, c]),
        ("iat", [IN, IN, c, c, c, c, c, c, c]),
        ("sub", [c, c, "no_organization", c, c, c, c, c, c]),
        ("jti", [IN; 9]),
        ("kubernetes.io", [IN; 9]),
    ];
    let mut all = Vec::new();
    for (claim, says) in claims {
        for ((kind, value), says) in kinds.iter().zip(says) {
            let token = signed(&with(claim, value.clone()));
            all.push((
                format!("{claim} is {kind}"),
                bearer(&token),
                says.to_owned(),
            ));
        }
        let says = match claim {
            "nbf" | "iat" | "jti" | "kubernetes.io" => IN,
            "aud" => a,
            _ => c,
        };
        let token = signed(&without(claim));
        all.push((format!("no {claim}"), bearer(&token), says.to_owned()));
    }
    // A number that ends before the others begin makes no sense; alone it is only over.
    let old = json!({"iss": CLUSTER, "sub": SUBJECT, "aud": "cvm-gateway", "exp": 7});
    all.push(("long over".to_owned(), bearer(&signed(&old)), e.to_owned()));
    all
}

/// Seconds from now: end, not before, issued.
fn of_times() -> Vec<Row> {
    let year = 366 * 86_400;
    let rows = [
        (3600, 0, 0, IN),
        (1, 0, 0, IN),
        (0, 0, 0, IN),
        (1 - LEEWAY, -60, -60, IN),
        (-LEEWAY, -60, -60, "token_expired"),
        (-LEEWAY - 1, -60, -60, "token_expired"),
        (-3600, -7200, -7200, "token_expired"),
        (-now(), -now(), -now(), "token_expired"),
        (3600, LEEWAY, 0, IN),
        (3600, LEEWAY + 1, 0, "token_not_yet_valid"),
        (3600, 0, LEEWAY, IN),
        (3600, 0, LEEWAY + 1, "token_not_yet_valid"),
        (7200, 3600, 3600, "token_not_yet_valid"),
        (3600, -3600, -86_400, IN),
        (60, 61, 0, "token_claims"),
        (60, 0, 61, "token_claims"),
        (60, 60, 60, "token_not_yet_valid"),
        (20, 20, 20, IN),
        (-3600, 0, 0, "token_claims"),
        (year, 0, 0, IN),
        (2 * year, 0, 0, IN),
        (2 * year + 1, 0, 0, "token_claims"),
        (1000 * now(), 0, 0, "token_claims"),
        (3600, -1000 * now(), 0, IN),
        (3600, 1000 * now(), 0, "token_claims"),
        (i64::from(i32::MAX), 0, 0, "token_claims"),
        (-2 * now(), -3 * now(), -3 * now(), "token_expired"),
    ];
    let mut all: Vec<Row> = Vec::new();
    for (end, begin, issued, says) in rows {
        let mut claims = claims();
        claims["exp"] = json!(now() + end);
        claims["nbf"] = json!(now() + begin);
        claims["iat"] = json!(now() + issued);
        let name = format!("ends in {end}, begins in {begin}, issued in {issued}");
        all.push((name, bearer(&signed(&claims)), says.to_owned()));
    }
    let at = |end: f64| {
        let now = NOW.unix_timestamp_nanos() / 1_000_000_000;
        f64::from(i32::try_from(now).unwrap()) + end
    };
    for (end, says) in [
        (3600.5, IN),
        (0.25, IN),
        (-30.5, "token_claims"),
        (1e300, "token_claims"),
    ] {
        let token = signed(&with("exp", json!(at(end))));
        all.push((format!("ends in {end}"), bearer(&token), says.to_owned()));
    }
    all
}

/// Who they are for, who issued them, whom they name.
fn of_names() -> Vec<Row> {
    let audiences = [
        (json!("cvm-gateway"), IN),
        (json!("https://gateway.example"), IN),
        (json!(["cvm-gateway"]), IN),
        (json!(["other", "cvm-gateway"]), IN),
        (json!(["cvm-gateway", "cvm-gateway"]), IN),
        (json!(["https://gateway.example", "other"]), IN),
        (json!("other"), "token_audience"),
        (json!(["other"]), "token_audience"),
        (json!(["other", "another"]), "token_audience"),
        (json!("CVM-Gateway"), "token_audience"),
        (json!("cvm-gateway "), "token_audience"),
        (json!("cvm-gateway,other"), "token_audience"),
        (json!("cvm-gateway other"), "token_audience"),
        (json!("https://gateway.example/"), "token_audience"),
        (json!("cvm"), "token_audience"),
        (json!("*"), "token_audience"),
        (json!(["cvm-gateway", 7]), "token_claims"),
        (json!(["cvm-gateway", null]), "token_claims"),
        (json!({"cvm-gateway": true}), "token_claims"),
    ];
    let issuers = [
        (CLUSTER.to_owned(), IN),
        (format!("{CLUSTER}/"), "token_issuer"),
        (CLUSTER.to_uppercase(), "token_issuer"),
        (CLUSTER.replace("https", "http"), "token_issuer"),
        (format!(" {CLUSTER}"), "token_issuer"),
        (format!("{CLUSTER}.evil"), "token_issuer"),
        (format!("{CLUSTER}:443"), "token_issuer"),
        ("cluster".to_owned(), "token_issuer"),
        ("https://accounts.example".to_owned(), "token_issuer"),
        // The keys of the cluster are not those of the others.
        (PEOPLE.to_owned(), "token_algorithm"),
    ];
    let long = format!("system:serviceaccount:web:{}", "a".repeat(500));
    let subjects = [
        (SUBJECT, IN),
        (
            "system:serviceaccount:other:api",
            "cluster:system:serviceaccount:other:api of other",
        ),
        ("system:serviceaccount:other:api2", "no_organization"),
        ("system:serviceaccount:webby:api", "no_organization"),
        ("system:serviceaccount:web:", "no_organization"),
        ("system:serviceaccount:web", "no_organization"),
        ("System:serviceaccount:web:api", "no_organization"),
        ("system:node:web", "no_organization"),
        ("alice@example.org", "no_organization"),
        ("spiffe://example.org/ns/web/sa/api", "no_organization"),
        ("dns:api.web.example", "no_organization"),
        ("api.web.example", "no_organization"),
        (&long, "token_claims"),
        (" system:serviceaccount:web:api", "token_claims"),
        ("system:serviceaccount:web:api ", "token_claims"),
        ("system:serviceaccount:web:api\n", "token_claims"),
        ("system:serviceaccount:web:a\u{0}pi", "token_claims"),
        ("system:serviceaccount:web:a\u{1b}[31m", "token_claims"),
    ];
    let audiences =
        audiences.map(|(value, says)| (format!("aud {value}"), with("aud", value), says));
    let issuers =
        issuers.map(|(text, says)| (format!("iss {text:?}"), with("iss", json!(text)), says));
    let subjects =
        subjects.map(|(text, says)| (format!("sub {text:?}"), with("sub", json!(text)), says));
    let all = audiences.into_iter().chain(issuers).chain(subjects);
    all.map(|(name, claims, says)| (name, bearer(&signed(&claims)), says.to_owned()))
        .collect()
}

/// Other issuers: one whose callers are named by another claim, and one of SPIFFE.
fn of_issuers() -> Vec<Row> {
    let Signers { ec, rsa, .. } = &*SIGNERS;
    let person = |profile: Value| {
        let mut claims = with("iss", json!(PEOPLE));
        claims["profile"] = profile;
        rsa.sign(RS256, &header(RS256, "rsa"), &claims.to_string())
    };
    let svid = |subject: &str| {
        let mut claims = with("iss", json!(SPIRE));
        claims["sub"] = json!(subject);
        ec.sign(ES256, &header(ES256, "ec"), &claims.to_string())
    };
    let alice = json!({"e/mail": "alice@example.org"});
    let curve = {
        let claims = with("iss", json!(PEOPLE));
        ec.sign(ES256, &header(ES256, "ec"), &claims.to_string())
    };
    rows(vec![
        (
            "a person",
            person(alice.clone()),
            "people:alice@example.org of web",
        ),
        (
            "another person",
            person(json!({"e/mail": "bob@example.org"})),
            "no_organization",
        ),
        (
            "a person without a profile",
            person(Value::Null),
            "token_claims",
        ),
        ("a person without a name", person(json!({})), "token_claims"),
        (
            "a person of two names",
            person(json!({"e/mail": ["a", "b"]})),
            "token_claims",
        ),
        ("a person by another algorithm", curve, "token_algorithm"),
        (
            "a workload",
            svid("spiffe://example.org/ns/web/sa/api"),
            "spiffe://example.org/ns/web/sa/api of web",
        ),
        (
            "another workload",
            svid("spiffe://example.org/ns/other/sa/api"),
            "spiffe://example.org/ns/other/sa/api of other",
        ),
        (
            "a workload of nobody",
            svid("spiffe://example.org/ns/x"),
            "no_organization",
        ),
        (
            "a workload of another domain",
            svid("spiffe://evil.org/ns/web/sa/api"),
            "token_claims",
        ),
        (
            "a workload of a domain below",
            svid("spiffe://a.example.org/ns/web/sa/api"),
            "token_claims",
        ),
        (
            "a workload without a path",
            svid("spiffe://example.org"),
            "token_claims",
        ),
        (
            "a workload with a slash more",
            svid("spiffe://example.org/ns/web/"),
            "token_claims",
        ),
        (
            "a workload that climbs",
            svid("spiffe://example.org/ns/web/../x"),
            "token_claims",
        ),
        (
            "a workload with a query",
            svid("spiffe://example.org/ns/web/a?b"),
            "token_claims",
        ),
        (
            "half a scheme",
            svid("spiffe:example.org/ns/web/sa/api"),
            "token_claims",
        ),
        (
            "a scheme in capitals",
            svid("SPIFFE://example.org/ns/web/sa/api"),
            "no_organization",
        ),
        ("no workload", svid(SUBJECT), "no_organization"),
    ])
}

fn corpus() -> Vec<Row> {
    [
        of_carriage,
        of_form,
        of_signatures,
        of_kinds,
        of_times,
        of_names,
        of_issuers,
    ]
    .into_iter()
    .flat_map(|rows| rows())
    .collect()
}

#[tokio::test]
async fn every_token_of_the_corpus_gets_what_it_says() {
    let gate = gate(&Files::default(), Required::Token);
    let (rows, mut wrong) = (corpus(), String::new());
    for (name, values, says) in &rows {
        let said = judge(&gate, None, &carrying(values)).await;
        if said != *says {
            writeln!(wrong, "{name}: {said}, not {says}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(rows.len() > 300, "only {} cases", rows.len());
    for rejection in Rejection::ALL.map(Rejection::as_str) {
        let has = rows.iter().any(|(_, _, says)| says == rejection);
        assert!(
            has || !rejection.contains("token"),
            "no case of {rejection}"
        );
    }
}

#[tokio::test]
async fn any_changed_letter_of_a_token_is_noticed() {
    let gate = gate(&Files::default(), Required::Token);
    let token = signed(&claims());
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let said = judge(&gate, None, &carrying(&bearer(&changed))).await;
        assert!(said.starts_with("token_"), "letter {at}: {said}");
    }
}

#[tokio::test]
async fn keys_in_a_file_change_and_denied_subjects_stay_out() {
    let files = Files::default();
    let gate = gate(&files, Required::Token);
    let call = carrying(&bearer(&signed(&claims())));
    assert_eq!(judge(&gate, None, &call).await, IN);
    files.put("denied", &format!("subject cluster {SUBJECT}"));
    assert!(gate.reload().is_empty());
    assert_eq!(judge(&gate, None, &call).await, "denied");
    files.put("denied", &format!("subject people {SUBJECT}"));
    assert!(gate.reload().is_empty());
    assert_eq!(judge(&gate, None, &call).await, IN);
    files.put("cluster.json", &set(&[&SIGNERS.big.jwk]));
    assert!(gate.reload().is_empty());
    assert_eq!(judge(&gate, None, &call).await, "token_key");
    files.put("cluster.json", "{");
    let error = gate.reload()[0].to_string();
    assert!(
        error.starts_with("cluster.json: is no JSON Web Key Set"),
        "{error}"
    );
    files.put("cluster.json", &set(&[&SIGNERS.stranger.jwk]));
    assert!(gate.reload().is_empty());
    assert_eq!(judge(&gate, None, &call).await, "token_signature");
}

proptest! {
    /// Nothing that anybody makes up is let in, or ends the process.
    #[test]
    fn what_is_made_up_is_not_let_in(text in "[ -~]{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_=-]{0,40}", 0..6)) {
        let gate = gate(&Files::default(), Required::Token);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for value in [text.clone(), format!("Bearer {text}"), format!("Bearer {}", parts.join("."))] {
            let said = runtime.block_on(judge(&gate, None, &carrying(&[value])));
            prop_assert!(said.starts_with("token_") || said == "no_token", "{}", said);
        }
    }
}
