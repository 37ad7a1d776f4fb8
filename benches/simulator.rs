//! What the simulator does in a second, as figures of this machine: `make measure-simulator`.
//!
//! Its callers share the machine and the process with it, so the figures are lower bounds. The catalogue is the embedded one without
//! the limits that would refuse the calls: they are a cloud's, not the simulator's own.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a benchmark reads the machine's time, prints, rounds, and may fail by panic"
)]

use cvm_gateway::clock::Clock;
use cvm_gateway::cloud::tc3;
use cvm_gateway::simulator::{Catalog, Settings, Simulator, Speed};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

#[path = "common/catalog.rs"]
mod catalog;
#[path = "../tests/common/http.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod http;

/// Instances in the world before anything is measured.
const INSTANCES: usize = 100_000;
/// The most that one call launches, and the most ids that one call may name.
const TOGETHER: usize = 100;
/// Callers at once, each on a connection of its own.
const CALLERS: [usize; 2] = [1, 32];
const DESCRIBES: usize = 1_000;
const LAUNCHES: usize = 5_000;
const SECRET_ID: &str = "AKIDfakeForLoopbackTestsOnly0000001";
const SECRET_KEY: &str = "fakeSecretKeyLoopbackTestsOnly001";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let settings = Settings {
            catalog: boundless(),
            speed: Speed::REAL,
            seed: 7,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(settings, listener, Clock::system()).unwrap();
        measure(simulator.addr()).await;
        simulator.stop().await;
    });
}

/// The embedded catalogue with room for all that is launched here, and without its limits of calls.
fn boundless() -> Catalog {
    catalog::roomy(&[
        ("\nRunInstances = 10\n", "\nRunInstances = 1000000\n"),
        (
            "\nDescribeInstances = 40\n",
            "\nDescribeInstances = 1000000\n",
        ),
    ])
}

async fn measure(simulator: SocketAddr) {
    let start = Instant::now();
    let ids = populate(simulator).await;
    println!(
        "{} instances, {TOGETHER} a call, launched in {:.1} s",
        ids.len(),
        start.elapsed().as_secs_f64()
    );
    println!("\nsigned calls over HTTP, from before the signature to the whole answer");
    println!("  action                  callers      calls/s      p50 ms      p99 ms");
    let ids = Arc::new(ids);
    for callers in CALLERS {
        let ids = Arc::clone(&ids);
        let named =
            move |number: usize| json!({"InstanceIds": spread(&ids, number), "Limit": TOGETHER});
        let calls = Calls {
            action: "DescribeInstances",
            count: DESCRIBES,
            proof: format!("\"TotalCount\":{TOGETHER},"),
        };
        calls.race(simulator, callers, named).await;
    }
    for callers in CALLERS {
        let calls = Calls {
            action: "RunInstances",
            count: LAUNCHES,
            proof: "\"InstanceIdSet\":[\"ins-".to_owned(),
        };
        calls.race(simulator, callers, |_| launch(1)).await;
    }
}

/// Launches the instances; their ids.
async fn populate(simulator: SocketAddr) -> Vec<String> {
    let mut caller = Caller::connect(simulator).await;
    let mut ids = Vec::with_capacity(INSTANCES);
    while ids.len() < INSTANCES {
        let answer = caller.call("RunInstances", &launch(TOGETHER)).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let launched = body["Response"]["InstanceIdSet"].as_array();
        assert!(launched.is_some(), "{body}");
        let launched = launched.into_iter().flatten();
        ids.extend(launched.map(|id| id.as_str().unwrap().to_owned()));
    }
    ids
}

fn launch(count: usize) -> Value {
    json!({
        "Placement": {"Zone": "ap-shanghai-2"},
        "ImageId": "img-pmqg1cw7",
        "InstanceType": "S5.SMALL1",
        "InstanceCount": count,
    })
}

/// As many ids as a call may name, from all over the world, others for each number.
fn spread(ids: &[String], number: usize) -> Vec<&str> {
    let step = ids.len() / TOGETHER;
    (0..TOGETHER)
        .map(|index| ids[(index * step + number) % ids.len()].as_str())
        .collect()
}

/// Calls of one kind.
struct Calls {
    action: &'static str,
    count: usize,
    /// What the answer to each must have.
    proof: String,
}

impl Calls {
    /// Callers, each a task that calls one time after the other; prints how it went.
    async fn race<F>(self, simulator: SocketAddr, callers: usize, body: F)
    where
        F: Fn(usize) -> Value + Send + Sync + 'static,
    {
        let connecting = (0..callers).map(|_| Caller::connect(simulator));
        let connected = join_all(connecting).await;
        let shared = Arc::new((self, AtomicUsize::new(0), body));
        let start = Instant::now();
        let calling = connected.into_iter().map(|mut caller| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let (calls, next, body) = &*shared;
                let mut seconds = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls.count {
                        return seconds;
                    }
                    let body = body(number);
                    let called = Instant::now();
                    let answer = caller.call(calls.action, &body).await;
                    seconds.push(called.elapsed().as_secs_f64());
                    assert!(answer.contains(&calls.proof), "{answer}");
                }
            })
        });
        let ended = join_all(calling).await.into_iter();
        let mut seconds: Vec<f64> = ended.flat_map(Result::unwrap).collect();
        let (calls, ..) = &*shared;
        let took = start.elapsed().as_secs_f64();
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share) as usize] * 1e3;
        println!(
            "  {:<22} {callers:>8} {:>12.0} {:>11.2} {:>11.2}",
            calls.action,
            calls.count as f64 / took,
            at(0.50),
            at(0.99)
        );
    }
}

/// One connection, kept open, and the key that signs.
struct Caller {
    stream: TcpStream,
    host: String,
    clock: Clock,
    key: tc3::DayKey,
}

impl Caller {
    async fn connect(simulator: SocketAddr) -> Self {
        let stream = TcpStream::connect(simulator).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let clock = Clock::system();
        Self {
            stream,
            host: simulator.to_string(),
            key: tc3::DayKey::derive(SECRET_ID, SECRET_KEY, clock.now()),
            clock,
        }
    }

    /// The whole answer, head and body.
    async fn call(&mut self, action: &str, body: &Value) -> String {
        const JSON: &str = "application/json";
        let body = body.to_string();
        let form = tc3::Form::new("POST", "", &[("content-type", JSON), ("host", &self.host)]);
        let tc3::SignedHeaders {
            timestamp,
            authorization,
        } = form.sign(body.as_bytes(), &self.key, self.clock.now());
        let text = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: {JSON}\r\nContent-Length: {}\r\nX-TC-Action: {action}\r\n\
             X-TC-Version: 2017-03-12\r\nX-TC-Region: ap-shanghai\r\nX-TC-Timestamp: {timestamp}\r\n\
             Authorization: {authorization}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.write_all(text.as_bytes()).await.unwrap();
        let answer = http::message(&mut self.stream).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}
