//! Messages: requests become values of the domain, values become messages.

use super::spec::{At, instance_spec};
use crate::domain::change::Change;
use crate::domain::ids::{OperationId, RequestId};
use crate::domain::instance::{Instance, InstanceId};
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::{Failure, Kind, OnFailure, Operation, StateName, Transition};
use crate::domain::reason::Reason;
use crate::domain::request::{Alternative, Wish};
use crate::domain::rules::{self, Limits};
use crate::domain::violation::Violations;
use crate::pb::v1 as pb;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use prost::Message;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;
use time::UtcDateTime;

/// Operations of a page, when the caller names no number.
const PAGE_SIZE_DEFAULT: u32 = 50;
/// Operations of a page at most.
const PAGE_SIZE_MAX: u32 = 1000;
/// Bytes of a page at most, unless its first operation alone is larger: gRPC clients take messages
/// of up to 4 MiB unless told otherwise.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// Instances of one termination; the cloud takes as many in one call.
const IDS_PER_TERMINATION_MAX: usize = 100;
/// The longest that machines may take to be gone: a day.
const TIMEOUT_SECONDS_MAX: u64 = 24 * 60 * 60;

/// What the cloud may blame and no caller can set: the gateway's own parameters, those of other
/// actions, and the names of the signature's parts. So are all headers but that of the region.
const NOT_OF_CALLERS: [&str; 8] = [
    "Authorization",
    "ClientToken",
    "Filters",
    "ImageIds",
    "InstanceIds",
    "Limit",
    "SecretId",
    "service",
];

/// What page is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Empty: any.
    pub(super) states: Vec<StateName>,
    pub(super) before: Option<OperationId>,
    pub(super) size: u32,
}

/// The wish that a message carries. One that is not well formed is also judged by the rules, so that
/// the caller learns of everything at once.
pub(super) fn wish(
    message: pb::RunInstancesRequest,
    limits: &Limits,
    now: UtcDateTime,
) -> Result<Wish, Violations> {
    let pb::RunInstancesRequest {
        request_id,
        account,
        region,
        spec,
        alternatives,
        on_failure,
        plan: _, // judged by who knows what is allowed
    } = message;
    let out = RefCell::new(Violations::default());
    let request_id = valid("request_id", RequestId::parse(&request_id), &out);
    let region = valid("region", Region::parse(&region), &out);
    let account = match account {
        Some(account) => valid("account", AccountName::parse(&account), &out).map(Some),
        None => Some(None),
    };
    let on_failure = failure_policy(on_failure, &out);
    let alternatives: Vec<_> = alternatives.into_iter().map(alternative).collect();
    let spec =
        At::new("spec", &out).root(spec.map(|spec| instance_spec(spec, &At::new("spec", &out))));
    let mut violations = out.into_inner();
    let (Some(region), Some(spec)) = (region, spec) else {
        return Err(violations);
    };
    match (request_id, account) {
        (Some(request_id), Some(account)) if violations.0.is_empty() => Ok(Wish {
            request_id,
            account,
            region,
            spec,
            alternatives,
            on_failure: on_failure.unwrap_or_default(),
        }),
        (_, _) => {
            violations.append(rules::check(&spec, &region, limits, now));
            let mut others = Violations::default();
            rules::check_alternatives(&spec, &alternatives, &region, &mut others);
            violations.append(others);
            Err(violations)
        }
    }
}

fn failure_policy(number: i32, out: &RefCell<Violations>) -> Option<OnFailure> {
    match pb::FailurePolicy::try_from(number) {
        Ok(pb::FailurePolicy::Unspecified | pb::FailurePolicy::Keep) => Some(OnFailure::Keep),
        Ok(pb::FailurePolicy::TerminateFailed) => Some(OnFailure::TerminateFailed),
        Ok(pb::FailurePolicy::TerminateAll) => Some(OnFailure::TerminateAll),
        Err(_) => {
            out.borrow_mut().add(
                "on_failure",
                format!("must be a value of FailurePolicy, not {number}"),
            );
            None
        }
    }
}

