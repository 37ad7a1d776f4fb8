//! Says why something was refused or failed: for a person, and as an exit code.

use crate::follow::is_transport;
use crate::pb::v1::{ErrorReason, Operation, OperationKind, OperationState};
use crate::terminal::Exit;
use std::fmt;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What was asked, which decides what can be done next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Asked<'a> {
    /// A launch that was not accepted, or whose stream broke.
    Launch,
    /// To follow an operation.
    Watch,
    /// An operation that has ended.
    Ended(&'a Operation),
}

/// States of machines that end by themselves, or have ended.
const LEAVING: [&str; 3] = ["LAUNCH_FAILED", "SHUTDOWN", "TERMINATING"];

/// A refusal, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The exit code.
    pub exit: Exit,
    /// The operation, when it has ended: some of its machines may run.
    pub ended: Option<Operation>,
    headline: String,
    details: Vec<String>,
}

impl Refusal {
    /// Why a call was refused, or how a stream ended.
    pub(super) fn of_status(status: &Status, asked: Asked<'_>) -> Self {
        let details = status.get_error_details();
        let code = status.code();
        let reason = details.error_info().map(|info| info.reason.as_str());
        let exit = match reason {
            None if is_transport(code) => Exit::Unavailable,
            None | Some(_) => exit(code),
        };
        let mut lines = fields(&details);
        let message = if lines.is_empty() {
            status.message()
        } else {
            // It lists the fields too.
            "these fields of the request break rules"
        };
        lines.extend(violations(&details, message));
        lines.extend(facts(&details));
        lines.push(advice(exit, asked, &details));
        let ended = match asked {
            Asked::Ended(operation) => Some(operation.clone()),
            Asked::Launch | Asked::Watch => None,
        };
        Self {
            exit,
            ended,
            headline: headline(&code_name(code), reason, message),
            details: lines,
        }
    }

