//! Who is at work and who waits: the most urgent first, organisations in turn, and nobody longer than
//! is worth waiting for.

use super::Settings;
use crate::domain::ids::OrganizationId;
use crate::metrics::Priority;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Calls that begin within so much are counted together, since one flush of the journal ends many.
const PACE_WINDOW: Duration = Duration::from_millis(100);

/// A place; a lower one was taken earlier.
pub(super) type Ticket = u64;

/// The organisation's queue is full: in number, or in the time that one more would wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

/// The places of one gateway. Whoever waits may not work yet: each change that lets one do so says whom.
#[derive(Debug)]
pub(super) struct Queue {
    settings: Settings,
    tickets: Ticket,
    places: BTreeMap<Ticket, Place>,
    at_work: usize,
    /// Only of organisations that have some.
    at_work_of: BTreeMap<OrganizationId, usize>,
    lines: BTreeMap<Priority, Line>,
}

#[derive(Clone, Debug)]
struct Place {
    organization: OrganizationId,
    priority: Priority,
    at_work: bool,
}

/// The calls of one priority that wait.
#[derive(Debug, Default)]
struct Line {
    /// Only organisations whose calls wait.
    waiting: BTreeMap<OrganizationId, BTreeSet<Ticket>>,
    /// The same ones, in the order in which they have their turns.
    round: VecDeque<OrganizationId>,
    pace: Pace,
}

/// How fast a line moves.
#[derive(Debug, Default)]
struct Pace {
    since: Duration,
    begun: u32,
    /// From one that begins to the next one; zero before it was measured.
    interval: Duration,
}

impl Queue {
    /// Nobody is here.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            tickets: 0,
            places: BTreeMap::new(),
            at_work: 0,
            at_work_of: BTreeMap::new(),
            lines: BTreeMap::new(),
        }
    }

    /// Takes a place, at work if there is room, else at the end of the organisation's queue, where it will
    /// wait no longer than its `patience`.
    pub(super) fn join(
        &mut self,
        (organization, priority): (&OrganizationId, Priority),
        patience: Duration,
        now: Duration,
    ) -> Result<Ticket, QueueFull> {
        let at_work = self.may_work(organization, priority);
        if !at_work {
            let line = self.lines.entry(priority).or_default();
            let most = self.settings.waiting_per_organization_max;
            if line.is_full(organization, most, patience) {
                return Err(QueueFull);
            }
            line.join(organization, self.tickets, now);
        }
        let ticket = self.tickets;
        self.tickets += 1;
        let place = Place {
            organization: organization.clone(),
            priority,
            at_work,
        };
        if at_work {
            self.begins(&place);
        }
        self.places.insert(ticket, place);
        Ok(ticket)
    }

    /// Whether that place is one at work.
    pub(super) fn is_at_work(&self, ticket: Ticket) -> bool {
        self.places.get(&ticket).is_some_and(|place| place.at_work)
    }

    /// Gives a place up; whose turn it is then.
    pub(super) fn leave(&mut self, ticket: Ticket, now: Duration) -> Option<Ticket> {
        let place = self.places.remove(&ticket)?;
        if place.at_work {
            self.ends(&place.organization);
        } else if let Some(line) = self.lines.get_mut(&place.priority) {
            line.leave(&place.organization, ticket);
        }
        self.next(now)
    }

    fn next(&mut self, now: Duration) -> Option<Ticket> {
        let lines = self.lines.iter();
        let mut turns = lines.filter_map(|(priority, line)| {
            let may = |organization: &&OrganizationId| self.may_work(organization, *priority);
            Some((*priority, line.round.iter().find(may)?.clone()))
        });
        let (priority, organization) = turns.next()?;
        let ticket = self.lines.get_mut(&priority)?.serve(&organization, now)?;
        let place = self.places.get_mut(&ticket)?;
        place.at_work = true;
        let place = place.clone();
        self.begins(&place);
        Some(ticket)
    }

    fn may_work(&self, organization: &OrganizationId, priority: Priority) -> bool {
        let own = self.at_work_of.get(organization).copied().unwrap_or(0);
        self.at_work < share(self.settings.at_work_max, priority)
            && own < share(self.settings.at_work_per_organization_max, priority)
    }

    fn begins(&mut self, place: &Place) {
        self.at_work += 1;
        let own = self.at_work_of.entry(place.organization.clone());
        *own.or_default() += 1;
    }

    fn ends(&mut self, organization: &OrganizationId) {
        self.at_work = self.at_work.saturating_sub(1);
        match self.at_work_of.get_mut(organization) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => {
                self.at_work_of.remove(organization);
            }
        }
    }
}