fn alternative(message: pb::Alternative) -> Alternative {
    let pb::Alternative {
        zone,
        instance_type,
        subnet_id,
    } = message;
    Alternative {
        zone,
        instance_type,
        subnet_id,
    }
}

/// A wish to give machines back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TerminationWish {
    pub(super) request_id: RequestId,
    pub(super) instances: Vec<InstanceId>,
    /// How long the machines may take to be gone, if the caller says.
    pub(super) timeout: Option<Duration>,
}

/// The wish that a message carries; its instances sorted, each once.
pub(super) fn termination(
    message: &pb::TerminateInstancesRequest,
) -> Result<TerminationWish, Violations> {
    let out = RefCell::new(Violations::default());
    let request_id = valid("request_id", RequestId::parse(&message.request_id), &out);
    let count = message.instance_ids.len();
    out.borrow_mut().unless(
        (1..=IDS_PER_TERMINATION_MAX).contains(&count),
        "instance_ids",
        || format!("must be 1 to {IDS_PER_TERMINATION_MAX}, not {count}"),
    );
    let mut instances = BTreeSet::new();
    for (index, id) in message.instance_ids.iter().enumerate() {
        let field = format!("instance_ids[{index}]");
        if let Some(id) = valid(&field, InstanceId::parse(id), &out) {
            instances.insert(id);
        }
    }
    let timeout = message.timeout.map(|timeout| positive(&timeout, &out));
    match request_id {
        Some(request_id) if out.borrow().0.is_empty() => Ok(TerminationWish {
            request_id,
            instances: instances.into_iter().collect(),
            timeout: timeout.flatten(),
        }),
        Some(_) | None => Err(out.into_inner()),
    }
}

/// A duration from a second to a day.
fn positive(duration: &prost_types::Duration, out: &RefCell<Violations>) -> Option<Duration> {
    let seconds = u64::try_from(duration.seconds).unwrap_or(0);
    let sound = (1..=TIMEOUT_SECONDS_MAX).contains(&seconds) && duration.nanos == 0;
    out.borrow_mut().unless(sound, "timeout", || {
        format!("must be whole seconds from 1 to {TIMEOUT_SECONDS_MAX}")
    });
    sound.then(|| Duration::from_secs(seconds))
}

/// The operation that a resource name names.
pub(super) fn operation_id(name: &str) -> Result<OperationId, Violations> {
    OperationId::parse_name(name).map_err(|malformed| invalid("name", &malformed.to_string()))
}

/// The page that a message asks for.
pub(super) fn page(message: &pb::ListOperationsRequest) -> Result<Page, Violations> {
    let size = page_size(message.page_size)?;
    let states = states(&message.states)?;
    let before = match message.page_token.as_str() {
        "" => None,
        token => Some(open_token(token, &message.states)?),
    };
    Ok(Page {
        states,
        before,
        size,
    })
}

/// How many rows of a page are asked for.
pub(super) fn page_size(asked: i32) -> Result<u32, Violations> {
    match u32::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_negative) => Err(invalid("page_size", "must not be negative")),
    }
}

/// How many of these operations fit into one answer; the first always does.
pub(super) fn fitting(operations: &[pb::Operation]) -> usize {
    let mut bytes = 0;
    let fits = |operation: &&pb::Operation| {
        bytes += operation.encoded_len();
        bytes <= PAGE_BYTES_MAX
    };
    operations.iter().take_while(fits).count().max(1)
}

/// Where the page after `last` begins. It is bound to the filter, which must not change.
pub(super) fn page_token(last: OperationId, states: &[i32]) -> String {
    sealed_token(&format!("{last} {states:?}"))
}

