//! How big models are and what they cost: asked for once in a while, and only where a rule or a
//! limit in force needs to know.

use super::{Inner, OperationError, Operations};
use crate::cloud::limiter::{Action, Class};
use crate::cloud::{CloudError, Effect, Retry, Target};
use crate::domain::ids::Principal;
use crate::domain::names::AccountName;
use crate::domain::operation::Place;
use crate::domain::outlook::{Offer, Size};
use crate::domain::reason::Reason;
use crate::domain::request::Wish;
use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::Mutex as Asking;

/// For one of the cloud's answers, with the wait for the account's turn.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long an answer counts, ...
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// ... that the cloud has no size of a model somewhere, for a new one is sold soon, ...
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// ... how long it does while the cloud gives no newer one, ...
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// ... and how long the cloud is left alone after it gave none.
const SILENT_FOR: Duration = Duration::from_secs(5);
/// Models in places that are remembered.
const ENTRIES_MAX: usize = 10_000;

/// What the cloud told of models, as each account sees them.
#[derive(Debug, Default)]
pub(super) struct Sizes(Mutex<BTreeMap<Key, Arc<Slot>>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    target: Target,
    place: Place,
    charge_type: Option<String>,
}

#[derive(Debug, Default)]
struct Slot {
    answer: ArcSwapOption<Answer>,
    /// When the cloud gave no answer.
    silent: Mutex<Option<UtcDateTime>>,
    /// Who holds it asks; who waits for it gets that answer.
    asking: Asking<()>,
}

#[derive(Debug)]
struct Answer {
    asked: UtcDateTime,
    /// Or why the cloud has none there.
    size: Result<Size, String>,
}

impl Sizes {
    fn slot(&self, key: &Key) -> Arc<Slot> {
        // Every change is a single call on the map, so a panic elsewhere cannot leave it half done.
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        if slots.len() >= ENTRIES_MAX {
            slots.clear(); // it is asked for again
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }
}

impl Slot {
    /// The answer, if it is no older than that.
    fn known(&self, age: Duration, now: UtcDateTime) -> Option<Arc<Answer>> {
        let answer = self.answer.load_full()?;
        let age = match answer.size {
            Ok(_) => age,
            Err(_) => age.min(UNKNOWN_FOR),
        };
        (now < answer.asked + age).then_some(answer)
    }

    fn is_silent(&self, now: UtcDateTime) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.is_some_and(|since| now < since + SILENT_FOR)
    }

