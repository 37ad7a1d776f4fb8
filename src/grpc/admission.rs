//! Admits calls: so many are worked on at once, and the others wait, by organisation, or are turned
//! away at once.

mod held;
mod queue;

use super::deadline::Deadline;
use super::observe::{self, Ended};
use super::{status, wire};
use crate::clock::Clock;
use crate::domain::ids::{OrganizationId, Principal};
use crate::metrics::{self, Pressure, Priority, Shed};
use crate::pb::v1::cvm_gateway_service_server::SERVICE_NAME;
use crate::random::Random;
use bytes::BytesMut;
use held::{Held, kept};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use queue::{Queue, QueueFull, Ticket};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// What gRPC puts before a message.
const FRAME_HEAD_BYTES: usize = 5;
/// The largest message of a call that is not to launch: a hundred machines to give back make 7 KiB.
const SMALL_BYTES_MAX: usize = 16 << 10;
/// The shortest time after which who is turned away may come back; the longest is twice as much.
const BACK_AFTER: Duration = Duration::from_secs(1);

/// How many calls are worked on, and how many wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Calls that are worked on at once.
    pub at_work_max: usize,
    /// And of one organisation.
    pub at_work_per_organization_max: usize,
    /// Calls of one organisation and priority that wait.
    pub waiting_per_organization_max: usize,
    /// How long a call waits.
    pub wait_max: Duration,
}

/// Puts admission before the services of a server.
#[derive(Clone, Debug)]
pub struct AdmissionLayer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wait_max: Duration,
    message_bytes_max: usize,
    held: Held,
    clock: Clock,
    random: Random,
    metrics: metrics::Admission,
    pressure: watch::Receiver<Pressure>,
    hall: Mutex<Hall>,
}

#[derive(Debug)]
struct Hall {
    queue: Queue,
    /// Who waits is called by these.
    bells: BTreeMap<Ticket, oneshot::Sender<()>>,
}

/// A service behind admission.
#[derive(Clone, Debug)]
pub struct Admission<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What a method of ours is.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// What is served first.
    priority: Priority,
    /// Whether it is answered by a stream.
    streams: bool,
}

/// A place of one call, at first perhaps in the queue. It is free again when this is dropped.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    priority: Priority,
    ticket: Ticket,
    begun: bool,
}

impl AdmissionLayer {
    /// Admits requests of so many bytes as `settings` say, and none of what is given up under `pressure`.
    #[must_use]
    pub fn new(
        settings: &Settings,
        message_bytes_max: usize,
        clock: Clock,
        metrics: metrics::Admission,
        pressure: watch::Receiver<Pressure>,
    ) -> Self {
        Self(Arc::new(Shared {
            wait_max: settings.wait_max,
            message_bytes_max,
            held: Held::default(),
            clock,
            random: Random::system(),
            metrics,
            pressure,
            hall: Mutex::new(Hall {
                queue: Queue::new(settings.clone()),
                bells: BTreeMap::new(),
            }),
        }))
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Admission<S> {
        Admission {
            inner,
            shared: Arc::clone(&self.0),
        }
    }
}

impl<S> Service<Request<Body>> for Admission<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let principal = request.extensions().get::<Principal>();
        let (Some(kind), Some(principal)) = (Kind::of(request.uri().path()), principal) else {
            return Box::pin(self.inner.call(request));
        };
        let organization = principal.organization.clone();
        // The one that is ready is called; the next call gets a new one.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let call = (&organization, kind.priority);
            let (request, place) = match shared.admitted(call, request).await {
                Ok(admitted) => admitted,
                Err(refused) => return Ok(refused.into_http()),
            };
            let answer = inner.call(request).await?;
            // A stream that has begun takes no place: it costs one cell, however long it lasts.
            drop(place);
            if kind.streams {
                return Ok(answer);
            }
            let kept = kept(answer, shared.held.share(call)).await;
            Ok(kept.unwrap_or_else(|why| shared.shed(kind.priority, why).into_http()))
        })
    }
}

impl Shared {
    /// The request with all that it holds, and its place at work.
    async fn admitted(
        self: &Arc<Self>,
        call: (&OrganizationId, Priority),
        request: Request<Body>,
    ) -> Result<(Request<Body>, Place), Status> {
        let (_, priority) = call;
        self.has_calm(priority)?;
        let deadline = request.extensions().get::<Deadline>().copied();
        // Read first: who sends slowly would keep a place from others.
        let request = self.whole(call, request).await?;
        // It may have been long in coming.
        self.has_calm(priority)?;
        let place = self.admit(call, deadline).await;
        let place = place.map_err(|why| self.shed(priority, why))?;
        Ok((request, place))
    }

