//! The fake cloud itself: pure and seeded, with the time handed in. No async, no I/O, no clock.

mod books;
mod capacity;
mod charges;
mod faults;
mod guest;
mod life;
mod listings;
mod machine;
mod neighbours;
mod offers;
mod power;
mod query;
mod sts;
mod tokens;

pub(super) use books::Books;
pub(super) use life::{timestamp, unit};
pub(super) use sts::Issued;

use super::catalog::misbehaviour::Faults;
use super::catalog::{Catalog, Region};
use super::cloud::Made;
use super::validate;
use super::wire::{self, Refusal, answer};
use capacity::Capacity;
use faults::Drawn;
use guest::Guests;
use machine::Machine;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use time::UtcDateTime;
use tokens::Tokens;

/// Machines remembered, gone ones included; then only a restart helps.
const MACHINES_MAX: usize = 1_000_000;
/// Counts of calls that may be kept; then those of seconds that are over are dropped.
const WINDOWS_MAX: usize = 10_000;
/// Ids of one DescribeInstances, DescribeInstancesStatus or TerminateInstances.
const IDS_MAX: usize = 100;
/// The random stream of request ids; machines use the streams 0, 1, 2, …
const REQUEST_ID_STREAM: u64 = u64::MAX;
/// The random stream of how long stops, starts and reboots take. Faults have the one between.
const POWER_STREAM: u64 = u64::MAX - 2;
/// The random stream of scenes.
pub(super) const SCENES_STREAM: u64 = u64::MAX - 4;
/// The random stream of temporary keys.
const KEYS_STREAM: u64 = u64::MAX - 3;

/// Everything that the fake cloud knows.
#[derive(Debug)]
pub(super) struct World {
    catalog: Arc<Catalog>,
    seed: u64,
    speed: f64,
    /// Shared with the books, so that those are copied at once.
    machines: Vec<Arc<Machine>>,
    by_id: HashMap<String, usize>,
    /// Machines that are not gone yet, in order of creation.
    alive: BTreeSet<usize>,
    /// When machines will be gone, so that what they hold can be given back.
    leaving: BTreeSet<(UtcDateTime, usize)>,
    capacity: Capacity,
    guests: Guests,
    /// What machines were charged that are gone.
    settled: f64,
    tokens: Tokens,
    faults: Drawn,
    /// (key, action) → the second being counted and the calls in it.
    windows: HashMap<(String, String), (i64, u32)>,
    request_ids: ChaCha8Rng,
    power: ChaCha8Rng,
    keys: ChaCha8Rng,
    issued: Issued,
}

/// One authenticated call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) now: UtcDateTime,
    pub(super) secret_id: &'a str,
    pub(super) region: &'a str,
    /// The host that was called.
    pub(super) endpoint: &'a str,
    pub(super) request_id: &'a str,
}

impl World {
    pub(super) fn new(catalog: Arc<Catalog>, seed: u64, speed: f64) -> Self {
        Self {
            capacity: Capacity::new(&catalog),
            faults: Drawn::new(catalog.faults.clone(), seed),
            catalog,
            seed,
            speed,
            machines: Vec::new(),
            by_id: HashMap::new(),
            alive: BTreeSet::new(),
            leaving: BTreeSet::new(),
            guests: Guests::default(),
            settled: 0.0,
            tokens: Tokens::default(),
            windows: HashMap::new(),
            request_ids: random_stream(seed, REQUEST_ID_STREAM),
            power: random_stream(seed, POWER_STREAM),
            keys: random_stream(seed, KEYS_STREAM),
            issued: Issued::default(),
        }
    }

    pub(super) fn next_request_id(&mut self) -> String {
        random_uuid(&mut self.request_ids)
    }

