//! Which tagged machines are orphans, and which of those are certainly nobody's; pure.

use crate::cloud::{Tagged, Target};
use crate::domain::ids::OperationId;
use crate::domain::instance::InstanceState;
use crate::domain::operation::{Kind, Operation, StateName};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far the cloud's clock and ours may differ.
const SKEW: Duration = Duration::from_secs(60);

/// The operations that the tags name and that the journal holds; none for one that cannot be read.
pub(super) type Known = BTreeMap<OperationId, Option<Operation>>;

/// A machine that carries the gateway's tag and that no operation names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) machine: Tagged,
    pub(super) why: Why,
    /// The operation that it can be given to.
    pub(super) heir: Option<OperationId>,
}

/// Why nobody has a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its tag names no operation of this journal: the journal is an old one, another gateway
    /// launched it, or somebody wrote the tag.
    Unknown,
    /// Its operation has come to an end and cannot have launched it, or cannot be asked: it was
    /// launched twice, or somebody copied the tag.
    Surplus,
    /// Its operation came to an end without all of its machines, and this one is of those.
    Late,
}

impl Why {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "its tag names no operation of this journal",
            Self::Surplus => "its operation has no place for it: a second launch or a copied tag",
            Self::Late => "its operation came to an end without it",
        }
    }
}

/// The operation that a machine's tag names.
pub(super) fn named(machine: &Tagged) -> Option<OperationId> {
    OperationId::parse(&machine.value).ok()
}

/// The operation that an orphan can be given to: the one that its tag names, once that has come to
/// its end. One that is open, or that a person may let go on, learns of its machines itself.
fn heir_of(target: &Target, operation: &Operation) -> Option<OperationId> {
    let here = operation.account == target.account && operation.region == target.region;
    let over = operation.state.name().is_final();
    (here && over && operation.kind == Kind::Launch).then_some(operation.id)
}

/// The orphans among machines that are in nobody's name. What an open operation may still take up
/// is none, nor what is being destroyed.
pub(super) fn orphans(target: &Target, machines: Vec<Tagged>, known: &Known) -> Vec<Orphan> {
    let mut unnamed: BTreeMap<OperationId, usize> = BTreeMap::new();
    for id in machines.iter().filter_map(named) {
        *unnamed.entry(id).or_default() += 1;
    }
    let judged = machines.into_iter().filter_map(|machine| {
        let id = named(&machine);
        let found = id.and_then(|id| known.get(&id));
        let siblings = id.and_then(|id| unnamed.get(&id)).copied();
        let why = match found {
            None => Some(Why::Unknown),
            Some(None) => Some(Why::Surplus),
            Some(Some(operation)) => judge(target, &machine, operation, siblings.unwrap_or(1)),
        };
        let why = why.filter(|_| !is_leaving(&machine.state))?;
        let heir = found.and_then(Option::as_ref);
        let heir = heir.and_then(|operation| heir_of(target, operation));
        Some(Orphan { machine, why, heir })
    });
    judged.collect()
}

/// Why `machine`, one of `siblings` that carry the operation's tag and are in nobody's name, is an
/// orphan, if it is one.
fn judge(target: &Target, machine: &Tagged, operation: &Operation, siblings: usize) -> Option<Why> {
    let state = operation.state.name();
    let mut names = operation.instances.iter();
    if !state.is_at_rest() || names.any(|instance| instance.id == machine.id) {
        return None;
    }
    let asked = usize::try_from(operation.instance_count).unwrap_or(usize::MAX);
    let missing = asked.saturating_sub(operation.instances.len());
    let here = operation.account == target.account && operation.region == target.region;
    let launches = operation.kind == Kind::Launch && !operation.dry_run;
    let began = operation.create_time - SKEW;
    let made_since = machine.created.is_some_and(|created| created >= began);
    let waits_for_a_person = state == StateName::NeedsOperator;
    let is_its_own = here && launches && made_since && siblings <= missing;
    if is_its_own && !waits_for_a_person {
        Some(Why::Late)
    } else {
        Some(Why::Surplus)
    }
}

