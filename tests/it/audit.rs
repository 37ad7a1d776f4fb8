//! What the audit tells of calls, and to whom.

use crate::canary;
use crate::lifecycle::{SOON_GONE, ids, terminate};
use crate::policy;
use crate::world::{Client, Served, World, client, config_text, get, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::pb::v1 as pb;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tonic::Code;

/// A gateway whose configuration is a file, for the commands.
async fn gateway(world: &World, extra: &str) -> (Served, PathBuf) {
    let path = world.folder.0.join("gateway.toml");
    let endpoint = format!("http://{}", world.simulator.addr());
    let text = config_text(&world.folder.0, &endpoint, extra);
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    (world.gateway_of(config).await, path)
}

fn export(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    command.args(["audit", "export"]).args(arguments);
    command.arg("--config").arg(config);
    command
}

fn exported(config: &Path, arguments: &[&str]) -> Vec<String> {
    let output = canary::output(&mut export(config, arguments));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::to_owned).collect()
}

/// Each line of one chain has the hash that docs/audit.md tells how to make.
fn follow_one_another(lines: &[String]) {
    let mut before = vec![0; 32];
    for line in lines {
        let row: Value = serde_json::from_str(line).unwrap();
        let hash = row["hash"].as_str().unwrap();
        let record = line.replace(&format!(",\"hash\":\"{hash}\""), "");
        let made = Sha256::new().chain_update(&before).chain_update(&record);
        before = made.finalize().to_vec();
        assert_eq!(hash, hex::encode(&before), "{line}");
    }
}

fn events(lines: &[String]) -> Vec<Value> {
    let rows = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    rows.collect()
}

