//! The checker: holds what callers heard, what the journal kept and what the cloud did against each
//! other. It shares nothing with the code that it judges.

use crate::caller::{self, What, ends};
use crate::scenario::{self, Event};
use crate::sim::{Sent, Sim, is_parked};
use cvm_gateway::domain::ids::OperationId;
use cvm_gateway::domain::operation::{AttemptResult, Kind, Operation, StateName};
use cvm_gateway::domain::quota::Measure;
use cvm_gateway::simulator::{Arrival, Made};
use cvm_gateway::store::Commit;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const TAG: &str = "cvm-gateway:operation";
/// Launches without an answer, at each place.
const UNANSWERED_MAX: usize = 5;
/// How long the cloud takes at most to destroy a machine.
const GOING_MAX: Duration = Duration::from_secs(30);

/// Everything that is wrong with a run that has ended.
pub(crate) fn violations(sim: &Sim) -> Vec<String> {
    let commits = sim.model.commits();
    let newest = sim.newest();
    let arrivals = sim.cloud.arrivals();
    let unforeseeable = copies_of_refused(&arrivals);
    let mut machines = sim.cloud.machines();
    machines.retain(|made| !unforeseeable.contains(made.request_id.as_str()));
    let mut wrong = Vec::new();
    for operation in newest.values() {
        wrong.extend(one_launch(operation, &machines));
        wrong.extend(has_ended(operation));
        wrong.extend(tries_are_bounded(operation));
    }
    wrong.extend(parked_for_nothing(sim, &commits));
    wrong.extend(gone_is_gone(&newest, &machines));
    wrong.extend(every_machine_is_known(&newest, &machines));
    wrong.extend(limits_are_held_by_what_is(sim, &newest, &machines));
    wrong.extend(
        arrivals
            .iter()
            .filter_map(|arrival| was_journalled(arrival, &commits)),
    );
    wrong.extend(histories_are_legal(&commits));
    wrong.extend(callers_heard_the_truth(sim, &newest));
    for quota in &sim.scenario.quotas {
        for (measure, limit) in &quota.limits {
            let limit = usize::try_from(*limit).unwrap();
            wrong.extend(limit_is_kept(*measure, limit, &commits, &machines));
        }
    }
    wrong.extend(refusals_are_told(sim));
    let stood = |event: &Event| matches!(event.what, scenario::What::Pause(..));
    if !sim.scenario.events.iter().any(stood) {
        // Who stands still between its turn and its call cannot keep it.
        wrong.extend(rates_are_kept(&sim.sendings()));
    }
    wrong
}

/// The operation that a launch's body says it is of: by its tag.
pub(crate) fn operation_of(body: &Value) -> Option<String> {
    let specifications = body.get("TagSpecification")?.as_array()?;
    let tags = specifications
        .iter()
        .filter_map(|of| of.get("Tags")?.as_array())
        .flatten();
    let mut own = tags.filter(|tag| tag["Key"] == TAG);
    Some(own.next()?["Value"].as_str()?.to_owned())
}

fn of<'a>(operation: &Operation, machines: &'a [Made]) -> Vec<&'a Made> {
    let id = operation.id.to_string();
    let own = machines.iter();
    own.filter(|made| made.tags.get(TAG) == Some(&id)).collect()
}

/// Launches by a second copy of a request whose first copy the cloud refused: whoever was refused
/// cannot know of the copy, and no token stops it. What they make is for the search for orphans.
fn copies_of_refused(arrivals: &[Arrival]) -> BTreeSet<&str> {
    let mut refused = BTreeSet::new();
    let mut copies = BTreeSet::new();
    let launches = arrivals.iter().filter(|a| a.action == "RunInstances");
    for arrival in launches {
        let sending = (arrival.signed_at, &arrival.body);
        if arrival.verdict != "OK" {
            refused.insert(sending);
        } else if refused.contains(&sending) {
            copies.insert(arrival.request_id.as_str());
        }
    }
    copies
}

