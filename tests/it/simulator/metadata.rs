//! The metadata service: a gateway launches with the keys that a machine is given.

use crate::world::{World, client, config_text, get, put_secret, run, wish};
use cvm_gateway::config::Config;
use serde_json::Value;

const ROLES: &str = "/latest/meta-data/cam/security-credentials/";

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_bound_role_launch() {
    let world = World::new(100.0).await;
    let simulator = world.simulator.addr();
    let (_, role) = get(simulator, ROLES).await;
    assert_eq!(role, "CvmAgent");
    let (_, keys) = get(simulator, &format!("{ROLES}{role}")).await;
    let keys: Value = serde_json::from_str(&keys).unwrap();
    assert_eq!(keys["Code"], "Success");
    let (head, _) = get(simulator, &format!("{ROLES}Another")).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");

    let key = |name: &str| keys[name].as_str().unwrap();
    put_secret(&world.folder.0.join("token"), key("Token"));
    let text = config_text(&world.folder.0, &format!("http://{simulator}"), "")
        .replace("AKIDfakeForLoopbackTestsOnly0000001", key("TmpSecretId"))
        .replace(
            "\"fakeSecretKeyLoopbackTestsOnly001\"",
            &format!("\"{}\"\ntoken_file = \"token\"", key("TmpSecretKey")),
        );
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let seen = run(&mut client(&gateway).await, wish("bound", 1)).await;
    seen.end.as_ref().unwrap();
    assert_eq!(world.machines().await.len(), 1);
    gateway.stop().await;
}
