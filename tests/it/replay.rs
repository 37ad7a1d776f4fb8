//! `policy diff`: past calls, as the audit tells them, decided by other rules.

use crate::canary;
use crate::policy::{SETTINGS, write};
use crate::world::{Folder, World, client, config_text, run, wish};
use cvm_gateway::pb::v1 as pb;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const RULES: &str = "@id(\"all\") permit(principal, action, resource);\n";

/// A folder of rules, with a layer if there is one.
fn rules(folder: &Folder, name: &str, rules: &str, layer: Option<&str>) -> PathBuf {
    let rules_of = folder.0.join(name);
    std::fs::create_dir_all(rules_of.join("layers")).unwrap();
    std::fs::write(rules_of.join("a.cedar"), rules).unwrap();
    if let Some(layer) = layer {
        let head = "level = \"organization\"\norganization = \"acme\"\n";
        std::fs::write(rules_of.join("layers/a.toml"), format!("{head}{layer}")).unwrap();
    }
    rules_of
}

fn launch(count: i64) -> Value {
    json!({
        "time": "2026-01-05T22:30:00Z",
        "action": "RunInstances",
        "organization": "acme",
        "principal": { "name": "spiffe://acme/web", "issuer": "cluster" },
        "account": "main",
        "region": "ap-shanghai",
        "request": {
            "requestId": "r",
            "region": "ap-shanghai",
            "spec": {
                "placement": { "zone": "ap-shanghai-2" },
                "imageId": "img-pmqg1cw7",
                "instanceCount": count.to_string(),
                "loginSettings": { "password": "***Masked***0" },
                "userData": "bWFza2Vk",
                "metadata": { "items": [{ "key": "role", "value": "***" }] },
            },
        },
        "decision": { "verdict": "allow", "rules": ["all"], "policy_version": "sha256:0" },
    })
}

fn termination() -> Value {
    json!({
        "time": "2026-01-05T22:30:00.25Z",
        "action": "TerminateInstances",
        "organization": "acme",
        "principal": { "name": "spiffe://acme/web" },
        "account": "main",
        "region": "ap-shanghai",
        "request": { "instanceIds": ["ins-1a2b3c4d"] },
        "decision": { "verdict": "allow" },
    })
}

/// The exit code, what is printed, and what is noted beside.
fn diff(old: &Path, new: &Path, replay: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    command.args(["policy", "diff"]).arg(old).arg(new);
    let output = canary::output(command.arg("--replay").arg(replay));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn lines(folder: &Folder, rows: &[Value]) -> PathBuf {
    let path = folder.0.join("audit.jsonl");
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&path, rows).unwrap();
    path
}

/// What `audit export` prints of the world's journal, in a file.
fn exported(world: &World) -> PathBuf {
    let endpoint = format!("http://{}", world.simulator.addr());
    let config = world.folder.0.join("cvm-gateway.toml");
    std::fs::write(&config, config_text(&world.folder.0, &endpoint, SETTINGS)).unwrap();
    let mut export = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    let exported = export.args(["audit", "export", "--config"]).arg(&config);
    let exported = canary::output(exported);
    assert!(exported.status.success(), "{exported:?}");
    let audit = world.folder.0.join("audit.jsonl");
    std::fs::write(&audit, &exported.stdout).unwrap();
    audit
}

