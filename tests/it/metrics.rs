//! What `/metrics` says after launches that succeed, fail and are refused.

use crate::admission::stop;
use crate::cloud::server::{Server, answer};
use crate::postgres::{connect, new_database, with_key_file};
use crate::refusals::raw;
use crate::world::{Client, Served, World, client, config_text, get, read, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::limiter::Action;
use cvm_gateway::config::Config;
use cvm_gateway::domain::operation::{Kind, StateName};
use cvm_gateway::domain::reason::{Fault, Reason};
use cvm_gateway::gateway::Gateway;
use cvm_gateway::identity::Rejection;
use cvm_gateway::metrics::{Ended, FAILURES, Priority, Refused, Resource, Shed};
use cvm_gateway::pb;
use cvm_gateway::pb::v1 as messages;
use prost_reflect::DescriptorPool;
use sqlx::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);
const SERVICE: &str = "cvmgateway.v1.CvmGatewayService";
/// A path that a caller made up, to see it in a label.
const MADE_UP: &str = "/made.up.Service/CanaryMethod";

/// A scrape: the value of each series by its name and labels, `name{label="value",…}`.
struct Scrape {
    text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(gateway: &Gateway) -> Self {
        let (head, text) = get(gateway.admin_addr(), "/metrics").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let kind = "content-type: text/plain; version=0.0.4; charset=utf-8";
        assert!(head.to_lowercase().contains(kind), "{head}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let series = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self {
            series: series.collect(),
            text,
        }
    }