/// A launch with every kind of secret.
fn secretive() -> pb::RunInstancesRequest {
    let mut request = wish("secretive", 1);
    let spec = request.spec.as_mut().unwrap();
    spec.user_data = Some("Y2FuYXJ5LWRhdGE=".to_owned());
    spec.login_settings = Some(pb::LoginSettings {
        password: Some("canary-Passw0rd".to_owned()),
        ..pb::LoginSettings::default()
    });
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_and_denied_calls_are_told_without_secrets_and_a_flood_is_counted() {
    let world = World::new(2.0).await;
    let (gateway, config) = gateway(&world, "").await;
    let mut caller = client(&gateway).await;
    let launched = run(&mut caller, secretive()).await;
    let name = launched.last().name.clone();
    let machine = launched.last().instances[0].instance_id.clone();
    launched.end.unwrap();
    for number in 0..25 {
        let mut foreign = wish(&format!("denied-{number}"), 1);
        foreign.account = Some("canary".to_owned());
        let refused = caller.run_instances(foreign).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    gateway.stop().await;

    let lines = exported(&config, &[]);
    follow_one_another(&lines);
    let text = lines.join("\n");
    assert!(
        !text.contains("Y2FuYXJ5") && !text.contains("Passw0rd"),
        "{text}"
    );
    let rows = events(&lines);
    let of =
        |event: &str| -> Vec<&Value> { rows.iter().filter(|row| row["event"] == event).collect() };
    let intent = of("intent")[0];
    assert_eq!(intent["operation"], name);
    assert_eq!(intent["request"]["requestId"], "secretive");
    assert_eq!(intent["request"]["spec"]["imageId"], "img-pmqg1cw7");
    assert_eq!(intent["request"]["spec"]["userData"], "bWFza2Vk");
    let outcome = &of("outcome")[0]["outcome"];
    assert_eq!(
        (&outcome["state"], &outcome["instances"][0]),
        (&"SUCCEEDED".into(), &machine.into())
    );
    assert!(outcome["cloud_request_id"].is_string());
    let denied = of("denied");
    assert_eq!(denied.len(), 20);
    assert_eq!(denied[0]["request"]["requestId"], "denied-0");
    assert_eq!(
        (
            &denied[0]["account"],
            &denied[0]["decision"]["verdict"],
            &denied[0]["decision"]["rules"][0]
        ),
        (
            &"canary".into(),
            &"deny".into(),
            &"account-of-own-organization".into()
        )
    );
    let suppressed = of("suppressed");
    assert_eq!(
        (suppressed.len(), &suppressed[0]["suppressed"]),
        (1, &5.into())
    );
    // What is older is told by the hash that it ends with.
    let late = exported(&config, &["--since", "2999-01-01T00:00:00Z"]);
    let [end] = &events(&late)[..] else {
        panic!("{late:?}");
    };
    let last = rows.last().unwrap();
    for key in ["chain", "sequence", "hash"] {
        assert_eq!(end[key], last[key]);
    }
    assert_eq!(end.as_object().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_audit_is_told_what_is_added() {
    let world = World::new(2.0).await;
    let (gateway, config) = gateway(&world, "").await;
    let mut caller = client(&gateway).await;
    run(&mut caller, wish("before", 1)).await.end.unwrap();
    let mut command = export(&config, &["--follow"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let reader = tokio::task::spawn_blocking(move || {
        let lines = lines.map(Result::unwrap);
        lines.take(5).collect::<Vec<_>>()
    });
    run(&mut caller, wish("after", 1)).await.end.unwrap();
    let lines = reader.await.unwrap();
    follower.kill().unwrap();
    follower.wait().unwrap();
    gateway.stop().await;
    follow_one_another(&lines);
    let told: Vec<_> = events(&lines)
        .iter()
        .map(|row| row["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, ["chain", "intent", "outcome", "intent", "outcome"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_over_a_limit_is_a_denied_call() {
    let world = World::new(2.0).await;
    let limit = "[quotas.team]\norganization = \"development\"\ninstances = 1\n";
    let (gateway, config) = gateway(&world, limit).await;
    let mut caller = client(&gateway).await;
    let refused = caller.run_instances(wish("many", 2)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    gateway.stop().await;
    let rows = events(&exported(&config, &[]));
    let [_, denied] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(denied["event"], "denied");
    let rules = serde_json::json!(["team/instances"]);
    assert_eq!(
        (
            &denied["decision"]["policy_version"],
            &denied["decision"]["rules"]
        ),
        (&"limits".into(), &rules)
    );
}

/// A request that was accepted once is answered, whatever the rules have become since: the audit does not say otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_not_told_as_denied() {
    let world = World::new(100.0).await;
    let changes = "(principal, action in [Action::\"RunInstances\", Action::\"TerminateInstances\"], resource);";
    policy::write(&world, &format!("@id(\"all\") permit{changes}"));
    let settings = format!("{SOON_GONE}\n{}", policy::SETTINGS);
    let (gateway, config) = gateway(&world, &settings).await;
    let mut caller = client(&gateway).await;
    let first = run(&mut caller, wish("first", 1)).await;
    first.end.as_ref().unwrap();
    let machines = ids(first.last());
    let back = terminate(&mut caller, "back", &machines).await;
    policy::write(&world, &format!("@id(\"none\") forbid{changes}"));
    let reloads = "cvm_gateway_policy_reloads_total";
    policy::until(async || policy::metric(&gateway, reloads).await == 1).await;
    run(&mut caller, wish("first", 1)).await.end.unwrap();
    let again = terminate(&mut caller, "back", &machines).await;
    assert_eq!(again.last().name, back.last().name);
    let denied = caller.run_instances(wish("second", 1)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let denied = terminate(&mut caller, "more", &machines).await.end;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    gateway.stop().await;
    let rows = events(&exported(&config, &[]));
    let told = rows.iter().filter(|row| row["event"] == "denied");
    let told: Vec<_> = told
        .map(|row| (&row["action"], &row["request"]["requestId"]))
        .collect();
    let expected = [("RunInstances", "second"), ("TerminateInstances", "more")];
    let expected = expected.map(|(action, id)| (Value::from(action), Value::from(id)));
    assert_eq!(told, expected.each_ref().map(|(action, id)| (action, id)));
}

/// Ending a launch gives machines back: rules see whose it is, and so does who reads the audit.
#[tokio::test(flavor = "multi_thread")]
async fn whose_launch_is_ended_is_decided_and_told() {
    let (world, _later) = World::still().await;
    let rules = "@id(\"all\") permit(principal, action == Action::\"RunInstances\", resource);
        @id(\"own\") permit(principal, action == Action::\"CancelOperation\", resource == Account::\"main\")
        when { context.launched_by == principal.name && context.region == \"ap-shanghai\" };";
    policy::write(&world, rules);
    let (gateway, config) = gateway(&world, policy::SETTINGS).await;
    let mut caller = client(&gateway).await;
    let cancel = async |caller: &mut Client, name: &str| {
        let request = pb::CancelOperationRequest {
            name: name.to_owned(),
        };
        caller.cancel_operation(request).await
    };
    let launched = caller.run_instances(wish("mine", 1)).await.unwrap();
    let first = launched.into_inner().message().await.unwrap().unwrap();
    let Some(pb::run_instances_response::Event::Operation(first)) = first.event else {
        panic!("{first:?}");
    };
    let name = first.name;
    cancel(&mut caller, &name).await.unwrap();
    let forbidden = rules.replace("== principal.name", "!= principal.name");
    policy::write(&world, &forbidden);
    let reloads = "cvm_gateway_policy_reloads_total";
    policy::until(async || policy::metric(&gateway, reloads).await == 1).await;
    let denied = cancel(&mut caller, &name).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    // What is cancelled already is returned to whoever may read it, and that is no denied call.
    let read = "@id(\"read\") permit(principal, action == Action::\"GetOperation\", resource);";
    policy::write(&world, &format!("{forbidden}{read}"));
    policy::until(async || policy::metric(&gateway, reloads).await == 2).await;
    let operation = cancel(&mut caller, &name).await.unwrap().into_inner();
    assert_eq!(operation.operation.unwrap().name, name);
    gateway.stop().await;

    let rows = events(&exported(&config, &[]));
    let told = rows.iter().filter(|row| row["action"] == "CancelOperation");
    let told: Vec<_> = told
        .map(|row| ["event", "account", "region", "launched_by"].map(|name| &row[name]))
        .collect();
    let by = |event| [event, "main", "ap-shanghai", "developer"];
    assert_eq!(told, [by("intent"), by("denied")]);
}

/// No audit, no launch: neither the cloud nor the caller hears of what cannot be told.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_audit_cannot_be_told_is_neither_launched_nor_denied() {
    let world = World::new(100.0).await;
    let (gateway, config) = gateway(&world, "").await;
    let mut caller = client(&gateway).await;
    let url = format!("sqlite://{}/journal.db", world.folder.0.display());
    let mut journal = crate::postgres::connect(&url).await;
    let away = "ALTER TABLE audit_rows RENAME TO elsewhere";
    sqlx::query(away).execute(&mut journal).await.unwrap();
    let mut foreign = wish("foreign", 1);
    foreign.account = Some("foreign".to_owned());
    for request in [wish("untold", 1), foreign.clone()] {
        let refused = caller.run_instances(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Internal, "{refused:?}");
    }
    let calls = world.ledger().await;
    let launches = calls.iter().filter(|call| call["action"] == "RunInstances");
    assert_eq!(launches.count(), 0);

    let back = "ALTER TABLE elsewhere RENAME TO audit_rows";
    sqlx::query(back).execute(&mut journal).await.unwrap();
    let denied = caller.run_instances(foreign).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    run(&mut caller, wish("untold", 1)).await.end.unwrap();
    gateway.stop().await;
    let rows = events(&exported(&config, &[]));
    let told: Vec<_> = rows.iter().map(|row| row["event"].as_str()).collect();
    let expected = ["chain", "denied", "intent", "outcome"];
    assert_eq!(told, expected.map(Some));
}

/// The exit code and what is printed.
fn verified(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    let output = command.args(["audit", "verify"]).args(arguments).output();
    let output = output.unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// A file is verified without a journal, whole or from a time on, and what was done to it has a line.
#[tokio::test(flavor = "multi_thread")]
async fn an_exported_file_is_verified_by_itself() {
    let world = World::new(100.0).await;
    let (first, config) = gateway(&world, "").await;
    let mut caller = client(&first).await;
    run(&mut caller, wish("one", 1)).await.end.unwrap();
    first.stop().await;
    let (second, _) = gateway(&world, "").await;
    let mut caller = client(&second).await;
    run(&mut caller, wish("two", 1)).await.end.unwrap();
    second.stop().await;
    let lines = exported(&config, &[]);
    let file = world.folder.0.join("audit.jsonl");
    let put = |lines: &[String]| std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let path = file.to_str().unwrap();

    put(&lines);
    let whole = "ok: 6 rows in 2 chains are as they were written\n";
    assert_eq!(verified(&["--file", path]), (Some(0), whole.to_owned()));
    let mut changed = lines.clone();
    changed[1] = changed[1].replace("developer", "somebody");
    put(&changed);
    let (code, told) = verified(&["--file", path]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.starts_with("line 2: row 2 of chain "), "{told}");

    // The sinks of two gateways have every other row each.
    let other = world.folder.0.join("other.jsonl");
    let halves = [0, 1].map(|from| {
        lines
            .iter()
            .skip(from)
            .step_by(2)
            .cloned()
            .collect::<Vec<_>>()
    });
    put(&halves[0]);
    std::fs::write(&other, halves[1].join("\n")).unwrap();
    assert_eq!(verified(&["--file", path]).0, Some(1));
    let both = ["--file", path, "--file", other.to_str().unwrap()];
    assert_eq!(verified(&both), (Some(0), whole.to_owned()));
    put(&halves[0][1..]);
    let (code, told) = verified(&both);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.starts_with("line 1 of "), "{told}");

    // From the second launch on.
    let since = events(&lines)[4]["time"].as_str().unwrap().to_owned();
    let part = exported(&config, &["--since", &since]);
    put(&part);
    let (code, told) = verified(&["--file", path]);
    assert_eq!(code, Some(0), "{told} {part:#?}");
    put(&part[1..]);
    let (code, told) = verified(&["--file", path]);
    assert_eq!(code, Some(1), "{told} {part:#?}");
    assert_eq!(verified(&["--file", path, "--partial"]).0, Some(0));
    assert_eq!(verified(&["--file", "nothing"]).0, Some(66));
    assert_eq!(verified(&["--partial"]).0, Some(64));
}

/// Whoever gets a call wrong is in the audit, too, but not for ever, and not with all that it sent.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_never_came_before_policy_are_told_in_bounds() {
    let world = World::new(100.0).await;
    let (gateway, config) = gateway(&world, "").await;
    let mut caller = client(&gateway).await;
    let cancel = pb::CancelOperationRequest {
        name: "operations/019b7d5e-0000-7000-8000-000000000001".to_owned(),
    };
    let refused = caller.cancel_operation(cancel).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let leave = pb::TerminateInstancesRequest {
        request_id: "leave".to_owned(),
        instance_ids: vec!["ins-1a2b3c4d".to_owned()],
        timeout: None,
    };
    let refused = caller.terminate_instances(leave).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    for number in 0..10 {
        let mut wrong = wish(&format!("wrong-{number}"), 0);
        let spec = wrong.spec.as_mut().unwrap();
        spec.instance_name = (number == 1).then(|| "x".repeat(100_000));
        let refused = caller.run_instances(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    gateway.stop().await;

    let lines = exported(&config, &[]);
    follow_one_another(&lines);
    let rows = events(&lines);
    let refused: Vec<_> = rows
        .iter()
        .filter(|row| row["event"] == "refused")
        .collect();
    let told: Vec<_> = refused
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    let run = "RunInstances";
    let expected = ["CancelOperation", "TerminateInstances", run, run, run];
    assert_eq!(told, expected, "{rows:#?}");
    assert_eq!(refused[2]["request"]["requestId"], "wrong-0");
    let reason = refused[2]["reason"].as_str().unwrap();
    assert!(reason.starts_with("INVALID_PARAMETER: "), "{reason}");
    let long = refused[3]["request"].as_str().unwrap();
    assert!(
        long.starts_with("100") && long.ends_with(" bytes"),
        "{long}"
    );
    assert!(lines.iter().all(|line| line.len() < 8000));
    let last = rows.last().unwrap();
    let suppressed = (&last["suppressed"], &last["of"]);
    assert_eq!(suppressed, (&7.into(), &"refused".into()));
}

/// Waits until the files hold as many lines together, and gives them.
async fn brought(files: &[&Path], count: usize) -> Vec<String> {
    let clock = Clock::system();
    let mut lines = Vec::new();
    for _ in 0..600 {
        let texts = files.iter().map(std::fs::read_to_string);
        let text: String = texts.map(Result::unwrap_or_default).collect();
        lines = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            return lines;
        }
        clock.sleep(Duration::from_millis(50)).await;
    }
    panic!("only {} of {count} rows came: {lines:#?}", lines.len());
}

/// A sink goes on where it was, also when its file is moved away or the process is another one.
#[tokio::test(flavor = "multi_thread")]
async fn the_sink_has_every_row_once_across_rotation_and_restart() {
    let world = World::new(2.0).await;
    let sink = "[audit]\nsink = \"audit.jsonl\"\n";
    let (file, moved) = (
        world.folder.0.join("audit.jsonl"),
        world.folder.0.join("audit.jsonl.1"),
    );
    let (first, config) = gateway(&world, sink).await;
    let mut caller = client(&first).await;
    run(&mut caller, wish("one", 1)).await.end.unwrap();
    brought(&[&file], 3).await;
    std::fs::rename(&file, &moved).unwrap();
    run(&mut caller, wish("two", 1)).await.end.unwrap();
    brought(&[&moved, &file], 5).await;
    let (_, metrics) = get(first.admin_addr(), "/metrics").await;
    assert!(metrics.contains("cvm_gateway_audit_sink_lag_rows"));
    first.stop().await;

    let (second, _) = gateway(&world, sink).await;
    let mut caller = client(&second).await;
    run(&mut caller, wish("three", 1)).await.end.unwrap();
    let lines = brought(&[&moved, &file], 8).await;
    second.stop().await;
    let known = std::fs::read_to_string(&moved).unwrap().lines().count();
    assert_eq!(known, 3, "nothing was appended to what was moved away");
    assert_eq!(lines, exported(&config, &[]));

    // A cursor that is lost brings rows again, and loses none.
    let url = format!("sqlite://{}/journal.db", world.folder.0.display());
    let mut journal = crate::postgres::connect(&url).await;
    let forget = "DELETE FROM audit_sinks";
    sqlx::query(forget).execute(&mut journal).await.unwrap();
    let (third, _) = gateway(&world, sink).await;
    let lines = brought(&[&moved, &file], 16).await;
    third.stop().await;
    assert_eq!(
        lines[..8],
        lines[8..],
        "twice, and known by chain and sequence"
    );
}
