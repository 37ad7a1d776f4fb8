//! The page of one operation: what was asked and by whom, all that happened, its machines, and its end.

use super::layout::{
    self, Tab, ago, code, facts, head, live, none, stamp, table, tag, text, time, words,
};
use super::operations::marks;
use super::{Console, Failure};
use crate::domain::change::Change;
use crate::domain::ids::OperationId;
use crate::domain::instance::{Instance, InstanceState};
use crate::domain::millis::{self, since};
use crate::domain::operation::{
    Attempt, AttemptResult, Failure as Reason, Kind, OnFailure, Operation, StateName, Transition,
};
use crate::store::{Detail, Record};
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;
use std::sync::Arc;
use time::UtcDateTime;

pub(super) async fn page(State(console): State<Arc<Console>>, Path(id): Path<String>) -> Response {
    let made = detail(&console, &id).await;
    let now = console.admin.clock.now();
    let made = made.map(|detail| content(&detail, now));
    console.answer(Tab::Operations, &format!("Operation {id}"), made)
}

async fn detail(console: &Console, id: &str) -> Result<Detail, Failure> {
    let unknown = || Failure::NotFound("there is no such operation".to_owned());
    let id = OperationId::parse(id).map_err(|_no_id| unknown())?;
    let detail = console.read(console.admin.store.detail(id)).await?;
    detail.ok_or_else(unknown)
}

fn content(detail: &Detail, now: UtcDateTime) -> Markup {
    let record = &detail.record;
    let back = html! { p .crumb { a href="/console" { "Operations" } } };
    match &record.operation {
        Ok(operation) => html! { (back) (whole(detail, operation, now)) },
        Err(error) => html! {
            (back)
            (head("Unreadable operation", &tag("bad", &record.state)))
            p .alert { "This version cannot read it: " (crate::domain::causes::chain(error, ": ")) }
            (live("asked", "What is known", &facts(&row_facts(record, now))))
            (audit(&detail.audit))
        },
    }
}

fn whole(detail: &Detail, operation: &Operation, now: UtcDateTime) -> Markup {
    let title = match operation.kind {
        Kind::Launch => "Launch",
        Kind::Termination => "Termination",
    };
    let state = html! {
        span #state data-live="state" { (layout::state(operation.state.name())) " " (marks(&detail.record, operation)) }
    };
    html! {
        (head(title, &state))
        p .id { code { (operation.id) } }
        div data-live="end" { @if let Some(failure) = &operation.failure { (end(failure)) } }
        div .columns {
            (live("timeline", "Timeline", &timeline(operation, now)))
            (live("asked", "What was asked", &asked(detail, operation, now)))
        }
        (live("instances", "Instances", &instances(operation, now)))
        (live("attempts", "Attempts", &attempts(operation)))
        @if !operation.changes.is_empty() {
            (live("changes", "What policy filled in", &changes(&operation.changes)))
        }
        (live("audit", "Audit", &audit(&detail.audit)))
    }
}

/// Why it did not fully succeed.
fn end(failure: &Reason) -> Markup {
    html! {
        div .alert {
            strong { (failure.reason.as_str()) } " – " (failure.message)
            (facts(&[
                ("Cloud's code", code(&failure.cloud_code)),
                ("Cloud's request id", code(&failure.cloud_request_id)),
                ("Fields to blame", text(&failure.parameters.join(", "))),
            ]))
        }
    }
}

fn asked(detail: &Detail, operation: &Operation, now: UtcDateTime) -> Markup {
    let decided = detail.audit.iter().find_map(|row| row.get("decision"));
    let rules = decided.map(|decision| list_of(decision.get("rules")));
    let policy = decided.and_then(|decision| decision.get("policy_version")?.as_str());
    let cancelled = operation.cancellation.as_ref().map(|cancelled| {
        html! { "by " (cancelled.principal) ", " (time(cancelled.time)) }
    });
    let launch = operation.kind == Kind::Launch;
    let mut all = vec![
        ("Asked by", text(&operation.principal)),
        ("Organisation", text(operation.organization.as_str())),
        ("Request id", code(operation.request_id.as_str())),
        ("Account", text(operation.account.as_str())),
        ("Region", text(operation.region.as_str())),
        ("Host", code(&operation.host)),
        (
            "Instances asked for",
            launch.then(|| html! { (operation.instance_count) }),
        ),
        ("Places", places(operation)),
        (
            "If some fail",
            launch.then(|| html! { (on_failure(operation.on_failure)) }),
        ),
        ("Allowed by", rules.as_deref().and_then(code)),
        ("Policy", policy.and_then(code)),
        (
            "Cloud's request id",
            operation.cloud_request_id.as_deref().and_then(code),
        ),
        ("Cancelled", cancelled),
        ("Begun", Some(time(operation.create_time))),
        ("Changed", Some(ago(operation.update_time, now))),
        ("Snapshot", Some(html! { (operation.sequence) })),
    ];
    all.extend(row_facts(&detail.record, now));
    facts(&all)
}