    /// The request with all that it holds, as far as the one message may be large.
    async fn whole(
        &self,
        call: (&OrganizationId, Priority),
        request: Request<Body>,
    ) -> Result<Request<Body>, Status> {
        let (_, priority) = call;
        let message_bytes_max = match priority {
            Priority::Follow | Priority::List => self.message_bytes_max.min(SMALL_BYTES_MAX),
            Priority::Launch | Priority::Plan => self.message_bytes_max,
        };
        let most = message_bytes_max.saturating_add(FRAME_HEAD_BYTES);
        let mut share = self.held.share(call);
        let (head, body) = request.into_parts();
        let mut body = pin!(body);
        let mut bytes = BytesMut::new();
        while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
            if let Ok(data) = frame?.into_data() {
                let held = share.grow(data.len());
                held.map_err(|why| self.shed(priority, why))?;
                bytes.extend_from_slice(&data);
            }
            if bytes.len() > most {
                return Err(too_large(message_bytes_max));
            }
        }
        let body = Full::new(share.hold(bytes.freeze()));
        Ok(Request::from_parts(head, Body::new(body)))
    }

    /// Takes a place and waits until it is one at work.
    async fn admit(
        self: &Arc<Self>,
        call: (&OrganizationId, Priority),
        deadline: Option<Deadline>,
    ) -> Result<Place, Shed> {
        let joined = self.clock.elapsed();
        let (patience, over) = match deadline {
            Some(deadline) if deadline.left(joined) < self.wait_max => {
                (deadline.left(joined), late(deadline))
            }
            Some(_) | None => (self.wait_max, Shed::Wait),
        };
        let (mut place, bell) = self.join(call, patience)?;
        if let Some(bell) = bell {
            let rung = self.clock.timeout(patience, bell).await;
            let _rung = rung.ok_or(over)?;
        }
        let now = self.clock.elapsed();
        if let Some(deadline) = deadline.filter(|deadline| deadline.left(now).is_zero()) {
            return Err(late(deadline));
        }
        place.begun = true;
        self.metrics
            .begins(place.priority, now.saturating_sub(joined));
        Ok(place)
    }

    /// A place, and what rings when it has become one at work; none if it is already.
    fn join(
        self: &Arc<Self>,
        call: (&OrganizationId, Priority),
        patience: Duration,
    ) -> Result<(Place, Option<oneshot::Receiver<()>>), Shed> {
        let (_, priority) = call;
        let mut hall = self.hall();
        let joined = hall.queue.join(call, patience, self.clock.elapsed());
        let ticket = joined.map_err(|QueueFull| Shed::OrganizationQueue)?;
        let bell = (!hall.queue.is_at_work(ticket)).then(|| {
            let (bell, rung) = oneshot::channel();
            hall.bells.insert(ticket, bell);
            rung
        });
        self.metrics.joins(priority);
        let place = Place {
            shared: Arc::clone(self),
            priority,
            ticket,
            begun: false,
        };
        Ok((place, bell))
    }

    /// Whether calls of that priority are not given up.
    fn has_calm(&self, priority: Priority) -> Result<(), Status> {
        let gives_up = self.pressure.borrow().gives_up(priority);
        if gives_up {
            return Err(self.shed(priority, Shed::Overload));
        }
        Ok(())
    }

    fn shed(&self, priority: Priority, why: Shed) -> Status {
        self.metrics.shed(priority, why);
        if why == Shed::Deadline {
            observe::ended(Ended::Deadline);
        }
        // Who was turned away together does not come back together.
        status::shed(why, BACK_AFTER.mul_f64(1.0 + self.random.share()))
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.metrics.leaves(self.priority, self.begun);
        let mut hall = self.shared.hall();
        hall.bells.remove(&self.ticket);
        let now = self.shared.clock.elapsed();
        let next = hall.queue.leave(self.ticket, now);
        // Who does not listen any more gives its place up by itself.
        if let Some(bell) = next.and_then(|next| hall.bells.remove(&next)) {
            let _unheard = bell.send(());
        }
    }
}

impl Kind {
    /// Of the method of that path; none: it is not ours to hold up, as health, which has no caller.
    fn of(path: &str) -> Option<Self> {
        let method = path.strip_prefix('/')?.strip_prefix(SERVICE_NAME)?;
        let (priority, streams) = match method {
            "/RunInstances" => (Priority::Launch, true),
            "/PlanRunInstances" => (Priority::Plan, false),
            "/ListOperations" | "/ListInstances" => (Priority::List, false),
            "/WatchOperation" | "/TerminateInstances" => (Priority::Follow, true),
            _ => (Priority::Follow, false),
        };
        Some(Self { priority, streams })
    }
}

/// Why a call is not begun that is over its time.
fn late(deadline: Deadline) -> Shed {
    if deadline.is_of_caller() {
        Shed::Deadline
    } else {
        Shed::Wait
    }
}

fn too_large(message_bytes_max: usize) -> Status {
    let rule = format!("the message has over {message_bytes_max} bytes; make the request smaller");
    wire::invalid("", &rule).into()
}
