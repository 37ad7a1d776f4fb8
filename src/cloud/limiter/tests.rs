//! The limiter on a clock of the tests: alone, and sharing a source.

use super::lane::{Lane, Next};
use super::*;
use crate::cloud::{Effect, Retry};
use crate::domain::names::Region;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::task::Poll;
use time::macros::utc_datetime;

const RATE: u32 = 8;
/// What the cloud allows when the rate is 80 % of it.
const LIMIT: usize = 10;
/// The clock of the source is ahead of ours by this.
const AHEAD_MS: u64 = 1_767_225_600_000;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn organization(number: usize) -> OrganizationId {
    OrganizationId::parse(["acme", "globex", "initech"][number]).unwrap()
}

fn class(number: usize) -> Class {
    match number {
        0 => Class::Terminate,
        1 => Class::Reconcile,
        2 => Class::Poll,
        3 => Class::Sweep,
        launch => Class::Launch(organization(launch - 4)),
    }
}

fn weights(weights: &[(usize, u32)]) -> queue::Weights {
    let weights = weights
        .iter()
        .map(|(name, weight)| (organization(*name), *weight));
    Arc::new(weights.collect())
}

/// One who wants to call, as the property test draws them.
#[derive(Clone, Debug)]
struct Caller {
    at: u64,
    lane: usize,
    class: usize,
    /// Whether the cloud refuses the call for its rate.
    refused: bool,
    /// How long a question that it asks the source takes there, and back.
    trip: (u64, u64),
}

fn callers() -> impl Strategy<Value = Vec<Caller>> {
    let caller = (
        0..2000_u64,
        0..3_usize,
        0..7_usize,
        0..12_u8,
        (0..40_u64, 0..40_u64),
    );
    let caller = caller.prop_map(|(at, lane, class, refused, trip)| Caller {
        at,
        lane,
        class,
        refused: refused == 0,
        trip,
    });
    prop::collection::vec(caller, 1..60)
}

/// The answer to a question, under way.
struct Trip {
    lane: usize,
    ask: (u32, Duration),
    asked: u64,
    block: Block,
    back: u64,
}

/// Lanes, and the source that they share if they do, on a clock that goes in steps of 5 ms.
struct Worlds {
    lanes: Vec<Lane>,
    waiting: Vec<(usize, Ticket, Caller)>,
    trips: Vec<Trip>,
    next_slot: u64,
    /// When calls were made, and by which caller.
    calls: Vec<(u64, Caller)>,
}

impl Worlds {
    fn new(lanes: usize) -> Self {
        let weights = weights(&[(0, 3)]);
        let lane = |_| match lanes {
            1 => Lane::own(RATE, Arc::clone(&weights), Duration::ZERO),
            _ => Lane::shared(RATE, Arc::clone(&weights)),
        };
        Self {
            lanes: (0..lanes).map(lane).collect(),
            waiting: Vec::new(),
            trips: Vec::new(),
            next_slot: 0,
            calls: Vec::new(),
        }
    }

    /// Lets all callers come and call.
    fn run(mut self, mut callers: Vec<Caller>) -> Vec<(u64, Caller)> {
        callers.sort_by_key(|caller| caller.at);
        let (count, mut callers) = (callers.len(), VecDeque::from(callers));
        for now in (0..600_000).step_by(5) {
            while callers.front().is_some_and(|caller| caller.at <= now) {
                let caller = callers.pop_front().unwrap();
                let lane = caller.lane % self.lanes.len();
                let (ticket, _) = self.lanes[lane].join(&class(caller.class), false);
                self.waiting.push((lane, ticket, caller));
            }
            self.deliver(now);
            while self.step(now) {}
            if self.calls.len() == count {
                return self.calls;
            }
        }
        panic!("{} of {count} never called", self.waiting.len());
    }

    fn deliver(&mut self, now: u64) {
        for trip in self.trips.extract_if(.., |trip| trip.back <= now) {
            let block = Some(trip.block);
            self.lanes[trip.lane].answered(trip.ask, block, ms(trip.asked), ms(now));
        }
    }

