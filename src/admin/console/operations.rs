//! The first page: how many operations there are in which state, and the ones that are looked for.

use super::layout::{self, Tab, ago, code, head, live, table};
use super::{Console, Failure};
use crate::admin::Admin;
use crate::domain::ids::{OperationId, OrganizationId};
use crate::domain::instance::InstanceState;
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::{Kind, Operation, StateName};
use crate::store::{Brake, Browse, Record, StoreError};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use form_urlencoded::Serializer;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;

/// How long the count of operations may take; it reads an index from one end to the other.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);
/// Rows of a page.
const PAGE: usize = 50;
const PATH: &str = "/console";
const COLUMNS: [&str; 8] = [
    "State",
    "Operation",
    "Organisation",
    "Account",
    "Region",
    "Instances",
    "Request id",
    "Begun",
];

/// What is asked for, as the form sends it: what is empty does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// An operation, a `request_id` or an instance; the others do not matter then.
    q: String,
    state: String,
    organization: String,
    account: String,
    region: String,
    before: String,
}

/// What is shown.
struct Shown {
    brakes: Vec<Brake>,
    /// How many wait for a person.
    waiting: i64,
    /// Nothing when counting took too long.
    counts: Option<Vec<(StateName, i64)>>,
    organizations: Vec<String>,
    records: Vec<Record>,
    next: Option<OperationId>,
    cut_short: bool,
}

pub(super) async fn page(
    State(console): State<Arc<Console>>,
    Query(asked): Query<Asked>,
) -> Response {
    let shown = match asked.browse() {
        Ok(browse) => console.read(read(&console, &asked, &browse)).await,
        Err(failure) => Err(failure),
    };
    if let Ok(shown) = &shown
        && let ([only], false) = (&*shown.records, asked.q.is_empty())
    {
        return Redirect::to(&path_of(only.id)).into_response();
    }
    let now = console.admin.clock.now();
    let made = shown.map(|shown| content(&asked, &shown, now));
    console.answer(Tab::Operations, "Operations", made)
}

/// The page of an operation.
pub(super) fn path_of(id: OperationId) -> String {
    format!("/console/operations/{id}")
}

/// The page of those in a state, of an account if one is named.
pub(super) fn path_of_state(state: StateName, account: &str) -> String {
    let asked = Asked {
        state: state.as_str().to_owned(),
        account: account.to_owned(),
        ..Asked::default()
    };
    asked.path()
}

async fn read(console: &Console, asked: &Asked, browse: &Browse) -> Result<Shown, StoreError> {
    let Admin { store, clock, .. } = &*console.admin;
    let waiting = store.counts(&[StateName::NeedsOperator]).await?;
    let counted = clock.timeout(COUNTED_WITHIN, store.counts(&StateName::ALL));
    let counted = counted.await;
    let mut shown = Shown {
        brakes: store.brakes().await?,
        waiting: waiting.iter().map(|(_, count)| count).sum(),
        counts: counted.transpose()?,
        organizations: store.organizations().await?,
        records: Vec::new(),
        next: None,
        cut_short: false,
    };
    if asked.q.is_empty() {
        let page = store.browse(browse).await?;
        shown.records = page.records;
        shown.next = page.next;
        shown.cut_short = page.cut_short;
    } else {
        shown.records = store.search(asked.q.trim()).await?;
    }
    Ok(shown)
}

impl Asked {
    fn browse(&self) -> Result<Browse, Failure> {
        let state = StateName::parse(&self.state);
        if state.is_none() && !self.state.is_empty() {
            return Err(Failure::Malformed("there is no such state".to_owned()));
        }
        Ok(Browse {
            state,
            organization: parsed(&self.organization, OrganizationId::parse)?,
            account: parsed(&self.account, AccountName::parse)?,
            region: parsed(&self.region, Region::parse)?,
            before: parsed(&self.before, OperationId::parse)?,
            limit: PAGE,
        })
    }

    /// Where the same is asked for.
    fn path(&self) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("q", &self.q),
            ("state", &self.state),
            ("organization", &self.organization),
            ("account", &self.account),
            ("region", &self.region),
            ("before", &self.before),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        match query.finish() {
            empty if empty.is_empty() => PATH.to_owned(),
            query => format!("{PATH}?{query}"),
        }
    }

    /// Whether it is about all organisations, accounts and regions.
    const fn is_of_all(&self) -> bool {
        self.organization.is_empty() && self.account.is_empty() && self.region.is_empty()
    }

    fn before(&self, before: Option<OperationId>) -> String {
        let asked = Self {
            before: before.map(|id| id.to_string()).unwrap_or_default(),
            q: String::new(),
            state: self.state.clone(),
            organization: self.organization.clone(),
            account: self.account.clone(),
            region: self.region.clone(),
        };
        asked.path()
    }
}

fn parsed<T, E: ToString>(
    text: &str,
    parse: fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    let text = text.trim();
    let parsed = (!text.is_empty()).then(|| parse(text)).transpose();
    parsed.map_err(|error| Failure::Malformed(error.to_string()))
}

fn content(asked: &Asked, shown: &Shown, now: UtcDateTime) -> Markup {
    html! {
        (head("Operations", &search(asked)))
        (live("attention", "Needs attention", &attention(shown)))
        (live("states", "By state", &states(asked, shown)))
        (filter(asked, shown))
        (live("list", "Newest first", &list(asked, shown, now)))
    }
}

fn search(asked: &Asked) -> Markup {
    html! {
        form .search role="search" action=(PATH) {
            label for="q" { "Find" }
            input #q type="search" name="q" value=(asked.q) size="36" maxlength="128" spellcheck="false"
                autocomplete="off" placeholder="Operation, request id or instance";
            button { "Find" }
        }
    }
}

