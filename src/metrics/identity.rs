//! Metrics of who calls: callers that are not let in, handshakes, and what is read anew.

use super::{Inconsistent, Make};
use prometheus::{IntCounterVec, IntGaugeVec};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use time::UtcDateTime;

/// Results of a handshake.
const HANDSHAKES: [&str; 3] = ["ok", "failed", "timeout"];
/// What is read anew.
const SOURCES: [&str; 3] = ["tls", "denied", "keys"];

/// Who calls.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Calls whose caller was not let in; `reason`.
    rejections: IntCounterVec,
    /// TLS handshakes that came to an end; `result`.
    handshakes: IntCounterVec,
    /// Files and keys that were read because they had changed; `source`, `result`.
    reloads: IntCounterVec,
    /// Whether what was read last cannot be used; `source`.
    reload_failed: IntGaugeVec,
    /// Of what that is so: a source, and which one of it.
    failing: Arc<Mutex<BTreeSet<(&'static str, String)>>>,
    /// When the gateway's own certificate ends.
    not_after: IntGaugeVec,
    /// When the keys of an issuer were last fetched; `issuer`, as it is configured.
    keys_read: IntGaugeVec,
}

impl Identity {
    pub(super) fn new(make: &Make<'_>) -> Result<Self, Inconsistent> {
        let metrics = Self {
            rejections: make.counters(
                "cvm_gateway_unauthenticated_total",
                "Calls whose caller was not let in.",
                &["reason"],
            )?,
            handshakes: make.counters(
                "cvm_gateway_tls_handshakes_total",
                "TLS handshakes that came to an end.",
                &["result"],
            )?,
            reloads: make.counters(
                "cvm_gateway_identity_reloads_total",
                "Certificates, deny lists and keys of issuers that were read anew.",
                &["source", "result"],
            )?,
            reload_failed: make.gauges(
                "cvm_gateway_identity_reload_failed",
                "1 while something that was read last cannot be used, and what was there before counts.",
                &["source"],
            )?,
            failing: Arc::default(),
            not_after: make.gauges(
                "cvm_gateway_tls_certificate_not_after_seconds",
                "When the gateway's own certificate ends, as a Unix time; 0 without TLS.",
                &[],
            )?,
            keys_read: make.gauges(
                "cvm_gateway_issuer_keys_read_seconds",
                "When the keys of an issuer of tokens were last fetched, as a Unix time.",
                &["issuer"],
            )?,
        };
        metrics.not_after.with_label_values::<&str>(&[]).set(0);
        for result in HANDSHAKES {
            metrics.handshakes.with_label_values(&[result]).inc_by(0);
        }
        for source in SOURCES {
            metrics.reload_failed.with_label_values(&[source]).set(0);
        }
        for (source, result) in SOURCES.into_iter().flat_map(|s| [(s, "ok"), (s, "failed")]) {
            metrics
                .reloads
                .with_label_values(&[source, result])
                .inc_by(0);
        }
        Ok(metrics)
    }

    /// Shows that nobody was turned away yet.
    pub fn rejects_none(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            self.rejections.with_label_values(&[reason]).inc_by(0);
        }
    }

    /// Counts a call whose caller was not let in.
    pub fn rejected(&self, reason: &'static str) {
        self.rejections.with_label_values(&[reason]).inc();
    }

    /// Counts a handshake: done or not, none when it took too long.
    pub fn shook_hands(&self, done: Option<bool>) {
        let [ok, failed, timeout] = HANDSHAKES;
        let result = match done {
            Some(true) => ok,
            Some(false) => failed,
            None => timeout,
        };
        self.handshakes.with_label_values(&[result]).inc();
    }

    /// Counts what was read anew, and whether it can be used. `which` tells issuers apart: one that is
    /// well does not hide another one.
    pub fn reloaded(&self, (source, which): (&'static str, &str), sound: bool) {
        let result = if sound { "ok" } else { "failed" };
        self.reloads.with_label_values(&[source, result]).inc();
        // A set cannot be left half changed by a panic.
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let one = (source, which.to_owned());
        if sound {
            failing.remove(&one);
        } else {
            failing.insert(one);
        }
        let failed = failing.iter().any(|(of, _)| *of == source);
        let gauge = self.reload_failed.with_label_values(&[source]);
        gauge.set(i64::from(failed));
    }

    /// Shows when the gateway's own certificate ends.
    pub fn ends(&self, not_after: UtcDateTime) {
        let gauge = self.not_after.with_label_values::<&str>(&[]);
        gauge.set(not_after.unix_timestamp());
    }

    /// Shows when the keys of an issuer were fetched.
    pub fn keys_read(&self, issuer: &str, at: UtcDateTime) {
        let gauge = self.keys_read.with_label_values(&[issuer]);
        gauge.set(at.unix_timestamp());
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn an_issuer_that_is_well_hides_none_that_is_not() {
        let metrics = Metrics::new("test").unwrap();
        for (which, sound, failed) in [
            ("file", false, 1),
            ("url", true, 1),
            ("url", false, 1),
            ("file", true, 1),
            ("url", true, 0),
        ] {
            metrics.identity.reloaded(("keys", which), sound);
            let text = metrics.render().unwrap();
            let line = format!("cvm_gateway_identity_reload_failed{{source=\"keys\"}} {failed}\n");
            assert!(text.contains(&line), "{which} {sound}:\n{text}");
            let tls = "cvm_gateway_identity_reload_failed{source=\"tls\"} 0\n";
            assert!(text.contains(tls), "{text}");
        }
    }
}
