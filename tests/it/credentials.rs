//! Keys of every source, over real sockets: what each signs, how it is renewed, and what happens when a
//! source breaks or the cloud refuses what it gave.

mod rotation;

use crate::cloud::server::{Server, answer};
use crate::world::{World, client, config_text, get, put_secret, run, wish};
use cvm_gateway::clock::{Clock, Correction};
use cvm_gateway::config::Config;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::simulator::Catalog;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Keys of the simulator's catalogue.
const ID: &str = "AKIDfakeForLoopbackTestsOnly0000001";
const KEY: &str = "fakeSecretKeyLoopbackTestsOnly001";
const SECOND_ID: &str = "AKIDfakeForLoopbackTestsOnly0000002";
const SECOND_KEY: &str = "fakeSecretKeyLoopbackTestsOnly002";
const SECOND_TOKEN: &str = "fake-session-token-0002";
const ROLE: &str = "qcs::cam::uin/100000000001:roleName/CvmAgent";

/// The configuration of a gateway whose account has its keys by `source`.
pub(crate) fn with_source(world: &World, source: &str, extra: &str) -> Config {
    let endpoint = format!("http://{}", world.simulator.addr());
    let pair = format!("secret_id = \"{ID}\"\nsecret_key = \"{KEY}\"\n");
    let text = config_text(&world.folder.0, &endpoint, extra);
    assert!(text.contains(&pair));
    let text = text.replace(&pair, &format!("{source}\n"));
    Config::parse("test.toml", &text, &world.folder.0).unwrap()
}

/// The simulator does wrong what `faults` says from now on.
pub(crate) async fn misbehave(world: &World, faults: &Value) {
    let (address, body) = (world.simulator.addr(), faults.to_string());
    let request = format!(
        "PUT /_control/faults HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// What the ledger has of calls of an action.
pub(crate) async fn calls(world: &World, action: &str) -> Vec<Value> {
    let ledger = world.ledger().await;
    let calls = ledger.into_iter().filter(|entry| entry["action"] == action);
    calls.collect()
}

pub(crate) fn text<'a>(entry: &'a Value, member: &str) -> &'a str {
    entry[member].as_str().unwrap_or_default()
}

/// The names of the sessions of roles that were assumed.
async fn sessions(world: &World, action: &str) -> Vec<String> {
    let calls = calls(world, action).await;
    let names = calls.iter().map(|call| {
        let body: Value = serde_json::from_str(text(call, "body")).unwrap();
        body["RoleSessionName"].as_str().unwrap().to_owned()
    });
    names.collect()
}

