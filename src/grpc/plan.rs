//! PlanRunInstances on the wire, and the seal of its plans.

use super::wire;
use crate::domain::change::Change;
use crate::domain::operation::Failure;
use crate::domain::outlook::{Offer, Price, Quota};
use crate::domain::plan::{PlanError, PlanKey};
use crate::domain::request::Wish;
use crate::domain::rules::Limits;
use crate::domain::secret::Secret;
use crate::domain::spec::{CHARGE_TYPE, InstanceSpec};
use crate::domain::violation::Violations;
use crate::operations::{Outlook, PlaceOutlook};
use crate::pb::json::read_spec;
use crate::pb::v1 as pb;
use crate::policy::{Denial, Grant, Said};
use serde_json::Value;
use std::time::Duration;
use time::UtcDateTime;

/// How plans are sealed.
#[derive(Clone, Debug)]
pub struct Plans {
    /// Gateways that share it carry out each other's plans.
    pub key: PlanKey,
    /// How long a plan can be carried out.
    pub life: Duration,
}

/// A plan, and until when it can be carried out.
pub(super) struct Sealed {
    plan: Vec<u8>,
    expires: UtcDateTime,
}

impl Plans {
    /// When a plan that is made `now` expires.
    pub(super) fn expiry(&self, now: UtcDateTime) -> UtcDateTime {
        (now + self.life).truncate_to_second()
    }

    /// What times of a launch are counted from, whose plan expires then: the same moment when it is
    /// planned and when the plan is carried out.
    pub(super) fn begin(&self, expires: UtcDateTime) -> UtcDateTime {
        let life = self.life.try_into().unwrap_or(time::Duration::ZERO);
        expires.checked_sub(life).unwrap_or(expires)
    }

    pub(super) fn seal(
        &self,
        grant: &Grant,
        expires: UtcDateTime,
    ) -> Result<Sealed, serde_json::Error> {
        let launch = grant.digest()?;
        Ok(Sealed {
            plan: self.key.seal(&launch, expires),
            expires,
        })
    }

    /// Whether `plan` is for what `grant` would launch now.
    pub(super) fn check(
        &self,
        plan: &[u8],
        grant: &Grant,
        now: UtcDateTime,
    ) -> Result<(), PlanError> {
        // What cannot be written down was never planned.
        let launch = grant.digest().map_err(|_unplanned| PlanError::Another)?;
        self.key.open(plan, &launch, now)
    }
}

/// The wish that is to be planned.
pub(super) fn wish(
    request: Option<pb::RunInstancesRequest>,
    limits: &Limits,
    now: UtcDateTime,
) -> Result<Wish, Violations> {
    let Some(request) = request else {
        return Err(wire::invalid("request", "is required: the launch to plan"));
    };
    if request.plan.is_some() {
        let rule = "must not be set: a plan is what comes of this call";
        return Err(wire::invalid("request.plan", rule));
    }
    wire::wish(request, limits, now).map_err(|violations| violations.within("request"))
}

/// The specification as far as it may be shown.
pub(super) fn without_secrets(
    mut spec: InstanceSpec,
) -> Result<pb::InstanceSpec, serde_json::Error> {
    spec.user_data = None;
    if let Some(login) = &mut spec.login_settings {
        login.password = None;
    }
    for item in spec.metadata.iter_mut().flat_map(|m| m.items.iter_mut()) {
        item.value = Secret::default();
    }
    let body = serde_json::to_value(&spec)?;
    read_spec(named_as_in_proto(body)).map_err(serde::de::Error::custom)
}

/// The members of the cloud's body are the fields of the proto, in another spelling.
fn named_as_in_proto(body: Value) -> Value {
    match body {
        Value::Object(members) => {
            let members = members.into_iter();
            let members =
                members.map(|(name, value)| (wire::snake_case(&name), named_as_in_proto(value)));
            Value::Object(members.collect())
        }
        Value::Array(items) => items.into_iter().map(named_as_in_proto).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => body,
    }
}

/// What was planned: the launch, as policy made it.
pub(super) struct Planned {
    pub(super) spec: pb::InstanceSpec,
    pub(super) changes: Vec<Change>,
}

/// What is answered to a launch that policy forbids.
pub(super) fn denied(denial: Denial, planned: Planned) -> pb::PlanRunInstancesResponse {
    pb::PlanRunInstancesResponse {
        allowed: false,
        decisions: denial.said.into_iter().map(decision).collect(),
        changes: planned.changes.into_iter().map(change).collect(),
        effective_spec: Some(planned.spec),
        ..pb::PlanRunInstancesResponse::default()
    }
}

/// What is answered to a launch that policy allows.
pub(super) fn allowed(
    grant: &Grant,
    planned: Planned,
    outlook: &Outlook,
    sealed: Option<Sealed>,
) -> pb::PlanRunInstancesResponse {
    let (plan, expires) = sealed.map(|sealed| (sealed.plan, sealed.expires)).unzip();
    let refused = outlook
        .dry_run
        .as_ref()
        .and_then(|said| said.as_ref().err());
    let places: Vec<_> = outlook.places.iter().map(place).collect();
    pb::PlanRunInstancesResponse {
        allowed: true,
        decisions: grant.said().iter().cloned().map(decision).collect(),
        changes: planned.changes.into_iter().map(change).collect(),
        effective_spec: Some(planned.spec),
        price: places.first().and_then(|first| first.price.clone()),
        in_stock: places.first().is_some_and(pb::PlannedPlace::in_stock),
        places,
        quotas: quotas(grant, outlook),
        quota_failure: outlook.quotas.as_ref().err().map(wire::failure),
        cloud_dry_run_failure: refused.map(wire::failure),
        plan: plan.unwrap_or_default(),
        expire_time: expires.map(wire::timestamp),
    }
}

