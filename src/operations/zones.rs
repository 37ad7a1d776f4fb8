//! Which regions and zones the cloud has: asked once in a while, so that a mistyped one is refused
//! before anything is written down.

use super::{Inner, Operations, driver};
use crate::clock::Clock;
use crate::cloud::limiter::{Action, Class};
use crate::cloud::{CloudError, Effect, Target};
use crate::domain::names::{AccountName, Region};
use crate::domain::reason::Reason;
use crate::domain::violation::Violations;
use crate::policy::Grant;
use arc_swap::ArcSwapOption;
use futures_util::future::join;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::Mutex as Asking;

/// For one of the cloud's answers, with the wait for the account's turn. Without one the launch goes
/// on: the cloud judges the place again.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long an answer counts for names that are in it, ...
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// ... and for all else: a new zone is taken soon, and neither mistakes nor a cloud that does not
/// answer cost many calls.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// Answers of each kind that are remembered.
const ENTRIES_MAX: usize = 10_000;

/// What the cloud has, as each account sees it.
#[derive(Debug, Default)]
pub(super) struct Zones {
    /// By account, and the host that was asked.
    regions: Answers<(AccountName, String)>,
    zones: Answers<Target>,
}

#[derive(Debug)]
struct Answers<K>(Mutex<BTreeMap<K, Arc<Slot>>>);

/// The newest answer to one question.
#[derive(Debug, Default)]
struct Slot {
    answer: ArcSwapOption<Answer>,
    /// Who holds it asks; who waits for it gets that answer. The cloud allows few such calls.
    asking: Asking<()>,
}

/// What came of asking the cloud last.
#[derive(Debug)]
struct Answer {
    asked: UtcDateTime,
    told: Told,
}

#[derive(Debug)]
enum Told {
    Names(Vec<String>),
    /// That it has no such region.
    NoRegion,
    /// Nothing that helps.
    Nothing,
}

impl<K> Default for Answers<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Clone> Answers<K> {
    /// What is known of `name`, and if that is nothing, what asking brings.
    async fn get(
        &self,
        key: &K,
        name: &str,
        clock: &Clock,
        ask: impl AsyncFnOnce() -> Result<Vec<String>, CloudError>,
    ) -> Arc<Answer> {
        let slot = self.slot(key);
        if let Some(answer) = slot.known(name, clock.now()) {
            return answer;
        }
        let asking = clock.timeout(ANSWER_WITHIN, slot.asking.lock()).await;
        let asked = clock.now();
        if asking.is_none() {
            let told = Told::Nothing;
            return Arc::new(Answer { asked, told });
        }
        if let Some(answer) = slot.known(name, asked) {
            return answer;
        }
        let told = told(clock.timeout(ANSWER_WITHIN, ask()).await);
        slot.learn(Answer { asked, told })
    }

    fn slot(&self, key: &K) -> Arc<Slot> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        if slots.len() >= ENTRIES_MAX {
            slots.clear(); // it is a hint
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }
}

impl Slot {
    /// What is known of `name`, if it is to be believed at `now`.
    fn known(&self, name: &str, now: UtcDateTime) -> Option<Arc<Answer>> {
        let answer = self.answer.load_full()?;
        let fresh = if answer.has(name) {
            KNOWN_FOR
        } else {
            UNKNOWN_FOR
        };
        (now < answer.asked + fresh).then_some(answer)
    }

    fn learn(&self, answer: Answer) -> Arc<Answer> {
        let answer = Arc::new(answer);
        self.answer.store(Some(Arc::clone(&answer)));
        answer
    }
}

impl Answer {
    fn has(&self, name: &str) -> bool {
        self.names().iter().any(|known| known == name)
    }

    fn names(&self) -> &[String] {
        match &self.told {
            Told::Names(names) => names,
            Told::NoRegion | Told::Nothing => &[],
        }
    }
}

/// A zone that a launch names, by which field, and what is known of its region.
struct Named {
    field: String,
    zone: String,
    answer: Arc<Answer>,
}

impl Operations {
    /// Which of the places that `grant` names the cloud does not have. What it does not tell in time
    /// counts as there.
    pub async fn unknown_places(&self, grant: &Grant) -> Violations {
        let inner = &self.0;
        if !inner.settings.check_zones {
            return Violations::default();
        }
        let target = driver::target_of(grant);
        let class = Class::Launch(grant.principal().organization.clone());
        // Together, so that the one does not add to the wait for the other.
        let (regions, mut named) = join(
            inner.regions_with(&target, &class),
            inner.named(grant, &target, &class),
        )
        .await;
        if named.is_empty() && lacks(&regions, &target.region) {
            named.push(Named {
                field: String::new(),
                zone: String::new(),
                answer: inner.zones_with(&target, "", &class).await,
            });
        }
        judge(&target.region, &regions, &named)
    }
}

impl Inner {
    async fn named(&self, grant: &Grant, target: &Target, class: &Class) -> Vec<Named> {
        let mut named = Vec::new();
        for (field, zone) in grant.wish().zones() {
            let answer = self.zones_with(target, &zone, class).await;
            named.push(Named {
                field,
                zone,
                answer,
            });
        }
        named
    }

