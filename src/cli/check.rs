//! `simulate --check`: holds the journal of a gateway against the ledger of the simulator that it
//! called. Each knows by itself what was launched, so what they say differently is a fault.

use super::error::CliError;
use super::launch::read_input;
use crate::domain::ids::OperationId;
use crate::domain::operation::{Kind, Operation, StateName};
use crate::domain::rules::RESERVED_TAG_PREFIX;
use crate::store::{Desk, Filter, Settings};
use crate::terminal::{self, Exit};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Operations that are read at once.
const PAGE: usize = 500;
/// A ledger of a million calls.
const LEDGER_BYTES_MAX: u64 = 2 << 30;

/// Prints every difference; the exit code tells whether there was one.
pub(super) async fn check(journal: &str, ledger: &Path) -> Result<Exit, CliError> {
    let lines = read_input(ledger, LEDGER_BYTES_MAX)?;
    let lines = lines.lines().enumerate().map(|(number, line)| {
        serde_json::from_str(line).map_err(|source| CliError::Ledger {
            line: number + 1,
            source,
        })
    });
    let entries = lines.collect::<Result<Vec<Value>, _>>()?;
    let launches = launches(journal).await?;
    let differences = differences(&launches, &entries);
    for difference in &differences {
        terminal::print(difference)?;
    }
    let of_kind = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
    let charged = charges(&entries).filter_map(|charge| charge["amount"].as_f64());
    terminal::note(format!(
        "{} differences between {} launches in the journal and {} calls, {} machines and {} charges of {:.4} in the ledger",
        differences.len(),
        launches.len(),
        of_kind("attempt"),
        of_kind("machine"),
        of_kind("charge"),
        charged.sum::<f64>(),
    ));
    Ok(match differences.as_slice() {
        [] => Exit::Ok,
        [_, ..] => Exit::Failed,
    })
}

/// The launches of a journal, by what their tokens begin with.
type Launches = BTreeMap<String, Operation>;

async fn launches(journal: &str) -> Result<Launches, CliError> {
    let url = if journal.contains("://") {
        journal.to_owned()
    } else {
        format!("sqlite://{journal}")
    };
    let desk = Desk::open(&Settings {
        url: url.into(),
        pool_size: 1,
        queue: 1,
        batch: 1,
        busy_timeout: Duration::from_secs(5),
        key_file: None,
        reserve_bytes: 0,
    })
    .await?;
    let (mut launches, mut before) = (Launches::new(), None);
    loop {
        let records = desk.list(&Filter::default(), before, PAGE).await?;
        let Some(last) = records.last() else {
            break;
        };
        before = Some(last.id);
        for record in records {
            let operation = record.operation?;
            if operation.kind == Kind::Launch {
                launches.insert(stem(&operation.id), operation);
            }
        }
    }
    desk.close().await;
    Ok(launches)
}

/// What the tokens of the operation begin with.
fn stem(id: &OperationId) -> String {
    let token = id.client_token(0);
    token
        .rsplit_once('-')
        .map_or_else(String::new, |(stem, _)| stem.to_owned())
}

/// The tag by which a machine names its operation.
fn tag() -> String {
    format!("{RESERVED_TAG_PREFIX}operation")
}

fn charges(entries: &[Value]) -> impl Iterator<Item = &Value> {
    entries.iter().filter(|entry| entry["kind"] == "charge")
}

fn differences(launches: &Launches, entries: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut machines: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    let tag_key = tag();
    for entry in entries {
        if entry["kind"] == "machine" {
            let id = entry["instance_id"].as_str().unwrap_or_default();
            let token = entry["client_token"].as_str().unwrap_or_default();
            match launch(launches, token) {
                Some((stem, operation)) => {
                    machines.entry(stem).or_default().insert(id);
                    let tag = entry.get("tags").and_then(|tags| tags.get(&tag_key));
                    if tag.and_then(Value::as_str) != Some(&operation.id.to_string()) {
                        found.push(format!("{} made {id} without its tag", operation.id));
                    }
                }
                None => found.push(format!("nobody in the journal knows the machine {id}")),
            }
        } else if entry["action"] == "RunInstances" && !is_dry_run(entry) {
            found.extend(unjournalled(launches, entry));
            let token = entry["client_token"].as_str().unwrap_or_default();
            let body = entry["body_sha256"].as_str().unwrap_or_default();
            if *bodies.entry(token).or_insert(body) != body {
                found.push(format!("the token {token} was sent with different bytes"));
            }
        }
    }
    found.extend(of_charges(entries));
    let none = BTreeSet::new();
    for (stem, operation) in launches {
        let made = machines.get(stem.as_str()).unwrap_or(&none);
        found.extend(of_operation(operation, made));
    }
    found
}

