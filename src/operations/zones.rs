//! Which zones the cloud has: asked once in a while, so that a mistyped zone is refused before
//! anything is written down.

use super::Operations;
use crate::cloud::limiter::{Action, Class};
use crate::cloud::{CloudError, Effect, Target};
use crate::domain::reason::Reason;
use crate::domain::violation::Violations;
use crate::policy::Grant;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;

/// For the cloud's answer, with the wait for the account's turn. Without one the launch goes on: the
/// cloud judges the zone again.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long an answer counts for zones that are in it, ...
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// ... and for all else: a new zone is taken soon, and neither mistakes nor a cloud that does not
/// answer cost many calls.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// Accounts times regions that are remembered.
const ENTRIES_MAX: usize = 10_000;

/// The zones of each region, as each account sees them.
#[derive(Debug, Default)]
pub(super) struct Zones(Mutex<BTreeMap<Target, Answer>>);

/// What came of asking the cloud last.
#[derive(Clone, Debug)]
struct Answer {
    asked: UtcDateTime,
    told: Told,
}

#[derive(Clone, Debug)]
enum Told {
    Zones(Vec<String>),
    /// That it has no such region.
    NoRegion,
    /// Nothing that helps.
    Nothing,
}

impl Zones {
    /// What is known of `zone`, if it is to be believed at `now`.
    fn known(&self, target: &Target, zone: &str, now: UtcDateTime) -> Option<Answer> {
        let answer = self.lock().get(target).cloned()?;
        let fresh = if answer.has(zone) {
            KNOWN_FOR
        } else {
            UNKNOWN_FOR
        };
        (now < answer.asked + fresh).then_some(answer)
    }

    fn learn(&self, target: Target, answer: Answer) {
        let mut answers = self.lock();
        if answers.len() >= ENTRIES_MAX {
            answers.clear(); // it is a hint
        }
        answers.insert(target, answer);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Target, Answer>> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn has(&self, zone: &str) -> bool {
        match &self.told {
            Told::Zones(zones) => zones.iter().any(|known| known == zone),
            Told::NoRegion | Told::Nothing => false,
        }
    }
}

impl Operations {
    /// Which of the places that `grant` names the cloud does not have. What it does not tell in time
    /// counts as there.
    pub async fn unknown_places(&self, grant: &Grant) -> Violations {
        let target = Target {
            account: grant.account().clone(),
            region: grant.wish().region.clone(),
        };
        let class = Class::Launch(grant.principal().organization.clone());
        let mut violations = Violations::default();
        if !self.0.settings.check_zones {
            return violations;
        }
        for (field, zone) in grant.wish().zones() {
            let answer = self.zones_with(&target, &zone, &class).await;
            match &answer.told {
                Told::Nothing => {}
                Told::NoRegion => {
                    let region = &target.region;
                    violations.add("region", format!("the cloud has no region {region}"));
                    break;
                }
                Told::Zones(zones) => violations.unless(answer.has(&zone), &field, || {
                    format!("the cloud has no zone {zone}; it has: {}", zones.join(", "))
                }),
            }
        }
        violations
    }

    async fn zones_with(&self, target: &Target, zone: &str, class: &Class) -> Answer {
        let inner = &self.0;
        let asked = inner.clock.now();
        if let Some(answer) = inner.zones.known(target, zone, asked) {
            return answer;
        }
        let told = self.ask_for_zones(target, class).await;
        let answer = Answer { asked, told };
        inner.zones.learn(target.clone(), answer.clone());
        answer
    }

    async fn ask_for_zones(&self, target: &Target, class: &Class) -> Told {
        let inner = &self.0;
        let host = inner.cloud.host(target);
        let asked = async {
            let permit = inner
                .limiter
                .permit(target, &host, Action::DescribeZones, class.clone());
            inner.cloud.zones(permit.await, target).await
        };
        match inner.clock.timeout(ANSWER_WITHIN, asked).await {
            Some(Ok(zones)) => Told::Zones(zones),
            Some(Err(error)) if denies_the_region(&error) => Told::NoRegion,
            Some(Err(_)) | None => Told::Nothing, // the client has logged it
        }
    }
}

fn denies_the_region(error: &CloudError) -> bool {
    let of_region = error.fields.iter().any(|field| field == "X-TC-Region");
    of_region && error.effect == Effect::Definite && error.reason == Reason::InvalidParameter
}
