//! The audit: what is told of each act, in the transaction of that act.

use crate::domain::audit::{Call, Proof, Refused, Suppressed};
use crate::domain::decision::Decision;
use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::millis;
use crate::domain::operation::{Failure, Kind, Operation, Place};
use crate::domain::outlook::{Cost, Size};
use crate::store::care::Release;
use crate::store::error::StoreError;
use crate::store::orders::Order;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use time::UtcDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// RFC 3339 with milliseconds, always of the same length.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// What becomes a row, once the chain is known that it is added to.
#[derive(Clone)]
pub(in crate::store) struct Entry {
    pub(in crate::store) time: i64,
    pub(in crate::store) event: &'static str,
    pub(in crate::store) operation: Option<OperationId>,
    fields: Map<String, Value>,
}

impl Entry {
    /// That an operation was allowed.
    pub(in crate::store) fn begun(
        operation: &Operation,
        (asked, decision): (&Call, &Decision),
    ) -> Self {
        let who = (operation.principal.as_str(), &operation.organization);
        Self::of(operation, operation.create_time, "intent")
            .with("principal", principal(who, &asked.proof))
            .with("host", operation.host.clone())
            .asked(asked)
            .with("decision", verdict("allow", decision))
    }

    /// That the caller does not want an operation any more.
    pub(in crate::store) fn ordered(
        operation: &Operation,
        order: &Order,
        (asked, decision): (&Call, &Decision),
    ) -> Self {
        let who = (order.principal.as_str(), &operation.organization);
        Self::of(operation, order.time, "intent")
            .with("action", "CancelOperation")
            .with("principal", principal(who, &asked.proof))
            .asked(asked)
            .with("decision", verdict("allow", decision))
    }

    /// That a call was denied, or refused before policy was asked.
    pub(in crate::store) fn refused(refused: Refused) -> Self {
        let event = refused.event();
        let Refused {
            time,
            action,
            principal: caller,
            asked,
            account,
            region,
            decision,
            reason,
        } = refused;
        let who = (caller.name.as_str(), &caller.organization);
        let entry = Self::new(time, event)
            .with("action", action)
            .with("organization", caller.organization.as_str())
            .with("principal", principal(who, &asked.proof))
            .with("account", account)
            .with("region", region)
            .asked(&asked)
            .with("reason", reason);
        match decision {
            Some(decision) => entry.with("decision", verdict("deny", &decision)),
            None => entry,
        }
    }

    /// That calls have no rows.
    pub(in crate::store) fn suppressed(suppressed: Suppressed) -> Self {
        let Suppressed {
            time,
            event,
            principal: caller,
            calls,
        } = suppressed;
        let who = (caller.name.as_str(), &caller.organization);
        Self::new(time, "suppressed")
            .with("organization", caller.organization.as_str())
            .with("principal", principal(who, &Proof::default()))
            .with("suppressed", calls)
            .with("of", event)
    }

    /// How an operation ended, or that a person must see to it.
    pub(in crate::store) fn ended(operation: &Operation) -> Self {
        let instances = operation.instances.iter();
        let instances: Vec<_> = instances.map(|instance| instance.id.as_str()).collect();
        let outcome = json!({
            "state": operation.state.name().as_str(),
            "instances": instances,
            "cloud_request_id": operation.cloud_request_id,
            "failure": operation.failure.as_ref().map(failure),
        });
        Self::of(operation, operation.update_time, "outcome").with("outcome", outcome)
    }

    /// That a person let an operation go on.
    pub(in crate::store) fn released(operation: &Operation, release: &Release) -> Self {
        Self::of(operation, release.time, "act")
            .by("Release", &release.principal, operation)
            .with("reason", release.reason.clone())
    }

    /// That an operation was given machines that were found by their tag, by the gateway itself.
    pub(in crate::store) fn adopted(
        operation: &Operation,
        instances: &[&str],
        time: UtcDateTime,
    ) -> Self {
        Self::of(operation, time, "act")
            .by("Adopt", "cvm-gateway", operation)
            .with("instances", instances)
    }

    /// The row of a chain that begins, before the first of its other rows.
    pub(in crate::store) fn chain(time: i64, links: Vec<Value>) -> Self {
        let begun = Self {
            time,
            ..Self::new(UtcDateTime::UNIX_EPOCH, "chain")
        };
        begun.with("links", links)
    }

    fn new(time: UtcDateTime, event: &'static str) -> Self {
        Self {
            time: millis::from_time(time),
            event,
            operation: None,
            fields: Map::new(),
        }
    }

