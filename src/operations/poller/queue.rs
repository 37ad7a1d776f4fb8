//! Which operations are polled, and when each is next: one queue for each account and region.

use super::curve::Curves;
use crate::cloud::{IDS_PER_CALL_MAX, Target};
use crate::domain::ids::OperationId;
use crate::domain::instance::InstanceId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::Notify;

/// Calls that one round makes for what is due, about a second of the account's budget; the rest is
/// the next round's, so that a restart with ten thousand launches comes as no burst.
const CALLS_PER_ROUND_MAX: usize = 30;
/// Machines that are asked for alone, because a call was refused for them; over it those that this
/// was longest ago for are found anew.
const SUSPECTS_MAX: usize = 64;

/// The shortest and the longest time between two looks at an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

/// When an operation is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) due: UtcDateTime,
    /// When the cloud last answered for it; before the first answer, since when it is polled.
    pub(super) last: UtcDateTime,
    /// Whether the cloud has answered for it before.
    pub(super) answered: bool,
    pub(super) asked: Asked,
    /// How many machines are asked for.
    pub(super) machines: usize,
}

/// For how long the cloud was asked for an operation, by a clock that nobody sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// When it was asked for last; before that, since when it is polled.
    pub(super) last: Duration,
    /// In all.
    pub(super) whole: Duration,
    /// Since the cloud answered for all of its machines.
    pub(super) vainly: Duration,
}

impl Asked {
    /// After it was asked for once more. Of the time since then no more than `longest` counts: in the rest
    /// nobody asked, as when the process stood still.
    fn again(self, now: Duration, longest: Duration, answered: bool) -> Self {
        let lapse = now.saturating_sub(self.last).min(longest);
        Self {
            last: now,
            whole: self.whole + lapse,
            vainly: if answered {
                Duration::ZERO
            } else {
                self.vainly + lapse
            },
        }
    }
}

/// What is polled, and what was learned by it.
#[derive(Debug, Default)]
pub(in crate::operations) struct Polled {
    queues: Mutex<Queues>,
    /// Machines that calls were refused for, the last one last.
    suspects: Mutex<VecDeque<InstanceId>>,
    curves: Mutex<Curves>,
    pub(super) changed: Notify,
}

/// A round: where, and of which operations.
pub(super) type Round = (Arc<Target>, Vec<OperationId>);

impl Polled {
    /// To be polled from now on.
    pub(super) fn add(&self, id: OperationId, target: Target, visit: Visit) {
        self.lock().add(id, target, visit);
        self.changed.notify_one();
    }

    /// Not to be polled any more.
    pub(in crate::operations) fn remove(&self, id: OperationId) {
        self.lock().remove(id);
    }

    /// Has an operation looked at now if it is polled; whether it is.
    pub(in crate::operations) fn hurry(&self, id: OperationId, now: UtcDateTime) -> bool {
        let is_polled = self.lock().hurry(id, now);
        self.changed.notify_one();
        is_polled
    }

    /// When an operation was last looked at.
    pub(super) fn visit(&self, id: OperationId) -> Option<Visit> {
        self.lock().entries.get(&id).map(|entry| entry.visit)
    }

    /// The cloud has answered for an operation.
    pub(super) fn answered(&self, id: OperationId, now: UtcDateTime) {
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            entry.visit.last = now;
            entry.visit.answered = true;
        }
    }

    /// The cloud was asked for an operation, and has `answered` for all of its machines or not; for how long
    /// it has been asked for by now.
    pub(super) fn asked(
        &self,
        id: OperationId,
        now: Duration,
        longest: Duration,
        answered: bool,
    ) -> Asked {
        let mut queues = self.lock();
        let Some(entry) = queues.entries.get_mut(&id) else {
            return Asked::default(); // it is polled no more
        };
        entry.visit.asked = entry.visit.asked.again(now, longest, answered);
        entry.visit.asked
    }

    /// When an operation of a round is next looked at, unless somebody else has it by now.
    pub(super) fn again(&self, id: OperationId, visit: Visit) {
        self.lock().again(id, visit);
    }

    /// The rounds that begin now, and when the next one does.
    pub(super) fn begin(&self, now: UtcDateTime, pace: Pace) -> (Vec<Round>, Option<UtcDateTime>) {
        self.lock().begin(now, pace)
    }

    /// A round has ended. Those of its operations that nobody has said when to look at again are
    /// looked at `at`.
    pub(super) fn done(&self, target: &Target, ids: &[OperationId], at: UtcDateTime) {
        self.lock().done(target, ids, at);
        self.changed.notify_one();
    }

    pub(in crate::operations) fn is_suspect(&self, id: &InstanceId) -> bool {
        self.suspects().contains(id)
    }

    /// A call for this machine alone was refused for it. Nobody tells of those that are not asked for
    /// any more: the oldest makes room.
    pub(super) fn suspect(&self, id: InstanceId) {
        let mut suspects = self.suspects();
        suspects.retain(|known| *known != id);
        if suspects.len() >= SUSPECTS_MAX {
            suspects.pop_front();
        }
        suspects.push_back(id);
    }

    /// Nothing is wrong with these machines, or nobody asks for them any more.
    pub(in crate::operations) fn acquit<'a>(&self, ids: impl Iterator<Item = &'a InstanceId>) {
        let mut suspects = self.suspects();
        if !suspects.is_empty() {
            let ids: BTreeSet<_> = ids.collect();
            suspects.retain(|id| !ids.contains(id));
        }
    }

    pub(super) fn curves(&self) -> MutexGuard<'_, Curves> {
        // What is learned is a hint: half of it is as good.
        self.curves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn suspects(&self) -> MutexGuard<'_, VecDeque<InstanceId>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // No change of the queues can panic half-way.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Queues {
    entries: BTreeMap<OperationId, Entry>,
    targets: BTreeMap<Arc<Target>, Queue>,
}

