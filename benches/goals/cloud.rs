//! The cloud of the benchmarks: the simulator in this process, what it saw, and callers that do without a gateway.

use crate::catalog::roomy;
use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::tc3;
use cvm_gateway::simulator::{Settings, Simulator, Speed};
use serde_json::Value;
use std::net::SocketAddr;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;

/// The keys of the simulator's catalogue. The gateway signs with the first, callers of their own with the second.
const KEY: (&str, &str, &str) = (
    "AKIDfakeForLoopbackTestsOnly0000002",
    "fakeSecretKeyLoopbackTestsOnly002",
    "fake-session-token-0002",
);
/// What the simulator is told where its rates must not be what is measured.
const NO_LIMITS: &str = r#"{"rates": {"RunInstances": 1000000, "DescribeInstances": 1000000, "DescribeInstancesStatus": 1000000}}"#;
/// Settings of a gateway for a cloud without limits.
pub(crate) const UNLIMITED: &str = "
[cloud.limits]
run_instances_per_second = 10000
describe_per_second = 10000
";

/// A simulator.
#[derive(Debug)]
pub(crate) struct Cloud {
    simulator: Simulator,
    http: reqwest::Client,
}

/// A machine that the cloud made.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) made: f64,
    /// When it came to run.
    pub(crate) ran: Option<f64>,
}

impl Cloud {
    /// A cloud in which machines start `speed` times as fast as in the real one, with the real one's limits or without.
    pub(crate) async fn new(speed: f64, limited: bool) -> Self {
        let settings = Settings {
            catalog: roomy(&[]),
            speed: Speed::new(speed).unwrap(),
            seed: 7,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloud = Self {
            simulator: Simulator::start(settings, listener, Clock::system()).unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        if !limited {
            let url = cloud.url("/_control/faults");
            let answer = cloud.http.put(url).body(NO_LIMITS).send().await;
            answer.unwrap().error_for_status().unwrap();
        }
        cloud
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.simulator.addr()
    }

    /// Calls the cloud without a gateway; its answer.
    pub(crate) async fn call(&self, action: &str, parameters: &Value) -> Value {
        let (id, secret, token) = KEY;
        let body = parameters.to_string();
        let now = UtcDateTime::now();
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("host", "cvm.tencentcloudapi.com"),
        ];
        let key = tc3::DayKey::derive(id, secret, now);
        let signed = tc3::Form::new("POST", "", &headers).sign(body.as_bytes(), &key, now);
        let mut call = self.http.post(self.url("/"));
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let call = call
            .header("authorization", signed.authorization)
            .header("x-tc-action", action)
            .header("x-tc-version", "2017-03-12")
            .header("x-tc-region", "ap-shanghai")
            .header("x-tc-timestamp", now.unix_timestamp().to_string())
            .header("x-tc-token", token)
            .body(body);
        let answer = call.send().await.unwrap().text().await.unwrap();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        answer["Response"].take()
    }

    /// The calls of an action by the gateway, or else by others: when each came, and what it was told.
    pub(crate) async fn calls(&self, action: &str, by_gateway: bool) -> Vec<(f64, String)> {
        let ledger = self.ledger().await;
        let calls = ledger.iter().filter(|entry| {
            entry["kind"] == "attempt"
                && entry["action"] == action
                && (entry["key_id"] != KEY.0) == by_gateway
        });
        calls
            .map(|entry| (seconds(&entry["at"]), text(&entry["verdict"])))
            .collect()
    }

    pub(crate) async fn machines(&self) -> Vec<Machine> {
        let ledger = self.ledger().await;
        let machines = ledger.iter().filter(|entry| entry["kind"] == "machine");
        machines
            .map(|entry| Machine {
                id: text(&entry["instance_id"]),
                made: seconds(&entry["created_at"]),
                ran: ran(&entry["states"]),
            })
            .collect()
    }

    async fn ledger(&self) -> Vec<Value> {
        let answer = self.http.get(self.url("/_ledger")).send().await.unwrap();
        let lines = answer.text().await.unwrap();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }
}

/// Seconds since 1970, now.
pub(crate) fn now() -> f64 {
    UtcDateTime::now().unix_timestamp_nanos() as f64 / 1e9
}

fn ran(states: &Value) -> Option<f64> {
    let states = states.as_array().unwrap().iter();
    let mut running = states.filter(|change| change["state"] == "RUNNING");
    running.next().map(|change| seconds(&change["at"]))
}

fn seconds(value: &Value) -> f64 {
    let at = UtcDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap();
    at.unix_timestamp_nanos() as f64 / 1e9
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
