//! The durable life of one launch.

use crate::domain::change::Change;
use crate::domain::ids::{OperationId, OrganizationId, RequestId};
use crate::domain::instance::{Instance, InstanceId};
use crate::domain::millis;
use crate::domain::names::{AccountName, Region};
use crate::domain::quota::Worth;
use crate::domain::reason::Reason;
use crate::domain::spec::InstanceSpec;
use crate::domain::trace::TraceParent;
use serde::{Deserialize, Serialize};
use time::UtcDateTime;

/// One launch, from the moment it was accepted until its end. Always a whole snapshot: what the
/// journal keeps, what a stream sends and what `machine` steps are all this value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub id: OperationId,
    pub organization: OrganizationId,
    pub request_id: RequestId,
    /// The verified identity of the caller.
    pub principal: String,
    pub account: AccountName,
    pub region: Region,
    /// The cloud's host that all calls for it go to: what another one does not know proves nothing.
    pub host: String,
    /// How many instances were asked for.
    pub instance_count: u32,
    /// How many of them are enough. None: all, as in journals of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_count: Option<u32>,
    /// Whether the cloud was only asked to validate: no instance ever exists.
    pub dry_run: bool,
    pub state: State,
    /// Version of this snapshot: 1 at first, and one more with every change.
    pub sequence: u64,
    /// Every time that the launch was sent, oldest first.
    pub attempts: Vec<Attempt>,
    /// The machines, once the cloud has named them.
    pub instances: Vec<Instance>,
    /// Why it did not fully succeed.
    pub failure: Option<Failure>,
    /// Every change of state, oldest first.
    pub transitions: Vec<Transition>,
    /// RequestId of the cloud's answer that decided the launch.
    pub cloud_request_id: Option<String>,
    #[serde(with = "millis")]
    pub create_time: UtcDateTime,
    #[serde(with = "millis")]
    pub update_time: UtcDateTime,
    #[serde(default)]
    pub kind: Kind,
    /// Where it may be launched, in the caller's order; the cloud is told of one at a time. Empty
    /// for a termination, and in journals of earlier versions.
    #[serde(default)]
    pub places: Vec<Place>,
    /// Which of the places the last attempt went to, counted from 0.
    #[serde(default)]
    pub alternative: u32,
    /// The places that the cloud refused for lack of stock.
    #[serde(default)]
    pub sold_out: Vec<u32>,
    #[serde(default)]
    pub on_failure: OnFailure,
    /// That the caller no longer wants it.
    #[serde(default)]
    pub cancellation: Option<Cancellation>,
    /// What policy changed of what was asked for, before it was decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What each machine counts for in each place; empty where no limit needed to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worths: Vec<Worth>,
    /// Which stock it is launched from, as [`stock`] names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stock: String,
    /// Whether its machines bring public addresses that are given back with them only if the cloud is told to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub release_addresses: bool,
    /// Where the call that asked for it stands in a trace, if that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Launches machines.
    #[default]
    Launch,
    /// Gives machines back.
    Termination,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Launch, Self::Termination];

    /// As metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Termination => "terminate",
        }
    }
}

/// How machines are paid for that come from what all share; the cloud's default.
const SHARED_STOCK: &str = "POSTPAID_BY_HOUR";

/// Where machines are launched: what the cloud's stock depends on. Empty: the cloud's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Availability zone, e.g. `ap-shanghai-2`.
    pub zone: String,
    /// Model, e.g. `S5.MEDIUM2`.
    pub instance_type: String,
}

impl Place {
    /// Where `spec` is launched; what it does not name is empty.
    #[must_use]
    pub fn of(spec: &InstanceSpec) -> Self {
        let placement = spec.placement.as_ref();
        let zone = placement.map(|placement| placement.zone.clone());
        Self {
            zone: zone.unwrap_or_default(),
            instance_type: spec.instance_type.clone().unwrap_or_default(),
        }
    }
}