    /// Counts the call against its action's limit; only the first N of each second pass.
    pub(super) fn admit(
        &mut self,
        now: UtcDateTime,
        secret_id: &str,
        action: &str,
    ) -> Result<(), Refusal> {
        let (changed, rates) = (&self.faults.settings().rates, &self.catalog.rates);
        let limit = changed.get(action).or_else(|| rates.get(action));
        let limit = limit.copied().unwrap_or(u32::MAX);
        let second = now.unix_timestamp();
        if self.windows.len() >= WINDOWS_MAX {
            self.windows.retain(|_, (counted, _)| *counted == second);
        }
        let window = self
            .windows
            .entry((secret_id.to_owned(), action.to_owned()));
        let (counted, calls) = window.or_insert((second, 0));
        if *counted != second {
            (*counted, *calls) = (second, 0);
        }
        *calls = calls.saturating_add(1);
        if *calls <= limit {
            return self.faults.break_inside(action);
        }
        let message = format!(
            "Your current request times equals to `{calls}` in a second, which exceeds the frequency limit `{limit}` for a second. Please reduce the frequency of calls."
        );
        Err(Refusal::new("RequestLimitExceeded", message))
    }

    /// What it does wrong from now on.
    pub(super) fn misbehave(&mut self, faults: Faults) {
        self.capacity.misbehave(&self.catalog, &faults);
        self.faults.replace(faults);
    }

    pub(super) fn faults(&self) -> &Faults {
        self.faults.settings()
    }

    /// How far the signed time of a request may lie from the clock.
    pub(super) fn signature_life(&self) -> time::Duration {
        self.faults.settings().signature_life(&self.catalog)
    }

    pub(super) fn run_instances(
        &mut self,
        call: &Call<'_>,
        request: &wire::RunInstances,
    ) -> Result<answer::Launched, Refusal> {
        self.settle(call.now);
        let token = validate::client_token(request)?;
        let dry_run = request.dry_run.unwrap_or(false);
        if let Some(token) = token.filter(|_| !dry_run)
            && let Some(ids) = self.known(call, token, request)?
        {
            return Ok(launched(ids));
        }
        let catalog = Arc::clone(&self.catalog);
        let order = validate::order(&catalog, region(&catalog, call)?, call.now, request)?;
        let granted = self.capacity.check(&order)?;
        let granted = self.faults.partial(granted, order.min_count);
        self.refuse_unpayable(&order, granted, call.now)?;
        if self.machines.len() >= MACHINES_MAX {
            let message = "The simulator remembers too many machines; restart it.";
            return Err(Refusal::new("ServiceUnavailable", message));
        }
        if dry_run {
            return Ok(answer::Launched {
                instance_id_set: None,
            });
        }
        let late = self.faults.lateness();
        let guest = self.guests.take_in(request)?;
        let births = (0..granted).map(|index| machine::Birth {
            call,
            request,
            order: &order,
            index,
            count: granted,
            speed: self.speed,
            late,
            guest: &guest,
        });
        let births: Vec<_> = births.collect();
        let ids: Vec<_> = births.iter().map(|birth| self.launch(birth)).collect();
        if let Some(token) = token {
            let faults = self.faults.settings();
            self.tokens.learn(faults, call, token, request, &ids);
        }
        Ok(launched(ids))
    }

    pub(super) fn describe_instances(
        &mut self,
        call: &Call<'_>,
        request: &wire::DescribeInstances,
    ) -> Result<answer::Instances, Refusal> {
        self.settle(call.now);
        let filters = request.filters.as_deref().unwrap_or_default();
        if !filters.is_empty()
            && request
                .instance_ids
                .as_ref()
                .is_some_and(|ids| !ids.is_empty())
        {
            let message = "`InstanceIds` and `Filters` exclude each other.";
            return Err(Refusal::new("InvalidParameter", message));
        }
        query::check(region(&self.catalog, call)?, filters)?;
        self.check_tag_keys(filters)?;
        let page = query::Page::new(request.offset, request.limit)?;
        let page = self.faults.shift(page);
        let found = self.named(call, request.instance_ids.as_deref())?;
        let found = found
            .into_iter()
            .filter(|machine| query::matches(machine, filters, call.now));
        let found: Vec<_> = found.collect();
        Ok(answer::Instances {
            total_count: found.len(),
            instance_set: page
                .of(found)
                .map(|machine| machine.view(call.now))
                .collect(),
        })
    }

