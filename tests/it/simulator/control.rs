//! How the simulator is told to misbehave while it runs.

use super::{Answer, Cloud, launch};
use serde_json::{Value, json};
use std::time::Duration;

impl Cloud {
    pub(super) async fn put(&self, path: &str, body: &str) -> Answer {
        let (host, length) = (self.simulator.addr(), body.len());
        let head = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        self.raw(&format!("{head}Content-Length: {length}\r\n\r\n{body}"))
            .await
    }

    /// The states that the machines are in.
    pub(super) async fn states(&self) -> Vec<Value> {
        let found = self.call("DescribeInstancesStatus", json!({})).await;
        let found = found.response();
        let rows = found["InstanceStatusSet"].as_array().unwrap().iter();
        rows.map(|row| row["InstanceState"].clone()).collect()
    }

    /// The bytes that a launch gets, which need not be a whole answer.
    pub(super) async fn try_launch(&self) -> Vec<u8> {
        let body = launch(&json!({}));
        self.send_raw(&super::Request::new("RunInstances", &body))
            .await
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn faults_come_and_go_while_it_runs() {
    let cloud = Cloud::start().await;
    let none = cloud.get("/_control/faults").await;
    let none: Value = serde_json::from_str(&none.body).unwrap();
    let told = cloud
        .put(
            "/_control/faults",
            r#"{"launch_failed_p": 1, "instance_lag_s": [30, 30]}"#,
        )
        .await;
    assert!(told.head.starts_with("http/1.1 200 ok"), "{}", told.head);
    let told: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(
        (&told["launch_failed_p"], &told["instance_lag_s"]),
        (&json!(1.0), &json!([30.0, 30.0]))
    );
    cloud.call("RunInstances", launch(&json!({}))).await;
    assert!(cloud.states().await.is_empty(), "it is shown late");
    cloud.clock.advance(Duration::from_secs(180));
    assert_eq!(cloud.states().await, ["LAUNCH_FAILED"]);

    let well = cloud.put("/_control/faults", "{}").await;
    assert_eq!(serde_json::from_str::<Value>(&well.body).unwrap(), none);
    cloud.call("RunInstances", launch(&json!({}))).await;
    cloud.clock.advance(Duration::from_secs(180));
    assert_eq!(cloud.states().await, ["LAUNCH_FAILED", "RUNNING"]);
}

#[tokio::test]
async fn the_third_launch_creates_and_then_the_connection_is_cut() {
    let cloud = Cloud::start().await;
    let scenes = r#"[{"action": "RunInstances", "nth": 3, "ending": "cut"}]"#;
    cloud.put("/_control/scenes", scenes).await;
    let mut whole = Vec::new();
    for _ in 0..4 {
        cloud.call("DescribeZones", json!({})).await;
        whole.push(text(&cloud.try_launch().await).contains("RequestId"));
    }
    assert_eq!(whole, [true, true, false, true]);
    assert_eq!(cloud.states().await.len(), 4);
    assert_eq!(cloud.get("/_control/scenes").await.body, "[]\n");
}

#[tokio::test]
async fn a_call_may_be_lost_refused_by_http_or_answered_late() {
    let cloud = Cloud::start().await;
    let scenes = json!([
        {"action": "RunInstances", "nth": 1, "carried_out": false},
        {"action": "RunInstances", "nth": 2, "carried_out": false, "ending": {"status": 503}},
        {"action": "RunInstances", "nth": 3, "ending": {"status": 502}},
        {"action": "RunInstances", "nth": 4, "delay_s": 20},
    ]);
    cloud.put("/_control/scenes", &scenes.to_string()).await;
    let lost = text(&cloud.try_launch().await);
    assert!(!lost.contains("RequestId"), "{lost}");
    assert_eq!(cloud.ledger().await.len(), 0, "it never arrived");
    let refused = text(&cloud.try_launch().await);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(cloud.states().await.is_empty());
    let done = text(&cloud.try_launch().await);
    assert!(done.starts_with("HTTP/1.1 502 "), "{done}");
    assert_eq!(cloud.states().await.len(), 1);

    let waiting = cloud.clock.now();
    let (answer, ()) = tokio::join!(cloud.try_launch(), async {
        while cloud
            .ledger()
            .await
            .iter()
            .filter(|line| line["kind"] == "machine")
            .count()
            < 2
        {
            tokio::task::yield_now().await;
        }
        // The answer has been made; what is late is its way back.
        cloud.clock.advance(Duration::from_secs(19));
        assert_eq!(cloud.get("/_health").await.body, "ok\n");
        cloud.clock.advance(Duration::from_secs(1));
    });
    assert!(text(&answer).contains("InstanceIdSet"));
    assert_eq!((cloud.clock.now() - waiting).whole_seconds(), 20);
}

/// Instructions that cannot be, and what is said to them.
const IMPOSSIBLE: [(&str, &str, &str); 11] = [
    (
        "/_control/faults",
        r#"{"launch_failed_p": 2}"#,
        "2 is not a chance",
    ),
    (
        "/_control/faults",
        r#"{"colour": 1}"#,
        "unknown field `colour`",
    ),
    ("/_control/faults", "", "EOF"),
    (
        "/_control/scenes",
        r#"[{"action": "RunInstances", "nth": 0}]"#,
        "count from 1",
    ),
    (
        "/_control/scenes",
        r#"[{"nth": 1}]"#,
        "missing field `action`",
    ),
    (
        "/_control/scenes",
        r#"[{"action": "RunInstance"}]"#,
        "there is no action \"RunInstance\"; the nearest is \"RunInstances\"",
    ),
    (
        "/_control/scenes",
        r#"[{"action": "RunInstances", "arrivals": 0}]"#,
        "`arrivals` must be 1 to 10",
    ),
    (
        "/_control/scenes",
        r#"[{"action": "RunInstances", "refuse": {"code": "no code"}}]"#,
        "\"no code\" is no code",
    ),
    (
        "/_control/faults",
        r#"{"sold_out": ["ap-shanghai-22"]}"#,
        "the nearest is \"ap-shanghai-2\"",
    ),
    (
        "/_control/scenes",
        r#"[{"action": "RunInstances", "ending": {"status": 200}}]"#,
        "200 is no HTTP status",
    ),
    (
        "/_control/scenes",
        r#"[{"action": "RunInstances", "ending": "explode"}]"#,
        "unknown variant `explode`",
    ),
];

#[tokio::test]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let cloud = Cloud::start().await;
    for (path, body, complaint) in IMPOSSIBLE {
        let refused = cloud.put(path, body).await;
        assert!(
            refused.head.starts_with("http/1.1 400"),
            "{body}: {}",
            refused.head
        );
        assert!(refused.body.contains(complaint), "{body}: {}", refused.body);
    }
    let many = vec![json!({"action": "RunInstances"}); 1001];
    let many = cloud
        .put("/_control/scenes", &json!(many).to_string())
        .await;
    assert!(many.body.contains("at most 1000 scenes"), "{}", many.body);
    assert_eq!(cloud.get("/_control/scenes").await.body, "[]\n");
    assert_eq!(
        cloud
            .call("RunInstances", launch(&json!({})))
            .await
            .verdict(),
        "OK"
    );
}
