//! Wires the rooms together, owns the listeners, and stops them in order.

mod door;
mod keys;
mod listen;
mod overload;
mod rules;
mod sink;
mod vital;

use crate::admin::{self, Admin, ConsoleSettings};
use crate::chaos;
use crate::clock::Clock;
use crate::cloud::SettingsError;
use crate::cloud::client::{CallRecord, HttpCloud, Observer, Tools};
use crate::cloud::limiter::{self, Limiter};
use crate::config::Config;
use crate::domain::causes::chain;
use crate::domain::plan::PlanKey;
use crate::grpc::door::{Calls, Door, Settings};
use crate::grpc::{Plans, Service};
use crate::identity::{Errand, Gate, IdentityError};
use crate::metrics::{self, Metrics, Pressure};
use crate::operations::{self, Operations};
use crate::pb::v1::cvm_gateway_service_server::SERVICE_NAME;
use crate::random::Random;
use crate::store::{Budgets, Store, StoreError};
use crate::trace::Spans;
use keys::JournalKeys;
use listen::SocketFile;
pub use listen::{Address, free_for_socket};
use overload::Monitor;
use rules::RulesInForce;
use sink::Sink;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use vital::Vital;

/// How long the journal may take to close, after the drain.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    grpc: Vec<Address>,
    /// Removed at the end.
    sockets: Vec<SocketFile>,
    admin_addr: SocketAddr,
    operations: Operations,
    store: Store,
    health: HealthReporter,
    clock: Clock,
    drain_timeout: Duration,
    /// Woken to look at the rules.
    reload: Arc<Notify>,
    /// Woken to look at the keys of the journal.
    reload_keys: Arc<Notify>,
    /// First stage of stopping: take no more, end what is idle.
    soft: CancellationToken,
    /// Second stage: drop what is left.
    hard: CancellationToken,
    tasks: TaskTracker,
    /// Those of the tasks that it cannot go on without.
    vital: Vital,
    /// What goes on until the very end.
    exporting: TaskTracker,
    traces: metrics::Traces,
}

