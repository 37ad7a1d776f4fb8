//! The HTTP client of the cloud against a server that misbehaves on cue.

mod answers;
pub(crate) mod server;

use self::server::{Act, Server, answer, header, respond};
use crate::log;
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::client::{
    ANSWER_BYTES_MAX, CallClass, HttpCloud, Observer, Settings, Tools,
};
use cvm_gateway::cloud::credentials::{self, AccountSettings, Credential, Local, Source};
use cvm_gateway::cloud::endpoint::Endpoint;
use cvm_gateway::cloud::limiter::{self, Action, Class, Limiter, Permit};
use cvm_gateway::cloud::wire::Amounts;
use cvm_gateway::cloud::{Accepted, Cloud, CloudError, Effect, Retry, Signing, Target, tc3};
use cvm_gateway::domain::ids::OrganizationId;
use cvm_gateway::domain::instance::{InstanceId, InstanceState};
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::domain::reason::Reason;
use cvm_gateway::metrics::Metrics;
use cvm_gateway::random::Random;
use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::TaskTracker;

const SIGNED_AT: UtcDateTime = utc_datetime!(2026-02-28 23:59:59);
const SIGNING: Signing<'_> = Signing {
    at: SIGNED_AT,
    caller: None,
};
const BODY: &[u8] = br#"{"ImageId":"img-pmqg1cw7"}"#;
const ACCEPTED: &str = r#"{"Response":{"InstanceIdSet":["ins-aaaaaaaa"],"RequestId":"r-1"}}"#;

struct Client {
    cloud: HttpCloud,
    limiter: Limiter,
    classes: Arc<Mutex<Vec<(&'static str, CallClass)>>>,
}

impl Client {
    fn new(url: &str) -> Self {
        Self::with(url, Duration::from_secs(20), Some("canary-token"))
    }

    fn with(url: &str, timeout: Duration, token: Option<&str>) -> Self {
        log::start();
        let token = token.map(SecretString::from);
        let classes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&classes);
        let observer = Arc::new(move |record: cvm_gateway::cloud::client::CallRecord| {
            assert_eq!(record.account.as_str().len(), 4);
            seen.lock().unwrap().push((record.action, record.class));
        });
        let (id, key) = ("AKIDtest", "canary-key");
        let read = move || {
            let made = Credential::new(id.to_owned(), key.into(), token.clone());
            made.map_err(|rule| rule.to_string())
        };
        let credentials = keys([(account("prod"), Local::fixed(read))]);
        let cloud = HttpCloud::new(settings(url, timeout), credentials, tools(observer)).unwrap();
        Self {
            cloud,
            limiter: Self::limiter(1000, &Clock::system()),
            classes,
        }
    }

    fn limiter(per_second: u32, clock: &Clock) -> Limiter {
        let rates = limiter::Settings {
            run_instances_per_second: per_second,
            terminate_instances_per_second: per_second,
            describe_per_second: per_second,
            inquiry_price_per_second: per_second,
            weights: BTreeMap::new(),
            counted_as: BTreeMap::new(),
        };
        let metrics = Metrics::new("test").unwrap().cloud;
        Limiter::new(rates, None, clock.clone(), metrics)
    }

    async fn permit(&self, action: Action) -> Permit {
        let class = Class::Reconcile;
        self.limiter
            .permit(&target("prod"), "host", action, class)
            .await
    }

    async fn launch(&self) -> Result<Accepted, CloudError> {
        let permit = self.permit(Action::RunInstances).await;
        self.cloud
            .run_instances(permit, &target("prod"), BODY, SIGNING)
            .await
    }

    fn classes(&self) -> Vec<(&'static str, CallClass)> {
        self.classes.lock().unwrap().clone()
    }
}

/// How a client reaches a server of a test.
fn settings(url: &str, timeout: Duration) -> Settings {
    Settings {
        endpoint: Endpoint::parse("", false, Some(url)).unwrap(),
        connect_timeout: Duration::from_secs(10),
        price_amounts: Amounts::OfAll,
        run_instances_timeout: timeout,
        read_timeout: timeout,
        idle_timeout: Duration::from_secs(10),
        clock_skew_max: Duration::from_secs(3600),
        proxy: None,
        ca_pem: None,
    }
}