/// A page token that says so much, in a form that callers do not look into.
pub(super) fn sealed_token(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// What a page token says; nothing when it is none.
pub(super) fn token_text(token: &str) -> String {
    let text = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    text.and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default()
}

fn open_token(token: &str, states: &[i32]) -> Result<OperationId, Violations> {
    let text = token_text(token);
    let (id, filter) = text.split_once(' ').unwrap_or_default();
    match OperationId::parse(id) {
        Ok(id) if filter == format!("{states:?}") => Ok(id),
        Ok(_) | Err(_) => Err(invalid(
            "page_token",
            "must be the next_page_token of a page that was asked for with the same states",
        )),
    }
}

/// The states of a filter.
fn states(numbers: &[i32]) -> Result<Vec<StateName>, Violations> {
    let mut states = Vec::new();
    for number in numbers {
        match pb::OperationState::try_from(*number) {
            Ok(pb::OperationState::Unspecified) | Err(_) => {
                return Err(invalid("states", "must be states of OperationState"));
            }
            Ok(state) => states.extend(
                StateName::ALL
                    .into_iter()
                    .find(|name| state_number(*name) == state),
            ),
        }
    }
    Ok(states)
}

/// A snapshot as a message.
pub(super) fn operation(operation: &Operation) -> pb::Operation {
    pb::Operation {
        name: operation.id.resource_name(),
        request_id: operation.request_id.to_string(),
        account: operation.account.to_string(),
        region: operation.region.to_string(),
        principal: operation.principal.clone(),
        state: state_number(operation.state.name()).into(),
        sequence: operation.sequence,
        instance_count: operation.instance_count,
        instances: operation.instances.iter().map(instance).collect(),
        failure: operation.failure.as_ref().map(failure),
        transitions: operation.transitions.iter().map(transition).collect(),
        attempts: u32::try_from(operation.attempts.len()).unwrap_or(u32::MAX),
        cloud_request_id: operation.cloud_request_id.clone().unwrap_or_default(),
        create_time: Some(timestamp(operation.create_time)),
        update_time: Some(timestamp(operation.update_time)),
        kind: kind(operation.kind).into(),
        changes: operation.changes.iter().cloned().map(change).collect(),
    }
}

fn change(change: Change) -> pb::PolicyChange {
    let Change {
        field,
        before,
        after,
        origin,
    } = change;
    pb::PolicyChange {
        field,
        before,
        after,
        origin,
    }
}

fn kind(kind: Kind) -> pb::OperationKind {
    match kind {
        Kind::Launch => pb::OperationKind::Launch,
        Kind::Termination => pb::OperationKind::Termination,
    }
}

/// A time as a message.
pub(super) fn timestamp(at: UtcDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.unix_timestamp(),
        nanos: i32::try_from(at.nanosecond()).unwrap_or(0),
    }
}

/// The path in RunInstancesRequest of a parameter of the contract: `spec.data_disks.disk_size` for
/// `DataDisks.DiskSize`. None for what no caller can set.
pub(super) fn field(parameter: &str) -> Option<String> {
    if matches!(parameter, "Region" | "X-TC-Region") {
        return Some("region".to_owned());
    }
    if parameter.starts_with("X-TC-") || NOT_OF_CALLERS.contains(&parameter) {
        return None;
    }
    let names = parameter.split('.');
    Some(names.fold("spec".to_owned(), |path, name| {
        format!("{path}.{}", snake_case(name))
    }))
}

pub(super) fn instance(instance: &Instance) -> pb::Instance {
    let state = instance.state.as_ref();
    pb::Instance {
        instance_id: instance.id.to_string(),
        instance_state: state
            .map(|state| state.as_str().to_owned())
            .unwrap_or_default(),
        instance_name: instance.name.clone(),
        instance_type: instance.instance_type.clone(),
        zone: instance.zone.clone(),
        private_ip_addresses: instance.private_ip_addresses.clone(),
        public_ip_addresses: instance.public_ip_addresses.clone(),
        failure_message: instance.failure_message.clone(),
        running_time: instance.running_time.map(timestamp),
    }
}

