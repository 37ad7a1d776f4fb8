//! A fake CVM API on HTTP that official SDKs talk to unmodified.
//!
//! Reading order: this file takes a call from the socket, proves who signed it (`auth`), decodes it
//! (`wire`) and hands it to the fake cloud (`world`), which asks `validate` whether it is sound.
//! What the cloud sells is in `catalog`; what happened is in `ledger`.

mod action;
mod auth;
mod catalog;
mod cloud;
mod control;
mod date;
mod door;
#[cfg(fuzzing)]
pub mod fuzz;
mod gzip;
mod ledger;
mod line;
mod metadata;
mod names;
mod tls;
mod validate;
mod wire;
mod world;

pub use catalog::{Catalog, CatalogError, EMBEDDED, FaultSetting, KnobError};
pub use cloud::{Answer, Arrival, Made, Network, Passage, SimulatedCloud};
pub use tls::{Identity, TlsError};

use crate::clock::Clock;
use action::{Action, Job, Service, Written};
use auth::Keys;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::Listener;
use control::Stage;
use door::{Letter, Received};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use ledger::{Ledger, Verdict};
use line::{Handle, Lines, Reset};
use serde_json::Value;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use tls::Doors;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::Refusal;
use world::{Call, World};

/// The largest body, in bytes (contract §1: 10 MB for TC3 POST).
const BODY_MAX: usize = 10 * 1024 * 1024;
/// How long a stop waits for open calls.
const STOP_MAX: Duration = Duration::from_secs(5);

/// How a simulator is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the cloud sells and what the account owns.
    pub catalog: Catalog,
    /// How much faster than the real cloud machines go through their states.
    pub speed: Speed,
    /// The same seed and the same calls at the same times give the same answers.
    pub seed: u64,
}

/// How many times faster than the real cloud: above 0, at most a million.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(f64);

/// A speed that is none.
#[derive(Debug, thiserror::Error)]
#[error("a speed is a number above 0 and at most 1000000, such as 1 or 50")]
pub struct SpeedError;

/// A running simulator. Dropping it leaves it running; [`Simulator::stop`] ends it.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// What the handlers share.
#[derive(Debug)]
struct Face {
    catalog: Arc<Catalog>,
    clock: Clock,
    state: Mutex<Record>,
    /// What calls to come are to meet with.
    stage: Mutex<Stage>,
    /// Calls that arrive late.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// A call as it came, whole.
#[derive(Debug)]
struct Mail {
    parts: Parts,
    /// None: too long, or cut off.
    body: Option<Bytes>,
}

#[derive(Debug)]
struct Record {
    world: World,
    ledger: Ledger,
}

impl Speed {
    /// The real cloud's own speed.
    pub const REAL: Self = Self(1.0);

    /// `times` as fast as the real cloud.
    ///
    /// # Errors
    /// When `times` is not above 0 and at most a million.
    pub fn new(times: f64) -> Result<Self, SpeedError> {
        let sound = times > 0.0 && times <= 1e6;
        sound.then_some(Self(times)).ok_or(SpeedError)
    }
}

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, SpeedError> {
        Self::new(text.parse().unwrap_or(f64::NAN))
    }
}

