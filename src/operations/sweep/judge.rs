//! Which tagged machines are orphans, and which of those are certainly nobody's; pure.

use crate::cloud::{Tagged, Target};
use crate::domain::ids::OperationId;
use crate::domain::instance::{InstanceId, InstanceState};
use crate::domain::operation::{Kind, Operation, StateName};
use crate::store::Owner;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use time::UtcDateTime;

/// How far the cloud's clock and ours may differ.
const SKEW: Duration = Duration::from_secs(60);

/// The operations that the tags name and that the journal holds; none for one that cannot be read.
pub(super) type Known = BTreeMap<OperationId, Option<Operation>>;

/// What the journal says of the machines that the cloud listed.
pub(super) struct Books {
    pub(super) known: Known,
    /// Whose those are that somebody has.
    pub(super) owners: Vec<Owner>,
    /// How long after an attempt its bytes may still act.
    pub(super) quarantine: Duration,
}

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
pub(super) fn orphans(target: &Target, machines: Vec<Tagged>, books: &Books) -> Vec<Orphan> {
    let mut unnamed: BTreeMap<OperationId, usize> = BTreeMap::new();
    for id in machines.iter().filter_map(named) {
        *unnamed.entry(id).or_default() += 1;
    }
    let lacking = books.lacking();
    let judged = machines.into_iter().filter_map(|machine| {
        let id = named(&machine);
        let found = id.and_then(|id| books.known.get(&id));
        let why = match found {
            None => Some(Why::Unknown),
            Some(None) => Some(Why::Surplus),
            Some(Some(operation)) => {
                let siblings = unnamed.get(&operation.id).copied().unwrap_or(1);
                let fits = siblings <= lacking.get(&operation.id).copied().unwrap_or(0);
                let its_time = books.is_of_an_attempt(operation, machine.created);
                judge(target, &machine, operation, fits && its_time)
            }
        };
        let why = why.filter(|_| !is_leaving(&machine.state))?;
        let heir = found.and_then(Option::as_ref);
        let heir = heir.and_then(|operation| heir_of(target, operation));
        Some(Orphan { machine, why, heir })
    });
    judged.collect()
}

impl Books {
    /// How many machines each operation asked for and does not have. Those that it was given after
    /// its end are not in its snapshot.
    fn lacking(&self) -> BTreeMap<OperationId, usize> {
        let mut owned: BTreeMap<OperationId, BTreeSet<&InstanceId>> = BTreeMap::new();
        for owner in &self.owners {
            let machines = owned.entry(owner.operation).or_default();
            machines.insert(&owner.instance);
        }
        let operations = self.known.values().flatten();
        let lacking = operations.map(|operation| {
            let mut machines = owned.remove(&operation.id).unwrap_or_default();
            machines.extend(operation.instances.iter().map(|instance| &instance.id));
            let asked = usize::try_from(operation.instance_count).unwrap_or(usize::MAX);
            (operation.id, asked.saturating_sub(machines.len()))
        });
        lacking.collect()
    }

    /// Whether a machine was made while an attempt of the operation may have acted. A copy with
    /// all its tags is mostly made later.
    fn is_of_an_attempt(&self, operation: &Operation, created: Option<UtcDateTime>) -> bool {
        let signed = operation.attempts.iter().map(|attempt| attempt.signed_at);
        let (Some(last), Some(created)) = (signed.max(), created) else {
            return false;
        };
        let possible = operation.create_time - SKEW..=last + self.quarantine + SKEW;
        possible.contains(&created)
    }
}

