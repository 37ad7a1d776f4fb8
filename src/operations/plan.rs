//! What a launch would meet at the cloud: asked, and nothing launched.

use super::{OperationError, Operations, driver};
use crate::cloud::dry_run::{DryRun, Judged};
use crate::cloud::limiter::{Action, Class, Permit};
use crate::cloud::{CloudError, Target, body};
use crate::domain::operation::{Failure, Place};
use crate::domain::outlook::{Offer, PRICED_MAX, Price, Quota, Size};
use crate::domain::quota::Headroom;
use crate::domain::reason::Reason;
use crate::policy::Grant;
use futures_util::future::{join, join_all};
use std::time::Duration;

/// For all of the cloud's answers together, with the waits for the account's turn: less than a call
/// of the gateway may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(8);

/// What is known of a launch that was not made. Each question is answered, or not, by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// In the order in which they would be tried.
    pub places: Vec<PlaceOutlook>,
    /// Of the first place's zone; none is asked for when no zone is named.
    pub quotas: Result<Vec<Quota>, Failure>,
    /// What it would take of the organisation's limits.
    pub limits: Vec<Headroom>,
    /// What the cloud's own DryRun said, if it was asked.
    pub dry_run: Option<Result<(), Failure>>,
}

/// What is known of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceOutlook {
    pub place: Place,
    pub price: Result<Price, Failure>,
    /// None when the request names no zone or no model: a launch template may.
    pub offer: Option<Result<Offer, Failure>>,
}

impl Operations {
    /// Asks the cloud what `grant` would meet there, and with `dry_run` for its own DryRun too, which
    /// judges the very body that would be sent.
    ///
    /// # Errors
    /// When the granted specification cannot be written as JSON, or the journal cannot be read.
    pub async fn outlook(&self, grant: &Grant, dry_run: bool) -> Result<Outlook, OperationError> {
        let limits = self.headroom(grant).await?;
        let specs = grant.wish().specs();
        let id = self.new_id(self.0.clock.now());
        let bodies = specs.iter().zip(0..);
        let bodies = bodies.map(|(spec, number)| body::run_instances(spec, id, number));
        let bodies = bodies.collect::<Result<Vec<_>, _>>()?;
        let places: Vec<Place> = specs.iter().map(Place::of).collect();
        let question = Question {
            operations: self,
            target: driver::target_of(grant),
            class: Class::Launch(grant.principal().organization.clone()),
        };
        let charge_type = grant.wish().spec.instance_charge_type.as_deref();
        let first = places.first().map(|place| place.zone.as_str());
        let dry_run = bodies.first().filter(|_| dry_run);
        let count = grant.wish().instance_count();
        let prices = join_all(bodies.iter().map(|body| question.price(body, count)));
        let stock = join(
            question.offers(&places, charge_type),
            question.quotas(first.unwrap_or_default(), charge_type),
        );
        let ((prices, dry_run), (offers, quotas)) = join(
            join(
                prices,
                question.dry_run(dry_run.map(|body| body.as_slice())),
            ),
            stock,
        )
        .await;
        let places = places.into_iter().zip(prices);
        let places = places.map(|(place, price)| PlaceOutlook {
            offer: offer_of(&place, &offers),
            place,
            price,
        });
        Ok(Outlook {
            places: places.collect(),
            quotas,
            limits,
            dry_run,
        })
    }
}

/// What all questions about one launch have in common.
struct Question<'a> {
    operations: &'a Operations,
    target: Target,
    class: Class,
}

