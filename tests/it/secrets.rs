//! Secrets of callers and of the gateway are searched in everything that comes out of it.
//!
//! The body of a launch is in the journal while its operation is under way, so the journal is
//! searched when the operation has ended.

use crate::cloud::server::{Server, answer};
use crate::log;
use crate::world::{World, client, config_text, get, put_secret, run, wish};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb::v1 as pb;
use serde_json::json;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

const PASSWORD: &str = "Canary&Pass/w0rd?=7+'x";
const SCRIPT: &str = "#!/bin/sh\necho canary-user-data \"42\"";
/// With it the body does not fit a page of the database, and its rest is on pages that are freed.
const PADDING: usize = 8000;
const METADATA: &str = "canary \"meta\\data\"\n/value?é";
/// The temporary key of the simulator's catalogue.
const SECRET_ID: &str = "AKIDfakeForLoopbackTestsOnly0000002";
const SECRET_KEY: &str = "fakeSecretKeyLoopbackTestsOnly002";
const TOKEN: &str = "fake-session-token-0002";

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_succeeds_shows_no_secret() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let mut found = Emitted::default();
    let gateway = world
        .gateway_of(config(&world, &endpoint, &mut found))
        .await;
    let wish = secret_wish();
    launch(&gateway, &wish, true, &mut found).await;
    found.add("ledger", world.ledger().await);
    purged(&world.folder.0).await;
    found.journal(&world.folder.0);
    gateway.stop().await;
    found.journal(&world.folder.0);
    found.hold_no_secret();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_quotes_secrets_is_not_repeated() {
    let words = format!("Bad: `{PASSWORD}`, `{METADATA}`, `{}`.", user_data());
    let error = json!({ "Code": "InvalidParameterValue", "Message": words });
    let refusal = json!({ "Response": { "Error": error, "RequestId": "r" } });
    let cloud = Server::start(vec![answer(&refusal.to_string())]).await;
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", cloud.address);
    let mut found = Emitted::default();
    let gateway = world
        .gateway_of(config(&world, &endpoint, &mut found))
        .await;
    launch(&gateway, &secret_wish(), false, &mut found).await;
    assert!(cloud.requests()[0].contains(PASSWORD), "it was sent");
    // The last of them is so long that its quotation is cut.
    let quoted = "Bad: `[secret]`, `[secret]`, `[secret]\"";
    assert!(found.text_of("answers").contains(quoted), "it is told");
    purged(&world.folder.0).await;
    found.journal(&world.folder.0);
    gateway.stop().await;
    found.journal(&world.folder.0);
    found.hold_no_secret();
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_secrets_are_not_quoted() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let mut found = Emitted::default();
    let gateway = world
        .gateway_of(config(&world, &endpoint, &mut found))
        .await;
    let mut wish = secret_wish();
    let spec = wish.spec.as_mut().unwrap();
    let login = spec.login_settings.get_or_insert_default();
    login.password = Some(format!("{PASSWORD} and blanks, which is far too long"));
    spec.user_data = Some(SCRIPT.to_owned());
    spec.metadata.get_or_insert_default().items[0].key.clear();
    launch(&gateway, &wish, false, &mut found).await;
    assert!(found.text_of("answers").contains("must consist of"));
    found.journal(&world.folder.0);
    gateway.stop().await;
    found.hold_no_secret();
}

#[test]
fn the_search_finds_every_form() {
    let hidden = [
        PASSWORD.to_owned(),
        BASE64_STANDARD.encode(format!("x{PASSWORD}yz")),
        BASE64_URL_SAFE.encode(format!("xy{METADATA}")),
        hex::encode(TOKEN),
        hex::encode_upper(SECRET_KEY),
        json!(METADATA).to_string(),
        format!("{METADATA:?}"),
        format!("{:?}", SCRIPT.as_bytes()),
        url_escaped(PASSWORD),
        BASE64_STANDARD.encode(user_data()),
    ];
    for text in hidden {
        assert!(
            !secrets_in(format!("…{text}…").as_bytes()).is_empty(),
            "{text}"
        );
    }
    assert_eq!(secrets_in(b"nothing of the kind"), [""; 0]);
}

/// Everything that came out, and where.
#[derive(Default)]
struct Emitted(Vec<(String, Vec<u8>)>);

impl Emitted {
    fn add(&mut self, place: &str, what: impl Debug) {
        self.0
            .push((place.to_owned(), format!("{what:?}").into_bytes()));
    }

    fn text_of(&self, place: &str) -> String {
        let of = self.0.iter().filter(|(at, _)| at == place);
        of.map(|(_, bytes)| String::from_utf8_lossy(bytes))
            .collect()
    }

