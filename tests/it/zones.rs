//! Regions and zones are held against what the cloud says that it has, asked once.

use crate::refusals::told;
use crate::world::{World, client, run, wish};
use cvm_gateway::pb::v1 as pb;
use futures_util::future::join_all;
use tonic::Code;

async fn asked(world: &World, action: &str) -> usize {
    let ledger = world.ledger().await;
    let calls = ledger.iter().filter(|entry| entry["action"] == action);
    calls.count()
}

fn in_zone(zone: &str) -> pb::RunInstancesRequest {
    let mut request = wish(zone, 1);
    let placement = request.spec.as_mut().unwrap().placement.as_mut().unwrap();
    placement.zone = zone.to_owned();
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_the_cloud_does_not_have_is_refused_at_the_door() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut request = in_zone("ap-shanghai-99");
    request.alternatives = ["ap-shanghai-2", "ap-shanghai-98"]
        .map(|zone| pb::Alternative {
            zone: Some(zone.to_owned()),
            ..pb::Alternative::default()
        })
        .to_vec();
    for _ in 0..2 {
        let refused = client.run_instances(request.clone()).await.unwrap_err();
        let told = told(&refused);
        assert_eq!(told.code, Code::InvalidArgument);
        let fields = ["spec.placement.zone", "alternatives[1].zone"];
        assert_eq!(told.fields, fields);
        let says = "the cloud has no zone ap-shanghai-99; it has: ap-shanghai-";
        assert!(told.message.contains(says), "{}", told.message);
    }
    assert_eq!(asked(&world, "RunInstances").await, 0);
    run(&mut client, in_zone("ap-shanghai-2"))
        .await
        .end
        .unwrap();
    assert_eq!(asked(&world, "DescribeZones").await, 1);
    assert_eq!(asked(&world, "DescribeRegions").await, 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_the_cloud_does_not_have_is_refused_at_the_door() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("[cloud]\nregions = []\n").await;
    let mut request = in_zone("ap-nowhere-1");
    request.region = "ap-nowhere".to_owned();
    let refused = client(&gateway).await.run_instances(request).await;
    let told = told(&refused.unwrap_err());
    assert_eq!(told.code, Code::InvalidArgument);
    assert_eq!(told.fields, ["region"]);
    let says = "the cloud has no region ap-nowhere; it has: ap-guangzhou, ";
    assert!(told.message.contains(says), "{}", told.message);
    let ledger = world.ledger().await;
    let regions = ledger
        .iter()
        .find(|entry| entry["action"] == "DescribeRegions");
    assert!(regions.unwrap()["region"].is_null(), "{regions:?}");
    assert_eq!(asked(&world, "RunInstances").await, 0);
    gateway.stop().await;
}

/// The cloud allows few such calls: who comes while it is asked waits for the same answer.
#[tokio::test(flavor = "multi_thread")]
async fn launches_that_come_together_ask_once() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let client = client(&gateway).await;
    let asking = (0..64).map(|number| {
        let mut client = client.clone();
        let mut request = in_zone("ap-shanghai-99");
        request.request_id = format!("together-{number}");
        async move { client.run_instances(request).await.unwrap_err() }
    });
    for refused in join_all(asking).await {
        assert_eq!(told(&refused).fields, ["spec.placement.zone"]);
    }
    assert_eq!(asked(&world, "DescribeZones").await, 1);
    assert_eq!(asked(&world, "DescribeRegions").await, 1);
    gateway.stop().await;
}