    fn silence(&self, now: UtcDateTime) {
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

impl Operations {
    /// Whether a limit of these launches counts what only the cloud knows of a model.
    #[must_use]
    pub fn counts_sizes(&self, principal: &Principal, account: &AccountName) -> bool {
        let mut quotas = self.0.quotas_for(principal, account);
        quotas.any(|quota| quota.limits.keys().any(|measure| measure.is_of_size()))
    }

    /// The size of the model in each place of a wish; none where the wish leaves the zone or the
    /// model to a launch template or to the cloud, and without a price where it leaves the billing to
    /// a launch template.
    ///
    /// # Errors
    /// [`OperationError::SizeUnknown`] when the cloud does not tell one of them now, and
    /// [`OperationError::NoSize`] when it does not sell one, or refuses to tell of it.
    pub async fn sizes(
        &self,
        principal: &Principal,
        account: &AccountName,
        wish: &Wish,
    ) -> Result<Vec<Option<Size>>, OperationError> {
        let target = Target {
            account: account.clone(),
            region: wish.region.clone(),
        };
        let class = Class::Launch(principal.organization.clone());
        let specs = wish.specs();
        let sizes = specs.iter().map(|spec| {
            let key = Key {
                target: target.clone(),
                place: Place::of(spec),
                charge_type: spec.instance_charge_type.clone(),
            };
            self.0.size(key, class.clone())
        });
        let sizes = join_all(sizes).await.into_iter();
        let unpriced = wish.spec.leaves_billing_to_template();
        let priced = |size: Size| Size {
            cost: size.cost.filter(|_| !unpriced),
            ..size
        };
        sizes.map(|size| Ok(size?.map(priced))).collect()
    }
}

impl Inner {
    async fn size(&self, key: Key, class: Class) -> Result<Option<Size>, OperationError> {
        if key.place.zone.is_empty() || key.place.instance_type.is_empty() {
            return Ok(None);
        }
        if let Some(share) = Size::of_share(&key.place.instance_type) {
            return Ok(Some(share));
        }
        let slot = self.sizes.slot(&key);
        let told = match slot.known(KNOWN_FOR, self.clock.now()) {
            Some(known) => Some(known),
            None => self.ask_size(&slot, &key, class).await,
        };
        let Some(told) = told else {
            let Place {
                zone,
                instance_type,
            } = &key.place;
            let message = format!(
                "a rule or a limit needs to know how big {instance_type} is and what it costs in \
                 {zone}, and the cloud does not tell now; try again"
            );
            return Err(OperationError::SizeUnknown(message));
        };
        let none = |message| OperationError::NoSize {
            field: "spec.instance_type",
            message,
        };
        told.size.clone().map(Some).map_err(none)
    }

    async fn ask_size(&self, slot: &Slot, key: &Key, class: Class) -> Option<Arc<Answer>> {
        let clock = &self.clock;
        let asking = clock.timeout(ANSWER_WITHIN, slot.asking.lock()).await;
        let now = clock.now();
        if let Some(known) = slot.known(KNOWN_FOR, now) {
            return Some(known);
        }
        if asking.is_none() || slot.is_silent(now) {
            return slot.known(KEPT_FOR, now);
        }
        let offers = Box::pin(async {
            let (host, target) = (self.cloud.host(&key.target), &key.target);
            let action = Action::DescribeZoneInstanceConfigInfos;
            let permit = self.limiter.permit(target, &host, action, class).await;
            let place = [(key.place.zone.clone(), key.place.instance_type.clone())];
            let charge_type = key.charge_type.as_deref();
            self.cloud.offers(permit, target, &place, charge_type).await
        });
        let answer = clock.timeout(ANSWER_WITHIN, offers).await;
        let known = slot.known(KEPT_FOR, now).filter(|known| known.size.is_ok());
        // What the cloud has told before counts for more than that it does not tell now.
        if known.is_some() && answer.as_ref().is_some_and(Result::is_err) {
            slot.silence(now);
            return known;
        }
        let Some(size) = answer.and_then(|answer| size_in(answer, &key.place)) else {
            slot.silence(now);
            return slot.known(KEPT_FOR, now);
        };
        let answer = Arc::new(Answer { asked: now, size });
        slot.answer.store(Some(Arc::clone(&answer)));
        Some(answer)
    }
}

/// The size of the model of a place, or why the cloud has none; nothing where it may have one later.
fn size_in(answer: Result<Vec<Offer>, CloudError>, place: &Place) -> Option<Result<Size, String>> {
    let Place {
        zone,
        instance_type,
    } = place;
    match answer {
        Ok(offers) => {
            let here = |offer: &Offer| offer.zone == *zone && offer.instance_type == *instance_type;
            let offer = offers.into_iter().find(here);
            let unsold = || format!("the cloud does not sell {instance_type} in {zone}");
            Some(offer.map(|offer| offer.size).ok_or_else(unsold))
        }
        // The client has logged it.
        Err(error) => blames_the_request(&error).then(|| {
            let code = &error.code;
            Err(format!(
                "a rule or a limit needs to know how big {instance_type} is and what it costs in \
                 {zone}, and the cloud refuses to tell: {code}"
            ))
        }),
    }
}

/// Whether the cloud will say the same again, and not for what the operator of the gateway can mend:
/// keys, rights, and what the account lacks.
fn blames_the_request(error: &CloudError) -> bool {
    let for_good = (error.effect, error.retry) == (Effect::Definite, Retry::No);
    let request = matches!(
        error.reason,
        Reason::InvalidParameter | Reason::ResourceNotFound
    );
    for_good && request
}
