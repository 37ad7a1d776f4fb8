//! The page of accounts: what stops them first, then their keys, budgets and limits, and what is sold out.

use super::layout::{Tab, ago, code, head, live, none, table, tag, text, used};
use super::operations::{path_of, path_of_state};
use super::{Console, Failure};
use crate::domain::names::AccountName;
use crate::domain::operation::StateName;
use crate::domain::quota::Level;
use crate::domain::standing::{Budget, KeyStanding, SoldOut};
use crate::store::{Brake, Browse};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;

/// Operations that wait for a person and are counted by account.
const WAITING_MAX: usize = 200;
/// Rows of a table; what is more is only counted.
const ROWS_MAX: usize = 500;
/// Keys that end so soon are pointed out.
const ENDS_SOON: Duration = Duration::from_secs(15 * 60);
/// A budget is per second, and told per minute.
const SECONDS_OF_MINUTE: f64 = 60.0;

/// What is shown.
struct Accounts {
    /// How many operations of each wait for a person.
    waiting: BTreeMap<AccountName, usize>,
    levels: Vec<Level>,
    brakes: Vec<Brake>,
    keys: Vec<KeyStanding>,
    budgets: Vec<Budget>,
    sold_out: Vec<SoldOut>,
}

pub(super) async fn page(State(console): State<Arc<Console>>) -> Response {
    let now = console.admin.clock.now();
    let made = accounts(&console).await;
    let made = made.map(|accounts| content(&accounts, now));
    console.answer(Tab::Accounts, "Accounts", made)
}

async fn accounts(console: &Console) -> Result<Accounts, Failure> {
    let (store, operations) = (&console.admin.store, &console.admin.operations);
    let read = async {
        let waiting = Browse {
            state: Some(StateName::NeedsOperator),
            limit: WAITING_MAX,
            ..Browse::default()
        };
        let page = store.browse(&waiting).await?;
        Ok((page, store.brakes().await?, operations.levels().await?))
    };
    let (page, brakes, levels) = console.read(read).await?;
    let mut waiting = BTreeMap::new();
    for operation in page
        .records
        .iter()
        .filter_map(|record| record.operation.as_ref().ok())
    {
        *waiting.entry(operation.account.clone()).or_insert(0) += 1;
    }
    let mut accounts = Accounts {
        waiting,
        levels,
        brakes,
        keys: operations.keys(),
        budgets: operations.budgets(),
        sold_out: operations.sold_out(),
    };
    accounts.sort();
    Ok(accounts)
}

impl Accounts {
    /// Those first that need a person, then those that cannot sign, then those that the cloud slows down.
    fn sort(&mut self) {
        let Self {
            waiting,
            brakes,
            budgets,
            ..
        } = &*self;
        let rank = |keys: &KeyStanding| {
            let stopped = brakes.iter().any(|brake| brake.account == keys.account);
            let slow = |budget: &Budget| budget.account == keys.account && is_slowed(budget);
            let calm = !budgets.iter().any(slow);
            (
                !stopped,
                !waiting.contains_key(&keys.account),
                keys.usable,
                keys.failure.is_none(),
                calm,
                keys.account.clone(),
            )
        };
        let mut keys = self.keys.clone();
        keys.sort_by_cached_key(rank);
        self.keys = keys;
        self.budgets.sort_by_key(|budget| !is_slowed(budget));
    }
}

/// Whether refusals of the cloud have slowed it down.
const fn is_slowed(budget: &Budget) -> bool {
    budget.rate < budget.full
}

fn content(accounts: &Accounts, now: UtcDateTime) -> Markup {
    html! {
        (head("Accounts", &html! {}))
        (live("keys", "Keys", &keys(accounts, now)))
        (live("budgets", "Budgets of calls", &budgets(&accounts.budgets)))
        (live("limits", "Limits of organisations", &limits(&accounts.levels)))
        (live("stock", "Known to be sold out", &sold_out(&accounts.sold_out, now)))
    }
}

/// At most so many rows, and how many are left out.
fn bounded(
    caption: &str,
    columns: &[&str],
    rows: impl ExactSizeIterator<Item = Markup>,
    empty: &str,
) -> Markup {
    let more = rows.len().saturating_sub(ROWS_MAX);
    let rows: Vec<Markup> = rows.take(ROWS_MAX).collect();
    html! {
        (table(caption, columns, &rows, empty))
        @if more > 0 { p .quiet { (more) " more are not shown." } }
    }
}

fn keys(accounts: &Accounts, now: UtcDateTime) -> Markup {
    let columns = [
        "Account",
        "Organisation",
        "Launches",
        "Keys from",
        "Role",
        "Signing",
        "First key ends",
    ];
    let row = |keys: &KeyStanding| {
        html! {
            th scope="row" { (keys.account) }
            td { (keys.organization) }
            td { (launches(accounts, &keys.account)) }
            td { (keys.source) }
            td { (keys.role.as_deref().and_then(code).unwrap_or_else(none)) }
            td { (signing(keys)) }
            td { (ends(keys, now)) }
        }
    };
    let rows = accounts.keys.iter().map(row);
    bounded(
        "What calls are signed with",
        &columns,
        rows,
        "There are no accounts.",
    )
}

