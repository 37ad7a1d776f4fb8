//! What the ledger keeps of calls, what it leaves out, and what machines cost.

use super::{Catalog, Cloud, KEY, Request, launch};
use base64::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use time::macros::utc_datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A simulator whose ledger keeps secrets, or does not.
async fn cloud(keeps: bool) -> Cloud {
    let catalog = Catalog::embedded();
    let catalog = if keeps {
        catalog.keeping_secrets()
    } else {
        catalog
    };
    Cloud::with(utc_datetime!(2026-11-23 12:00), catalog).await
}

impl Cloud {
    /// Sends bytes that need not be text, and waits for the answer.
    async fn send_bytes(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.simulator.addr()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }

    async fn attempt(&self) -> Value {
        self.ledger().await.remove(0)
    }
}

fn header<'a>(attempt: &'a Value, name: &str) -> Option<&'a str> {
    let headers = attempt["headers"].as_array().unwrap();
    let found = headers.iter().find(|pair| pair[0] == name)?;
    found[1].as_str()
}

#[tokio::test]
async fn secrets_are_masked_or_kept_as_they_came() {
    let secret = launch(&json!({"LoginSettings": {"Password": "Canary-1234"}}));
    let request = Request {
        extra: "X-TC-Token: canary-token\r\nUser-Agent: test\r\n",
        ..Request::new("RunInstances", &secret)
    };
    let masked = cloud(false).await;
    assert_eq!(masked.send(&request).await.verdict(), "OK");
    let attempt = masked.attempt().await;
    assert!(
        !attempt.to_string().to_lowercase().contains("canary"),
        "{attempt}"
    );
    assert_eq!(header(&attempt, "authorization"), None);
    assert_eq!(header(&attempt, "content-type"), Some("application/json"));
    assert_eq!(header(&attempt, "x-tc-version"), Some("2017-03-12"));
    assert_eq!(header(&attempt, "user-agent"), Some("test"));
    assert_eq!(
        (&attempt["method"], &attempt["target"]),
        (&json!("POST"), &json!("/"))
    );

    let kept = cloud(true).await;
    assert_eq!(kept.send(&request).await.verdict(), "OK");
    let attempt = kept.attempt().await;
    assert_eq!(attempt["body"], request.body);
    let hash = hex::encode(Sha256::digest(request.body.as_bytes()));
    assert_eq!(attempt["body_sha256"], hash);
    assert_eq!(header(&attempt, "x-tc-token"), Some("canary-token"));
    let proof = header(&attempt, "authorization").unwrap();
    assert!(
        proof.contains(KEY.0) && proof.contains("Signature="),
        "{proof}"
    );
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept_in_base64() {
    let body = [b'{', 0xff, 0x00, b'}'];
    let head = b"POST /?a=%00b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
    let bytes = [head.as_slice(), &body].concat();
    let kept = cloud(true).await;
    kept.send_bytes(&bytes).await;
    let attempt = kept.attempt().await;
    let encoded = base64::engine::general_purpose::STANDARD.encode(body);
    assert_eq!(attempt["body_base64"], encoded);
    assert_eq!(
        (&attempt["body"], &attempt["target"]),
        (&json!(null), &json!("/?a=%00b"))
    );

    let masked = cloud(false).await;
    masked.send_bytes(&bytes).await;
    let attempt = masked.attempt().await;
    assert_eq!(
        (&attempt["body"], &attempt["target"]),
        (&json!(null), &json!("/"))
    );
    assert_eq!(attempt.get("body_base64"), None);
}

#[tokio::test]
async fn the_ledger_tells_what_is_new() {
    let cloud = cloud(false).await;
    cloud.call("RunInstances", launch(&json!({}))).await;
    cloud.clock.advance(Duration::from_secs(180));
    let before = cloud.get("/_ledger").await.body;
    let diff = async |earlier: &str| {
        let (host, length) = (cloud.simulator.addr(), earlier.len());
        let head = format!("POST /_ledger/diff HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        let request = format!("{head}Content-Length: {length}\r\n\r\n{earlier}");
        cloud.raw(&request).await.body
    };
    assert_eq!(diff(&before).await, "");
    assert_eq!(diff("").await, before);
    cloud.call("RunInstances", launch(&json!({}))).await;
    let new = diff(&before).await;
    let kinds = new.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["kind"].as_str().unwrap().to_owned()
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["attempt", "machine"]);
}

#[tokio::test]
async fn charges_and_the_account_stand_in_the_ledger() {
    let cloud = cloud(false).await;
    cloud.put("/_control/faults", r#"{"balance": 100}"#).await;
    cloud.call("RunInstances", launch(&json!({}))).await;
    let held = cloud.ledger().await;
    let account = held.last().unwrap();
    assert_eq!(
        (&account["kind"], &account["charged"]),
        (&json!("account"), &json!(0.0))
    );
    let frozen = account["frozen"].as_f64().unwrap();
    assert!(frozen > 0.0, "{account}");
    cloud.clock.advance(Duration::from_secs(2 * 3600));
    let ledger = cloud.ledger().await;
    let [charge, account] = &ledger[ledger.len() - 2..] else {
        panic!("{ledger:?}");
    };
    assert_eq!(
        (&charge["kind"], &charge["key_id"]),
        (&json!("charge"), &json!(KEY.0))
    );
    assert_eq!(charge["amount"], account["charged"]);
    assert!(
        charge["amount"].as_f64().unwrap() > 1.9 * frozen,
        "{charge}"
    );
    let sum = ["charged", "frozen", "available"].map(|part| account[part].as_f64().unwrap());
    assert!((sum.iter().sum::<f64>() - 100.0).abs() < 0.001, "{account}");
}
