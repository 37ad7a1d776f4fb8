//! What single calls meet with: late and repeated arrivals, refusals, and answers broken at any byte.

use super::control::text;
use super::{Answer, Cloud, Request, launch};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

impl Cloud {
    /// The next calls meet with these.
    async fn scenes(&self, scenes: Value) {
        let told = self.put("/_control/scenes", &scenes.to_string()).await;
        assert!(told.head.starts_with("http/1.1 200"), "{}", told.body);
    }

    async fn faults(&self, faults: Value) {
        let told = self.put("/_control/faults", &faults.to_string()).await;
        assert!(told.head.starts_with("http/1.1 200"), "{}", told.body);
    }

    /// A connection over which a launch was sent.
    async fn launching(&self) -> TcpStream {
        let request = self.signed(&Request::new("RunInstances", &launch(&json!({}))));
        let mut stream = TcpStream::connect(self.simulator.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn kinds(&self, kind: &str) -> usize {
        let ledger = self.ledger().await;
        ledger.iter().filter(|line| line["kind"] == kind).count()
    }
}

/// A whole answer, as long as those that are cut.
async fn whole(cloud: &Cloud) -> usize {
    cloud.try_launch().await.len()
}

#[tokio::test]
async fn a_call_arrives_after_its_client_has_gone() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(json!([{"action": "RunInstances", "arrives_after_s": 60}]))
        .await;
    let stream = cloud.launching().await;
    while cloud.get("/_control/scenes").await.body != "[]\n" {
        tokio::task::yield_now().await;
    }
    drop(stream);
    assert_eq!(cloud.kinds("attempt").await, 0, "it is under way");
    // A call is late by the clock, which is not moved before the wait for it has begun.
    for _ in 0..100 {
        cloud.get("/_health").await;
    }
    cloud.clock.advance(Duration::from_secs(60));
    while cloud.kinds("machine").await < 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(cloud.kinds("attempt").await, 1);
}

#[tokio::test]
async fn a_call_that_arrives_too_late_has_expired() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(json!([{"action": "RunInstances", "arrives_after_s": 301}]))
        .await;
    let (answer, ()) = tokio::join!(cloud.try_launch(), async {
        while cloud.get("/_control/scenes").await.body != "[]\n" {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            cloud.get("/_health").await;
        }
        cloud.clock.advance(Duration::from_secs(301));
    });
    assert!(text(&answer).contains("AuthFailure.SignatureExpire"));
}

#[tokio::test]
async fn a_call_arrives_twice() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(json!([{"action": "RunInstances", "arrivals": 2}]))
        .await;
    let first = cloud.try_launch().await;
    assert_eq!(text(&first).matches("RequestId").count(), 1);
    assert_eq!(cloud.states().await.len(), 2, "it had no token");
}

#[tokio::test]
async fn a_call_is_refused_with_any_code_before_or_after_it_is_done() {
    let cloud = Cloud::start().await;
    let words = json!({"code": "ResourceInsufficient.MadeUp", "message": "None left."});
    cloud
        .scenes(json!([
            {"action": "RunInstances", "refuse": words},
            {"action": "RunInstances", "ending": {"error": {"code": "InternalError"}}},
        ]))
        .await;
    let refused = cloud.call("RunInstances", launch(&json!({}))).await;
    let refused = refused.response();
    assert_eq!(
        refused["Error"],
        json!({"Code": "ResourceInsufficient.MadeUp", "Message": "None left."})
    );
    assert_eq!(cloud.states().await.len(), 0);
    let attempt = cloud.ledger().await.remove(0);
    assert_eq!(attempt["verdict"], "ResourceInsufficient.MadeUp");
    assert_eq!(attempt["request_id"], refused["RequestId"]);

    let broken = cloud.call("RunInstances", launch(&json!({}))).await;
    assert_eq!(broken.verdict(), "InternalError");
    assert_eq!(cloud.states().await.len(), 1, "it was done all the same");
    let ledger = cloud.ledger().await;
    let machine = ledger
        .iter()
        .find(|line| line["kind"] == "machine")
        .unwrap();
    assert_eq!(machine["request_id"], broken.response()["RequestId"]);
}

#[tokio::test]
async fn a_refusal_of_a_scene_needs_a_sound_signature() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(json!([{"action": "DescribeZones", "refuse": {"code": "InternalError"}}]))
        .await;
    let request = Request {
        key: ("AKIDfakeForLoopbackTestsOnly0000001", "wrong"),
        ..Request::new("DescribeZones", &json!({}))
    };
    let refused = cloud.send(&request).await;
    assert_eq!(refused.verdict(), "AuthFailure.SignatureFailure");
}

#[tokio::test]
async fn an_answer_is_any_text() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(json!([{"action": "*", "ending": {"body": "<html>no JSON"}}]))
        .await;
    let answer = text(&cloud.try_launch().await);
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\n<html>no JSON"));
    assert_eq!(cloud.states().await.len(), 1);
}

#[tokio::test]
async fn an_answer_is_cut_after_any_byte() {
    let cloud = Cloud::start().await;
    let length = whole(&cloud).await;
    for bytes in [0, 1, 15, 60, length - 1] {
        cloud
            .scenes(json!([{"action": "RunInstances", "ending": {"cut_after": bytes}}]))
            .await;
        assert_eq!(cloud.try_launch().await.len(), bytes);
    }
    assert_eq!(cloud.states().await.len(), 6);
    assert_eq!(cloud.try_launch().await.len(), length, "the next is whole");
}

