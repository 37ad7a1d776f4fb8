//! Limits of an organisation, seen by its callers.

use crate::lifecycle::terminate;
use crate::refusals::told;
use crate::world::{Client, Served, World, client, get, read, run, wish};
use cvm_gateway::pb::v1::{self as pb, PlanRunInstancesRequest};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// In a fast world a machine may be gone before it was seen to go.
const SOON_GONE: &str = "missing_grace = \"1s\"\nunseen_grace = \"1s\"";

/// A gateway whose callers share these limits.
async fn limited(world: &World, limits: &str) -> Served {
    let quota = format!("[quotas.team]\norganization = \"development\"\n{limits}");
    world.gateway(&format!("{SOON_GONE}\n{quota}\n")).await
}

async fn refused(client: &mut Client, request_id: &str, count: i64) -> Status {
    let answer = client.run_instances(wish(request_id, count)).await;
    answer.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_over_a_limit_is_told_which_and_what_is_left() {
    let world = World::new(100.0).await;
    let gateway = limited(&world, "instances = 3").await;
    let mut caller = client(&gateway).await;
    let first = run(&mut caller, wish("first", 2)).await;
    first.end.as_ref().unwrap();

    let status = refused(&mut caller, "second", 2).await;
    let said = told(&status);
    assert_eq!(said.code, Code::ResourceExhausted);
    assert_eq!(said.reason, "QUOTA_EXCEEDED");
    for (key, value) in [
        ("limit", "team/instances"),
        ("limit_value", "3"),
        ("used", "2"),
        ("asked", "2"),
    ] {
        assert_eq!(said.metadata[key], value, "{key}");
    }
    let quota = status.get_details_quota_failure().unwrap();
    let violation = &quota.violations[0];
    assert_eq!(violation.subject, "team/instances");
    assert_eq!(violation.description, "limit 3, used 2, asked 2");
    assert!(status.get_details_retry_info().is_none(), "{status:?}");
    let says = "the limit team/instances is 3, 2 are used and 2 are asked for";
    assert!(said.message.contains(says), "{}", said.message);
    assert_eq!(world.machines().await.len(), 2);
    let (_, metrics) = get(gateway.admin_addr(), "/metrics").await;
    for line in [
        r#"cvm_gateway_quota_used{limit="instances",quota="team"} 2"#,
        r#"cvm_gateway_quota_limit{limit="instances",quota="team"} 3"#,
        r#"cvm_gateway_quota_refusals_total{limit="instances",quota="team"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} not in\n{metrics}");
    }
    let plan = PlanRunInstancesRequest {
        request: Some(wish("second", 2)),
        cloud_dry_run: false,
    };
    let plan = caller.plan_run_instances(plan).await.unwrap().into_inner();
    let own = plan
        .quotas
        .iter()
        .find(|quota| quota.limit_name == "team/instances");
    let own = own.unwrap();
    assert_eq!((own.limit, own.used, own.requested), (3, 2, 2));

    let again = run(&mut caller, wish("first", 2)).await;
    assert_eq!(again.last().name, first.last().name, "known for ever");
    gateway.stop().await;

    // Another process counts the same.
    let gateway = limited(&world, "instances = 3").await;
    let mut caller = client(&gateway).await;
    assert_eq!(
        told(&refused(&mut caller, "second", 2).await).metadata["used"],
        "2"
    );
    let machines = first.last().instances.iter();
    let ids: Vec<_> = machines
        .map(|machine| machine.instance_id.clone())
        .collect();
    terminate(&mut caller, "leave", &ids[..1])
        .await
        .end
        .unwrap();
    run(&mut caller, wish("second", 2)).await.end.unwrap();
    assert_eq!(
        told(&refused(&mut caller, "third", 1).await).metadata["used"],
        "3"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_failed_takes_nothing() {
    let world = World::new(100.0).await;
    let gateway = limited(&world, "instances = 2\nconcurrent_operations = 1").await;
    let mut caller = client(&gateway).await;
    for model in ["LAUNCHFAIL.SMALL1", "SOLDOUT.SMALL1"] {
        let mut failing = wish(model, 2);
        failing.spec.as_mut().unwrap().instance_type = Some(model.to_owned());
        run(&mut caller, failing).await.end.unwrap_err();
    }
    run(&mut caller, wish("good", 2)).await.end.unwrap();
    let over = told(&refused(&mut caller, "more", 1).await);
    assert_eq!(over.metadata["limit"], "team/instances", "only that one");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_launches_too_often_is_told_when_to_come_back() {
    let world = World::new(100.0).await;
    let gateway = limited(&world, "launches_per_minute = 1").await;
    let mut caller = client(&gateway).await;
    run(&mut caller, wish("first", 1)).await.end.unwrap();
    let status = refused(&mut caller, "second", 1).await;
    assert_eq!(told(&status).metadata["limit"], "team/launches_per_minute");
    let wait = status
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    let minute = Duration::from_secs(60);
    assert!(
        wait > minute / 2 && wait <= minute + Duration::from_secs(1),
        "{wait:?}"
    );
    gateway.stop().await;
}

/// S5.SMALL1 has one vCPU.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_cloud_knows_of_a_model_counts() {
    let world = World::new(100.0).await;
    let gateway = limited(&world, "vcpu = 3\ngpu = 0\nmoney_per_month = \"100000\"").await;
    let mut caller = client(&gateway).await;
    run(&mut caller, wish("first", 2)).await.end.unwrap();
    let status = refused(&mut caller, "second", 2).await;
    let said = told(&status);
    assert_eq!(said.code, Code::ResourceExhausted);
    for (key, value) in [
        ("limit", "team/vcpu"),
        ("limit_value", "3"),
        ("used", "2"),
        ("asked", "2"),
    ] {
        assert_eq!(said.metadata[key], value, "{key}");
    }
    run(&mut caller, wish("third", 1)).await.end.unwrap();
    let ledger = world.ledger().await;
    let asked = |entry: &&serde_json::Value| entry["action"] == "DescribeZoneInstanceConfigInfos";
    assert_eq!(ledger.iter().filter(asked).count(), 1, "asked once");
    let plan = PlanRunInstancesRequest {
        request: Some(wish("fourth", 1)),
        cloud_dry_run: false,
    };
    let plan = caller.plan_run_instances(plan).await.unwrap().into_inner();
    let of = |name: &str| {
        let quota = plan.quotas.iter().find(|quota| quota.limit_name == name);
        let quota = quota.unwrap();
        (quota.used, quota.requested)
    };
    assert_eq!(of("team/vcpu"), (3, 1));
    assert_eq!(of("team/gpu"), (0, 0));
    let (used, requested) = of("team/money_per_month");
    assert!(
        requested > 1_000_000 && used == 3 * requested,
        "{used} {requested}"
    );

    let mut unnamed = wish("unnamed", 1);
    unnamed.spec.as_mut().unwrap().instance_type = None;
    let status = caller.run_instances(unnamed).await.unwrap_err();
    let said = told(&status);
    assert_eq!(said.code, Code::InvalidArgument);
    assert_eq!(said.fields, ["spec.instance_type"]);
    gateway.stop().await;
}

/// The cloud sells no shares of hosts, and does not tell of what is in a cluster of one's own.
#[tokio::test(flavor = "multi_thread")]
async fn shares_of_hosts_are_as_big_as_their_names_say() {
    let world = World::new(100.0).await;
    let gateway = limited(&world, "vcpu = 5\ngpu = 0\nmoney_per_hour = \"0\"").await;
    let mut caller = client(&gateway).await;
    let share = |request_id: &str| {
        let mut wish = wish(request_id, 1);
        let spec = wish.spec.as_mut().unwrap();
        spec.instance_charge_type = Some("CDHPAID".to_owned());
        spec.instance_type = Some("CDH_4C8G".to_owned());
        let placement = spec.placement.as_mut().unwrap();
        placement.host_ids = vec!["host-q88gab4i".to_owned()];
        wish
    };
    run(&mut caller, share("first")).await.end.unwrap();
    let status = caller.run_instances(share("second")).await.unwrap_err();
    let said = told(&status);
    assert_eq!(said.code, Code::ResourceExhausted);
    assert_eq!(said.metadata["limit"], "team/vcpu");
    assert_eq!(said.metadata["asked"], "4");

    let mut clustered = wish("clustered", 1);
    let spec = clustered.spec.as_mut().unwrap();
    spec.instance_charge_type = Some("CDCPAID".to_owned());
    spec.dedicated_cluster_id = Some("cluster-1a2b3c4d".to_owned());
    let status = caller.run_instances(clustered).await.unwrap_err();
    let said = told(&status);
    assert_eq!(said.code, Code::InvalidArgument);
    assert!(said.message.contains("InvalidFilter"), "{}", said.message);
    assert!(status.get_details_retry_info().is_none(), "{status:?}");
    gateway.stop().await;
}

/// A template may hold any billing, also one that is paid for years ahead.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_template_bills_has_no_price() {
    let world = World::new(100.0).await;
    let templated = |request_id: &str, charge_type: Option<&str>| {
        let mut wish = wish(request_id, 1);
        let spec = wish.spec.as_mut().unwrap();
        spec.launch_template = Some(pb::LaunchTemplate {
            launch_template_id: Some("lt-1a2b3c4d".to_owned()),
            ..pb::LaunchTemplate::default()
        });
        spec.instance_charge_type = charge_type.map(str::to_owned);
        wish
    };
    let rules = world.folder.0.join("policy");
    std::fs::create_dir_all(&rules).unwrap();
    let rule = "@id(\"unpriced\") permit(principal, action == Action::\"RunInstances\", resource) \
                when { context has vcpu && context.vcpu == 1 && !(context has price_per_month) };";
    std::fs::write(rules.join("a.cedar"), rule).unwrap();
    let policy = "[policy]\ndirectory = \"policy\"";
    let rows = [
        ("money_per_month = \"100000\"", None, Code::InvalidArgument),
        (
            "money_per_month = \"100000\"",
            Some("POSTPAID_BY_HOUR"),
            Code::Ok,
        ),
        ("vcpu = 1", None, Code::Ok),
        (policy, None, Code::Ok),
        (policy, Some("POSTPAID_BY_HOUR"), Code::PermissionDenied),
    ];
    for (number, (limits, charge_type, code)) in rows.into_iter().enumerate() {
        let gateway = match limits == policy {
            true => world.gateway(policy).await,
            false => limited(&world, limits).await,
        };
        let request = templated(&number.to_string(), charge_type);
        let answer = client(&gateway).await.run_instances(request).await;
        let status = match answer {
            // To its end, for what it holds counts for the next: there is no such template.
            Ok(stream) => {
                read(stream.into_inner()).await.end.unwrap_err();
                Status::ok("")
            }
            Err(status) => status,
        };
        assert_eq!(status.code(), code, "{limits} {charge_type:?}: {status:?}");
        if code == Code::InvalidArgument {
            assert_eq!(told(&status).fields, ["spec.instance_charge_type"]);
        }
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cloud_does_not_tell_is_never_let_through() {
    let world = World::new(100.0).await;
    let rules = world.folder.0.join("policy");
    std::fs::create_dir_all(&rules).unwrap();
    let rule = "@id(\"small\") permit(principal, action == Action::\"RunInstances\", resource) \
                unless { context has gpu && context.gpu > 0 };";
    std::fs::write(rules.join("a.cedar"), rule).unwrap();
    let quota = "[quotas.team]\norganization = \"development\"\nvcpu = 3";
    for extra in [quota, "[policy]\ndirectory = \"policy\""] {
        // Nobody listens there.
        let config = world.config_of("http://127.0.0.1:9", extra);
        let gateway = world.gateway_of(config).await;
        let status = refused(&mut client(&gateway).await, "first", 1).await;
        let said = told(&status);
        assert_eq!(said.code, Code::Unavailable, "{said:?}");
        assert!(said.message.contains("S5.SMALL1"), "{}", said.message);
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
        gateway.stop().await;
    }
    let gateway = world.gateway("[policy]\ndirectory = \"policy\"").await;
    run(&mut client(&gateway).await, wish("first", 1))
        .await
        .end
        .unwrap();
    gateway.stop().await;
}
