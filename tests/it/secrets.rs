//! Secrets of callers and of the gateway are searched in everything that comes out of it.
//!
//! All tests search what they see (`tests/common/canary.rs`). Here are those that have every secret, and the
//! proof that the search finds them.

use crate::canary::{
    self, ALL, EXTERNAL_ID, Findings, ISSUER_TOKEN, Kind, METADATA, PASSWORD, PLAN_KEY,
    PROXY_PASSWORD, SCRIPT, Search, WEB_IDENTITY_TOKEN, examine, put_secret,
};
use crate::cloud::server::{Server, answer, header};
use crate::identity::pki::{Authority, uri};
use crate::identity::tokens::Signer;
use crate::identity::{CALLERS, WEB, channel, put, write};
use crate::postgres::{new_database, with_key_file};
use crate::tap::Tap;
use crate::world::{Client, Served, World, client, config_text, run, wish};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::domain::causes::chain;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb::v1 as pb;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::Duration;
use tonic::Request;

/// The temporary key of the simulator's catalogue.
const SECRET_ID: &str = "AKIDfakeForLoopbackTestsOnly0000002";
const SECRET_KEY: &str = "fakeSecretKeyLoopbackTestsOnly002";
const TOKEN: &str = "fake-session-token-0002";
/// With it the body does not fit a page of the database, and its rest is on pages that are freed.
const PADDING: usize = 8000;

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_succeeds_shows_no_secret() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let gateway = world.gateway_of(config(&world, &endpoint)).await;
    let told = launch(&gateway, &secret_wish(), true).await;
    assert!(
        told.contains("SUCCEEDED") || told.contains("Succeeded"),
        "{told}"
    );
    assert!(!world.ledger().await.is_empty());
    purged(&world.folder).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_quotes_secrets_is_not_repeated() {
    let words = format!("Bad: `{PASSWORD}`, `{METADATA}`, `{}`.", user_data());
    let error = json!({ "Code": "InvalidParameterValue", "Message": words });
    let refusal = json!({ "Response": { "Error": error, "RequestId": "r" } });
    let cloud = Server::start(vec![answer(&refusal.to_string())]).await;
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", cloud.address);
    let gateway = world.gateway_of(config(&world, &endpoint)).await;
    let told = launch(&gateway, &secret_wish(), false).await;
    assert!(cloud.requests()[0].contains(PASSWORD), "it was sent");
    // The last of them is so long that its quotation is cut.
    let quoted = "Bad: `[secret]`, `[secret]`, `[secret]\"";
    assert!(told.contains(quoted), "{told}");
    purged(&world.folder).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_secrets_are_not_quoted() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let gateway = world.gateway_of(config(&world, &endpoint)).await;
    let mut wish = secret_wish();
    let spec = wish.spec.as_mut().unwrap();
    let login = spec.login_settings.get_or_insert_default();
    login.password = Some(format!("{PASSWORD} and blanks, which is far too long"));
    spec.user_data = Some(SCRIPT.to_owned());
    spec.metadata.get_or_insert_default().items[0].key.clear();
    let told = launch(&gateway, &wish, false).await;
    assert!(told.contains("must consist of"), "{told}");
    gateway.stop().await;
}

/// What makes the gateway hold every secret that there is. The cloud's simulator is its own proxy.
const EVERYTHING: &str = r#"
[cloud]
proxy = "http://gateway:PROXY_PASSWORD@SIMULATOR"

[plans]
key_file = "plan.key"

[audit]
sink = "audit.jsonl"

[identity.issuers.cluster]
issuer = "https://cluster.example"
audiences = ["cvm-gateway"]
algorithms = ["ES256"]
jwks_url = "http://ISSUER/jwks"
jwks_token_file = "issuer.token"

[identity.callers.web-accounts]
organization = "development"
issuer = "cluster"
subject_prefix = "system:serviceaccount:web:"
"#;