#[test]
fn other_rules_tell_which_past_decisions_they_change() {
    let folder = Folder::new();
    let old = rules(&folder, "old", RULES, None);
    let fewer = "@id(\"few\") permit(principal, action == Action::\"RunInstances\", resource) when { context.instance_count <= 3 && context.password && context.user_data && context.hour == 22 };\n";
    let new = rules(&folder, "new", fewer, None);
    let released = json!({ "time": "2026-01-05T22:30:00Z", "action": "RELEASE", "organization": "acme", "principal": { "name": "p" } });
    // The end of a launch, and rows of the chain itself.
    let mut ended = launch(4);
    ended["event"] = json!("outcome");
    ended["request"] = Value::Null;
    let chain = json!({ "chain": "c", "sequence": 1, "time": "2026-01-05T22:30:00Z", "event": "chain", "links": [] });
    let ending = json!({ "time": "2026-01-05T22:30:00Z", "action": "CancelOperation", "organization": "acme", "principal": { "name": "p" },
        "account": "main", "region": "ap-shanghai", "launched_by": "q" });
    let mut of_before = ending.clone();
    of_before.as_object_mut().unwrap().remove("launched_by");
    let rows = [
        launch(3),
        launch(4),
        termination(),
        released,
        ending,
        of_before,
        ended,
        chain,
    ];

    let (code, told, noted) = diff(&old, &old, &lines(&folder, &rows));
    let nothing = "4 decisions: 0 would be refused, 0 would be allowed, 0 would be filled in otherwise; 4 other lines, 0 that cannot be used\n";
    assert_eq!(
        (code, told.as_str(), noted.as_str()),
        (Some(0), nothing, "")
    );

    // Limits may have been wider then.
    let (code, told, _) = diff(&old, &new, &lines(&folder, &[launch(500)]));
    assert_eq!(code, Some(1), "{told}");
    let audit = lines(&folder, &rows);

    let (code, told, _) = diff(&old, &new, &audit);
    assert_eq!(code, Some(1), "{told}");
    let expected = "line 2: 2026-01-05T22:30:00Z RunInstances by spiffe://acme/web: allowed → denied (no rule permits it; `few` needs when { context.instance_count <= 3 }";
    assert!(told.starts_with(expected), "{told}");
    let expected = "line 3: 2026-01-05T22:30:00.25Z TerminateInstances by spiffe://acme/web: allowed → denied (";
    assert!(told.contains(expected), "{told}");
    assert!(
        told.contains("\n4 decisions: 3 would be refused, 0 would be allowed, 0"),
        "{told}"
    );

    let (code, told, noted) = diff(&new, &old, &audit);
    assert_eq!(code, Some(1));
    assert!(
        told.contains("\n4 decisions: 0 would be refused, 3 would be allowed, 0"),
        "{told}"
    );
    assert!(noted.contains("2 were not decided as"), "{noted}");
}

#[test]
fn other_layers_tell_what_they_would_fill_in() {
    let folder = Folder::new();
    let old = rules(
        &folder,
        "old",
        RULES,
        Some("[default]\nhost_name = \"a\"\n"),
    );
    let layer = "[default]\nhost_name = \"b\"\n[set]\nsystem_disk.encrypt = true\n[cap]\ninstance_count = 3\n";
    let new = rules(&folder, "new", RULES, Some(layer));
    let audit = lines(&folder, &[launch(3), launch(4)]);
    let (code, told, _) = diff(&old, &new, &audit);
    let at = "2026-01-05T22:30:00Z RunInstances by spiffe://acme/web";
    let expected = format!(
        "line 1: {at}: spec.host_name: \"a\" → \"b\"\n\
         line 1: {at}: spec.system_disk.encrypt: as asked → true\n\
         line 2: {at}: allowed → denied (spec.instance_count must be at most 3: organization layer a, layers/a.toml:8)\n\
         2 decisions: 1 would be refused, 0 would be allowed, 1 would be filled in otherwise; 0 other lines, 0 that cannot be used\n"
    );
    assert_eq!((code, told), (Some(1), expected));
    // What layers make of a request can break the rules for requests.
    let bad = rules(&folder, "bad", RULES, Some("[set]\nimage_id = \"ami-1\"\n"));
    let (code, told, _) = diff(&old, &bad, &audit);
    assert_eq!(code, Some(1));
    assert!(
        told.contains("allowed → refused (spec.image_id: "),
        "{told}"
    );
}

/// What a gateway wrote down is decided again as it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_audit_exports_is_replayed() {
    let world = World::new(100.0).await;
    let few = "@id(\"few\") permit(principal, action in [Action::\"RunInstances\", Action::\"TerminateInstances\"], resource == Account::\"main\") when { context.instance_count <= 1 };\n";
    write(&world, few);
    let layers = world.folder.0.join("policy/layers");
    std::fs::create_dir_all(&layers).unwrap();
    let layer = "level = \"organization\"\norganization = \"development\"\n[default]\nimage_id = \"img-pmqg1cw7\"\n";
    std::fs::write(layers.join("a.toml"), layer).unwrap();
    let gateway = world.gateway(SETTINGS).await;
    let mut client = client(&gateway).await;
    let mut request = wish("one", 1);
    let spec = request.spec.as_mut().unwrap();
    spec.image_id = None;
    spec.login_settings = Some(pb::LoginSettings {
        password: Some("Hunter-22-hunter".to_owned()),
        ..pb::LoginSettings::default()
    });
    run(&mut client, request).await.end.unwrap();
    client.run_instances(wish("two", 2)).await.unwrap_err();
    let back = pb::TerminateInstancesRequest {
        request_id: "back".to_owned(),
        instance_ids: world.machines().await,
        ..pb::TerminateInstancesRequest::default()
    };
    client.terminate_instances(back).await.unwrap();
    gateway.stop().await;

    let audit = exported(&world);
    let old = world.folder.0.join("policy");
    let (code, told, noted) = diff(&old, &old, &audit);
    assert_eq!((code, noted.as_str()), (Some(0), ""), "{told}");
    assert!(
        told.starts_with("3 decisions: 0 would be refused"),
        "{told}"
    );
    let new = rules(&world.folder, "new", RULES, None);
    let (code, told, _) = diff(&old, &new, &audit);
    assert_eq!(code, Some(1));
    // Without the layer the first has no image; without the rule two are allowed.
    assert!(
        told.contains("allowed → refused (spec.image_id: "),
        "{told}"
    );
    assert!(
        told.contains("\n3 decisions: 1 would be refused, 1 would be allowed, 0 would"),
        "{told}"
    );
}

