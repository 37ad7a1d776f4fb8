//! Draws what goes wrong in the world, from a random sequence of its own.

use super::life::unit;
use super::query::Page;
use super::random_stream;
use crate::simulator::catalog::misbehaviour::Faults;
use crate::simulator::wire::Refusal;
use rand_chacha::ChaCha8Rng;
use time::Duration;

/// The random stream of faults.
const FAULTS_STREAM: u64 = u64::MAX - 1;
/// Why a machine failed, when chance decided so.
const FAILURE: &str = "The instance could not be started on its host.";

#[derive(Debug)]
pub(super) struct Drawn {
    faults: Faults,
    random: ChaCha8Rng,
}

/// How late one launch is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lateness {
    pub(super) create: Duration,
    pub(super) instance_lag: Duration,
    pub(super) tag_lag: Duration,
}

impl Drawn {
    pub(super) fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            random: random_stream(seed, FAULTS_STREAM),
        }
    }

    pub(super) fn settings(&self) -> &Faults {
        &self.faults
    }

    /// Draws on from where it is.
    pub(super) fn replace(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Refuses the call, as the cloud does when something inside it broke.
    pub(super) fn break_inside(&mut self, action: &str) -> Result<(), Refusal> {
        let chance = self.faults.internal_error_p.get(action).copied();
        if chance.is_some_and(|chance| chance.hits(unit(&mut self.random))) {
            return Err(Refusal::new("InternalError", "An internal error occurred."));
        }
        for (code, chance) in self.faults.refuse_p.get(action).into_iter().flatten() {
            if !chance.is_never() && chance.hits(unit(&mut self.random)) {
                return Err(Refusal::new(code, "The call is refused by chance."));
            }
        }
        Ok(())
    }

    pub(super) fn lateness(&mut self) -> Lateness {
        let random = &mut self.random;
        Lateness {
            create: self.faults.create_delay_s.at(unit(random)),
            instance_lag: self.faults.instance_lag_s.at(unit(random)),
            tag_lag: self.faults.tag_lag_s.at(unit(random)),
        }
    }

    /// How many machines an order gets that could have `granted`, and takes `least` of them.
    pub(super) fn partial(&mut self, granted: u32, least: Option<u32>) -> u32 {
        let Some(least) = least.filter(|least| *least < granted) else {
            return granted;
        };
        if !self.faults.partial_p.hits(unit(&mut self.random)) {
            return granted;
        }
        let fewer = f64::from(granted - least) * unit(&mut self.random);
        let kept = (least..granted).find(|kept| f64::from(kept - least) >= fewer);
        kept.unwrap_or(least)
    }

    /// Why the next machine fails, if it does.
    pub(super) fn launch_failure(&mut self) -> Option<String> {
        let failed = self.faults.launch_failed_p.hits(unit(&mut self.random));
        failed.then(|| FAILURE.to_owned())
    }

    /// Moves a page that is not the first by one machine, if it does: one is seen twice, or never.
    pub(super) fn shift(&mut self, page: Page) -> Page {
        let chance = self.faults.page_shift_p;
        if page.is_first() || chance.is_never() || !chance.hits(unit(&mut self.random)) {
            return page;
        }
        page.shifted(unit(&mut self.random) < 0.5)
    }
}