/// Its keys: of a role that it assumes with those of another, which it has for a pod's token.
const ROLES: &str = r#"
web_identity = { provider_id = "OIDC", role_arn = "qcs::cam::uin/100000000001:roleName/CvmAgent", token_file = "pod.token" }
assume_role = { role_arn = "qcs::cam::uin/100000000001:roleName/CvmAgent", external_id = "EXTERNAL_ID" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_holds_every_secret_shows_none() {
    let world = World::new(100.0).await;
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    let signer = Signer::new();
    let issuer = Server::start(vec![answer(&signer.jwks()); 9]).await;
    write(&world.folder, &servers.server(), &callers.pem());
    put(&world.folder, "denied.txt", "");
    for (name, secret) in [
        ("plan.key", PLAN_KEY),
        ("issuer.token", ISSUER_TOKEN),
        ("pod.token", WEB_IDENTITY_TOKEN),
    ] {
        put_secret(&world.folder.join(name), secret);
    }
    let gateway = world.gateway_of(everything(&world, &issuer).await).await;
    let certificate = callers.client(vec![uri(WEB)]);
    let mut client = Client::new(Tap(channel(&gateway, &servers, Some(&certificate)).await));
    let token = signer.token("system:serviceaccount:web:api", 600);

    let plan = pb::PlanRunInstancesRequest {
        request: Some(secret_wish()),
        ..pb::PlanRunInstancesRequest::default()
    };
    let planned = client.plan_run_instances(bearing(&token, plan)).await;
    let planned = planned.unwrap().into_inner();
    let wish = pb::RunInstancesRequest {
        plan: Some(planned.plan),
        ..secret_wish()
    };
    let launched = client.run_instances(bearing(&token, wish)).await.unwrap();
    let seen = crate::world::read(launched.into_inner()).await;
    seen.end.as_ref().unwrap();
    let stranger = Signer::new().token("system:serviceaccount:web:api", 600);
    let refused = client.list_operations(bearing(&stranger, pb::ListOperationsRequest::default()));
    refused.await.unwrap_err();
    brought(&world.folder.join("audit.jsonl")).await;
    gateway.stop().await;

    // Each was where it must be, so that it could come out.
    let asked = issuer.requests();
    let bearer = header(&asked[0], "authorization");
    assert_eq!(bearer, Some(format!("Bearer {ISSUER_TOKEN}").as_str()));
    let ledger = world.ledger().await;
    let of = |action: &str| ledger.iter().find(|entry| entry["action"] == action);
    let assumed: Value =
        serde_json::from_str(of("AssumeRole").unwrap()["body"].as_str().unwrap()).unwrap();
    assert_eq!(assumed["ExternalId"], EXTERNAL_ID);
    assert_eq!(of("AssumeRoleWithWebIdentity").unwrap()["verdict"], "OK");
}

async fn everything(world: &World, issuer: &Server) -> Config {
    let simulator = world.simulator.addr().to_string();
    let more = EVERYTHING
        .replace("PROXY_PASSWORD", PROXY_PASSWORD)
        .replace("SIMULATOR", &simulator)
        .replace("ISSUER", &issuer.address.to_string());
    let callers = CALLERS.replace("[\"mtls\"]", "[\"mtls\", \"jwt\"]");
    let text = config_text(
        &world.folder,
        &format!("http://{simulator}"),
        &format!("{callers}{more}"),
    );
    let keys = "secret_id = \"AKIDfakeForLoopbackTestsOnly0000001\"\nsecret_key = \"fakeSecretKeyLoopbackTestsOnly001\"\n";
    let text = text.replacen(keys, &ROLES.replace("EXTERNAL_ID", EXTERNAL_ID), 1);
    let sqlite = format!("sqlite://{}/journal.db", world.folder.display());
    assert!(text.contains(&sqlite) && text.contains(EXTERNAL_ID));
    let text = with_key_file(&text.replace(&sqlite, &new_database().await));
    Config::parse("test.toml", &text, &world.folder).unwrap()
}

fn bearing<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Settings that cannot be used, and keep a gateway from its start.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_start_names_no_secret() {
    let world = World::new(100.0).await;
    let simulator = format!("http://{}", world.simulator.addr());
    let sqlite = format!("sqlite://{}/journal.db", world.folder.display());
    let database = format!(
        "postgres://gateway:{}@127.0.0.1:9/none",
        canary::DATABASE_PASSWORD
    );
    let proxy = format!("[cloud]\nproxy = \"http://gateway:{PROXY_PASSWORD}@[bad\"\n");
    let rows = [
        (
            config_text(&world.folder, &simulator, ""),
            sqlite.as_str(),
            database.as_str(),
        ),
        (config_text(&world.folder, &simulator, &proxy), "", ""),
        (
            config_text(&world.folder, &simulator, ""),
            "\"fakeSecret",
            "\"two words fakeSecret",
        ),
        (
            config_text(&world.folder, &simulator, ""),
            "secret_key = \"",
            "secret_key = 7 \"",
        ),
    ];
    let before = ALL.searched("an error");
    for (text, from, to) in rows {
        let text = with_key_file(&text.replace(from, to));
        let error = match Config::parse("test.toml", &text, &world.folder) {
            Err(error) => format!("{error:?} {}", chain(&error, ": ")),
            Ok(config) => {
                let started = Gateway::start(config, Clock::system()).await;
                let error = started.unwrap_err();
                format!("{error:?} {}", chain(&error, ": "))
            }
        };
        examine("an error", error);
    }
    assert!(ALL.searched("an error") > before);
}

#[test]
fn the_search_finds_every_form_of_every_kind() {
    let secrets = canary::secrets();
    let search = Search::new(&secrets);
    let mut kinds = BTreeSet::new();
    for (kind, secret) in &secrets {
        kinds.insert(*kind);
        for (form, bytes) in canary::forms(secret) {
            let around = [b"\xff noise ", bytes.as_slice(), b"\n noise"].concat();
            let found: Vec<_> = search.find(&around).map(|(kind, ..)| kind).collect();
            assert!(found.contains(kind), "the {kind:?} as {form}");
        }
    }
    assert!(kinds.len() >= 15, "{kinds:?}");
    assert_eq!(
        search.find(b"nothing of the kind, not even canary").count(),
        0
    );
}

/// The forms themselves, made by others than what makes the search.
#[test]
fn the_search_finds_what_libraries_make_of_secrets() {
    let search = Search::new(&canary::secrets());
    let form: String = form_urlencoded::byte_serialize(METADATA.as_bytes()).collect();
    let hidden = [
        BASE64_STANDARD.encode(format!("x{PASSWORD}yz")),
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(format!("xy{METADATA}")),
        hex::encode(TOKEN),
        hex::encode_upper(SECRET_KEY),
        json!({ "a": [METADATA] }).to_string(),
        json!(json!(METADATA).to_string()).to_string(),
        format!("{METADATA:?}"),
        format!("{:?}", SCRIPT.as_bytes()),
        form,
        BASE64_STANDARD.encode(user_data()),
        Signer::new().token("anybody", 600),
        BASE64_STANDARD.encode(format!("gateway:{PROXY_PASSWORD}")),
        canary::tls_key().to_owned(),
    ];
    for text in hidden {
        assert!(search.find(text.as_bytes()).next().is_some(), "{text}");
    }
}

#[test]
fn a_secret_that_came_out_fails_whoever_ends_next() {
    let findings: &'static Findings = Box::leak(Box::default());
    let [first, second] = [findings.watch(), findings.watch()];
    findings.examine("the log", b"harmless", &[]);
    drop(first);
    let leak = format!("line with {PASSWORD}, which is logged");
    findings.examine("the ledger", leak.as_bytes(), &[Kind::Password]);
    findings.examine("the log", leak.as_bytes(), &[]);
    let failed = catch_unwind(move || drop(second)).unwrap_err();
    let said = failed.downcast_ref::<String>().unwrap();
    assert!(said.contains("the log: the Password as itself"), "{said}");
    // It is told once.
    drop(findings.watch());
    assert!(findings.searched("the ledger") > 0);
}

#[test]
fn what_comes_in_pieces_is_searched_across_them() {
    let findings: &'static Findings = Box::leak(Box::default());
    let watch = findings.watch();
    let mut pieces = canary::Pieces::of(findings);
    let (begin, end) = PASSWORD.split_at(9);
    pieces.examine(
        "an answer",
        format!("{} {begin}", "x".repeat(9000)).as_bytes(),
    );
    pieces.examine("an answer", end.as_bytes());
    catch_unwind(move || drop(watch)).unwrap_err();
}

/// A search that is given nothing finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_comes_out_is_searched() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let seen = run(&mut client(&gateway).await, wish("searched", 1)).await;
    seen.end.unwrap();
    world.ledger().await;
    gateway.stop().await;
    drop(world);
    drop(crate::store::Journal::postgres().await);
    for place in [
        "the log",
        "an answer",
        "the side door",
        "the ledger",
        "a file",
        "the database's log",
    ] {
        assert!(ALL.searched(place) > 1000, "{place}");
    }
}

