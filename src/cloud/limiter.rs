//! Keeps the calls of each account below the cloud's limits, and shares them out: what is urgent
//! first, launches by organisation.
//!
//! The cloud counts by account, host and action; so does this. A key's calls are spaced evenly,
//! without bursts, so that no second holds more than its rate. Who repeats a call first waits until
//! the key's budget for that has its price, and holds up nobody else meanwhile.

mod lane;
mod pace;
mod queue;
mod retries;
mod standing;
mod stock;

pub use retries::{Fare, Try};
pub use stock::{Ask, Block};

use super::{CloudError, Target};
use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::domain::ids::OrganizationId;
use crate::domain::names::AccountName;
use crate::domain::reason::Reason;
use crate::metrics;
use lane::{Lane, Next};
use queue::Ticket;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long after its slot a call may leave. The rates are 80 % of the cloud's limits, so a second
/// holds no more than those even when calls gather that much.
const LATE_MAX: Duration = Duration::from_millis(100);
/// Keys that are kept although nobody uses them, so that regions by the thousand take no memory.
const IDLE_LANES_MAX: usize = 1024;

/// Rates, in calls a second; 0 counts as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `RunInstances`.
    pub run_instances_per_second: u32,
    /// `TerminateInstances`.
    pub terminate_instances_per_second: u32,
    /// `DescribeInstances`, as much again for `DescribeInstancesStatus` and for
    /// `DescribeZoneInstanceConfigInfos`, and half as much for
    /// `DescribeAccountQuota`, for `DescribeZones` and for `DescribeRegions`.
    pub describe_per_second: u32,
    /// `InquiryPriceRunInstances`.
    pub inquiry_price_per_second: u32,
    /// What an organisation's launches count against those of others that wait for the same
    /// account; 1 for one that is not here.
    pub weights: BTreeMap<OrganizationId, u32>,
    /// The account that the calls of another one count as, for names of one account of the cloud.
    pub counted_as: BTreeMap<AccountName, AccountName>,
}

/// The actions of the cloud that the gateway calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    RunInstances,
    TerminateInstances,
    DescribeInstances,
    DescribeInstancesStatus,
    InquiryPriceRunInstances,
    DescribeZoneInstanceConfigInfos,
    DescribeAccountQuota,
    DescribeZones,
    DescribeRegions,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 9] = [
        Self::RunInstances,
        Self::TerminateInstances,
        Self::DescribeInstances,
        Self::DescribeInstancesStatus,
        Self::InquiryPriceRunInstances,
        Self::DescribeZoneInstanceConfigInfos,
        Self::DescribeAccountQuota,
        Self::DescribeZones,
        Self::DescribeRegions,
    ];

    /// The cloud's name of it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunInstances => "RunInstances",
            Self::TerminateInstances => "TerminateInstances",
            Self::DescribeInstances => "DescribeInstances",
            Self::DescribeInstancesStatus => "DescribeInstancesStatus",
            Self::InquiryPriceRunInstances => "InquiryPriceRunInstances",
            Self::DescribeZoneInstanceConfigInfos => "DescribeZoneInstanceConfigInfos",
            Self::DescribeAccountQuota => "DescribeAccountQuota",
            Self::DescribeZones => "DescribeZones",
            Self::DescribeRegions => "DescribeRegions",
        }
    }
}

/// What a call is for, the most urgent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Gives machines back: each second costs money.
    Terminate,
    /// Looks up what a launch in doubt has made.
    Reconcile,
    /// Asks how machines are.
    Poll,
    /// Launches for an organisation.
    Launch(OrganizationId),
    /// Looks for machines that nobody knows of.
    Sweep,
}

impl Class {
    /// The class as a metric label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Reconcile => "reconcile",
            Self::Poll => "poll",
            Self::Launch(_) => "launch",
            Self::Sweep => "sweep",
        }
    }
}

/// Gives out slots that no other gateway has. Calls wait for it, and for its retries.
pub type Source = Arc<dyn Fn(Ask) -> Answer + Send + Sync>;
/// What a [`Source`] will give.
pub type Answer = Pin<Box<dyn Future<Output = Result<Block, SourceError>> + Send>>;
/// Why a [`Source`] has none.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Lets calls through. Clones share it.
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    settings: Settings,
    weights: queue::Weights,
    clock: Clock,
    metrics: metrics::Cloud,
    /// Where slots come from that several gateways share; none: all are this process's.
    source: Option<Source>,
    /// Calls made before may have been made by the process before this one.
    since: Duration,
    lanes: Mutex<BTreeMap<Key, Arc<Lane>>>,
}

