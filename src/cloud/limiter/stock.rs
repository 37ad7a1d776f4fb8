//! The slots that calls of one key are made in: this process's own, or blocks of those that all
//! gateways of one journal share.

use super::LATE_MAX;
use std::collections::VecDeque;
use std::time::Duration;

/// How far ahead slots are taken: those of a gateway that ends unused are lost to the others.
const AHEAD: Duration = Duration::from_millis(300);
/// After slots could not be had.
const RETRY: Duration = Duration::from_millis(500);
/// What two clocks may drift apart: 1 ms a second, far more than clocks do.
const DRIFT: i64 = 1000;
/// The source tells its time to the millisecond.
const ROUNDING: i64 = 1000;

/// Slots wanted of a source that several gateways share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Account, host and action.
    pub key: String,
    /// How many.
    pub count: u32,
    /// From one to the next; whole milliseconds.
    pub interval: Duration,
}

/// Slots that nobody else has: `first`, and as many after it as were asked for. Times are the
/// source's, since the UNIX epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The time at the source when it answered.
    pub now: Duration,
    /// The first slot.
    pub first: Duration,
}

/// When the next call may be made.
#[derive(Debug)]
pub(super) enum Stock {
    /// At this time of our own clock, and after it.
    Own(Duration),
    Shared(Shared),
}

/// What the stock has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The one whose time is this.
    Now(Duration),
    /// None before that time.
    At(Duration),
    /// None: more must be asked for.
    Out,
}

/// Slots of a source with another clock.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// By the source's clock.
    slots: VecDeque<Duration>,
    offset: Option<Offset>,
    /// Nothing is asked for before.
    retry_at: Duration,
    asking: bool,
}

/// By how much the source's clock is ahead of ours, in microseconds: between the two. Each answer
/// says so, for it was made between the question and itself.
#[derive(Clone, Copy, Debug)]
struct Offset {
    least: i64,
    most: i64,
    /// When it was learned.
    at: Duration,
}

impl Stock {
    /// The slot to call in at `now`, by our own clock; it is used up.
    pub(super) fn take(&mut self, now: Duration, interval: Duration) -> Slot {
        match self {
            Self::Own(next) if now < *next => Slot::At(*next),
            Self::Own(next) => {
                // From now, not from the slot: calls that come late are not made up for.
                *next = now + interval;
                Slot::Now(now)
            }
            Self::Shared(shared) => shared.take(now),
        }
    }

    /// Rests for one interval at least.
    pub(super) fn rest(&mut self, now: Duration, interval: Duration) {
        match self {
            Self::Own(next) => *next = (*next).max(now + interval),
            Self::Shared(shared) => {
                shared.slots.clear();
                shared.retry_at = now + interval;
            }
        }
    }

    /// Whether it holds nothing that a new one would not know.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        match self {
            Self::Own(next) => *next <= now,
            Self::Shared(shared) => shared.slots.is_empty() && !shared.asking,
        }
    }
}

impl Shared {
    fn take(&mut self, now: Duration) -> Slot {
        let Some(offset) = self.offset else {
            return self.out(now);
        };
        while let Some(slot) = self.slots.front().map(|slot| offset.ours(*slot)) {
            if now < slot {
                return Slot::At(slot);
            }
            self.slots.pop_front();
            if now <= slot + LATE_MAX {
                return Slot::Now(slot);
            }
        }
        self.out(now)
    }

    fn out(&self, now: Duration) -> Slot {
        if now < self.retry_at {
            Slot::At(self.retry_at)
        } else {
            Slot::Out
        }
    }

    /// What to ask for, when nobody does, so that `waiting` callers get on: as many slots as lie in
    /// the near future. They are further apart the less we know of the source's clock.
    pub(super) fn ask(&mut self, waiting: usize, interval: Duration) -> Option<(u32, Duration)> {
        if self.asking {
            return None;
        }
        self.asking = true;
        let unsure = self.offset.map_or(0, |offset| offset.most - offset.least);
        let more = interval.as_micros() * u128::try_from(unsure).unwrap_or(0) / 1_000_000;
        let micros = interval.as_micros() + more;
        let millis = u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX);
        let ahead = AHEAD.as_millis().checked_div(millis.into()).unwrap_or(1);
        let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
        let count = waiting.min(ahead).max(1);
        let interval = Duration::from_millis(millis);
        Some((u32::try_from(count).unwrap_or(u32::MAX), interval))
    }

    /// Takes in what was asked for at `asked` and answered at `now`; none when it was not.
    pub(super) fn answered(
        &mut self,
        ask: (u32, Duration),
        block: Option<Block>,
        asked: Duration,
        now: Duration,
    ) {
        self.asking = false;
        let Some(block) = block else {
            self.retry_at = now + RETRY;
            return;
        };
        let learned = Offset {
            least: micros(block.now) - micros(now) - ROUNDING,
            most: micros(block.now) - micros(asked) + ROUNDING,
            at: now,
        };
        self.offset = Some(learned.with(self.offset));
        let (count, interval) = ask;
        self.slots
            .extend((0..count).map(|number| block.first + interval * number));
    }

    /// Whoever asked has gone away.
    pub(super) fn unanswered(&mut self) {
        self.asking = false;
    }
}

impl Offset {
    /// What this and an earlier observation say together. When they contradict each other, somebody
    /// has set the source's clock, and the earlier one counts no more.
    fn with(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else {
            return self;
        };
        let drifted = micros(self.at.saturating_sub(earlier.at)) / DRIFT;
        let least = self.least.max(earlier.least - drifted);
        let most = self.most.min(earlier.most + drifted);
        if least > most {
            return self;
        }
        Self {
            least,
            most,
            at: self.at,
        }
    }

    /// A time of the source by our own clock: the latest that it can be, for too late is safe.
    fn ours(self, theirs: Duration) -> Duration {
        let micros = u64::try_from(micros(theirs) - self.least).unwrap_or(0);
        Duration::from_micros(micros)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