/// Charges that are of no machine, or for what was charged already; and machines that ran for nothing.
fn of_charges(entries: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut charged: BTreeMap<&str, &Value> = BTreeMap::new();
    let machines = entries.iter().filter(|entry| entry["kind"] == "machine");
    let id = |entry: &'_ Value| entry["instance_id"].as_str().unwrap_or_default().to_owned();
    let machines: BTreeMap<String, &Value> = machines.map(|entry| (id(entry), entry)).collect();
    for charge in charges(entries) {
        let of = charge["instance_id"].as_str().unwrap_or_default();
        if !machines.contains_key(of) {
            found.push(format!(
                "{of} is charged, and the ledger has no such machine"
            ));
        }
        let before = charged.insert(of, charge);
        if before.is_some_and(|before| overlap(before, charge)) {
            let from = charge["from"].as_str().unwrap_or_default();
            found.push(format!("{of} is charged twice for what begins at {from}"));
        }
    }
    // A ledger of before there were charges has none at all.
    let ran = |machine: &Value| {
        let states = machine["states"].as_array().into_iter().flatten();
        states
            .into_iter()
            .any(|change| change["state"] == "RUNNING")
    };
    let free = machines
        .iter()
        .filter(|(id, machine)| ran(machine) && !charged.contains_key(id.as_str()));
    let free = free.filter(|_| !charged.is_empty());
    found.extend(free.map(|(id, _)| format!("{id} ran and was not charged")));
    found
}

/// Whether the second of two charges of a machine is for what the first was for. Times are in UTC
/// and of one length, so that they sort as texts.
fn overlap(before: &Value, charge: &Value) -> bool {
    let again = charge["for"] == "months" && before["for"] == "months";
    let (until, from) = (before["to"].as_str(), charge["from"].as_str());
    again || until.zip(from).is_some_and(|(until, from)| from < until)
}

fn is_dry_run(call: &Value) -> bool {
    let body = call["body"].as_str().unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body.get("DryRun") == Some(&Value::Bool(true))
}

/// The launch that a token is of: the operation's id and the number of the place.
fn launch<'a>(launches: &'a Launches, token: &str) -> Option<(&'a str, &'a Operation)> {
    let (stem, _) = token.split_once('-')?;
    let (stem, operation) = launches.get_key_value(stem)?;
    Some((stem, operation))
}

/// Why a call was not sent by the journal's leave.
fn unjournalled(launches: &Launches, call: &Value) -> Option<String> {
    let request_id = call["request_id"].as_str().unwrap_or_default();
    let token = call["client_token"].as_str().unwrap_or_default();
    let Some((_, operation)) = launch(launches, token) else {
        return Some(format!("nobody in the journal made the call {request_id}"));
    };
    let signed_at = call["signed_at"].as_str().unwrap_or_default();
    let mut attempts = operation.attempts.iter();
    let known = attempts.any(|attempt| attempt.signed_at.unix_timestamp().to_string() == signed_at);
    (!known).then(|| {
        let id = operation.id;
        format!("{id} was sent as of {signed_at}, of which the journal has no attempt")
    })
}