    /// Refuses filters by a tag key that no machine was given, if the faults say so.
    fn check_tag_keys(&self, filters: &[wire::Filter]) -> Result<(), Refusal> {
        if !self.faults.settings().tag_key_not_found {
            return Ok(());
        }
        let known = |key: &&str| {
            let mut tags = self.machines.iter().flat_map(|machine| machine.tags());
            tags.any(|tag| tag.key == **key)
        };
        match query::tag_keys(filters).find(|key| !known(key)) {
            None => Ok(()),
            Some(key) => {
                let message = format!("The tag key `{key}` does not exist.");
                Err(Refusal::new(
                    "InvalidParameterValue.TagKeyNotFound",
                    message,
                ))
            }
        }
    }

    pub(super) fn describe_instances_status(
        &mut self,
        call: &Call<'_>,
        request: &wire::DescribeInstancesStatus,
    ) -> Result<answer::InstanceStatuses, Refusal> {
        self.settle(call.now);
        let page = query::Page::new(request.offset, request.limit)?;
        let found = self.named(call, request.instance_ids.as_deref())?;
        let status = |machine: &Machine| {
            let instance_id = machine.id().to_owned();
            let instance_state = machine.life.state(call.now)?;
            Some(answer::InstanceStatus {
                instance_id,
                instance_state,
            })
        };
        Ok(answer::InstanceStatuses {
            total_count: found.len(),
            instance_status_set: page.of(found).filter_map(status).collect(),
        })
    }

    /// All of the machines or none of them.
    pub(super) fn terminate_instances(
        &mut self,
        call: &Call<'_>,
        request: &wire::TerminateInstances,
    ) -> Result<answer::Nothing, Refusal> {
        self.settle(call.now);
        let found = self.all_named(call, &request.instance_ids)?;
        let billings: BTreeSet<_> = found
            .iter()
            .map(|machine| machine.billing.as_str())
            .collect();
        if billings.len() > 1 {
            let message = "The instances must be of one billing type.";
            return Err(Refusal::new(
                "UnsupportedOperation.InstanceMixedPricingModel",
                message,
            ));
        }
        for machine in &found {
            machine.refuse_termination(call.now)?;
        }
        let indexes: Vec<_> = found
            .iter()
            .filter_map(|machine| self.by_id.get(machine.id()).copied())
            .collect();
        for index in indexes {
            self.terminate(call, index);
        }
        Ok(answer::Nothing {})
    }

    fn known(
        &self,
        call: &Call<'_>,
        token: &str,
        request: &wire::RunInstances,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let index = |id: &String| self.by_id.get(id);
        let is_there = |id: &String| index(id).is_some_and(|index| self.alive.contains(index));
        let faults = self.faults.settings();
        self.tokens.known(faults, call, token, request, is_there)
    }

    /// Every machine ever made, for who checks.
    pub(super) fn made(&self) -> impl Iterator<Item = Made> {
        self.machines.iter().map(|machine| {
            let tags = machine.tags().iter().cloned();
            Made {
                id: machine.id().to_owned(),
                request_id: machine.request_id.clone(),
                client_token: machine.client_token.clone(),
                tags: tags.map(|tag| (tag.key, tag.value)).collect(),
                created_at: machine.life.created_at(),
                failed_at: machine.life.failed_at(),
                gone_at: machine.life.gone_at(),
            }
        })
    }

    fn launch(&mut self, birth: &machine::Birth<'_>) -> String {
        let mut random = random_stream(
            self.seed,
            self.machines.len().try_into().unwrap_or_default(),
        );
        let seat = self.capacity.take(birth.order, birth.index);
        let failure = self.faults.launch_failure();
        let mut machine = Machine::new(birth, seat, failure, &mut random);
        while self.by_id.contains_key(machine.id()) {
            machine.rename(&mut random);
        }
        let (id, number) = (machine.id().to_owned(), self.machines.len());
        self.by_id.insert(id.clone(), number);
        self.alive.insert(number);
        if let Some(gone_at) = machine.life.gone_at() {
            self.leaving.insert((gone_at, number));
        }
        self.machines.push(Arc::new(machine));
        id
    }