/// How many of `places` calls of that priority may leave no more than taken: the rest is for more urgent
/// ones, so that who follows a launch does not wait for lists, these not for launches, nor these for
/// plans, which wait for the cloud.
fn share(places: usize, priority: Priority) -> usize {
    let kept = match priority {
        Priority::Follow => 0,
        Priority::List => places / 8,
        Priority::Launch => places / 4,
        Priority::Plan => places / 2,
    };
    places - kept
}

impl Line {
    /// Whether there are `most` of the organisation, or one more would wait too long. One may always: if it
    /// comes too late is seen then.
    fn is_full(&self, organization: &OrganizationId, most: usize, patience: Duration) -> bool {
        let own = self.waiting.get(organization).map_or(0, BTreeSet::len);
        // Half, because it is an estimate: who was let in should not be turned away later.
        own >= most || own > 0 && self.wait_behind(own) > patience / 2
    }

    /// How long a call waits that comes behind so many of its organisation, while all have their turns.
    fn wait_behind(&self, own: usize) -> Duration {
        let queues = self.waiting.values().map(BTreeSet::len);
        let before: usize = queues.map(|queue| queue.min(own + 1)).sum();
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        self.pace.interval.saturating_mul(before)
    }

    fn join(&mut self, organization: &OrganizationId, ticket: Ticket, now: Duration) {
        if self.round.is_empty() {
            self.pace.restart(now);
        }
        if !self.waiting.contains_key(organization) {
            self.round.push_back(organization.clone());
        }
        let waiting = self.waiting.entry(organization.clone()).or_default();
        waiting.insert(ticket);
    }

    /// The first one of the organisation begins, and the organisation goes to the end of the round.
    fn serve(&mut self, organization: &OrganizationId, now: Duration) -> Option<Ticket> {
        let ticket = *self.waiting.get(organization)?.first()?;
        self.pace.begins(now);
        self.leave(organization, ticket);
        if self.waiting.contains_key(organization) {
            self.round.retain(|other| other != organization);
            self.round.push_back(organization.clone());
        }
        Some(ticket)
    }

    fn leave(&mut self, organization: &OrganizationId, ticket: Ticket) {
        let Some(waiting) = self.waiting.get_mut(organization) else {
            return;
        };
        waiting.remove(&ticket);
        if waiting.is_empty() {
            self.waiting.remove(organization);
            self.round.retain(|other| other != organization);
        }
    }
}

impl Pace {
    /// Somebody waits again: the time before tells nothing.
    fn restart(&mut self, now: Duration) {
        self.since = now;
        self.begun = 0;
    }

