//! Layers fill launches in: what they change is planned, judged, sent and told, and nothing else is.

use crate::policy::{SETTINGS, denied, metric, until, write};
use crate::refusals::told;
use crate::world::{Client, Served, World, client, run, wish};
use cvm_gateway::pb::v1 as pb;
use serde_json::Value;
use std::os::unix::fs::symlink;
use tonic::Code;

const ALL: &str = "@id(\"all\") permit(principal, action, resource);\n";
const RELOADS: &str = "cvm_gateway_policy_reloads_total";
const FAILURES: &str = "cvm_gateway_policy_reload_failures_total";

/// Writes a layer of the organisation, which appears at once.
pub(crate) fn layer(world: &World, text: &str) {
    let folder = world.folder.0.join("policy/layers");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!("level = \"organization\"\norganization = \"development\"\n{text}");
    std::fs::write(folder.join("new"), text).unwrap();
    std::fs::rename(folder.join("new"), folder.join("all.toml")).unwrap();
}

async fn layered(rules: &str, text: &str) -> (World, Served) {
    let world = World::new(100.0).await;
    write(&world, rules);
    layer(&world, text);
    let gateway = world.gateway(SETTINGS).await;
    (world, gateway)
}

async fn plan(
    client: &mut Client,
    request: pb::RunInstancesRequest,
) -> pb::PlanRunInstancesResponse {
    let request = pb::PlanRunInstancesRequest {
        request: Some(request),
        cloud_dry_run: false,
    };
    client
        .plan_run_instances(request)
        .await
        .unwrap()
        .into_inner()
}

/// The bodies of the launches that the cloud was asked for.
async fn sent(world: &World) -> Vec<Value> {
    let ledger = world.ledger().await.into_iter();
    let calls = ledger.filter(|entry| entry["action"] == "RunInstances");
    let bodies = calls.map(|entry| match entry["body"].as_str() {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => entry["body"].clone(),
    });
    bodies.collect()
}