    /// Why an operation did not succeed; nothing when it did.
    pub(super) fn of_operation(operation: &Operation) -> Option<Self> {
        let failure = operation.failure.as_ref()?;
        let reason = failure.reason();
        let exit = exit(code_of(reason));
        let state = operation.state().as_str_name();
        let state = state.trim_start_matches("OPERATION_STATE_");
        let named = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        let mut details: Vec<String> = failure
            .fields
            .iter()
            .map(|f| format!("field: {f}"))
            .collect();
        let facts = [
            ("cloud code", &failure.cloud_code),
            ("cloud request id", &failure.cloud_request_id),
        ];
        let known = facts.iter().filter(|(_, value)| !value.is_empty());
        details.extend(known.map(|(name, value)| format!("{name}: {value}")));
        let asked = if operation.state() == OperationState::NeedsOperator {
            Asked::Watch
        } else {
            Asked::Ended(operation)
        };
        details.push(advice(exit, asked, &ErrorDetails::new()));
        Some(Self {
            exit,
            ended: Some(operation.clone()),
            headline: headline(state, Some(named), &failure.message),
            details,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)?;
        self.details
            .iter()
            .try_for_each(|line| write!(f, "\n  {line}"))
    }
}

fn headline(code: &str, reason: Option<&str>, message: &str) -> String {
    match reason {
        Some(reason) if reason != code => format!("{code} ({reason}): {message}"),
        Some(_) | None => format!("{code}: {message}"),
    }
}

fn fields(details: &ErrorDetails) -> Vec<String> {
    let request = details.bad_request();
    let fields = request
        .into_iter()
        .flat_map(|request| &request.field_violations);
    fields
        .map(|field| format!("field {}: {}", field.field, field.description))
        .collect()
}

/// What the other details add to `message`.
fn violations(details: &ErrorDetails, message: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |kind: &str, subject: &str, description: &str| {
        if !message.contains(description) {
            let subject = [kind, subject].join(" ");
            lines.push(format!("{}: {description}", subject.trim_end()));
        }
    };
    if let Some(failure) = details.quota_failure() {
        for quota in &failure.violations {
            add("quota", &quota.subject, &quota.description);
        }
    }
    if let Some(failure) = details.precondition_failure() {
        for unmet in &failure.violations {
            add("precondition", &unmet.subject, &unmet.description);
        }
    }
    if let Some(resource) = details.resource_info() {
        add(
            &resource.resource_type,
            &resource.resource_name,
            &resource.description,
        );
    }
    lines
}

/// The metadata, which holds the cloud's code and request id, in the order of its keys.
fn facts(details: &ErrorDetails) -> Vec<String> {
    let metadata = details.error_info().map(|info| &info.metadata);
    let mut facts: Vec<String> = metadata
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{}: {value}", key.replace('_', " ")))
        .collect();
    facts.sort();
    facts
}

/// What to do next.
fn advice(exit: Exit, asked: Asked<'_>, details: &ErrorDetails) -> String {
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    let when = match delay {
        Some(delay) => format!("after {}", humantime::format_duration(delay)),
        None => "later".to_owned(),
    };
    let usual = || match (exit, asked) {
        (Exit::Unavailable | Exit::Temporary, Asked::Launch) => {
            format!("repeat {when} with the same --request-id: it never launches twice")
        }
        (Exit::Unavailable | Exit::Temporary, Asked::Watch) => {
            format!("watch again {when}: the operation goes on meanwhile")
        }
        // Its own request_id would only find it again.
        (Exit::Unavailable | Exit::Temporary, Asked::Ended(_)) => {
            "launch again later, with a new --request-id".to_owned()
        }
        (Exit::Data, Asked::Watch) => "see `cvm-gateway watch --help`".to_owned(),
        (Exit::Data, Asked::Launch | Asked::Ended(_)) => {
            "change the request, and give it a new --request-id".to_owned()
        }
        (Exit::Failed, Asked::Ended(_)) => {
            "mend the cause and launch again, with a new --request-id".to_owned()
        }
        (Exit::NoPermission, _) => "ask the operator of the gateway".to_owned(),
        (
            Exit::Ok
            | Exit::Failed
            | Exit::Usage
            | Exit::NoInput
            | Exit::Software
            | Exit::Os
            | Exit::CannotCreate
            | Exit::Io
            | Exit::Configuration
            | Exit::Interrupted,
            _,
        ) => "show this to the operator of the gateway".to_owned(),
    };
    format!("next: {}", with_the_rest(asked).unwrap_or_else(usual))
}

/// What to do with what an operation has left behind, where to launch again is no advice.
fn with_the_rest(asked: Asked<'_>) -> Option<String> {
    let Asked::Ended(operation) = asked else {
        return None;
    };
    let leaves = |state: &str| LEAVING.contains(&state);
    let instances = operation.instances.iter();
    let left = instances.filter(|instance| !leaves(&instance.instance_state));
    match (operation.kind(), left.count()) {
        (OperationKind::Termination, 0) => {
            Some("look at the instances: some may be left".to_owned())
        }
        (OperationKind::Termination, left) => Some(format!(
            "give the {left} instances that are left back again, with a new request_id"
        )),
        _ if operation.state() == OperationState::Cancelled => {
            Some("nothing: it was cancelled".to_owned())
        }
        (_, 0) => None,
        (_, left) => Some(format!(
            "use the {left} instances that may run, or give them back: they cost money, and a new launch adds to them"
        )),
    }
}

fn exit(code: Code) -> Exit {
    match code {
        Code::Ok => Exit::Ok,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::FailedPrecondition => Exit::Data,
        Code::PermissionDenied | Code::Unauthenticated => Exit::NoPermission,
        Code::ResourceExhausted | Code::Aborted | Code::DeadlineExceeded => Exit::Temporary,
        Code::Unavailable | Code::Unimplemented => Exit::Unavailable,
        Code::Internal | Code::DataLoss => Exit::Software,
        Code::Unknown | Code::Cancelled => Exit::Failed,
    }
}

/// The code of each reason, as `error_reason.proto` says.
fn code_of(reason: ErrorReason) -> Code {
    match reason {
        ErrorReason::InvalidParameter => Code::InvalidArgument,
        ErrorReason::ResourceNotFound | ErrorReason::OperationNotFound => Code::NotFound,
        ErrorReason::RequestIdReused => Code::AlreadyExists,
        ErrorReason::Unauthenticated => Code::Unauthenticated,
        ErrorReason::PolicyDenied | ErrorReason::CloudPermissionDenied => Code::PermissionDenied,
        ErrorReason::QuotaExceeded
        | ErrorReason::Capacity
        | ErrorReason::CloudRateLimited
        | ErrorReason::Overloaded
        | ErrorReason::TooManyCalls => Code::ResourceExhausted,
        ErrorReason::PreconditionFailed
        | ErrorReason::InsufficientBalance
        | ErrorReason::MarketPrice => Code::FailedPrecondition,
        ErrorReason::ConflictingOperation => Code::Aborted,
        ErrorReason::GatewayCredential
        | ErrorReason::GatewayDefect
        | ErrorReason::CloudInternal => Code::Internal,
        ErrorReason::CloudUnavailable
        | ErrorReason::GatewayUnavailable
        | ErrorReason::GatewayBusy => Code::Unavailable,
        ErrorReason::LaunchTimeout => Code::DeadlineExceeded,
        ErrorReason::Cancelled => Code::Cancelled,
        ErrorReason::NotImplemented => Code::Unimplemented,
        ErrorReason::Unspecified | ErrorReason::LaunchFailed | ErrorReason::NeedsOperator => {
            Code::Unknown
        }
    }
}

/// `INVALID_ARGUMENT` of `InvalidArgument`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::{Failure, Instance};
    use prost::Message;
    use prost_types::FileDescriptorSet;
    use std::collections::HashMap;
    use std::time::Duration;