    /// Whether somebody called, so that another one may.
    fn step(&mut self, now: u64) -> bool {
        for index in 0..self.waiting.len() {
            let (lane, ticket, caller) = self.waiting[index].clone();
            match self.lanes[lane].next(ticket, ms(now)) {
                Next::Go(slot) => {
                    assert!(slot <= ms(now), "too early");
                    if caller.refused {
                        self.lanes[lane].refused(slot, ms(now));
                    }
                    self.calls.push((now, caller));
                    self.waiting.remove(index);
                    return true;
                }
                Next::Fetch(count, interval) => self.ask(lane, (count, interval), &caller, now),
                Next::SleepUntil(_) | Next::Wait => {}
            }
        }
        false
    }

    fn ask(&mut self, lane: usize, ask: (u32, Duration), caller: &Caller, now: u64) {
        let there = now + caller.trip.0 + AHEAD_MS;
        let first = self.next_slot.max(there);
        let interval = u64::try_from(ask.1.as_millis()).unwrap();
        self.next_slot = first + interval * u64::from(ask.0);
        self.trips.push(Trip {
            lane,
            ask,
            asked: now,
            block: Block {
                now: ms(there),
                first: ms(first),
            },
            back: now + caller.trip.0 + caller.trip.1,
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whoever comes when, whatever is refused, for one gateway and for several that share.
    #[test]
    fn no_second_exceeds_the_limit_and_everybody_calls(callers in callers(), lanes in 1..4_usize) {
        let calls = Worlds::new(lanes).run(callers);
        for (number, (start, _)) in calls.iter().enumerate() {
            let within = calls[number..].iter().take_while(|(at, _)| at - start < 1000);
            let within = within.count();
            prop_assert!(within <= if lanes == 1 { 8 } else { LIMIT }, "{within} from {start}");
        }
        if lanes == 1 {
            for pair in calls.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= 125);
            }
        }
    }
}

/// Lets everybody who waits call in the order of their turns.
fn order(lane: &Lane, mut waiting: BTreeMap<Ticket, usize>) -> Vec<usize> {
    let (mut order, mut now) = (Vec::new(), Duration::ZERO);
    while !waiting.is_empty() {
        now += ms(125);
        let went = |ticket: &Ticket| matches!(lane.next(*ticket, now), Next::Go(_));
        let ticket = waiting.keys().copied().find(|ticket| went(ticket));
        order.extend(ticket.and_then(|ticket| waiting.remove(&ticket)));
    }
    order
}

#[test]
fn organisations_share_by_weight_and_each_is_first_come_first_served() {
    let lane = Lane::own(RATE, weights(&[(0, 3)]), Duration::ZERO);
    // A flood of the one, then some of the others: those need not wait until it is over.
    let callers = [vec![4; 40], vec![5; 10], vec![6; 10]].concat();
    let waiting = callers
        .iter()
        .map(|who| (lane.join(&class(*who), false).0, *who));
    let order = order(&lane, waiting.collect());
    for round in order[..50].chunks(5) {
        let of = |who| round.iter().filter(|other| **other == who).count();
        assert_eq!((of(4), of(5), of(6)), (3, 1, 1), "{order:?}");
    }
    // Who was away has no claim on the past.
    let lane = Lane::own(RATE, weights(&[]), Duration::ZERO);
    let busy = (0..8).map(|_| (lane.join(&class(4), false).0, 4));
    self::order(&lane, busy.collect());
    let callers = [vec![4; 4], vec![5; 4]].concat();
    let waiting = callers
        .iter()
        .map(|who| (lane.join(&class(*who), false).0, *who));
    let order = self::order(&lane, waiting.collect());
    for pair in order.chunks(2) {
        assert_ne!(pair[0], pair[1], "{order:?}");
    }
}

#[test]
fn the_urgent_go_first_and_nobody_starves() {
    let lane = Lane::own(RATE, weights(&[]), Duration::ZERO);
    let callers = [vec![3], vec![2; 30], vec![1; 10], vec![0; 3]].concat();
    let waiting = callers
        .iter()
        .map(|who| (lane.join(&class(*who), false).0, *who));
    let order = order(&lane, waiting.collect());
    assert_eq!(order[..7], [0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(order[7], 3, "the eldest: {order:?}");
    assert_eq!(order[8..14], [1; 6]);
    let (again, _) = lane.join(&class(2), true);
    let (urgent, _) = lane.join(&class(0), false);
    assert_eq!(self::order(&lane, [(again, 9), (urgent, 0)].into()), [9, 0]);
}

#[test]
fn the_process_before_may_have_called_just_now() {
    let lane = Lane::own(RATE, weights(&[]), ms(1000));
    let (ticket, _) = lane.join(&Class::Poll, false);
    assert_eq!(lane.next(ticket, ms(1000)), Next::SleepUntil(ms(1125)));
}

#[test]
fn a_late_answer_gives_no_slots_that_have_passed() {
    let lane = Lane::shared(RATE, weights(&[]));
    let (first, _) = lane.join(&Class::Poll, false);
    let (_second, _) = lane.join(&Class::Poll, false);
    assert_eq!(lane.next(first, ms(0)), Next::Fetch(2, ms(125)));
    let block = |now: u64| Block {
        now: ms(AHEAD_MS + now),
        first: ms(AHEAD_MS + now),
    };
    lane.answered((2, ms(125)), Some(block(10)), ms(0), ms(20));
    assert!(matches!(lane.next(first, ms(25)), Next::Go(_)));
    // Its second slot was at 135.
    let (third, _) = lane.join(&Class::Terminate, false);
    let next = lane.next(third, ms(300));
    assert!(
        matches!(next, Next::Fetch(2, interval) if interval > ms(125)),
        "{next:?}"
    );
    // This one was on its way for a second: the clocks are known better than that.
    let Next::Fetch(count, interval) = next else {
        unreachable!()
    };
    lane.answered((count, interval), Some(block(310)), ms(300), ms(1300));
    assert!(matches!(lane.next(third, ms(1300)), Next::Fetch(..)));
}

#[test]
fn when_there_are_no_slots_they_are_asked_for_again_later() {
    let lane = Lane::shared(RATE, weights(&[]));
    let (ticket, _) = lane.join(&Class::Poll, false);
    let (other, _) = lane.join(&Class::Poll, false);
    assert!(matches!(lane.next(ticket, ms(0)), Next::Fetch(..)));
    assert_eq!(lane.next(other, ms(0)), Next::Wait);
    lane.answered((1, ms(125)), None, ms(0), ms(10));
    assert_eq!(lane.next(ticket, ms(10)), Next::SleepUntil(ms(510)));
    assert!(matches!(lane.next(ticket, ms(510)), Next::Fetch(..)));
    // Who asks goes away: the next one asks.
    lane.leave(ticket);
    lane.unanswered();
    assert!(matches!(lane.next(other, ms(520)), Next::Fetch(..)));
}

fn limiter(clock: &Clock) -> Limiter {
    let settings = Settings {
        run_instances_per_second: RATE,
        terminate_instances_per_second: RATE,
        describe_per_second: 32,
        inquiry_price_per_second: 8,
        weights: BTreeMap::new(),
        counted_as: BTreeMap::new(),
    };
    let metrics = metrics::Metrics::new("test").unwrap();
    Limiter::new(settings, None, clock.clone(), metrics.cloud)
}

fn target() -> Target {
    Target {
        account: AccountName::parse("main").unwrap(),
        region: Region::parse("ap-shanghai").unwrap(),
    }
}

/// What comes of the future now.
async fn now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    let once = std::future::poll_fn(|context| {
        let polled = Pin::new(&mut *future).poll(context);
        Poll::Ready(match polled {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    });
    once.await
}

#[tokio::test]
async fn who_gives_up_frees_the_place_and_who_is_late_gets_the_next_turn() {
    let clock = Clock::manual(utc_datetime!(2026-01-01 00:00));
    let (limiter, target) = (limiter(&clock), target());
    let turn = || Box::pin(limiter.turn(&target, "host", Action::RunInstances, Class::Poll));
    let (mut first, mut second, mut third) = (turn(), turn(), turn());
    assert!(
        now(&mut first).await.is_none(),
        "the silence of a new process"
    );
    assert!(now(&mut second).await.is_none() && now(&mut third).await.is_none());
    drop(first);
    clock.advance(ms(125));
    let late = now(&mut second).await.unwrap();
    assert!(now(&mut third).await.is_none());
    clock.advance(ms(124));
    assert!(now(&mut third).await.is_none());
    clock.advance(ms(1));
    // Its own turn was 125 ms ago; it goes before who waits.
    let mut permit = Box::pin(late.permit());
    assert!(now(&mut permit).await.is_some());
    assert!(now(&mut third).await.is_none());
    clock.advance(ms(125));
    let in_time = now(&mut third).await.unwrap();
    clock.advance(ms(100));
    assert!(now(&mut Box::pin(in_time.permit())).await.is_some());
}

#[tokio::test]
async fn names_of_one_account_share_its_limits_by_the_weight_of_their_organisations() {
    let clock = Clock::manual(utc_datetime!(2026-01-01 00:00));
    let names = ["one", "other"].map(|name| AccountName::parse(name).unwrap());
    let settings = Settings {
        weights: BTreeMap::from([(organization(0), 2)]),
        counted_as: BTreeMap::from([(names[1].clone(), names[0].clone())]),
        ..limiter(&clock).0.settings.clone()
    };
    let metrics = metrics::Metrics::new("test").unwrap().cloud;
    let limiter = Limiter::new(settings, None, clock.clone(), metrics);
    let targets = names.map(|account| Target {
        account,
        ..target()
    });
    let turn = |who: usize| {
        let class = Class::Launch(organization(who));
        let turn = limiter.turn(&targets[who], "host", Action::RunInstances, class);
        (who, Box::pin(turn))
    };
    let mut waiting: Vec<_> = [0, 0, 0, 0, 1, 1].map(turn).into();
    let mut order = Vec::new();
    for _ in 0..6 {
        let mut come = Vec::new();
        for (index, (_, turn)) in waiting.iter_mut().enumerate() {
            come.extend(now(turn).await.map(|_turn| index));
        }
        assert!(come.is_empty(), "two at once");
        clock.advance(ms(125));
        for (index, (_, turn)) in waiting.iter_mut().enumerate() {
            come.extend(now(turn).await.map(|_turn| index));
        }
        assert_eq!(come.len(), 1, "{order:?}");
        order.push(waiting.remove(come[0]).0);
    }
    assert_eq!(order, [0, 1, 0, 0, 1, 0]);
}

#[tokio::test]
async fn a_refusal_slows_its_key_down_and_no_other() {
    let clock = Clock::manual(utc_datetime!(2026-01-01 00:00));
    let (limiter, target) = (limiter(&clock), target());
    clock.advance(ms(1000));
    let turn = |host| Box::pin(limiter.permit(&target, host, Action::RunInstances, Class::Poll));
    let permit = now(&mut turn("a")).await.unwrap();
    let refused: Result<(), CloudError> = Err(CloudError {
        effect: Effect::Definite,
        reason: Reason::CloudRateLimited,
        retry: Retry::Backoff,
        code: "RequestLimitExceeded".to_owned(),
        message: String::new(),
        fields: Vec::new(),
        request_id: None,
    });
    permit.answered(&refused);
    let mut slow = turn("a");
    clock.advance(ms(125));
    assert!(now(&mut slow).await.is_none());
    assert!(now(&mut turn("b")).await.is_some());
    clock.advance(ms(125));
    assert!(now(&mut slow).await.is_some());
}
