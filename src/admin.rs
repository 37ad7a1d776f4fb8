//! The HTTP side door: metrics and health for machines that watch the gateway, and the console for people.

mod console;
mod door;

pub use console::{Ends, Settings as ConsoleSettings};
pub use door::serve;

use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::domain::operation::StateName;
use crate::metrics::Metrics;
use crate::operations::Operations;
use crate::store::Store;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How Prometheus has been asked for its series, and how it may be asked for exemplars, too.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long readiness and the counts of a scrape may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Scrapes that count in the journal at the same time: so many of its connections are not for callers then.
const COUNTING_MAX: usize = 1;

/// What the side door shows.
#[derive(Clone, Debug)]
pub struct Admin {
    pub metrics: Metrics,
    pub store: Store,
    pub operations: Operations,
    pub clock: Clock,
}

/// What scrapes are answered from.
#[derive(Debug)]
struct Scraped {
    admin: Arc<Admin>,
    counting: Semaphore,
}

/// Serves `/metrics` (Prometheus' text format, or OpenMetrics with exemplars), `/livez` (the process answers),
/// `/readyz` (new launches are taken) and, if it is wanted, `/console`. Each request must have its [`Ends`].
pub fn router(admin: Admin, console: Option<ConsoleSettings>) -> Router {
    let admin = Arc::new(admin);
    let pages = console.map(|settings| console::router(Arc::clone(&admin), settings));
    let scraped = Arc::new(Scraped {
        admin: Arc::clone(&admin),
        counting: Semaphore::new(COUNTING_MAX),
    });
    Router::new()
        .route("/metrics", get(metrics).with_state(scraped))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(admin)
        .merge(pages.unwrap_or_default())
}

async fn metrics(State(scraped): State<Arc<Scraped>>, headers: HeaderMap) -> Response {
    let admin = &scraped.admin;
    // Who comes while another one counts is shown what was counted last.
    if let Ok(_turn) = scraped.counting.try_acquire() {
        count_all(admin).await;
    }
    admin.metrics.credentials.show(admin.clock.now());
    let (kind, rendered) = match takes_openmetrics(&headers) {
        true => (OPENMETRICS, admin.metrics.render_openmetrics()),
        false => (PROMETHEUS_TEXT, admin.metrics.render()),
    };
    match rendered {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Counts what is shown of the journal.
async fn count_all(admin: &Admin) {
    let (ended, open): (Vec<_>, Vec<_>) = StateName::ALL
        .into_iter()
        .partition(|state| state.is_final());
    // Alerts go by what is open, so it does not wait for the count of all that ever ended.
    for states in [open, ended] {
        count(admin, &states).await;
    }
    let levels = admin.operations.levels();
    if let Some(Ok(levels)) = admin.clock.timeout(ANSWER_WITHIN, levels).await {
        for level in &levels {
            admin.metrics.quotas.show(level);
        }
    }
}

/// Counts operations by state. A journal that does not answer must not blind who looks at everything else.
async fn count(admin: &Admin, states: &[StateName]) {
    let counted = admin.store.counts(states);
    if let Some(Ok(counts)) = admin.clock.timeout(ANSWER_WITHIN, counted).await {
        for (state, count) in counts {
            let gauges = &admin.metrics.operations.count;
            gauges.with_label_values(&[state.as_str()]).set(count);
        }
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    match readiness(&admin).await {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Whether new launches are taken; why not.
async fn readiness(admin: &Admin) -> Result<(), String> {
    let ready = admin.operations.ready();
    match admin.clock.timeout(ANSWER_WITHIN, ready).await {
        Some(ready) => ready.map_err(|error| chain(&error, ": ")),
        None => Err("the journal does not answer".to_owned()),
    }
}

/// Prometheus names both formats and likes this one better; who names none gets the older one.
fn takes_openmetrics(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("application/openmetrics-text"))
}
