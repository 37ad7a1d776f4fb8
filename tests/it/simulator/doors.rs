//! Every way into the simulator: the requests of official clients as they were captured, and what no capture has.

use super::{Answer, Cloud, Request, launch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cvm_gateway::clock::Clock;
use cvm_gateway::simulator::{Catalog, Identity, Settings, Simulator, Speed};
use flate2::read::GzDecoder;
use hmac::{Hmac, KeyInit, Mac};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::Read;
use std::time::Duration;
use time::UtcDateTime;
use time::macros::utc_datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NOW: UtcDateTime = utc_datetime!(2026-11-23 12:00);

/// A captured request, as it was on the wire.
pub(super) struct Capture {
    raw: Vec<u8>,
    at: UtcDateTime,
    action: String,
    /// What the client was given.
    pub(super) parameters: Value,
}

fn folder() -> String {
    format!("{}/testdata/contract/captures", env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn capture(name: &str) -> Capture {
    let text = std::fs::read_to_string(format!("{}/{name}.json", folder())).unwrap();
    let capture: Value = serde_json::from_str(&text).unwrap();
    let raw = capture["request"]["raw_base64"].as_str().unwrap();
    let at = capture["timestamp"].as_i64().unwrap();
    Capture {
        raw: STANDARD.decode(raw).unwrap(),
        at: UtcDateTime::from_unix_timestamp(at).unwrap(),
        action: capture["action"].as_str().unwrap().to_owned(),
        parameters: capture["input_params"].clone(),
    }
}

impl Cloud {
    /// Bytes that keep their connection open.
    async fn replay(&self, raw: &[u8]) -> Answer {
        let answer = crate::http::ask(self.simulator.addr(), raw).await.unwrap();
        let (head, body) = split(&answer);
        let body = String::from_utf8(body).unwrap();
        Answer { head, body }
    }

    /// One call with a V1 signature over the parameters in the order given.
    async fn signed_v1(&self, method: &str, host: &str, pairs: &[(&str, &str)]) -> Answer {
        let timestamp = self.clock.now().unix_timestamp().to_string();
        let common = [
            ("Version", "2017-03-12"),
            ("Region", "ap-shanghai"),
            ("Timestamp", &timestamp),
            ("Nonce", "11886"),
            ("SecretId", super::KEY.0),
            ("SignatureMethod", "HmacSHA256"),
        ];
        let mut all: Vec<_> = pairs.iter().copied().chain(common).collect();
        all.sort_unstable();
        let raw: Vec<_> = all.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let mut mac = Hmac::<Sha256>::new_from_slice(super::KEY.1.as_bytes()).unwrap();
        mac.update(format!("{method}{host}/?{}", raw.join("&")).as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(all)
            .append_pair("Signature", &signature)
            .finish();
        let head = |target: &str| {
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n")
        };
        let request = if method == "GET" {
            format!("{}\r\n", head(&format!("/?{form}")))
        } else {
            let kind = "application/x-www-form-urlencoded";
            let length = form.len();
            format!(
                "{}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{form}",
                head("/")
            )
        };
        self.raw(&request).await
    }
}

fn split(answer: &[u8]) -> (String, Vec<u8>) {
    let head = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let text = String::from_utf8(answer[..head].to_vec()).unwrap();
    (text.to_lowercase(), answer[head + 4..].to_vec())
}

#[tokio::test]
async fn every_captured_request_passes_as_it_was_on_the_wire() {
    let files = std::fs::read_dir(folder()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut passed = 0;
    for name in names {
        let capture = capture(name.trim_end_matches(".json"));
        let cloud = Cloud::at(capture.at).await;
        let answer = cloud.replay(&capture.raw).await;
        assert_eq!(answer.verdict(), "OK", "{name}: {}", answer.body);
        assert_eq!(
            cloud.ledger().await[0]["action"],
            capture.action.as_str(),
            "{name}"
        );
        passed += 1;
    }
    assert_eq!(passed, 102);
}

/// What DescribeInstances shows of the machines that a captured request makes, without what tells the time.
pub(super) async fn machines_of(name: &str) -> Vec<Value> {
    let capture = capture(name);
    let cloud = Cloud::at(capture.at).await;
    let answer = cloud.replay(&capture.raw).await;
    assert_eq!(answer.verdict(), "OK", "{name}: {}", answer.body);
    cloud.clock.advance(Duration::from_secs(180));
    let found = cloud.call("DescribeInstances", json!({})).await.response();
    let mut machines = found["InstanceSet"].as_array().unwrap().clone();
    for machine in &mut machines {
        for time in ["CreatedTime", "ExpiredTime"] {
            machine.as_object_mut().unwrap().remove(time).unwrap();
        }
    }
    machines
}

#[tokio::test]
async fn the_five_examples_make_the_same_machines_however_they_are_signed() {
    for (example, count) in [("ex1", 1), ("ex2", 1), ("ex3", 1), ("ex4", 2), ("ex5", 1)] {
        let expected = machines_of(&format!("python-sdk__tc3-post__{example}")).await;
        assert_eq!(expected.len(), count, "{example}");
        for variant in ["hmacsha1-get", "hmacsha256-post", "tc3-get"] {
            let machines = machines_of(&format!("python-sdk__{variant}__{example}")).await;
            assert_eq!(machines, expected, "{example} as {variant}");
        }
    }
}

#[tokio::test]
async fn a_signature_of_the_first_version_launches_and_keeps_its_secrets() {
    let cloud = Cloud::start().await;
    let launch = [
        ("Action", "RunInstances"),
        ("Placement.Zone", "ap-shanghai-2"),
        ("ImageId", "img-pmqg1cw7"),
        ("InstanceCount", "2"),
        ("EnhancedService.MonitorService.Enabled", "TRUE"),
        ("LoginSettings.Password", "Canary@Test+123 /?&="),
    ];
    let hosts = [
        "cvm.tencentcloudapi.com",
        "127.0.0.1:18080",
        "http://127.0.0.1:18080",
    ];
    for method in ["GET", "POST"] {
        for host in hosts {
            let answer = cloud.signed_v1(method, host, &launch[..5]).await;
            assert_eq!(answer.verdict(), "OK", "{method} {host}: {}", answer.body);
        }
        let answer = cloud.signed_v1(method, hosts[0], &launch).await;
        assert_eq!(
            answer.verdict(),
            "InvalidPassword",
            "the blank is not allowed"
        );
    }
    let ledger = cloud.get("/_ledger").await.body;
    assert!(!ledger.contains("Canary"), "{ledger}");
    let line = cloud.ledger().await[0].clone();
    let told = ["action", "region", "key_id", "signed_at"].map(|column| line[column].clone());
    assert_eq!(
        told,
        ["RunInstances", "ap-shanghai", super::KEY.0, "1795435200"]
    );
    assert_eq!(
        line["body"],
        json!(
            r#"{"EnhancedService":{"MonitorService":{"Enabled":"TRUE"}},"ImageId":"img-pmqg1cw7","InstanceCount":"2","Placement":{"Zone":"ap-shanghai-2"}}"#
        )
    );
}

#[tokio::test]
async fn a_form_may_be_long_but_not_endless() {
    let cloud = Cloud::start().await;
    let long = |length: usize| "n".repeat(length);
    for (method, length, verdict) in [
        ("GET", 30_000, "InvalidInstanceName.TooLong"),
        ("GET", 33_000, "RequestSizeLimitExceeded"),
        ("POST", 900_000, "InvalidInstanceName.TooLong"),
        ("POST", 1_050_000, "RequestSizeLimitExceeded"),
    ] {
        let name = long(length);
        let pairs = [
            ("Action", "RunInstances"),
            ("Placement.Zone", "ap-shanghai-2"),
            ("ImageId", "img-pmqg1cw7"),
            ("InstanceName", name.as_str()),
        ];
        let answer = cloud
            .signed_v1(method, "cvm.tencentcloudapi.com", &pairs)
            .await;
        assert_eq!(answer.verdict(), verdict, "{method} {length}");
    }
}

/// A proxy gets the whole URL; the official clients sign the same as without.
#[tokio::test]
async fn a_request_line_may_hold_the_whole_url() {
    let capture = capture("python-sdk__tc3-post__ex2");
    let cloud = Cloud::at(capture.at).await;
    let text = String::from_utf8(capture.raw).unwrap();
    let absolute = text.replacen("POST / ", "POST http://127.0.0.1:18080/ ", 1);
    assert_ne!(absolute, text);
    assert_eq!(cloud.replay(absolute.as_bytes()).await.verdict(), "OK");
    let bare = text.replacen("POST / ", "POST http://127.0.0.1:18080 ", 1);
    assert_eq!(cloud.replay(bare.as_bytes()).await.verdict(), "OK");
}

#[tokio::test]
async fn long_answers_are_compressed_for_who_asks() {
    let cloud = Cloud::start().await;
    cloud
        .call("RunInstances", launch(&json!({"InstanceCount": 5})))
        .await;
    let plain = cloud.call("DescribeInstances", json!({})).await;
    assert!(!plain.head.contains("content-encoding"), "{}", plain.head);
    let request = Request {
        extra: "Accept-Encoding: gzip, deflate\r\n",
        ..Request::new("DescribeInstances", &json!({}))
    };
    let (head, body) = split(&cloud.send_raw(&request).await);
    assert!(
        head.contains("\r\ncontent-type: application/json\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\ncontent-encoding: gzip\r\n"), "{head}");
    let mut unpacked = String::new();
    GzDecoder::new(body.as_slice())
        .read_to_string(&mut unpacked)
        .unwrap();
    let packed: Value = serde_json::from_str(&unpacked).unwrap();
    assert_eq!(
        packed["Response"]["InstanceSet"],
        plain.response()["InstanceSet"]
    );
    assert!(
        body.len() * 4 < unpacked.len(),
        "{} of {}",
        body.len(),
        unpacked.len()
    );
}

/// With TC3 a form is as good as JSON.
#[tokio::test]
async fn a_form_may_be_signed_with_tc3() {
    let cloud = Cloud::at(NOW).await;
    let request = Request {
        content_type: "application/x-www-form-urlencoded",
        body: "Placement.Zone=ap-shanghai-2&ImageId=img-pmqg1cw7&InstanceName=a+b%2Fc".to_owned(),
        ..Request::new("RunInstances", &json!({}))
    };
    assert_eq!(cloud.send(&request).await.verdict(), "OK");
    let found = cloud.call("DescribeInstances", json!({})).await.response();
    assert_eq!(found["InstanceSet"][0]["InstanceName"], "a b/c");
}

/// A TLS client that trusts one CA, or a plain one.
async fn ask_as(
    addr: std::net::SocketAddr,
    trusted: Option<(&str, &str)>,
    request: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let Some((authority, name)) = trusted else {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        return Ok(answer);
    };
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = connector.connect(name, stream).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

const HEALTH: &str = "GET /_health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn one_port_takes_tls_for_every_host_of_the_cloud_and_plain_http() {
    let clock = Clock::system();
    let regions = Catalog::embedded().region_names().collect::<Vec<_>>();
    let local = [std::net::Ipv4Addr::LOCALHOST.into()];
    let own = || Identity::own(clock.now(), &local, regions.clone()).unwrap();
    let ((identity, authority), (_, strange)) = (own(), own());
    let settings = Settings {
        catalog: Catalog::embedded(),
        speed: Speed::REAL,
        seed: 7,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Simulator::start_tls(settings, listener, clock, identity).unwrap();
    let addr = simulator.addr();
    let silent = TcpStream::connect(addr).await.unwrap();
    let names = [
        "127.0.0.1",
        "localhost",
        "sts.localhost",
        "cvm.tencentcloudapi.com",
        "cvm.ap-shanghai.tencentcloudapi.com",
    ];
    for name in names {
        let answer = ask_as(addr, Some((&authority, name)), HEALTH)
            .await
            .unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{name}: {answer}"
        );
    }
    let plain = ask_as(addr, None, HEALTH).await.unwrap();
    assert!(plain.starts_with("HTTP/1.1 200 OK\r\n"), "{plain}");
    for (authority, name) in [(&strange, "localhost"), (&authority, "elsewhere.example")] {
        let refused = ask_as(addr, Some((authority, name)), HEALTH).await;
        assert!(refused.is_err(), "{name}: {refused:?}");
    }
    drop(silent);
    simulator.stop().await;
}

/// What a scene does to an answer, it does to the bytes inside TLS.
#[tokio::test]
async fn scenes_that_a_catalogue_brings_break_tls_connections_too() {
    let clock = Clock::system();
    let local = [std::net::Ipv4Addr::LOCALHOST.into()];
    let (identity, authority) = Identity::own(clock.now(), &local, []).unwrap();
    let scenes = r#"[
        {"action": "DescribeZones", "ending": {"cut_after": 0}},
        {"action": "DescribeZones", "ending": {"reset_after": 12}},
        {"action": "DescribeZones", "ending": "twice"}
    ]"#;
    let settings = Settings {
        catalog: Catalog::embedded().with_scenes(scenes).unwrap(),
        speed: Speed::REAL,
        seed: 7,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Simulator::start_tls(settings, listener, clock, identity).unwrap();
    let unsigned = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                    X-TC-Action: DescribeZones\r\nContent-Length: 2\r\n\r\n{}";
    let ask = || ask_as(simulator.addr(), Some((&authority, "localhost")), unsigned);
    let cut = ask().await.unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof, "{cut}");
    let reset = ask().await.unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset, "{reset}");
    for answers in [2, 1] {
        let answer = ask().await.unwrap();
        assert_eq!(
            answer.matches("HTTP/1.1 200 OK").count(),
            answers,
            "{answer}"
        );
    }
    simulator.stop().await;
}

/// A key that a role was assumed with signs calls until it expires; who proves itself by a token needs no key.
#[tokio::test]
async fn temporary_keys_are_handed_out_and_expire() {
    let cloud = Cloud::start().await;
    let body = json!({"RoleArn": "qcs::cam::uin/1:roleName/CvmAgent", "RoleSessionName": "ci", "DurationSeconds": 600});
    let sts = |action, body: &Value| Request {
        action,
        body: body.to_string(),
        version: "2018-08-13",
        service: "sts",
        ..Request::new(action, &json!({}))
    };
    let assumed = cloud.send(&sts("AssumeRole", &body)).await.response();
    let credentials = &assumed["Credentials"];
    let text = |member: &str| credentials[member].as_str().unwrap();
    let token = format!("X-TC-Token: {}\r\n", text("Token"));
    let key = (text("TmpSecretId"), text("TmpSecretKey"));
    let with = |request| Request {
        key,
        extra: &token,
        ..request
    };
    let who = cloud
        .send(&with(sts("GetCallerIdentity", &json!({}))))
        .await;
    assert_eq!(who.response()["Type"], "CAMRole");
    let zones = || Request::new("DescribeZones", &json!({}));
    assert_eq!(cloud.send(&with(zones())).await.verdict(), "OK");
    let bare = Request { key, ..zones() };
    assert_eq!(
        cloud.send(&bare).await.verdict(),
        "AuthFailure.TokenFailure"
    );
    cloud.clock.advance(Duration::from_secs(600));
    assert_eq!(
        cloud.send(&with(zones())).await.verdict(),
        "AuthFailure.TokenFailure"
    );

    let mut by_token = body.clone();
    by_token["ProviderId"] = json!("OIDC");
    by_token["WebIdentityToken"] = json!("canary.canary.canary");
    let unsigned = |action: &str| {
        let (host, length) = (cloud.simulator.addr(), by_token.to_string().len());
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
            X-TC-Action: {action}\r\nX-TC-Version: 2018-08-13\r\nX-TC-Region: ap-shanghai\r\n\
            Authorization: SKIP\r\nContent-Length: {length}\r\n\r\n{by_token}"
        )
    };
    assert_eq!(
        cloud
            .raw(&unsigned("AssumeRoleWithWebIdentity"))
            .await
            .verdict(),
        "OK"
    );
    let refused = cloud.raw(&unsigned("AssumeRole")).await;
    assert_eq!(refused.verdict(), "AuthFailure.InvalidAuthorization");
    assert!(!cloud.get("/_ledger").await.body.contains("canary"));
}

#[tokio::test]
async fn a_service_has_its_own_version_and_host() {
    let cloud = Cloud::start().await;
    let pairs = [("Action", "DescribeVpcs")];
    for (host, verdict) in [
        ("vpc.tencentcloudapi.com", "OK"),
        ("vpc.localhost:8080", "OK"),
        ("127.0.0.1:8080", "OK"),
        ("cvm.tencentcloudapi.com", "InvalidAction"),
    ] {
        let answer = cloud.signed_v1("GET", host, &pairs).await;
        assert_eq!(answer.verdict(), verdict, "{host}");
    }
    let old = Request {
        service: "sts",
        ..Request::new("GetCallerIdentity", &json!({}))
    };
    assert_eq!(cloud.send(&old).await.verdict(), "NoSuchVersion");
}
