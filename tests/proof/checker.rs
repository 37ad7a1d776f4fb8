//! The judge. Compares three logs that know nothing of each other: what the clients saw, the
//! journal read by plain SQL, and the simulator's ledger. Shares no code with the gateway.

use crate::history::{Known, is_final};
use crate::report::{Kind, Violation};
use cvm_gateway::pb::v1 as pb;
use serde_json::Value;
use sqlx::{AnyConnection, Connection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// The tag that every launch carries.
const TAG: &str = "cvm-gateway:operation";
/// States that an operation of the journal may be left in.
const FINAL: [&str; 4] = ["SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED"];

/// An operation as the journal has it.
#[derive(Clone, Debug)]
pub(crate) struct Journalled {
    pub(crate) id: String,
    pub(crate) request_id: String,
    pub(crate) state: String,
    pub(crate) sequence: i64,
    /// The snapshot, in JSON.
    pub(crate) document: Value,
    pub(crate) attempts: Vec<Attempt>,
}

/// A sending as the journal has it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) number: i64,
    /// Milliseconds since 1970.
    pub(crate) signed_at: i64,
    pub(crate) epoch: i64,
    pub(crate) result: String,
}

/// A machine as the ledger has it.
#[derive(Clone, Debug)]
struct Machine {
    id: String,
    operation: String,
    /// Of the call that made it.
    launch: String,
    /// Whether it is gone, or on its way.
    left: bool,
}

/// A RunInstances call as the ledger has it.
#[derive(Clone, Debug)]
struct Call {
    operation: String,
    signed_at: i64,
    token: String,
    body_sha256: String,
    verdict: String,
}

/// The ledger, as far as it is judged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    machines: Vec<Machine>,
    calls: Vec<Call>,
}

/// Reads the whole journal.
pub(crate) async fn journal(url: &str) -> Vec<Journalled> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let rows = sqlx::query("SELECT id, request_id, state, sequence, document FROM operations")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut operations = BTreeMap::new();
    for row in rows {
        let id: String = row.get(0);
        let document: String = row.get(4);
        let operation = Journalled {
            id: id.clone(),
            request_id: row.get(1),
            state: row.get(2),
            sequence: row.get(3),
            document: serde_json::from_str(&document).unwrap(),
            attempts: Vec::new(),
        };
        operations.insert(id, operation);
    }
    let rows = sqlx::query(
        "SELECT operation_id, number, signed_at, epoch, result FROM attempts \
         ORDER BY operation_id, number",
    );
    for row in rows.fetch_all(&mut connection).await.unwrap() {
        let id: String = row.get(0);
        let attempt = Attempt {
            number: row.get(1),
            signed_at: row.get(2),
            epoch: row.get(3),
            result: row.get(4),
        };
        if let Some(operation) = operations.get_mut(&id) {
            operation.attempts.push(attempt);
        }
    }
    connection.close().await.unwrap();
    operations.into_values().collect()
}

/// Operations of the journal that have not come to an end.
pub(crate) async fn open_operations(url: &str) -> i64 {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let states = FINAL.map(|state| format!("'{state}'")).join(", ");
    let text =
        format!("SELECT COUNT(*) FROM operations WHERE state NOT IN ({states}, 'NEEDS_OPERATOR')");
    let row = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_one(&mut connection);
    let open = row.await.unwrap().get(0);
    connection.close().await.unwrap();
    open
}

impl Ledger {
    /// Of `/_ledger`, line by line.
    pub(crate) fn parse(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            if entry["kind"] == "machine" {
                ledger.machines.push(Machine {
                    id: string(&entry["instance_id"]),
                    operation: string(&entry["tags"][TAG]),
                    launch: string(&entry["request_id"]),
                    left: has_left(&entry["states"]),
                });
            } else if entry["action"] == "RunInstances" {
                let body: Value = serde_json::from_str(&string(&entry["body"])).unwrap_or_default();
                ledger.calls.push(Call {
                    operation: tag_of(&body),
                    signed_at: string(&entry["signed_at"]).parse().unwrap_or_default(),
                    token: string(&entry["client_token"]),
                    body_sha256: string(&entry["body_sha256"]),
                    verdict: string(&entry["verdict"]),
                });
            }
        }
        ledger
    }

    pub(crate) fn machines(&self) -> usize {
        self.machines.len()
    }

    /// Machines that are gone, or on their way.
    pub(crate) fn left(&self) -> usize {
        self.machines.iter().filter(|machine| machine.left).count()
    }

    pub(crate) fn launches(&self) -> usize {
        self.calls.len()
    }

    /// RunInstances calls that came too late to act.
    pub(crate) fn expired(&self) -> usize {
        let expired = |call: &&Call| call.verdict == "AuthFailure.SignatureExpire";
        self.calls.iter().filter(expired).count()
    }
}

