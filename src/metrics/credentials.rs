//! Metrics of what calls are signed with: how long the keys are good, what renewing them comes to, and how
//! far the clock is off.

use super::{Inconsistent, Make};
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use time::UtcDateTime;

/// The keys of the configured accounts, and the time that they sign.
#[derive(Clone)]
pub struct Credentials {
    /// Seconds until the first key of an account ends; `account`.
    left: GaugeVec,
    /// Questions for keys; `account`, `credential`, `result`.
    refreshes: IntCounterVec,
    /// How far the cloud is ahead of this machine, in seconds, as its last answer says.
    skew: Gauge,
    /// Whether an answer has said so.
    measured: Arc<AtomicBool>,
    /// By how much the time of signatures is corrected, in seconds.
    correction: Gauge,
    /// Answers whose time was not believed.
    disbelieved: IntCounter,
    /// When that is, for a scrape to count from.
    ends: Arc<Mutex<BTreeMap<String, UtcDateTime>>>,
}

/// Which key of an account was asked for. A file that is read every few seconds must not hide that STS
/// gives no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// That of its source.
    Base,
    /// A session of the role that is assumed with it.
    Role,
}

impl Key {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Base, Self::Role];

    /// The label `credential`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Role => "role",
        }
    }
}

impl Credentials {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let plain = |name, help| {
            let gauges = make.float_gauges(name, help, &[])?;
            Ok::<_, Inconsistent>(gauges.with_label_values::<&str>(&[]))
        };
        Ok(Self {
            left: make.float_gauges(
                "cvm_gateway_credential_expires_in_seconds",
                "Time until the first key of an account ends; 0 when it has none. Permanent keys are left out.",
                &["account"],
            )?,
            refreshes: make.counters(
                "cvm_gateway_credential_refreshes_total",
                "Questions for the keys of an account, by which key and by what came of them.",
                &["account", "credential", "result"],
            )?,
            skew: plain(
                "cvm_gateway_cloud_clock_skew_seconds",
                "How far the cloud's clock is ahead of this machine's, as its last answer says.",
            )?,
            correction: plain(
                "cvm_gateway_cloud_clock_correction_seconds",
                "By how much the time of signatures is corrected.",
            )?,
            disbelieved: make
                .counters(
                    "cvm_gateway_cloud_clock_disbelieved_total",
                    "Answers of the cloud whose time was too far off to be believed.",
                    &[],
                )?
                .with_label_values::<&str>(&[]),
            ends: Arc::default(),
            measured: Arc::default(),
        })
    }

    /// Counts a question for keys.
    pub fn refreshed(&self, account: &str, key: Key, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        let labels = [account, key.as_str(), result];
        self.refreshes.with_label_values(&labels).inc();
    }

    /// Takes in when the first key of an account ends; none: never.
    pub fn good_until(&self, account: &str, end: Option<UtcDateTime>) {
        // A map cannot be left half changed by a panic.
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        match end {
            Some(end) => drop(ends.insert(account.to_owned(), end)),
            None => {
                ends.remove(account);
                // It fails where none was shown yet.
                let _nothing = self.left.remove_label_values(&[account]);
            }
        }
    }

    /// Shows how far an answer says that the cloud is ahead.
    pub fn measured(&self, seconds: f64) {
        self.skew.set(seconds);
        self.measured.store(true, Ordering::Relaxed);
    }

    /// How far the last answer says that the cloud is ahead, in seconds; none: it has not answered yet.
    #[must_use]
    pub fn skew(&self) -> Option<f64> {
        let measured = self.measured.load(Ordering::Relaxed);
        measured.then(|| self.skew.get())
    }

    /// Shows by how much signatures are corrected from now on.
    pub fn corrected(&self, seconds: f64) {
        self.correction.set(seconds);
    }

    /// Counts an answer whose time is not believed.
    pub fn disbelieved(&self) {
        self.disbelieved.inc();
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
    use super::Key;
    use crate::metrics::Metrics;
    use time::macros::utc_datetime;

    #[test]
    fn what_is_left_is_counted_at_the_scrape() {
        let metrics = Metrics::new("test").unwrap();
        let keys = &metrics.credentials;
        keys.good_until("a", Some(utc_datetime!(2026-01-01 00:01)));
        keys.good_until("b", Some(utc_datetime!(2026-01-01 00:01)));
        keys.good_until("b", None);
        keys.refreshed("a", Key::Base, false);
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
        keys.good_until("a", None);
        let text = metrics.render().unwrap();
        assert!(!text.contains("expires_in_seconds{"), "{text}");
    }
}
