//! How much an organisation may have at once: limits, what is used of them, and what is over them; pure.

use crate::domain::ids::OrganizationId;
use crate::domain::instance::{InstanceId, InstanceState};
use crate::domain::names::AccountName;
use crate::domain::operation::{Kind, Operation, StateName};
use crate::domain::outlook::{Cost, Size};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The window of `launches_per_minute`.
pub const MINUTE_MS: i64 = 60_000;
const SECOND_MS: i64 = 1000;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Machines that live, and those that open launches may still bring.
    Instances,
    /// Their vCPUs.
    Vcpu,
    /// Their GPUs.
    Gpu,
    /// What those cost each hour that are billed by it, in millionths.
    MoneyPerHour,
    /// What all cost in a month, in millionths.
    MoneyPerMonth,
    /// Launches that were accepted within the last minute.
    LaunchesPerMinute,
    /// Launches that have not come to an end.
    ConcurrentOperations,
}

impl Measure {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Instances,
        Self::Vcpu,
        Self::Gpu,
        Self::MoneyPerHour,
        Self::MoneyPerMonth,
        Self::LaunchesPerMinute,
        Self::ConcurrentOperations,
    ];

    /// Whether it counts what only the cloud knows of a model.
    #[must_use]
    pub const fn is_of_size(self) -> bool {
        matches!(self, Self::Vcpu | Self::Gpu) || self.is_money()
    }

    /// Whether it counts money.
    #[must_use]
    pub const fn is_money(self) -> bool {
        matches!(self, Self::MoneyPerHour | Self::MoneyPerMonth)
    }

    /// An amount of it, for a person.
    #[must_use]
    pub fn show(self, amount: i64) -> String {
        if self.is_money() {
            Decimal::new(amount, MONEY_DIGITS).normalize().to_string()
        } else {
            amount.to_string()
        }
    }

    /// An amount of it as a number of its unit.
    #[must_use]
    pub fn amount(self, amount: i64) -> f64 {
        self.show(amount).parse().unwrap_or(f64::INFINITY)
    }

    /// Its name in the configuration, in refusals and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instances => "instances",
            Self::Vcpu => "vcpu",
            Self::Gpu => "gpu",
            Self::MoneyPerHour => "money_per_hour",
            Self::MoneyPerMonth => "money_per_month",
            Self::LaunchesPerMinute => "launches_per_minute",
            Self::ConcurrentOperations => "concurrent_operations",
        }
    }
}

/// Limits of one organisation, or of some of its launches: all that it fits share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The operator's name for it.
    pub name: String,
    pub organization: OrganizationId,
    /// Only launches on this account.
    pub account: Option<AccountName>,
    /// Only launches of these callers.
    pub callers: Callers,
    /// How much of each measure; what is not named is not limited.
    pub limits: BTreeMap<Measure, i64>,
}

/// Whose launches a quota is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    Any,
    /// The one with this name.
    Named(String),
    /// Those whose names begin so.
    Beginning(String),
}

impl Callers {
    fn fit(&self, principal: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(name) => name == principal,
            Self::Beginning(prefix) => principal.starts_with(prefix),
        }
    }
}

impl Quota {
    /// Whether launches of `principal` on `account` count, both of its organisation.
    #[must_use]
    pub fn fits(&self, account: &str, principal: &str) -> bool {
        let own = self.account.as_ref();
        own.is_none_or(|own| own.as_str() == account) && self.callers.fit(principal)
    }
}

/// Digits of money after the point.
const MONEY_DIGITS: u32 = 6;

/// An amount of money in millionths, rounded up; as much as there is, if it is more.
#[must_use]
pub fn money(amount: Decimal) -> i64 {
    let millionths = amount.saturating_mul(Decimal::from(1_000_000)).ceil();
    i64::try_from(millionths).unwrap_or(i64::MAX)
}

/// What one machine counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worth {
    pub vcpu: i64,
    pub gpu: i64,
    /// In millionths, as is the next one.
    pub hourly: i64,
    pub monthly: i64,
}

impl Worth {
    /// Of a machine of that size; what it costs counts nothing when that is not known.
    #[must_use]
    pub fn of(size: &Size) -> Self {
        let hourly = size.cost.and_then(Cost::per_hour);
        Self {
            vcpu: size.vcpu.into(),
            gpu: size.gpu.into(),
            hourly: hourly.map_or(0, money),
            monthly: size.cost.map_or(0, |cost| money(cost.per_month())),
        }
    }

    /// The more of each.
    fn max(self, other: Self) -> Self {
        Self {
            vcpu: self.vcpu.max(other.vcpu),
            gpu: self.gpu.max(other.gpu),
            hourly: self.hourly.max(other.hourly),
            monthly: self.monthly.max(other.monthly),
        }
    }
}