/// Everything that is wrong. No gateway runs any more and nothing is on its way.
pub(crate) fn judge(known: &[Known], journal: &[Journalled], ledger: &Ledger) -> Vec<Violation> {
    let mut found = Vec::new();
    let by_id: BTreeMap<&str, &Journalled> = journal
        .iter()
        .map(|operation| (operation.id.as_str(), operation))
        .collect();
    for machine in &ledger.machines {
        if !by_id.contains_key(machine.operation.as_str()) {
            let what = format!("{} belongs to no operation of the journal", machine.id);
            found.push(Violation::new(Kind::Lost, what));
        }
    }
    for call in &ledger.calls {
        if !by_id.contains_key(call.operation.as_str()) {
            let what = format!("a launch of {:?} is not in the journal", call.operation);
            found.push(Violation::new(Kind::Unjournalled, what));
        }
    }
    for operation in journal {
        judge_end(operation, &mut found);
        if operation.document["kind"] != "TERMINATION" {
            judge_machines(operation, ledger, &mut found);
        }
        judge_leaving(operation, ledger, &mut found);
        judge_calls(operation, ledger, &mut found);
    }
    judge_requests(known, journal, &mut found);
    found
}

/// It has come to an end, and its attempts with it.
fn judge_end(operation: &Journalled, found: &mut Vec<Violation>) {
    let (id, state) = (&operation.id, &operation.state);
    if !FINAL.contains(&state.as_str()) {
        let failure = &operation.document["failure"]["message"];
        let what = format!("{id} ({}) is {state}: {failure}", operation.request_id);
        found.push(Violation::new(Kind::Stuck, what));
    }
    let mut before: Option<&Attempt> = None;
    for attempt in &operation.attempts {
        let number = attempt.number;
        if attempt.result == "PENDING" && FINAL.contains(&state.as_str()) {
            let what = format!("{id} is {state}, but its attempt {number} is PENDING");
            found.push(Violation::new(Kind::Differs, what));
        }
        let in_order = before
            .is_none_or(|before| before.number + 1 == number && before.epoch <= attempt.epoch);
        if !in_order {
            let what = format!("{id}: attempt {number} follows {before:?}");
            found.push(Violation::new(Kind::Differs, what));
        }
        before = Some(attempt);
    }
}

/// What the cloud made for it is what the journal says, and no more than was asked for.
fn judge_machines(operation: &Journalled, ledger: &Ledger, found: &mut Vec<Violation>) {
    let (id, state) = (&operation.id, operation.state.as_str());
    let asked = operation.document["instance_count"].as_u64().unwrap_or(0);
    let made = ledger
        .machines
        .iter()
        .filter(|machine| machine.operation == *id);
    let made: Vec<&Machine> = made.collect();
    let launches: BTreeSet<&str> = made.iter().map(|machine| machine.launch.as_str()).collect();
    if u64::try_from(made.len()).unwrap() > asked || launches.len() > 1 {
        let what = format!(
            "{id} ({}) has {} machines of {} launches, {asked} were asked for",
            operation.request_id,
            made.len(),
            launches.len()
        );
        found.push(Violation::new(Kind::Duplicate, what));
    }
    let made: BTreeSet<String> = made.iter().map(|machine| machine.id.clone()).collect();
    let instances = operation.document["instances"].as_array().cloned();
    let named = instances.unwrap_or_default();
    let named: BTreeSet<String> = named
        .iter()
        .map(|instance| string(&instance["id"]))
        .collect();
    let lost: Vec<&String> = made.difference(&named).collect();
    if !lost.is_empty() {
        let what = format!(
            "{id} ({}) is {state} and does not know {lost:?}",
            operation.request_id
        );
        found.push(Violation::new(Kind::Lost, what));
    }
    let invented: Vec<&String> = named.difference(&made).collect();
    let right_end = match state {
        "SUCCEEDED" => u64::try_from(named.len()).unwrap() == asked,
        _ => true,
    };
    if !invented.is_empty() || !right_end {
        let what = format!("{id} is {state} with {named:?}; the cloud has {made:?}");
        found.push(Violation::new(Kind::Differs, what));
    }
}

/// What was given back, and what was launched for someone who no longer wanted it, is gone.
fn judge_leaving(operation: &Journalled, ledger: &Ledger, found: &mut Vec<Violation>) {
    let (id, state) = (&operation.id, operation.state.as_str());
    let given_back = operation.document["kind"] == "TERMINATION" && state == "SUCCEEDED";
    if !given_back && state != "CANCELLED" {
        return;
    }
    let instances = operation.document["instances"].as_array().cloned();
    let named: BTreeSet<String> = instances
        .unwrap_or_default()
        .iter()
        .map(|instance| string(&instance["id"]))
        .collect();
    let own = |machine: &&Machine| machine.operation == *id || named.contains(&machine.id);
    for machine in ledger.machines.iter().filter(own) {
        if !machine.left {
            let what = format!("{id} is {state}, and {} is still there", machine.id);
            found.push(Violation::new(Kind::Lost, what));
        }
    }
}

