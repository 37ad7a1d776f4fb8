//! What a call does that the cloud refuses.

use super::super::Rooms;
use super::*;
use crate::clock::Clock;
use crate::cloud::limiter::{Limiter, Permit};
use crate::cloud::{Accepted, Cloud, Fault, Tagged, codes};
use crate::config::Config;
use crate::domain::instance::{InstanceDetail, InstanceState};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::store::{Model, Store};
use async_trait::async_trait;
use std::path::Path;
use std::sync::{Arc, Mutex};

const CONFIG: &str = r#"
cloud.regions = ["ap-shanghai"]
[organizations.development]
default_account = "main"
[organizations.development.accounts.main]
secret_id = "AKIDx"
secret_key = "k"
"#;

/// A cloud that refuses to give back with a code: every call, or those that name a machine.
#[derive(Debug)]
struct Refusing {
    code: &'static str,
    machine: Option<InstanceId>,
    /// How many machines each call named.
    calls: Mutex<Vec<usize>>,
}

fn unasked<T>() -> Result<T, CloudError> {
    Err(Fault::ConnectFailed.error("not asked in this test"))
}

#[async_trait]
impl Cloud for Refusing {
    fn host(&self, _: &Target) -> String {
        "cvm.tencentcloudapi.com".to_owned()
    }

    async fn run_instances(
        &self,
        _: Permit,
        _: &Target,
        _: &[u8],
        _: Signing<'_>,
    ) -> Result<Accepted, CloudError> {
        unasked()
    }

    async fn describe_instances_status(
        &self,
        _: Permit,
        _: &Target,
        _: &[InstanceId],
    ) -> Result<Vec<(InstanceId, InstanceState)>, CloudError> {
        unasked()
    }

    async fn describe_instances(
        &self,
        _: Permit,
        _: &Target,
        _: &[InstanceId],
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        unasked()
    }

    async fn terminate_instances(
        &self,
        _: Permit,
        _: &Target,
        ids: &[InstanceId],
        _: Signing<'_>,
    ) -> Result<(), CloudError> {
        self.calls.lock().unwrap().push(ids.len());
        if self.machine.as_ref().is_some_and(|id| !ids.contains(id)) {
            return Ok(());
        }
        let verdict = codes::classify(self.code);
        Err(CloudError {
            effect: verdict.effect,
            reason: verdict.reason,
            retry: verdict.retry,
            code: self.code.to_owned(),
            message: "refused".to_owned(),
            fields: verdict.fields.into_iter().map(str::to_owned).collect(),
            request_id: None,
        })
    }

    async fn find_by_tag(
        &self,
        _: Permit,
        _: &Target,
        _: &str,
        _: &str,
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        unasked()
    }

    async fn list_tagged(&self, _: Permit, _: &Target, _: &str) -> Result<Vec<Tagged>, CloudError> {
        unasked()
    }
}

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
        state: State::Terminating(Termination {
            targets: (1..=4).map(id).collect(),
            calling: Some(1),
            calls: 1,
            call_at: now,
            looked: false,
            deadline: now + Duration::from_secs(900),
            end: TerminationEnd::Succeeded,
            refusal: None,
        }),
        ..operation
    }
}

/// How the call ends when the cloud refuses it, and how many machines each call to the cloud named.
async fn refused(code: &'static str, machine: Option<InstanceId>) -> (CallEnd, Vec<usize>) {
    let config = Config::parse("test.toml", CONFIG, Path::new(".")).unwrap();
    let clock = Clock::system();
    let (wall, metrics) = (clock.clone(), Metrics::new("test").unwrap());
    let limits = config.cloud_limits;
    let cloud = Arc::new(Refusing {
        code,
        machine,
        calls: Mutex::default(),
    });
    let rooms = Rooms {
        store: Store::of_model(Model::new(Arc::new(move || wall.now()))),
        cloud: Arc::<Refusing>::clone(&cloud),
        limiter: Limiter::new(limits, None, clock.clone(), metrics.cloud.clone()),
        clock: clock.clone(),
        random: Random::seeded(7),
        metrics,
    };
    let operations = Operations::start(config.operations, rooms);
    let inner = &operations.0;
    let operation = leaving(clock.now());
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