/// What the cloud counts by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    account: AccountName,
    host: String,
    action: Action,
}

/// As the source names it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            host,
            action,
        } = self;
        write!(f, "{account} {host} {}", action.as_str())
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl Limiter {
    /// A limiter of this process, which shares the accounts with those that have the same source:
    /// none when it has them to itself.
    #[must_use]
    pub fn new(
        settings: Settings,
        source: Option<Source>,
        clock: Clock,
        metrics: metrics::Cloud,
    ) -> Self {
        for action in Action::ALL {
            metrics.refused_for_rate(action.as_str(), 0);
        }
        metrics.repeats_none(&[
            Action::RunInstances.as_str(),
            Action::TerminateInstances.as_str(),
        ]);
        Self(Arc::new(Inner {
            weights: Arc::new(settings.weights.clone()),
            settings,
            source,
            since: clock.elapsed(),
            clock,
            metrics,
            lanes: Mutex::default(),
        }))
    }

    /// Waits until the account may call `action` at `host` for `class`. The wait has no end of its
    /// own: drop the future to give it up, and its place is free.
    pub fn turn(
        &self,
        target: &Target,
        host: &str,
        action: Action,
        class: Class,
    ) -> impl Future<Output = Turn> + Send + use<> {
        // Not an async fn: thousands wait, and each would carry what the call is made of twice.
        let key = self.key(target, host, action);
        let call = Call {
            limiter: self.clone(),
            lane: self.lane(&key),
            key,
            class,
        };
        call.turn(false)
    }

    /// As [`Limiter::turn`], for a call that is made at once.
    pub async fn permit(
        &self,
        target: &Target,
        host: &str,
        action: Action,
        class: Class,
    ) -> Permit {
        let turn = self.turn(target, host, action, class).await;
        turn.permit().await
    }

    fn key(&self, target: &Target, host: &str, action: Action) -> Key {
        let same = self.0.settings.counted_as.get(&target.account);
        Key {
            account: same.unwrap_or(&target.account).clone(),
            host: host.to_owned(),
            action,
        }
    }

    fn lane(&self, key: &Key) -> Arc<Lane> {
        let inner = &self.0;
        let mut lanes = inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() > IDLE_LANES_MAX {
            let now = inner.clock.elapsed();
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle(now));
        }
        let lane = lanes.entry(key.clone()).or_insert_with(|| {
            let per_second = inner.settings.per_second(key.action);
            let weights = Arc::clone(&inner.weights);
            Arc::new(match &inner.source {
                Some(_) => Lane::shared(per_second, weights),
                None => Lane::own(per_second, weights, inner.since),
            })
        });
        Arc::clone(lane)
    }
}

impl Settings {
    fn per_second(&self, action: Action) -> u32 {
        match action {
            Action::RunInstances => self.run_instances_per_second,
            Action::TerminateInstances => self.terminate_instances_per_second,
            Action::DescribeInstances
            | Action::DescribeInstancesStatus
            | Action::DescribeZoneInstanceConfigInfos => self.describe_per_second,
            // The cloud allows half as many of these as of the other reads.
            Action::DescribeAccountQuota | Action::DescribeZones | Action::DescribeRegions => {
                self.describe_per_second / 2
            }
            Action::InquiryPriceRunInstances => self.inquiry_price_per_second,
        }
    }
}

/// What a turn is wanted for, and where.
#[derive(Clone, Debug)]
struct Call {
    limiter: Limiter,
    key: Key,
    lane: Arc<Lane>,
    class: Class,
}

/// A turn that has come. It passes quickly; who is late for it gets the next one.
#[must_use]
#[derive(Debug)]
pub struct Turn {
    call: Call,
    slot: Duration,
    fare: Option<Fare>,
}

/// Lets one call through that leaves now. Only a [`Limiter`] makes one.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    call: Call,
    slot: Duration,
    fare: Option<Fare>,
}

impl Turn {
    /// What may be called.
    #[must_use]
    pub fn action(&self) -> Action {
        self.call.key.action
    }

    /// The same turn, paid for.
    pub fn paid(self, fare: Fare) -> Self {
        let fare = Some(fare);
        Self { fare, ..self }
    }