/// Accounts with keys of this machine.
fn keys<const N: usize>(accounts: [(AccountName, Local); N]) -> credentials::Settings {
    let settings = |(name, local)| {
        let settings = AccountSettings {
            organization: OrganizationId::parse("test").unwrap(),
            source: Source::Local(local),
            region: Region::parse("ap-shanghai").unwrap(),
            role: None,
        };
        (name, settings)
    };
    credentials::Settings {
        accounts: accounts.into_iter().map(settings).collect(),
        reload_interval: Duration::from_secs(10),
        first_wait: Duration::from_secs(5),
    }
}

/// What the client works with, beside an observer.
pub(crate) fn tools(observer: Observer) -> Tools {
    Tools {
        clock: Clock::system(),
        random: Random::system(),
        metrics: Metrics::new("test").unwrap().credentials,
        observer,
    }
}

fn account(name: &str) -> AccountName {
    AccountName::parse(name).unwrap()
}

fn target(name: &str) -> Target {
    Target {
        account: account(name),
        region: Region::parse("ap-shanghai").unwrap(),
    }
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

#[tokio::test]
async fn a_launch_carries_the_approved_bytes_and_a_signature_over_them() {
    let server = Server::start(vec![answer(ACCEPTED)]).await;
    let client = Client::new(&format!("http://{}", server.address));
    let accepted = client.launch().await.unwrap();
    assert_eq!(accepted.instance_ids, [id("ins-aaaaaaaa")]);
    assert_eq!(accepted.request_id, "r-1");
    assert_eq!(client.classes(), [("RunInstances", CallClass::Ok)]);

    let requests = server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    assert_eq!(body.as_bytes(), BODY);
    let host = server.address.to_string();
    for (name, value) in [
        ("Host", host.as_str()),
        ("X-TC-Action", "RunInstances"),
        ("X-TC-Version", "2017-03-12"),
        ("X-TC-Timestamp", "1772323199"),
        ("X-TC-Region", "ap-shanghai"),
        ("X-TC-Language", "en-US"),
        ("X-TC-Token", "canary-token"),
    ] {
        assert_eq!(header(head, name), Some(value), "{name}");
    }
    let headers = [
        ("content-type", header(head, "content-type").unwrap()),
        ("host", &host),
        ("x-tc-action", "RunInstances"),
    ];
    let key = tc3::DayKey::derive("AKIDtest", "canary-key", SIGNED_AT);
    let signed = tc3::Form::new("POST", "", &headers).sign(BODY, &key, SIGNED_AT);
    assert_eq!(
        header(head, "authorization"),
        Some(signed.authorization.as_str())
    );
}

#[tokio::test]
async fn a_permanent_key_sends_no_token() {
    let server = Server::start(vec![answer(ACCEPTED)]).await;
    let url = format!("http://{}", server.address);
    let client = Client::with(&url, Duration::from_secs(20), None);
    client.launch().await.unwrap();
    assert_eq!(header(&server.requests()[0], "x-tc-token"), None);
}

#[tokio::test]
async fn a_refusal_counts_whatever_its_content_type() {
    let body = r#"{"Response":{"Error":{"Code":"LimitExceeded.InstanceQuota","Message":"no"},
        "RequestId":"r-2"}}"#;
    for content_type in [
        "text/html; charset=utf-8",
        "application/octet-stream",
        "nonsense",
    ] {
        let act = Act::Send(respond("200 OK", content_type, body));
        let server = Server::start(vec![act]).await;
        let client = Client::new(&format!("http://{}", server.address));
        let error = client.launch().await.unwrap_err();
        assert_eq!(error.code, "LimitExceeded.InstanceQuota");
        assert_eq!(error.effect, Effect::Definite);
        assert_eq!(error.reason, Reason::QuotaExceeded);
        assert_eq!(error.fields, ["InstanceCount"]);
        assert_eq!(error.request_id.as_deref(), Some("r-2"));
        assert_eq!(client.classes(), [("RunInstances", CallClass::Refused)]);
    }
}

