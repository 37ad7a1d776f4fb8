//! What a service manager such as systemd is told: that the gateway is ready, reloads, stops, and lives.

use crate::clock::Clock;
use sd_notify::NotifyState;
use std::convert::Infallible;
use tokio_util::task::TaskTracker;

/// Calls are answered from now on, or again.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Rules are read anew; they count when that is done, and calls are answered meanwhile.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
}

/// Says that the process lives, as often as the service manager wants to hear it, for as long as tasks are
/// run.
pub(super) async fn keep_alive(clock: Clock) -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        // On another thread than this one: those are what serves.
        if TaskTracker::new().spawn(async {}).await.is_ok() {
            tell(&[NotifyState::Watchdog]);
        }
        clock.sleep(limit / 3).await;
    }
}

/// Without a service manager it is told to nobody.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