    /// The permission to call now: at once, or, when the turn has passed, at the next one, which
    /// goes to who missed theirs before all others.
    pub async fn permit(self) -> Permit {
        let Self { call, slot, fare } = self;
        let slot = call.caught_up(slot).await;
        let fare = fare.map(Fare::used);
        Permit { call, slot, fare }
    }
}

impl Permit {
    /// The permission for one more call of the same kind, when its turn comes.
    pub async fn another(self) -> Self {
        self.call.turn(false).await.permit().await
    }

    /// Waits for the next turn, before all others, when its own has passed.
    pub async fn catch_up(&mut self) {
        self.slot = self.call.caught_up(self.slot).await;
    }

    /// Takes note of the call's answer: a refusal for the rate slows the key down, and what
    /// repetitions may cost depends on it.
    pub fn answered<T>(&self, answer: &Result<T, CloudError>) {
        if let Some(fare) = &self.fare {
            fare.answered(answer);
        }
        let refused = |error: &CloudError| error.reason == Reason::CloudRateLimited;
        if answer.as_ref().is_err_and(refused) {
            let Call { lane, .. } = &self.call;
            lane.refused(self.slot, self.call.now());
            let action = self.call.key.action.as_str();
            self.call.metrics().refused_for_rate(action, 1);
            self.call.show_rate();
        }
    }
}

impl Call {
    async fn turn(self, again: bool) -> Turn {
        let started = self.now();
        let place = Place::new(&self.lane, &self.class, again);
        let slot = loop {
            match self.lane.next(place.ticket, self.now()) {
                Next::Go(slot) => break slot,
                Next::SleepUntil(at) => {
                    let sleep = at.saturating_sub(self.now());
                    tokio::select! {
                        biased;
                        () = place.bell.notified() => {}
                        () = self.limiter.0.clock.sleep(sleep) => {}
                    }
                }
                Next::Wait => place.bell.notified().await,
                // Boxed, because many wait and one fetches.
                Next::Fetch(count, interval) => Box::pin(self.fetch(count, interval)).await,
            }
        };
        drop(place);
        let (action, class) = (self.key.action.as_str(), self.class.as_str());
        let waited = self.now().saturating_sub(started);
        self.metrics().permitted(action, class, waited);
        self.show_rate();
        Turn {
            call: self,
            slot,
            fare: None,
        }
    }

    /// Has the source give slots to the lane. Dropped half way, another waiter does it.
    async fn fetch(&self, count: u32, interval: Duration) {
        let Some(source) = &self.limiter.0.source else {
            return;
        };
        let fetching = Fetching(Some(&self.lane));
        let asked = self.now();
        let key = self.key.to_string();
        let ask = Ask {
            key,
            count,
            interval,
        };
        let block = source(ask).await.inspect_err(|error| {
            let error = chain(&**error, ": ");
            tracing::warn!(error, key = %self.key, "the calls of {} wait", self.key);
        });
        fetching.disarmed();
        let ask = (count, interval);
        self.lane.answered(ask, block.ok(), asked, self.now());
    }

    /// The slot itself; when it has passed, the next one, before all others.
    async fn caught_up(&self, slot: Duration) -> Duration {
        if self.now() > slot + LATE_MAX {
            self.clone().turn(true).await.slot
        } else {
            slot
        }
    }

    fn now(&self) -> Duration {
        self.limiter.0.clock.elapsed()
    }

    fn metrics(&self) -> &metrics::Cloud {
        &self.limiter.0.metrics
    }

    fn show_rate(&self) {
        let rate = self.lane.rate(self.now());
        let (account, action) = (self.key.account.as_str(), self.key.action.as_str());
        let rate = u32::try_from(rate).unwrap_or(u32::MAX);
        self.metrics().permits(account, action, rate);
    }
}

/// A place in a lane. Dropping it frees it.
struct Place<'a> {
    lane: &'a Lane,
    ticket: Ticket,
    bell: Arc<Notify>,
}

impl<'a> Place<'a> {
    fn new(lane: &'a Lane, class: &Class, again: bool) -> Self {
        let (ticket, bell) = lane.join(class, again);
        Self { lane, ticket, bell }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.leave(self.ticket);
    }
}

/// A fetch under way. Dropping it lets another one begin.
struct Fetching<'a>(Option<&'a Lane>);

impl Fetching<'_> {
    fn disarmed(mut self) {
        self.0 = None;
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        if let Some(lane) = self.0 {
            lane.unanswered();
        }
    }
}

#[cfg(test)]
mod tests;
