//! What docs/recipes.md has people copy: it runs as it stands there, but for the port.

use crate::canary::examine_output;
use crate::clients::secured;
use crate::identity::CALLERS;
use crate::identity::tokens::{ISSUER, Signer};
use crate::world::{World, put_secret};
use cvm_gateway::clock::Clock;
use cvm_gateway::gateway::Gateway;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long a recipe may take, also on a machine that is busy with other tests.
const RUN_MAX: Duration = Duration::from_secs(120);

/// What the page's blocks of shell print, of those for TLS or of the others, and what they tell of errors.
async fn run(world: &World, gateway: &Gateway, tls: bool) -> (String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/recipes.md")).unwrap();
    let blocks = page
        .split("\n```")
        .filter_map(|block| block.strip_prefix("sh\n"));
    let fit = |block: &&str| block.contains("launch.json <<") || block.contains("cacert") == tls;
    let blocks: Vec<&str> = blocks.filter(fit).collect();
    assert_eq!(blocks.len(), 3, "a file, buf curl and grpcurl");
    let place = format!("localhost:{}", gateway.grpc_addr().port());
    let script = blocks.join("\n").replace("localhost:7080", &place);
    let tools = root.display();
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c"]);
    bash.arg(format!(
        "PATH={tools}/tools/node_modules/.bin:{tools}/target/tools/bin:$PATH\n{script}"
    ));
    bash.current_dir(&world.folder.0)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    bash.env("no_proxy", "localhost")
        .env("NO_PROXY", "localhost");
    let output = Clock::system().timeout(RUN_MAX, bash.output()).await;
    let output = output.expect("the recipes do not end").unwrap();
    examine_output(&output);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{printed}{errors}");
    (printed, errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipes_launch_two_machines_and_follow_them() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let (printed, errors) = run(&world, &gateway, false).await;
    for words in [
        "WatchOperation",
        "\"allowed\": true",
        "message RunInstancesRequest",
        "\"SERVING\"",
    ] {
        assert!(printed.contains(words), "{words} is not in {printed}");
    }
    let refused = errors.rsplit("Code: InvalidArgument").next().unwrap();
    for words in [
        "google.rpc.ErrorInfo",
        "INVALID_PARAMETER",
        "\"field\": \"name\"",
    ] {
        assert!(refused.contains(words), "{words} is not in {errors}");
    }
    let machines = world.machines().await;
    assert_eq!(machines.len(), 2);
    let last = printed.rsplit("\"operation\": {").next().unwrap();
    assert!(last.contains("OPERATION_STATE_SUCCEEDED"), "{last}");
    assert!(machines.iter().all(|id| last.contains(id)), "{last}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipes_for_certificate_and_token_launch_two_machines() {
    let signer = Signer::new();
    let identity = CALLERS.replace("[\"mtls\"]", "[\"mtls\", \"jwt\"]");
    let (world, gateway) = secured(100.0, &format!("{identity}{ISSUER}"), &signer).await;
    let token = signer.token("system:serviceaccount:web:api", 600);
    put_secret(&world.folder.0.join("token"), &token);
    let (printed, _errors) = run(&world, &gateway, true).await;
    assert!(printed.contains("OPERATION_STATE_SUCCEEDED"), "{printed}");
    assert_eq!(world.machines().await.len(), 2);
    gateway.stop().await;
}