    fn machine(&self, index: usize) -> Option<&Machine> {
        self.machines.get(index).map(Arc::as_ref)
    }

    fn terminate(&mut self, call: &Call<'_>, index: usize) {
        let Some(machine) = self.machines.get_mut(index).map(Arc::make_mut) else {
            return;
        };
        if let Some(gone_at) = machine.life.gone_at() {
            self.leaving.remove(&(gone_at, index));
        }
        machine.terminate(call.now, call.request_id);
        if let Some(gone_at) = machine.life.gone_at() {
            self.leaving.insert((gone_at, index));
        }
    }

    /// Gives back what the machines held that are gone by now, and closes their accounts.
    fn settle(&mut self, now: UtcDateTime) {
        while let Some((gone_at, index)) = self.leaving.first().copied() {
            if gone_at > now {
                return;
            }
            self.leaving.pop_first();
            self.alive.remove(&index);
            if let Some(machine) = self.machines.get_mut(index).map(Arc::make_mut) {
                self.capacity.release(&machine.seat);
                self.settled += charges::charged(&self.catalog, machine, now);
                machine.forget();
            }
        }
    }

    /// The machines with these ids, of which each must be there.
    fn all_named(&self, call: &Call<'_>, ids: &[String]) -> Result<Vec<&Machine>, Refusal> {
        if ids.is_empty() {
            return Err(validate::missing("InstanceIds"));
        }
        let found = self.named(call, Some(ids))?;
        let known = |id: &&String| found.iter().any(|machine| machine.id() == id.as_str());
        let lost: Vec<_> = ids.iter().filter(|id| !known(id)).collect();
        if lost.is_empty() {
            return Ok(found);
        }
        let message = format!("The instances {lost:?} do not exist.");
        Err(Refusal::new("InvalidInstanceId.NotFound", message))
    }

    /// The machines of the call's region that are not gone: those named, or all when none is.
    fn named(&self, call: &Call<'_>, ids: Option<&[String]>) -> Result<Vec<&Machine>, Refusal> {
        let ids = ids.unwrap_or_default();
        if ids.len() > IDS_MAX {
            return Err(validate::too_many("InstanceIds", IDS_MAX));
        }
        if let Some(id) = ids.iter().find(|id| !validate::has_shape(id, "ins-")) {
            let message = format!("The instance ID `{id}` is malformed.");
            return Err(Refusal::new("InvalidInstanceId.Malformed", message));
        }
        let indexes: Vec<usize> = if ids.is_empty() {
            self.alive.iter().copied().collect()
        } else {
            let known: BTreeSet<_> = ids.iter().filter_map(|id| self.by_id.get(id)).collect();
            known
                .into_iter()
                .filter(|index| self.alive.contains(index))
                .copied()
                .collect()
        };
        let machines = indexes.into_iter().filter_map(|index| self.machine(index));
        Ok(machines
            .filter(|machine| machine.region == call.region && machine.is_shown(call.now))
            .collect())
    }
}

fn launched(ids: Vec<String>) -> answer::Launched {
    answer::Launched {
        instance_id_set: Some(ids),
    }
}

fn region<'c>(catalog: &'c Catalog, call: &Call<'_>) -> Result<&'c Region, Refusal> {
    catalog.region(call.region).ok_or_else(|| {
        let message = format!("The region `{}` is not supported.", call.region);
        Refusal::new("UnsupportedRegion", message)
    })
}

/// A random sequence of its own for each purpose, so that no draw moves another's.
pub(super) fn random_stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}

fn random_uuid(random: &mut ChaCha8Rng) -> String {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests;
