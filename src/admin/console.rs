//! The console: pages of the side door that show a person what the gateway does, and change nothing.

mod accounts;
mod denials;
mod gateway;
mod layout;
mod operation;
mod operations;
mod reach;

pub use reach::Ends;

use crate::admin::Admin;
use crate::domain::causes::chain;
use crate::store::StoreError;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use layout::Tab;
use maud::{Markup, html};
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::Semaphore;

/// How long a page may take, waiting included.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// Pages that read the journal at the same time: so many of its connections are not for callers then.
const READING_MAX: usize = 1;
/// Pages that wait for that, or read; more are refused at once. So many people may look on.
const VIEWERS_MAX: usize = 32;

/// Who may see the console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names at which also other machines see it.
    pub shown_to_all_at: Vec<String>,
}

/// What its pages are made from.
#[derive(Debug)]
struct Console {
    admin: Arc<Admin>,
    settings: Settings,
    started: UtcDateTime,
    reading: Semaphore,
    viewers: Semaphore,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Nothing is there.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// Too many look on.
    #[error("too many pages are being made; try again in a moment")]
    Busy,
    /// The journal is slow.
    #[error("the journal does not answer in time; try again in a moment")]
    Late,
    /// The journal failed.
    #[error("the journal cannot be read")]
    Store(#[from] StoreError),
}

/// The pages, below `/console`.
pub(super) fn router(admin: Arc<Admin>, settings: Settings) -> Router {
    let console = Arc::new(Console {
        started: admin.clock.now(),
        admin,
        settings,
        reading: Semaphore::new(READING_MAX),
        viewers: Semaphore::new(VIEWERS_MAX),
    });
    Router::new()
        .route("/console", get(operations::page))
        .route("/console/operations/{id}", get(operation::page))
        .route("/console/accounts", get(accounts::page))
        .route("/console/denials", get(denials::page))
        .route("/console/gateway", get(gateway::page))
        .route("/console/console.css", get(style))
        .route("/console/console.js", get(script))
        .route("/console/icon.svg", get(icon))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&console),
            guarded,
        ))
        .with_state(console)
}

/// Lets those in who may see the console, and tells browsers what they must keep to.
async fn guarded(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let ends = request.extensions().get::<ConnectInfo<Ends>>();
    let ends = ends.map(|ConnectInfo(ends)| *ends);
    let names = &console.settings.shown_to_all_at;
    let mut response = match reach::refusal(names, ends, request.headers()) {
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in reach::HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

async fn style() -> Response {
    asset(
        "text/css; charset=utf-8",
        include_str!("console/console.css"),
    )
}

async fn script() -> Response {
    let text = include_str!("console/console.js");
    asset("text/javascript; charset=utf-8", text)
}

async fn icon() -> Response {
    asset("image/svg+xml", include_str!("console/icon.svg"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

impl Console {
    /// Reads the journal for a page: not at the same time as other pages, and not for long.
    async fn read<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Failure> {
        let _viewer = self.viewers.try_acquire().or(Err(Failure::Busy))?;
        let read = async {
            let _turn = self.reading.acquire().await.or(Err(Failure::Busy))?;
            Ok(read.await?)
        };
        let read = self.admin.clock.timeout(ANSWER_WITHIN, read).await;
        read.unwrap_or(Err(Failure::Late))
    }

    /// A page, or one that says why there is none.
    fn answer(&self, tab: Tab, title: &str, made: Result<Markup, Failure>) -> Response {
        let clock = &self.admin.clock;
        match made {
            Ok(content) => html_of(layout::page(tab, title, clock, &content)),
            Err(failure) => {
                let content = html! {
                    (layout::head(failure.title(), &html! {}))
                    p { (chain(&failure, ": ")) "." }
                    p { a href="/console" { "All operations" } }
                };
                let page = layout::page(tab, failure.title(), clock, &content);
                (failure.code(), html_of(page)).into_response()
            }
        }
    }
}

impl Failure {
    const fn code(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::Late | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "Not found",
            Self::Malformed(_) => "That cannot be asked",
            Self::Busy | Self::Late | Self::Store(_) => "Not now",
        }
    }
}

fn html_of(page: Markup) -> Response {
    (
        [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
        page.into_string(),
    )
        .into_response()
}