    fn begins(&mut self, now: Duration) {
        self.begun += 1;
        let passed = now.saturating_sub(self.since);
        if passed >= PACE_WINDOW {
            self.interval = passed / self.begun;
            self.restart(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const PATIENCE: Duration = Duration::from_millis(500);

    fn queue(at_work: usize, per_organization: usize, waiting: usize) -> Queue {
        Queue::new(Settings {
            at_work_max: at_work,
            at_work_per_organization_max: per_organization,
            waiting_per_organization_max: waiting,
            wait_max: PATIENCE,
        })
    }

    fn named(name: &str) -> OrganizationId {
        OrganizationId::parse(name).unwrap()
    }

    /// Takes a place for each, at the same moment.
    fn join(queue: &mut Queue, priority: Priority, names: &[&str]) -> Vec<Ticket> {
        let tickets = names
            .iter()
            .map(|name| queue.join((&named(name), priority), PATIENCE, NOW).unwrap());
        tickets.collect()
    }

    /// Who begins, one after the other, when each that is at work ends in its turn.
    fn drain(queue: &mut Queue, mut at_work: VecDeque<Ticket>) -> Vec<Ticket> {
        let mut order = Vec::new();
        while let Some(ticket) = at_work.pop_front() {
            if let Some(next) = queue.leave(ticket, NOW) {
                assert!(queue.is_at_work(next));
                order.push(next);
                at_work.push_back(next);
            }
        }
        order
    }

    #[test]
    fn organisations_have_their_turns_however_many_calls_one_has() {
        let mut queue = queue(4, 4, 100);
        let at_work = join(&mut queue, Priority::Launch, &["flood"; 3]);
        let flood = join(&mut queue, Priority::Launch, &["flood"; 4]);
        let others = join(&mut queue, Priority::Launch, &["a", "b", "a"]);
        let order = drain(&mut queue, at_work.into());
        let expected = [
            flood[0], others[0], others[1], flood[1], others[2], flood[2], flood[3],
        ];
        assert_eq!(order, expected);
        assert!(queue.places.is_empty() && queue.at_work_of.is_empty());
        assert_eq!(queue.at_work, 0);
        assert!(queue.lines.values().all(|line| line.round.is_empty()));
    }

    #[test]
    fn the_most_urgent_goes_first() {
        let mut queue = queue(1, 1, 100);
        let first = join(&mut queue, Priority::Plan, &["a"]);
        let mut waiting = Priority::ALL.map(|_| 0);
        for (at, priority) in Priority::ALL.into_iter().enumerate().rev() {
            waiting[at] = join(&mut queue, priority, &["a"])[0];
        }
        assert_eq!(drain(&mut queue, first.into()), waiting);
    }

    #[test]
    fn launches_leave_places_for_what_is_more_urgent() {
        for (priority, at_once) in [
            (Priority::Follow, 8),
            (Priority::List, 7),
            (Priority::Launch, 6),
            (Priority::Plan, 4),
        ] {
            let mut queue = queue(8, 8, 100);
            let tickets = join(&mut queue, priority, &["a"; 20]);
            let begun = tickets.iter().filter(|ticket| queue.is_at_work(**ticket));
            assert_eq!(begun.count(), at_once, "{priority:?}");
        }
    }

    #[test]
    fn an_organisation_leaves_places_for_others() {
        let mut queue = queue(8, 4, 100);
        let flood = join(&mut queue, Priority::Follow, &["flood"; 20]);
        let begun = flood.iter().filter(|ticket| queue.is_at_work(**ticket));
        assert_eq!(begun.count(), 4);
        let other = join(&mut queue, Priority::Follow, &["other"])[0];
        assert!(queue.is_at_work(other), "it passes those that may not work");
        assert_eq!(queue.leave(other, NOW), None, "nor may they now");
        assert_eq!(queue.leave(flood[0], NOW), Some(flood[4]));
    }

    #[test]
    fn a_full_queue_is_its_organisation_s_own() {
        let mut queue = queue(1, 1, 2);
        join(&mut queue, Priority::Follow, &["flood"; 3]);
        let flood = queue.join((&named("flood"), Priority::Follow), PATIENCE, NOW);
        assert_eq!(flood, Err(QueueFull));
        join(&mut queue, Priority::Follow, &["other"; 2]);
        join(&mut queue, Priority::Launch, &["flood"; 2]);
    }

    #[test]
    fn who_gives_up_waiting_is_in_nobody_s_way() {
        let mut queue = queue(1, 1, 2);
        let tickets = join(&mut queue, Priority::Follow, &["a", "a", "b", "a"]);
        assert_eq!(queue.leave(tickets[1], NOW), None);
        assert_eq!(queue.leave(tickets[3], NOW), None);
        assert_eq!(queue.leave(tickets[0], NOW), Some(tickets[2]));
        assert_eq!(queue.leave(tickets[1], NOW), None, "it has left");
        assert_eq!(queue.leave(tickets[2], NOW), None);
        assert!(queue.places.is_empty());
    }

    /// How many calls of `name` are let in, one after the other.
    fn let_in(queue: &mut Queue, name: &str, patience: Duration, now: Duration) -> usize {
        let call = (&named(name), Priority::Follow);
        let joined = || queue.join(call, patience, now).is_ok();
        std::iter::repeat_with(joined)
            .take_while(|in_time| *in_time)
            .count()
    }

    #[test]
    fn nobody_is_let_in_to_wait_in_vain() {
        let mut queue = queue(1, 1, 1000);
        let mut at_work = join(&mut queue, Priority::Follow, &["a"; 21])[0];
        let mut now = NOW;
        for _ in 0..20 {
            now += Duration::from_millis(10);
            at_work = queue.leave(at_work, now).unwrap();
        }
        // A call may wait for 25 others, which take 250 ms; of two organisations, for half as many of each.
        assert_eq!(let_in(&mut queue, "a", PATIENCE / 5, now), 6);
        assert_eq!(let_in(&mut queue, "a", PATIENCE, now), 20);
        assert_eq!(let_in(&mut queue, "b", PATIENCE, now), 13);
        // A line that stood empty is not held against who comes next: one may always wait.
        let mut alone = Queue::new(queue.settings.clone());
        let line = alone.lines.entry(Priority::Follow).or_default();
        line.pace.interval = Duration::from_secs(10);
        join(&mut alone, Priority::Follow, &["a", "a", "b"]);
        assert_eq!(let_in(&mut alone, "a", PATIENCE, now), 0);
    }
}