fn change(change: Change) -> pb::FieldChange {
    let Change {
        field,
        before,
        after,
        origin,
    } = change;
    pb::FieldChange {
        field,
        before,
        after,
        origin,
    }
}

fn decision(said: Said) -> pb::PolicyDecision {
    pb::PolicyDecision {
        rule_id: said.rule,
        permits: said.permits,
        reason: said.reason,
    }
}

fn place(outlook: &PlaceOutlook) -> pb::PlannedPlace {
    let (price, price_failure) = sides(Some(&outlook.price));
    let (offer, stock_failure) = sides(outlook.offer.as_ref());
    let of_offer = |text: fn(&Offer) -> &String| offer.map(text).cloned().unwrap_or_default();
    pb::PlannedPlace {
        zone: outlook.place.zone.clone(),
        instance_type: outlook.place.instance_type.clone(),
        price: price.map(money),
        price_failure,
        in_stock: offer.map(|offer| offer.on_sale),
        stock_category: of_offer(|offer| &offer.stock),
        sold_out_reason: of_offer(|offer| &offer.sold_out_reason),
        stock_failure,
    }
}

fn sides<T>(answer: Option<&Result<T, Failure>>) -> (Option<&T>, Option<pb::Failure>) {
    match answer {
        Some(Ok(value)) => (Some(value), None),
        Some(Err(failure)) => (None, Some(wire::failure(failure))),
        None => (None, None),
    }
}

fn money(price: &Price) -> pb::Price {
    let text = |amount: Option<_>| amount.map_or_else(String::new, |amount| format!("{amount}"));
    pb::Price {
        currency: price.currency.to_owned(),
        per_hour: text(price.per_hour),
        upfront: text(price.upfront),
        per_gb: text(price.per_gb),
        instance_count: i32::try_from(price.instance_count).unwrap_or(i32::MAX),
        priced_together: i32::try_from(price.priced_together).unwrap_or(i32::MAX),
    }
}

fn quotas(grant: &Grant, outlook: &Outlook) -> Vec<pb::QuotaHeadroom> {
    let spec = &grant.wish().spec;
    let charge_type = spec.instance_charge_type.as_deref().unwrap_or(CHARGE_TYPE);
    let cpus = outlook
        .places
        .first()
        .and_then(|place| place.offer.as_ref());
    let cpus = cpus.and_then(|offer| Some(i64::from(offer.as_ref().ok()?.size.vcpu)));
    let each = if charge_type == "SPOTPAID" {
        cpus.unwrap_or(0)
    } else {
        1
    };
    let requested = spec.instance_count.unwrap_or(1).saturating_mul(each);
    let headroom = |quota: &Quota| pb::QuotaHeadroom {
        limit_name: format!("account/{charge_type}"),
        limit: i64::try_from(quota.total).unwrap_or(i64::MAX),
        used: i64::try_from(quota.used).unwrap_or(i64::MAX),
        requested,
        zone: quota.zone.clone(),
    };
    let own = outlook.limits.iter().map(|room| pb::QuotaHeadroom {
        limit_name: format!("{}/{}", room.level.quota, room.level.measure.as_str()),
        limit: room.level.limit,
        used: room.level.used,
        requested: room.asked,
        zone: String::new(),
    });
    let accounts = outlook.quotas.iter().flatten().map(headroom);
    accounts.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::spec::{
        InternetAccessible, LoginSettings, Metadata, MetadataItem, VirtualPrivateCloud,
    };

    #[test]
    fn secrets_are_left_out_and_nothing_else() {
        let item = MetadataItem {
            key: "role".to_owned(),
            value: Secret::new("hunter22".to_owned()),
        };
        let spec = InstanceSpec {
            user_data: Some(Secret::new("c2VjcmV0".to_owned())),
            login_settings: Some(LoginSettings {
                password: Some(Secret::new("hunter22".to_owned())),
                key_ids: vec!["skey-1".to_owned()],
                keep_image_login: None,
            }),
            metadata: Some(Metadata { items: vec![item] }),
            host_name: Some("web".to_owned()),
            instance_count: Some(3),
            virtual_private_cloud: Some(VirtualPrivateCloud {
                ipv6_address_count: Some(2),
                ..VirtualPrivateCloud::default()
            }),
            internet_accessible: Some(InternetAccessible {
                ipv4_address_type: Some("WanIP".to_owned()),
                anti_ddos_package_id: Some("bgp-1".to_owned()),
                public_ip_assigned: Some(false),
                ..InternetAccessible::default()
            }),
            ..InstanceSpec::default()
        };
        let spec = without_secrets(spec).unwrap();
        assert_eq!(spec.user_data, None);
        let login = spec.login_settings.unwrap();
        assert_eq!((login.password, login.key_ids.len()), (None, 1));
        let items = spec.metadata.unwrap().items;
        assert_eq!(
            (items[0].key.as_str(), items[0].value.as_str()),
            ("role", "")
        );
        assert_eq!(
            (spec.host_name.as_deref(), spec.instance_count),
            (Some("web"), Some(3))
        );
        assert_eq!(
            spec.virtual_private_cloud.unwrap().ipv6_address_count,
            Some(2)
        );
        let internet = spec.internet_accessible.unwrap();
        assert_eq!(internet.ipv4_address_type.as_deref(), Some("WanIP"));
        assert_eq!(internet.anti_ddos_package_id.as_deref(), Some("bgp-1"));
        assert_eq!(internet.public_ip_assigned, Some(false));
    }
}