impl Question<'_> {
    /// Of `count` instances. More than the cloud prices at once are asked for in pieces: a full one,
    /// which counts as often as there are such, and what is left.
    async fn price(&self, body: &[u8], count: u32) -> Result<Price, Failure> {
        if count <= PRICED_MAX {
            return self.price_of_piece(body, count).await;
        }
        let full = self.price_of_piece(body, PRICED_MAX);
        let left = count % PRICED_MAX;
        if left == 0 {
            return Ok(full.await?.times(count / PRICED_MAX));
        }
        let (full, left) = join(full, self.price_of_piece(body, left)).await;
        Ok(full?.times(count / PRICED_MAX).plus(&left?))
    }

    async fn price_of_piece(&self, body: &[u8], count: u32) -> Result<Price, Failure> {
        let cloud = &self.operations.0.cloud;
        let ask = async |permit| cloud.price(permit, &self.target, body, count).await;
        self.ask(Action::InquiryPriceRunInstances, ask).await
    }

    /// Of all places at once; nothing when none has both a zone and a model.
    async fn offers(
        &self,
        places: &[Place],
        charge_type: Option<&str>,
    ) -> Result<Vec<Offer>, Failure> {
        let named: Vec<_> = places.iter().filter_map(named).collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let cloud = &self.operations.0.cloud;
        let ask = async |permit| {
            let offers = cloud.offers(permit, &self.target, &named, charge_type);
            offers.await
        };
        self.ask(Action::DescribeZoneInstanceConfigInfos, ask).await
    }

    async fn quotas(&self, zone: &str, charge_type: Option<&str>) -> Result<Vec<Quota>, Failure> {
        if zone.is_empty() {
            return Ok(Vec::new());
        }
        let cloud = &self.operations.0.cloud;
        let ask = async |permit| {
            let quotas = cloud.quotas(permit, &self.target, zone, charge_type);
            quotas.await
        };
        let quotas = self.ask(Action::DescribeAccountQuota, ask).await?;
        let here = quotas.into_iter().filter(|quota| quota.zone == zone);
        Ok(here.collect())
    }

    async fn dry_run(&self, body: Option<&[u8]>) -> Option<Result<(), Failure>> {
        let body = DryRun::of(body?);
        let (cloud, clock) = (&self.operations.0.cloud, &self.operations.0.clock);
        let ask = async |permit| {
            let judged = body.ask(&**cloud, permit, &self.target, clock.now());
            judged.await
        };
        let judged = self.ask(Action::RunInstances, ask).await;
        Some(judged.and_then(|judged| match judged {
            Judged::Passed => Ok(()),
            Judged::Launched { request_id } => Err(launched_anyway(request_id)),
        }))
    }

    /// Asks once, when it is the account's turn.
    async fn ask<T>(
        &self,
        action: Action,
        call: impl AsyncFnOnce(Permit) -> Result<T, CloudError>,
    ) -> Result<T, Failure> {
        let inner = &self.operations.0;
        let host = inner.cloud.host(&self.target);
        let asked = Box::pin(async {
            let class = self.class.clone();
            let permit = inner.limiter.permit(&self.target, &host, action, class);
            call(permit.await).await
        });
        match inner.clock.timeout(ANSWERS_WITHIN, asked).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(error.into()),
            None => Err(unanswered(action)),
        }
    }
}

fn named(place: &Place) -> Option<(String, String)> {
    let is_named = !place.zone.is_empty() && !place.instance_type.is_empty();
    is_named.then(|| (place.zone.clone(), place.instance_type.clone()))
}

/// What is said of the place; one that the cloud does not name is not sold there.
fn offer_of(place: &Place, offers: &Result<Vec<Offer>, Failure>) -> Option<Result<Offer, Failure>> {
    let (zone, instance_type) = named(place)?;
    let offers = match offers {
        Ok(offers) => offers,
        Err(failure) => return Some(Err(failure.clone())),
    };
    let here = |offer: &&Offer| offer.zone == zone && offer.instance_type == instance_type;
    let offer = offers.iter().find(here).cloned();
    Some(Ok(offer.unwrap_or_else(|| Offer {
        zone,
        instance_type,
        on_sale: false,
        stock: String::new(),
        sold_out_reason: String::new(),
        size: Size::default(),
    })))
}

fn unanswered(action: Action) -> Failure {
    let seconds = ANSWERS_WITHIN.as_secs();
    Failure {
        reason: Reason::CloudUnavailable,
        message: format!(
            "the cloud did not answer {} within {seconds} s; plan again",
            action.as_str()
        ),
        cloud_code: String::new(),
        cloud_request_id: String::new(),
        parameters: Vec::new(),
    }
}

/// The search for orphans finds what it launched by the operation's tag.
fn launched_anyway(cloud_request_id: String) -> Failure {
    tracing::error!(
        cloud_request_id,
        "the cloud launched instances for a DryRun; the search for orphans reports them"
    );
    Failure {
        reason: Reason::CloudInternal,
        message: "the cloud launched instances although it was asked for a DryRun; tell the \
                  operator of the gateway"
            .to_owned(),
        cloud_code: String::new(),
        cloud_request_id,
        parameters: Vec::new(),
    }
}