fn without_image(request_id: &str) -> pb::RunInstancesRequest {
    let mut request = wish(request_id, 1);
    request.spec.as_mut().unwrap().image_id = None;
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn what_layers_change_is_planned_judged_sent_and_told() {
    let rules = "@id(\"encrypted\") permit(principal, action, resource == Account::\"main\") when { context.disks_encrypted && context has image_id && context.tag_keys.contains(\"cost\") };\n@id(\"read\") permit(principal, action == Action::\"GetOperation\", resource);\n";
    let launches =
        "action in [Action::\"RunInstances\", Action::\"PlanRunInstances\"], resource ==";
    let rules = rules.replace("action, resource ==", launches);
    let text = "[default]\nimage_id = \"img-pmqg1cw7\"\n[set]\nsystem_disk.encrypt = true\n[append.tags]\ncost = \"42\"\n";
    let (world, gateway) = layered(&rules, text).await;
    let mut client = client(&gateway).await;
    let planned = plan(&mut client, without_image("a")).await;
    assert!(planned.allowed, "{:?}", planned.decisions);
    let changes = planned.changes.iter();
    let changes = changes.map(|of| {
        (
            of.field.as_str(),
            of.before.as_str(),
            of.after.as_str(),
            of.origin.as_str(),
        )
    });
    let at = "of the organization layer all, layers/all.toml";
    let expected = [
        (
            "spec.system_disk.encrypt",
            "",
            "true",
            format!("set {at}:6"),
        ),
        (
            "spec.image_id",
            "",
            "\"img-pmqg1cw7\"",
            format!("default {at}:4"),
        ),
        (
            "spec.tag_specification[0].tags[0]",
            "",
            "{\"key\":\"cost\",\"value\":\"42\"}",
            format!("append {at}:8"),
        ),
    ];
    let expected = expected
        .each_ref()
        .map(|(a, b, c, d)| (*a, *b, *c, d.as_str()));
    assert_eq!(changes.collect::<Vec<_>>(), expected);
    let spec = planned.effective_spec.unwrap();
    assert_eq!(spec.image_id.as_deref(), Some("img-pmqg1cw7"));
    assert_eq!(spec.system_disk.unwrap().encrypt, Some(true));
    assert_eq!(spec.tag_specification[0].tags[0].key, "cost");

    // The plan is one for what layers made of the same request.
    let mut request = without_image("a");
    request.plan = Some(planned.plan);
    let launched = run(&mut client, request).await;
    launched.end.as_ref().unwrap();
    let body = &sent(&world).await[0];
    assert_eq!(body["ImageId"], "img-pmqg1cw7");
    assert_eq!(body["SystemDisk"]["Encrypt"], true);
    assert_eq!(body["TagSpecification"][0]["Tags"][0]["Key"], "cost");
    let get = pb::GetOperationRequest {
        name: launched.last().name.clone(),
    };
    let kept = client.get_operation(get).await.unwrap().into_inner();
    let kept = kept.operation.unwrap().changes;
    assert_eq!(kept, launched.last().changes);
    let fields = kept
        .iter()
        .map(|of| (of.field.as_str(), of.after.as_str(), of.origin.as_str()));
    let planned = expected
        .iter()
        .map(|(field, _, after, origin)| (*field, *after, *origin));
    assert!(fields.eq(planned), "{kept:?}");
    gateway.stop().await;
}

/// What a request is known again by is what its caller asked for.
#[tokio::test(flavor = "multi_thread")]
async fn changed_layers_change_nothing_that_was_accepted() {
    let text = "[default]\nimage_id = \"img-pmqg1cw7\"\n";
    let (world, gateway) = layered(ALL, text).await;
    let mut client = client(&gateway).await;
    let first = run(&mut client, without_image("first")).await;
    first.end.as_ref().unwrap();
    let planned = plan(&mut client, without_image("planned")).await;
    layer(
        &world,
        "[default]\nimage_id = \"img-8toqc6s3\"\n[require]\ntags.owner = true\n",
    );
    until(async || metric(&gateway, RELOADS).await == 1).await;
    let again = run(&mut client, without_image("first")).await;
    assert_eq!(again.last().name, first.last().name);
    assert_eq!(again.last().changes, first.last().changes);
    let other = client.run_instances(wish("first", 1)).await.unwrap_err();
    assert_eq!(other.code(), Code::PermissionDenied);
    layer(&world, "[default]\nimage_id = \"img-8toqc6s3\"\n");
    until(async || metric(&gateway, RELOADS).await == 2).await;
    let other = client.run_instances(wish("first", 1)).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "{other}");
    // Other layers make another launch of the same request.
    let mut request = without_image("planned");
    request.plan = Some(planned.plan);
    let outdated = client.run_instances(request).await.unwrap_err();
    assert_eq!(outdated.code(), Code::FailedPrecondition, "{outdated}");
    assert_eq!(sent(&world).await.len(), 1);
    gateway.stop().await;
}

/// Times of layers are counted from the plan, so that the plan is still one for the launch later.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_carried_out_with_its_times() {
    let text =
        "[default.action_timer]\ntimer_action = \"TerminateInstances\"\naction_time = \"2h\"\n";
    let (world, gateway) = layered(ALL, text).await;
    let mut client = client(&gateway).await;
    let planned = plan(&mut client, wish("a", 1)).await;
    let time = planned
        .effective_spec
        .unwrap()
        .action_timer
        .unwrap()
        .action_time
        .unwrap();
    cvm_gateway::clock::Clock::system()
        .sleep(std::time::Duration::from_millis(1100))
        .await;
    let mut request = wish("a", 1);
    request.plan = Some(planned.plan);
    run(&mut client, request).await.end.unwrap();
    run(&mut client, wish("b", 1)).await.end.unwrap();
    let times: Vec<_> = sent(&world)
        .await
        .iter()
        .map(|body| body["ActionTimer"]["ActionTime"].clone())
        .collect();
    assert_eq!(times[0], time.as_str());
    assert!(times[1].as_str().unwrap() > time.as_str(), "{times:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_layer_requires_is_refused_by_field() {
    let text =
        "[require]\ninstance_name = \"web-*\"\ntags.owner = true\n[cap]\ninstance_count = 1\n";
    let (world, gateway) = layered(ALL, text).await;
    let mut client = client(&gateway).await;
    let refusal = client.run_instances(wish("a", 2)).await.unwrap_err();
    let message = "spec.instance_count must be at most 1: organization layer all, layers/all.toml:7; and 2 more";
    assert_eq!(
        denied(&refusal),
        ("layer:all".to_owned(), message.to_owned())
    );
    let fields = told(&refusal).fields;
    assert_eq!(
        fields,
        [
            "spec.instance_count",
            "spec.instance_name",
            "spec.tags.owner"
        ]
    );
    let planned = plan(&mut client, wish("a", 2)).await;
    assert!(!planned.allowed && planned.plan.is_empty());
    let rules = planned
        .decisions
        .iter()
        .map(|said| (said.rule_id.as_str(), said.permits));
    assert!(
        rules.eq([("layer:all", false); 3]),
        "{:?}",
        planned.decisions
    );
    assert!(
        planned.decisions[1]
            .reason
            .starts_with("spec.instance_name must be web-*")
    );
    assert_eq!(sent(&world).await.len(), 0);
    gateway.stop().await;
}

