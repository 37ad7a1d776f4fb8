//! Takes in other keys of the journal while the gateway runs.

use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::metrics::Journal;
use crate::store::{KeyFile, Renewed, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Looks at the file of the keys again and again.
#[derive(Debug)]
pub(super) struct JournalKeys {
    file: KeyFile,
    interval: Duration,
    clock: Clock,
    metrics: Journal,
    now: Arc<Notify>,
}

impl JournalKeys {
    /// None when the keys are not in a file. A wake-up of `now` is a reason to look, too.
    pub(super) fn new(
        store: &Store,
        interval: Duration,
        clock: &Clock,
        metrics: Journal,
        now: Arc<Notify>,
    ) -> Option<Self> {
        store.key_file().map(|file| Self {
            file,
            interval,
            clock: clock.clone(),
            metrics,
            now,
        })
    }

    /// Never returns. Keys that are wrong are told once and change nothing.
    pub(super) async fn keep(mut self) {
        loop {
            match self.file.look().await {
                Ok(renewed) => self.tell(&renewed),
                Err(error) => self.refuse(&error),
            }
            let asked = self.now.notified();
            let _either = self.clock.timeout(self.interval, asked).await;
        }
    }

    fn tell(&self, renewed: &Renewed) {
        self.metrics.sealed_with(&renewed.key);
        if renewed.changed {
            self.metrics.keys_read(true);
        }
        if renewed.changed || renewed.sealed > 0 {
            tracing::info!(
                key = renewed.key,
                operations = renewed.sealed,
                "the journal is sealed with the first key of its file"
            );
        }
    }

    fn refuse(&self, error: &StoreError) {
        let told = chain(error, ": ");
        if error.is_of_keys() {
            self.metrics.keys_read(false);
            tracing::error!(
                error = told,
                "the changed keys of the journal are wrong; the last good ones stay in force"
            );
        } else {
            tracing::warn!(
                error = told,
                "the journal was not sealed with its first key; it is tried again"
            );
        }
    }
}