/// I1: no more machines than asked for, and all of one launch.
fn one_launch(operation: &Operation, machines: &[Made]) -> Vec<String> {
    let made = of(operation, machines);
    let launches: BTreeSet<&str> = made.iter().map(|made| made.request_id.as_str()).collect();
    let asked = usize::try_from(operation.instance_count).unwrap();
    let mut wrong = Vec::new();
    if launches.len() > 1 || made.len() > asked {
        wrong.push(format!(
            "I1: {} asked for {asked} machines and got {} in {} launches",
            operation.id,
            made.len(),
            launches.len()
        ));
    }
    if operation.dry_run && !made.is_empty() {
        wrong.push(format!("I1: the dry run {} launched", operation.id));
    }
    wrong
}

/// I2: it ended, and in a state that fits.
fn has_ended(operation: &Operation) -> Option<String> {
    let state = operation.state.name();
    if !ends(state) {
        return Some(format!("I2: {} is still {}", operation.id, state.as_str()));
    }
    let why = operation.failure.as_ref();
    let why = why.map_or("", |failure| failure.message.as_str());
    (state == StateName::NeedsOperator)
        .then(|| format!("I15: {} waits for a person: {why}", operation.id))
}

/// I15: a person is called only for what processes died with.
fn parked_for_nothing(sim: &Sim, commits: &[Arc<Commit>]) -> Option<String> {
    let parked = commits.iter().map(|commit| &commit.operation);
    let parked = parked.filter(|operation| is_parked(operation)).count();
    (parked > 0 && !sim.may_park()).then(|| format!("I15: parked {parked} times without deaths"))
}

/// I4: what was given back, and what was cancelled before it ran, is gone.
fn gone_is_gone(newest: &BTreeMap<String, Arc<Operation>>, machines: &[Made]) -> Vec<String> {
    let over = newest.values().filter(|operation| {
        let state = operation.state.name();
        state == StateName::Cancelled
            || operation.kind == Kind::Termination && state == StateName::Succeeded
    });
    let left = over.flat_map(|operation| {
        let own = operation
            .instances
            .iter()
            .map(|instance| instance.id.as_str());
        let own: BTreeSet<&str> = own.collect();
        let tag = operation.id.to_string();
        let machines = machines.iter().filter(move |made| {
            let its = own.contains(made.id.as_str()) || made.tags.get(TAG) == Some(&tag);
            its && made.gone_at.is_none()
        });
        machines.map(|made| {
            let state = operation.state.name().as_str();
            format!(
                "I4: {} is {state}, and {} is still there",
                operation.id, made.id
            )
        })
    });
    left.collect()
}

/// I4: who owns a machine knows it.
fn every_machine_is_known(
    newest: &BTreeMap<String, Arc<Operation>>,
    machines: &[Made],
) -> Vec<String> {
    let unknown = machines.iter().filter(|made| {
        let operation = made.tags.get(TAG).and_then(|id| newest.get(id));
        let known = operation.is_some_and(|operation| {
            let mut instances = operation.instances.iter();
            instances.any(|instance| instance.id.as_str() == made.id)
        });
        !known
    });
    unknown
        .map(|made| format!("I4: nobody knows {} of {:?}", made.id, made.tags.get(TAG)))
        .collect()
}

