//! The tasks that a gateway cannot go on without: who takes connections, and what is kept fresh.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns them, and hears when one ends before its time.
#[derive(Clone, Debug)]
pub(super) struct Vital {
    tasks: TaskTracker,
    stopping: CancellationToken,
    ended: CancellationToken,
}

/// Is dropped when its task ends, also when that panics.
#[derive(Debug)]
struct Pulse(Vital);

impl Vital {
    /// They run among `tasks`, and may end once the gateway is `stopping`.
    pub(super) fn new(tasks: TaskTracker, stopping: CancellationToken) -> Self {
        Self {
            tasks,
            stopping,
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn spawn<T>(&self, work: impl Future<Output = T> + Send + 'static) {
        let pulse = Pulse(self.clone());
        self.tasks.spawn(async move {
            work.await;
            drop(pulse);
        });
    }

    /// Returns when one has ended, and the gateway was not stopping.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if !self.0.stopping.is_cancelled() {
            self.0.ended.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn vital() -> Vital {
        Vital::new(TaskTracker::new(), CancellationToken::new())
    }

    #[tokio::test]
    async fn who_ends_or_panics_is_noticed_beside_those_who_go_on() {
        let (ends, panics) = (vital(), vital());
        for vital in [&ends, &panics] {
            vital.spawn(pending::<()>());
        }
        ends.spawn(async {});
        ends.ended().await;
        panics.spawn(async { panic!("as it is to") });
        panics.ended().await;
    }

    #[tokio::test]
    async fn who_ends_at_a_stop_is_not() {
        let vital = vital();
        let stopping = vital.stopping.clone();
        vital.spawn(async move { stopping.cancelled().await });
        vital.stopping.cancel();
        vital.tasks.close();
        vital.tasks.wait().await;
        assert!(!vital.ended.is_cancelled());
    }
}
