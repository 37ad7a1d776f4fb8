//! Holds the audit of a journal that nobody writes any more against its operations: the chains by
//! the code of `cvm-gateway audit verify`, the rows by plain SQL.

use cvm_gateway::store::{Desk, Settings};
use serde_json::Value;
use sqlx::{AnyConnection, Connection, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// States in which the gateway has nothing more to do; each that is entered has a row.
const AT_REST: [&str; 5] = [
    "SUCCEEDED",
    "PARTIAL",
    "FAILED",
    "CANCELLED",
    "NEEDS_OPERATOR",
];

/// A row of the audit.
#[derive(Debug)]
struct Told {
    event: String,
    /// The id that it is filed under.
    operation: Option<String>,
    record: Value,
}

/// Everything that is wrong with the audit of the journal at `url`. The requests `denied` were denied,
/// and their callers were told so.
pub(crate) async fn violations(url: &str, denied: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = chains(url).await;
    let mut journal = AnyConnection::connect(url).await.unwrap();
    let operations = operations(&mut journal).await;
    let rows = rows(&mut journal).await;
    journal.close().await.unwrap();
    let mut by_operation: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
    for row in &rows {
        if let Some(id) = &row.operation {
            by_operation.entry(id).or_default().push(row);
        }
    }
    for (id, document) in &operations {
        let own = by_operation.remove(id.as_str()).unwrap_or_default();
        wrong.extend(judge(id, document, &own));
    }
    let unknown = by_operation.keys();
    wrong.extend(unknown.map(|id| format!("AUDIT: {id} has rows and is no operation")));
    let told = |request: &&String| {
        let mut rows = rows.iter().filter(|row| row.event == "denied");
        rows.any(|row| row.record["request"]["requestId"] == ***request)
    };
    let untold = denied.iter().filter(|request| !told(request));
    wrong.extend(untold.map(|request| format!("AUDIT: {request} was denied and has no row")));
    wrong
}

async fn chains(url: &str) -> Vec<String> {
    let settings = Settings {
        url: url.to_owned().into(),
        key_file: None,
        pool_size: 1,
        queue: 1,
        batch: 1,
        busy_timeout: Duration::from_secs(10),
        reserve_bytes: 0,
    };
    let desk = Desk::open(&settings).await.unwrap();
    let verified = desk.verify(&[]).await.unwrap();
    desk.close().await;
    let findings = verified.findings.into_iter();
    findings
        .map(|finding| format!("AUDIT: {finding}"))
        .collect()
}

async fn operations(journal: &mut AnyConnection) -> BTreeMap<String, Value> {
    let rows = sqlx::query("SELECT id, document FROM operations");
    let rows = rows.fetch_all(journal).await.unwrap();
    let operation = |row: &sqlx::any::AnyRow| {
        let document: &str = row.get(1);
        (row.get(0), serde_json::from_str(document).unwrap())
    };
    rows.iter().map(operation).collect()
}

async fn rows(journal: &mut AnyConnection) -> Vec<Told> {
    let rows = sqlx::query("SELECT event, operation_id, record FROM audit_rows");
    let rows = rows.fetch_all(journal).await.unwrap();
    let told = |row: &sqlx::any::AnyRow| Told {
        event: row.get(0),
        operation: row.get(1),
        record: serde_json::from_str(row.get(2)).unwrap(),
    };
    rows.iter().map(told).collect()
}

/// One row for what was allowed, one for each end, and one for whatever was done between.
fn judge(id: &str, document: &Value, rows: &[&Told]) -> Vec<String> {
    let mut wrong = Vec::new();
    let action = match document["kind"].as_str() {
        Some("TERMINATION") => "TerminateInstances",
        _ => "RunInstances",
    };
    let of = |event: &str, action: &str| {
        let rows = rows.iter().filter(|row| row.event == event);
        rows.filter(|row| row.record["action"] == action).count()
    };
    let begun = of("intent", action);
    if begun != 1 {
        wrong.push(format!("AUDIT: {id} was allowed in {begun} rows"));
    }
    let transitions = document["transitions"].as_array().unwrap();
    let states = transitions.iter().map(|entered| &entered["state"]);
    let states: Vec<&str> = states.map(|state| state.as_str().unwrap()).collect();
    let mut ends = states.clone();
    ends.retain(|state| AT_REST.contains(state));
    let outcomes = || rows.iter().filter(|row| row.event == "outcome");
    let told = outcomes().map(|row| row.record["outcome"]["state"].as_str().unwrap());
    let mut told: Vec<&str> = told.collect();
    ends.sort_unstable();
    told.sort_unstable();
    if ends != told {
        wrong.push(format!("AUDIT: {id} ended as {ends:?}, told is {told:?}"));
    }
    let last = states.last().copied().unwrap_or_default();
    let machines: Vec<&Value> = document["instances"]
        .as_array()
        .map_or(Vec::new(), |machines| machines.iter().collect());
    let machines: Vec<&Value> = machines.iter().map(|machine| &machine["id"]).collect();
    for row in outcomes().filter(|row| row.record["outcome"]["state"] == last) {
        let named = row.record["outcome"]["instances"].as_array().unwrap();
        if last != "NEEDS_OPERATOR" && named.iter().ne(machines.iter().copied()) {
            wrong.push(format!("AUDIT: {id} has {machines:?}, told is {named:?}"));
        }
    }
    if !document["cancellation"].is_null() && of("intent", "CancelOperation") == 0 {
        wrong.push(format!("AUDIT: nobody is told to have cancelled {id}"));
    }
    let released = states.windows(2).filter(|two| two[0] == "NEEDS_OPERATOR");
    if of("act", "Release") < released.count() {
        wrong.push(format!("AUDIT: nobody is told to have released {id}"));
    }
    wrong
}