/// From which stock `spec` is launched, where that is another one than what all share: that of a way to pay, of
/// a launch template that names none that is known here, or hosts and placements of its own. What one lacks says
/// nothing of another.
#[must_use]
pub fn stock(spec: &InstanceSpec) -> String {
    let mut named: Vec<&str> = Vec::new();
    match (&spec.instance_charge_type, &spec.launch_template) {
        (Some(paid), _) => named.extend(Some(paid.as_str()).filter(|paid| *paid != SHARED_STOCK)),
        (None, Some(template)) => named.extend(template.launch_template_id.as_deref()),
        (None, None) => {}
    }
    named.extend(spec.dedicated_cluster_id.as_deref());
    let placement = spec.placement.iter();
    let own = placement.flat_map(|at| [&at.host_ids, &at.dedicated_resource_pack_ids]);
    let own = own.chain([&spec.chc_ids, &spec.disaster_recover_group_ids]);
    named.extend(own.flatten().map(String::as_str));
    named.join(" ")
}

/// The kinds of public addresses that outlive their machine, and cost money, unless the cloud is told to release them.
const LASTING_ADDRESSES: [&str; 4] = ["HighQualityEIP", "AntiDDoSEIP", "EIPv6", "HighQualityEIPv6"];

/// Whether `spec` asks for such an address. What a launch template asks for is not known here.
#[must_use]
pub fn brings_lasting_addresses(spec: &InstanceSpec) -> bool {
    let internet = spec.internet_accessible.iter();
    let kinds = internet.flat_map(|it| [&it.ipv4_address_type, &it.ipv6_address_type]);
    let mut kinds = kinds.filter_map(Option::as_deref);
    kinds.any(|kind| LASTING_ADDRESSES.contains(&kind))
}

/// What becomes of the machines that came up when others did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnFailure {
    /// What runs is kept.
    #[default]
    Keep,
    /// What failed is terminated, what runs is kept.
    TerminateFailed,
    /// Everything is terminated.
    TerminateAll,
}

/// That the caller no longer wants an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// The verified identity of who asked.
    pub principal: String,
    #[serde(with = "millis")]
    pub time: UtcDateTime,
}

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Durable, not yet sent.
    Accepted,
    /// The last attempt's bytes may have left.
    Sent,
    /// Whether the cloud launched anything is not known.
    Reconciling(Box<Reconciliation>),
    /// The cloud named the machines; they are starting.
    Launched,
    /// Machines are being given back.
    Terminating(Box<Termination>),
    /// Every machine asked for runs, or as many as are enough and the cloud delivered; or all are given back.
    Succeeded,
    /// Some run, some failed, or fewer were delivered than are enough.
    Partial,
    /// None runs.
    Failed,
    /// Nothing was launched, or all of it was given back, because the caller asked.
    Cancelled,
    /// A person must decide.
    NeedsOperator,
}

/// How far giving machines back has come. The cloud's TerminateInstances knows no token, so a call
/// is written down before it is made, and made again only after a look at the machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// The machines to give back.
    pub targets: Vec<InstanceId>,
    /// The lease under which a call is being made now.
    pub calling: Option<u64>,
    /// How many calls were begun.
    pub calls: u32,
    /// Whether one of them surely was made, for all targets that there are now. What is begun by a process that
    /// dies may never be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub called: bool,
    /// When the next call may begin; it is also the time that the call under way is signed with.
    #[serde(with = "millis")]
    pub call_at: UtcDateTime,
    /// Whether all machines that a call would give back were looked at since then. What was seen earlier may be how
    /// they were before the last call.
    #[serde(default)]
    pub looked: bool,
    /// Until when the machines must be gone.
    #[serde(with = "millis")]
    pub deadline: UtcDateTime,
    /// How long that was from when it was asked for, in milliseconds; 0 in journals of earlier versions.
    #[serde(default)]
    pub patience_ms: u64,
    /// What the operation ends as once they are.
    pub end: TerminationEnd,
    /// The cloud's last refusal.
    pub refusal: Option<Failure>,
}