/// What an operation takes of the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub account: AccountName,
    pub principal: String,
    /// When it was accepted, in milliseconds.
    pub time: i64,
    /// Whether it has not come to an end.
    pub open: bool,
    /// How many machines it may still have. Once it has ended, those that live count instead.
    pub instances: i64,
    /// What each of them counts for; at most, while it may still be launched in several places.
    pub each: Worth,
}

impl Reservation {
    /// Of an operation as it stands; none for a termination. What has not ended, or waits for a
    /// person, takes all that it asked for.
    #[must_use]
    pub fn of(operation: &Operation) -> Option<Self> {
        let open = !operation.state.name().is_final();
        let asked = i64::from(operation.instance_count);
        (operation.kind == Kind::Launch).then(|| Self {
            account: operation.account.clone(),
            principal: operation.principal.clone(),
            time: crate::domain::millis::from_time(operation.create_time),
            open,
            instances: if open && !operation.dry_run { asked } else { 0 },
            each: each(operation, open),
        })
    }
}

fn each(operation: &Operation, open: bool) -> Worth {
    let here = usize::try_from(operation.alternative).unwrap_or(usize::MAX);
    let worths = operation.worths.iter().copied();
    if open {
        worths.reduce(Worth::max).unwrap_or_default()
    } else {
        operation.worths.get(here).copied().unwrap_or_default()
    }
}

/// What launches of one caller on one account take together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub instances: i64,
    pub operations: i64,
    /// Of all instances.
    pub worth: Worth,
}

impl Amounts {
    fn of(reservation: &Reservation) -> Self {
        let Reservation {
            instances, each, ..
        } = reservation;
        let all = |each: i64| each.saturating_mul(*instances);
        Self {
            instances: *instances,
            operations: i64::from(reservation.open),
            worth: Worth {
                vcpu: all(each.vcpu),
                gpu: all(each.gpu),
                hourly: all(each.hourly),
                monthly: all(each.monthly),
            },
        }
    }

    /// How much of it a measure counts; nothing for one that counts launches in time.
    fn of_measure(&self, measure: Measure) -> i64 {
        match measure {
            Measure::Instances => self.instances,
            Measure::Vcpu => self.worth.vcpu,
            Measure::Gpu => self.worth.gpu,
            Measure::MoneyPerHour => self.worth.hourly,
            Measure::MoneyPerMonth => self.worth.monthly,
            Measure::ConcurrentOperations => self.operations,
            Measure::LaunchesPerMinute => 0,
        }
    }
}

/// What is used in one organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By account and caller.
    held: BTreeMap<(String, String), Amounts>,
    /// Launches of the last minute by account, caller and second.
    launches: BTreeMap<(String, String, i64), i64>,
}

/// A limit that a launch would go over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub quota: String,
    pub measure: Measure,
    pub used: i64,
    pub asked: i64,
    pub limit: i64,
    /// After how long there is room again, if that is known.
    pub room_after: Option<Duration>,
}

/// How much of one limit is used, and what a launch would take of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    pub level: Level,
    pub asked: i64,
}

/// How much of one limit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    pub quota: String,
    pub measure: Measure,
    pub used: i64,
    pub limit: i64,
}

impl Usage {
    /// Counts what launches of one caller on one account hold.
    pub fn hold(&mut self, account: &str, principal: &str, amounts: &Amounts) {
        let key = (account.to_owned(), principal.to_owned());
        let held = self.held.entry(key).or_default();
        held.instances = held.instances.saturating_add(amounts.instances);
        held.operations = held.operations.saturating_add(amounts.operations);
        let (all, more) = (&mut held.worth, &amounts.worth);
        all.vcpu = all.vcpu.saturating_add(more.vcpu);
        all.gpu = all.gpu.saturating_add(more.gpu);
        all.hourly = all.hourly.saturating_add(more.hourly);
        all.monthly = all.monthly.saturating_add(more.monthly);
    }

    /// Counts launches that were accepted in a second: [`second`] of its time.
    pub fn launched(&mut self, account: &str, principal: &str, second: i64, launches: i64) {
        let key = (account.to_owned(), principal.to_owned(), second);
        let counted = self.launches.entry(key).or_default();
        *counted = counted.saturating_add(launches);
    }

    /// Counts one reservation.
    pub fn add(&mut self, reservation: &Reservation) {
        let Reservation {
            account, principal, ..
        } = reservation;
        let amounts = Amounts::of(reservation);
        self.hold(account.as_str(), principal, &amounts);
        self.launched(account.as_str(), principal, second(reservation.time), 1);
    }

    /// How much of each limit of `quota` is used at `now`, in milliseconds.
    #[must_use]
    pub fn levels(&self, quota: &Quota, now: i64) -> Vec<Level> {
        let level = |(measure, limit): (&Measure, &i64)| Level {
            quota: quota.name.clone(),
            measure: *measure,
            used: self.used(quota, *measure, now),
            limit: *limit,
        };
        quota.limits.iter().map(level).collect()
    }