#[tokio::test]
async fn what_may_have_launched_is_ambiguous_and_sent_once() {
    use CallClass::{Internal, Malformed, Timeout, Transport};
    let html = |status| Act::Send(respond(status, "text/html", "<html></html>"));
    let redirect = Act::Send(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(),
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n";
    let cut_short = Act::Send(format!("{head}{}", &ACCEPTED[..40]));
    let slow = Act::Stall(format!("{head}{{"));
    for (act, code, class) in [
        (html("200 OK"), "MalformedAnswer", Malformed),
        (html("500 Internal Server Error"), "HttpStatus", Internal),
        (html("403 Forbidden"), "HttpStatus", Internal),
        (
            Act::Send(respond("503 Busy", "application/json", ACCEPTED)),
            "HttpStatus",
            Internal,
        ),
        (redirect, "HttpStatus", Internal),
        (Act::Cut, "ConnectionLost", Transport),
        (cut_short, "ConnectionLost", Transport),
        (
            Act::Send("SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
            "ConnectionLost",
            Transport,
        ),
        (Act::Stall(String::new()), "Timeout", Timeout),
        (slow, "Timeout", Timeout),
        (
            Act::Flood(ANSWER_BYTES_MAX + 1),
            "AnswerTooLarge",
            Malformed,
        ),
    ] {
        // A second act waits for the second request that must not come.
        let server = Server::start(vec![act, answer(ACCEPTED)]).await;
        let timeout = if class == Timeout { 1_000 } else { 20_000 };
        let url = format!("http://{}", server.address);
        let client = Client::with(&url, Duration::from_millis(timeout), None);
        let error = client.launch().await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert_eq!(error.effect, Effect::Ambiguous, "{error}");
        assert_eq!(error.retry, Retry::Token, "{error}");
        assert_eq!(client.classes(), [("RunInstances", class)], "{error}");
        assert_eq!(server.requests().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn what_never_left_is_not_sent() {
    // Bound, so that nobody else gets it, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = socket.local_addr().unwrap();
    let client = Client::new(&format!("http://{closed}"));
    let error = client.launch().await.unwrap_err();
    assert_eq!(error.code, "ConnectFailed", "{error}");
    assert_eq!(error.effect, Effect::NotSent);
    assert_eq!(error.retry, Retry::Backoff);

    let permit = client.permit(Action::RunInstances).await;
    let error = client
        .cloud
        .run_instances(permit, &target("test"), BODY, SIGNING)
        .await
        .unwrap_err();
    assert_eq!(error.code, "NoCredential", "{error}");
    assert_eq!(error.effect, Effect::NotSent);
    assert_eq!(error.reason, Reason::GatewayCredential);
    let classes = [CallClass::Transport, CallClass::Auth];
    assert_eq!(
        client.classes(),
        classes.map(|class| ("RunInstances", class))
    );
}

#[tokio::test]
async fn a_failed_handshake_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
    });
    let error = Client::new(&format!("https://{address}"))
        .launch()
        .await
        .unwrap_err();
    assert_eq!(error.code, "ConnectFailed", "{error}");
    assert_eq!(error.effect, Effect::NotSent);
}

#[tokio::test]
async fn an_answer_at_the_limit_is_read() {
    let padded = format!(
        "{ACCEPTED}{}",
        " ".repeat(ANSWER_BYTES_MAX - ACCEPTED.len())
    );
    let server = Server::start(vec![answer(&padded)]).await;
    let client = Client::new(&format!("http://{}", server.address));
    assert!(client.launch().await.is_ok());
}

#[tokio::test]
async fn states_are_asked_for_by_id() {
    let body = r#"{"Response":{"TotalCount":1,"InstanceStatusSet":[{"InstanceId":"ins-1",
        "InstanceState":"RUNNING"}],"RequestId":"r"}}"#;
    let server = Server::start(vec![answer(body)]).await;
    let client = Client::new(&format!("http://{}", server.address));
    let ids = [id("ins-1"), id("ins-2")];
    let permit = client.permit(Action::DescribeInstancesStatus).await;
    let states = client
        .cloud
        .describe_instances_status(permit, &target("prod"), &ids)
        .await;
    assert_eq!(states, Ok(vec![(id("ins-1"), InstanceState::Running)]));
    let requests = server.requests();
    assert_eq!(
        header(&requests[0], "x-tc-action"),
        Some("DescribeInstancesStatus")
    );
    assert!(requests[0].ends_with(r#"{"InstanceIds":["ins-1","ins-2"],"Limit":100}"#));
}

#[tokio::test]
async fn no_ids_ask_for_nothing_and_too_many_are_refused() {
    let client = Client::new("http://127.0.0.1:1");
    let (cloud, target) = (&client.cloud, target("prod"));
    let permit = || client.permit(Action::DescribeInstances);
    let none = cloud
        .describe_instances_status(permit().await, &target, &[])
        .await;
    assert_eq!(none, Ok(Vec::new()));
    let none = cloud.describe_instances(permit().await, &target, &[]).await;
    assert_eq!(none, Ok(Vec::new()));
    let many: Vec<InstanceId> = (0..101).map(|n| id(&format!("ins-{n}"))).collect();
    let error = cloud
        .describe_instances(permit().await, &target, &many)
        .await
        .unwrap_err();
    assert_eq!(error.code, "InvalidCall", "{error}");
    assert_eq!(error.effect, Effect::NotSent);
}

/// A page with the instances of these numbers.
fn page(total: usize, numbers: std::ops::Range<usize>) -> Act {
    let mut set = String::new();
    for number in numbers {
        let comma = if set.is_empty() { "" } else { "," };
        write!(
            set,
            r#"{comma}{{"InstanceId":"ins-{number}","InstanceState":"PENDING"}}"#
        )
        .unwrap();
    }
    answer(&format!(
        r#"{{"Response":{{"TotalCount":{total},"InstanceSet":[{set}],"RequestId":"r"}}}}"#
    ))
}

#[tokio::test]
async fn a_tag_is_looked_up_over_all_pages() {
    let server = Server::start(vec![page(121, 0..100), page(121, 100..121)]).await;
    let client = Client::new(&format!("http://{}", server.address));
    let found = client
        .cloud
        .find_by_tag(
            client.permit(Action::DescribeInstances).await,
            &target("prod"),
            "op",
            "o-1",
        )
        .await
        .unwrap();
    assert_eq!(found.len(), 121);
    let requests = server.requests();
    let filter = r#"{"Filters":[{"Name":"tag:op","Values":["o-1"]}],"Offset":"#;
    assert!(requests[0].ends_with(&format!(r#"{filter}0,"Limit":100}}"#)));
    assert!(requests[1].ends_with(&format!(r#"{filter}100,"Limit":100}}"#)));
}

/// The cloud shows the metadata that a machine was launched with.
#[tokio::test]
async fn what_is_too_long_at_once_is_looked_up_in_parts() {
    let flood = || Act::Flood(ANSWER_BYTES_MAX + 1);
    let lone = "x".repeat(ANSWER_BYTES_MAX);
    let lone = format!(
        r#"{{"Response":{{"TotalCount":2,"InstanceSet":[{{"InstanceId":"ins-0","InstanceState":"PENDING",
        "Metadata":{{"Items":[{{"Key":"k","Value":"{lone}"}}]}}}}],"RequestId":"r"}}}}"#
    );
    let mut acts: Vec<_> = (0..6).map(|_| flood()).collect();
    acts.extend([answer(&lone), page(2, 1..2)]);
    let server = Server::start(acts).await;
    let client = Client::new(&format!("http://{}", server.address));
    let permit = client.permit(Action::DescribeInstances).await;
    let target = target("prod");
    let found = client.cloud.find_by_tag(permit, &target, "op", "o-1");
    assert_eq!(found.await.unwrap().len(), 2);
    let requests = server.requests();
    let asked = requests
        .iter()
        .filter_map(|request| request.split_once(r#""Offset":"#));
    let asked: Vec<_> = asked.map(|(_, rows)| rows).collect();
    let expected = [
        r#"0,"Limit":100}"#,
        r#"0,"Limit":50}"#,
        r#"0,"Limit":25}"#,
        r#"0,"Limit":12}"#,
        r#"0,"Limit":6}"#,
        r#"0,"Limit":3}"#,
        r#"0,"Limit":1}"#,
        r#"1,"Limit":1}"#,
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn an_incomplete_look_up_is_an_error_not_an_absence() {
    let server = Server::start(vec![page(3, 0..2), page(3, 2..2)]).await;
    let client = Client::new(&format!("http://{}", server.address));
    let error = client
        .cloud
        .find_by_tag(
            client.permit(Action::DescribeInstances).await,
            &target("prod"),
            "op",
            "o-1",
        )
        .await
        .unwrap_err();
    assert_eq!(error.code, "MalformedAnswer", "{error}");

    // One went between the two calls, and the next row moved up, before where the second page begins; one
    // came, and a row is there twice, but not the new one; one came and one went.
    for (before, total, rows) in [
        (150, 149, 101..150),
        (120, 121, 99..121),
        (121, 121, 99..121),
    ] {
        let pages = vec![page(before, 0..100), page(total, rows)];
        let server = Server::start(pages).await;
        let client = Client::new(&format!("http://{}", server.address));
        let permit = client.permit(Action::DescribeInstances).await;
        let target = target("prod");
        let found = client.cloud.find_by_tag(permit, &target, "op", "o-1");
        let error = found.await.unwrap_err();
        assert_eq!(error.code, "MalformedAnswer", "{error}");
    }

    let server = Server::start(vec![page(9999, 0..100), page(9999, 100..200)]).await;
    let client = Client::new(&format!("http://{}", server.address));
    let error = client
        .cloud
        .find_by_tag(
            client.permit(Action::DescribeInstances).await,
            &target("prod"),
            "op",
            "o-1",
        )
        .await
        .unwrap_err();
    assert_eq!(error.code, "AnswerTooLarge", "{error}");
    assert_eq!(server.requests().len(), 1, "no launch makes so many");
}

#[test]
fn unusable_settings_name_themselves() {
    let settings = |proxy: Option<&str>, ca_pem: Option<&[u8]>| Settings {
        endpoint: Endpoint::parse("tencentcloudapi.com", false, None).unwrap(),
        connect_timeout: Duration::from_secs(3),
        price_amounts: Amounts::OfAll,
        run_instances_timeout: Duration::from_secs(30),
        read_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(30),
        clock_skew_max: Duration::ZERO,
        proxy: proxy.map(SecretString::from),
        ca_pem: ca_pem.map(<[u8]>::to_vec),
    };
    let garbled = b"-----BEGIN CERTIFICATE-----\ngarbled\n-----END CERTIFICATE-----\n";
    for (settings, name) in [
        (
            settings(Some("http://user:canary@[bad"), None),
            "cloud.proxy",
        ),
        (settings(None, Some(b"not a certificate")), "cloud.ca_file"),
        (settings(None, Some(garbled)), "cloud.ca_file"),
    ] {
        let result = HttpCloud::new(settings, keys([]), tools(Arc::new(|_| {})));
        let message = result.unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
}

#[tokio::test]
async fn every_call_is_logged_and_nothing_secret_is_printed() {
    let refusal = r#"{"Response":{"Error":{"Code":"InvalidPassword","Message":"canary-password"},
        "RequestId":"r-2"}}"#;
    let server = Server::start(vec![answer(ACCEPTED), answer(refusal)]).await;
    let client = Client::new(&format!("http://{}", server.address));
    let body = br#"{"LoginSettings":{"Password":"canary-password"}}"#;
    let target = Target {
        region: Region::parse("ap-logged").unwrap(),
        ..target("prod")
    };
    let launch = async || {
        let permit = client.permit(Action::RunInstances).await;
        client
            .cloud
            .run_instances(permit, &target, body, SIGNING)
            .await
    };
    launch().await.unwrap();
    launch().await.unwrap_err();

    let log = log::text();
    let ours = r#"action="RunInstances" account=prod region=ap-logged"#;
    let calls: Vec<&str> = log.lines().filter(|line| line.contains(ours)).collect();
    assert_eq!(calls.len(), 2, "{log}");
    assert!(calls[0].contains(r#"class="ok" code="" cloud_request_id="r-1" latency_ms="#));
    assert!(calls[1].contains(r#"code="InvalidPassword" cloud_request_id="r-2""#));
    let printed = format!("{log} {:?}", client.cloud);
    assert!(!printed.contains("canary"), "{printed}");
    assert!(!printed.contains("TC3-HMAC"), "{printed}");
}

/// What is called while the account's key is not there yet.
struct Keyless {
    cloud: HttpCloud,
    /// The key is there as soon as this is gone.
    given: Sender<()>,
    /// How and when calls ended.
    ended: Arc<Mutex<Vec<(CallClass, Duration)>>>,
}

impl Keyless {
    fn new(url: &str, clock: &Clock) -> Self {
        let (given, wanted) = channel();
        let wanted = Mutex::new(wanted);
        let source = Local::fixed(move || {
            wanted.lock().unwrap().recv().unwrap_err();
            let made = Credential::new("AKIDtest".to_owned(), "canary-key".into(), None);
            made.map_err(|rule| rule.to_string())
        });
        let (ended, by) = (Arc::default(), clock.clone());
        let told = Arc::<Mutex<Vec<_>>>::clone(&ended);
        let observer = Arc::new(move |record: cvm_gateway::cloud::client::CallRecord| {
            told.lock().unwrap().push((record.class, by.elapsed()));
        });
        let tools = Tools {
            clock: clock.clone(),
            ..tools(observer)
        };
        let settings = settings(url, Duration::from_secs(3600));
        let cloud = HttpCloud::new(settings, keys([(account("prod"), source)]), tools).unwrap();
        Self {
            cloud,
            given,
            ended,
        }
    }
}

/// Whoever waits for a key has it at the same moment. What is called in a caller's name was judged before its
/// wait: what has no turn within a second is not sent.
#[tokio::test]
async fn a_key_that_is_late_lets_each_call_go_in_its_turn() {
    const CALLS: usize = 20;
    let interval = Duration::from_millis(125);
    let either = r#"{"Response":{"TotalCount":0,"InstanceStatusSet":[],"InstanceIdSet":["ins-1"],"RequestId":"r"}}"#;
    let server = Server::start(vec![answer(either); 2 * CALLS]).await;
    let clock = Clock::manual(SIGNED_AT);
    let url = format!("http://{}", server.address);
    let Keyless {
        cloud,
        given,
        ended,
    } = Keyless::new(&url, &clock);
    let (limiter, prod) = (Client::limiter(8, &clock), target("prod"));
    let permit = async |action| {
        let permit = limiter.permit(&prod, "host", action, Class::Reconcile);
        tokio::join!(biased; permit, async { clock.advance(interval) }).0
    };
    let (ids, caller) = ([id("ins-1")], Some("web"));
    let named = Signing { caller, ..SIGNING };
    let (mut looks, mut launches) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let look = permit(Action::DescribeInstancesStatus).await;
        looks.push(cloud.describe_instances_status(look, &prod, &ids));
        let launch = permit(Action::RunInstances).await;
        launches.push(cloud.run_instances(launch, &prod, BODY, named));
    }
    clock.advance(interval);
    let mut calls = pin!(join(join_all(looks), join_all(launches)));
    assert!(
        calls.as_mut().now_or_never().is_none(),
        "all wait for the key"
    );

    let arrival = clock.elapsed();
    drop(given);
    let time_passes = async {
        loop {
            Clock::system().sleep(Duration::from_millis(5)).await;
            if cloud.keys()[0].usable {
                clock.advance(interval / 5);
            }
        }
    };
    let (looks, launches) = tokio::select! {
        calls = calls => calls,
        never = time_passes => never,
    };
    assert!(looks.iter().all(Result::is_ok), "{looks:?}");
    let late: Vec<_> = launches.into_iter().filter_map(Result::err).collect();
    let sent = CALLS - late.len();
    assert!((7..=10).contains(&sent), "{sent} in the first second");
    for error in late {
        assert_eq!(
            (error.effect, error.retry),
            (Effect::NotSent, Retry::Backoff)
        );
        assert!(error.message.contains("after the call's turn"), "{error:?}");
    }
    assert_eq!(server.requests().len(), CALLS + sent);
    let ended = ended.lock().unwrap();
    let sent = ended.iter().filter(|(class, _)| *class == CallClass::Ok);
    for (before, (_, at)) in (0..).zip(sent) {
        // Each action has a rate of its own.
        let turn = arrival + interval * (before / 2);
        assert!(*at >= turn, "{before}: {ended:?}");
    }
}
