//! The page of the gateway itself: whether it takes launches, its journal, and the replicas that share it.

use super::layout::{Tab, ago, code, facts, head, live, table, tag, used};
use super::{Console, Failure};
use crate::admin::readiness;
use crate::domain::causes::chain;
use crate::operations::Replica;
use crate::store::Holder;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use std::sync::Arc;
use time::UtcDateTime;

pub(super) async fn page(State(console): State<Arc<Console>>) -> Response {
    let content = content(&console).await;
    console.answer(Tab::Gateway, "Gateway", Ok(content))
}

async fn content(console: &Console) -> Markup {
    let admin = &console.admin;
    let ready = readiness(admin).await;
    // A journal that does not answer is shown, and hides nothing else.
    let holders = console.read(admin.store.holders()).await;
    let (replica, now) = (admin.operations.replica(), admin.clock.now());
    html! {
        (head("Gateway", &html! {}))
        (live("readiness", "Readiness", &told(&ready)))
        (live("replica", "This replica", &this(console, &replica, now)))
        (live("holders", "Who holds open operations", &held(&holders, &replica, now)))
    }
}

fn told(ready: &Result<(), String>) -> Markup {
    html! {
        p {
            @match ready {
                Ok(()) => { (tag("good", "Ready")) " New launches are taken." }
                Err(why) => { (tag("bad", "Not ready")) " " (why) }
            }
        }
    }
}

fn this(console: &Console, replica: &Replica, now: UtcDateTime) -> Markup {
    let amount = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let (held, most) = (amount(replica.held), amount(replica.held_max));
    let words = format!("{} of {}", replica.held, replica.held_max);
    facts(&[
        ("Version", Some(html! { (env!("CARGO_PKG_VERSION")) })),
        ("Name in leases", code(&replica.owner)),
        ("Started", Some(ago(console.started, now))),
        ("Journal", Some(html! { (console.admin.store.engine()) })),
        (
            "Operations in hand",
            Some(used("Operations in hand", held, most, &words)),
        ),
        (
            "Leases are good until",
            replica.leased_until.map(|until| ago(until, now)),
        ),
    ])
}

fn held(holders: &Result<Vec<Holder>, Failure>, replica: &Replica, now: UtcDateTime) -> Markup {
    let holders = match holders {
        Ok(holders) => holders,
        Err(failure) => return html! { p .alert { (chain(failure, ": ")) } },
    };
    let row = |holder: &Holder| {
        html! {
            th scope="row" {
                code { (holder.owner) } " "
                @if holder.owner == replica.owner { (tag("calm", "This replica")) }
            }
            td { (holder.operations) }
            td { @if let Some(until) = holder.lease_until { (ago(until, now)) } }
        }
    };
    let rows: Vec<Markup> = holders.iter().map(row).collect();
    let columns = ["Replica", "Operations", "First lease runs out"];
    table(
        "Replicas of this journal",
        &columns,
        &rows,
        "No operation is open.",
    )
}
