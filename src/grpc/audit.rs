//! What the audit is told of a call: the request without its secrets, and what policy says of it.

use super::{Service, auth, status};
use crate::domain::audit::{Call, Refused};
use crate::domain::causes::chain;
use crate::domain::ids::Principal;
use crate::domain::request::Wish;
use crate::operations::OperationError;
use crate::pb::json::{JsonError, write_cancellation, write_request, write_termination};
use crate::pb::v1 as pb;
use crate::policy::{Action, Denial};
use tonic::{Request, Status};

/// Stand in for secrets, and keep the rules that they keep: so a request of the audit can be put to
/// other rules.
const PASSWORD: &str = "***Masked***0";
/// In base64, as the field wants it.
const USER_DATA: &str = "bWFza2Vk";
const METADATA: &str = "***";

/// The longest request of a refused call that is told. Sound ones are shorter, mostly by far.
const REFUSED_BYTES_MAX: usize = 4096;

/// Of a launch.
pub(super) fn launch(request: &Request<pb::RunInstancesRequest>) -> Call {
    let mut message = request.get_ref().clone();
    message.plan = None;
    if let Some(spec) = &mut message.spec {
        mask(spec);
    }
    asked(request, write_request(&message))
}

pub(super) fn termination(request: &Request<pb::TerminateInstancesRequest>) -> Call {
    asked(request, write_termination(request.get_ref()))
}

pub(super) fn cancellation(request: &Request<pb::CancelOperationRequest>) -> Call {
    asked(request, write_cancellation(request.get_ref()))
}

fn asked<T>(request: &Request<T>, written: Result<String, JsonError>) -> Call {
    let told = written.unwrap_or_else(|error| {
        let error = chain(&error, ": ");
        tracing::error!(error, "the audit lacks a request");
        String::new()
    });
    Call {
        proof: auth::proof(request),
        request: told,
        ..Call::default()
    }
}

fn mask(spec: &mut pb::InstanceSpec) {
    if let Some(user_data) = &mut spec.user_data {
        USER_DATA.clone_into(user_data);
    }
    let login = spec.login_settings.as_mut();
    if let Some(password) = login.and_then(|login| login.password.as_mut()) {
        PASSWORD.clone_into(password);
    }
    for item in spec.metadata.iter_mut().flat_map(|m| m.items.iter_mut()) {
        METADATA.clone_into(&mut item.value);
    }
}

/// A request that keeps no rule can be of any size: then only how long it is is told.
fn shortened(request: String) -> String {
    match request.len() {
        0..=REFUSED_BYTES_MAX => request,
        length => format!("\"{length} bytes\""),
    }
}

/// The account and the region that a wish names.
pub(super) fn place(wish: &Wish) -> (String, String) {
    let account = wish.account.as_ref().map(ToString::to_string);
    (account.unwrap_or_default(), wish.region.to_string())
}

impl Service {
    /// Has it told that policy denied a call, which names this account and region.
    ///
    /// # Errors
    /// When it cannot be told: then nobody hears of a denial that the audit does not know.
    pub(super) async fn tell_denied(
        &self,
        (principal, action, asked): (&Principal, Action, Call),
        (account, region): (String, String),
        denial: &Denial,
    ) -> Result<(), OperationError> {
        let refused = Refused {
            time: self.clock.now(),
            action: action.as_str(),
            principal: principal.clone(),
            asked,
            account,
            region,
            decision: Some(denial.decision()),
            reason: denial.message.clone(),
        };
        self.operations.denied(refused).await
    }

    /// What the caller is told of a call that was not carried out. One that it got wrong is in the audit;
    /// policy was not asked, so it is told of that whether the row can be written or not.
    pub(super) async fn tell_refused(
        &self,
        (principal, action, asked): (&Principal, Action, Call),
        status: Status,
    ) -> Status {
        let Some(reason) = status::is_of_caller(&status) else {
            return status;
        };
        let refused = Refused {
            time: self.clock.now(),
            action: action.as_str(),
            principal: principal.clone(),
            asked: Call {
                request: shortened(asked.request),
                ..asked
            },
            account: String::new(),
            region: String::new(),
            decision: None,
            reason,
        };
        if let Err(error) = self.operations.denied(refused).await {
            let error = chain(&error, ": ");
            tracing::error!(error, "a refused call is not in the audit");
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::LaunchRequest;
    use crate::domain::rules::Limits;
    use crate::pb::json::read_request;

    /// Every secret is masked, and the request is one that the door takes.
    #[test]
    fn what_is_masked_is_a_request_still() {
        let text = r#"{"requestId": "r", "region": "ap-shanghai", "plan": "AA==", "spec": {
            "placement": {"zone": "ap-shanghai-2"}, "imageId": "img-pmqg1cw7",
            "userData": "c2VjcmV0", "loginSettings": {"password": "hunter22!"},
            "metadata": {"items": [{"key": "role", "value": "hunter22"}]}}}"#;
        let asked = launch(&Request::new(read_request(text).unwrap()));
        for secret in ["hunter22", "c2VjcmV0", "AA=="] {
            assert!(!asked.request.contains(secret), "{}", asked.request);
        }
        for kept in ["img-pmqg1cw7", PASSWORD, USER_DATA, METADATA, "role"] {
            assert!(asked.request.contains(kept), "{}", asked.request);
        }
        let now = time::macros::utc_datetime!(2026-01-02 03:04:05);
        let limits = Limits::default();
        let again = super::super::wish_of_json(&asked.request, &limits, now).unwrap();
        LaunchRequest::parse(again, &limits, now).unwrap();
    }
}
