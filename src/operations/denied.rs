//! Tells the audit of calls that were denied or refused, within bounds: a flood of them neither fills the
//! disk nor slows launches. What is left out is counted, and the count is told.

use super::{OperationError, Operations, quotas};
use crate::domain::audit::{Call, Refused, Suppressed};
use crate::domain::causes::chain;
use crate::domain::decision::Decision;
use crate::domain::ids::Principal;
use crate::domain::millis::since;
use crate::domain::quota::Exceeded;
use crate::policy::Grant;
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;

/// How long the bounds below are counted for.
const WINDOW: Duration = Duration::from_secs(60);
/// Rows of denied calls that one caller has in a window, and that all have.
const DENIED_MAX: Bounds = Bounds {
    of_caller: 20,
    of_all: 600,
};
/// The same of calls that were refused before policy was asked. They are counted apart, so that a flood
/// of nonsense hides no denied call.
const REFUSED_MAX: Bounds = Bounds {
    of_caller: 5,
    of_all: 100,
};
/// Callers that are told apart in a window; a few hundred bytes each. The others are one.
const CALLERS_MAX: usize = 10_000;
/// What those others are called.
const OTHERS: &str = "others";

#[derive(Clone, Copy, Debug)]
struct Bounds {
    of_caller: u32,
    of_all: u32,
}

/// The calls that were not carried out, in the last window.
#[derive(Debug)]
pub(super) struct Denials {
    denied: Counted,
    refused: Counted,
}

/// Those of one kind.
#[derive(Debug)]
struct Counted {
    event: &'static str,
    bounds: Bounds,
    began: Option<UtcDateTime>,
    rows: u32,
    callers: BTreeMap<(String, String), Caller>,
}

#[derive(Debug)]
struct Caller {
    principal: Principal,
    rows: u32,
    suppressed: u64,
}

impl Default for Denials {
    fn default() -> Self {
        Self {
            denied: Counted::new("denied", DENIED_MAX),
            refused: Counted::new("refused", REFUSED_MAX),
        }
    }
}

impl Denials {
    /// Counts a call; whether it has a row of its own.
    fn count(&mut self, refused: &Refused, now: UtcDateTime) -> bool {
        let counted = match refused.decision {
            Some(_) => &mut self.denied,
            None => &mut self.refused,
        };
        counted.count(&refused.principal, now)
    }

    /// Begins new windows where the last ones are over; what had no row in those.
    fn over(&mut self, now: UtcDateTime, within: Duration) -> Vec<Suppressed> {
        let mut suppressed = self.denied.over(now, within);
        suppressed.extend(self.refused.over(now, within));
        suppressed
    }
}

impl Counted {
    const fn new(event: &'static str, bounds: Bounds) -> Self {
        Self {
            event,
            bounds,
            began: None,
            rows: 0,
            callers: BTreeMap::new(),
        }
    }

    /// Counts a call; whether it has a row of its own.
    fn count(&mut self, principal: &Principal, now: UtcDateTime) -> bool {
        self.began.get_or_insert(now);
        let mut principal = principal.clone();
        let key = |principal: &Principal| {
            let organization = principal.organization.as_str().to_owned();
            (organization, principal.name.clone())
        };
        if self.callers.len() >= CALLERS_MAX && !self.callers.contains_key(&key(&principal)) {
            OTHERS.clone_into(&mut principal.name);
        }
        let caller = self.callers.entry(key(&principal)).or_insert(Caller {
            principal,
            rows: 0,
            suppressed: 0,
        });
        if caller.rows < self.bounds.of_caller && self.rows < self.bounds.of_all {
            caller.rows += 1;
            self.rows += 1;
            return true;
        }
        caller.suppressed += 1;
        false
    }

    /// Begins a new window, if the last one is over; what had no row in that.
    fn over(&mut self, now: UtcDateTime, within: Duration) -> Vec<Suppressed> {
        let begun = self.began.is_some_and(|began| since(now, began) >= within);
        if !begun {
            return Vec::new();
        }
        let last = std::mem::replace(self, Self::new(self.event, self.bounds));
        let callers = last.callers.into_values();
        let suppressed = callers.filter(|caller| caller.suppressed > 0);
        let suppressed = suppressed.map(|caller| Suppressed {
            time: now,
            event: last.event,
            principal: caller.principal,
            calls: caller.suppressed,
        });
        suppressed.collect()
    }
}

impl Operations {
    /// Writes down that a call was denied or refused, if there are not too many, before its caller hears of it.
    ///
    /// # Errors
    /// It is not in the audit, so the caller must not be told either.
    pub async fn denied(&self, refused: Refused) -> Result<(), OperationError> {
        let now = self.0.clock.now();
        self.0.tell_suppressed(WINDOW).await;
        if self.0.denials().count(&refused, now) {
            self.0.store.refused(refused).await?;
        }
        Ok(())
    }