/// What the journal says of the machines of an operation that are not, and the other way round. One
/// that goes on, or waits for a person, need not know its machines yet.
fn of_operation(operation: &Operation, made: &BTreeSet<&str>) -> Vec<String> {
    let (id, asked) = (operation.id, operation.instance_count);
    let state = operation.state.name();
    let mut found = Vec::new();
    if u32::try_from(made.len()).unwrap_or(u32::MAX) > asked {
        found.push(format!(
            "{id} asked for {asked} machines and has {}",
            made.len()
        ));
    }
    let named = operation
        .instances
        .iter()
        .map(|instance| instance.id.as_str());
    let named: BTreeSet<&str> = named.collect();
    for machine in named.difference(made) {
        found.push(format!("{id} names {machine}, which it did not make"));
    }
    if state.is_at_rest() && state != StateName::NeedsOperator {
        for machine in made.difference(&named) {
            found.push(format!(
                "{id} is {} and does not know its {machine}",
                state.as_str()
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OPERATION: &str = include_str!("../../testdata/journal/operation-v2.json");

    fn machine(operation: &Operation, id: &str) -> Value {
        json!({
            "kind": "machine",
            "instance_id": id,
            "client_token": format!("{}-0", stem(&operation.id)),
            "tags": { tag(): operation.id.to_string() },
        })
    }

    fn call(operation: &Operation, signed_at: i64, body: &str) -> Value {
        json!({
            "kind": "attempt",
            "action": "RunInstances",
            "request_id": "q",
            "client_token": format!("{}-0", stem(&operation.id)),
            "signed_at": signed_at.to_string(),
            "body_sha256": body,
        })
    }

    #[test]
    fn charges_are_of_machines_and_for_one_time_each() {
        let of = |id: &str, reason: &str, from: &str, to: Value| json!({"kind": "charge", "instance_id": id, "for": reason, "from": from, "to": to});
        let ran =
            json!({"kind": "machine", "instance_id": "ins-a", "states": [{"state": "RUNNING"}]});
        let first = of(
            "ins-a",
            "running",
            "2026-01-01T00:00:00.000Z",
            json!("2026-01-01T01:00:00.000Z"),
        );
        let next = of(
            "ins-a",
            "disks",
            "2026-01-01T01:00:00.000Z",
            json!("2026-01-01T02:00:00.000Z"),
        );
        let over = of(
            "ins-a",
            "running",
            "2026-01-01T00:59:59.000Z",
            json!("2026-01-01T03:00:00.000Z"),
        );
        let months = of("ins-a", "months", "2026-01-01T00:00:00.000Z", json!(null));
        let other = of("ins-b", "running", "2026-01-01T00:00:00.000Z", json!(null));
        let sound = [ran.clone(), first.clone(), next.clone()];
        assert_eq!(of_charges(&sound), Vec::<String>::new());
        assert_eq!(of_charges(std::slice::from_ref(&ran)), Vec::<String>::new());
        let rows: [(&[Value], &str); 4] = [
            (
                &[ran.clone(), first, over],
                "charged twice for what begins at 2026-01-01T00:59:59",
            ),
            (&[ran.clone(), months.clone(), months], "charged twice"),
            (&[ran, other.clone()], "ins-a ran and was not charged"),
            (
                &[other],
                "ins-b is charged, and the ledger has no such machine",
            ),
        ];
        for (entries, says) in rows {
            let told = of_charges(entries).join("\n");
            assert!(told.contains(says), "{entries:?}: {told}");
        }
    }

    #[test]
    fn each_difference_is_told() {
        let mut operation: Operation = serde_json::from_str(OPERATION).unwrap();
        operation.instances.truncate(1);
        operation.instance_count = 1;
        let first = operation.instances[0].id.as_str().to_owned();
        let signed_at = operation.attempts[0].signed_at.unix_timestamp();
        let key = stem(&operation.id);
        let launches: Launches = [(key, operation.clone())].into();
        let sound = [
            call(&operation, signed_at, "a"),
            call(&operation, signed_at, "a"),
            machine(&operation, &first),
            json!({"kind": "attempt", "action": "RunInstances", "body": "{\"DryRun\":true}"}),
        ];
        assert_eq!(differences(&launches, &sound), Vec::<String>::new());

        let mut untagged = machine(&operation, &first);
        untagged["tags"] = json!({});
        let mut unknown = machine(&operation, "ins-x");
        unknown["client_token"] = json!(null);
        let rows: [(&[Value], &str); 7] = [
            (&[], "names "),
            (&[untagged], "without its tag"),
            (&[unknown], "nobody in the journal knows the machine ins-x"),
            (
                &[machine(&operation, &first), machine(&operation, "ins-y")],
                "asked for 1 machines and has 2",
            ),
            (&[call(&operation, signed_at + 1, "a")], "has no attempt"),
            (
                &[
                    call(&operation, signed_at, "a"),
                    call(&operation, signed_at, "b"),
                ],
                "different bytes",
            ),
            (
                &[json!({"kind": "attempt", "action": "RunInstances", "request_id": "z"})],
                "made the call z",
            ),
        ];
        for (entries, says) in rows {
            let told = differences(&launches, entries).join("\n");
            assert!(told.contains(says), "{entries:?}: {told}");
        }
    }
}
