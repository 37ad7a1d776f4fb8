//! Every refusal as a gRPC status with typed details: the only place that knows gRPC codes.

use super::wire;
use crate::domain::causes::chain;
use crate::domain::ids::OperationId;
use crate::domain::operation::{Failure, Operation};
use crate::domain::plan::PlanError;
use crate::domain::quota::Exceeded;
use crate::domain::reason::Reason;
use crate::domain::violation::Violations;
use crate::metrics::Shed;
use crate::operations::OperationError;
use crate::pb::codec::ERROR_DOMAIN;
use crate::policy::{Denial, Refusal};
use http::{Response, StatusCode};
use std::collections::HashMap;
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// When a caller may come back to a gateway that is busy or away.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Where retries of gRPC's libraries are told it, in milliseconds.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The gRPC code of a reason, but for [`deadline_passed`]; `error_reason.proto` says the same.
#[must_use]
pub(super) const fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidParameter => Code::InvalidArgument,
        Reason::ResourceNotFound | Reason::OperationNotFound => Code::NotFound,
        Reason::RequestIdReused => Code::AlreadyExists,
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::PolicyDenied | Reason::CloudPermissionDenied => Code::PermissionDenied,
        Reason::QuotaExceeded
        | Reason::Capacity
        | Reason::CloudRateLimited
        | Reason::Overloaded
        | Reason::TooManyCalls => Code::ResourceExhausted,
        Reason::PreconditionFailed | Reason::InsufficientBalance | Reason::MarketPrice => {
            Code::FailedPrecondition
        }
        Reason::ConflictingOperation => Code::Aborted,
        Reason::GatewayCredential | Reason::GatewayDefect | Reason::CloudInternal => Code::Internal,
        Reason::CloudUnavailable | Reason::GatewayUnavailable | Reason::GatewayBusy => {
            Code::Unavailable
        }
        Reason::LaunchFailed | Reason::NeedsOperator => Code::Unknown,
        Reason::LaunchTimeout => Code::DeadlineExceeded,
        Reason::Cancelled => Code::Cancelled,
        Reason::NotImplemented => Code::Unimplemented,
        Reason::DryRunPassed => Code::Ok,
    }
}

/// The status that ends the stream of a launch that did not fully succeed; none for one that did.
pub(super) fn of_operation(operation: &Operation) -> Option<Status> {
    let failure = operation.failure.as_ref()?;
    // Without `RetryInfo`: the operation has ended, and repeating its request_id changes nothing.
    let mut details =
        ErrorDetails::with_error_info(failure.reason.as_str(), ERROR_DOMAIN, HashMap::new());
    details.set_request_info(operation.id.to_string(), "");
    let mut metadata = HashMap::from([
        ("operation".to_owned(), operation.id.resource_name()),
        ("account".to_owned(), operation.account.to_string()),
        ("region".to_owned(), operation.region.to_string()),
    ]);
    if !failure.cloud_code.is_empty() {
        metadata.insert("cloud_code".to_owned(), failure.cloud_code.clone());
    }
    if !failure.cloud_request_id.is_empty() {
        metadata.insert(
            "cloud_request_id".to_owned(),
            failure.cloud_request_id.clone(),
        );
    }
    details.set_error_info(failure.reason.as_str(), ERROR_DOMAIN, metadata);
    explain(failure, operation, &mut details);
    let message = match failure.cloud_code.as_str() {
        "" => failure.message.clone(),
        code => format!("the cloud refused with {code}: {}", failure.message),
    };
    Some(ended(code(failure.reason), message, details))
}

/// The status that ends a stream whose operation goes on.
pub(super) fn resumable(error: &OperationError, id: OperationId, sequence: u64) -> Status {
    tell_operator(error);
    goes_on(error.reason(), &told(error), id, sequence)
}

/// The status that ends a stream because its connection is closed.
pub(super) fn leaving(id: OperationId, sequence: u64) -> Status {
    let why = "the gateway closes the connection, which is old";
    goes_on(Reason::GatewayUnavailable, why, id, sequence)
}

fn goes_on(reason: Reason, why: &str, id: OperationId, sequence: u64) -> Status {
    let mut details = details(reason);
    let metadata = HashMap::from([
        ("operation".to_owned(), id.resource_name()),
        ("sequence".to_owned(), sequence.to_string()),
    ]);
    details.set_error_info(reason.as_str(), ERROR_DOMAIN, metadata);
    let message = format!("{why}; the operation goes on: resume with WatchOperation");
    ended(code(reason), message, details)
}