    /// How much of each limit of `quota` a launch with this reservation would take.
    #[must_use]
    pub fn headroom(&self, quota: &Quota, asked: &Reservation) -> Vec<Headroom> {
        let levels = self.levels(quota, asked.time).into_iter();
        let headroom = levels.map(|level| Headroom {
            asked: asked_of(level.measure, asked),
            level,
        });
        headroom.collect()
    }

    /// The limits that a launch with this reservation would go over.
    #[must_use]
    pub fn exceeded(&self, quotas: &[Quota], asked: &Reservation) -> Vec<Exceeded> {
        let mut exceeded = Vec::new();
        for quota in quotas {
            for (measure, limit) in &quota.limits {
                let used = self.used(quota, *measure, asked.time);
                let more = asked_of(*measure, asked);
                if more == 0 || used.saturating_add(more) <= *limit {
                    continue;
                }
                exceeded.push(Exceeded {
                    quota: quota.name.clone(),
                    measure: *measure,
                    used,
                    asked: more,
                    limit: *limit,
                    room_after: self.room_after(quota, *measure, *limit, asked.time),
                });
            }
        }
        exceeded
    }

    fn used(&self, quota: &Quota, measure: Measure, now: i64) -> i64 {
        let held = self.held.iter();
        let held = held.filter(|((account, principal), _)| quota.fits(account, principal));
        let held = held.map(|(_, amounts)| amounts.of_measure(measure));
        let launches = self.recent(quota, now).map(|(_, launches)| launches);
        match measure {
            Measure::LaunchesPerMinute => launches.fold(0, i64::saturating_add),
            Measure::Instances
            | Measure::Vcpu
            | Measure::Gpu
            | Measure::MoneyPerHour
            | Measure::MoneyPerMonth
            | Measure::ConcurrentOperations => held.fold(0, i64::saturating_add),
        }
    }

    /// The launches that count at `now`, by second. A second counts until its end is a minute past.
    fn recent(&self, quota: &Quota, now: i64) -> impl Iterator<Item = (i64, i64)> {
        let launches = self.launches.iter();
        let counts = launches.filter(move |((account, principal, second), _)| {
            expires(*second) > now && quota.fits(account, principal)
        });
        counts.map(|((_, _, second), launches)| (*second, *launches))
    }

    /// How long until one more launch fits, which only time tells of launches per minute.
    fn room_after(
        &self,
        quota: &Quota,
        measure: Measure,
        limit: i64,
        now: i64,
    ) -> Option<Duration> {
        if measure != Measure::LaunchesPerMinute || limit < 1 {
            return None;
        }
        let mut recent: Vec<_> = self.recent(quota, now).collect();
        recent.sort_unstable();
        let mut left: i64 = recent.iter().map(|(_, launches)| launches).sum();
        for (second, launches) in recent {
            left -= launches;
            if left < limit {
                let wait = u64::try_from(expires(second) - now);
                return wait.ok().map(Duration::from_millis);
            }
        }
        None
    }
}

fn asked_of(measure: Measure, asked: &Reservation) -> i64 {
    match measure {
        Measure::LaunchesPerMinute => 1,
        Measure::Instances
        | Measure::Vcpu
        | Measure::Gpu
        | Measure::MoneyPerHour
        | Measure::MoneyPerMonth
        | Measure::ConcurrentOperations => Amounts::of(asked).of_measure(measure),
    }
}

/// The second of a time in milliseconds.
#[must_use]
pub const fn second(time: i64) -> i64 {
    time.div_euclid(SECOND_MS)
}

/// From when on the launches of a second no longer count, in milliseconds.
const fn expires(second: i64) -> i64 {
    (second + 1) * SECOND_MS + MINUTE_MS
}

/// Whether a machine in that state counts no longer, although the cloud may still show it.
#[must_use]
pub const fn leaves(state: &InstanceState) -> bool {
    use InstanceState::{LaunchFailed, Shutdown, Terminating};
    matches!(state, LaunchFailed | Shutdown | Terminating)
}

/// The machines of an operation that this snapshot shows to be gone. What is only missing may be a
/// lag of the cloud, unless the operation ended for it; the sweep finds the others.
pub fn gone(operation: &Operation) -> impl Iterator<Item = &InstanceId> {
    use crate::domain::reason::Reason;
    let state = operation.state.name();
    let given_back = operation.kind == Kind::Termination && state == StateName::Succeeded
        || state == StateName::Cancelled;
    let failure = operation.failure.as_ref().map(|failure| failure.reason);
    let waited = state.is_final() && failure != Some(Reason::LaunchTimeout);
    let gone = operation.instances.iter().filter(move |instance| {
        let leaves = instance.state.as_ref().is_some_and(leaves);
        given_back || leaves || waited && instance.missing_since.is_some()
    });
    gone.map(|instance| &instance.id)
}
