//! The simulator over real HTTP, spoken to with a signer of its own.

mod control;
mod doors;
mod endings;
mod gateway;
mod ledger;
mod metadata;
mod scenes;

use cvm_gateway::clock::Clock;
use cvm_gateway::simulator::{Catalog, Settings, Simulator, Speed};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: (&str, &str) = (
    "AKIDfakeForLoopbackTestsOnly0000001",
    "fakeSecretKeyLoopbackTestsOnly001",
);

/// A running simulator on a clock that stands still until it is moved.
struct Cloud {
    simulator: Simulator,
    clock: Clock,
}

/// A call before it is signed.
#[derive(Debug)]
struct Request<'a> {
    action: &'a str,
    body: String,
    version: &'a str,
    /// Whose signature it is.
    service: &'a str,
    region: &'a str,
    content_type: &'a str,
    key: (&'a str, &'a str),
    /// Further header lines, which are not signed.
    extra: &'a str,
    /// A header that is left out.
    without: &'a str,
}

impl<'a> Request<'a> {
    fn new(action: &'a str, body: &Value) -> Self {
        Self {
            action,
            body: body.to_string(),
            version: "2017-03-12",
            service: "cvm",
            region: "ap-shanghai",
            content_type: "application/json",
            key: KEY,
            extra: "",
            without: "none",
        }
    }
}

/// What a test does to a sound request.
type Change = fn(&mut Request<'_>);

struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn read(answer: &[u8]) -> Self {
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let (head, body) = (head.to_lowercase(), body.to_owned());
        Self { head, body }
    }

    fn response(&self) -> Value {
        serde_json::from_str::<Value>(&self.body).unwrap()["Response"].take()
    }

    /// `OK`, or the code of the refusal.
    fn verdict(&self) -> String {
        let response = self.response();
        response["Error"]["Code"]
            .as_str()
            .unwrap_or("OK")
            .to_owned()
    }
}

impl Cloud {
    async fn start() -> Self {
        Self::at(utc_datetime!(2026-11-23 12:00)).await
    }

    async fn at(now: UtcDateTime) -> Self {
        Self::with(now, Catalog::embedded()).await
    }