    #[test]
    fn the_codes_are_those_of_the_proto() {
        let commented = include_bytes!(concat!(env!("OUT_DIR"), "/commented.bin"));
        let files = FileDescriptorSet::decode(commented.as_slice()).unwrap();
        let files = files.file;
        let named =
            |file: &&prost_types::FileDescriptorProto| file.name().ends_with("error_reason.proto");
        let file = files.iter().find(named).unwrap();
        let comments: HashMap<&[i32], &str> = file
            .source_code_info
            .as_ref()
            .unwrap()
            .location
            .iter()
            .map(|location| (location.path.as_slice(), location.leading_comments()))
            .collect();
        let values = &file.enum_type[0].value;
        assert!(values.len() > 20);
        for (index, value) in values.iter().enumerate().skip(1) {
            let path = [5, 0, 2, i32::try_from(index).unwrap()];
            let (code, _) = comments[path.as_slice()].split_once(':').unwrap();
            let reason = ErrorReason::try_from(value.number()).unwrap();
            assert_eq!(code.trim(), code_name(code_of(reason)), "{}", value.name());
        }
    }

    #[test]
    fn a_refusal_names_code_reason_fields_and_the_next_step() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info(
                "INVALID_PARAMETER",
                "cvm-gateway",
                [("cloud_code".to_owned(), "InvalidZone".to_owned())],
            )
            .add_bad_request_violation("spec.image_id", "is required")
            .add_bad_request_violation("region", "must be a region");
        let status =
            Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details);
        let refusal = Refusal::of_status(&status, Asked::Launch);
        assert_eq!(refusal.exit, Exit::Data);
        assert_eq!(
            refusal.to_string(),
            "INVALID_ARGUMENT (INVALID_PARAMETER): these fields of the request break rules\n  \
             field spec.image_id: is required\n  \
             field region: must be a region\n  \
             cloud code: InvalidZone\n  \
             next: change the request, and give it a new --request-id"
        );
    }

    #[test]
    fn the_delay_before_a_repetition_is_told() {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        details.set_error_info("OVERLOADED", "cvm-gateway", HashMap::new());
        let status = Status::with_error_details(Code::ResourceExhausted, "busy", details);
        let refusal = Refusal::of_status(&status, Asked::Launch);
        assert_eq!(refusal.exit, Exit::Temporary);
        assert!(
            refusal
                .to_string()
                .contains("next: repeat after 3s with the same --request-id")
        );
    }

    #[test]
    fn a_failed_operation_is_told_like_a_refusal() {
        let mut operation = Operation {
            failure: Some(Failure {
                message: "no stock".to_owned(),
                cloud_code: "ResourceInsufficient".to_owned(),
                fields: vec!["spec.instance_type".to_owned()],
                ..Failure::default()
            }),
            ..Operation::default()
        };
        operation.set_state(OperationState::Failed);
        operation
            .failure
            .as_mut()
            .unwrap()
            .set_reason(ErrorReason::Capacity);
        let refusal = Refusal::of_operation(&operation).unwrap();
        assert_eq!(refusal.exit, Exit::Temporary);
        assert_eq!(
            refusal.to_string(),
            "FAILED (CAPACITY): no stock\n  field: spec.instance_type\n  cloud code: ResourceInsufficient\n  \
             next: launch again later, with a new --request-id"
        );
        assert_eq!(Refusal::of_operation(&Operation::default()), None);
    }

    /// An operation that failed for `reason`, with machines in `states`.
    fn ended(kind: OperationKind, reason: ErrorReason, states: &[&str]) -> Operation {
        let mut failure = Failure::default();
        failure.set_reason(reason);
        let instances = states.iter().map(|state| Instance {
            instance_state: (*state).to_owned(),
            ..Instance::default()
        });
        let mut operation = Operation {
            failure: Some(failure),
            instances: instances.collect(),
            ..Operation::default()
        };
        operation.set_kind(kind);
        operation.set_state(OperationState::Partial);
        operation
    }

    #[test]
    fn nobody_is_told_to_launch_beside_what_may_run() {
        let (launch, back) = (OperationKind::Launch, OperationKind::Termination);
        let late = ErrorReason::LaunchTimeout;
        for (kind, states, expected) in [
            (
                launch,
                &["RUNNING", "PENDING", "LAUNCH_FAILED"][..],
                "use the 2 instances",
            ),
            (launch, &["LAUNCH_FAILED"], "launch again later"),
            (launch, &[], "launch again later"),
            (back, &["RUNNING", "SHUTDOWN"], "give the 1 instances"),
            (back, &["TERMINATING"], "look at the instances"),
        ] {
            let operation = ended(kind, late, states);
            let of_operation = Refusal::of_operation(&operation).unwrap();
            let status = Status::deadline_exceeded("late");
            let of_status = Refusal::of_status(&status, Asked::Ended(&operation));
            for refusal in [of_operation, of_status] {
                let told = refusal.to_string();
                assert!(told.contains(expected), "{told}");
                assert_eq!(refusal.ended.as_ref(), Some(&operation));
            }
        }
    }
}
