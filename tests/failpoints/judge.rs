//! The judge: compares what the clients saw, the journal read by plain SQL, and the simulator's ledger;
//! and the journal with its audit.

use crate::audited;
use crate::clients::{History, Wish, is_final};
use crate::world::{Story, Want};
use cvm_gateway::pb::v1::OperationState;
use serde_json::Value;
use sqlx::{AnyConnection, Connection, Row};
use std::collections::BTreeSet;

/// Calls to give one machine back: one for each of two faults, and one that works.
const TERMINATIONS_MAX: usize = 3;
/// The tag that every launch carries.
const TAG: &str = "cvm-gateway:operation";

/// A row of the journal.
#[derive(Debug)]
struct Journalled {
    id: String,
    request_id: String,
    state: String,
    document: Value,
    has_body: bool,
}

/// When which operation was sent, in seconds since 1970.
type Attempts = BTreeSet<(String, i64)>;

/// Everything that breaks a promise.
pub(crate) async fn judge(
    story: &Story,
    journal: &str,
    ledger: &str,
    history: &History,
) -> Vec<String> {
    let (operations, attempts) = read(journal).await;
    let lines = ledger.lines().map(serde_json::from_str);
    let entries: Vec<Value> = lines.collect::<Result<_, _>>().unwrap();
    let mut found = Vec::new();
    for wish in story.wishes() {
        found.extend(judge_wish(wish.request_id, story.end, &operations, history));
        if story.want == Want::GiveBack {
            let end = OperationState::Succeeded;
            found.extend(judge_wish(wish.back_id, end, &operations, history));
        }
    }
    let tries = |wish: &Wish| {
        history
            .newest(wish.request_id)
            .map_or(0, |newest| newest.attempts)
    };
    if story.wishes().map(tries).max() < Some(story.attempts_min) {
        found.push(format!("no launch was tried {} times", story.attempts_min));
    }
    let launches = operations
        .iter()
        .filter(|operation| operation.document["kind"] != "TERMINATION");
    for operation in launches {
        found.extend(judge_operation(operation, &entries));
    }
    found.extend(judge_calls(&operations, &attempts, &entries));
    found.extend(judge_given_back(story, &entries));
    let denied = history.denied.lock().unwrap().clone();
    found.extend(audited::violations(journal, &denied).await);
    found
}

async fn read(journal: &str) -> (Vec<Journalled>, Attempts) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(journal).await.unwrap();
    let rows = "SELECT id, request_id, state, document, body FROM operations";
    let rows = sqlx::query(rows).fetch_all(&mut connection).await.unwrap();
    let operations = rows.iter().map(|row| Journalled {
        id: row.get(0),
        request_id: row.get(1),
        state: row.get(2),
        document: serde_json::from_str(row.get(3)).unwrap(),
        has_body: row.get::<Option<String>, _>(4).is_some(),
    });
    let operations = operations.collect();
    let rows = sqlx::query("SELECT operation_id, signed_at FROM attempts");
    let rows = rows.fetch_all(&mut connection).await.unwrap();
    let attempts = rows
        .iter()
        .map(|row| (row.get(0), row.get::<i64, _>(1) / 1000));
    (operations, attempts.collect())
}

/// Each request became one operation, which came to the end that its clients know.
fn judge_wish(
    id: &str,
    end: OperationState,
    operations: &[Journalled],
    history: &History,
) -> Vec<String> {
    let of_wish = operations
        .iter()
        .filter(|operation| operation.request_id == id);
    let of_wish: Vec<_> = of_wish.collect();
    let [operation] = of_wish[..] else {
        return vec![format!("{id} is {} operations", of_wish.len())];
    };
    let Some(newest) = history.newest(id) else {
        return vec![format!("{id}: no client was ever told of it")];
    };
    let mut found = Vec::new();
    if !is_final(newest.state()) || newest.state() != end {
        found.push(format!("{id} ended as {:?}: {newest:?}", newest.state()));
    }
    let state = newest.state().as_str_name();
    if !state.ends_with(&operation.state) {
        found.push(format!(
            "{id} is {state} to its clients and {} in the journal",
            operation.state
        ));
    }
    found
}

