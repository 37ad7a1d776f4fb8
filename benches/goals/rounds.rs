//! Rivals that take turns, and what their figures come to.

use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// The lower quartile, the median and the upper quartile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        let [low, median, high] = [0.25, 0.5, 0.75].map(|share| at(&values, share));
        Self { low, median, high }
    }

    /// What was counted once.
    pub(crate) const fn single(value: f64) -> Self {
        Self {
            low: value,
            median: value,
            high: value,
        }
    }
}

/// Lets each rival do its job in each round; a row of figures for each round.
pub(crate) fn rounds<const RIVALS: usize>(
    count: usize,
    mut run: impl FnMut(usize) -> f64,
) -> Vec<[f64; RIVALS]> {
    let round = |number: usize| {
        let mut figures = [0.0; RIVALS];
        for turn in 0..RIVALS {
            let rival = if number.is_multiple_of(2) {
                turn
            } else {
                RIVALS - 1 - turn
            };
            figures[rival] = run(rival);
        }
        figures
    };
    // Caches, lazy tables and the disk wake up in a round that does not count.
    (0..=count).map(round).skip(1).collect()
}

/// How a rival's figures spread.
pub(crate) fn figures<const RIVALS: usize>(rounds: &[[f64; RIVALS]], rival: usize) -> Spread {
    Spread::of(rounds.iter().map(|round| round[rival]))
}

/// How the ratio of two rivals spreads.
pub(crate) fn ratio<const RIVALS: usize>(rounds: &[[f64; RIVALS]], of: usize, to: usize) -> Spread {
    Spread::of(rounds.iter().map(|round| round[of] / round[to]))
}

/// The seconds that one unit of work takes, of many.
pub(crate) fn seconds_per_unit(units: u32, mut unit: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..units {
        unit();
    }
    start.elapsed().as_secs_f64() / f64::from(units)
}

/// The seconds of processor time that one unit of work takes on this thread, of many: who else is at work does not count.
pub(crate) fn processor_seconds_per_unit(units: u32, mut unit: impl FnMut()) -> f64 {
    let start = ran();
    for _ in 0..units {
        unit();
    }
    (ran() - start) / f64::from(units)
}

/// Seconds that this thread has run.
fn ran() -> f64 {
    let ran = clock_gettime(ClockId::ThreadCPUTime);
    ran.tv_sec as f64 + ran.tv_nsec as f64 / 1e9
}

pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// A quantile of sorted values.
pub(crate) fn at(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
