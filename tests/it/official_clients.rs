//! The official clients, unmodified, against the simulator.

use cvm_gateway::clock::Clock;
use cvm_gateway::simulator::{Catalog, Identity, Settings, Simulator, Speed};
use std::net::Ipv4Addr;
use std::path::Path;
use tokio::net::TcpListener;

/// Runs a script of `tests/python/` against a simulator of its own, over http and https.
#[expect(
    clippy::disallowed_methods,
    reason = "`make test` says where Python and the clients are"
)]
async fn drive(script: &str) {
    let python = std::env::var_os("CVM_GATEWAY_TEST_PYTHON").expect(
        "CVM_GATEWAY_TEST_PYTHON names no Python that has the clients: run `make test`, which installs one",
    );
    let settings = Settings {
        catalog: Catalog::embedded(),
        speed: Speed::new(100.0).unwrap(),
        seed: 7,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let clock = Clock::system();
    let local = [Ipv4Addr::LOCALHOST.into()];
    let (identity, authority) = Identity::own(clock.now(), &local, []).unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{script}-ca.pem"));
    std::fs::write(&file, authority).unwrap();
    let simulator = Simulator::start_tls(settings, listener, clock, identity).unwrap();
    let path = format!("{}/tests/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let endpoint = simulator.addr().to_string();
    let run = move || {
        let mut command = std::process::Command::new(python);
        let command = command.args([&path, "--endpoint", &endpoint, "--ca"]);
        let command = command.arg(file).env("NO_PROXY", "127.0.0.1");
        command.output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let (lines, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{lines}{errors}");
    assert!(lines.lines().all(|line| line.starts_with("ok ")), "{lines}");
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_works_against_the_simulator() {
    drive("sdk_check.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_command_line_works_against_the_simulator() {
    drive("tccli_check.py").await;
}