/// I19: what launches hold of the limits is what open ones asked for, and the machines of the others
/// that live: no crash, repetition or lost answer leaves anything reserved, or gives it back twice.
fn limits_are_held_by_what_is(
    sim: &Sim,
    newest: &BTreeMap<String, Arc<Operation>>,
    machines: &[Made],
) -> Vec<String> {
    let mut reservations = sim.model.reservations();
    let mut wrong = Vec::new();
    for operation in newest.values() {
        let reserved = reservations.remove(&operation.id);
        if operation.kind == Kind::Termination {
            continue;
        }
        let own = of(operation, machines).into_iter();
        let living = own.filter(|made| made.gone_at.is_none()).count();
        let living = i64::try_from(living).unwrap();
        let asked = i64::from(operation.instance_count);
        let expected = match (operation.state.name().is_final(), operation.dry_run) {
            (true, _) => (false, living),
            (false, true) => (true, 0),
            (false, false) => (true, asked),
        };
        let held = reserved.map(|held| (held.open, held.instances));
        if held != Some(expected) {
            wrong.push(format!(
                "I19: {} is {} and holds {held:?}, not {expected:?}",
                operation.id,
                operation.state.name().as_str()
            ));
        }
    }
    let left = reservations
        .keys()
        .map(|id| format!("I19: {id} holds something and is no launch"));
    wrong.extend(left);
    wrong
}

/// I19: there is never more than a limit allows, whatever is lost, late or repeated.
fn limit_is_kept(
    measure: Measure,
    limit: usize,
    commits: &[Arc<Commit>],
    machines: &[Made],
) -> Option<String> {
    let launches = commits
        .iter()
        .filter(|commit| commit.operation.kind == Kind::Launch);
    let over = match measure {
        Measure::Instances => {
            // The cloud's own word, which knows nothing of reservations.
            let mut changes = Vec::new();
            for made in machines {
                // What goes is no longer counted before it is gone.
                let goes = made.gone_at.map(|gone_at| gone_at - GOING_MAX);
                let left = [made.failed_at, goes].into_iter().flatten().min();
                if left.is_none_or(|left| left > made.created_at) {
                    changes.push((made.created_at, true));
                    changes.extend(left.map(|left| (left, false)));
                }
            }
            changes.sort_unstable();
            most(changes.into_iter().map(|(_, more)| more)) > limit
        }
        Measure::ConcurrentOperations => {
            let ends = |commit: &Commit| commit.operation.state.name().is_final();
            let changes = launches.filter(|commit| commit.operation.sequence == 1 || ends(commit));
            most(changes.map(|commit| !ends(commit))) > limit
        }
        Measure::LaunchesPerMinute => {
            let begun = launches.filter(|commit| commit.operation.sequence == 1);
            let mut times: Vec<_> = begun.map(|commit| commit.operation.create_time).collect();
            times.sort_unstable();
            let mut windows = times.windows(limit + 1);
            windows.any(|window| window[limit] - window[0] < Duration::from_secs(60))
        }
        Measure::Vcpu | Measure::Gpu | Measure::MoneyPerHour | Measure::MoneyPerMonth => {
            return Some(format!("I19: {measure:?} is not judged"));
        }
    };
    over.then(|| format!("I19: more than {limit} of {}", measure.as_str()))
}

/// The most that there are at once of what comes, which is true, and goes.
fn most(changes: impl Iterator<Item = bool>) -> usize {
    let (mut there, mut most) = (0_usize, 0);
    for comes in changes {
        there = if comes {
            there + 1
        } else {
            there.saturating_sub(1)
        };
        most = most.max(there);
    }
    most
}

/// Whoever heard that a limit leaves no room is in the audit, which was told before.
fn refusals_are_told(sim: &Sim) -> Vec<String> {
    if sim.model.suppressions() > 0 {
        return Vec::new(); // there were too many for rows of their own
    }
    let rows = sim.model.denied().into_iter();
    let told: BTreeSet<String> = rows.map(|row| row.asked.request).collect();
    let heard = sim.all_heard().into_iter();
    let refused = heard.filter(|heard| matches!(heard.what, What::OverLimit));
    let names = refused.map(|heard| wanted(sim, heard.caller).0);
    let untold = names.filter(|name| !told.contains(name));
    let untold: BTreeSet<String> = untold.collect();
    let untold = untold.into_iter();
    untold
        .map(|name| format!("AUDIT: {name} was refused for a limit and has no row"))
        .collect()
}