/// What a caller is told who is not let in: always the same, whatever is wrong.
pub(super) fn unauthenticated() -> Status {
    let message =
        "the gateway does not know the caller; call with a certificate or a token that it takes";
    plain(Reason::Unauthenticated, message.to_owned())
}

/// What a caller is told whose call is not begun, and may be repeated after `delay`.
pub(super) fn shed(why: Shed, delay: Duration) -> Status {
    let (reason, message) = match why {
        Shed::Deadline => return deadline_passed(),
        Shed::OrganizationQueue => (
            Reason::TooManyCalls,
            "the organisation has as many calls waiting as it may; call more slowly",
        ),
        Shed::Wait => (
            Reason::GatewayBusy,
            "the gateway has more calls than it can begin in time; repeat with the same request_id",
        ),
        Shed::Overload => (
            Reason::GatewayBusy,
            "the gateway is about to run out of memory or of room for its journal, and gives up what \
             can wait; repeat with the same request_id",
        ),
        Shed::OrganizationBytes => (
            Reason::TooManyCalls,
            "the calls of the organisation hold as much memory as they may, in requests that wait and in \
             answers that are not read; read the answers, and call more slowly",
        ),
        Shed::Bytes => (
            Reason::Overloaded,
            "the calls of all organisations hold as much memory as they may; repeat with the same \
             request_id",
        ),
    };
    let mut details = details(reason);
    details.set_retry_info(Some(delay));
    ended(code(reason), message, details)
}

/// What is told who watches health more often on one connection than it may.
pub(super) fn too_many_watches() -> Status {
    Status::resource_exhausted("the connection has as many streams of Watch as it may; call Check")
}

/// What a caller is told when the gateway takes too long.
pub(super) fn no_answer_within(limit: Duration) -> Status {
    let message = format!(
        "the gateway did not answer within {} s; repeat with the same request_id",
        limit.as_secs()
    );
    plain(Reason::GatewayUnavailable, message)
}

/// What a caller is told whose own deadline passed before there was an answer.
pub(super) fn deadline_passed() -> Status {
    let message = "the call's deadline passed; repeat with the same request_id".to_owned();
    let details = details(Reason::GatewayUnavailable);
    ended(Code::DeadlineExceeded, message, details)
}

/// The answer to what is not gRPC: the HTTP status that its protocol has for that, and the same to who reads
/// statuses of gRPC.
pub(super) fn not_grpc() -> Response<Body> {
    let rule = "the call is no POST of gRPC; its content-type must be application/grpc";
    let mut answer = Status::from(wire::invalid("", rule)).into_http();
    *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    answer
}

/// Bytes of a refusal that the audit is told.
const REFUSAL_BYTES_MAX: usize = 1024;

/// Why a call was refused that its caller got wrong: with the reason's name, and of a bounded length. None
/// when the gateway or the cloud could not do it now, and when it was denied.
pub(super) fn is_of_caller(status: &Status) -> Option<String> {
    let of_caller = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
    );
    let details = of_caller.then(|| status.get_details_error_info());
    let reason = details.flatten().map_or(String::new(), |info| info.reason);
    let mut told = format!("{reason}: {}", status.message());
    let end = told.floor_char_boundary(REFUSAL_BYTES_MAX.min(told.len()));
    told.truncate(end);
    of_caller.then_some(told)
}

/// A status of tonic's own, with the details that callers may count on.
pub(super) fn typed(status: &Status) -> Status {
    let reason = match status.code() {
        // What tonic says of a message over the limit, and of bytes that are no message. Our own
        // statuses have details and never come here.
        Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument | Code::Internal => {
            Reason::InvalidParameter
        }
        Code::Unimplemented => Reason::NotImplemented,
        Code::Cancelled => Reason::Cancelled,
        Code::DeadlineExceeded => Reason::LaunchTimeout,
        Code::Unavailable => Reason::GatewayUnavailable,
        Code::Ok
        | Code::Unknown
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::DataLoss
        | Code::Unauthenticated => Reason::GatewayDefect,
    };
    let message = match (status.code(), status.message()) {
        (Code::OutOfRange, message) => format!("{message}; make the request smaller"),
        (Code::Internal, message) => format!("{message}; send one message as gRPC frames it"),
        (Code::Unimplemented, "") => "this gateway has no such method; see the proto".to_owned(),
        (_, message) => message.to_owned(),
    };
    if reason == Reason::InvalidParameter {
        let mut violations = Violations::default();
        violations.add("", message);
        return violations.into();
    }
    plain(reason, message)
}