/// What the row tells beside the operation.
fn row_facts(record: &Record, now: UtcDateTime) -> Vec<(&'static str, Option<Markup>)> {
    let rests = StateName::parse(&record.state).is_some_and(StateName::is_at_rest);
    let until = millis::to_time(record.lease_until).filter(|_| record.lease_until > 1);
    vec![
        ("Replica", code(&record.lease_owner)),
        (
            "Lease",
            (!rests).then(|| html! {
                "number " (record.lease_epoch) ", "
                @match until { Some(until) => { "runs out " (ago(until, now)) } None => "given back" }
            }),
        ),
        (
            "Processes that died with it",
            (record.crashes > 0).then(|| html! { (record.crashes) }),
        ),
    ]
}

const fn on_failure(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Keep => "keep what runs",
        OnFailure::TerminateFailed => "give back what failed",
        OnFailure::TerminateAll => "give all back",
    }
}

/// Where it may be launched, in the caller's order.
fn places(operation: &Operation) -> Option<Markup> {
    let numbered = || (0_u32..).zip(&operation.places);
    let tried = |number| {
        operation
            .attempts
            .iter()
            .any(|attempt| attempt.alternative == number)
    };
    let several = operation.places.len() > 1;
    (!operation.places.is_empty()).then(|| html! {
        ol .plain {
            @for (number, place) in numbered() {
                li {
                    code { @if place.zone.is_empty() { "any zone" } @else { (place.zone) } } " "
                    code { @if place.instance_type.is_empty() { "any model" } @else { (place.instance_type) } } " "
                    @if operation.sold_out.contains(&number) { (tag("warn", "Sold out")) }
                    @else if several && tried(number) { (tag("busy", "Tried")) }
                }
            }
        }
    })
}

/// What happened, when.
enum Happened<'a> {
    Entered(&'a Transition),
    Sent(&'a Attempt),
}

impl Happened<'_> {
    const fn time(&self) -> UtcDateTime {
        match self {
            Self::Entered(transition) => transition.time,
            Self::Sent(attempt) => attempt.signed_at,
        }
    }
}

fn timeline(operation: &Operation, now: UtcDateTime) -> Markup {
    let entered = operation.transitions.iter().map(Happened::Entered);
    let mut all: Vec<_> = entered.collect();
    all.extend(operation.attempts.iter().map(Happened::Sent));
    // The sort is stable: an attempt comes after the state that it was begun in.
    all.sort_by_key(Happened::time);
    let began = operation.create_time;
    let open = !operation.state.name().is_at_rest();
    html! {
        ol .timeline {
            @for happened in &all {
                li {
                    p .when { (time(happened.time())) span .quiet { "+" (words(since(happened.time(), began))) } }
                    @match happened {
                        Happened::Entered(entered) => {
                            p { (layout::state(entered.state)) }
                            @if !entered.note.is_empty() { p .note { (entered.note) } }
                        }
                        Happened::Sent(attempt) => {
                            p { "Attempt " (attempt.number) (operation.place_name(attempt.alternative)) ": " (outcome(attempt)) }
                        }
                    }
                }
            }
            @if open {
                li .open { p .quiet { "Open for " (words(since(now, began))) } }
            }
        }
    }
}

/// What became of an attempt, in one word and what the cloud said.
fn outcome(attempt: &Attempt) -> Markup {
    let (kind, word, detail) = match &attempt.result {
        AttemptResult::Pending => ("busy", "Under way", ""),
        AttemptResult::Accepted => ("good", "Accepted", ""),
        AttemptResult::Refused(code) => ("bad", "Refused", code.as_str()),
        AttemptResult::NotSent(why) => ("calm", "Not sent", why.as_str()),
        AttemptResult::Ambiguous(what) => ("warn", "In doubt", what.as_str()),
    };
    html! { (tag(kind, word)) " " (code(detail).unwrap_or_default()) }
}