impl Simulator {
    /// Serves the fake cloud on `listener` until [`Simulator::stop`]. Its state is empty at first and lives in memory.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(settings: Settings, listener: TcpListener, clock: Clock) -> std::io::Result<Self> {
        let simulator = Self::at(&listener)?;
        simulator.serve(listener, settings, clock);
        Ok(simulator)
    }

    /// As [`Simulator::start`], for clients that speak TLS; plain HTTP is answered on the same port.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start_tls(
        settings: Settings,
        listener: TcpListener,
        clock: Clock,
        identity: Identity,
    ) -> std::io::Result<Self> {
        let simulator = Self::at(&listener)?;
        let stopping = simulator.stopping.clone();
        let doors = Doors::open(listener, identity, stopping, &simulator.tasks)?;
        simulator.serve(doors, settings, clock);
        Ok(simulator)
    }

    fn at(listener: &TcpListener) -> std::io::Result<Self> {
        Ok(Self {
            addr: listener.local_addr()?,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    fn serve<L>(&self, listener: L, settings: Settings, clock: Clock)
    where
        L: Listener<Addr: std::fmt::Debug, Io: Reset>,
    {
        let stopped = self.stopping.clone().cancelled_owned();
        let lines = Lines {
            listener,
            clock: clock.clone(),
            stopping: self.stopping.clone(),
        };
        let router = self.router(settings, clock);
        let service = router.into_make_service_with_connect_info::<Handle>();
        self.tasks.spawn(async move {
            let served = axum::serve(lines, service)
                .with_graceful_shutdown(stopped)
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the simulator stopped serving");
            }
        });
        self.tasks.close();
        tracing::info!(addr = %self.addr, "the simulator serves the CVM API");
    }

    fn router(&self, settings: Settings, clock: Clock) -> Router {
        let catalog = Arc::new(settings.catalog);
        let world = World::new(Arc::clone(&catalog), settings.seed, settings.speed.0);
        let stage = Stage::new(catalog.scenes.clone(), settings.seed);
        let face = Face {
            catalog,
            clock,
            state: Mutex::new(Record {
                world,
                ledger: Ledger::default(),
            }),
            stage: Mutex::new(stage),
            tasks: self.tasks.clone(),
            stopping: self.stopping.clone(),
        };
        Router::new()
            .route("/", any(call))
            .route("/_health", get(|| async { "ok\n" }))
            .merge(control::routes())
            .merge(ledger::routes())
            .merge(metadata::routes())
            .with_state(Arc::new(face))
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts no more calls and waits for the open ones, five seconds at most.
    pub async fn stop(self) {
        self.stopping.cancel();
        if Clock::system()
            .timeout(STOP_MAX, self.tasks.wait())
            .await
            .is_none()
        {
            tracing::warn!("calls to the simulator were still open when it stopped");
        }
    }
}

impl Face {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    fn open(&self) -> Letter<'_> {
        Letter::open(Received {
            method: &self.parts.method,
            query: self.parts.uri.query().unwrap_or_default(),
            headers: &self.parts.headers,
            body: self.body.as_deref().unwrap_or_default(),
        })
    }
}

/// One call of the API: whatever comes of it is answered with HTTP 200 and written to the ledger,
/// unless a scene wants it otherwise.
async fn call(
    State(face): State<Arc<Face>>,
    ConnectInfo(line): ConnectInfo<Handle>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await.ok();
    let mail = Mail { parts, body };
    let scene = mail
        .open()
        .common("Action")
        .and_then(|name| face.scene(name));
    line.treat(scene.as_ref().map(|scene| &scene.ending));
    let clock = face.clock.clone();
    let response = match scene {
        None => respond(&mail.parts.headers, face.answer(&mail, None)),
        Some(scene) => control::play(face, Arc::new(mail), scene).await,
    };
    date::dated(response, clock.now())
}

impl Face {
    /// The bytes of the answer; the call is in the ledger by then. `refuse` is what a scene wants.
    /// What needs no world is done before and after, so that nobody has to wait for it.
    fn answer(&self, mail: &Mail, refuse: Option<Refusal>) -> String {
        let letter = &mail.open();
        let parameters = letter.parameters();
        let asked = self.asked(mail, letter, &parameters, refuse);
        let attempt = self
            .catalog
            .ledger
            .attempt(letter, parameters.ok().as_ref());
        let mut record = self.lock();
        let (now, request_id) = (self.clock.now(), record.world.next_request_id());
        let outcome = record.carry_out(now, asked, &request_id);
        let verdict = verdict(&outcome);
        let ending = Verdict {
            at: now,
            request_id: &request_id,
            verdict: verdict.clone(),
        };
        if !record.ledger.is_full() {
            record.ledger.push(attempt.ended(ending));
        }
        drop(record);
        let action = letter.common("Action");
        tracing::debug!(request_id, %verdict, action, "simulated call");
        action::written(outcome, &request_id)
    }

    /// Authentication, and what the rate limit must know; what comes after that is told after it.
    fn asked<'l>(
        &self,
        mail: &Mail,
        letter: &'l Letter<'_>,
        parameters: &Result<Value, Refusal>,
        refuse: Option<Refusal>,
    ) -> Result<Asked<'l>, Refusal> {
        if mail.body.is_none() || !letter.fits() {
            let message = "The request is too large or was cut off.";
            return Err(Refusal::new("RequestSizeLimitExceeded", message));
        }
        if ![Method::GET, Method::POST].contains(letter.received.method) {
            let message = "Only GET and POST requests are supported.";
            return Err(Refusal::new("UnsupportedProtocol", message));
        }
        let secret_id = self.proven(letter)?;
        let name = letter.required("Action")?;
        let action = Action::parse(name)?;
        let service = action.service();
        let host = Service::ALL
            .into_iter()
            .find(|it| letter.received.host_label() == Some(it.as_str()));
        if let Some(other) = host.filter(|host| *host != service) {
            let message = format!("The service `{}` has no action `{name}`.", other.as_str());
            return Err(Refusal::new("InvalidAction", message));
        }
        auth::check_scope(&letter.received, service)?;
        let version = letter.required("Version")?;
        if version != service.version() {
            let message = format!("The version `{version}` does not exist.");
            return Err(Refusal::new("NoSuchVersion", message));
        }
        let wanted = match refuse {
            Some(refusal) => Err(refusal),
            None => self.wanted(action, letter, parameters),
        };
        Ok(Asked {
            secret_id,
            action,
            endpoint: letter.received.hosts().pop().unwrap_or_default(),
            wanted,
        })
    }

    /// The id of the key that signed. One call needs none: who proves itself by a token has no key yet.
    fn proven(&self, letter: &Letter<'_>) -> Result<String, Refusal> {
        let skipped = letter.received.header("authorization") == Some("SKIP");
        if skipped && letter.common("Action") == Some(Action::AssumeRoleWithWebIdentity.as_str()) {
            return Ok(String::new());
        }
        let now = self.clock.now();
        let record = self.lock();
        let keys = Keys {
            catalog: &self.catalog,
            issued: record.world.issued(),
            faults: record.world.faults(),
        };
        let known = keys.known(letter, now);
        drop(record);
        known.verify(letter, now).map(str::to_owned)
    }

    fn wanted<'l>(
        &self,
        action: Action,
        letter: &'l Letter<'_>,
        parameters: &Result<Value, Refusal>,
    ) -> Result<Wanted<'l>, Refusal> {
        let region = if action.has_region() {
            region(&self.catalog, letter)?
        } else {
            ""
        };
        let parameters = parameters.as_ref().map_err(Refusal::clone)?;
        let job = action.job(parameters)?;
        Ok(Wanted { region, job })
    }
}