/// A gateway with a temporary key, whose token is in a file.
fn config(world: &World, endpoint: &str) -> Config {
    put_secret(&world.folder.join("main.token"), TOKEN);
    let text = config_text(&world.folder, endpoint, "check_zones = false\n")
        .replace("AKIDfakeForLoopbackTestsOnly0000001", SECRET_ID)
        .replace(
            "fakeSecretKeyLoopbackTestsOnly001\"",
            &format!("{SECRET_KEY}\"\ntoken_file = \"main.token\""),
        );
    assert!(text.contains(SECRET_KEY) && text.contains("token_file"));
    Config::parse("test.toml", &text, &world.folder).unwrap()
}

fn secret_wish() -> pb::RunInstancesRequest {
    let mut wish = wish("secret", 1);
    wish.spec.as_mut().unwrap().user_data = Some(user_data());
    wish
}

fn user_data() -> String {
    BASE64_STANDARD.encode(format!("{SCRIPT}\n{}", "#".repeat(PADDING)))
}

/// Launches, asks about it in every way, and gives what was told.
async fn launch(gateway: &Served, wish: &pb::RunInstancesRequest, good: bool) -> String {
    let mut client = client(gateway).await;
    examine(
        "a request",
        format!("{wish:?}{:?}", Request::new(wish.clone())),
    );
    let seen = run(&mut client, wish.clone()).await;
    assert_eq!(seen.end.is_ok(), good, "{:?}", seen.end);
    if let Some(operation) = seen.snapshots.last() {
        let name = operation.name.clone();
        let got = client.get_operation(pb::GetOperationRequest { name });
        got.await.unwrap();
    }
    let again = run(&mut client, wish.clone()).await;
    assert_eq!(again.snapshots.last(), seen.snapshots.last());
    let listed = client.list_operations(pb::ListOperationsRequest::default());
    listed.await.unwrap();
    format!("{seen:?}")
}

/// Returns when something of the audit is in its file.
async fn brought(file: &Path) {
    let clock = Clock::system();
    let brought = async {
        while std::fs::metadata(file).map_or(0, |file| file.len()) == 0 {
            clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let brought = clock.timeout(Duration::from_secs(20), brought).await;
    brought.expect("the audit is not brought");
}

/// Returns when the journal has tidied up after the operation that ended.
async fn purged(folder: &Path) {
    let clock = Clock::system();
    let log = folder.join("journal.db-wal");
    for _ in 0..6000 {
        if std::fs::metadata(&log).unwrap().len() == 0 {
            return;
        }
        clock.sleep(Duration::from_millis(10)).await;
    }
    panic!("what was purged stays in the log of the journal");
}
