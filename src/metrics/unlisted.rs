//! Counts codes of the cloud that nobody listed, with a bound on how many are told apart.

use super::{Inconsistent, Make};
use prometheus::IntCounterVec;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Codes that get a series of their own. The cloud adds some in a year; hundreds are no cloud's.
const CODES_MAX: usize = 20;
/// The label of all codes after those. No code of the cloud has a lower-case family.
const OTHER: &str = "other";

/// Calls that ended with a code that the table of codes does not list; `code`.
#[derive(Clone, Debug)]
pub struct UnlistedCodes {
    counters: IntCounterVec,
    /// Those that have a series.
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl UnlistedCodes {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let counters = make.counters(
            "cvm_gateway_cloud_unlisted_codes_total",
            "Cloud calls that ended with a code that docs/errors.md does not list.",
            &["code"],
        )?;
        counters.with_label_values(&[OTHER]).inc_by(0);
        Ok(Self {
            counters,
            known: Arc::default(),
        })
    }

    /// Counts one. The first codes are told by name, the rest together.
    pub fn count(&self, code: &str) {
        // A set cannot be left half changed by a panic.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let named = known.contains(code) || known.len() < CODES_MAX;
        if named && !known.contains(code) {
            known.insert(code.to_owned());
        }
        drop(known);
        let label = if named { code } else { OTHER };
        self.counters.with_label_values(&[label]).inc();
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn the_first_codes_are_told_apart_and_the_rest_is_not() {
        let metrics = Metrics::new("test").unwrap();
        let codes = &metrics.cloud.unlisted_codes;
        for number in 0..1000 {
            codes.count(&format!("NewFamily.Code{number}"));
        }
        codes.count("NewFamily.Code0");
        codes.clone().count("NewFamily.Code999");
        let text = metrics.render().unwrap();
        let series = "cvm_gateway_cloud_unlisted_codes_total{";
        assert_eq!(text.matches(series).count(), 21);
        for line in [
            "cvm_gateway_cloud_unlisted_codes_total{code=\"NewFamily.Code0\"} 2\n",
            "cvm_gateway_cloud_unlisted_codes_total{code=\"NewFamily.Code19\"} 1\n",
            "cvm_gateway_cloud_unlisted_codes_total{code=\"other\"} 981\n",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