impl From<Violations> for Status {
    fn from(violations: Violations) -> Self {
        let mut details = details(Reason::InvalidParameter);
        for violation in &violations.0 {
            details.add_bad_request_violation(&violation.field, &violation.message);
        }
        ended(
            code(Reason::InvalidParameter),
            violations.to_string(),
            details,
        )
    }
}

impl From<PlanError> for Status {
    fn from(error: PlanError) -> Self {
        if error == PlanError::Malformed {
            return wire::invalid("plan", &error.to_string()).into();
        }
        let reason = Reason::PreconditionFailed;
        let mut details = details(reason);
        details.add_precondition_failure_violation("PLAN", "plan", error.to_string());
        ended(code(reason), error.to_string(), details)
    }
}

impl From<Denial> for Status {
    fn from(denial: Denial) -> Self {
        let reason = Reason::PolicyDenied;
        let mut details = details(reason);
        let metadata = HashMap::from([
            ("rule".to_owned(), denial.rule()),
            ("policy".to_owned(), denial.policy),
        ]);
        details.set_error_info(reason.as_str(), ERROR_DOMAIN, metadata);
        for field in &denial.fields.0 {
            details.add_bad_request_violation(&field.field, &field.message);
        }
        ended(code(reason), denial.message, details)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(violations) => violations.into(),
            Refusal::Denied(denial) => denial.into(),
        }
    }
}

impl From<OperationError> for Status {
    fn from(error: OperationError) -> Self {
        let reason = error.reason();
        tell_operator(&error);
        let mut details = details(reason);
        if let OperationError::RequestIdReused(id) = &error {
            let metadata = HashMap::from([("operation".to_owned(), id.resource_name())]);
            details.set_error_info(reason.as_str(), ERROR_DOMAIN, metadata);
        }
        if let OperationError::OverLimit(exceeded) = &error {
            explain_limits(reason, exceeded, &mut details);
        }
        if matches!(error, OperationError::CursorAhead(_)) {
            details.add_bad_request_violation("after_sequence", error.to_string());
        }
        if let OperationError::NoSize { field, message } = &error {
            details.add_bad_request_violation(*field, message);
        }
        if matches!(
            error,
            OperationError::InstanceNotFound(_) | OperationError::MixedInstances
        ) {
            details.add_bad_request_violation("instance_ids", error.to_string());
        }
        if matches!(error, OperationError::NotFound) {
            details.set_resource_info(
                "cvmgateway.v1.Operation",
                "",
                "",
                "not of this organisation",
            );
        }
        ended(code(reason), told(&error), details)
    }
}