/// Why a gateway did not start. Nothing is left half done.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("cannot listen on {address}, which is {setting} in the configuration")]
    Listen {
        setting: &'static str,
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{address}, of {setting}, can be reached from other machines, but {why}")]
    Exposed {
        setting: &'static str,
        address: SocketAddr,
        why: &'static str,
    },
    #[error("the journal cannot be opened")]
    Journal(#[from] StoreError),
    #[error("callers cannot be told apart")]
    Identity(#[from] IdentityError),
    #[error("the cloud cannot be called")]
    Cloud(#[from] SettingsError),
    #[error("the metrics are inconsistent; please report it")]
    Metrics(#[from] metrics::Inconsistent),
    #[error("the API cannot describe itself; please report it")]
    Descriptor(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Gateway {
    /// Listens, opens the journal, takes up what it holds, and serves. The ports come first: a second
    /// gateway by mistake must not touch the journal.
    ///
    /// # Errors
    /// When a port is taken, the journal cannot be opened, or the settings of the cloud or of
    /// identities are unusable.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, GatewayError> {
        let grpc = chaos::around!("gateway.listen", listen::bind(&config.grpc))?;
        let admin = side_door(config.admin_listen).await?;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"))?;
        let gate = Gate::open(config.identity, clock.clone(), metrics.identity.clone())?;
        let store = Store::open(&config.journal, metrics.journal.clone(), clock.clone());
        let store = chaos::around!("gateway.open", store, else Err(StoreError::Closed))?;
        let tools = cloud_tools(&clock, &metrics);
        let cloud = HttpCloud::new(config.cloud.clone(), config.credentials, tools)?;
        let errands = [gate.errands(), cloud.errands()];
        let rooms = operations::Rooms {
            random: Random::system(),
            store: store.clone(),
            clock: cloud.clock(),
            cloud: Arc::new(cloud),
            limiter: limiter_of(config.cloud_limits, &store, &clock, &metrics),
            metrics: metrics.clone(),
        };
        let operations = chaos::at!(
            "gateway.operations",
            Operations::start(config.operations, rooms)
        );
        let rules = RulesInForce::new(config.policy, config.rules, &clock, &metrics.policy);
        let service = Service {
            policy: rules.current.clone(),
            limits: Arc::new(config.limits),
            operations: operations.clone(),
            plans: plans(config.plan_key, config.plan_life),
            clock: clock.clone(),
            metrics: metrics.grpc.clone(),
            policy_metrics: metrics.policy.clone(),
            heartbeat_interval: config.grpc.heartbeat_interval,
        };
        let monitor = Monitor::new(config.overload, &store, &clock, &metrics);
        let settings = (&config.grpc, config.log.access);
        let (health, calls) =
            door::calls(service, monitor.guard(&gate), settings, &clock, &metrics)?;
        let (tasks, soft) = (TaskTracker::new(), CancellationToken::new());
        let gateway = Self {
            grpc: grpc.addresses,
            sockets: grpc.files,
            admin_addr: admin.address,
            operations,
            store,
            health,
            clock,
            drain_timeout: config.grpc.drain_timeout,
            reload: Arc::clone(&rules.reload),
            reload_keys: Arc::default(),
            vital: Vital::new(tasks.clone(), soft.clone()),
            soft,
            hard: CancellationToken::new(),
            tasks,
            exporting: TaskTracker::new(),
            traces: metrics.traces.clone(),
        };
        let limits = (config.grpc.door, config.grpc.request_timeout);
        let door = gateway.door(monitor.guard(&gate), calls, limits, &metrics);
        let pages = gateway.pages(&metrics, config.console);
        gateway.keep_rules(rules);
        gateway.keep_journal((config.audit_sink, config.key_reload_interval), metrics);
        gateway.keep(door.open(grpc.listeners).into_iter());
        gateway.serve(admin.listener, pages);
        gateway.keep(errands.into_iter().flatten().chain([monitor.errand()]));
        gateway.tasks.close();
        chaos::around!("gateway.ready", gateway.set_health(ServingStatus::Serving));
        gateway.log_serving();
        Ok(gateway)
    }

    fn log_serving(&self) {
        let grpc: Vec<String> = self.grpc.iter().map(Address::to_string).collect();
        tracing::info!(grpc = grpc.join(", "), admin = %self.admin_addr, "serving");
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn grpc(&self) -> &[Address] {
        &self.grpc
    }

    /// Where gRPC is served first over TCP; port 0 of every address, when it is nowhere.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        let tcp = self.grpc.iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        });
        tcp.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    /// Where metrics and health are served.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Looks at the folder of rules and at the keys of the journal now, instead of when their intervals
    /// are over.
    pub fn reload(&self) {
        self.reload.notify_one();
        self.reload_keys.notify_one();
    }

    /// Brings spans to the collector of traces from now on, and once more at the end.
    pub fn export(&self, spans: Spans) {
        let (clock, metrics) = (self.clock.clone(), self.traces.clone());
        let kept = spans.keep(clock, metrics, self.hard.clone());
        self.exporting.spawn(kept);
    }

    /// Returns when the gateway cannot go on, with why.
    pub async fn failed(&self) -> String {
        tokio::select! {
            reason = self.operations.failed() => reason,
            error = self.store.failed() => chain(&error, ": "),
            () = self.vital.ended() => "a task ended that must go on; please report it".to_owned(),
        }
    }

    /// Stops: not ready, no new connection, streams end resumable, calls under way are recorded,
    /// leases are given back. Takes the drain timeout at most, whatever clients do.
    pub async fn stop(mut self) {
        self.set_health(ServingStatus::NotServing).await;
        self.operations.begin_stop();
        self.soft.cancel();
        self.sockets.clear();
        let drained = self.clock.timeout(self.drain_timeout, async {
            chaos::around!("gateway.drain", self.operations.stopped(), else ());
            self.end_health_watches().await;
            self.tasks.wait().await;
        });
        if drained.await.is_none() {
            tracing::warn!(
                "the drain timeout passed; what is left is dropped, and nothing is lost"
            );
        }
        self.hard.cancel();
        self.exporting.close();
        let close = async { tokio::join!(self.store.close(), self.exporting.wait()).0 };
        let closed = self.clock.timeout(CLOSE_WITHIN, close);
        if chaos::around!("gateway.close", closed, else None).is_none() {
            tracing::warn!("the journal does not answer; the process ends without it");
        }
        tracing::info!("stopped");
    }

    fn door(
        &self,
        (gate, pressure): Guard,
        calls: Calls,
        (settings, answer_within): (Settings, Duration),
        metrics: &Metrics,
    ) -> Door {
        Door {
            gate,
            pressure,
            calls: Arc::new(calls),
            settings: Settings {
                connections_max: door::affordable(settings.connections_max),
                ..settings
            },
            answer_within,
            clock: self.clock.clone(),
            random: Random::system(),
            metrics: metrics.connections.clone(),
            handshakes: metrics.identity.clone(),
            stopping: self.soft.clone(),
            stopped: self.hard.clone(),
            tasks: self.tasks.clone(),
        }
    }

    /// Takes connections, keeps to what the files of identities and the issuers of tokens say, keeps keys fresh, and
    /// watches what may run out.
    fn keep(&self, errands: impl Iterator<Item = Errand>) {
        for errand in errands {
            let soft = self.soft.clone();
            let kept = async move { soft.run_until_cancelled(errand).await };
            self.vital.spawn(kept);
        }
    }

    /// What the side door shows.
    fn pages(&self, metrics: &Metrics, console: Option<ConsoleSettings>) -> axum::Router {
        let admin = Admin {
            metrics: metrics.clone(),
            store: self.store.clone(),
            operations: self.operations.clone(),
            clock: self.clock.clone(),
        };
        admin::router(admin, console)
    }

    fn serve(&self, admin: TcpListener, pages: axum::Router) {
        let hard = self.hard.clone();
        let served = admin::serve(admin, pages, self.clock.clone(), self.soft.clone());
        let served = async move { hard.run_until_cancelled_owned(served).await };
        self.vital.spawn(served);
    }

    fn keep_rules(&self, rules: RulesInForce) {
        let soft = self.soft.clone();
        let kept = rules
            .reloader
            .map(|reloader| async move { soft.run_until_cancelled(reloader.keep()).await });
        if let Some(kept) = kept {
            self.vital.spawn(kept);
        }
    }

    /// Brings the audit to `sink`, and looks at the keys so often.
    fn keep_journal(&self, (sink, looks): (Option<PathBuf>, Duration), metrics: Metrics) {
        self.keep_sink(sink, metrics.audit);
        self.keep_keys(looks, metrics.journal);
    }

    fn keep_sink(&self, path: Option<PathBuf>, metrics: metrics::audit::Audit) {
        let soft = self.soft.clone();
        let sink = path.map(|path| Sink::new(path, &self.store, &self.clock, metrics));
        let kept = sink.map(|sink| async move { soft.run_until_cancelled(sink.keep()).await });
        if let Some(kept) = kept {
            self.vital.spawn(kept);
        }
    }

    fn keep_keys(&self, interval: Duration, metrics: metrics::Journal) {
        let (soft, now) = (self.soft.clone(), Arc::clone(&self.reload_keys));
        let keys = JournalKeys::new(&self.store, interval, &self.clock, metrics, now);
        let kept = keys.map(|keys| async move { soft.run_until_cancelled(keys.keep()).await });
        if let Some(kept) = kept {
            self.vital.spawn(kept);
        }
    }

    /// Clients watch health for as long as they live; a stop must not wait for them.
    async fn end_health_watches(&self) {
        let mut health = self.health.clone();
        health.clear_service_status("").await;
        health.clear_service_status(SERVICE_NAME).await;
    }

    async fn set_health(&self, status: ServingStatus) {
        self.health.set_service_status("", status).await;
        self.health.set_service_status(SERVICE_NAME, status).await;
    }
}

/// Who is let in, and what is given up.
type Guard = (Gate, watch::Receiver<Pressure>);

/// A bound port.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

async fn side_door(address: SocketAddr) -> Result<Bound, GatewayError> {
    let failed = |source| GatewayError::Listen {
        setting: "admin.listen",
        address: address.to_string(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address })
}

fn cloud_tools(clock: &Clock, metrics: &Metrics) -> Tools {
    Tools {
        clock: clock.clone(),
        random: Random::system(),
        metrics: metrics.credentials.clone(),
        observer: cloud_observer(metrics),
    }
}

fn cloud_observer(metrics: &Metrics) -> Observer {
    let cloud = metrics.cloud.clone();
    Arc::new(move |call: CallRecord| {
        cloud.completed(
            call.action,
            call.account.as_str(),
            call.class.as_str(),
            (call.elapsed, call.trace.as_ref()),
        );
        if let Some(code) = &call.unlisted_code {
            cloud.unlisted_codes.count(code);
        }
    })
}

/// Without a key that gateways share, with one of this process alone.
fn plans(key: Option<PlanKey>, life: Duration) -> Plans {
    let unshared = || PlanKey::from(Random::system().bytes::<32>());
    Plans {
        key: key.unwrap_or_else(unshared),
        life,
    }
}

fn limiter_of(
    settings: limiter::Settings,
    store: &Store,
    clock: &Clock,
    metrics: &Metrics,
) -> Limiter {
    let shared = store.budgets().map(shared_slots);
    Limiter::new(settings, shared, clock.clone(), metrics.cloud.clone())
}

/// The slots that all gateways of the journal share.
fn shared_slots(budgets: Budgets) -> limiter::Source {
    Arc::new(move |ask| {
        let budgets = budgets.clone();
        Box::pin(async move {
            let taken = budgets.take(&ask.key, ask.count, ask.interval).await?;
            Ok(limiter::Block {
                now: taken.now,
                first: taken.first,
            })
        })
    })
}