/// Why `machine` is an orphan, if it is one; `possible`: whether its operation lacks it, and can have
/// launched it by its time.
fn judge(target: &Target, machine: &Tagged, operation: &Operation, possible: bool) -> Option<Why> {
    let state = operation.state.name();
    let mut names = operation.instances.iter();
    if !state.is_at_rest() || names.any(|instance| instance.id == machine.id) {
        return None;
    }
    let here = operation.account == target.account && operation.region == target.region;
    let launches = operation.kind == Kind::Launch && !operation.dry_run;
    let waits_for_a_person = state == StateName::NeedsOperator;
    let is_its_own = here && launches && possible;
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
    use crate::domain::instance::Instance;
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

    const QUARANTINE: Duration = Duration::from_secs(540);

    /// A journal with this operation, or none, which was given these machines after its end.
    fn books(operation: Option<&Operation>, adopted: &[&str]) -> Books {
        let owners = adopted.iter().flat_map(|name| {
            operation.map(|operation| Owner {
                instance: id(name),
                operation: operation.id,
                organization: operation.organization.clone(),
                account: operation.account.clone(),
                region: operation.region.clone(),
            })
        });
        let known = operation.map(|operation| (operation.id, Some(operation.clone())));
        Books {
            owners: owners.collect(),
            known: known.into_iter().collect(),
            quarantine: QUARANTINE,
        }
    }

    fn why(operation: &Operation, machines: &[&str]) -> Vec<Why> {
        why_beside(operation, &[], machines)
    }

    /// The same when it was given other machines after its end.
    fn why_beside(operation: &Operation, adopted: &[&str], machines: &[&str]) -> Vec<Why> {
        let machines = machines.iter().map(|name| tagged(operation, name));
        let books = books(Some(operation), adopted);
        let orphans = orphans(&target(operation), machines.collect(), &books);
        orphans.into_iter().map(|orphan| orphan.why).collect()
    }

    /// The same for one machine that was made at that time.
    fn why_made(operation: &Operation, created: Option<UtcDateTime>) -> Why {
        let machine = Tagged {
            created,
            ..tagged(operation, "ins-9")
        };
        let books = books(Some(operation), &[]);
        orphans(&target(operation), vec![machine], &books)[0].why
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

    /// What it was given after its end it does not lack any more, although its snapshot stays as it is.
    #[test]
    fn what_was_adopted_leaves_room_for_so_many_fewer() {
        let failed = operation(State::Failed, 1, &[]);
        assert_eq!(why_beside(&failed, &["ins-1"], &["ins-2"]), [Why::Surplus]);
        let partial = operation(State::Partial, 3, &["ins-1"]);
        assert_eq!(
            why_beside(&partial, &["ins-1", "ins-2"], &["ins-3"]),
            [Why::Late],
            "one is in both"
        );
        assert_eq!(
            why_beside(&partial, &["ins-1", "ins-2"], &["ins-3", "ins-4"]),
            [Why::Surplus; 2]
        );
    }

    #[test]
    fn what_was_made_when_no_attempt_could_act_is_surplus() {
        let partial = operation(State::Partial, 2, &["ins-1"]);
        let mut attempts = partial.attempts.clone();
        let last = partial.create_time + Duration::from_secs(3600);
        attempts[0].signed_at = last;
        let first = partial.attempts.iter().cloned();
        let partial = Operation {
            attempts: first.chain(attempts).collect(),
            ..partial
        };
        let end = last + QUARANTINE + SKEW;
        for (created, expected) in [
            (partial.create_time - SKEW, Why::Late),
            (partial.create_time - 2 * SKEW, Why::Surplus),
            (end, Why::Late),
            (end + Duration::from_secs(1), Why::Surplus),
            (last + Duration::from_secs(3600), Why::Surplus),
        ] {
            assert_eq!(why_made(&partial, Some(created)), expected, "{created}");
        }
        assert_eq!(why_made(&partial, None), Why::Surplus);
        let unsent = Operation {
            attempts: Vec::new(),
            ..partial
        };
        let created = Some(unsent.create_time);
        assert_eq!(
            why_made(&unsent, created),
            Why::Surplus,
            "it was never sent"
        );
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

        let elsewhere = Target {
            region: Region::parse("ap-tokyo").unwrap(),
            ..target(&failed)
        };
        let machines = vec![tagged(&failed, "ins-1")];
        let found = orphans(&elsewhere, machines, &books(Some(&failed), &[]));
        assert_eq!(found[0].why, Why::Surplus);
    }

    #[test]
    fn a_tag_that_names_nothing_here_is_unknown_and_an_unreadable_operation_is_not() {
        let operation = operation(State::Failed, 1, &[]);
        let one = tagged(&operation, "ins-1");
        let two = Tagged {
            value: "by hand".to_owned(),
            ..tagged(&operation, "ins-2")
        };
        let here = target(&operation);
        let found = orphans(&here, vec![one.clone(), two], &books(None, &[]));
        assert!(found.iter().all(|orphan| orphan.why == Why::Unknown) && found.len() == 2);
        let unreadable = Books {
            known: Known::from([(operation.id, None)]),
            ..books(None, &[])
        };
        let found = orphans(&here, vec![one], &unreadable);
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
            let found = orphans(&target(&operation), vec![machine], &books(None, &[]));
            assert_eq!(found, []);
        }
    }
}