fn is_leaving(state: &InstanceState) -> bool {
    matches!(state, InstanceState::Terminating | InstanceState::Shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::{Instance, InstanceId};
    use crate::domain::names::Region;
    use crate::domain::operation::State;

    fn id(text: &str) -> InstanceId {
        InstanceId::parse(text).unwrap()
    }

    /// An operation in `state` that asked for `asked` machines and names those.
    fn operation(state: State, asked: u32, names: &[&str]) -> Operation {
        let journalled = include_str!("../../../testdata/journal/operation-v1.json");
        let operation: Operation = serde_json::from_str(journalled).unwrap();
        Operation {
            state,
            instance_count: asked,
            dry_run: false,
            instances: names.iter().map(|name| Instance::named(id(name))).collect(),
            ..operation
        }
    }

    fn target(operation: &Operation) -> Target {
        Target {
            account: operation.account.clone(),
            region: operation.region.clone(),
        }
    }

    fn tagged(operation: &Operation, name: &str) -> Tagged {
        Tagged {
            id: id(name),
            state: InstanceState::Running,
            value: operation.id.to_string(),
            created: Some(operation.create_time),
        }
    }

    fn why(operation: &Operation, machines: &[&str]) -> Vec<Why> {
        let machines = machines.iter().map(|name| tagged(operation, name));
        let known = Known::from([(operation.id, Some(operation.clone()))]);
        let orphans = orphans(&target(operation), machines.collect(), &known);
        orphans.into_iter().map(|orphan| orphan.why).collect()
    }

    #[test]
    fn an_open_operation_may_still_take_its_machines_up() {
        for state in [State::Accepted, State::Sent, State::Launched] {
            assert_eq!(why(&operation(state, 1, &[]), &["ins-1", "ins-2"]), []);
        }
    }

    #[test]
    fn a_machine_that_its_operation_lacks_is_late() {
        let failed = operation(State::Failed, 1, &[]);
        assert_eq!(why(&failed, &["ins-1"]), [Why::Late]);
        let partial = operation(State::Partial, 2, &["ins-1"]);
        assert_eq!(why(&partial, &["ins-1"]), [], "it names it");
        assert_eq!(why(&partial, &["ins-2"]), [Why::Late]);
    }

    #[test]
    fn more_than_it_lacks_are_copies_as_likely_as_launches() {
        let whole = operation(State::Succeeded, 1, &["ins-1"]);
        assert_eq!(why(&whole, &["ins-2"]), [Why::Surplus]);
        let failed = operation(State::Failed, 1, &[]);
        assert_eq!(why(&failed, &["ins-1", "ins-2"]), [Why::Surplus; 2]);
    }

    #[test]
    fn what_it_cannot_have_launched_is_surplus() {
        let failed = operation(State::Failed, 1, &[]);
        let dry = Operation {
            dry_run: true,
            ..failed.clone()
        };
        assert_eq!(why(&dry, &["ins-1"]), [Why::Surplus]);
        let termination = Operation {
            kind: Kind::Termination,
            ..failed.clone()
        };
        assert_eq!(why(&termination, &["ins-1"]), [Why::Surplus]);
        let undecided = operation(State::NeedsOperator, 1, &[]);
        assert_eq!(why(&undecided, &["ins-1"]), [Why::Surplus]);

        let known = Known::from([(failed.id, Some(failed.clone()))]);
        let elsewhere = Target {
            region: Region::parse("ap-tokyo").unwrap(),
            ..target(&failed)
        };
        let found = orphans(&elsewhere, vec![tagged(&failed, "ins-1")], &known);
        assert_eq!(found[0].why, Why::Surplus);
        let early = failed.create_time - 2 * SKEW;
        for created in [Some(early), None] {
            let machine = Tagged {
                created,
                ..tagged(&failed, "ins-1")
            };
            let found = orphans(&target(&failed), vec![machine], &known);
            assert_eq!(found[0].why, Why::Surplus, "{created:?}");
        }
    }

    #[test]
    fn a_tag_that_names_nothing_here_is_unknown_and_an_unreadable_operation_is_not() {
        let operation = operation(State::Failed, 1, &[]);
        let one = tagged(&operation, "ins-1");
        let two = Tagged {
            value: "by hand".to_owned(),
            ..tagged(&operation, "ins-2")
        };
        let found = orphans(&target(&operation), vec![one.clone(), two], &Known::new());
        assert!(found.iter().all(|orphan| orphan.why == Why::Unknown) && found.len() == 2);
        let unreadable = Known::from([(operation.id, None)]);
        let found = orphans(&target(&operation), vec![one], &unreadable);
        assert_eq!(found[0].why, Why::Surplus);
    }

    #[test]
    fn what_is_being_destroyed_is_no_orphan() {
        let operation = operation(State::Failed, 1, &[]);
        for state in [InstanceState::Terminating, InstanceState::Shutdown] {
            let machine = Tagged {
                state,
                ..tagged(&operation, "ins-1")
            };
            assert_eq!(
                orphans(&target(&operation), vec![machine], &Known::new()),
                []
            );
        }
    }
}