/// Whether new launches go on, and what waits for a person.
fn launches(accounts: &Accounts, account: &AccountName) -> Markup {
    let brake = accounts
        .brakes
        .iter()
        .find(|brake| brake.account == *account);
    let waiting = accounts.waiting.get(account);
    html! {
        @match brake {
            Some(brake) => { (tag("bad", "Stopped")) " " a href=(path_of(brake.operation)) { (brake.reason) } }
            None => (tag("good", "Go on")),
        }
        @if let Some(count) = waiting {
            p { a href=(path_of_state(StateName::NeedsOperator, account.as_str())) {
                (count) @if *count == 1 { " waits for an operator" } @else { " wait for an operator" }
            } }
        }
    }
}

fn signing(keys: &KeyStanding) -> Markup {
    html! {
        @if keys.usable { (tag("good", "Has a key")) } @else { (tag("bad", "No key")) }
        @if let Some(failure) = &keys.failure {
            " " (tag("warn", "Not renewed")) " " span .note { (failure) }
        }
    }
}

fn ends(keys: &KeyStanding, now: UtcDateTime) -> Markup {
    match keys.ends {
        Some(_) if !keys.usable => none(),
        None => html! { "never" },
        Some(end) => html! {
            (ago(end, now))
            @if end < now + ENDS_SOON { " " (tag("warn", "Soon")) }
        },
    }
}

fn budgets(budgets: &[Budget]) -> Markup {
    let columns = [
        "Account",
        "Call",
        "Host",
        "In the last minute",
        "Rate now",
        "Waiting",
    ];
    let row = |budget: &Budget| {
        let most = per_second(budget.full) * SECONDS_OF_MINUTE;
        let calls = f64::from(budget.calls);
        let words = format!("{} of {most:.0}", budget.calls);
        html! {
            th scope="row" { (budget.account) }
            td { (budget.action) }
            td { code { (budget.host) } }
            td { (used(&format!("{} used", budget.action), calls, most, &words)) }
            td {
                (rate(budget.rate))
                @if is_slowed(budget) { " of " (rate(budget.full)) " " (tag("warn", "Throttled")) }
            }
            td { (budget.waiting) }
        }
    };
    let rows = budgets.iter().map(row);
    let caption =
        "Calls of this gateway, which share the cloud's limit with those of the other replicas";
    bounded(caption, &columns, rows, "The cloud was not called yet.")
}

/// Calls a second, of calls in 1,000 seconds.
fn per_second(calls: u64) -> f64 {
    f64::from(u32::try_from(calls).unwrap_or(u32::MAX)) / 1000.0
}

/// The same for a person.
fn rate(calls: u64) -> String {
    match calls % 1000 {
        0 => format!("{}/s", calls / 1000),
        _ => format!("{:.1}/s", per_second(calls)),
    }
}

fn limits(levels: &[Level]) -> Markup {
    let columns = ["Limit", "Of", "Used"];
    let row = |level: &Level| {
        let (measure, name) = (
            level.measure,
            format!("{} of {}", level.measure.as_str(), level.quota),
        );
        let [held, limit] = [level.used, level.limit].map(|amount| measure.show(amount));
        html! {
            th scope="row" { (level.quota) }
            td { (measure.as_str().replace('_', " ")) }
            td { (used(&name, measure.amount(level.used), measure.amount(level.limit), &format!("{held} of {limit}"))) }
        }
    };
    let rows = levels.iter().map(row);
    bounded(
        "What launches hold of them",
        &columns,
        rows,
        "No limits are set.",
    )
}

fn sold_out(known: &[SoldOut], now: UtcDateTime) -> Markup {
    let columns = [
        "Zone",
        "Region",
        "Model",
        "Stock",
        "Refused from",
        "In a row",
        "Last refused",
        "Avoided",
    ];
    let row = |known: &SoldOut| {
        html! {
            th scope="row" { code { (known.place.zone) } }
            td { (known.region) }
            td { (text(&known.place.instance_type).unwrap_or_else(|| tag("warn", "every model"))) }
            td { (text(&known.stock).unwrap_or_else(|| html! { "shared" })) }
            td { (known.count) " at once" }
            td { (known.refusals) }
            td { (ago(known.last, now)) }
            td { "until " (ago(known.until, now)) }
        }
    };
    let rows = known.iter().map(row);
    let caption = "Places that launches with alternatives pass over for now";
    bounded(
        caption,
        &columns,
        rows,
        "The cloud was not out of stock lately.",
    )
}