/// Every call is one of its attempts, and all calls are the same bytes under one token.
fn judge_calls(operation: &Journalled, ledger: &Ledger, found: &mut Vec<Violation>) {
    let id = &operation.id;
    let calls = ledger.calls.iter().filter(|call| call.operation == *id);
    let mut bodies = BTreeSet::new();
    let mut tokens = BTreeSet::new();
    for call in calls {
        bodies.insert(&call.body_sha256);
        tokens.insert(&call.token);
        let second = |attempt: &Attempt| attempt.signed_at.div_euclid(1000) == call.signed_at;
        if !operation.attempts.iter().any(second) {
            let what = format!("{id}: no attempt was journalled for {call:?}");
            found.push(Violation::new(Kind::Unjournalled, what));
        }
    }
    if bodies.len() > 1 || tokens.len() > 1 || tokens.contains(&String::new()) {
        let what = format!("{id} was sent as {bodies:?} under {tokens:?}");
        found.push(Violation::new(Kind::Unjournalled, what));
    }
}

/// Every request that a client saw accepted is one operation, and ended as the client saw it.
fn judge_requests(known: &[Known], journal: &[Journalled], found: &mut Vec<Violation>) {
    let mut by_request: BTreeMap<&str, Vec<&Journalled>> = BTreeMap::new();
    for operation in journal {
        by_request
            .entry(&operation.request_id)
            .or_default()
            .push(operation);
    }
    for (request, operations) in &by_request {
        if operations.len() > 1 {
            let what = format!("{request} is {} operations", operations.len());
            found.push(Violation::new(Kind::Duplicate, what));
        }
    }
    for known in known {
        let request = known.wish.request_id.as_str();
        match by_request
            .get(request)
            .and_then(|operations| operations.first())
        {
            Some(operation) => judge_history(known, operation, found),
            None => {
                let what = format!("{request} was accepted as {} and is gone", known.name);
                found.push(Violation::new(Kind::Lost, what));
            }
        }
    }
}

fn judge_history(known: &Known, operation: &Journalled, found: &mut Vec<Violation>) {
    let request = &known.wish.request_id;
    let mut differ = |what: String| found.push(Violation::new(Kind::Differs, what));
    if known.name.rsplit('/').next() != Some(operation.id.as_str()) {
        differ(format!(
            "{request} was told as {}, it is {}",
            known.name, operation.id
        ));
    }
    let newest = known.newest();
    let state = newest.state().as_str_name();
    let state = state.trim_start_matches("OPERATION_STATE_");
    let sequence = u64::try_from(operation.sequence).unwrap();
    if newest.sequence > sequence || (newest.sequence == sequence && state != operation.state) {
        differ(format!(
            "{request} was told as {state} at {}, the journal has {} at {sequence}",
            newest.sequence, operation.state
        ));
    }
    if is_final(newest.state()) && newest.sequence != sequence {
        differ(format!("{request} changed after it was told to be {state}"));
    }
    let transitions = operation.document["transitions"].as_array().cloned();
    let journalled: Vec<String> = transitions
        .unwrap_or_default()
        .iter()
        .map(|entry| string(&entry["state"]))
        .collect();
    for snapshot in known.snapshots.values() {
        if !journalled.starts_with(&states(snapshot)) {
            let told = states(snapshot);
            differ(format!(
                "{request} was told {told:?}, the journal has {journalled:?}"
            ));
        }
    }
    let named = newest
        .instances
        .iter()
        .map(|instance| instance.instance_id.clone());
    let named: BTreeSet<String> = named.collect();
    let instances = operation.document["instances"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let instances = instances
        .iter()
        .map(|instance| string(&instance["id"]))
        .collect();
    if newest.sequence == sequence && named != instances {
        differ(format!(
            "{request} was told {named:?}, the journal has {instances:?}"
        ));
    }
}

fn states(snapshot: &pb::Operation) -> Vec<String> {
    let names = snapshot
        .transitions
        .iter()
        .map(|transition| transition.state().as_str_name());
    names
        .map(|name| name.trim_start_matches("OPERATION_STATE_").to_owned())
        .collect()
}

/// Whether a machine's history ends it.
fn has_left(states: &Value) -> bool {
    let states = states.as_array().cloned().unwrap_or_default();
    let mut names = states.iter().map(|change| string(&change["state"]));
    names.any(|name| ["GONE", "TERMINATING", "LAUNCH_FAILED"].contains(&name.as_str()))
}

/// The operation that a launch's body is tagged with.
fn tag_of(body: &Value) -> String {
    let specifications = body["TagSpecification"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let tags = specifications
        .iter()
        .filter_map(|specification| specification["Tags"].as_array());
    let tag = tags.flatten().find(|tag| tag["Key"] == TAG);
    tag.map(|tag| string(&tag["Value"])).unwrap_or_default()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
