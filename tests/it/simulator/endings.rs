//! A gateway whose cloud answers in every broken way.

use crate::world::{World, client, run, wish};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The next launch meets with this.
async fn scene(world: &World, scene: &Value) {
    let (host, body) = (world.simulator.addr(), json!([scene]).to_string());
    let head = format!("PUT /_control/scenes HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_launches_once_whatever_becomes_of_the_answer() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let scenes = [
        json!({"ending": "cut"}),
        json!({"ending": "twice"}),
        json!({"ending": {"cut_after": 40}}),
        json!({"ending": {"cut_after": 200}}),
        json!({"ending": {"reset_after": 10}}),
        json!({"ending": {"drip": {"bytes": 64, "every_s": 0.01}}}),
        json!({"ending": {"status": 502}}),
        json!({"ending": {"body": "<html>"}}),
        json!({"ending": {"error": {"code": "InternalError"}}}),
        json!({"carried_out": false}),
        json!({"arrivals": 2}),
    ];
    for (before, scene_of_launch) in scenes.into_iter().enumerate() {
        let mut played = scene_of_launch.clone();
        played["action"] = json!("RunInstances");
        scene(&world, &played).await;
        let seen = run(&mut client, wish(&format!("ending-{before}"), 1)).await;
        let states = seen.states();
        assert!(
            seen.end.is_ok(),
            "{scene_of_launch}: {states:?} {:?}",
            seen.end
        );
        let machines = world.machines().await.len();
        assert_eq!(machines, before + 1, "{scene_of_launch}");
    }
}