/// What an operation ends as, once its machines are given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TerminationEnd {
    /// To give them back was all that was asked for.
    Succeeded,
    /// The launch was cancelled.
    Cancelled,
    /// Some machines of the launch run; why not all do.
    Partial(Failure),
    /// The launch failed; why.
    Failed(Failure),
}

/// How far finding out has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// When to look next.
    #[serde(with = "millis")]
    pub next_look_up: UtcDateTime,
    /// Look-ups in a row that found nothing.
    pub empty_look_ups: u32,
    /// Look-ups that found nothing after the quarantine had passed.
    pub proofs: u32,
    /// A later attempt's refusal: once an earlier one is proven empty, the launch has failed for
    /// this and is not sent again.
    pub refusal: Option<Failure>,
    /// Whether it was looked for since the doubt began.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looked: bool,
    /// Machines that some look-up showed: fewer than asked for, or they would have been adopted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<InstanceId>,
}

/// One sending of the launch. All attempts of one alternative carry the same token and the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// The time that the attempt is signed with, so that its bytes expire by themselves.
    #[serde(with = "millis")]
    pub signed_at: UtcDateTime,
    /// The lease under which it is sent.
    pub epoch: u64,
    pub result: AttemptResult,
    /// RequestId of the cloud's answer.
    pub cloud_request_id: Option<String>,
    /// Which of the operation's places it goes to; the token differs with it.
    #[serde(default)]
    pub alternative: u32,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptResult {
    /// Not known yet.
    Pending,
    /// The cloud named the machines.
    Accepted,
    /// The cloud refused, for certain; its code.
    Refused(String),
    /// No byte left; why.
    NotSent(String),
    /// It may have launched; what happened.
    Ambiguous(String),
}

/// Why an operation did not fully succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub reason: Reason,
    /// For a person: what, and the remedy where there is one.
    pub message: String,
    /// The cloud's code; empty when the cloud was not the one that refused.
    #[serde(default)]
    pub cloud_code: String,
    #[serde(default)]
    pub cloud_request_id: String,
    /// The request fields to blame, as the contract's parameter paths (`Placement.Zone`).
    #[serde(default)]
    pub parameters: Vec<String>,
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Name of the state that was entered.
    pub state: StateName,
    #[serde(with = "millis")]
    pub time: UtcDateTime,
    /// Why, for a person.
    pub note: String,
}

/// A state without its data: for filters, labels and the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StateName {
    Accepted,
    Sent,
    Reconciling,
    Launched,
    Terminating,
    Succeeded,
    Partial,
    Failed,
    Cancelled,
    NeedsOperator,
}

/// The right of one replica to step an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub operation: OperationId,
    /// Grows with every change of owner: a write under an older epoch changes nothing.
    pub epoch: u64,
}

impl Operation {
    /// How many instances are enough, if none fails.
    #[must_use]
    pub fn least(&self) -> u32 {
        self.min_count.unwrap_or(self.instance_count)
    }

    /// Whether it was cancelled, or is about to be.
    #[must_use]
    pub fn is_unwanted(&self) -> bool {
        self.cancellation.is_some() || self.state.name() == StateName::Cancelled
    }

    /// The places that are left: not refused for lack of stock, in the caller's order.
    pub fn untried(&self) -> impl Iterator<Item = (u32, &Place)> {
        let numbered = (0_u32..).zip(&self.places);
        numbered.filter(|(number, _)| !self.sold_out.contains(number))
    }

    /// ` in ZONE with TYPE` where there is more than one place, for a person; else nothing.
    #[must_use]
    pub fn place_name(&self, alternative: u32) -> String {
        let index = usize::try_from(alternative).unwrap_or(usize::MAX);
        match self.places.get(index) {
            Some(place) if self.places.len() > 1 => {
                format!(" in {} with {}", place.zone, place.instance_type)
            }
            Some(_) | None => String::new(),
        }
    }
}