    fn of(operation: &Operation, time: UtcDateTime, event: &'static str) -> Self {
        let action = match operation.kind {
            Kind::Launch => "RunInstances",
            Kind::Termination => "TerminateInstances",
        };
        let entry = Self {
            operation: Some(operation.id),
            ..Self::new(time, event)
        };
        let who = (operation.principal.as_str(), &operation.organization);
        entry
            .with("action", action)
            .with("organization", operation.organization.as_str())
            .with("principal", principal(who, &Proof::default()))
            .with("account", operation.account.as_str())
            .with("region", operation.region.as_str())
            .with("operation", operation.id.resource_name())
    }

    /// It was somebody else, who did something else.
    fn by(self, action: &str, name: &str, operation: &Operation) -> Self {
        let who = (name, &operation.organization);
        self.with("action", action)
            .with("principal", principal(who, &Proof::default()))
    }

    /// The request, and what else it was decided by.
    fn asked(self, asked: &Call) -> Self {
        let request = serde_json::from_str(&asked.request);
        let request: Value = request.unwrap_or_default();
        let sizes: Vec<_> = asked.sizes.iter().map(size).collect();
        let whose = asked.launched_by.as_deref();
        let entry = match whose {
            Some(name) => self.with("launched_by", name),
            None => self,
        };
        entry
            .with("request", request)
            .with_any("changes", json!(asked.changes))
            .with_any("sizes", sizes.into())
    }

    /// A list, unless it is empty.
    fn with_any(self, name: &str, list: Value) -> Self {
        let empty = list.as_array().is_none_or(Vec::is_empty);
        if empty { self } else { self.with(name, list) }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The record of a row: the very bytes that are hashed.
    ///
    /// # Errors
    /// When it cannot be serialised: never, as far as is known.
    pub(in crate::store) fn record(
        &self,
        chain: &str,
        sequence: i64,
    ) -> Result<String, StoreError> {
        #[derive(Serialize)]
        struct Record<'a> {
            chain: &'a str,
            sequence: i64,
            time: Option<String>,
            event: &'static str,
            #[serde(flatten)]
            fields: &'a Map<String, Value>,
        }
        let record = Record {
            chain,
            sequence,
            time: millis::to_time(self.time).and_then(|time| time.format(TIME).ok()),
            event: self.event,
            fields: &self.fields,
        };
        serde_json::to_string(&record).map_err(|error| StoreError::Corrupt {
            table: "audit_rows",
            column: "record",
            id: format!("{chain} {sequence}"),
            source: Arc::new(error),
        })
    }
}

/// The time of a record, in milliseconds.
pub(in crate::store) fn millis_of(time: &str) -> Option<i64> {
    let time = UtcDateTime::parse(time, TIME).ok()?;
    Some(millis::from_time(time))
}

fn principal((name, organization): (&str, &OrganizationId), proof: &Proof) -> Value {
    let mut principal = Map::from_iter([
        ("name".to_owned(), name.into()),
        ("organization".to_owned(), organization.as_str().into()),
    ]);
    let proofs = [
        ("certificate_sha256", &proof.certificate_sha256),
        ("token_id", &proof.token_id),
    ];
    for (key, proof) in proofs {
        if let Some(proof) = proof {
            principal.insert(key.to_owned(), proof.as_str().into());
        }
    }
    Value::Object(principal)
}

fn size((place, size): &(Place, Size)) -> Value {
    let mut told = json!({
        "zone": place.zone,
        "instance_type": place.instance_type,
        "vcpu": size.vcpu,
        "memory": size.memory_gib,
        "gpu": size.gpu,
    });
    let price = size.cost.map(|cost| match cost {
        Cost::Hourly(amount) => ("price_per_hour".to_owned(), amount.to_string().into()),
        Cost::Monthly(amount) => ("price_per_month".to_owned(), amount.to_string().into()),
    });
    if let Some(told) = told.as_object_mut() {
        told.extend(price);
    }
    told
}

fn verdict(verdict: &str, decision: &Decision) -> Value {
    let rules: Vec<_> = decision.rule.split(',').collect();
    json!({ "verdict": verdict, "policy_version": decision.policy, "rules": rules })
}

fn failure(failure: &Failure) -> Value {
    json!({
        "reason": failure.reason.as_str(),
        "message": failure.message,
        "cloud_code": failure.cloud_code,
        "cloud_request_id": failure.cloud_request_id,
    })
}
