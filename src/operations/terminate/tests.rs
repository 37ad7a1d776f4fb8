//! What a call does that the cloud refuses.

use super::super::Rooms;
use super::*;
use crate::clock::Clock;
use crate::cloud::limiter::Limiter;
use crate::config::Config;
use crate::domain::instance::InstanceState;
use crate::metrics::Metrics;
use crate::operations::tests::Listing;
use crate::random::Random;
use crate::store::{Model, Store};
use std::path::Path;
use std::sync::Arc;

const CONFIG: &str = r#"
cloud.regions = ["ap-shanghai"]
[organizations.development]
default_account = "main"
[organizations.development.accounts.main]
secret_id = "AKIDx"
secret_key = "k"
"#;

fn id(number: u32) -> InstanceId {
    InstanceId::parse(&format!("ins-{number}")).unwrap()
}

/// A termination of four machines whose call is to be made now.
fn leaving(now: UtcDateTime) -> Operation {
    let journalled = include_str!("../../../testdata/journal/operation-v1.json");
    let operation: Operation = serde_json::from_str(journalled).unwrap();
    let machines = (1..=4).map(|number| Instance {
        state: Some(InstanceState::Running),
        ..Instance::named(id(number))
    });
    Operation {
        instances: machines.collect(),
        state: State::Terminating(Box::new(Termination {
            targets: (1..=4).map(id).collect(),
            calling: Some(1),
            calls: 1,
            called: false,
            call_at: now,
            looked: false,
            deadline: now + Duration::from_secs(900),
            patience_ms: 0,
            end: TerminationEnd::Succeeded,
            refusal: None,
        })),
        ..operation
    }
}

/// How the call ends when the cloud refuses it, and how many machines each call to the cloud named.
async fn refused(code: &'static str, machine: Option<InstanceId>) -> (CallEnd, Vec<usize>) {
    let now = Clock::system().now();
    called(leaving(now), Some((code, machine))).await
}

/// The same of this operation; none: the cloud refuses nothing but to release addresses.
async fn called(
    operation: Operation,
    refusing: Option<(&'static str, Option<InstanceId>)>,
) -> (CallEnd, Vec<usize>) {
    let config = Config::parse("test.toml", CONFIG, Path::new(".")).unwrap();
    let clock = Clock::system();
    let (wall, metrics) = (clock.clone(), Metrics::new("test").unwrap());
    let limits = config.cloud_limits;
    let cloud = Arc::new(Listing {
        refusing,
        ..Listing::default()
    });
    let rooms = Rooms {
        store: Store::of_model(Model::new(Arc::new(move || wall.now()))),
        cloud: Arc::<Listing>::clone(&cloud),
        limiter: Limiter::new(limits, None, clock.clone(), metrics.cloud.clone()),
        clock: clock.clone(),
        random: Random::seeded(7),
        metrics,
    };
    let operations = Operations::start(config.operations, rooms);
    let inner = &operations.0;
    let lease = Lease {
        operation: operation.id,
        epoch: 1,
    };
    let held = Arc::new(operation.clone());
    inner
        .table
        .hold(lease, clock.now() + Duration::from_secs(60), held);
    let (target, action) = (target(&operation), Action::TerminateInstances);
    let host = inner.cloud.host(&target);
    let turn = inner.limiter.turn(&target, &host, action, Class::Terminate);
    let end = inner.call(&operation, turn.await).await;
    let calls = cloud.calls.lock().unwrap().clone();
    (end, calls)
}

#[tokio::test]
async fn a_refusal_about_a_machine_is_found_by_halves() {
    for code in [
        "UnsupportedOperation.InstancesProtected",
        "UnsupportedOperation.InvalidInstancesOwner",
        "UnsupportedOperation",
        "UnauthorizedOperation",
    ] {
        let (end, calls) = refused(code, Some(id(3))).await;
        assert_eq!(calls, [4, 2, 2, 1, 1], "{code}");
        let refused: Vec<_> = end.refused.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(refused, [id(3)], "{code}");
        assert!(!end.undone, "{code}: the others are given back");
    }
    let (end, calls) = refused("UnsupportedOperation.InstanceStateNotRunning", Some(id(3))).await;
    assert_eq!(calls, [4, 2, 2, 1, 1]);
    assert_eq!(end.refused, [], "it is in another state soon");
}

#[tokio::test]
async fn machines_go_without_their_addresses_where_those_may_not_be_released() {
    let operation = Operation {
        release_addresses: true,
        ..leaving(Clock::system().now())
    };
    let (end, calls) = called(operation, None).await;
    assert_eq!(calls, [4, 4]);
    assert_eq!((end.refused, end.undone), (Vec::new(), false));
}

#[tokio::test]
async fn a_refusal_about_no_machine_is_asked_for_once() {
    for code in [
        "RequestLimitExceeded",
        "AuthFailure.SignatureExpire",
        "UnauthorizedOperation.InvalidToken",
    ] {
        let (end, calls) = refused(code, None).await;
        assert_eq!(calls, [4], "{code}");
        let later = CallEnd {
            refused: Vec::new(),
            undone: true,
            made: true,
        };
        assert_eq!(end, later, "{code}: all of it is tried again later");
    }
}

#[tokio::test]
async fn a_refusal_for_good_about_no_machine_is_that_of_each() {
    for code in ["AuthFailure.InvalidSecretId", "UnsupportedOperation.Region"] {
        let (end, calls) = refused(code, None).await;
        assert_eq!(calls, [4], "{code}");
        let refused: Vec<_> = end.refused.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(refused, [id(1), id(2), id(3), id(4)], "{code}");
        assert!(end.undone, "{code}");
        let codes = end.refused.iter().map(|(_, failure)| &failure.cloud_code);
        assert!(codes.into_iter().all(|told| told == code), "{code}");
    }
}
