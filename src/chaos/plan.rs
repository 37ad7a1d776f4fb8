//! What is planted: read once from the environment, counted, logged when it happens.

use super::names::{MUTANTS, POINTS};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a planted delay is: longer than a poll, a look-up and a heartbeat of the tests.
const DELAY: Duration = Duration::from_millis(1200);

/// What is planted at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process dies before the effect.
    CrashBefore,
    /// The process dies after the effect, before anybody learns of it.
    CrashAfter,
    /// There is an error instead of the effect.
    Error,
    /// There is the effect, and an error is told.
    Lost,
    /// The effect comes late.
    Delay,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 5] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Error,
        Self::Lost,
        Self::Delay,
    ];

    /// As `CVM_GATEWAY_FAILPOINT` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrashBefore => "crash-before",
            Self::CrashAfter => "crash-after",
            Self::Error => "error",
            Self::Lost => "lost",
            Self::Delay => "delay",
        }
    }
}

/// One planted fault.
struct Fault {
    point: String,
    action: Action,
    /// Comes due at this pass of its point, and then never again.
    due: u32,
    passed: AtomicU32,
}

/// `CVM_GATEWAY_FAILPOINT` is `POINT:ACTION[:PASS]`, several with commas between.
static FAULTS: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    let text = environment("CVM_GATEWAY_FAILPOINT").unwrap_or_default();
    let faults = text.split(',').filter(|item| !item.is_empty());
    faults
        .map(|item| read(item).unwrap_or_else(|| misspelt(item)))
        .collect()
});

/// `CVM_GATEWAY_MUTANT` names one mistake.
static MUTANT: LazyLock<Option<&'static str>> = LazyLock::new(|| {
    let text = environment("CVM_GATEWAY_MUTANT").filter(|text| !text.is_empty())?;
    let known = MUTANTS.into_iter().find(|mutant| *mutant == text);
    Some(known.unwrap_or_else(|| misspelt(&text)))
});

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test build is no setting, and must not be one"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(item: &str) -> Option<Fault> {
    let mut parts = item.split(':');
    let (point, action) = (parts.next()?, parts.next()?);
    Some(Fault {
        point: POINTS.into_iter().find(|known| *known == point)?.to_owned(),
        action: Action::ALL
            .into_iter()
            .find(|known| known.as_str() == action)?,
        due: parts.next().map_or(Some(1), |pass| pass.parse().ok())?,
        passed: AtomicU32::new(0),
    })
}

#[expect(clippy::panic, reason = "a test that plants nothing proves nothing")]
fn misspelt(item: &str) -> ! {
    panic!("{item} cannot be planted")
}

/// What is due at this pass of `point`.
fn due(point: &'static str) -> Option<Action> {
    let fault = FAULTS.iter().find(|fault| fault.point == point)?;
    let pass = fault.passed.fetch_add(1, Ordering::Relaxed) + 1;
    (pass == fault.due).then(|| {
        tracing::error!(
            failpoint = point,
            action = fault.action.as_str(),
            "a fault was planted"
        );
        fault.action
    })
}

/// Before the effect: what is to be done instead of or after it.
#[expect(
    clippy::disallowed_methods,
    reason = "a planted delay is real time, not the protocol's"
)]
pub async fn before(point: &'static str) -> Option<Action> {
    let action = due(point);
    match action {
        Some(Action::CrashBefore) => crash(),
        Some(Action::Delay) => tokio::time::sleep(DELAY).await,
        Some(Action::CrashAfter | Action::Error | Action::Lost) | None => {}
    }
    action
}

/// As [`before`], where nothing can be awaited.
#[must_use]
pub fn before_now(point: &'static str) -> Option<Action> {
    let action = due(point);
    match action {
        Some(Action::CrashBefore) => crash(),
        Some(Action::Delay) => std::thread::sleep(DELAY),
        Some(Action::CrashAfter | Action::Error | Action::Lost) | None => {}
    }
    action
}

/// After the effect: whether an error is told in its place.
pub async fn after(point: &'static str, plan: Option<Action>) -> bool {
    after_now(point, plan)
}

/// As [`after`], where nothing can be awaited.
#[must_use]
pub fn after_now(_point: &'static str, plan: Option<Action>) -> bool {
    if plan == Some(Action::CrashAfter) {
        crash();
    }
    plan == Some(Action::Lost)
}

/// Ends the process as a crash does: nothing is flushed, closed or told.
fn crash() -> ! {
    std::process::abort()
}

/// A defect of the program, where a point has no error to tell.
#[expect(clippy::panic, reason = "it is one")]
pub fn defect() -> ! {
    panic!("a planted defect")
}

/// Whether that mistake is planted.
#[must_use]
pub fn is_mutant(name: &'static str) -> bool {
    *MUTANT == Some(name)
}

/// The body with a token that no other attempt has.
#[must_use]
pub fn with_fresh_token(body: &[u8], attempt: u32) -> &'static [u8] {
    let text = String::from_utf8_lossy(body);
    let fresh = format!("\"ClientToken\":\"t{attempt}-");
    let text = text.replace("\"ClientToken\":\"", &fresh);
    text.into_bytes().leak()
}

/// The body as another version of the program would have written it.
#[must_use]
pub fn rebuilt(body: &[u8], attempt: u32) -> &'static [u8] {
    let spaces = (0..attempt).map(|_| b' ');
    let body: Vec<u8> = body.iter().copied().chain(spaces).collect();
    body.leak()
}
