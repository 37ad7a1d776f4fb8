//! What an attack may cost: the bar, and the measuring.

use crate::gateway::Gateway;
use crate::good::Good;
use cvm_gateway::clock::Clock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// No better than this is asked of a good client's answers, however fast they are without an attack.
const FLOOR: Duration = Duration::from_millis(20);
/// Beside other tests the machine itself is slower than that, and so few answers count that one that is late
/// tells of the machine.
const FLOOR_IN_COMPANY: Duration = Duration::from_secs(30);
const RESIDENT_MAX_KIB: u64 = 64 << 10;
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// The same beside other tests.
const RECOVERY_MAX_IN_COMPANY: Duration = Duration::from_secs(60);
/// Between two that try to come in again.
const PAUSE: Duration = Duration::from_millis(5);

/// How long attacks last, and whether nothing else runs meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) span: Duration,
    alone: bool,
}

impl Run {
    /// As the command says: `ABUSE_SECONDS` for each attack, alone on the machine; else a moment.
    #[expect(
        clippy::disallowed_methods,
        reason = "a run is set by the variables of its command"
    )]
    pub(crate) fn asked() -> Self {
        let seconds = std::env::var("ABUSE_SECONDS").ok();
        let seconds = seconds.map(|text| text.parse().expect("ABUSE_SECONDS: not a number"));
        Self {
            span: seconds.map_or(Duration::from_millis(500), Duration::from_secs),
            alone: seconds.is_some(),
        }
    }

    /// Has `attack` go on for a while, and until `all` of it has come, and holds what the gateway does meanwhile
    /// against the bar.
    pub(crate) async fn judge(
        self,
        name: &str,
        gateway: &Gateway,
        attack: impl Future<Output = ()>,
        all: &AtomicBool,
    ) {
        let clock = Clock::system();
        let mut good = Good::connect(gateway).await.unwrap();
        let base = good
            .p99(self.span.min(Duration::from_secs(2)), || true)
            .await;
        let before = gateway.resident();
        let mut most = before;
        let watched = async {
            loop {
                clock.sleep(Duration::from_millis(50)).await;
                most = most.max(gateway.resident());
            }
        };
        let p99 = tokio::select! {
            p99 = good.p99(self.span, || all.load(Ordering::Relaxed)) => p99,
            () = attack => panic!("{name} ends by itself"),
            () = watched => unreachable!("it watches until the end"),
        };
        let ended = clock.elapsed();
        let recovered = async {
            // Somebody new is let in, which is not before the gateway saw the attackers go, and is answered
            // as fast as ever.
            while !matches!(Good::newcomer(gateway).await, Ok(took) if took <= self.bar(base)) {
                clock.sleep(PAUSE).await;
            }
        };
        let limit = if self.alone {
            RECOVERY_MAX
        } else {
            RECOVERY_MAX_IN_COMPANY
        };
        let recovered = clock.timeout(limit, recovered).await;
        let recovery = clock.elapsed() - ended;
        let more = most.saturating_sub(before) / 1024;
        println!(
            "{name:<24} p99 {base:>9.2?} → {p99:>9.2?}   +{more:>3} MiB   again well after {recovery:.2?}"
        );
        assert!(p99 <= self.bar(base), "{name}: {base:?} becomes {p99:?}");
        assert!(most - before <= RESIDENT_MAX_KIB, "{name}: +{more} MiB");
        assert!(recovered.is_some(), "{name}: the gateway does not recover");
    }

    fn bar(self, base: Duration) -> Duration {
        let floor = if self.alone { FLOOR } else { FLOOR_IN_COMPANY };
        (2 * base).max(floor)
    }
}
