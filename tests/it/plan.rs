//! Plans: what a launch would do is told, and then done unchanged or not at all.

use crate::canary;
use crate::refusals::told;
use crate::world::{Client, World, client, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::process::Command;
use tonic::{Code, Status};

async fn plan(
    client: &mut Client,
    request: pb::RunInstancesRequest,
    cloud_dry_run: bool,
) -> Result<pb::PlanRunInstancesResponse, Status> {
    let request = pb::PlanRunInstancesRequest {
        request: Some(request),
        cloud_dry_run,
    };
    let planned = client.plan_run_instances(request).await;
    planned.map(tonic::Response::into_inner)
}

fn planned(request: pb::RunInstancesRequest, plan: &[u8]) -> pb::RunInstancesRequest {
    pb::RunInstancesRequest {
        plan: Some(plan.to_vec()),
        ..request
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planned_is_launched() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut request = wish("planned", 2);
    request.alternatives = vec![pb::Alternative {
        instance_type: Some("S5.MEDIUM2".to_owned()),
        ..pb::Alternative::default()
    }];
    let told = plan(&mut client, request.clone(), false).await.unwrap();
    assert!(told.allowed);
    let rules: Vec<_> = told
        .decisions
        .iter()
        .map(|d| (&*d.rule_id, d.permits))
        .collect();
    assert_eq!(rules, [("account-of-own-organization", true)]);
    let mut effective = request.spec.clone().unwrap();
    effective.user_data = None;
    effective.login_settings.as_mut().unwrap().password = None;
    effective.metadata.as_mut().unwrap().items[0].value.clear();
    assert_eq!(told.effective_spec, Some(effective));
    let models: Vec<_> = told.places.iter().map(|p| &*p.instance_type).collect();
    assert_eq!(models, ["S5.SMALL1", "S5.MEDIUM2"]);
    for place in &told.places {
        assert_eq!(place.zone, "ap-shanghai-2");
        assert_eq!(place.in_stock, Some(true), "{place:?}");
        let price = place.price.as_ref().unwrap();
        assert_eq!((&*price.currency, price.instance_count), ("CNY", 2));
        assert!(price.per_hour.parse::<f64>().unwrap() > 0.0, "{price:?}");
        assert_eq!(price.upfront, "");
    }
    assert_eq!(told.price, told.places[0].price);
    assert!(told.in_stock);
    let quota = &told.quotas[0];
    assert_eq!(
        (&*quota.limit_name, quota.requested),
        ("account/POSTPAID_BY_HOUR", 2)
    );
    assert_eq!((quota.used, &*quota.zone), (0, "ap-shanghai-2"));
    assert!(quota.limit > 0);
    assert!(world.machines().await.is_empty());
    assert!(calls(&world, "RunInstances").await.is_empty());

    let seen = run(&mut client, planned(request.clone(), &told.plan)).await;
    seen.end.as_ref().unwrap();
    assert_eq!(world.machines().await.len(), 2);
    let again = plan(&mut client, request, false).await.unwrap();
    assert_eq!(again.quotas[0].used, 2);
    gateway.stop().await;
}

/// The bodies of the calls that came in.
pub(crate) async fn calls(world: &World, action: &str) -> Vec<Value> {
    let ledger = world.ledger().await.into_iter();
    let calls = ledger.filter(|entry| entry["action"] == action);
    let bodies = calls.map(|entry| {
        let body = &entry["body"];
        let parsed = body
            .as_str()
            .map(|text| serde_json::from_str(text).unwrap());
        parsed.unwrap_or_else(|| body.clone())
    });
    bodies.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_launch_is_not_what_was_planned() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let request = wish("planned", 1);
    let made = plan(&mut client, request, false).await.unwrap();
    let mut bent = made.plan.clone();
    bent[20] ^= 1;
    let another = "not one for this launch";
    for (request, plan, code, says) in [
        (
            wish("planned", 2),
            &made.plan,
            Code::FailedPrecondition,
            another,
        ),
        (
            wish("other", 1),
            &made.plan,
            Code::FailedPrecondition,
            another,
        ),
        (wish("planned", 1), &bent, Code::FailedPrecondition, another),
        (
            wish("planned", 1),
            &Vec::new(),
            Code::InvalidArgument,
            "is no plan",
        ),
    ] {
        let refused = client
            .run_instances(planned(request, plan))
            .await
            .unwrap_err();
        let told = told(&refused);
        assert_eq!(told.code, code, "{told:?}");
        assert!(told.message.contains(says), "{}", told.message);
    }
    assert!(calls(&world, "RunInstances").await.is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_has_expired_launches_nothing_new() {
    let world = World::new(100.0).await;
    let (request, late) = (wish("planned", 1), wish("late", 1));
    let gateway = world.gateway("").await;
    let mut caller = client(&gateway).await;
    let made = plan(&mut caller, request.clone(), false).await.unwrap();
    let seen = run(&mut caller, planned(request.clone(), &made.plan)).await;
    seen.end.as_ref().unwrap();
    gateway.stop().await;

    // Each plan of this one is over before it can be used.
    let gateway = world.gateway("[plans]\nlife = \"1s\"\n").await;
    let mut caller = client(&gateway).await;
    let mut plans = Vec::new();
    for request in [&request, &late] {
        let made = plan(&mut caller, request.clone(), false).await.unwrap();
        plans.push(made.plan);
    }
    Clock::system().sleep(Duration::from_millis(1100)).await;
    let expired = caller.run_instances(planned(late, &plans[1])).await;
    let told = told(&expired.unwrap_err());
    assert_eq!(told.code, Code::FailedPrecondition, "{told:?}");
    assert!(told.message.contains("the plan expired at"), "{told:?}");
    // What was accepted once is answered.
    let again = run(&mut caller, planned(request, &plans[0])).await;
    assert_eq!(again.last().name, seen.last().name);
    assert_eq!(world.machines().await.len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_gets_no_plan() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut request = wish("denied", 1);
    request.account = Some("theirs".to_owned());
    let told_of = plan(&mut client, request, false).await.unwrap();
    assert!(!told_of.allowed && told_of.plan.is_empty());
    let decision = &told_of.decisions[0];
    assert_eq!(
        (&*decision.rule_id, decision.permits),
        ("account-of-own-organization", false)
    );
    assert!(
        decision.reason.contains("it has: main"),
        "{}",
        decision.reason
    );

    let refused = plan(&mut client, wish("bad", -1), false).await.unwrap_err();
    let told_of = told(&refused);
    assert_eq!(told_of.code, Code::InvalidArgument);
    assert_eq!(told_of.fields, ["request.spec.instance_count"]);
    let nested = plan(&mut client, planned(wish("nested", 1), b"x"), false).await;
    assert_eq!(told(&nested.unwrap_err()).fields, ["request.plan"]);
    let empty = client
        .plan_run_instances(pb::PlanRunInstancesRequest::default())
        .await;
    assert_eq!(told(&empty.unwrap_err()).fields, ["request"]);
    assert!(world.ledger().await.is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_instances_than_the_cloud_prices_are_priced_in_lots() {
    let world = World::new(100.0).await;
    let money = |place: &pb::PlannedPlace| {
        let price = place.price.clone().unwrap();
        let per_hour: f64 = price.per_hour.parse().unwrap();
        (per_hour, price.instance_count, price.priced_together)
    };
    for each in [false, true] {
        let extra =
            format!("[cloud]\nprice_per_instance = {each}\n[limits]\ninstance_count_max = 500\n");
        let gateway = world.gateway(&extra).await;
        let mut client = client(&gateway).await;
        let before = calls(&world, "InquiryPriceRunInstances").await.len();
        let one = plan(&mut client, wish("one", 1), false).await.unwrap();
        let (of_one, ..) = money(&one.places[0]);
        let many = plan(&mut client, wish("many", 250), false).await.unwrap();
        let (of_many, count, together) = money(&many.places[0]);
        assert_eq!((count, together), (250, 100));
        // The simulator's amounts are for all that it is asked about.
        let expected = if each {
            of_one * (2.0 * 100.0 * 100.0 + 50.0 * 50.0)
        } else {
            of_one * 250.0
        };
        assert!((of_many - expected).abs() < 1e-6, "{of_many} {expected}");
        let asked = calls(&world, "InquiryPriceRunInstances").await;
        let mut asked: Vec<_> = asked[before..]
            .iter()
            .map(|body| body["InstanceCount"].as_u64().unwrap())
            .collect();
        asked.sort_unstable();
        assert_eq!(asked, [1, 50, 100]);
        let whole = plan(&mut client, wish("whole", 500), false).await.unwrap();
        assert_eq!(money(&whole.places[0]).1, 500);
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_s_own_dry_run_is_asked() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let good = plan(&mut client, wish("good", 1), true).await.unwrap();
    assert_eq!(good.cloud_dry_run_failure, None);
    assert!(!good.plan.is_empty());
    let mut request = wish("bad", 1);
    request.spec.as_mut().unwrap().image_id = Some("img-00000000".to_owned());
    let bad = plan(&mut client, request, true).await.unwrap();
    let failure = bad.cloud_dry_run_failure.unwrap();
    assert!(failure.cloud_code.contains("Image"), "{failure:?}");
    assert!(bad.allowed && bad.plan.is_empty());
    let asked = calls(&world, "RunInstances").await;
    assert_eq!(asked.len(), 2);
    for body in asked {
        assert_eq!(body["DryRun"], true);
        assert_eq!(body.get("ClientToken"), None);
    }
    assert!(world.machines().await.is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_needs_no_answer_of_the_cloud() {
    let world = World::new(100.0).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let gateway = world.gateway_of(world.config_of(&endpoint, "")).await;
    let mut client = client(&gateway).await;
    let told = plan(&mut client, wish("blind", 1), false).await.unwrap();
    assert!(!told.plan.is_empty());
    let place = &told.places[0];
    assert_eq!((place.price.as_ref(), place.in_stock), (None, None));
    for failure in [
        &place.price_failure,
        &place.stock_failure,
        &told.quota_failure,
    ] {
        let failure = failure.as_ref().unwrap();
        assert_eq!(failure.reason(), pb::ErrorReason::CloudUnavailable);
        assert_eq!(failure.cloud_code, "");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_with_one_key_carry_out_each_other_s_plans() {
    let world = World::new(100.0).await;
    let key = "0123456789abcdef0123456789abcdef\n";
    std::fs::write(world.folder.0.join("plan.key"), key).unwrap();
    for (name, extra, code) in [
        ("shared", "[plans]\nkey_file = \"plan.key\"\n", None),
        ("unshared", "", Some(Code::FailedPrecondition)),
    ] {
        let first = world.gateway(extra).await;
        let request = wish(name, 1);
        let made = plan(&mut client(&first).await, request.clone(), false).await;
        first.stop().await;
        let second = world.gateway(extra).await;
        let request = planned(request, &made.unwrap().plan);
        let launched = client(&second).await.run_instances(request).await;
        assert_eq!(launched.err().map(|status| status.code()), code, "{extra}");
        second.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_and_keeps_a_plan_that_run_carries_out() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let server = format!("http://{}", gateway.grpc_addr());
    let kept = world.folder.0.join("plan.json");
    let kept = kept.to_str().unwrap();
    let program = async |arguments: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
        let output = program.args(arguments).args(["--server", &server]);
        let output = output.output().await.unwrap();
        canary::examine_output(&output);
        output
    };
    let wish = [
        ["--region", "ap-shanghai"],
        ["--zone", "ap-shanghai-2"],
        ["--image", "img-pmqg1cw7"],
        ["--type", "S5.SMALL1"],
        ["--save", kept],
    ];
    let planned = program(&[&["plan", "--dry-run"], wish.as_flattened()].concat()).await;
    let (shown, noted) = (text(&planned.stdout), text(&planned.stderr));
    assert_eq!(planned.status.code(), Some(0), "{shown}{noted}");
    for part in [
        "allowed by account-of-own-organization",
        "ap-shanghai-2  S5.SMALL1",
        "an hour",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(noted.contains("cvm-gateway run --file"), "{noted}");
    let mode = std::fs::metadata(kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(world.machines().await.is_empty());

    let again = program(&["plan", "--file", kept, "--save", kept]).await;
    assert_eq!(again.status.code(), Some(73), "{}", text(&again.stderr));
    let ran = program(&["run", "--file", kept]).await;
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert_eq!(world.machines().await.len(), 1);
    let as_json = program(&["plan", "--file", kept, "--output", "json"]).await;
    let json: Value = serde_json::from_slice(&as_json.stdout).unwrap();
    assert_eq!(json["allowed"], true);
    gateway.stop().await;
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