/// What waits for a person; nothing else is as urgent.
fn attention(shown: &Shown) -> Markup {
    let waiting = shown.waiting;
    html! {
        @if shown.brakes.is_empty() && waiting == 0 { p .quiet { "Nothing waits for a person." } }
        @if waiting > 0 {
            p .alert {
                strong { a href=(path_of_state(StateName::NeedsOperator, "")) {
                    (waiting) @if waiting == 1 { " operation waits" } @else { " operations wait" } " for an operator"
                } }
                " – " code { "cvm-gateway operations show" } " says why, "
                code { "operations release" } " lets it go on."
            }
        }
        @for brake in &shown.brakes {
            p .alert {
                strong { "New launches on the account " (brake.account) " are stopped" }
                " – " (brake.reason) ": " a href=(path_of(brake.operation)) { "the operation" } "."
            }
        }
    }
}

/// A tile for each state, which shows the operations in it. What is counted is of all organisations, so that is
/// what a tile leads to.
fn states(asked: &Asked, shown: &Shown) -> Markup {
    let Some(counts) = &shown.counts else {
        return html! { p .quiet { "There are too many to count in time." } };
    };
    let all: i64 = counts.iter().map(|(_, count)| count).sum();
    let count = |state| {
        let counted = counts.iter().find(|(counted, _)| *counted == state);
        counted.map_or(0, |(_, count)| *count)
    };
    let all_of_it = asked.q.is_empty() && asked.is_of_all();
    let current = |state: &str| (all_of_it && asked.state == state).then_some("true");
    html! {
        ul .tiles {
            li { a href=(PATH) aria-current=[current("")] {
                span .tag.calm { "All states" } strong { (all) }
            } }
            @for state in StateName::ALL {
                li { a href=(path_of_state(state, "")) aria-current=[current(state.as_str())]
                    data-none[count(state) == 0] {
                    (layout::state(state)) strong { (count(state)) }
                } }
            }
        }
    }
}

fn filter(asked: &Asked, shown: &Shown) -> Markup {
    html! {
        form .filter action=(PATH) aria-label="Filter" {
            div { label for="state" { "State" }
                select #state name="state" {
                    option value="" { "Any" }
                    @for state in StateName::ALL {
                        option value=(state.as_str()) selected[asked.state == state.as_str()] { (layout::name(state)) }
                    }
                } }
            div { label for="organization" { "Organisation" }
                select #organization name="organization" {
                    option value="" { "Any" }
                    @for name in &shown.organizations {
                        option selected[asked.organization == *name] { (name) }
                    }
                } }
            div { label for="account" { "Account" }
                input #account name="account" value=(asked.account) size="14" maxlength="64" spellcheck="false"; }
            div { label for="region" { "Region" }
                input #region name="region" value=(asked.region) size="14" maxlength="64" spellcheck="false"; }
            button { "Filter" }
            a href=(PATH) { "Show all" }
        }
    }
}

fn list(asked: &Asked, shown: &Shown, now: UtcDateTime) -> Markup {
    let rows: Vec<Markup> = shown
        .records
        .iter()
        .map(|record| row(record, now))
        .collect();
    let caption = match rows.len() {
        1 => "1 operation".to_owned(),
        count => format!("{count} operations"),
    };
    let empty = if asked.q.is_empty() {
        "No operation fits."
    } else {
        "No operation has this id, no request and no instance of one."
    };
    html! {
        (table(&caption, &COLUMNS, &rows, empty))
        @if shown.cut_short {
            p .quiet { "No index has accounts and regions, so a part of the journal was looked through. There is more." }
        }
        nav .pager aria-label="Pages" {
            @if !asked.before.is_empty() { a href=(asked.before(None)) rel="first" { "Newest" } }
            @if shown.next.is_some() { a href=(asked.before(shown.next)) rel="next" { "Older" } }
        }
    }
}

fn row(record: &Record, now: UtcDateTime) -> Markup {
    let name = record.id.to_string();
    // Its end is enough to tell it from the others of a page, where there is no room for all.
    let (begin, end) = name.rsplit_once('-').unwrap_or_default();
    let link = html! { a href=(path_of(record.id)) { code { span .wide { (begin) "-" } (end) } } };
    let Ok(operation) = &record.operation else {
        return html! {
            td { (layout::tag("bad", "Unreadable")) } th scope="row" { (link) } td { (record.organization) }
            td {} td {} td {} td { code { (record.request_id) } } td {}
        };
    };
    html! {
        td { (layout::state(operation.state.name())) }
        th scope="row" { (link) }
        td { (operation.organization) }
        td { (operation.account) }
        td { (operation.region) }
        td { (instances(operation)) " " (marks(record, operation)) }
        td { (code(operation.request_id.as_str()).unwrap_or_default()) }
        td { (ago(operation.create_time, now)) }
    }
}

/// What is unusual about an operation.
pub(super) fn marks(record: &Record, operation: &Operation) -> Markup {
    html! {
        @if operation.dry_run { (layout::tag("calm", "Dry run")) }
        @if record.crashes > 0 { (layout::tag("bad", "Crashed")) }
    }
}

/// How many of the machines run, or are gone.
fn instances(operation: &Operation) -> Markup {
    let machines = operation.instances.iter();
    let runs = machines.filter(|machine| machine.state == Some(InstanceState::Running));
    let (runs, known) = (runs.count(), operation.instances.len());
    match operation.kind {
        Kind::Launch => html! { (runs) " of " (operation.instance_count) " run" },
        Kind::Termination => html! { (known) " to give back" },
    }
}
