//! `simulate --check`: the journal of a gateway against the ledger of its cloud.

use crate::canary;
use crate::world::{World, client, get, run, wish};
use cvm_gateway::pb::v1 as pb;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_compared_with_the_ledger_of_its_cloud() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    run(&mut client, wish("checked", 2)).await.end.unwrap();
    let request = pb::PlanRunInstancesRequest {
        request: Some(wish("dry", 1)),
        cloud_dry_run: true,
    };
    client.plan_run_instances(request).await.unwrap();
    gateway.stop().await;
    let ledger = get(world.simulator.addr(), "/_ledger").await.1;
    let (code, told, summary) = check(&world, &ledger).await;
    assert_eq!((code, told.as_str()), (Some(0), ""), "{summary}");
    let says = "0 differences between 1 launches in the journal and ";
    assert!(summary.contains(says), "{summary}");

    let without = ledger.lines().filter(|line| !line.contains("\"machine\""));
    let without: String = without.map(|line| format!("{line}\n")).collect();
    let (code, told, summary) = check(&world, &without).await;
    assert_eq!(code, Some(1), "{summary}");
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(told.contains("which it did not make"), "{told}");
    assert!(
        told.contains("is charged, and the ledger has no such machine"),
        "{told}"
    );

    let charge = ledger.lines().find(|line| line.contains("\"charge\""));
    let free = ledger.lines().filter(|line| Some(*line) != charge);
    let free: String = free.map(|line| format!("{line}\n")).collect();
    let (code, told, summary) = check(&world, &free).await;
    assert_eq!((code, told.lines().count()), (Some(1), 1), "{summary}");
    assert!(told.contains("ran and was not charged"), "{told}");
    assert!(summary.contains(" and 1 charges of 0."), "{summary}");

    let (code, _, summary) = check(&world, "{}\n{").await;
    assert_eq!(code, Some(65), "{summary}");
    assert!(summary.contains("line 2 of the ledger"), "{summary}");
}

/// The exit code, and what goes to stdout and to stderr.
async fn check(world: &World, ledger: &str) -> (Option<i32>, String, String) {
    let file = world.folder.0.join("ledger.jsonl");
    std::fs::write(&file, ledger).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    let program = program.args(["simulate", "--check"]);
    let program = program.arg(world.folder.0.join("journal.db"));
    let output = program.arg("--ledger").arg(file).output().await.unwrap();
    canary::examine_output(&output);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