/// I3: a launch that arrived is in the journal: its place, its time, its bytes.
fn was_journalled(arrival: &Arrival, commits: &[Arc<Commit>]) -> Option<String> {
    if arrival.action != "RunInstances" {
        return None;
    }
    let body: Value = serde_json::from_slice(&arrival.body).ok()?;
    let (id, token) = (operation_of(&body)?, body["ClientToken"].as_str()?);
    let mut own = commits
        .iter()
        .filter(|commit| commit.operation.id.to_string() == id);
    let Some(first) = own.next() else {
        return Some(format!("I3: {id} was sent and is not in the journal"));
    };
    let same_bytes = first.bodies.iter().zip(0_u32..).find_map(|(body, place)| {
        let same = body.as_bytes() == arrival.body;
        same.then_some(place)
    });
    let Some(place) = same_bytes else {
        return Some(format!(
            "I3: {id} was sent with other bytes than journalled"
        ));
    };
    if token != format!("{}-{place}", id.replace('-', "")) {
        return Some(format!("I3: {id} was sent with the token {token}"));
    }
    let begun = own.any(|commit| {
        let mut attempts = commit.operation.attempts.iter();
        attempts
            .any(|attempt| attempt.signed_at == arrival.signed_at && attempt.alternative == place)
    });
    (!begun).then(|| {
        format!(
            "I3: no attempt of {id} was journalled as of {}",
            arrival.signed_at
        )
    })
}

/// I5: one step after the other, along the edges, under epochs that only grow.
fn histories_are_legal(commits: &[Arc<Commit>]) -> Vec<String> {
    let mut last: BTreeMap<OperationId, &Commit> = BTreeMap::new();
    let mut wrong = Vec::new();
    for commit in commits {
        let operation = &commit.operation;
        if let Some(before) = last.insert(operation.id, commit) {
            let (from, to) = (before.operation.state.name(), operation.state.name());
            if operation.sequence != before.operation.sequence + 1 {
                wrong.push(format!("I5: {} skips a sequence", operation.id));
            }
            if commit.epoch < before.epoch {
                wrong.push(format!("I5: {} was written by a zombie", operation.id));
            }
            if !is_edge(from, to) {
                wrong.push(format!(
                    "I5: {} goes from {} to {}",
                    operation.id,
                    from.as_str(),
                    to.as_str()
                ));
            }
            if !operation
                .transitions
                .starts_with(&before.operation.transitions)
            {
                wrong.push(format!("I5: {} rewrites its history", operation.id));
            }
        }
    }
    wrong
}

fn is_edge(from: StateName, to: StateName) -> bool {
    use StateName::{
        Accepted, Cancelled, Failed, Launched, NeedsOperator, Partial, Reconciling, Sent,
        Succeeded, Terminating,
    };
    let next: &[StateName] = match from {
        Accepted => &[Accepted, Sent, Failed, Cancelled, NeedsOperator],
        Sent => &[
            Accepted,
            Reconciling,
            Launched,
            Succeeded,
            Failed,
            Cancelled,
            Terminating,
            NeedsOperator,
        ],
        Reconciling => &[
            Reconciling,
            Accepted,
            Sent,
            Launched,
            Failed,
            Cancelled,
            Terminating,
            NeedsOperator,
        ],
        Launched => &[
            Launched,
            Succeeded,
            Partial,
            Failed,
            Terminating,
            NeedsOperator,
        ],
        Terminating => &[
            Terminating,
            Succeeded,
            Partial,
            Failed,
            Cancelled,
            NeedsOperator,
        ],
        // A person released it.
        NeedsOperator => &[Accepted, Reconciling, Launched, Terminating],
        Succeeded | Partial | Failed | Cancelled => &[],
    };
    next.contains(&to)
}