    /// The same of a launch that policy allowed and limits did not.
    pub(super) async fn over_limit(
        &self,
        grant: &Grant,
        call: Call,
        exceeded: &[Exceeded],
    ) -> Result<(), OperationError> {
        let limits = exceeded.iter();
        let limits = limits.map(|over| format!("{}/{}", over.quota, over.measure.as_str()));
        let limits: Vec<_> = limits.collect();
        let refused = Refused {
            time: self.0.clock.now(),
            action: "RunInstances",
            principal: grant.principal().clone(),
            asked: call,
            account: grant.account().to_string(),
            region: grant.wish().region.to_string(),
            decision: Some(Decision {
                policy: "limits".to_owned(),
                rule: limits.join(","),
            }),
            reason: quotas::told(exceeded),
        };
        self.denied(refused).await
    }
}

impl super::Inner {
    /// Tells how many calls had no row, when a window is over.
    pub(super) async fn keep_telling(self: std::sync::Arc<Self>) {
        while self
            .stop
            .run_until_cancelled(self.clock.sleep(WINDOW))
            .await
            .is_some()
        {
            self.tell_suppressed(WINDOW).await;
        }
        self.tell_suppressed(Duration::ZERO).await;
    }

    async fn tell_suppressed(&self, within: Duration) {
        let suppressed = self.denials().over(self.clock.now(), within);
        if suppressed.is_empty() {
            return;
        }
        if let Err(error) = self.store.suppressed(suppressed).await {
            let error = chain(&error, ": ");
            tracing::error!(
                error,
                "how many denied calls had no row is not in the audit"
            );
        }
    }

    fn denials(&self) -> MutexGuard<'_, Denials> {
        // A panic elsewhere can only leave it with a count too few.
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::OrganizationId;
    use time::macros::utc_datetime;

    const NOW: UtcDateTime = utc_datetime!(2026-01-02 03:04:05);

    fn caller(name: &str) -> Principal {
        Principal {
            name: name.to_owned(),
            organization: OrganizationId::parse("acme").unwrap(),
        }
    }

    fn rows(denials: &mut Counted, name: &str, calls: u32) -> usize {
        let caller = caller(name);
        let told = (0..calls).filter(|_| denials.count(&caller, NOW));
        told.count()
    }

    #[test]
    fn a_caller_has_few_rows_and_leaves_the_others_theirs() {
        let mut denials = Counted::new("denied", DENIED_MAX);
        assert_eq!(rows(&mut denials, "flood", 1000), 20);
        assert_eq!(rows(&mut denials, "other", 3), 3);
        assert_eq!(denials.over(NOW + WINDOW / 2, WINDOW), []);
        let now = NOW + WINDOW;
        let expected = Suppressed {
            time: now,
            event: "denied",
            principal: caller("flood"),
            calls: 980,
        };
        assert_eq!(denials.over(now, WINDOW), [expected]);
        assert_eq!(denials.over(now + WINDOW, WINDOW), []);
        assert_eq!(rows(&mut denials, "flood", 2), 2);
    }

    #[test]
    fn many_callers_have_no_more_than_all_may_have() {
        let mut denials = Counted::new("denied", DENIED_MAX);
        let all: usize = (0..20_000_u32)
            .map(|number| rows(&mut denials, &number.to_string(), 1))
            .sum();
        assert_eq!(all, 600);
        assert_eq!(denials.callers.len(), CALLERS_MAX + 1);
        let told = denials.over(NOW + WINDOW, WINDOW);
        let calls: u64 = told.iter().map(|told| told.calls).sum();
        assert_eq!(calls, 20_000 - 600);
    }

    #[test]
    fn nonsense_hides_no_denied_call() {
        let call = |decision| Refused {
            time: NOW,
            action: "RunInstances",
            principal: caller("flood"),
            asked: Call::default(),
            account: String::new(),
            region: String::new(),
            decision,
            reason: String::new(),
        };
        let denied = call(Some(Decision {
            policy: "p".to_owned(),
            rule: "r".to_owned(),
        }));
        let mut denials = Denials::default();
        let refused = (0..100).filter(|_| denials.count(&call(None), NOW));
        assert_eq!(refused.count(), 5);
        assert!(denials.count(&denied, NOW));
        let told = denials.over(NOW + WINDOW, WINDOW);
        let told: Vec<_> = told.iter().map(|told| (told.event, told.calls)).collect();
        assert_eq!(told, [("refused", 95)]);
    }
}
