//! Looks for machines that carry the gateway's tag and that no operation names: in every place, the
//! cloud first and the journal after it, so that nothing is missed in the journal that was launched
//! before the cloud was asked. What it finds it tells, and gives to the operation of the tag.

mod judge;
mod stock;

use super::Inner;
use super::driver::target;
use crate::chaos;
use crate::cloud::limiter::{Action, Class};
use crate::cloud::{CloudError, Effect, Leaving, Retry, Signing, Tagged, Target, body};
use crate::domain::causes::chain;
use crate::domain::ids::OperationId;
use crate::domain::instance::InstanceId;
use crate::domain::millis::since;
use crate::domain::names::AccountName;
use crate::store::{Adoption, StoreError};
use judge::{Books, Orphan, Why, named, orphans};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use stock::Absences;
use time::UtcDateTime;

/// Places that are swept although the configuration does not name them: where callers may name any
/// region, also regions that do not exist.
const OTHER_PLACES_MAX: usize = 1000;
/// How long a place is left alone in which the cloud will not be asked: the account has not opened
/// it, or it is no region.
const CLOSED_FOR: Duration = Duration::from_secs(60 * 60);
/// Orphans of one sweep that get a line of the log each; the next sweep logs the next ones.
const LINES_MAX: usize = 100;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How orphans are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepSettings {
    /// Between two sweeps; zero: never.
    pub interval: Duration,
    /// How long after the first sighting an orphan must be seen again to be one.
    pub grace: Duration,
    /// Whether orphans that are certainly nobody's are given back to the cloud.
    pub delete: bool,
    /// How many at most are given back within an hour.
    pub deletes_per_hour_max: usize,
    /// Whose machines are looked for: of other accounts there are no keys.
    pub accounts: BTreeSet<AccountName>,
    /// Where to look, beside where operations are under way and where machines live.
    pub places: BTreeSet<Target>,
}

/// What is remembered from sweep to sweep.
#[derive(Default)]
struct Memory {
    /// Where operations were under way, and where machines lived.
    others: BTreeSet<Target>,
    /// Until when places are left alone.
    closed: BTreeMap<Target, UtcDateTime>,
    sightings: BTreeMap<Target, Sightings>,
    absences: BTreeMap<Target, Absences>,
    /// When orphans were given back within the last hour.
    deletions: VecDeque<UtcDateTime>,
}

/// The machines of one place that were orphans in its last sweep.
type Sightings = BTreeMap<InstanceId, Sighting>;

struct Sighting {
    first: UtcDateTime,
    logged: bool,
}

