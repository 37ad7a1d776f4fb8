//! Rules of an organisation: what they decide about each RPC, and how they are replaced.

use crate::canary;
use crate::lifecycle::{SOON_GONE, ids, terminate};
use crate::refusals::{Told, told};
use crate::world::{Served, World, client, get, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb::v1 as pb;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tonic::{Code, Status};

pub(crate) const SETTINGS: &str = "[policy]\ndirectory = \"policy\"\nreload_interval = \"20ms\"\n";

const RULES: &str = r#"
@id("run-small") permit(principal == Service::"developer", action, resource == Account::"main")
when { context.instance_count <= 3 };
@id("no-sa2") @reason("SA2 is being given up") forbid(principal, action == Action::"RunInstances", resource)
when { context has instance_type && context.instance_type like "SA2.*" };
@id("read") permit(principal, action in [Action::"GetOperation", Action::"ListOperations"], resource);
"#;

/// A world whose folder holds these rules, for the action of launches alone.
async fn ruled(rules: &str) -> (World, Served) {
    let world = World::new(100.0).await;
    write(&world, &launches_only(rules));
    let gateway = world.gateway(&format!("{SOON_GONE}\n{SETTINGS}")).await;
    (world, gateway)
}

fn launches_only(rules: &str) -> String {
    let launches = "action in [Action::\"RunInstances\", Action::\"PlanRunInstances\", Action::\"TerminateInstances\"], resource ==";
    rules.replace("action, resource ==", launches)
}

pub(crate) fn write(world: &World, rules: &str) {
    let folder = world.folder.0.join("policy");
    std::fs::create_dir_all(&folder).unwrap();
    // It appears at once, never half written.
    std::fs::write(folder.join("new"), rules).unwrap();
    std::fs::rename(folder.join("new"), folder.join("rules.cedar")).unwrap();
}

pub(crate) fn denied(status: &Status) -> (String, String) {
    let Told {
        code,
        reason,
        message,
        metadata,
        ..
    } = told(status);
    assert_eq!(
        (code, reason.as_str()),
        (Code::PermissionDenied, "POLICY_DENIED")
    );
    assert!(metadata["policy"].starts_with("sha256:"), "{metadata:?}");
    (metadata["rule"].clone(), message)
}

/// The value of a series; zero before it appears.
pub(crate) async fn metric(gateway: &Gateway, series: &str) -> u64 {
    let (_, text) = get(gateway.admin_addr(), "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

pub(crate) async fn until(mut seen: impl AsyncFnMut() -> bool) {
    let clock = Clock::system();
    let happens = async {
        while !seen().await {
            clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let happens = clock.timeout(Duration::from_secs(60), happens).await;
    happens.expect("it does not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_decide_about_each_call_and_say_which() {
    let (_world, gateway) = ruled(RULES).await;
    let mut client = client(&gateway).await;
    let good = run(&mut client, wish("good", 2)).await;
    good.end.as_ref().unwrap();

    let many = client.run_instances(wish("many", 4)).await.unwrap_err();
    let (rule, message) = denied(&many);
    assert_eq!(rule, "no-rule-permits");
    assert!(
        message.contains("`run-small` needs when { context.instance_count <= 3 }"),
        "{message}"
    );
    let mut given_up = wish("given-up", 1);
    given_up.spec.as_mut().unwrap().instance_type = Some("SA2.MEDIUM4".to_owned());
    let refusal = client.run_instances(given_up.clone()).await.unwrap_err();
    let expected = "forbidden by the rule `no-sa2`: SA2 is being given up";
    assert_eq!(denied(&refusal), ("no-sa2".to_owned(), expected.to_owned()));

    let plan = |request| pb::PlanRunInstancesRequest {
        request: Some(request),
        cloud_dry_run: false,
    };
    let allowed = client
        .plan_run_instances(plan(wish("plan", 1)))
        .await
        .unwrap();
    let decisions = allowed.into_inner().decisions;
    let said = |decisions: &[pb::PolicyDecision]| -> Vec<(String, bool)> {
        let said = decisions.iter();
        said.map(|said| (said.rule_id.clone(), said.permits))
            .collect()
    };
    assert_eq!(said(&decisions), [("run-small".to_owned(), true)]);
    let refused = client
        .plan_run_instances(plan(given_up))
        .await
        .unwrap()
        .into_inner();
    assert!(!refused.allowed);
    assert_eq!(said(&refused.decisions), [("no-sa2".to_owned(), false)]);
    // Who may not even ask.
    let asked = client.plan_run_instances(plan(wish("plan", 9))).await;
    denied(&asked.unwrap_err());
    let decided = |action: &str, decision: &str| {
        format!(
            "cvm_gateway_policy_decisions_total{{decision=\"{decision}\",grpc_method=\"{action}\"}}"
        )
    };
    for (action, decision, count) in [
        ("RunInstances", "allow", 2),
        ("RunInstances", "deny", 3),
        ("PlanRunInstances", "deny", 1),
    ] {
        let seen = metric(&gateway, &decided(action, decision)).await;
        assert_eq!(seen, count, "{action} {decision}");
    }
    assert_eq!(metric(&gateway, "cvm_gateway_policy_rules").await, 3);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_decide_about_what_was_launched() {
    let (world, gateway) = ruled(RULES).await;
    let mut client = client(&gateway).await;
    let good = run(&mut client, wish("good", 2)).await;
    let name = good.last().name.clone();
    let request = pb::GetOperationRequest { name: name.clone() };
    client.get_operation(request).await.unwrap();
    let list = pb::ListInstancesRequest::default();
    denied(&client.list_instances(list).await.unwrap_err());
    let cancel = pb::CancelOperationRequest { name: name.clone() };
    denied(&client.cancel_operation(cancel).await.unwrap_err());
    let watch = pb::WatchOperationRequest {
        name,
        after_sequence: 0,
    };
    denied(&client.watch_operation(watch).await.unwrap_err());
    let back = pb::TerminateInstancesRequest {
        request_id: "back".to_owned(),
        instance_ids: world.machines().await,
        ..pb::TerminateInstancesRequest::default()
    };
    client.terminate_instances(back).await.unwrap();
    gateway.stop().await;
}

/// The same request again is the same operation, whatever the rules have become since.
#[tokio::test(flavor = "multi_thread")]
async fn changed_rules_decide_what_comes_and_not_what_is() {
    let (world, gateway) = ruled(RULES).await;
    let mut client = client(&gateway).await;
    let first = run(&mut client, wish("first", 2)).await;
    let machines = ids(first.last());
    let back = terminate(&mut client, "back", &machines[..1]).await;
    let none = "@id(\"none\") forbid(principal, action in [Action::\"RunInstances\", Action::\"TerminateInstances\"], resource);";
    write(&world, none);
    until(async || metric(&gateway, "cvm_gateway_policy_reloads_total").await == 1).await;
    let refusal = client.run_instances(wish("second", 1)).await.unwrap_err();
    assert_eq!(denied(&refusal).0, "none");
    let again = run(&mut client, wish("first", 2)).await;
    assert_eq!(again.last().name, first.last().name);
    // The same request_id for other machines is another wish.
    for (request_id, machines) in [("back", &machines[..]), ("more", &machines[..1])] {
        let refusal = terminate(&mut client, request_id, machines).await.end;
        assert_eq!(denied(&refusal.unwrap_err()).0, "none", "{request_id}");
    }
    let again = terminate(&mut client, "back", &machines[..1]).await;
    assert_eq!(again.last().name, back.last().name);
    assert_eq!(metric(&gateway, "cvm_gateway_policy_rules").await, 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_wrong_do_not_replace_good_ones() {
    let (world, gateway) = ruled(RULES).await;
    let mut client = client(&gateway).await;
    let failures = "cvm_gateway_policy_reload_failures_total";
    let failed = "cvm_gateway_policy_reload_failed";
    assert_eq!(metric(&gateway, failed).await, 0);
    let case = "[[case]]\nname = \"a\"\nprincipal = \"dev\"\norganization = \"development\"\naccount = \"main\"\naction = \"GetOperation\"\nexpect = \"deny\"\n";
    let folder = world.folder.0.join("policy");
    let spoil: [&dyn Fn(); 4] = [
        &|| write(&world, "@id(\"a\") permit(principal, action, resource"),
        &|| {
            write(
                &world,
                "@id(\"a\") permit(principal, action, resource) when { context.nothing };",
            )
        },
        &|| std::fs::remove_file(folder.join("rules.cedar")).unwrap(),
        &|| {
            std::fs::create_dir_all(folder.join("tests")).unwrap();
            std::fs::write(folder.join("tests/a.toml"), case).unwrap();
            write(&world, &launches_only(RULES));
        },
    ];
    for (number, spoil) in (1..).zip(spoil) {
        spoil();
        until(async || metric(&gateway, failures).await == number).await;
        assert_eq!(metric(&gateway, failed).await, 1);
        let launched = run(&mut client, wish(&format!("still-{number}"), 1)).await;
        launched.end.as_ref().unwrap();
    }
    assert_eq!(
        metric(&gateway, "cvm_gateway_policy_reloads_total").await,
        0
    );
    std::fs::remove_dir_all(folder.join("tests")).unwrap();
    write(&world, "@id(\"none\") forbid(principal, action, resource);");
    until(async || metric(&gateway, "cvm_gateway_policy_reloads_total").await == 1).await;
    assert_eq!(metric(&gateway, failed).await, 0);
    denied(&client.run_instances(wish("no", 1)).await.unwrap_err());
    gateway.stop().await;
}

#[test]
fn the_examples_are_sound_and_decide_their_cases() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy-examples");
    let examples = examples.to_str().unwrap();
    let checked = program(&["policy", "check", examples]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(
        out(&checked).starts_with("ok: 10 rules, 7 layers, sha256:"),
        "{checked:?}"
    );
    let tested = program(&["policy", "test", examples]);
    assert_eq!(tested.status.code(), Some(0), "{tested:?}");
    assert_eq!(out(&tested), "ok: 17 cases are decided as they must be\n");
}

#[test]
fn rules_are_explained_offline() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy-examples");
    let examples = examples.to_str().unwrap();
    let request = folder("explained").join("request.json");
    let asked = r#"{"region": "ap-shanghai", "spec": {"placement": {"zone": "ap-shanghai-2"},
        "imageId": "img-pmqg1cw7", "instanceType": "S5.MEDIUM4", "instanceCount": 30,
        "tagSpecification": [{"resourceType": "instance", "tags": [{"key": "owner", "value": "web"}]}]}}"#;
    let explain = |text: &str| {
        std::fs::write(&request, text).unwrap();
        let arguments = [
            "policy",
            "explain",
            examples,
            "--as",
            "spiffe://acme.example/ns/web/sa/deployer",
            "--organization",
            "acme",
            "--file",
            request.to_str().unwrap(),
        ];
        program(&arguments)
    };
    let denied = explain(
        &asked
            .replace("S5.MEDIUM4", "GN10X.2XLARGE40")
            .replace("30", "1"),
    );
    assert_eq!(denied.status.code(), Some(77), "{denied:?}");
    let says = "denied: no rule permits it; `web-small` needs when { ";
    assert!(out(&denied).starts_with(says), "{}", out(&denied));
    let capped = explain(asked);
    assert_eq!(capped.status.code(), Some(77), "{capped:?}");
    let says = "denied: spec.instance_count must be at most 20: team layer web, layers/web.toml:14\n  denies  layer:web  ";
    assert!(out(&capped).starts_with(says), "{}", out(&capped));
    let allowed = explain(&asked.replace("30", "20"));
    assert_eq!(allowed.status.code(), Some(0), "{allowed:?}");
    let says = "allowed\n  permits  web-small\n  changes  spec.system_disk.encrypt  unset → true  (set of the organization layer acme, layers/acme.toml:13)\n";
    assert!(out(&allowed).starts_with(says), "{}", out(&allowed));
    let unusable = explain(&asked.replace("30", "-1"));
    assert_eq!(unusable.status.code(), Some(65), "{unusable:?}");
    let said = std::str::from_utf8(&unusable.stderr).unwrap();
    assert!(said.contains("spec.instance_count"), "{said}");
}

/// What the configuration says elsewhere, and whether its secrets are there, is no matter.
#[test]
fn requests_are_held_against_the_limits_of_a_configuration() {
    let folder = folder("limited");
    let [rules, cases, request, config] =
        ["a.cedar", "tests/a.toml", "request.json", "gateway.toml"].map(|name| folder.join(name));
    std::fs::create_dir_all(folder.join("tests")).unwrap();
    std::fs::write(rules, "@id(\"a\")\npermit(principal, action, resource);\n").unwrap();
    let case = "[[case]]\nname = \"n\"\nprincipal = \"p\"\norganization = \"o\"\naccount = \"main\"\n\
                expect = \"allow\"\n[case.request]\nregion = \"ap-shanghai\"\n\
                spec = { placement = { zone = \"ap-shanghai-2\" }, imageId = \"img-pmqg1cw7\", instanceCount = 200 }\n";
    std::fs::write(cases, case).unwrap();
    let asked = r#"{"region": "ap-shanghai", "spec": {"placement": {"zone": "ap-shanghai-2"},
        "imageId": "img-pmqg1cw7", "instanceCount": 200}}"#;
    std::fs::write(&request, asked).unwrap();
    let [folder, request, path] = [&folder, &request, &config].map(|path| path.to_str().unwrap());
    let test = ["policy", "test", folder];
    let explain = [
        "policy",
        "explain",
        folder,
        "--as",
        "p",
        "--organization",
        "o",
        "--file",
        request,
    ];
    let limited =
        "organizations.o.accounts.main.secret_key_file = \"none\"\n[limits]\ninstance_count_max = ";
    for (max, code) in [(199, [1, 65]), (200, [0, 0]), (501, [78, 78])] {
        std::fs::write(&config, format!("{limited}{max}\n")).unwrap();
        let with = ["--config", path];
        let ended = [[&test[..], &with].concat(), [&explain[..], &with].concat()];
        let ended = ended.map(|arguments| program(&arguments).status.code());
        assert_eq!(ended, code.map(Some), "{max}");
    }
    let usual = [&test[..], &explain[..]].map(|arguments| program(arguments).status.code());
    assert_eq!(usual, [Some(1), Some(65)]);
}

#[test]
fn what_is_wrong_with_rules_is_said_with_file_and_line() {
    let folder = folder("wrong");
    let rules = folder.to_str().unwrap().to_owned();
    let check = |command: &str| {
        let checked = program(&["policy", command, &rules]);
        let said = std::str::from_utf8(&checked.stderr).unwrap().to_owned();
        (checked.status.code(), said + out(&checked))
    };
    let (code, said) = check("check");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("holds no *.cedar file"), "{said}");
    let text = "// Rules.\n\n@id(\"a\")\npermit(principal, action, resource)\nwhen { context.cpuu > 3 };\n";
    std::fs::write(folder.join("a.cedar"), text).unwrap();
    let (code, said) = check("check");
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("a.cedar:5:8: "), "{said}");
    let text = "@id(\"a\")\npermit(principal, action, resource);\n";
    std::fs::write(folder.join("a.cedar"), text).unwrap();
    std::fs::create_dir_all(folder.join("tests")).unwrap();
    for (case, code, expected) in [
        ("x = 1", 1, "a.toml:1:1: no cases: unknown field `x`"),
        (
            "[[case]]\nname = \"n\"",
            1,
            "a.toml:1:1: no cases: missing field `principal`",
        ),
        (
            "[[case]]\nname = \"n\"\nprincipal = \"p\"\norganization = \"o\"\naccount = \"m\"\naction = \"GetOperation\"\nexpect = \"deny\"",
            1,
            "a.toml:1:1: case `n`: must be denied, and is allowed by",
        ),
        (
            "[[case]]\nname = \"n\"\nprincipal = \"p\"\norganization = \"o\"\naccount = \"m\"\nexpect = \"allow\"\nrequest = { regoin = \"x\" }",
            1,
            "unrecognized field name 'regoin'",
        ),
    ] {
        std::fs::write(folder.join("tests/a.toml"), case).unwrap();
        let (seen, said) = check("test");
        assert_eq!(seen, Some(code), "{case}: {said}");
        assert!(said.contains(expected), "{case}: {said}");
    }
    let (code, said) = {
        let checked = program(&["policy", "check", "/nowhere"]);
        (checked.status.code(), checked.stderr)
    };
    assert_eq!(code, Some(66), "{}", std::str::from_utf8(&said).unwrap());
}

#[test]
fn the_schema_is_printed() {
    let printed = program(&["policy", "schema"]);
    assert_eq!(printed.status.code(), Some(0));
    assert!(out(&printed).contains("action RunInstances"), "{printed:?}");
}

fn program(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    canary::output(command.args(arguments))
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// A folder of its own for each test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("policy-{test}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