/// The rules for requests hold for what layers write, too, and say whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_layer_writes_is_held_against_the_rules_for_requests() {
    let (world, gateway) = layered(ALL, "[set]\nimage_id = \"nonsense\"\n").await;
    let mut client = client(&gateway).await;
    let refusal = client.run_instances(wish("a", 1)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let origin = "it comes from the set of the organization layer all, layers/all.toml:4";
    assert!(refusal.message().contains(origin), "{refusal}");
    assert_eq!(sent(&world).await.len(), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_and_cases_are_read_again_and_the_last_good_ones_stay() {
    let (world, gateway) = layered(ALL, "[default]\nhost_name = \"aa\"\n").await;
    let mut client = client(&gateway).await;
    let tests = world.folder.0.join("policy/tests");
    // They lead to a folder beside, so that many files come at once.
    let lead = |to: &str| {
        let new = world.folder.0.join("new");
        symlink(world.folder.0.join(to), &new).unwrap();
        std::fs::rename(new, &tests).unwrap();
    };
    let case = |name: &str| {
        format!(
            "[[case]]\nname = \"a\"\nprincipal = \"dev\"\norganization = \"development\"\naccount = \"main\"\nexpect = \"allow\"\nchanges = {{ \"spec.host_name\" = \"{name}\" }}\n[case.request]\nregion = \"ap-shanghai\"\nspec = {{ placement = {{ zone = \"ap-shanghai-2\" }}, image_id = \"img-pmqg1cw7\", instance_type = \"S5.SMALL1\" }}\n"
        )
    };
    let put = |folder: &str, name: &str, text: &str| {
        let folder = world.folder.0.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("new"), text).unwrap();
        std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
    };
    // A changed case alone is a reason to look.
    put("few", "a.toml", &case("aa"));
    lead("few");
    until(async || metric(&gateway, RELOADS).await == 1).await;
    for number in 0..201 {
        put("many", &format!("{number}.toml"), "");
    }
    let unknown = "[default]\nhostname = \"bb\"\n";
    let spoil: [(&str, &dyn Fn()); 5] = [
        ("the case is not decided so", &|| {
            put("few", "a.toml", &case("bb"))
        }),
        ("no TOML", &|| layer(&world, "[default\n")),
        ("an unknown field", &|| layer(&world, unknown)),
        ("the layer does not fit the case", &|| {
            layer(&world, "[default]\nhost_name = \"cc\"\n")
        }),
        ("too many files", &|| lead("many")),
    ];
    for (number, (what, spoil)) in (1..).zip(spoil) {
        spoil();
        until(async || metric(&gateway, FAILURES).await == number).await;
        let launched = run(&mut client, wish(&format!("still-{number}"), 1)).await;
        launched.end.as_ref().unwrap();
        assert_eq!(launched.last().changes[0].after, "\"aa\"", "{what}");
    }
    std::fs::remove_file(&tests).unwrap();
    until(async || metric(&gateway, RELOADS).await == 2).await;
    let launched = run(&mut client, wish("c", 1)).await;
    assert_eq!(launched.last().changes[0].after, "\"cc\"");
    gateway.stop().await;
}
