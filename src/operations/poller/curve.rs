//! How long machines take to come up, learned from those that did, and so when to look next; pure.

use crate::domain::operation::Place;
use std::collections::BTreeMap;
use std::time::Duration;

/// Durations that are told apart: each of these is √2 times the one before, up to 34 minutes.
const BUCKETS: usize = 27;
/// The end of the first bucket, in seconds.
const FIRST: f64 = 0.25;
/// Places that are remembered, 250 bytes each; over it the one that learned least lately goes.
const PLACES_MAX: usize = 512;
/// What is left of what was learned before, when one more machine has come up: the last thirty or
/// so tell nearly everything.
const DECAY: f64 = 0.97;
/// How likely it may be that a machine has come to its end by the time it is looked at.
const CHANCE: f64 = 1.0 / 32.0;
/// Before anything was learned: how long most take, in seconds, how widely that is spread, and how
/// many machines of experience it counts for.
const PRIOR: (f64, f64, f64) = (25.0, 0.9, 2.0);

/// What is known of every place.
#[derive(Debug, Default)]
pub(super) struct Curves {
    places: BTreeMap<Place, (u64, Curve)>,
    /// All machines: what a place begins with that nothing is known of.
    all: Curve,
    learned: u64,
}

impl Curves {
    /// A machine came to the end of its launch, `took` after the cloud had accepted it.
    pub(super) fn learn(&mut self, place: &Place, took: Duration) {
        self.learned = self.learned.saturating_add(1);
        self.all.learn(took);
        let begin = || (0, self.all.clone());
        let (learned, curve) = self.places.entry(place.clone()).or_insert_with(begin);
        *learned = self.learned;
        curve.learn(took);
        if self.places.len() > PLACES_MAX {
            let oldest = self.places.iter().min_by_key(|(_, (learned, _))| *learned);
            if let Some(place) = oldest.map(|(place, _)| place.clone()) {
                self.places.remove(&place);
            }
        }
    }

    /// How long to wait before looking again at `machines` of one launch in `place` that have not
    /// come up by `age`. Short when an end is likely now, long when it is not; no bound of its own.
    pub(super) fn wait(&self, place: Option<&Place>, age: Duration, machines: u32) -> Duration {
        let known = place.and_then(|place| self.places.get(place));
        let curve = known.map_or(&self.all, |(_, curve)| curve);
        curve.wait(age.as_secs_f64(), CHANCE / f64::from(machines.max(1)))
    }
}

/// A histogram of durations in which what is old fades.
#[derive(Clone, Debug)]
struct Curve([f64; BUCKETS]);

impl Default for Curve {
    fn default() -> Self {
        let (median, spread, weight) = PRIOR;
        let mut curve = Self([0.0; BUCKETS]);
        for ((from, to), mass) in bounds().zip(&mut curve.0) {
            let middle = from.midpoint(to);
            let distance = (middle / median).ln() / spread;
            *mass = (distance * distance / -2.0).exp();
        }
        let sum: f64 = curve.0.iter().sum();
        curve.0.iter_mut().for_each(|mass| *mass *= weight / sum);
        curve
    }
}

impl Curve {
    fn learn(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        let longest = bounds().last().map_or(took, |(_, to)| to);
        for ((from, to), mass) in bounds().zip(&mut self.0) {
            *mass *= DECAY;
            if (from..to).contains(&took) || (took >= longest && to >= longest) {
                *mass += 1.0;
            }
        }
    }

    /// Until when, from `age` on, the share `chance` of those that are left comes to an end.
    fn wait(&self, age: f64, chance: f64) -> Duration {
        let left = || {
            let buckets = bounds().zip(&self.0);
            buckets
                .filter(|((_, to), _)| *to > age)
                .map(|((from, to), mass)| (from.max(age), to, mass / (to - from)))
        };
        let mass: f64 = left()
            .map(|(from, to, density)| (to - from) * density)
            .sum();
        let mut ahead = mass * chance;
        for (from, to, density) in left() {
            let here = (to - from) * density;
            if here > 0.0 && here >= ahead {
                let wait = from + ahead / density - age;
                return Duration::try_from_secs_f64(wait).unwrap_or_default();
            }
            ahead -= here;
        }
        Duration::MAX
    }
}

/// From where to where each bucket goes, in seconds.
fn bounds() -> impl Iterator<Item = (f64, f64)> {
    let ends = std::iter::successors(Some(FIRST), |end| Some(end * std::f64::consts::SQRT_2));
    let starts = std::iter::once(0.0).chain(ends.clone());
    starts.zip(ends).take(BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: usize) -> Place {
        Place {
            zone: "ap-shanghai-2".to_owned(),
            instance_type: format!("S5.{number}"),
        }
    }

    fn wait(curves: &Curves, age: u64) -> f64 {
        let wait = curves.wait(Some(&place(0)), Duration::from_secs(age), 1);
        wait.as_secs_f64()
    }

    fn taught(seconds: &[u64]) -> Curves {
        let mut curves = Curves::default();
        for took in seconds.iter().cycle().take(100) {
            curves.learn(&place(0), Duration::from_secs(*took));
        }
        curves
    }

    #[test]
    fn untaught_it_looks_every_few_seconds() {
        let curves = Curves::default();
        for age in [0, 5, 10, 20, 40, 60] {
            let wait = wait(&curves, age);
            assert!((0.3..6.0).contains(&wait), "{wait} s at {age} s");
        }
        assert!(wait(&curves, 600) > 5.0);
        assert_eq!(wait(&curves, 10_000), Duration::MAX.as_secs_f64());
    }

    #[test]
    fn taught_it_looks_when_an_end_is_likely() {
        let curves = taught(&[36, 40, 44]);
        // age, at least, at most
        let rows = [
            (0, 20.0, 36.0),
            (20, 5.0, 14.0),
            (36, 0.1, 0.8),
            (42, 0.0, 0.4),
        ];
        for (age, least, most) in rows {
            let wait = wait(&curves, age);
            assert!((least..most).contains(&wait), "{wait} s at {age} s");
        }
    }

    #[test]
    fn what_is_old_fades() {
        let mut curves = taught(&[40]);
        for _ in 0..100 {
            curves.learn(&place(0), Duration::from_secs(3));
        }
        assert!(wait(&curves, 0) < 3.0);
        assert!((0.8..1.0).contains(&wait(&curves, 2)));
        assert!(wait(&curves, 3) < 0.2);
    }

    #[test]
    fn more_machines_are_looked_at_sooner() {
        let (curves, age) = (Curves::default(), Duration::from_secs(10));
        let one = curves.wait(None, age, 1);
        let hundred = curves.wait(None, age, 100);
        assert!(
            hundred * 50 < one && hundred > Duration::ZERO,
            "{hundred:?}"
        );
    }

    #[test]
    fn a_new_place_begins_with_what_is_known_of_all() {
        let curves = taught(&[40]);
        let unknown = curves.wait(Some(&place(1)), Duration::ZERO, 1);
        assert_eq!(unknown, curves.wait(None, Duration::ZERO, 1));
        assert!(unknown > Duration::from_secs(20));
    }

    #[test]
    fn places_are_bounded_and_any_duration_is_taken() {
        let mut curves = Curves::default();
        for number in 0..2 * PLACES_MAX {
            curves.learn(&place(number), Duration::MAX);
        }
        assert_eq!(curves.places.len(), PLACES_MAX);
        assert!(curves.places.contains_key(&place(2 * PLACES_MAX - 1)));
        assert!(!curves.places.contains_key(&place(0)));
        curves.learn(&place(1), Duration::ZERO);
    }
}