    async fn regions_with(&self, target: &Target, class: &Class) -> Arc<Answer> {
        let key = (target.account.clone(), self.cloud.host_of_regions(target));
        let ask = async || {
            let (action, class) = (Action::DescribeRegions, class.clone());
            let permit = self.limiter.permit(target, &key.1, action, class);
            self.cloud.regions(permit.await, target).await
        };
        let (regions, region) = (&self.zones.regions, target.region.as_str());
        regions.get(&key, region, &self.clock, ask).await
    }

    async fn zones_with(&self, target: &Target, zone: &str, class: &Class) -> Arc<Answer> {
        let ask = async || {
            let (host, action) = (self.cloud.host(target), Action::DescribeZones);
            let permit = self.limiter.permit(target, &host, action, class.clone());
            self.cloud.zones(permit.await, target).await
        };
        self.zones.zones.get(target, zone, &self.clock, ask).await
    }
}

fn told(answer: Option<Result<Vec<String>, CloudError>>) -> Told {
    match answer {
        Some(Ok(names)) => Told::Names(names),
        Some(Err(error)) if denies_the_region(&error) => Told::NoRegion,
        Some(Err(_)) | None => Told::Nothing, // the client has logged it
    }
}

/// Whether the cloud told its regions, and this is none of them.
fn lacks(regions: &Answer, region: &Region) -> bool {
    !regions.names().is_empty() && !regions.has(region.as_str())
}

/// The list of regions alone refuses none, as a new one may be missing in it: whoever tells the zones
/// of a region has it.
fn judge(region: &Region, regions: &Answer, named: &[Named]) -> Violations {
    let mut violations = Violations::default();
    let denied = |of: &Named| matches!(of.answer.told, Told::NoRegion);
    let silent = |of: &Named| of.answer.names().is_empty();
    if named.iter().any(denied) || (lacks(regions, region) && named.iter().all(silent)) {
        let known = match regions.names() {
            [] => String::new(),
            names => format!("; it has: {}", names.join(", ")),
        };
        violations.add("region", format!("the cloud has no region {region}{known}"));
        return violations;
    }
    for of in named.iter().filter(|of| !of.zone.is_empty()) {
        let known = silent(of) || of.answer.has(&of.zone);
        violations.unless(known, &of.field, || {
            let (zone, zones) = (&of.zone, of.answer.names().join(", "));
            format!("the cloud has no zone {zone}; it has: {zones}")
        });
    }
    violations
}

fn denies_the_region(error: &CloudError) -> bool {
    let of_region = error.fields.iter().any(|field| field == "X-TC-Region");
    of_region && error.effect == Effect::Definite && error.reason == Reason::InvalidParameter
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    fn answer(told: Told) -> Arc<Answer> {
        let asked = utc_datetime!(2026-01-01 00:00);
        Arc::new(Answer { asked, told })
    }

    fn names(names: &[&str]) -> Told {
        Told::Names(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_region_is_refused_only_when_nothing_speaks_for_it() {
        let region = Region::parse("ap-new").unwrap();
        let refused: &[&str] = &["region"];
        let listed = || names(&["ap-old", "ap-new"]);
        let frozen = || names(&["ap-old"]);
        for (regions, zones, fields) in [
            (listed(), names(&["z1"]), &[][..]),
            (listed(), names(&["z2"]), &["spec.placement.zone"]),
            (listed(), Told::Nothing, &[]),
            (listed(), Told::NoRegion, refused),
            (frozen(), names(&["z1"]), &[]),
            (frozen(), names(&["z2"]), &["spec.placement.zone"]),
            (frozen(), Told::Nothing, refused),
            (frozen(), Told::NoRegion, refused),
            (Told::Nothing, names(&["z1"]), &[]),
            (Told::Nothing, Told::Nothing, &[]),
            (Told::Nothing, Told::NoRegion, refused),
        ] {
            let case = format!("{regions:?} {zones:?}");
            let named = [Named {
                field: "spec.placement.zone".to_owned(),
                zone: "z1".to_owned(),
                answer: answer(zones),
            }];
            let violations = judge(&region, &answer(regions), &named);
            let told: Vec<_> = violations.0.iter().map(|of| of.field.as_str()).collect();
            assert_eq!(told, fields, "{case}");
        }
        assert_eq!(
            judge(&region, &answer(listed()), &[]),
            Violations::default()
        );
    }

    #[test]
    fn what_is_in_an_answer_is_believed_for_longer_than_what_is_not() {
        let answers = Answers::default();
        let asked = utc_datetime!(2026-01-01 00:00);
        let told = names(&["z1"]);
        answers.slot(&"key").learn(Answer { asked, told });
        for (after, name, known) in [
            (Duration::ZERO, "z1", true),
            (KNOWN_FOR - Duration::from_secs(1), "z1", true),
            (KNOWN_FOR, "z1", false),
            (UNKNOWN_FOR - Duration::from_secs(1), "z2", true),
            (UNKNOWN_FOR, "z2", false),
        ] {
            let found = answers.slot(&"key").known(name, asked + after);
            assert_eq!(found.is_some(), known, "{name} after {after:?}");
        }
        assert!(answers.slot(&"other").known("z1", asked).is_none());
    }
}
