//! Metrics of the keys that calls are signed with: how long they are good, and what renewing them comes to.

use super::{Inconsistent, Make};
use prometheus::{GaugeVec, IntCounterVec};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use time::UtcDateTime;

/// The keys of the configured accounts.
#[derive(Clone)]
pub struct Credentials {
    /// Seconds until the first key of an account ends; `account`.
    left: GaugeVec,
    /// Questions for keys; `account`, `result`.
    refreshes: IntCounterVec,
    /// When that is, for a scrape to count from.
    ends: Arc<Mutex<BTreeMap<String, UtcDateTime>>>,
}

impl Credentials {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        Ok(Self {
            left: make.float_gauges(
                "cvm_gateway_credential_expires_in_seconds",
                "Time until the first key of an account ends; 0 when it has none. Permanent keys are left out.",
                &["account"],
            )?,
            refreshes: make.counters(
                "cvm_gateway_credential_refreshes_total",
                "Questions for the keys of an account, by what came of them.",
                &["account", "result"],
            )?,
            ends: Arc::default(),
        })
    }

    /// Counts a question for keys.
    pub fn refreshed(&self, account: &str, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.refreshes.with_label_values(&[account, result]).inc();
    }

    /// Takes in when the first key of an account ends; none: never.
    pub fn good_until(&self, account: &str, end: Option<UtcDateTime>) {
        // A map cannot be left half changed by a panic.
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        match end {
            Some(end) => drop(ends.insert(account.to_owned(), end)),
            None => drop(ends.remove(account)),
        }
    }

    /// Shows how much time is left at `now`.
    pub fn show(&self, now: UtcDateTime) {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (account, end) in ends.iter() {
            let left = (*end - now).as_seconds_f64().max(0.0);
            self.left.with_label_values(&[account]).set(left);
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;
    use time::macros::utc_datetime;

    #[test]
    fn what_is_left_is_counted_at_the_scrape() {
        let metrics = Metrics::new("test").unwrap();
        let keys = &metrics.credentials;
        keys.good_until("a", Some(utc_datetime!(2026-01-01 00:01)));
        keys.good_until("b", Some(utc_datetime!(2026-01-01 00:01)));
        keys.good_until("b", None);
        keys.refreshed("a", false);
        for (now, left) in [
            (utc_datetime!(2026-01-01 00:00), "60"),
            (utc_datetime!(2026-01-01 00:00:59), "1"),
            (utc_datetime!(2026-01-02 00:00), "0"),
        ] {
            keys.show(now);
            let text = metrics.render().unwrap();
            let series = "cvm_gateway_credential_expires_in_seconds{account=";
            assert!(
                text.contains(&format!("{series}\"a\"}} {left}\n")),
                "{text}"
            );
            assert!(!text.contains(&format!("{series}\"b\"")), "{text}");
        }
    }
}