/// Its machines are those that it names, and no more than were asked for.
fn judge_operation(operation: &Journalled, entries: &[Value]) -> Vec<String> {
    let id = &operation.id;
    let asked = operation.document["instance_count"].as_u64().unwrap();
    let of_operation = entries.iter().filter(|entry| {
        entry["kind"] == "machine" && entry["client_token"].as_str().is_some_and(|t| is_of(t, id))
    });
    let machines: BTreeSet<&str> = of_operation
        .clone()
        .map(|entry| entry["instance_id"].as_str().unwrap())
        .collect();
    let named = operation.document["instances"].as_array();
    let named: BTreeSet<&str> = named
        .into_iter()
        .flatten()
        .map(|instance| instance["id"].as_str().unwrap())
        .collect();
    let mut found = Vec::new();
    let count = u64::try_from(machines.len()).unwrap();
    // More of them is what a person is asked about, and only then.
    if count > asked && operation.state != "NEEDS_OPERATOR" {
        found.push(format!(
            "TWICE: {id} has {count} machines instead of {asked}"
        ));
    }
    if machines != named && operation.state != "NEEDS_OPERATOR" {
        let what = format!("LOST: {id} has {machines:?} and is told of {named:?}");
        found.push(what);
    }
    if operation.state == "SUCCEEDED" && count != asked {
        found.push(format!("{id} succeeded with {count} of {asked} machines"));
    }
    for machine in of_operation {
        if machine["tags"][TAG] != **id {
            found.push(format!("{id} has an untagged machine: {machine}"));
        }
    }
    if operation.has_body && operation.state != "NEEDS_OPERATOR" {
        found.push(format!("{id} has ended and keeps its body"));
    }
    found
}

/// Whether a token was made for the operation.
fn is_of(token: &str, operation: &str) -> bool {
    token.contains(&operation.replace('-', ""))
}

/// Every launch was journalled as it was sent, and always with the same bytes and the same token.
fn judge_calls(operations: &[Journalled], attempts: &Attempts, entries: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut sent: Vec<(&str, &str, &str)> = Vec::new();
    let launches = entries
        .iter()
        .filter(|entry| entry["action"] == "RunInstances");
    for call in launches {
        let token = call["client_token"].as_str().unwrap_or_default();
        let of_call = operations
            .iter()
            .find(|operation| is_of(token, &operation.id));
        let Some(operation) = of_call else {
            found.push(format!("UNJOURNALLED: nobody knows of {call}"));
            continue;
        };
        let signed_at: i64 = call["signed_at"].as_str().unwrap().parse().unwrap();
        if !attempts.contains(&(operation.id.clone(), signed_at)) {
            found.push(format!(
                "UNJOURNALLED: {} was sent as of {signed_at}",
                operation.id
            ));
        }
        sent.push((&operation.id, token, call["body_sha256"].as_str().unwrap()));
    }
    for (index, (id, token, body)) in sent.iter().enumerate() {
        let before = sent[..index].iter().find(|(other, _, _)| other == id);
        if before.is_some_and(|(_, before, bytes)| (before, bytes) != (token, body)) {
            found.push(format!("{id} was sent with other bytes or another token"));
        }
    }
    found
}

/// What was to be given back is gone, by one call that was carried out and few that were not; nothing
/// else was.
fn judge_given_back(story: &Story, entries: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for machine in entries.iter().filter(|entry| entry["kind"] == "machine") {
        let id = machine["instance_id"].as_str().unwrap();
        let states = machine["states"].as_array().unwrap();
        let states: Vec<_> = states.iter().map(|change| &change["state"]).collect();
        let calls = entries.iter().filter(|entry| {
            let names = |body: &str| body.contains(id);
            entry["action"] == "TerminateInstances" && entry["body"].as_str().is_some_and(names)
        });
        let done = calls.clone().filter(|call| call["verdict"] == "OK").count();
        // What failed to launch ends by itself.
        let ran = states.iter().all(|state| **state != "LAUNCH_FAILED");
        let wanted = story.gives_back() && ran;
        if wanted && states.last().is_none_or(|state| **state != "GONE") {
            found.push(format!("LEFT: {id} was not given back: {states:?}"));
        }
        if done != usize::from(wanted) {
            found.push(format!("GIVEN BACK: {id} by {done} calls"));
        }
        if calls.count() > TERMINATIONS_MAX {
            found.push(format!("{id} was asked to go too often"));
        }
    }
    found
}
