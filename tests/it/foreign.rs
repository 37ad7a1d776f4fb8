//! What belongs to another organisation is answered as what does not exist, by every RPC.

use crate::identity::pki::{Authority, uri};
use crate::identity::{CALLERS, WEB, channel, put, write};
use crate::tap::Tap;
use crate::world::{Client, World, run, wish};
use cvm_gateway::pb::DESCRIPTOR;
use cvm_gateway::pb::v1 as pb;
use prost_reflect::DescriptorPool;
use std::collections::BTreeMap;
use std::fmt::Debug;
use tonic::{Response, Status};
use tonic_types::{ErrorDetail, StatusExt};

const OTHER: &str = "spiffe://example.org/ns/other/sa/api";
const SERVICE: &str = "cvmgateway.v1.CvmGatewayService";

/// What an organisation has: names that another one may guess.
#[derive(Clone, Debug)]
struct Names {
    operation: String,
    instance: String,
    account: String,
    request_id: String,
    plan: Vec<u8>,
}

/// What came of a call, without the names that it was made with.
fn outcome<T: Debug>(answer: Result<Response<T>, Status>, names: &Names) -> String {
    let told = match answer {
        Ok(response) => format!("{:?}", response.into_inner()),
        Err(status) => {
            // One by one: the order of the metadata differs each time.
            let mut details = status.get_error_details_vec();
            let mut infos = Vec::new();
            details.retain(|detail| {
                if let ErrorDetail::ErrorInfo(info) = detail {
                    let metadata = BTreeMap::from_iter(info.metadata.clone());
                    infos.push((info.reason.clone(), metadata));
                }
                !matches!(detail, ErrorDetail::ErrorInfo(_))
            });
            let (code, message) = (status.code(), status.message());
            format!("{code:?} {message} {infos:?} {details:?}")
        }
    };
    let (_, uuid) = names.operation.split_once('/').unwrap();
    let mut told = told;
    for (at, name) in [uuid, &names.instance, &names.account]
        .into_iter()
        .enumerate()
    {
        told = told.replace(name, &format!("<name {at}>"));
    }
    told
}

/// The first message of a stream, or why there is none.
async fn first<T>(
    answer: Result<Response<tonic::Streaming<T>>, Status>,
) -> Result<Response<Option<T>>, Status> {
    let message = answer?.into_inner().message().await?;
    Ok(Response::new(message))
}

/// Calls `method` with the names, each in the place where it means most.
async fn call(method: &str, client: &mut Client, names: &Names) -> Vec<String> {
    let name = names.operation.clone();
    let told = match method {
        "GetOperation" => {
            let request = pb::GetOperationRequest { name };
            outcome(client.get_operation(request).await, names)
        }
        "WatchOperation" => {
            let request = pb::WatchOperationRequest {
                name,
                after_sequence: 0,
            };
            outcome(first(client.watch_operation(request).await).await, names)
        }
        "CancelOperation" => {
            let request = pb::CancelOperationRequest { name };
            outcome(client.cancel_operation(request).await, names)
        }
        "TerminateInstances" => {
            let request = pb::TerminateInstancesRequest {
                request_id: format!("t-{}", names.request_id),
                instance_ids: vec![names.instance.clone()],
                ..pb::TerminateInstancesRequest::default()
            };
            outcome(
                first(client.terminate_instances(request).await).await,
                names,
            )
        }
        "ListOperations" => {
            let request = pb::ListOperationsRequest::default();
            outcome(client.list_operations(request).await, names)
        }
        "ListInstances" => {
            let of_account = pb::ListInstancesRequest {
                account: Some(names.account.clone()),
                ..pb::ListInstancesRequest::default()
            };
            let all = client
                .list_instances(pb::ListInstancesRequest::default())
                .await;
            let all = outcome(all, names);
            return vec![all, outcome(client.list_instances(of_account).await, names)];
        }
        "RunInstances" => return launches(client, names).await,
        "PlanRunInstances" => {
            let mut request = wish("p", 1);
            request.account = Some(names.account.clone());
            let request = pb::PlanRunInstancesRequest {
                request: Some(request),
                ..pb::PlanRunInstancesRequest::default()
            };
            outcome(client.plan_run_instances(request).await, names)
        }
        other => panic!("{other} is new: say here what another organisation's names do in it"),
    };
    vec![told]
}

/// On the other's account, and with the other's plan.
async fn launches(client: &mut Client, names: &Names) -> Vec<String> {
    let mut on_account = wish("a", 1);
    on_account.account = Some(names.account.clone());
    let mut with_plan = wish(&names.request_id, 1);
    with_plan.plan = Some(names.plan.clone());
    let mut told = Vec::new();
    for request in [on_account, with_plan] {
        told.push(outcome(
            first(client.run_instances(request).await).await,
            names,
        ));
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_organisation_s_is_not_there_for_any_rpc() {
    let world = World::new(100.0).await;
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    write(&world.folder, &servers.server(), &callers.pem());
    put(&world.folder, "denied.txt", "");
    let gateway = world.gateway(CALLERS).await;
    let [mut owner, mut other] = {
        let [web, other] = [WEB, OTHER].map(|id| callers.client(vec![uri(id)]));
        let channels = [
            channel(&gateway, &servers, Some(&web)).await,
            channel(&gateway, &servers, Some(&other)).await,
        ];
        channels.map(Tap).map(Client::new)
    };
    let seen = run(&mut owner, wish("mine", 1)).await;
    seen.end.as_ref().unwrap();
    let planned = pb::PlanRunInstancesRequest {
        request: Some(wish("planned", 1)),
        ..pb::PlanRunInstancesRequest::default()
    };
    let planned = owner
        .plan_run_instances(planned)
        .await
        .unwrap()
        .into_inner();
    let foreign = Names {
        operation: seen.last().name.clone(),
        instance: seen.last().instances[0].instance_id.clone(),
        account: "main".to_owned(),
        request_id: "planned".to_owned(),
        plan: planned.plan.clone(),
    };
    let mut strange = planned.plan;
    *strange.last_mut().unwrap() ^= 1;
    let absent = Names {
        operation: "operations/019b7d5e-0000-7000-8000-000000000001".to_owned(),
        instance: "ins-zzzzzzzz".to_owned(),
        account: "none".to_owned(),
        request_id: "planned".to_owned(),
        plan: strange,
    };
    let pool = DescriptorPool::decode(DESCRIPTOR).unwrap();
    let service = pool.get_service_by_name(SERVICE).unwrap();
    let mut walked = 0;
    for method in service.methods() {
        let there = call(method.name(), &mut other, &foreign).await;
        let nowhere = call(method.name(), &mut other, &absent).await;
        assert_eq!(there, nowhere, "{}", method.name());
        for told in there {
            let secret = [&foreign.operation, &foreign.instance];
            let secret = secret.into_iter().find(|name| told.contains(name.as_str()));
            assert_eq!(secret, None, "{}: {told}", method.name());
        }
        walked += 1;
    }
    assert_eq!(walked, 8);
    // The other's request_id is free, and its own launch is its own.
    let own = run(&mut other, wish("mine", 1)).await;
    own.end.as_ref().unwrap();
    assert_ne!(own.last().name, foreign.operation);
    let get = pb::GetOperationRequest {
        name: foreign.operation.clone(),
    };
    owner.get_operation(get).await.unwrap();
    gateway.stop().await;
}