pub(super) fn failure(failure: &Failure) -> pb::Failure {
    pb::Failure {
        reason: reason_number(failure.reason).into(),
        message: failure.message.clone(),
        cloud_code: failure.cloud_code.clone(),
        cloud_request_id: failure.cloud_request_id.clone(),
        fields: failure
            .parameters
            .iter()
            .filter_map(|parameter| field(parameter))
            .collect(),
    }
}

fn transition(transition: &Transition) -> pb::Transition {
    pb::Transition {
        state: state_number(transition.state).into(),
        time: Some(timestamp(transition.time)),
        note: transition.note.clone(),
    }
}

fn state_number(state: StateName) -> pb::OperationState {
    let name = format!("OPERATION_STATE_{}", state.as_str());
    pb::OperationState::from_str_name(&name).unwrap_or_default()
}

pub(super) fn reason_number(reason: Reason) -> pb::ErrorReason {
    let name = format!("ERROR_REASON_{}", reason.as_str());
    pb::ErrorReason::from_str_name(&name).unwrap_or_default()
}

fn valid<T, E: std::fmt::Display>(
    field: &str,
    parsed: Result<T, E>,
    out: &RefCell<Violations>,
) -> Option<T> {
    parsed
        .map_err(|rule| out.borrow_mut().add(field, rule.to_string()))
        .ok()
}

pub(super) fn invalid(field: &str, message: &str) -> Violations {
    let mut violations = Violations::default();
    violations.add(field, message);
    violations
}

pub(super) fn snake_case(name: &str) -> String {
    // Where the cloud spells an abbreviation in capitals, the rule below would cut it up.
    let name = name.replace("IPv", "Ipv").replace("DDoS", "Ddos");
    let mut snake = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_reason_has_a_number() {
        for state in StateName::ALL {
            assert_ne!(
                state_number(state),
                pb::OperationState::Unspecified,
                "{state:?}"
            );
        }
        for reason in Reason::ALL
            .iter()
            .filter(|reason| **reason != Reason::DryRunPassed)
        {
            assert_ne!(
                reason_number(*reason),
                pb::ErrorReason::Unspecified,
                "{reason:?}"
            );
        }
    }

    #[test]
    fn parameters_become_field_paths() {
        for (parameter, path) in [
            ("DataDisks.DiskSize", Some("spec.data_disks.disk_size")),
            (
                "InternetAccessible.IPv4AddressType",
                Some("spec.internet_accessible.ipv4_address_type"),
            ),
            (
                "InternetAccessible.AntiDDoSPackageId",
                Some("spec.internet_accessible.anti_ddos_package_id"),
            ),
            ("Region", Some("region")),
            ("X-TC-Region", Some("region")),
            ("X-TC-Timestamp", None),
            ("ClientToken", None),
        ] {
            assert_eq!(field(parameter).as_deref(), path, "{parameter}");
        }
    }

    #[test]
    fn page_tokens_are_bound_to_their_filter() {
        let id = OperationId::generate(UtcDateTime::UNIX_EPOCH);
        let message = |page_token: String, states: Vec<i32>| pb::ListOperationsRequest {
            page_size: 7,
            page_token,
            states,
        };
        let next = page(&message(page_token(id, &[4]), vec![4])).unwrap();
        assert_eq!((next.before, next.size), (Some(id), 7));
        assert_eq!(next.states, [StateName::Launched]);
        for (token, states) in [
            (page_token(id, &[4]), vec![]),
            ("x".to_owned(), vec![]),
            ("!".to_owned(), vec![]),
        ] {
            assert!(page(&message(token, states)).is_err());
        }
    }

    #[test]
    fn a_filter_names_states() {
        let cancelled = i32::from(pb::OperationState::Cancelled);
        assert_eq!(states(&[cancelled]).unwrap(), [StateName::Cancelled]);
        assert_eq!(states(&[]).unwrap(), []);
        assert!(states(&[99]).is_err());
        assert!(states(&[0]).is_err());
    }
}
