//! The page of calls that were not carried out: who asked for what, and the rule that said no.

use super::layout::{Tab, code, head, live, none, stamp, table, tag, text};
use super::operation::list_of;
use super::{Console, Failure};
use crate::store::{Mark, NotDone};
use axum::extract::{Query, State};
use axum::response::Response;
use form_urlencoded::Serializer;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Rows of a page.
const PAGE: usize = 50;
const PATH: &str = "/console/denials";
const COLUMNS: [&str; 7] = [
    "Time",
    "Kind",
    "Who",
    "Organisation",
    "Call",
    "Where",
    "Rules, and what the caller was told",
];

/// Where the page begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    before: String,
}

pub(super) async fn page(
    State(console): State<Arc<Console>>,
    Query(asked): Query<Asked>,
) -> Response {
    let made = denials(&console, &asked).await;
    let made = made.map(|denials| content(&asked, &denials));
    console.answer(Tab::Denials, "Denials", made)
}

async fn denials(console: &Console, asked: &Asked) -> Result<NotDone, Failure> {
    let before = (!asked.before.is_empty()).then(|| asked.before.parse::<Mark>());
    let before = before.transpose();
    let before = before.map_err(|error| Failure::Malformed(format!("`before` {error}")))?;
    console
        .read(console.admin.store.not_done(before, PAGE))
        .await
}

fn content(asked: &Asked, denials: &NotDone) -> Markup {
    html! {
        (head("Denials", &html! {}))
        p .lead { "Calls that would have changed something and were not carried out, as the audit has them. A flood of them is only counted." }
        (live("denials", "Newest first", &list(asked, denials)))
    }
}

fn list(asked: &Asked, denials: &NotDone) -> Markup {
    let rows: Vec<Markup> = denials.rows.iter().map(row).collect();
    let older = denials.next.as_ref().map(|mark| {
        let mut query = Serializer::new(String::new());
        query.append_pair("before", &mark.to_string());
        format!("{PATH}?{}", query.finish())
    });
    html! {
        (table("Denied and refused calls", &COLUMNS, &rows, "No call was denied or refused."))
        nav .pager aria-label="Pages" {
            @if !asked.before.is_empty() { a href=(PATH) rel="first" { "Newest" } }
            @if let Some(older) = older { a href=(older) rel="next" { "Older" } }
        }
    }
}

fn row(row: &Value) -> Markup {
    let word = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let who = row
        .get("principal")
        .and_then(|who| who.get("name")?.as_str());
    let decision = row.get("decision");
    let rules = list_of(decision.and_then(|decision| decision.get("rules")));
    let suppressed = row.get("suppressed").and_then(Value::as_u64);
    let place = [word("account"), word("region")].join(" ");
    html! {
        td { (stamp(word("time"))) }
        td { (kind(word("event"))) }
        th scope="row" { (who.unwrap_or_default()) }
        td { (word("organization")) }
        td { (text(word("action")).unwrap_or_else(none)) }
        td { (text(place.trim()).unwrap_or_else(none)) }
        td {
            (code(&rules).unwrap_or_default()) " " (word("reason"))
            @if let Some(calls) = suppressed { (calls) " more calls that were " (word("of")) " in a minute" }
        }
    }
}

fn kind(event: &str) -> Markup {
    match event {
        "denied" => tag("bad", "Denied"),
        "refused" => tag("warn", "Refused"),
        "suppressed" => tag("calm", "Counted"),
        other => tag("calm", other),
    }
}