#[derive(Debug)]
struct Entry {
    target: Arc<Target>,
    visit: Visit,
    /// In a round now, so in no queue.
    in_round: bool,
}

#[derive(Debug, Default)]
struct Queue {
    due: BTreeSet<(UtcDateTime, OperationId)>,
    /// No round before: rounds share calls because they are apart.
    not_before: Option<UtcDateTime>,
    /// A round is under way.
    busy: bool,
}

impl Queues {
    fn add(&mut self, id: OperationId, target: Target, visit: Visit) {
        self.remove(id);
        let known = self.targets.get_key_value(&target);
        let target = known.map_or_else(|| Arc::new(target.clone()), |(known, _)| Arc::clone(known));
        let queue = self.targets.entry(Arc::clone(&target)).or_default();
        queue.due.insert((visit.due, id));
        let entry = Entry {
            target,
            visit,
            in_round: false,
        };
        self.entries.insert(id, entry);
    }

    fn remove(&mut self, id: OperationId) {
        if let Some(entry) = self.entries.remove(&id)
            && let Some(queue) = self.targets.get_mut(&entry.target)
        {
            queue.due.remove(&(entry.visit.due, id));
            if queue.due.is_empty() && !queue.busy {
                self.targets.remove(&entry.target);
            }
        }
    }

    fn hurry(&mut self, id: OperationId, now: UtcDateTime) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let queue = self.targets.get_mut(&entry.target);
        if let Some(queue) = queue.filter(|_| !entry.in_round) {
            queue.due.remove(&(entry.visit.due, id));
            queue.due.insert((now, id));
        }
        entry.visit.due = now;
        true
    }

    fn again(&mut self, id: OperationId, visit: Visit) {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.in_round);
        if let Some(entry) = entry {
            entry.visit = visit;
            entry.in_round = false;
            let queue = self.targets.entry(Arc::clone(&entry.target)).or_default();
            queue.due.insert((visit.due, id));
        }
    }

    fn begin(&mut self, now: UtcDateTime, pace: Pace) -> (Vec<Round>, Option<UtcDateTime>) {
        let (mut rounds, mut next) = (Vec::new(), None);
        for (target, queue) in self.targets.iter_mut().filter(|(_, queue)| !queue.busy) {
            queue.catch_up(&mut self.entries, now, pace);
            let Some((first, _)) = queue.due.first() else {
                continue;
            };
            let at = queue.not_before.map_or(*first, |at| at.max(*first));
            if at > now {
                next = Some(next.map_or(at, |next: UtcDateTime| next.min(at)));
                continue;
            }
            let ids = queue.take(&self.entries, now, pace);
            rounds.push((Arc::clone(target), ids));
        }
        for id in rounds.iter().flat_map(|(_, ids)| ids) {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.in_round = true;
            }
        }
        (rounds, next)
    }

    fn done(&mut self, target: &Target, ids: &[OperationId], at: UtcDateTime) {
        for id in ids {
            if let Some(visit) = self.entries.get(id).map(|entry| entry.visit) {
                self.again(*id, Visit { due: at, ..visit });
            }
        }
        if let Some(queue) = self.targets.get_mut(target) {
            queue.busy = false;
            if queue.due.is_empty() {
                self.targets.remove(target);
            }
        }
    }
}

impl Queue {
    /// What lies further ahead than any wait was put there before the clock was set back: it is due now.
    fn catch_up(
        &mut self,
        entries: &mut BTreeMap<OperationId, Entry>,
        now: UtcDateTime,
        pace: Pace,
    ) {
        self.not_before = self.not_before.filter(|at| *at <= now + pace.shortest);
        while let Some((due, id)) = self.due.last().copied() {
            if due <= now + pace.longest {
                break;
            }
            self.due.pop_last();
            self.due.insert((now, id));
            if let Some(entry) = entries.get_mut(&id) {
                entry.visit.due = now;
            }
        }
    }