fn attempts(operation: &Operation) -> Markup {
    let row = |attempt: &Attempt| {
        html! {
            th scope="row" { (attempt.number) }
            td { (time(attempt.signed_at)) }
            td { (outcome(attempt)) }
            td { (attempt.cloud_request_id.as_deref().and_then(code).unwrap_or_else(none)) }
            td { (attempt.alternative + 1) }
            td { (attempt.epoch) }
        }
    };
    let rows: Vec<Markup> = operation.attempts.iter().map(row).collect();
    let columns = [
        "Number",
        "Signed",
        "Outcome",
        "Cloud's request id",
        "Place",
        "Lease",
    ];
    table(
        "Calls of the cloud that may have changed something",
        &columns,
        &rows,
        "Nothing was sent.",
    )
}

fn instances(operation: &Operation, now: UtcDateTime) -> Markup {
    let rows: Vec<Markup> = operation
        .instances
        .iter()
        .map(|one| instance(one, now))
        .collect();
    let columns = [
        "Instance",
        "State",
        "Name",
        "Model",
        "Zone",
        "Addresses",
        "Runs",
        "Remarks",
    ];
    let caption = format!("{} of {} asked for", rows.len(), operation.instance_count);
    table(&caption, &columns, &rows, "The cloud has named none.")
}

fn instance(instance: &Instance, now: UtcDateTime) -> Markup {
    let addresses = instance.private_ip_addresses.iter();
    let addresses = addresses.chain(&instance.public_ip_addresses);
    html! {
        th scope="row" { code { (instance.id) } }
        td { (instance_state(instance.state.as_ref())) }
        td { (text(&instance.name).unwrap_or_else(none)) }
        td { (code(&instance.instance_type).unwrap_or_else(none)) }
        td { (code(&instance.zone).unwrap_or_else(none)) }
        td { @for address in addresses { code { (address) } " " } }
        td { @if let Some(runs) = instance.running_time { (ago(runs, now)) } @else { (none()) } }
        td {
            (instance.failure_message)
            @if let Some(missing) = instance.missing_since { " Not seen by the cloud, since " (time(missing)) "." }
        }
    }
}

fn instance_state(state: Option<&InstanceState>) -> Markup {
    let Some(state) = state else {
        return tag("calm", "not seen yet");
    };
    let kind = if *state == InstanceState::Running {
        "good"
    } else if *state == InstanceState::LaunchFailed {
        "bad"
    } else {
        "calm"
    };
    tag(kind, state.as_str())
}

fn changes(changes: &[Change]) -> Markup {
    let row = |change: &Change| {
        html! {
            th scope="row" { code { (change.field) } }
            td { (code(&change.before).unwrap_or_else(none)) }
            td { (code(&change.after).unwrap_or_else(none)) }
            td { (change.origin) }
        }
    };
    let rows: Vec<Markup> = changes.iter().map(row).collect();
    let columns = ["Field", "Before", "After", "By"];
    table("Fields of the request", &columns, &rows, "")
}

/// What the audit has, in its own words.
fn audit(rows: &[Value]) -> Markup {
    let row = |row: &Value| {
        let word = |name| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let principal = row.get("principal");
        let who = |name| {
            principal
                .and_then(|who| who.get(name)?.as_str())
                .unwrap_or_default()
        };
        let rules = list_of(
            row.get("decision")
                .and_then(|decision| decision.get("rules")),
        );
        html! {
            td { (stamp(word("time"))) }
            th scope="row" { (word("event")) }
            td { (word("action")) }
            td { (who("name")) }
            td { (code(who("token_id")).unwrap_or_default()) " " (code(who("certificate_sha256")).unwrap_or_default()) }
            td { (code(&rules).unwrap_or_else(none)) " " (word("reason")) }
        }
    };
    let rows: Vec<Markup> = rows.iter().map(row).collect();
    let columns = [
        "Time",
        "Event",
        "Action",
        "Who",
        "Proven by",
        "Rules, reason",
    ];
    table(
        "Rows of the audit",
        &columns,
        &rows,
        "The journal of before the audit has no rows.",
    )
}

/// The texts of a list, in one.
pub(super) fn list_of(list: Option<&Value>) -> String {
    let texts = list.and_then(Value::as_array).into_iter().flatten();
    let texts: Vec<&str> = texts.filter_map(Value::as_str).collect();
    texts.join(", ")
}