impl State {
    /// The state without its data.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            Self::Accepted => StateName::Accepted,
            Self::Sent => StateName::Sent,
            Self::Reconciling(_) => StateName::Reconciling,
            Self::Launched => StateName::Launched,
            Self::Terminating(_) => StateName::Terminating,
            Self::Succeeded => StateName::Succeeded,
            Self::Partial => StateName::Partial,
            Self::Failed => StateName::Failed,
            Self::Cancelled => StateName::Cancelled,
            Self::NeedsOperator => StateName::NeedsOperator,
        }
    }
}

impl StateName {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Sent,
        Self::Reconciling,
        Self::Launched,
        Self::Terminating,
        Self::Succeeded,
        Self::Partial,
        Self::Failed,
        Self::Cancelled,
        Self::NeedsOperator,
    ];

    /// Upper-case text, as in the proto without its prefix and in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::Sent => "SENT",
            Self::Reconciling => "RECONCILING",
            Self::Launched => "LAUNCHED",
            Self::Terminating => "TERMINATING",
            Self::Succeeded => "SUCCEEDED",
            Self::Partial => "PARTIAL",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::NeedsOperator => "NEEDS_OPERATOR",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether an operation in it never changes again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Partial | Self::Failed | Self::Cancelled
        )
    }

    /// Whether the gateway has nothing to do for an operation in it: it is final, or waits for
    /// a person.
    #[must_use]
    pub const fn is_at_rest(self) -> bool {
        self.is_final() || matches!(self, Self::NeedsOperator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::InstanceState;
    use crate::domain::spec::{InternetAccessible, LaunchTemplate};
    use time::macros::utc_datetime;

    #[test]
    fn state_names_round_trip() {
        for state in StateName::ALL {
            assert_eq!(StateName::parse(state.as_str()), Some(state));
            assert_eq!(
                serde_json::to_string(&state).unwrap(),
                format!("\"{}\"", state.as_str())
            );
        }
    }

    fn running(at: UtcDateTime) -> Instance {
        Instance {
            state: Some(InstanceState::Other("NEW".to_owned())),
            running_time: Some(at),
            ..Instance::named(InstanceId::parse("ins-1").unwrap())
        }
    }

    /// The journal of yesterday must be readable tomorrow: this text may only gain fields.
    #[test]
    fn the_journalled_form_is_stable() {
        let at = utc_datetime!(2026-01-02 03:04:05.678);
        let operation = Operation {
            id: OperationId::parse("019b7d5e-0000-7000-8000-000000000001").unwrap(),
            organization: OrganizationId::parse("acme").unwrap(),
            request_id: RequestId::parse("r-1").unwrap(),
            principal: "dev".to_owned(),
            account: AccountName::parse("main").unwrap(),
            region: Region::parse("ap-shanghai").unwrap(),
            host: "cvm.tencentcloudapi.com".to_owned(),
            instance_count: 1,
            min_count: None,
            dry_run: false,
            state: State::Reconciling(Box::new(Reconciliation {
                next_look_up: at,
                empty_look_ups: 1,
                proofs: 0,
                refusal: None,
                looked: false,
                seen: Vec::new(),
            })),
            sequence: 3,
            attempts: vec![Attempt {
                number: 1,
                signed_at: at,
                epoch: 1,
                result: AttemptResult::Ambiguous("Timeout".to_owned()),
                cloud_request_id: None,
                alternative: 1,
            }],
            instances: vec![running(at)],
            failure: Some(Failure {
                reason: Reason::Capacity,
                message: "sold out".to_owned(),
                cloud_code: "ResourcesSoldOut.SpecifiedInstanceType".to_owned(),
                cloud_request_id: "q".to_owned(),
                parameters: vec!["InstanceType".to_owned()],
            }),
            transitions: vec![Transition {
                state: StateName::Accepted,
                time: at,
                note: String::new(),
            }],
            cloud_request_id: None,
            create_time: at,
            update_time: at,
            kind: Kind::Launch,
            places: vec![
                Place {
                    zone: "ap-shanghai-2".to_owned(),
                    instance_type: "S5.SMALL1".to_owned(),
                };
                2
            ],
            alternative: 1,
            sold_out: vec![0],
            on_failure: OnFailure::TerminateAll,
            cancellation: Some(Cancellation {
                principal: "dev".to_owned(),
                time: at,
            }),
            changes: vec![encrypted()],
            worths: Vec::new(),
            stock: String::new(),
            release_addresses: false,
            trace: None,
        };
        let json = serde_json::to_string(&operation).unwrap();
        let kept = include_str!("../../testdata/journal/operation-v3.json");
        assert_eq!(json, kept.trim_end());
        assert_eq!(serde_json::from_str::<Operation>(&json).unwrap(), operation);
    }

    fn encrypted() -> Change {
        Change {
            field: "spec.system_disk.encrypt".to_owned(),
            before: String::new(),
            after: "true".to_owned(),
            origin: "set of the team layer web, layers/web.toml:7".to_owned(),
        }
    }

    /// What the second version wrote is as it was asked for; what the first wrote is also in one place,
    /// and nobody cancelled it.
    #[test]
    fn earlier_versions_forms_are_read() {
        let read = |text: &str| serde_json::from_str::<Operation>(text).unwrap();
        let mut expected = read(include_str!("../../testdata/journal/operation-v3.json"));
        expected.changes.clear();
        let second = include_str!("../../testdata/journal/operation-v2.json");
        assert_eq!(read(second), expected);
        assert_eq!(serde_json::to_string(&expected).unwrap(), second.trim_end());
        expected.attempts[0].alternative = 0;
        expected.places.clear();
        expected.alternative = 0;
        expected.sold_out.clear();
        expected.on_failure = OnFailure::Keep;
        expected.cancellation = None;
        let first = include_str!("../../testdata/journal/operation-v1.json");
        assert_eq!(read(first), expected);
    }

    #[test]
    fn addresses_that_outlive_their_machine_are_known_by_their_kind() {
        let brings = |ipv4: Option<&str>, ipv6: Option<&str>| {
            brings_lasting_addresses(&InstanceSpec {
                internet_accessible: Some(InternetAccessible {
                    ipv4_address_type: ipv4.map(str::to_owned),
                    ipv6_address_type: ipv6.map(str::to_owned),
                    ..InternetAccessible::default()
                }),
                ..InstanceSpec::default()
            })
        };
        assert!(!brings_lasting_addresses(&InstanceSpec::default()));
        assert!(!brings(None, None));
        assert!(!brings(Some("WanIP"), None));
        assert!(brings(Some("HighQualityEIP"), None));
        assert!(brings(Some("AntiDDoSEIP"), None));
        assert!(brings(Some("WanIP"), Some("EIPv6")));
        assert!(brings(None, Some("HighQualityEIPv6")));
    }

    #[test]
    fn what_is_launched_from_a_stock_of_its_own_names_it() {
        let spec = InstanceSpec::default();
        assert_eq!(stock(&spec), "");
        let paid = |charge_type: &str| InstanceSpec {
            instance_charge_type: Some(charge_type.to_owned()),
            ..spec.clone()
        };
        assert_eq!(stock(&paid("POSTPAID_BY_HOUR")), "");
        assert_eq!(stock(&paid("SPOTPAID")), "SPOTPAID");
        let grouped = InstanceSpec {
            disaster_recover_group_ids: vec!["ps-1".to_owned()],
            ..paid("SPOTPAID")
        };
        assert_eq!(stock(&grouped), "SPOTPAID ps-1");
        let template = InstanceSpec {
            launch_template: Some(LaunchTemplate {
                launch_template_id: Some("lt-1".to_owned()),
                launch_template_version: None,
            }),
            ..spec
        };
        assert_eq!(stock(&template), "lt-1", "it may name any way to pay");
    }
}