/// The value of a metric, if it is there.
async fn metric(gateway: &Gateway, series: &str) -> Option<f64> {
    let (_, text) = get(gateway.admin_addr(), "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map(|value| value.trim().parse().unwrap())
}

const LEFT: &str = "cvm_gateway_credential_expires_in_seconds{account=\"main\"}";

/// Launches a machine; the key that signed it.
async fn launched_by(world: &World, gateway: &Gateway, request_id: &str) -> String {
    let seen = run(&mut client(gateway).await, wish(request_id, 1)).await;
    seen.end.as_ref().unwrap();
    let launches = calls(world, "RunInstances").await;
    text(launches.last().unwrap(), "key_id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_launches() {
    let world = World::new(100.0).await;
    let folder = &world.folder.0;
    put_secret(&folder.join("id"), &format!("{SECOND_ID}\n"));
    put_secret(&folder.join("key"), SECOND_KEY);
    put_secret(&folder.join("token"), SECOND_TOKEN);
    let ini = format!("[default]\nsecret_id = {ID}\nsecret_key = {KEY}\n");
    put_secret(&folder.join("ini"), &ini);
    let json = format!(
        r#"{{"secretId":"{SECOND_ID}","secretKey":"{SECOND_KEY}","token":"{SECOND_TOKEN}"}}"#
    );
    put_secret(&folder.join("json"), &json);
    std::fs::write(folder.join("pod-token"), "aaa.bbb.ccc").unwrap();
    let metadata = format!("endpoint = \"http://{}\"", world.simulator.addr());
    let web = format!("provider_id = \"OIDC\", role_arn = \"{ROLE}\", token_file = \"pod-token\"");
    let assumed = format!("assume_role = {{ role_arn = \"{ROLE}\" }}");
    let rows = [
        (
            "secret_id_file = \"id\"\nsecret_key_file = \"key\"\ntoken_file = \"token\"".to_owned(),
            Some(SECOND_ID),
        ),
        ("credentials_file = \"ini\"".to_owned(), Some(ID)),
        ("credentials_file = \"json\"".to_owned(), Some(SECOND_ID)),
        (format!("machine_role = {{ {metadata} }}"), None),
        (
            format!("machine_role = {{ role = \"CvmAgent\", {metadata} }}"),
            None,
        ),
        (format!("web_identity = {{ {web} }}"), None),
        (format!("credentials_file = \"ini\"\n{assumed}"), None),
        (format!("machine_role = {{ {metadata} }}\n{assumed}"), None),
        (format!("web_identity = {{ {web} }}\n{assumed}"), None),
    ];
    for (number, (source, key)) in rows.iter().enumerate() {
        let gateway = world.gateway_of(with_source(&world, source, "")).await;
        let signed = launched_by(&world, &gateway, &number.to_string()).await;
        let left = metric(&gateway, LEFT).await;
        match key {
            Some(key) => assert_eq!((signed.as_str(), left), (*key, None), "{source}"),
            None => {
                assert!(![ID, SECOND_ID].contains(&signed.as_str()), "{source}");
                assert!(left.is_some_and(|left| left > 6000.0), "{source}: {left:?}");
            }
        }
        gateway.stop().await;
    }
    assert_eq!(world.machines().await.len(), rows.len());
    let unsigned = calls(&world, "AssumeRoleWithWebIdentity").await;
    assert!(unsigned.iter().all(|call| text(call, "verdict") == "OK"));
    let names: BTreeSet<String> = sessions(&world, "AssumeRole").await.into_iter().collect();
    assert_eq!(
        names,
        BTreeSet::from(["cvm-gateway@development".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_s_audit_is_told_who_calls() {
    let world = World::new(100.0).await;
    let policy = r#"{"version": "2.0", "statement": [{"effect": "allow", "action": "cvm:*"}]}"#;
    std::fs::write(world.folder.0.join("policy.json"), policy).unwrap();
    let source = format!(
        "secret_id = \"{ID}\"\nsecret_key = \"{KEY}\"\n\
         [organizations.development.accounts.main.assume_role]\n\
         role_arn = \"{ROLE}\"\nexternal_id = \"ours\"\nduration = \"1h\"\n\
         session = \"caller\"\npolicy_file = \"policy.json\""
    );
    let callers = ["web@example.org", "spiffe://example.org/ns/web/sa/api"];
    for (number, caller) in callers.iter().enumerate() {
        let extra = format!("[identity]\ndevelopment_principal = \"{caller}\"");
        let gateway = world.gateway_of(with_source(&world, &source, &extra)).await;
        launched_by(&world, &gateway, &number.to_string()).await;
        gateway.stop().await;
    }
    let names: BTreeSet<String> = sessions(&world, "AssumeRole").await.into_iter().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "cvm-gateway@development");
    assert!(
        names[1].starts_with("spiffe---example.org-ns-web-sa-api-"),
        "{names:?}"
    );
    assert_eq!(names[2], "web@example.org");
    let asked = calls(&world, "AssumeRole").await;
    let body: Value = serde_json::from_str(text(&asked[0], "body")).unwrap();
    assert_eq!(body["ExternalId"], "ours");
    assert_eq!(body["DurationSeconds"], 3600);
    let escaped = body["Policy"].as_str().unwrap();
    assert!(
        escaped.starts_with("%7B%22version%22%3A%222.0%22%2C%22statement%22"),
        "{escaped}"
    );
    // The machine was launched with the caller's session, and is looked after with the other one.
    let launches = calls(&world, "RunInstances").await;
    let polls = calls(&world, "DescribeInstancesStatus").await;
    let keys = |calls: &[Value]| -> BTreeSet<String> {
        calls
            .iter()
            .map(|call| text(call, "key_id").to_owned())
            .collect()
    };
    assert!(keys(&launches).is_disjoint(&keys(&polls)));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_end_are_renewed_before_they_do() {
    let world = World::new(100.0).await;
    // Of which the last fifth is left when it is renewed: more than anything here takes.
    misbehave(&world, &serde_json::json!({"key_life_s": 30.0})).await;
    let source = format!(
        "secret_id = \"{ID}\"\nsecret_key = \"{KEY}\"\nassume_role = {{ role_arn = \"{ROLE}\" }}"
    );
    let gateway = world.gateway_of(with_source(&world, &source, "")).await;
    let clock = Clock::system();
    let mut keys = BTreeSet::new();
    let launches = async {
        let mut number = 0;
        while keys.len() < 2 {
            keys.insert(launched_by(&world, &gateway, &number.to_string()).await);
            number += 1;
            clock.sleep(Duration::from_millis(300)).await;
        }
    };
    let limit = Duration::from_secs(120);
    let launched = clock.timeout(limit, launches).await;
    launched.expect("the key is not renewed");
    gateway.stop().await;
    let refused = world.ledger().await;
    let refused: Vec<_> = refused
        .iter()
        .filter(|entry| text(entry, "verdict").starts_with("AuthFailure"))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_cloud_refuses_is_asked_for_anew_at_once() {
    let world = World::new(100.0).await;
    let file = world.folder.0.join("ini");
    put_secret(
        &file,
        &format!("[default]\nsecret_id = {ID}\nsecret_key = {KEY}\n"),
    );
    let extra = "[cloud.credentials]\nreload_interval = \"1h\"";
    let source = "credentials_file = \"ini\"";
    let gateway = world.gateway_of(with_source(&world, source, extra)).await;
    assert_eq!(launched_by(&world, &gateway, "before").await, ID);
    let second = format!(
        "[default]\nsecret_id = {SECOND_ID}\nsecret_key = {SECOND_KEY}\ntoken = {SECOND_TOKEN}\n"
    );
    put_secret(&file, &second);
    misbehave(&world, &serde_json::json!({"revoked_keys": [ID]})).await;
    // The file was looked at less than a second ago.
    Clock::system().sleep(Duration::from_millis(1100)).await;
    assert_eq!(launched_by(&world, &gateway, "after").await, SECOND_ID);
    gateway.stop().await;
    assert_eq!(world.machines().await.len(), 2);
}

/// An account with the machine's role beside one with keys, as an organisation of its own.
fn beside(endpoint: &str) -> String {
    format!(
        "send_timeout = \"1s\"\nretry_backoff = \"100ms\"\n\
         [cloud.credentials]\nfirst_wait = \"300ms\"\n\
         [organizations.development.accounts.broken]\n\
         machine_role = {{ endpoint = \"{endpoint}\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_stops_no_other_account_and_nothing_is_sent_unsigned() {
    let world = World::new(100.0).await;
    let extra = beside("http://127.0.0.1:9");
    let pair = format!("secret_id = \"{ID}\"\nsecret_key = \"{KEY}\"");
    let gateway = world.gateway_of(with_source(&world, &pair, &extra)).await;
    let broken = pb::RunInstancesRequest {
        account: Some("broken".to_owned()),
        ..wish("broken", 1)
    };
    let mut first = client(&gateway).await;
    let (failed, key) = tokio::join!(
        run(&mut first, broken),
        launched_by(&world, &gateway, "sound")
    );
    assert_eq!(key, ID);
    let status = failed.end.unwrap_err();
    assert!(
        status
            .message()
            .contains("no usable key for account broken"),
        "{status:?}"
    );
    let left = metric(
        &gateway,
        "cvm_gateway_credential_expires_in_seconds{account=\"broken\"}",
    );
    assert_eq!(left.await, Some(0.0));
    let series = "cvm_gateway_credential_refreshes_total{account=\"broken\",credential=\"base\",\
                  result=\"failed\"}";
    assert!(metric(&gateway, series).await.unwrap() >= 1.0);
    gateway.stop().await;
    let attempts = calls(&world, "RunInstances").await;
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert!(
        world
            .ledger()
            .await
            .iter()
            .all(|entry| entry["key_id"] != Value::Null || text(entry, "kind") != "attempt")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_briefly_for_the_first_key() {
    let world = World::new(100.0).await;
    let keys = get(
        world.simulator.addr(),
        "/latest/meta-data/cam/security-credentials/CvmAgent",
    );
    let (_, keys) = keys.await;
    // It answers the first question with nonsense, and the next one a second later with keys.
    let metadata = Server::start(vec![answer("not yet"), answer(&keys)]).await;
    let source = format!(
        "machine_role = {{ role = \"CvmAgent\", endpoint = \"http://{}\" }}",
        metadata.address
    );
    let gateway = world.gateway_of(with_source(&world, &source, "")).await;
    launched_by(&world, &gateway, "waits").await;
    let launches = calls(&world, "RunInstances").await;
    assert_eq!(launches.len(), 1, "one attempt was enough");
    gateway.stop().await;
}

/// The cloud's clock is a quarter of an hour ahead of ours. Its answers tell, and from then on launches
/// are dated and signed by it: the time that is journalled is the one that is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_corrected_by_what_the_cloud_says() {
    let ahead = Correction::default();
    ahead.set(time::Duration::minutes(15));
    let clock = Clock::system().corrected(&ahead);
    let world = World::of(Catalog::embedded(), 100.0, clock.clone()).await;
    let pair = format!("secret_id = \"{ID}\"\nsecret_key = \"{KEY}\"");
    let extra = "[operations.sweep]\ninterval = \"0s\"";
    let gateway = world.gateway_of(with_source(&world, &pair, extra)).await;
    let seen = run(&mut client(&gateway).await, wish("skewed", 1)).await;
    seen.end.as_ref().unwrap();
    let launches = calls(&world, "RunInstances").await;
    let verdicts: Vec<&str> = launches.iter().map(|call| text(call, "verdict")).collect();
    assert_eq!(verdicts, ["OK"]);
    // The question for the zones came first, and was refused for its age.
    let first = &calls(&world, "DescribeRegions").await[0];
    assert_eq!(text(first, "verdict"), "AuthFailure.SignatureExpire");
    let last = launches.last().unwrap();
    let signed: i64 = text(last, "signed_at").parse().unwrap();
    assert!((clock.now().unix_timestamp() - signed).abs() < 60, "{last}");
    let sent = seen.last().transitions.iter();
    let sent = sent.filter(|change| change.state() == pb::OperationState::Sent);
    let mut journalled = sent.filter_map(|change| change.time);
    let journalled = journalled.next_back().map(|time| time.seconds);
    assert_eq!(journalled, Some(signed));
    let correction = metric(&gateway, "cvm_gateway_cloud_clock_correction_seconds").await;
    assert!(
        correction.is_some_and(|seconds| (seconds - 900.0).abs() < 3.0),
        "{correction:?}"
    );
    assert_eq!(launched_by(&world, &gateway, "next").await, ID);
    assert_eq!(calls(&world, "RunInstances").await.len(), 2);
    gateway.stop().await;
}

/// Until a role is assumed, only STS is called: its answers must tell the time, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_corrected_where_roles_are_assumed() {
    let ahead = Correction::default();
    ahead.set(time::Duration::minutes(15));
    let clock = Clock::system().corrected(&ahead);
    let world = World::of(Catalog::embedded(), 100.0, clock).await;
    let source = format!(
        "secret_id = \"{ID}\"\nsecret_key = \"{KEY}\"\nassume_role = {{ role_arn = \"{ROLE}\" }}"
    );
    let gateway = world.gateway_of(with_source(&world, &source, "")).await;
    launched_by(&world, &gateway, "skewed").await;
    let asked = calls(&world, "AssumeRole").await;
    let verdicts: Vec<&str> = asked.iter().map(|call| text(call, "verdict")).collect();
    assert_eq!(verdicts, ["AuthFailure.SignatureExpire", "OK"]);
    gateway.stop().await;
}
