//! The audit: rows that are written in the transaction of the act that they tell of.

use crate::domain::decision::Decision;
use crate::domain::millis;
use crate::domain::operation::{Kind, Operation};
use crate::store::care::Release;
use crate::store::error::StoreError;
use crate::store::sql;
use sqlx::AnyConnection;
use time::UtcDateTime;

/// A new row of `audit`.
pub(in crate::store) struct Entry {
    operation: String,
    time: i64,
    action: &'static str,
    organization: String,
    principal: String,
    account: String,
    region: String,
    request_hash: Option<String>,
    detail: String,
}

impl Entry {
    /// That an operation was allowed.
    pub(in crate::store) fn begun(
        operation: &Operation,
        decision: &Decision,
        request_hash: String,
    ) -> Self {
        let action = match operation.kind {
            Kind::Launch => "LAUNCH",
            Kind::Termination => "TERMINATE",
        };
        let detail = serde_json::json!({
            "host": operation.host,
            "policy": decision.policy,
            "rule": decision.rule,
        });
        Self {
            request_hash: Some(request_hash),
            ..Self::of(operation, action, detail.to_string())
        }
    }

    /// That the caller cancelled an operation, once it did.
    pub(in crate::store) fn cancelled(operation: &Operation) -> Option<Self> {
        let cancellation = operation.cancellation.as_ref()?;
        Some(Self {
            time: millis::from_time(cancellation.time),
            principal: cancellation.principal.clone(),
            ..Self::of(operation, "CANCEL", "{}".to_owned())
        })
    }

    /// That a person let an operation go on.
    pub(in crate::store) fn released(operation: &Operation, release: &Release) -> Self {
        let detail = serde_json::json!({ "reason": release.reason });
        Self {
            time: millis::from_time(release.time),
            principal: release.principal.clone(),
            ..Self::of(operation, "RELEASE", detail.to_string())
        }
    }

    /// That an operation was given machines that were found by their tag, by the gateway itself.
    pub(in crate::store) fn adopted(
        operation: &Operation,
        instances: &[&str],
        time: UtcDateTime,
    ) -> Self {
        let detail = serde_json::json!({ "instances": instances });
        Self {
            time: millis::from_time(time),
            principal: "cvm-gateway".to_owned(),
            ..Self::of(operation, "ADOPT", detail.to_string())
        }
    }

    fn of(operation: &Operation, action: &'static str, detail: String) -> Self {
        Self {
            operation: operation.id.to_string(),
            time: millis::from_time(operation.create_time),
            action,
            organization: operation.organization.as_str().to_owned(),
            principal: operation.principal.clone(),
            account: operation.account.as_str().to_owned(),
            region: operation.region.as_str().to_owned(),
            request_hash: None,
            detail,
        }
    }
}

/// Adds the rows that are not there yet.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn write(
    connection: &mut AnyConnection,
    entries: &[&Entry],
) -> Result<(), StoreError> {
    for piece in sql::pieces(entries) {
        let mut query = sqlx::query(sql::audit(piece.len()));
        for entry in piece {
            query = query
                .bind(entry.operation.as_str())
                .bind(entry.time)
                .bind(entry.action)
                .bind(entry.organization.as_str())
                .bind(entry.principal.as_str())
                .bind(entry.account.as_str())
                .bind(entry.region.as_str())
                .bind(entry.request_hash.as_deref())
                .bind(entry.detail.as_str());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