    async fn with(now: UtcDateTime, catalog: Catalog) -> Self {
        let clock = Clock::manual(now);
        let settings = Settings {
            catalog,
            speed: Speed::REAL,
            seed: 7,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(settings, listener, clock.clone()).unwrap();
        Self { simulator, clock }
    }

    async fn call(&self, action: &str, body: Value) -> Answer {
        self.send(&Request::new(action, &body)).await
    }

    async fn send(&self, request: &Request<'_>) -> Answer {
        Answer::read(&self.send_raw(request).await)
    }

    /// The bytes that are answered.
    async fn send_raw(&self, request: &Request<'_>) -> Vec<u8> {
        self.exchange(&self.signed(request)).await
    }

    /// The request in bytes, signed now.
    fn signed(&self, request: &Request<'_>) -> String {
        let host = self.simulator.addr().to_string();
        let at = self.clock.now();
        let (timestamp, date) = (at.unix_timestamp(), at.date());
        let (id, secret) = request.key;
        let hash = |text: &str| hex::encode(Sha256::digest(text.as_bytes()));
        let content_type = request.content_type;
        let payload = hash(&request.body);
        let canonical = format!(
            "POST\n/\n\ncontent-type:{content_type}\nhost:{host}\n\ncontent-type;host\n{payload}"
        );
        let service = request.service;
        let scope = format!("{date}/{service}/tc3_request");
        let text = format!(
            "TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{}",
            hash(&canonical)
        );
        let date = date.to_string();
        let steps = [date.as_str(), service, "tc3_request", &text];
        let signature = steps
            .iter()
            .fold(format!("TC3{secret}").into_bytes(), |key, step| {
                let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
                mac.update(step.as_bytes());
                mac.finalize().into_bytes().to_vec()
            });
        let signature = hex::encode(signature);
        let Request {
            action,
            version,
            region,
            extra,
            without,
            body,
            ..
        } = request;
        let length = body.len();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             X-TC-Action: {action}\r\nX-TC-Version: {version}\r\nX-TC-Region: {region}\r\nX-TC-Timestamp: {timestamp}\r\n\
             Authorization: TC3-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders=content-type;host, Signature={signature}\r\n\
             {extra}Content-Length: {length}\r\n"
        );
        let lines = head
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(without));
        format!("{}\r\n{body}", lines.collect::<String>())
    }

    async fn get(&self, path: &str) -> Answer {
        let host = self.simulator.addr();
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    async fn raw(&self, request: &str) -> Answer {
        Answer::read(&self.exchange(request).await)
    }

    async fn exchange(&self, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.simulator.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    async fn ledger(&self) -> Vec<Value> {
        let lines = self.get("/_ledger").await.body;
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn launch(changes: &Value) -> Value {
    let mut body = json!({"Placement": {"Zone": "ap-shanghai-2"}, "ImageId": "img-pmqg1cw7"});
    body.as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_launch_runs_and_is_terminated() {
    let cloud = Cloud::start().await;
    let launched = cloud
        .call("RunInstances", launch(&json!({"InstanceCount": "2"})))
        .await
        .response();
    let ids = launched["InstanceIdSet"].clone();
    assert_eq!(ids.as_array().unwrap().len(), 2);
    let states = async || {
        let status = cloud
            .call("DescribeInstancesStatus", json!({"InstanceIds": ids}))
            .await
            .response();
        let set = status["InstanceStatusSet"].as_array().unwrap().clone();
        set.iter()
            .map(|row| row["InstanceState"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states().await, ["PENDING", "PENDING"]);
    cloud.clock.advance(Duration::from_secs(180));
    assert_eq!(states().await, ["RUNNING", "RUNNING"]);
    let found = cloud
        .call("DescribeInstances", json!({"InstanceIds": ids}))
        .await
        .response();
    assert_eq!(found["TotalCount"], 2);
    assert_eq!(
        found["InstanceSet"][0]["LatestOperationRequestId"],
        launched["RequestId"]
    );
    assert_eq!(
        cloud
            .call("TerminateInstances", json!({"InstanceIds": ids}))
            .await
            .verdict(),
        "OK"
    );
    assert_eq!(states().await, ["TERMINATING", "TERMINATING"]);
    cloud.clock.advance(Duration::from_secs(30));
    assert!(states().await.is_empty());
    cloud.simulator.stop().await;
}

/// The Python SDK takes a refusal for a success when anything follows `application/json`.
#[tokio::test]
async fn every_answer_is_http_200_with_the_bare_content_type_and_a_request_id() {
    let cloud = Cloud::start().await;
    let answers = [
        (cloud.call("DescribeRegions", json!({})).await, "OK"),
        (
            cloud.call("RunInstances", json!({})).await,
            "MissingParameter",
        ),
        (
            cloud
                .raw("PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await,
            "UnsupportedProtocol",
        ),
        (cloud.get("/").await, "MissingParameter"),
    ];
    for (answer, verdict) in answers {
        assert_eq!(answer.verdict(), verdict);
        assert!(
            answer.head.starts_with("http/1.1 200 ok\r\n"),
            "{}",
            answer.head
        );
        assert!(
            answer
                .head
                .contains("\r\ncontent-type: application/json\r\n"),
            "{}",
            answer.head
        );
        let response = answer.response();
        assert_eq!(response["RequestId"].as_str().unwrap().len(), 36);
        assert_eq!(
            response.as_object().unwrap().keys().next_back().unwrap(),
            "RequestId"
        );
    }
    assert!(
        cloud
            .get("/_health")
            .await
            .head
            .starts_with("http/1.1 200 ok")
    );
    assert!(
        cloud
            .get("/elsewhere")
            .await
            .head
            .starts_with("http/1.1 404")
    );
}

#[tokio::test]
async fn common_parameters_are_checked() {
    let cloud = Cloud::start().await;
    let rows: [(Change, &str); 12] = [
        (|_| (), "OK"),
        (
            |call| call.content_type = "application/json; charset=utf-8",
            "OK",
        ),
        (|call| call.action = "DescribeWeather", "InvalidAction"),
        (|call| call.action = "describezones", "InvalidAction"),
        (|call| call.service = "sts", "AuthFailure.SignatureFailure"),
        (|call| call.service = "127", "OK"),
        (|call| call.version = "2014-01-01", "NoSuchVersion"),
        (|call| call.region = "mars", "UnsupportedRegion"),
        (|call| call.without = "X-TC-Action", "MissingParameter"),
        (|call| call.without = "X-TC-Version", "MissingParameter"),
        (|call| call.without = "X-TC-Region", "MissingParameter"),
        (|call| call.body = "{".to_owned(), "InvalidParameter"),
    ];
    for (change, verdict) in rows {
        let mut request = Request::new("DescribeZones", &json!({}));
        change(&mut request);
        assert_eq!(cloud.send(&request).await.verdict(), verdict, "{request:?}");
    }
    let unknown = cloud.call("DescribeZones", json!({"Zone": 1})).await;
    assert_eq!(unknown.verdict(), "UnknownParameter");
}

#[tokio::test]
async fn keys_are_checked() {
    let cloud = Cloud::start().await;
    let temporary = (
        "AKIDfakeForLoopbackTestsOnly0000002",
        "fakeSecretKeyLoopbackTestsOnly002",
    );
    let token = "X-TC-Token: fake-session-token-0002\r\n";
    let rows = [
        (KEY, "", "OK"),
        ((KEY.0, "wrong"), "", "AuthFailure.SignatureFailure"),
        (("AKIDunknown", KEY.1), "", "AuthFailure.SecretIdNotFound"),
        (temporary, "", "AuthFailure.TokenFailure"),
        (temporary, token, "OK"),
    ];
    for (key, extra, verdict) in rows {
        let request = Request {
            key,
            extra,
            ..Request::new("DescribeZones", &json!({}))
        };
        assert_eq!(cloud.send(&request).await.verdict(), verdict, "{request:?}");
    }
}

#[tokio::test]
async fn the_eleventh_launch_of_a_second_is_refused_without_effect() {
    let cloud = Cloud::start().await;
    for _ in 0..10 {
        assert_eq!(
            cloud
                .call("RunInstances", launch(&json!({})))
                .await
                .verdict(),
            "OK"
        );
    }
    let refused = cloud
        .call("RunInstances", launch(&json!({"ClientToken": "t"})))
        .await;
    assert_eq!(refused.verdict(), "RequestLimitExceeded");
    assert!(
        refused.body.contains("`11`") && refused.body.contains("`10`"),
        "{}",
        refused.body
    );
    cloud.clock.advance(Duration::from_secs(1));
    assert_eq!(
        cloud
            .call("RunInstances", launch(&json!({"ClientToken": "t"})))
            .await
            .verdict(),
        "OK"
    );
    let machines = cloud
        .ledger()
        .await
        .iter()
        .filter(|line| line["kind"] == "machine")
        .count();
    assert_eq!(machines, 11);
}

#[tokio::test]
async fn the_ledger_tells_every_call_and_every_machine_but_no_secret() {
    let cloud = Cloud::start().await;
    let tags = json!([{"ResourceType": "instance", "Tags": [{"Key": "env", "Value": "dev"}]}]);
    let body = launch(&json!({
        "ClientToken": "t-1",
        "LoginSettings": {"Password": "Canary@Password1"},
        "UserData": "Q2FuYXJ5",
        "TagSpecification": tags,
    }));
    let first = cloud.call("RunInstances", body.clone()).await.response();
    let replay = cloud.call("RunInstances", body.clone()).await.response();
    assert_eq!(first["InstanceIdSet"], replay["InstanceIdSet"]);
    assert_ne!(first["RequestId"], replay["RequestId"]);
    cloud
        .send(&Request {
            key: (KEY.0, "wrong"),
            ..Request::new("RunInstances", &body)
        })
        .await;
    cloud.call("DescribeInstances", json!({"Limit": 0})).await;
    cloud.clock.advance(Duration::from_secs(180));

    let raw = cloud.get("/_ledger").await.body;
    assert!(
        !raw.contains("Canary") && !raw.contains("Q2FuYXJ5"),
        "{raw}"
    );
    let ledger = cloud.ledger().await;
    let column = |name: &str| {
        ledger
            .iter()
            .map(|line| line[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        column("kind"),
        [
            "attempt", "attempt", "attempt", "attempt", "machine", "charge"
        ]
    );
    let verdicts = [
        json!("OK"),
        json!("OK"),
        json!("AuthFailure.SignatureFailure"),
        json!("InvalidParameterValue"),
        Value::Null,
        Value::Null,
    ];
    assert_eq!(column("verdict"), verdicts);
    let attempt = &ledger[0];
    assert_eq!(attempt["at"], "2026-11-23T12:00:00.000Z");
    assert_eq!(attempt["action"], "RunInstances");
    assert_eq!(attempt["key_id"], KEY.0);
    assert_eq!(attempt["region"], "ap-shanghai");
    assert_eq!(attempt["signed_at"], "1795435200");
    assert_eq!(attempt["client_token"], "t-1");
    assert_eq!(attempt["request_id"], first["RequestId"]);
    assert_eq!(
        attempt["body_sha256"],
        hex::encode(Sha256::digest(body.to_string()))
    );
    assert_eq!(ledger[3]["body"], r#"{"Limit":0}"#);
    let machine = &ledger[4];
    assert_eq!(machine["instance_id"], first["InstanceIdSet"][0]);
    assert_eq!(machine["request_id"], first["RequestId"]);
    assert_eq!(machine["client_token"], "t-1");
    assert_eq!(machine["tags"], json!({"env": "dev"}));
    let states = machine["states"].as_array().unwrap();
    assert_eq!(
        (states.len(), &states[0]["state"], &states[1]["state"]),
        (2, &json!("PENDING"), &json!("RUNNING"))
    );
}

/// The captured bodies of the 2020 page's five examples launch on the embedded catalogue as written.
#[tokio::test]
async fn the_five_examples_of_the_2020_page_launch() {
    let cloud = Cloud::start().await;
    let expected = [("ex1", 1), ("ex2", 1), ("ex3", 1), ("ex4", 2), ("ex5", 1)];
    for (example, machines) in expected {
        let path = format!(
            "{}/testdata/contract/captures/python-sdk__tc3-post__{example}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let capture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let body = capture["request"]["body_utf8"].as_str().unwrap().to_owned();
        let request = Request {
            body,
            ..Request::new("RunInstances", &json!({}))
        };
        let answer = cloud.send(&request).await;
        let ids = answer.response()["InstanceIdSet"].as_array().map(Vec::len);
        assert_eq!(ids, Some(machines), "{example}: {}", answer.body);
    }
}

#[tokio::test]
async fn zones_and_regions_are_listed() {
    let cloud = Cloud::start().await;
    let zones = cloud.call("DescribeZones", json!({})).await.response();
    assert_eq!(zones["TotalCount"], 4);
    let zone = json!({"Zone": "ap-shanghai-2", "ZoneName": "Shanghai Zone 2", "ZoneId": "200002", "ZoneState": "AVAILABLE"});
    assert_eq!(zones["ZoneSet"][0], zone);
    let anywhere = Request {
        region: "",
        ..Request::new("DescribeRegions", &json!({}))
    };
    let regions = cloud.send(&anywhere).await.response();
    let region = json!({"Region": "ap-guangzhou", "RegionName": "South China (Guangzhou)", "RegionState": "AVAILABLE"});
    assert_eq!(regions["RegionSet"][0], region);
    assert_eq!(
        regions["TotalCount"],
        regions["RegionSet"].as_array().unwrap().len()
    );
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let cloud = Cloud::start().await;
    for (length, verdict) in [(10_485_760, "OK"), (10_485_761, "RequestSizeLimitExceeded")] {
        let request = Request {
            body: " ".repeat(length - 2) + "{}",
            ..Request::new("DescribeZones", &json!({}))
        };
        assert_eq!(cloud.send(&request).await.verdict(), verdict, "{length}");
    }
}

#[tokio::test]
async fn a_stopped_simulator_takes_no_more_calls() {
    let cloud = Cloud::start().await;
    let addr = cloud.simulator.addr();
    let idle = TcpStream::connect(addr).await.unwrap();
    cloud.simulator.stop().await;
    assert!(TcpStream::connect(addr).await.is_err());
    drop(idle);
}