    /// What the round that begins `now` asks for: all that is due or soon will be, and of the rest
    /// what comes next, as far as it fills the last call.
    fn take(
        &mut self,
        entries: &BTreeMap<OperationId, Entry>,
        now: UtcDateTime,
        pace: Pace,
    ) -> Vec<OperationId> {
        let machines = |id: &OperationId| {
            let entry = entries.get(id);
            entry.map_or(1, |entry| entry.visit.machines.max(1))
        };
        self.busy = true;
        self.not_before = Some(now + pace.shortest);
        let (mut taken, mut asked) = (Vec::new(), 0_usize);
        while let Some((due, id)) = self.due.first().copied() {
            if due > now + pace.shortest / 2 {
                break;
            }
            if asked >= CALLS_PER_ROUND_MAX * IDS_PER_CALL_MAX {
                self.not_before = None;
                break;
            }
            self.due.pop_first();
            asked += machines(&id);
            taken.push(id);
        }
        let mut room = asked.next_multiple_of(IDS_PER_CALL_MAX) - asked;
        let soon = self.due.iter().take(IDS_PER_CALL_MAX).copied();
        let soon = soon.filter(|(_, id)| {
            let fits = machines(id) <= room;
            room -= if fits { machines(id) } else { 0 };
            fits
        });
        for (due, id) in soon.collect::<Vec<_>>() {
            self.due.remove(&(due, id));
            taken.push(id);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::{AccountName, Region};
    use time::macros::utc_datetime;

    const START: UtcDateTime = utc_datetime!(2026-01-01 00:00:00);
    const PACE: Pace = Pace {
        shortest: Duration::from_secs(1),
        longest: Duration::from_secs(5),
    };

    fn after(millis: u64) -> UtcDateTime {
        START + Duration::from_millis(millis)
    }

    fn target(region: &str) -> Target {
        Target {
            account: AccountName::parse("main").unwrap(),
            region: Region::parse(region).unwrap(),
        }
    }

    fn visit(millis: u64, machines: usize) -> Visit {
        Visit {
            due: after(millis),
            last: START,
            answered: false,
            asked: Asked::default(),
            machines,
        }
    }

    /// Adds `count` operations of one machine each that are due at `millis`.
    fn add(queues: &mut Queues, count: usize, millis: u64) -> Vec<OperationId> {
        let ids: Vec<_> = (0..count).map(|_| OperationId::generate(START)).collect();
        for id in &ids {
            queues.add(*id, target("ap-shanghai"), visit(millis, 1));
        }
        ids
    }

    fn sizes(rounds: &[Round]) -> Vec<usize> {
        rounds.iter().map(|(_, ids)| ids.len()).collect()
    }

    #[test]
    fn a_round_takes_what_is_due_and_fills_its_last_call_with_what_is_next() {
        let mut queues = Queues::default();
        add(&mut queues, 120, 0);
        add(&mut queues, 20, 400);
        add(&mut queues, 50, 4_000);
        add(&mut queues, 50, 5_000);
        let (rounds, _) = queues.begin(after(0), PACE);
        assert_eq!(sizes(&rounds), [200], "all that a call has room for");
        assert!(queues.begin(after(60_000), PACE).0.is_empty(), "it is busy");
        let ids = rounds.into_iter().next().unwrap().1;
        queues.done(&target("ap-shanghai"), &ids, after(1_000));
        let (rounds, next) = queues.begin(after(500), PACE);
        assert_eq!((sizes(&rounds), next), (vec![], Some(after(1_000))));
        assert_eq!(sizes(&queues.begin(after(1_000), PACE).0), [200]);
    }

    #[test]
    fn rounds_are_apart_and_regions_do_not_wait_for_each_other() {
        let mut queues = Queues::default();
        let first = add(&mut queues, 1, 0);
        assert_eq!(sizes(&queues.begin(after(0), PACE).0), [1]);
        add(&mut queues, 2, 100);
        queues.add(
            OperationId::generate(START),
            target("ap-tokyo"),
            visit(0, 1),
        );
        assert_eq!(
            sizes(&queues.begin(after(10), PACE).0),
            [1],
            "the other region"
        );
        queues.done(&target("ap-shanghai"), &first, after(5_000));
        let (rounds, next) = queues.begin(after(200), PACE);
        assert_eq!((sizes(&rounds), next), (vec![], Some(after(1_000))));
        assert_eq!(sizes(&queues.begin(after(1_000), PACE).0), [3]);
    }

    #[test]
    fn ten_thousand_come_in_rounds_of_thirty_calls_and_none_waits_twice() {
        let mut queues = Queues::default();
        add(&mut queues, 10_000, 0);
        let mut seen = BTreeSet::new();
        for expected in [3_000, 3_000, 3_000, 1_000] {
            let (rounds, _) = queues.begin(after(10), PACE);
            assert_eq!(sizes(&rounds), [expected]);
            let ids = rounds.into_iter().next().unwrap().1;
            queues.done(&target("ap-shanghai"), &ids, after(5_000));
            seen.extend(ids);
        }
        assert_eq!(seen.len(), 10_000);
    }

    #[test]
    fn what_is_removed_or_taken_by_others_does_not_come_back() {
        let mut queues = Queues::default();
        let ids = add(&mut queues, 3, 0);
        let [gone, elsewhere, kept] = ids.clone().try_into().unwrap();
        queues.begin(after(0), PACE);
        queues.remove(gone);
        queues.add(elsewhere, target("ap-tokyo"), visit(4_000, 1));
        queues.again(gone, visit(2_000, 1));
        queues.again(elsewhere, visit(2_000, 1));
        queues.again(kept, visit(3_000, 1));
        queues.done(&target("ap-shanghai"), &ids, after(1_000));
        assert_eq!(queues.begin(after(0), PACE).1, Some(after(3_000)));
        assert!(queues.hurry(elsewhere, after(100)));
        assert!(!queues.hurry(gone, after(100)));
        assert_eq!(queues.begin(after(0), PACE).1, Some(after(100)));
        queues.remove(kept);
        queues.remove(elsewhere);
        assert_eq!(queues.begin(after(90_000), PACE), (vec![], None));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_no_poll_up() {
        let mut queues = Queues::default();
        let shanghai = target("ap-shanghai");
        let ids = add(&mut queues, 1, 600_000);
        assert_eq!(sizes(&queues.begin(after(600_000), PACE).0), [1]);
        queues.done(&shanghai, &ids, after(605_000));
        add(&mut queues, 1, 604_000);
        assert_eq!(sizes(&queues.begin(after(10), PACE).0), [2], "now");
        queues.done(&shanghai, &ids, after(605_000));
        let (rounds, next) = queues.begin(after(500), PACE);
        assert_eq!(
            (sizes(&rounds), next),
            (vec![], Some(after(1_010))),
            "apart"
        );
        queues.remove(ids[0]);
        assert!(queues.targets.is_empty(), "it is found where it lies");
    }

    #[test]
    fn a_clock_that_is_set_back_holds_no_new_operation_up() {
        let mut queues = Queues::default();
        let old = add(&mut queues, 1, 600_000);
        queues.begin(after(600_000), PACE);
        queues.done(&target("ap-shanghai"), &old, after(603_000));
        let new = add(&mut queues, 1, 1_000);
        assert!(queues.hurry(new[0], after(10)));
        assert_eq!(sizes(&queues.begin(after(10), PACE).0), [2]);
    }

    #[test]
    fn only_the_time_in_which_the_cloud_was_asked_is_counted() {
        let secs = Duration::from_secs;
        let asked = |whole, vainly, last| Asked {
            last: secs(last),
            whole: secs(whole),
            vainly: secs(vainly),
        };
        let since = Asked {
            last: secs(100),
            ..Asked::default()
        };
        let once = since.again(secs(130), secs(60), false);
        assert_eq!(once, asked(30, 30, 130));
        let stood_still = once.again(secs(4_000), secs(60), false);
        assert_eq!(stood_still, asked(90, 90, 4_000));
        let answered = stood_still.again(secs(4_001), secs(60), true);
        assert_eq!(answered, asked(91, 0, 4_001));
        let polled = Polled::default();
        let gone = polled.asked(OperationId::generate(START), secs(9), secs(60), false);
        assert_eq!(gone, Asked::default());
    }

    #[test]
    fn suspects_are_bounded_and_acquitted() {
        let polled = Polled::default();
        let id = |number: usize| InstanceId::parse(&format!("ins-{number}")).unwrap();
        (0..SUSPECTS_MAX).for_each(|number| polled.suspect(id(number)));
        polled.suspect(id(0)); // again
        polled.suspect(id(SUSPECTS_MAX));
        assert_eq!(polled.suspects().len(), SUSPECTS_MAX);
        assert!(polled.is_suspect(&id(0)) && polled.is_suspect(&id(SUSPECTS_MAX)));
        assert!(!polled.is_suspect(&id(1)), "it was refused longest ago");
        polled.acquit([id(0)].iter());
        assert!(!polled.is_suspect(&id(0)) && polled.is_suspect(&id(2)));
    }
}