    /// The journal with everything that its engine keeps beside it.
    fn journal(&mut self, folder: &Path) {
        let before = self.0.len();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("journal.db") {
                self.0.push((name, std::fs::read(&path).unwrap()));
            }
        }
        assert!(self.0.len() > before);
    }

    fn hold_no_secret(mut self) {
        self.0.push(("log".to_owned(), log::text().into_bytes()));
        for (place, bytes) in self.0 {
            assert!(!bytes.is_empty() || place.starts_with("journal"), "{place}");
            let found = secrets_in(&bytes);
            assert!(found.is_empty(), "{place} holds {found:?}");
        }
    }
}

/// A gateway with a temporary key, whose token is in a file.
fn config(world: &World, endpoint: &str, found: &mut Emitted) -> Config {
    put_secret(&world.folder.0.join("main.token"), TOKEN);
    let text = config_text(&world.folder.0, endpoint, "check_zones = false\n")
        .replace("AKIDfakeForLoopbackTestsOnly0000001", SECRET_ID)
        .replace(
            "fakeSecretKeyLoopbackTestsOnly001\"",
            &format!("{SECRET_KEY}\"\ntoken_file = \"main.token\""),
        );
    assert!(text.contains(SECRET_KEY) && text.contains("token_file"));
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    found.add("config", &config);
    found.add("config", config.to_string());
    config
}

fn secret_wish() -> pb::RunInstancesRequest {
    let mut wish = wish("secret", 1);
    let spec = wish.spec.as_mut().unwrap();
    spec.login_settings.get_or_insert_default().password = Some(PASSWORD.to_owned());
    spec.user_data = Some(user_data());
    let item = pb::MetadataItem {
        key: "k".to_owned(),
        value: METADATA.to_owned(),
    };
    spec.metadata.get_or_insert_default().items = vec![item];
    wish
}

fn user_data() -> String {
    BASE64_STANDARD.encode(format!("{SCRIPT}\n{}", "#".repeat(PADDING)))
}

/// Launches, and gathers what every door shows of it.
async fn launch(
    gateway: &Gateway,
    wish: &pb::RunInstancesRequest,
    good: bool,
    found: &mut Emitted,
) {
    let mut client = client(gateway).await;
    found.add("request", wish);
    found.add("request", tonic::Request::new(wish.clone()));
    let seen = run(&mut client, wish.clone()).await;
    assert_eq!(seen.end.is_ok(), good, "{:?}", seen.end);
    if let Some(operation) = seen.snapshots.last() {
        let name = operation.name.clone();
        let got = client.get_operation(pb::GetOperationRequest { name });
        found.add("answers", got.await.unwrap());
    }
    if let Err(status) = &seen.end {
        found.add("answers", status.details());
        found
            .0
            .push(("details".to_owned(), status.details().to_vec()));
    }
    let again = run(&mut client, wish.clone()).await;
    assert_eq!(again.snapshots.last(), seen.snapshots.last());
    found.add("answers", seen);
    let listed = client.list_operations(pb::ListOperationsRequest::default());
    found.add("answers", listed.await.unwrap());
    found.add("metrics", get(gateway.admin_addr(), "/metrics").await);
    found.add("gateway", gateway);
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

/// The secrets that are somewhere in `bytes`, in whatever form.
fn secrets_in(bytes: &[u8]) -> Vec<String> {
    let user_data = user_data();
    let secrets = [PASSWORD, SCRIPT, &user_data, METADATA, SECRET_KEY, TOKEN];
    let all = secrets.into_iter().flat_map(forms);
    all.filter(|form| contains(bytes, form.as_bytes()))
        .collect()
}

fn forms(secret: &str) -> Vec<String> {
    let quoted = json!(secret).to_string();
    let debug = format!("{secret:?}");
    let list = format!("{:?}", secret.as_bytes());
    let inside = |text: &str| text[1..text.len() - 1].to_owned();
    let mut forms = vec![
        secret.to_owned(),
        inside(&quoted),
        inside(&debug),
        inside(&list),
        inside(&format!("{:?}", inside(&quoted))),
        hex::encode(secret),
        hex::encode_upper(secret),
        url_escaped(secret),
    ];
    for text in [secret.to_owned(), inside(&quoted)] {
        for before in 0..3 {
            forms.push(base64_core(&text, before, &BASE64_STANDARD));
            forms.push(base64_core(&text, before, &BASE64_URL_SAFE));
        }
    }
    forms
}

/// What base64 makes of `text` after `before` other bytes, without what its neighbours have a say in.
fn base64_core(text: &str, before: usize, engine: &impl Engine) -> String {
    let bytes = [&vec![0; before], text.as_bytes()].concat();
    let encoded = engine.encode(&bytes);
    encoded[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned()
}

fn url_escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