/// A call whose sender is proven.
struct Asked<'a> {
    secret_id: String,
    action: Action,
    endpoint: &'a str,
    wanted: Result<Wanted<'a>, Refusal>,
}

/// What is to be done, and where.
struct Wanted<'a> {
    region: &'a str,
    job: Job,
}

impl Record {
    /// The rate limit, then what is wrong with the parameters, then the cloud itself.
    fn carry_out(
        &mut self,
        now: UtcDateTime,
        asked: Result<Asked<'_>, Refusal>,
        request_id: &str,
    ) -> Result<Written, Refusal> {
        if self.ledger.is_full() {
            let message = "The simulator's ledger is full; restart it.";
            return Err(Refusal::new("ServiceUnavailable", message));
        }
        let Asked {
            secret_id,
            action,
            endpoint,
            wanted,
        } = asked?;
        self.world.admit(now, &secret_id, action.as_str())?;
        let Wanted { region, job } = wanted?;
        let call = Call {
            now,
            secret_id: &secret_id,
            region,
            endpoint,
            request_id,
        };
        job(&mut self.world, &call)
    }
}

fn region<'l>(catalog: &Catalog, letter: &'l Letter<'_>) -> Result<&'l str, Refusal> {
    let region = letter.required("Region")?;
    if catalog.region(region).is_none() {
        let message = format!("The region `{region}` is not supported.");
        return Err(Refusal::new("UnsupportedRegion", message));
    }
    Ok(region)
}

/// The content type must be exactly this: with a charset behind it the Python SDK takes refusals for
/// successes (contract §5).
fn respond(asked: &HeaderMap, answer: String) -> Response {
    let json = HeaderValue::from_static("application/json");
    match gzip::compressed(asked, answer.as_bytes()) {
        None => ([(header::CONTENT_TYPE, json)], answer).into_response(),
        Some(packed) => {
            let encoding = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            ([(header::CONTENT_TYPE, json), encoding], packed).into_response()
        }
    }
}

/// `OK` or the code of the refusal.
fn verdict(outcome: &Result<Written, Refusal>) -> Cow<'static, str> {
    let refused = outcome.as_ref().err();
    refused.map_or(Cow::Borrowed("OK"), |refusal| refusal.code.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        let rows = [
            ("1", Some(1.0)),
            ("0.5", Some(0.5)),
            ("1000000", Some(1e6)),
            ("1000001", None),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("fast", None),
        ];
        for (text, expected) in rows {
            let speed = text.parse::<Speed>().ok();
            assert_eq!(speed, expected.map(Speed), "{text}");
        }
    }
}
