//! Puts changed rules in force while the gateway runs.

use crate::clock::Clock;
use crate::config::{RulesError, RulesFolder, rule_files, rules_of};
use crate::domain::causes::chain;
use crate::metrics;
use crate::policy::{Current, Policy, RuleFiles, Rules};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

/// How long files of rules must stay as they are, before they are taken for whole: no longer than
/// until they are looked at again.
const SETTLED_FOR: Duration = Duration::from_millis(100);

/// The policy, and who replaces it.
pub(super) struct RulesInForce {
    pub(super) current: Current,
    /// None without a folder of rules.
    pub(super) reloader: Option<Reloader>,
    /// Woken when somebody wants the folder looked at now.
    pub(super) reload: Arc<Notify>,
}

/// Looks at the folder of rules again and again.
#[derive(Debug)]
pub(super) struct Reloader {
    folder: RulesFolder,
    current: Current,
    clock: Clock,
    metrics: metrics::Policy,
    now: Arc<Notify>,
}

impl RulesInForce {
    pub(super) fn new(
        policy: Policy,
        folder: Option<RulesFolder>,
        clock: &Clock,
        metrics: &metrics::Policy,
    ) -> Self {
        metrics.in_force(policy.rules().map_or(0, Rules::len));
        let current = Current::new(policy);
        let reload = Arc::new(Notify::new());
        let reloader = folder.map(|folder| Reloader {
            folder,
            current: current.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            now: Arc::clone(&reload),
        });
        Self {
            current,
            reloader,
            reload,
        }
    }
}

/// What was found in the folder: what its files hold, or that they cannot be read.
type Seen = Result<RuleFiles, String>;

impl Reloader {
    /// Never returns. Rules that are wrong are told once and change nothing.
    pub(super) async fn keep(mut self) {
        // What is in force, so that a change since the start is one, too.
        let mut last = Ok(std::mem::take(&mut self.folder.files));
        loop {
            let asked = self.now.notified();
            // Either is a reason to look.
            let _waited = self.clock.timeout(self.folder.reload_interval, asked).await;
            let seen = self.look().await;
            // Several files are not changed at once: wait until they stay as they are.
            let settled = SETTLED_FOR.min(self.folder.reload_interval);
            self.clock.sleep(settled).await;
            if seen == last || seen != self.look().await {
                continue;
            }
            last.clone_from(&seen);
            match self.load(seen).await {
                Ok(rules) => self.replace(rules),
                Err(error) => self.refuse(&error),
            }
        }
    }

    async fn load(&self, seen: Seen) -> Result<Rules, String> {
        let files = seen?;
        let (path, limits) = (self.folder.path.clone(), self.folder.limits.clone());
        let loaded = spawn_blocking(move || rules_of(&path, &files, &limits)).await;
        let loaded = loaded.map_err(|error| error.to_string())?;
        loaded.map_err(|error| chain(&error, ": "))
    }

    async fn look(&self) -> Seen {
        let path = self.folder.path.clone();
        let read = |path: &Path| rule_files(path).map_err(|error: RulesError| chain(&error, ": "));
        let seen = spawn_blocking(move || read(&path)).await;
        seen.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn replace(&self, rules: Rules) {
        let (version, count) = (rules.version().to_owned(), rules.len());
        let layers = rules.layers();
        let policy = self.current.get().as_ref().clone();
        self.current.replace(policy.with_rules(Some(rules)));
        self.metrics.reloaded(count);
        tracing::info!(version, count, layers, "the changed rules are in force");
    }

    fn refuse(&self, error: &str) {
        self.metrics.refused();
        tracing::error!(
            error,
            "the changed rules are wrong; the last good ones stay in force"
        );
    }
}