    fn value(&self, series: &str) -> f64 {
        let value = self.series.get(series);
        *value.unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// A series of an RPC of the service.
    fn rpc(&self, metric: &str, kind: &str, method: &str) -> f64 {
        self.value(&format!(
            r#"{metric}{{grpc_method="{method}",grpc_service="{SERVICE}",grpc_type="{kind}"}}"#
        ))
    }

    fn handled(&self, kind: &str, method: &str, code: &str) -> f64 {
        self.value(&format!(
            r#"grpc_server_handled_total{{grpc_code="{code}",grpc_method="{method}",grpc_service="{SERVICE}",grpc_type="{kind}"}}"#
        ))
    }

    /// RPCs that are started and not yet handled: they are counted shortly after the client knows.
    fn under_way(&self) -> f64 {
        let sum = |metric: &str| -> f64 {
            let series = self.series.iter();
            let of = series.filter(|(name, _)| name.starts_with(metric));
            of.map(|(_, value)| value).sum()
        };
        sum("grpc_server_started_total") - sum("grpc_server_handled_total")
    }

    fn labels(&self) -> BTreeSet<(String, String)> {
        let inside = self.series.keys().filter_map(|name| name.split_once('{'));
        let pairs = inside.flat_map(|(_, labels)| labels.trim_end_matches('}').split("\","));
        let pair = |pair: &str| {
            let (label, value) = pair.split_once("=\"").unwrap();
            (label.to_owned(), value.trim_end_matches('"').to_owned())
        };
        pairs.map(pair).collect()
    }
}

/// A scrape at which no RPC is under way.
async fn settled(gateway: &Gateway) -> Scrape {
    let clock = Clock::system();
    let settled = async {
        loop {
            let scrape = Scrape::of(gateway).await;
            if scrape.under_way() == 0.0 {
                return scrape;
            }
            clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let settled = clock.timeout(LONG, settled).await;
    settled.expect("an RPC does not end")
}

/// One launch succeeds, one fails, one is refused by the cloud and one by the gateway; the messages
/// that their streams held.
async fn story(client: &mut Client) -> usize {
    let good = run(client, wish("good", 3)).await;
    good.end.as_ref().unwrap();
    let mut failing = wish("failing", 2);
    failing.spec.as_mut().unwrap().instance_type = Some("LAUNCHFAIL.SMALL1".to_owned());
    let failed = run(client, failing).await;
    let mut sold_out = wish("sold-out", 1);
    sold_out.spec.as_mut().unwrap().instance_type = Some("SOLDOUT.SMALL1".to_owned());
    let refused = run(client, sold_out).await;
    run(client, wish("bad", 0)).await.end.unwrap_err();
    let name = good.last().name.clone();
    let got = client.get_operation(messages::GetOperationRequest { name });
    got.await.unwrap();
    let seen = [good, failed, refused];
    seen.iter()
        .map(|seen| seen.snapshots.len() + seen.heartbeats)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_tell_what_happened() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let sent = story(&mut client).await;
    let scrape = settled(&gateway).await;

    let (stream, run) = ("server_stream", "RunInstances");
    assert_eq!(scrape.rpc("grpc_server_started_total", stream, run), 4.0);
    for (code, count) in [
        ("OK", 1.0),
        ("Unknown", 1.0),
        ("ResourceExhausted", 1.0),
        ("InvalidArgument", 1.0),
        ("Internal", 0.0),
    ] {
        assert_eq!(scrape.handled(stream, run, code), count, "{code}");
    }
    let received = "grpc_server_msg_received_total";
    assert_eq!(scrape.rpc(received, stream, run), 4.0);
    let messages = scrape.rpc("grpc_server_msg_sent_total", stream, run);
    assert_eq!(messages, f64::from(u32::try_from(sent).unwrap()));
    let seconds = "grpc_server_handling_seconds";
    assert_eq!(scrape.rpc(&format!("{seconds}_count"), stream, run), 4.0);
    assert!(scrape.rpc(&format!("{seconds}_sum"), stream, run) > 0.0);
    assert_eq!(scrape.handled("unary", "GetOperation", "OK"), 1.0);
    assert_eq!(scrape.rpc(received, "unary", "GetOperation"), 1.0);
    assert_eq!(scrape.handled("unary", "ListOperations", "OK"), 0.0);

    for (series, value) in [
        (
            r#"cloud_requests_total{account="main",action="RunInstances",class="ok"}"#,
            2.0,
        ),
        (
            r#"cloud_requests_total{account="main",action="RunInstances",class="refused"}"#,
            1.0,
        ),
        (
            r#"cloud_request_seconds_count{account="main",action="RunInstances"}"#,
            3.0,
        ),
        (
            r#"cloud_permitted_calls_per_second{account="main",action="RunInstances"}"#,
            8.0,
        ),
        (r#"cloud_rate_limited_total{action="RunInstances"}"#, 0.0),
        (r#"operations{state="SUCCEEDED"}"#, 1.0),
        (r#"operations{state="FAILED"}"#, 2.0),
        (r#"operations{state="LAUNCHED"}"#, 0.0),
        (
            r#"operations_finished_total{kind="launch",state="FAILED"}"#,
            2.0,
        ),
        (r#"launch_seconds_count{state="SUCCEEDED"}"#, 1.0),
        (r#"launch_seconds_count{state="FAILED"}"#, 2.0),
        (r#"streams_open{grpc_method="RunInstances"}"#, 0.0),
        (
            concat!(
                r#"build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""}"#
            ),
            1.0,
        ),
    ] {
        assert_eq!(
            scrape.value(&format!("cvm_gateway_{series}")),
            value,
            "{series}"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_commits_and_the_process_are_measured() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    story(&mut client(&gateway).await).await;
    let scrape = settled(&gateway).await;
    let polls = scrape.value("cvm_gateway_poll_batch_size_count");
    let calls = r#"cvm_gateway_cloud_requests_total{account="main",action="DescribeInstancesStatus",class="ok"}"#;
    assert!(polls > 1.0 && polls == scrape.value(calls), "{polls}");
    assert!(scrape.value(r#"cvm_gateway_poll_batch_size_bucket{le="1"}"#) < polls);
    // The machines of two launches came up or failed, and one poll sees several at once.
    assert!(scrape.value("cvm_gateway_detection_lag_seconds_count") >= 2.0);
    assert!(scrape.value("cvm_gateway_detection_lag_seconds_sum") > 0.0);
    let waits =
        r#"cvm_gateway_cloud_permit_wait_seconds_count{action="RunInstances",class="launch"}"#;
    assert!(
        scrape.value(waits) >= 3.0,
        "a launch that was late waits again"
    );
    let writes = scrape.value("cvm_gateway_journal_commit_writes_sum");
    assert!(
        writes >= 3.0 + 3.0 + 3.0,
        "admission, attempt, end: {writes}"
    );
    let commits = scrape.value("cvm_gateway_journal_commit_seconds_count");
    assert!(commits > 3.0 && commits <= writes, "{commits}");
    #[cfg(target_os = "linux")]
    for process in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(scrape.value(process) > 0.0, "{process}");
    }
    gateway.stop().await;
}

/// Scrapes that come while one counts in the journal take none of its connections. No count is given up here: the clock
/// stands still.
#[tokio::test(flavor = "multi_thread")]
async fn one_scrape_counts_at_a_time() {
    let world = World::new(100.0).await;
    let url = new_database().await;
    let sqlite = format!("sqlite://{}/journal.db", world.folder.0.display());
    let text = config_text(&world.folder.0, "http://127.0.0.1:9", "");
    let text = with_key_file(&text.replace(&sqlite, &url));
    let text = text.replace("[journal]\n", "[journal]\nbusy_timeout = \"5m\"\n");
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let (clock, waits) = (Clock::manual(Clock::system().now()), Clock::system());
    let gateway = Served::start(config, clock.clone()).await;
    Scrape::of(&gateway).await;
    let mut locker = connect(&url).await;
    let mut lock = locker.begin().await.unwrap();
    let locks = "LOCK TABLE operations IN ACCESS EXCLUSIVE MODE";
    sqlx::query(locks).execute(&mut *lock).await.unwrap();
    let mut look = connect(&url).await;
    let others = async {
        let counting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                        AND wait_event_type = 'Lock' AND query LIKE 'SELECT state, COUNT(%'";
        let mut counts = 0_i64;
        while counts == 0 {
            waits.sleep(Duration::from_millis(10)).await;
            counts = sqlx::query_scalar(counting)
                .fetch_one(&mut look)
                .await
                .unwrap();
        }
        let other = Scrape::of(&gateway);
        let other = waits.timeout(LONG, other).await.expect("it waits");
        other.value("cvm_gateway_operations{state=\"ACCEPTED\"}");
        lock.rollback().await.unwrap();
    };
    tokio::join!(Scrape::of(&gateway), others);
    stop(gateway, &clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_by_whose_they_are_to_mend() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    story(&mut client(&gateway).await).await;
    let scrape = settled(&gateway).await;
    for (fault, reason, count) in [
        ("cloud", "LAUNCH_FAILED", 1.0),
        ("caller", "CAPACITY", 1.0),
        ("operator", "GATEWAY_CREDENTIAL", 0.0),
    ] {
        let series = "cvm_gateway_operations_failed_total";
        let series = format!(r#"{series}{{fault="{fault}",kind="launch",reason="{reason}"}}"#);
        assert_eq!(scrape.value(&series), count, "{reason}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_are_counted() {
    let (world, later) = World::still().await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let open = r#"cvm_gateway_streams_open{grpc_method="RunInstances"}"#;
    let stream = client.run_instances(wish("open", 1)).await.unwrap();
    let scrape = Scrape::of(&gateway).await;
    assert_eq!((scrape.value(open), scrape.under_way()), (1.0, 1.0));
    world.launched(1).await;
    later.comes();
    read(stream.into_inner()).await.end.unwrap();
    assert_eq!(settled(&gateway).await.value(open), 0.0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_from_closed_sets() {
    let world = World::new(100.0).await;
    let quota = "[quotas.all]\norganization = \"development\"\ninstances = 1000";
    let gateway = world.gateway(quota).await;
    let mut client = client(&gateway).await;
    story(&mut client).await;
    raw::post(&gateway, MADE_UP, &[], raw::framed(0, &[])).await;
    let scrape = settled(&gateway).await;
    assert!(!scrape.text.contains("anary"), "{}", scrape.text);
    let unknown = r#"{grpc_code="Unimplemented",grpc_method="unknown",grpc_service="unknown",grpc_type="unary"}"#;
    assert_eq!(
        scrape.value(&format!("grpc_server_handled_total{unknown}")),
        1.0
    );

    let mut kinds = names(&FAILURES);
    kinds.extend(names(&Kind::ALL.map(Kind::as_str)));
    let (mut services, mut methods) = (names(&["unknown"]), names(&["unknown"]));
    for set in [
        pb::DESCRIPTOR,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        for service in DescriptorPool::decode(set).unwrap().services() {
            services.insert(service.full_name().to_owned());
            methods.extend(service.methods().map(|method| method.name().to_owned()));
        }
    }
    let mut sets = BTreeMap::from([
        ("grpc_service", services),
        ("grpc_method", methods),
        (
            "grpc_type",
            names(&["unary", "client_stream", "server_stream", "bidi_stream"]),
        ),
        ("grpc_code", (0..=16).map(code_name).collect()),
        ("account", names(&["main"])),
        ("action", names(&Action::ALL.map(Action::as_str))),
        ("class", names(&["ok", "refused", "launch", "poll"])),
        ("quota", names(&["all"])),
        ("limit", names(&["instances"])),
        ("credential", names(&["base", "role"])),
        ("decision", names(&["allow", "deny"])),
        ("result", names(&["ok", "failed", "timeout", "dropped"])),
        ("source", names(&["tls", "denied", "keys"])),
        ("reason", reasons()),
        ("resource", names(&Resource::ALL.map(Resource::as_str))),
        ("priority", names(&Priority::ALL.map(Priority::as_str))),
        ("fault", names(&Fault::ALL.map(Fault::as_str))),
        ("kind", kinds),
        ("code", names(&["other"])),
        ("paid_by", names(&["budget", "probe"])),
        ("version", names(&[env!("CARGO_PKG_VERSION")])),
        ("state", names(&StateName::ALL.map(StateName::as_str))),
    ]);
    // Of the one key of the journal.
    sets.insert("key", names(&["47938a61d25424be"]));
    for (label, value) in scrape.labels() {
        let known = match sets.get(label.as_str()) {
            Some(set) => set.contains(&value),
            None => label == "le" && value.parse::<f64>().is_ok(),
        };
        assert!(known, "{label}={value}");
    }
    gateway.stop().await;
}

/// An answer with a code of tomorrow is ambiguous, so the launch is looked for; one that is listed is
/// no news.
#[tokio::test(flavor = "multi_thread")]
async fn codes_that_nobody_listed_are_counted_by_name() {
    let refusal = |code: &str| {
        answer(&format!(
            r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"No."}},"RequestId":"r"}}}}"#
        ))
    };
    let cloud = Server::start(vec![
        refusal("InvalidParameterValue.OfTomorrow"),
        refusal("InvalidImageId.NotFound"),
    ])
    .await;
    let world = World::new(100.0).await;
    let config = world.config_of(&format!("http://{}", cloud.address), "");
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    let mut streams = Vec::new();
    for name in ["tomorrow", "today"] {
        streams.push(client.run_instances(wish(name, 1)).await.unwrap());
        let asked = async {
            while cloud.requests().len() < streams.len() {
                Clock::system().sleep(Duration::from_millis(5)).await;
            }
        };
        let asked = Clock::system().timeout(LONG, asked).await;
        asked.expect("the cloud is not asked");
    }
    let scrape = settled_codes(&gateway).await;
    let series = "cvm_gateway_cloud_unlisted_codes_total";
    let tomorrow = format!(r#"{series}{{code="InvalidParameterValue.OfTomorrow"}}"#);
    assert_eq!(scrape.value(&tomorrow), 1.0);
    assert_eq!(scrape.value(&format!(r#"{series}{{code="other"}}"#)), 0.0);
    assert_eq!(scrape.text.matches(&format!("{series}{{")).count(), 2);
    drop(streams);
    gateway.stop().await;
}

/// A scrape after both calls were counted.
async fn settled_codes(gateway: &Gateway) -> Scrape {
    let calls = "cvm_gateway_cloud_requests_total";
    let settled = async {
        loop {
            let scrape = Scrape::of(gateway).await;
            let launches = scrape.series.iter().filter(|(name, _)| {
                name.starts_with(calls) && name.contains(r#"action="RunInstances""#)
            });
            if launches.map(|(_, count)| count).sum::<f64>() >= 2.0 {
                return scrape;
            }
            Clock::system().sleep(Duration::from_millis(5)).await;
        }
    };
    let settled = Clock::system().timeout(LONG, settled).await;
    settled.expect("a call is not counted")
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "`make test` says where promtool is"
)]
async fn promtool_finds_no_fault() {
    let promtool = std::env::var_os("CVM_GATEWAY_TEST_PROMTOOL")
        .expect("CVM_GATEWAY_TEST_PROMTOOL names no promtool: run `make test`, which installs one");
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    story(&mut client).await;
    let text = settled(&gateway).await.text;
    gateway.stop().await;
    let check = move || {
        let mut command = Command::new(promtool);
        command.args(["check", "metrics"]).stdin(Stdio::piped());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(check).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Of callers, connections and calls that were not let in, of connections that ended, and of operations.
fn reasons() -> BTreeSet<String> {
    let mut reasons = names(&Rejection::ALL.map(Rejection::as_str));
    reasons.extend(Reason::ALL.iter().map(|reason| reason.as_str().to_owned()));
    reasons.extend(names(&Refused::ALL.map(Refused::as_str)));
    reasons.extend(names(&Ended::ALL.map(Ended::as_str)));
    reasons.extend(names(&Shed::ALL.map(Shed::as_str)));
    reasons
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// As the conventional dashboards spell it.
pub(crate) fn code_name(code: i32) -> String {
    match code {
        0 => "OK".to_owned(),
        1 => "Canceled".to_owned(),
        code => format!("{:?}", tonic::Code::from_i32(code)),
    }
}