#[tokio::test]
async fn a_connection_is_reset_in_the_midst_of_an_answer() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(json!([{"action": "RunInstances", "ending": {"reset_after": 40}}]))
        .await;
    let mut stream = cloud.launching().await;
    let mut answer = Vec::new();
    let error = stream.read_to_end(&mut answer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(answer.len() <= 40, "{}", answer.len());
    assert_eq!(cloud.states().await.len(), 1);
}

#[tokio::test]
async fn a_connection_stays_open_without_an_answer() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(json!([
            {"action": "RunInstances", "carried_out": false, "ending": {"silent_after": 0}},
            {"action": "RunInstances", "ending": {"silent_after": 17}},
        ]))
        .await;
    for (bytes, machines) in [(0, 0), (17, 1)] {
        let mut stream = cloud.launching().await;
        let mut answer = [0; 17];
        stream.read_exact(&mut answer[..bytes]).await.unwrap();
        while cloud
            .get("/_control/scenes")
            .await
            .body
            .contains(&format!("\"silent_after\":{bytes}"))
        {
            tokio::task::yield_now().await;
        }
        assert_eq!(cloud.states().await.len(), machines);
        let open = stream.try_read(&mut answer).unwrap_err();
        assert_eq!(open.kind(), ErrorKind::WouldBlock);
    }
    cloud.simulator.stop().await;
}

#[tokio::test]
async fn an_answer_drips() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(
            json!([{"action": "RunInstances", "ending": {"drip": {"bytes": 16, "every_s": 5}}}]),
        )
        .await;
    let mut stream = cloud.launching().await;
    let (mut answer, mut waits) = (Vec::new(), 0);
    loop {
        let before = answer.len();
        while answer.len() < before + 16 {
            if stream.read_buf(&mut answer).await.unwrap() == 0 {
                break;
            }
        }
        if answer.len() < before + 16 {
            break;
        }
        let more = stream
            .try_read_buf(&mut answer)
            .map_err(|error| error.kind());
        assert_eq!(
            more,
            Err(ErrorKind::WouldBlock),
            "after {} bytes",
            answer.len()
        );
        waits += 1;
        for _ in 0..20 {
            cloud.get("/_health").await;
        }
        cloud.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(Answer::read(&answer).verdict(), "OK");
    assert!(waits > 10, "{waits}");
}

#[tokio::test]
async fn an_answer_comes_twice() {
    let cloud = Cloud::start().await;
    cloud
        .scenes(json!([{"action": "RunInstances", "ending": "twice"}]))
        .await;
    let answer = text(&cloud.try_launch().await);
    let (first, second) = answer.split_at(answer.len() / 2);
    assert_eq!(first, second);
    assert!(first.starts_with("HTTP/1.1 200 OK"), "{first}");
    assert_eq!(cloud.states().await.len(), 1);
}

#[tokio::test]
async fn keys_are_revoked_and_rotated() {
    let cloud = Cloud::start().await;
    let zones = Request::new("DescribeZones", &json!({}));
    let other = Request {
        key: (
            "AKIDfakeForLoopbackTestsOnly0000002",
            "fakeSecretKeyLoopbackTestsOnly002",
        ),
        extra: "X-TC-Token: fake-session-token-0002\r\n",
        ..Request::new("DescribeZones", &json!({}))
    };
    let rows = [
        (json!([]), "OK", "OK"),
        (json!([super::KEY.0]), "AuthFailure.SecretIdNotFound", "OK"),
        (json!([other.key.0]), "OK", "AuthFailure.SecretIdNotFound"),
    ];
    for (revoked, first, second) in rows {
        cloud.faults(json!({"revoked_keys": revoked})).await;
        let verdicts = [&zones, &other].map(|request| cloud.send(request));
        let verdicts = futures_util::future::join_all(verdicts).await;
        let verdicts: Vec<_> = verdicts.iter().map(Answer::verdict).collect();
        assert_eq!(verdicts, [first, second], "{revoked}");
    }
}

#[tokio::test]
async fn temporary_keys_live_shorter_than_asked_for() {
    let cloud = Cloud::start().await;
    cloud.faults(json!({"key_life_s": 60})).await;
    let body = json!({
        "RoleArn": "qcs::cam::uin/100000000001:roleName/CvmAgent",
        "RoleSessionName": "short",
        "DurationSeconds": 3600,
    });
    let request = Request {
        version: "2018-08-13",
        service: "sts",
        ..Request::new("AssumeRole", &body)
    };
    let issued = cloud.send(&request).await.response();
    let member = |name: &str| issued["Credentials"][name].as_str().unwrap();
    let extra = format!("X-TC-Token: {}\r\n", member("Token"));
    let temporary = Request {
        key: (member("TmpSecretId"), member("TmpSecretKey")),
        extra: &extra,
        ..Request::new("DescribeZones", &json!({}))
    };
    cloud.clock.advance(Duration::from_secs(59));
    assert_eq!(cloud.send(&temporary).await.verdict(), "OK");
    cloud.clock.advance(Duration::from_secs(1));
    assert_eq!(
        cloud.send(&temporary).await.verdict(),
        "AuthFailure.TokenFailure"
    );
}

#[tokio::test]
async fn signatures_live_as_long_as_the_fault_says() {
    let cloud = Cloud::start().await;
    let zones = Request::new("DescribeZones", &json!({}));
    for (life, age, verdict) in [
        (json!(null), 300, "OK"),
        (json!(null), 301, "AuthFailure.SignatureExpire"),
        (json!(60), 60, "OK"),
        (json!(60), 61, "AuthFailure.SignatureExpire"),
    ] {
        cloud.faults(json!({"signature_life_s": life})).await;
        let request = cloud.signed(&zones);
        cloud.clock.advance(Duration::from_secs(age));
        assert_eq!(cloud.raw(&request).await.verdict(), verdict, "{life} {age}");
    }
}