/// Why a place could not be swept.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("the cloud cannot be asked")]
    Cloud(#[from] CloudError),
    #[error("the journal cannot be read")]
    Store(#[from] StoreError),
}

impl SweepError {
    /// Whether asking again soon is no use.
    fn is_for_good(&self) -> bool {
        match self {
            Self::Cloud(error) => error.effect == Effect::Definite && error.retry == Retry::No,
            Self::Store(_) => false,
        }
    }
}

impl Inner {
    /// Sweeps every place again and again, until the gateway stops. The first time is a grace after
    /// the start, because what is under way comes first.
    pub(super) async fn keep_sweeping(self: Arc<Self>) {
        let settings = &self.settings.sweep;
        if settings.interval.is_zero() {
            return;
        }
        for account in &settings.accounts {
            self.metrics.operations.swept_none(account.as_str());
        }
        let soon = settings.grace.min(settings.interval);
        let mut memory = Memory::default();
        let mut pause = soon;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.clock.sleep(pause) => {}
            }
            for place in self.places(&mut memory).await {
                self.sweep(&place, &mut memory).await;
            }
            pause = if self.is_sure(&memory) {
                settings.interval
            } else {
                soon
            };
        }
    }

    /// Where machines may be that the gateway launched.
    async fn places(&self, memory: &mut Memory) -> BTreeSet<Target> {
        let (now, settings) = (self.clock.now(), &self.settings.sweep);
        let ids = self.table.ids().into_iter();
        let under_way = ids.filter_map(|id| Some(target(&self.table.get(id)?.1)));
        for place in under_way.chain(self.lived_in().await) {
            let is_other =
                settings.accounts.contains(&place.account) && !settings.places.contains(&place);
            if is_other && memory.others.len() < OTHER_PLACES_MAX {
                memory.others.insert(place);
            }
        }
        memory.closed.retain(|_, until| *until > now);
        let all = settings.places.union(&memory.others);
        let open = all.filter(|place| !memory.closed.contains_key(place));
        open.cloned().collect()
    }

    /// Where machines live as far as the journal knows.
    async fn lived_in(&self) -> Vec<Target> {
        let places = self.store.living_places(OTHER_PLACES_MAX).await;
        let places = places.unwrap_or_else(|error| {
            let error = chain(&error, ": ");
            tracing::warn!(
                error,
                "where machines live is not known; the next sweep asks again"
            );
            Vec::new()
        });
        let places = places.into_iter();
        places
            .map(|(account, region)| Target { account, region })
            .collect()
    }

    /// Whether every orphan in sight has been seen long enough to be reported.
    fn is_sure(&self, memory: &Memory) -> bool {
        let mut sightings = memory.sightings.values().flat_map(BTreeMap::values);
        sightings.all(|sighting| sighting.logged)
    }

    async fn sweep(self: &Arc<Self>, place: &Target, memory: &mut Memory) {
        let started = self.clock.now();
        let absences = memory.absences.entry(place.clone()).or_default();
        let orphans = match self.orphans(place, started, absences).await {
            Some(Ok(orphans)) => orphans,
            Some(Err(error)) => {
                self.metrics.operations.swept(place.account.as_str(), false);
                let causes = chain(&error, ": ");
                tracing::warn!(account = %place.account, region = %place.region, error = causes,
                    "the search for orphans failed; the next one repeats it");
                if error.is_for_good() {
                    memory.closed.insert(place.clone(), started + CLOSED_FOR);
                    // What was in sight there is not looked for meanwhile.
                    memory.sightings.remove(place);
                    memory.absences.remove(place);
                    let (account, region) = (place.account.as_str(), place.region.as_str());
                    self.metrics.operations.orphans_of(account, region, 0);
                }
                return;
            }
            None => return, // the gateway stops
        };
        self.metrics.operations.swept(place.account.as_str(), true);
        let sightings = memory.sightings.entry(place.clone()).or_default();
        let confirmed = self.confirm(place, orphans, started, sightings);
        let delete = self.settings.sweep.delete;
        let leaves = |orphan: &Orphan| delete && orphan.why == Why::Late;
        let (leaving, staying): (Vec<_>, Vec<_>) = confirmed.into_iter().partition(leaves);
        self.adopt(place, staying).await;
        for orphan in leaving {
            self.give_back(place, &orphan.machine, &mut memory.deletions)
                .await;
        }
    }

    /// Writes orphans down as machines of the operations that their tags name, as far as those have
    /// come to their end: then their organisations have them, and can give them back.
    async fn adopt(&self, place: &Target, orphans: Vec<Orphan>) {
        let mut heirs: BTreeMap<OperationId, Vec<InstanceId>> = BTreeMap::new();
        for orphan in orphans {
            if let Some(heir) = orphan.heir {
                heirs.entry(heir).or_default().push(orphan.machine.id);
            }
        }
        for (operation, instances) in heirs {
            let adoption = Adoption {
                operation,
                account: place.account.clone(),
                region: place.region.clone(),
                instances,
                time: self.clock.now(),
            };
            let adopted = match self.store.adopt(&adoption).await {
                Ok(adopted) => adopted,
                Err(error) => {
                    let error = chain(&error, ": ");
                    tracing::warn!(error, %operation, "orphans could not be adopted; the next sweep tries again");
                    return;
                }
            };
            let metrics = &self.metrics.operations;
            metrics.orphans_adopted(place.account.as_str(), adopted.len());
            for id in adopted {
                tracing::warn!(account = %place.account, region = %place.region, instance = %id, %operation,
                    "orphan {id} is a machine of operation {operation} from now on");
            }
        }
    }

    /// The orphans of a place, once stock is taken; nothing when the gateway stops.
    async fn orphans(
        self: &Arc<Self>,
        place: &Target,
        started: UtcDateTime,
        absences: &mut Absences,
    ) -> Option<Result<Vec<Orphan>, SweepError>> {
        let action = Action::DescribeInstances;
        let permit = self.permit(place, action, Class::Sweep).await?;
        let key = body::operation_tag_key();
        let list = self.cloud.list_tagged(permit, place, &key);
        let listed = self.stop.run_until_cancelled(list);
        let listed = chaos::around!("sweep.list", listed, else Some(Err(crate::cloud::Fault::Timeout.error("planted"))));
        Some(match listed? {
            Ok(machines) => {
                let stock = self.take_stock(place, &machines, started, absences);
                if let Err(error) = stock.await {
                    return Some(Err(error.into()));
                }
                let unnamed = self.unnamed(place, machines);
                chaos::around!("sweep.judge", unnamed, else Err(StoreError::Busy))
                    .map_err(Into::into)
            }
            Err(error) => Err(error.into()),
        })
    }

    /// The orphans among the machines that the cloud listed before.
    async fn unnamed(
        &self,
        place: &Target,
        mut machines: Vec<Tagged>,
    ) -> Result<Vec<Orphan>, StoreError> {
        let ids: Vec<_> = machines.iter().map(|machine| machine.id.clone()).collect();
        let owners = self.store.owners(&ids).await?;
        let owned = owners.iter().map(|owner| owner.instance.clone());
        let owned: BTreeSet<InstanceId> = owned.collect();
        machines.retain(|machine| !owned.contains(&machine.id));
        let operations: BTreeSet<_> = machines.iter().filter_map(named).collect();
        let operations: Vec<_> = operations.into_iter().collect();
        let books = Books {
            known: self.store.known(&operations).await?,
            owners,
            quarantine: self.settings.timings.quarantine,
        };
        let machines = chaos::wrong!(
            "sweep-order-swapped",
            machines,
            self.listed_again(place, &owned).await
        );
        Ok(orphans(place, machines, &books))
    }

    /// The mistake of that name: what is judged was listed after the journal was read.
    #[cfg(feature = "chaos")]
    async fn listed_again(&self, place: &Target, owned: &BTreeSet<InstanceId>) -> Vec<Tagged> {
        let (action, key) = (Action::DescribeInstances, body::operation_tag_key());
        let Some(permit) = self.permit(place, action, Class::Sweep).await else {
            return Vec::new();
        };
        let list = self.cloud.list_tagged(permit, place, &key).await;
        let mut machines = list.unwrap_or_default();
        machines.retain(|machine| !owned.contains(&machine.id));
        machines
    }

    /// The orphans that were seen long enough ago for the first time, each logged once.
    fn confirm(
        &self,
        place: &Target,
        orphans: Vec<Orphan>,
        started: UtcDateTime,
        sightings: &mut Sightings,
    ) -> Vec<Orphan> {
        let now = self.clock.now();
        let ids: BTreeSet<_> = orphans.iter().map(|orphan| &orphan.machine.id).collect();
        sightings.retain(|id, _| ids.contains(id));
        let mut confirmed = Vec::new();
        let mut lines = 0;
        for orphan in orphans {
            let id = orphan.machine.id.clone();
            let sighting = sightings.entry(id).or_insert(Sighting {
                first: now,
                logged: false,
            });
            if since(started, sighting.first) < self.settings.sweep.grace
                || sighting.first > started
            {
                continue;
            }
            if !sighting.logged && lines < LINES_MAX {
                lines += 1;
                sighting.logged = true;
                let Tagged { id, value, .. } = &orphan.machine;
                tracing::warn!(account = %place.account, region = %place.region, instance = %id,
                    tag = value, "instance {id} is an orphan: {}", orphan.why.as_str());
            }
            confirmed.push(orphan);
        }
        let metrics = &self.metrics.operations;
        let (account, region) = (place.account.as_str(), place.region.as_str());
        metrics.orphans_of(account, region, confirmed.len());
        confirmed
    }

    /// Has the cloud take back what is certainly nobody's.
    async fn give_back(
        &self,
        place: &Target,
        machine: &Tagged,
        deletions: &mut VecDeque<UtcDateTime>,
    ) {
        let now = self.clock.now();
        while deletions.front().is_some_and(|at| since(now, *at) >= HOUR) {
            deletions.pop_front();
        }
        if deletions.len() >= self.settings.sweep.deletes_per_hour_max {
            return;
        }
        let action = Action::TerminateInstances;
        let Some(permit) = self.permit(place, action, Class::Sweep).await else {
            return; // the gateway stops
        };
        // Before the call: one that gets no answer may have been carried out.
        deletions.push_back(now);
        let id = &machine.id;
        // Its addresses stay: they may be somebody's.
        let leaving = Leaving {
            ids: std::slice::from_ref(id),
            release_addresses: false,
        };
        let signing = Signing {
            at: self.clock.now(),
            caller: None,
        };
        let call = self
            .cloud
            .terminate_instances(permit, place, leaving, signing);
        match call.await {
            Ok(()) => {
                self.metrics
                    .operations
                    .orphan_deleted(place.account.as_str());
                tracing::warn!(account = %place.account, region = %place.region, instance = %id,
                    "orphan {id} was given back to the cloud");
            }
            Err(error) => tracing::warn!(
                account = %place.account, region = %place.region, instance = %id, code = error.code,
                "orphan {id} could not be given back; the next sweep tries again"),
        }
    }
}

#[cfg(test)]
mod tests;