/// How big a model was is decided by again, and what layers made of the request is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_of_models_is_replayed() {
    let world = World::new(100.0).await;
    let small = "@id(\"small\") permit(principal, action == Action::\"RunInstances\", resource) when { context has vcpu && context.vcpu <= 1 && context has price_per_hour && context.price_per_hour.lessThan(decimal(\"100.0\")) };\n";
    write(&world, small);
    let layers = world.folder.0.join("policy/layers");
    std::fs::create_dir_all(&layers).unwrap();
    let layer = "level = \"organization\"\norganization = \"development\"\n[set]\nsystem_disk.encrypt = true\n";
    std::fs::write(layers.join("a.toml"), layer).unwrap();
    let gateway = world.gateway(SETTINGS).await;
    let mut client = client(&gateway).await;
    run(&mut client, wish("one", 1)).await.end.unwrap();
    let mut bigger = wish("two", 1);
    bigger.spec.as_mut().unwrap().instance_type = Some("S5.MEDIUM4".to_owned());
    client.run_instances(bigger).await.unwrap_err();
    gateway.stop().await;

    let audit = exported(&world);
    let text = std::fs::read_to_string(&audit).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let rows: Vec<Value> = rows.collect();
    let change = json!([{
        "field": "spec.system_disk.encrypt", "before": "", "after": "true",
        "origin": "set of the organization layer a, layers/a.toml:4",
    }]);
    for (event, model, vcpu) in [("intent", "S5.SMALL1", 1), ("denied", "S5.MEDIUM4", 2)] {
        let row = rows.iter().find(|row| row["event"] == event).unwrap();
        assert_eq!(row["changes"], change, "{row}");
        let size = &row["sizes"][0];
        assert_eq!(
            (&size["instance_type"], &size["vcpu"]),
            (&json!(model), &json!(vcpu))
        );
        assert!(size["price_per_hour"].is_string(), "{row}");
    }

    let old = world.folder.0.join("policy");
    let (code, told, noted) = diff(&old, &old, &audit);
    assert_eq!((code, noted.as_str()), (Some(0), ""), "{told}");
    let new = rules(&world.folder, "new", &small.replace("<= 1", "<= 2"), None);
    let (_, told, _) = diff(&old, &new, &audit);
    assert!(
        told.contains("2 decisions: 0 would be refused, 1 would be allowed"),
        "{told}"
    );
}

#[test]
fn lines_that_cannot_be_used_are_told_and_fail() {
    let folder = Folder::new();
    let old = rules(&folder, "old", RULES, None);
    let mut nobody = launch(1);
    nobody["principal"] = json!({});
    let mut timeless = launch(1);
    timeless["time"] = json!("noon");
    let mut unknown = launch(1);
    unknown["request"]["spec"]["imageid"] = json!("x");
    let audit = lines(&folder, &[nobody, timeless, unknown, launch(1)]);
    let mut text = std::fs::read_to_string(&audit).unwrap();
    text.push_str("{\"torn\": \n\n");
    std::fs::write(&audit, text).unwrap();
    let (code, told, _) = diff(&old, &old, &audit);
    assert_eq!(code, Some(65), "{told}");
    for number in [1, 2, 3, 5] {
        assert!(
            told.contains(&format!("line {number}: cannot be used: ")),
            "{told}"
        );
    }
    assert!(told.contains("\n1 decisions: 0"), "{told}");
    assert!(
        told.ends_with("0 other lines, 4 that cannot be used\n"),
        "{told}"
    );
    let (code, ..) = diff(&old, &old, &folder.0.join("nothing"));
    assert_eq!(code, Some(66));
    let (code, ..) = diff(&old, &folder.0, &audit);
    assert_eq!(code, Some(78));
    std::fs::write(&audit, "x".repeat(17 << 20)).unwrap();
    let (code, _, noted) = diff(&old, &old, &audit);
    assert_eq!(code, Some(66), "{noted}");
    assert!(noted.contains("a line is longer than"), "{noted}");
}