/// Which limits; and when to come back, if time alone makes room in all of them.
fn explain_limits(reason: Reason, exceeded: &[Exceeded], details: &mut ErrorDetails) {
    for over in exceeded {
        let subject = format!("{}/{}", over.quota, over.measure.as_str());
        let [limit, used, asked] = shown(over);
        let description = format!("limit {limit}, used {used}, asked {asked}");
        details.add_quota_failure_violation(subject, description);
    }
    if let Some(first) = exceeded.first() {
        let [limit, used, asked] = shown(first);
        let metadata = [
            (
                "limit",
                format!("{}/{}", first.quota, first.measure.as_str()),
            ),
            ("limit_value", limit),
            ("used", used),
            ("asked", asked),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        details.set_error_info(reason.as_str(), ERROR_DOMAIN, HashMap::from(metadata));
    }
    let waits = exceeded.iter().map(|over| over.room_after);
    if let Some(wait) = waits.collect::<Option<Vec<_>>>() {
        details.set_retry_info(wait.into_iter().max());
    }
}

/// A limit, what is used of it and what was asked for.
fn shown(over: &Exceeded) -> [String; 3] {
    [over.limit, over.used, over.asked].map(|amount| over.measure.show(amount))
}

/// What the caller cannot mend, the operator must hear of, with its causes.
fn tell_operator(error: &OperationError) {
    let ours = matches!(
        error.reason(),
        Reason::GatewayDefect | Reason::GatewayUnavailable
    );
    if ours && !matches!(error, OperationError::Stopping) {
        let error = chain(error, ": ");
        tracing::error!(error, "a request could not be served");
    }
}

/// An error for the caller.
fn told(error: &OperationError) -> String {
    match error {
        OperationError::RequestIdReused(id) => format!(
            "the request_id was used before, with another request, for {}: use a new one for a new wish",
            id.resource_name()
        ),
        OperationError::Store(_) if error.reason() == Reason::GatewayDefect => {
            "the gateway's journal is damaged; tell the operator of the gateway".to_owned()
        }
        OperationError::Store(source) => format!("{error}: {source}"),
        OperationError::NotFound
        | OperationError::CursorAhead(_)
        | OperationError::InstanceNotFound(_)
        | OperationError::MixedInstances
        | OperationError::CannotCancel(_)
        | OperationError::Braked { .. }
        | OperationError::OverLimit(_)
        | OperationError::SizeUnknown(_)
        | OperationError::NoSize { .. }
        | OperationError::TooMany
        | OperationError::TooManyOfOrganization
        | OperationError::Stopping
        | OperationError::Body(_) => error.to_string(),
    }
}

/// What ends a call. When to come back is told twice: for people and programs in the details, and where
/// the retries that are built into gRPC's libraries look for it.
fn ended(code: Code, message: impl Into<String>, details: ErrorDetails) -> Status {
    let retry = details.retry_info().and_then(|info| info.retry_delay);
    let mut status = Status::with_error_details(code, message, details);
    if let Some(delay) = retry {
        // The largest number that all libraries read.
        let millis = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
        status.metadata_mut().insert(PUSHBACK, millis.into());
    }
    status
}

fn plain(reason: Reason, message: String) -> Status {
    ended(code(reason), message, details(reason))
}

/// Reason, domain, and when to come back where the same call helps then: clients repeat it on that word. What the
/// cloud refuses ends an operation, which the same call would only find again.
fn details(reason: Reason) -> ErrorDetails {
    let mut details = ErrorDetails::with_error_info(reason.as_str(), ERROR_DOMAIN, HashMap::new());
    let comes_back = matches!(
        reason,
        Reason::Overloaded
            | Reason::TooManyCalls
            | Reason::GatewayBusy
            | Reason::GatewayUnavailable
    );
    if comes_back {
        details.set_retry_info(Some(RETRY_DELAY));
    }
    details
}

/// What is to blame, in the detail that fits the reason.
fn explain(failure: &Failure, operation: &Operation, details: &mut ErrorDetails) {
    let fields = failure
        .parameters
        .iter()
        .filter_map(|parameter| wire::field(parameter));
    let subject = format!("account:{}", operation.account);
    match failure.reason {
        Reason::InvalidParameter => {
            for field in fields {
                details.add_bad_request_violation(field, &failure.message);
            }
        }
        Reason::ResourceNotFound => {
            let field = fields.into_iter().next().unwrap_or_default();
            details.set_resource_info(field, "", "", &failure.message);
        }
        Reason::QuotaExceeded | Reason::Capacity | Reason::CloudRateLimited => {
            details.add_quota_failure_violation(subject, &failure.message);
        }
        Reason::PreconditionFailed | Reason::InsufficientBalance | Reason::MarketPrice => {
            details.add_precondition_failure_violation(
                &failure.cloud_code,
                subject,
                &failure.message,
            );
        }
        Reason::OperationNotFound
        | Reason::RequestIdReused
        | Reason::Unauthenticated
        | Reason::PolicyDenied
        | Reason::CloudPermissionDenied
        | Reason::Overloaded
        | Reason::TooManyCalls
        | Reason::GatewayBusy
        | Reason::ConflictingOperation
        | Reason::GatewayCredential
        | Reason::GatewayDefect
        | Reason::CloudInternal
        | Reason::CloudUnavailable
        | Reason::GatewayUnavailable
        | Reason::LaunchFailed
        | Reason::LaunchTimeout
        | Reason::Cancelled
        | Reason::NeedsOperator
        | Reason::NotImplemented
        | Reason::DryRunPassed => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::codes::classify;
    use crate::pb;
    use prost::Message;
    use prost_reflect::{DescriptorPool, Kind};
    use prost_types::FileDescriptorSet;
    use serde_json::Value;

    fn contract() -> Value {
        let text = include_str!("../../testdata/contract/cvm-contract.json");
        serde_json::from_str(text).unwrap()
    }

    fn entries<'a>(contract: &'a Value, lists: &[&str]) -> Vec<&'a Value> {
        let lists = lists.iter().map(|list| contract[list].as_array().unwrap());
        lists.flatten().collect()
    }

    fn code_named(name: &str) -> Code {
        let codes = (0..=16).map(Code::from_i32);
        let spelt = |code: &Code| format!("{code:?}").to_uppercase() == name.replace('_', "");
        codes.into_iter().find(spelt).unwrap()
    }

    #[test]
    fn every_code_of_the_cloud_gets_the_status_of_the_contract() {
        let contract = contract();
        let entries = entries(&contract, &["error_codes", "common_error_codes"]);
        assert_eq!(entries.len(), 422 + 38);
        for entry in entries {
            let told = entry
                .get("grpc_status_to_gateway_caller")
                .unwrap_or(&entry["grpc_status"]);
            let reason = classify(entry["code"].as_str().unwrap()).reason;
            let expected = code_named(told.as_str().unwrap());
            assert_eq!(code(reason), expected, "{}", entry["code"]);
        }
    }

    #[test]
    fn the_page_of_errors_tells_each_reason_with_its_status() {
        let page = include_str!("../../docs/errors.md");
        for reason in Reason::ALL {
            let begin = format!("| `{}` | `", reason.as_str());
            let row = page.lines().find_map(|line| line.strip_prefix(&begin));
            let status = row.and_then(|row| row.split('`').next());
            let status = status.unwrap_or_else(|| panic!("no row for {}", reason.as_str()));
            assert_eq!(code_named(status), code(*reason), "{}", reason.as_str());
        }
    }

    #[test]
    fn who_may_come_back_is_told_when_in_both_places() {
        let come_back = [
            Reason::Overloaded,
            Reason::TooManyCalls,
            Reason::GatewayBusy,
            Reason::GatewayUnavailable,
        ];
        for reason in Reason::ALL {
            let status = plain(*reason, String::new());
            let told = [
                status.get_details_retry_info().is_some(),
                status.metadata().contains_key(PUSHBACK),
            ];
            assert_eq!(told, [come_back.contains(reason); 2], "{reason:?}");
        }
    }

    #[test]
    fn every_blamed_field_is_one_of_the_request() {
        let pool = DescriptorPool::decode(pb::DESCRIPTOR).unwrap();
        let request = pool.get_message_by_name("cvmgateway.v1.RunInstancesRequest");
        let request = request.unwrap();
        let exists = |path: &str| {
            let step = |at: Option<_>, name: &str| match at {
                Some(Kind::Message(message)) => {
                    message.get_field_by_name(name).map(|field| field.kind())
                }
                Some(_) | None => None,
            };
            let begin = Some(Kind::Message(request.clone()));
            path.split('.').fold(begin, step).is_some()
        };
        assert!(!exists("spec.no_such"), "the check can fail");
        let contract = contract();
        let own = &contract["actions"]["RunInstances"]["request_fields"];
        let own = own.as_array().unwrap().iter();
        let own: Vec<String> = own
            .map(|field| field["path"].as_str().unwrap().replace("[]", ""))
            .filter(|path| path != "ClientToken")
            .collect();
        let mut shown = 0;
        for entry in entries(&contract, &["error_codes", "common_error_codes"]) {
            for parameter in classify(entry["code"].as_str().unwrap()).fields {
                match wire::field(parameter) {
                    Some(path) => assert!(exists(&path), "{}: {path}", entry["code"]),
                    None => assert!(!own.iter().any(|path| path == parameter), "{parameter}"),
                }
                shown += 1;
            }
        }
        assert!(shown > 300, "{shown}");
    }

    #[test]
    fn the_proto_s_comments_name_the_codes() {
        let commented = include_bytes!(concat!(env!("OUT_DIR"), "/commented.bin"));
        let set = FileDescriptorSet::decode(commented.as_slice()).unwrap();
        let of_reasons = |file: &&prost_types::FileDescriptorProto| {
            file.name() == "cvmgateway/v1/error_reason.proto"
        };
        let file = set.file.iter().find(of_reasons).unwrap();
        let places = &file.source_code_info.as_ref().unwrap().location;
        let mut told = 0;
        for (index, value) in file.enum_type[0].value.iter().enumerate().skip(1) {
            // Field 5 of a file are its enums, field 2 of an enum its values.
            let path = [5, 0, 2, i32::try_from(index).unwrap()];
            let place = places.iter().find(|place| place.path == path).unwrap();
            let (name, _) = place.leading_comments().split_once(':').unwrap();
            let reason = value.name().trim_start_matches("ERROR_REASON_");
            let reason = Reason::parse(reason).unwrap();
            assert_eq!(code(reason), code_named(name.trim()), "{reason:?}");
            told += 1;
        }
        // DRY_RUN_PASSED is no error, so the proto does not have it.
        assert_eq!(told, Reason::ALL.len() - 1);
    }
}