/// I6 and I7: streams go forward to the very end, and a name stands for one wish.
fn callers_heard_the_truth(sim: &Sim, newest: &BTreeMap<String, Arc<Operation>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut sequences: BTreeMap<usize, u64> = BTreeMap::new();
    let mut last: BTreeMap<usize, StateName> = BTreeMap::new();
    let mut given: BTreeMap<(String, [u8; 32]), OperationId> = BTreeMap::new();
    let mut wishes: BTreeMap<String, [u8; 32]> = BTreeMap::new();
    for heard in sim.all_heard() {
        let caller = heard.caller;
        let (name, print) = wanted(sim, caller);
        match heard.what {
            What::Accepted(id) => {
                if *given.entry((name.clone(), print)).or_insert(id) != id {
                    wrong.push(format!("I7: {name} has two operations"));
                }
                if *wishes.entry(name.clone()).or_insert(print) != print {
                    wrong.push(format!("I7: {name} stands for two wishes"));
                }
                if !newest.contains_key(&id.to_string()) {
                    wrong.push(format!("I2: {id} was accepted and is lost"));
                }
            }
            What::Snapshot(snapshot) => {
                let before = sequences.insert(caller, snapshot.sequence);
                if before.is_some_and(|before| snapshot.sequence <= before) {
                    wrong.push(format!("I6: caller {caller} heard {} again", snapshot.id));
                }
                let state = snapshot.state.name();
                if last.insert(caller, state).is_some_and(ends) {
                    wrong.push(format!("I6: {} went on after its end", snapshot.id));
                }
            }
            What::End => {
                if !last.get(&caller).copied().is_some_and(ends) {
                    wrong.push(format!("I6: caller {caller} heard no end of {name}"));
                }
            }
            What::Conflict(id) => {
                let of_another = newest
                    .get(&id.to_string())
                    .is_none_or(|operation| operation.request_id.as_str() != name);
                if of_another || given.contains_key(&(name.clone(), print)) {
                    wrong.push(format!("I7: {name} was refused for itself"));
                }
            }
            What::OverLimit => {}
        }
    }
    wrong
}

/// The name that a caller gave its wish, and what tells wishes apart.
fn wanted(sim: &Sim, caller: usize) -> (String, [u8; 32]) {
    let callers = &sim.scenario.callers;
    match callers.get(caller) {
        Some(caller) => {
            let name = caller.wish.request_id.as_str().to_owned();
            (name, caller.wish.fingerprint().unwrap())
        }
        None => (caller::leaving(caller - callers.len()), [0; 32]),
    }
}

/// I12: a launch is sent a bounded number of times without an answer.
fn tries_are_bounded(operation: &Operation) -> Option<String> {
    let mut unanswered: BTreeMap<u32, usize> = BTreeMap::new();
    for attempt in &operation.attempts {
        if matches!(
            attempt.result,
            AttemptResult::Ambiguous(_) | AttemptResult::Pending
        ) {
            *unanswered.entry(attempt.alternative).or_default() += 1;
        }
    }
    let most = unanswered.values().max().copied().unwrap_or(0);
    (most > UNANSWERED_MAX)
        .then(|| format!("I12: {} was sent {most} times unanswered", operation.id))
}

/// I12: the replicas together call no more often in a second than the cloud allows.
fn rates_are_kept(sent: &[Sent]) -> Vec<String> {
    let mut by: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for call in sent {
        by.entry(call.action).or_default().push(call.at);
    }
    let mut wrong = Vec::new();
    for (action, times) in by {
        let limit = match action {
            "RunInstances" | "TerminateInstances" => 10,
            _ => 40,
        };
        let burst = times.windows(limit + 1).find(|window| {
            let (first, last) = (window[0], window[limit]);
            last - first < Duration::from_secs(1)
        });
        if let Some(burst) = burst {
            wrong.push(format!(
                "I12: {action} is called more than {limit} times in the second from {:?}",
                burst[0]
            ));
        }
    }
    wrong
}
