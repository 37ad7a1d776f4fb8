//! What is told of each RPC: the spans that name it in the log and in its trace, and one line when it has ended.

use super::{Rpc, code_name};
use crate::domain::ids::{OperationId, Principal, RequestId};
use crate::domain::trace::TraceParent;
use crate::grpc::auth::Caller;
use crate::trace;
use http::{HeaderMap, Request};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tracing::field::{Empty, Value};
use tracing::{Instrument, Span};
use uuid::Uuid;

tokio::task_local! {
    /// The RPC that is worked on.
    static PRESENT: Arc<Access>;
}

/// What is told of one RPC, as it becomes known.
#[derive(Debug)]
pub(super) struct Access {
    /// Names the RPC on every line that is logged for it.
    logged: Span,
    /// The RPC in its trace, from when its caller is known: who is not let in has nothing recorded, whatever
    /// it asks for, so that nobody fills the queue of spans from outside.
    traced: OnceLock<Span>,
    /// Where the client says that it stands.
    parent: Option<TraceParent>,
    /// Whether it has a line when it has ended.
    has_line: bool,
    rpc: Arc<Rpc>,
    rpc_id: Uuid,
    caller: Option<Caller>,
    principal: OnceLock<Principal>,
    request: OnceLock<RequestId>,
    operation: OnceLock<OperationId>,
    ended: OnceLock<Ended>,
    reason: OnceLock<String>,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
}

/// What ended an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) enum Ended {
    /// Its last answer.
    Answer,
    /// The client, which went away, or the connection under it.
    Client,
    /// The client's own deadline.
    Deadline,
    /// The gateway's limit of a call.
    Timeout,
    /// The age of its connection.
    ConnectionAge,
    /// The stop of the gateway.
    Stop,
}

impl Ended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Client => "client",
            Self::Deadline => "deadline",
            Self::Timeout => "timeout",
            Self::ConnectionAge => "connection_age",
            Self::Stop => "stop",
        }
    }
}

/// Does `work`, a part of the RPC.
pub(super) fn within<T>(access: &Arc<Access>, work: impl FnOnce() -> T) -> T {
    let (_logged, _traced) = (access.logged.enter(), access.traced.get().map(Span::enter));
    PRESENT.sync_scope(Arc::clone(access), work)
}

/// The future of the RPC's first answer.
pub(super) fn whole<F: Future>(
    access: &Arc<Access>,
    answer: F,
) -> impl Future<Output = F::Output> + use<F> {
    let answer = answer.instrument(access.logged.clone());
    PRESENT.scope(Arc::clone(access), answer)
}

/// Has the present RPC be this caller's; the span for what is done for it from here on.
pub(super) fn identified(principal: &Principal) -> Span {
    let span = PRESENT.try_with(|present| present.principal(principal));
    span.unwrap_or_else(|_no_rpc| Span::none())
}

/// Has the line of the present RPC tell more.
pub(super) fn tell(more: impl FnOnce(&Access)) {
    // Tests call handlers without a server.
    let _no_rpc = PRESENT.try_with(|present| more(present));
}

impl Access {
    pub(super) fn new(rpc: &Arc<Rpc>, request: &Request<Body>, has_line: bool) -> Arc<Self> {
        let rpc_id = Uuid::new_v4();
        let logged = tracing::info_span!(
            "rpc",
            %rpc_id,
            method = rpc.method,
            request_id = Empty,
            operation = Empty,
            principal = Empty
        );
        Arc::new(Self {
            logged,
            traced: OnceLock::new(),
            parent: parent(request.headers()),
            has_line,
            rpc: Arc::clone(rpc),
            rpc_id,
            caller: request.extensions().get::<Caller>().cloned(),
            principal: OnceLock::new(),
            request: OnceLock::new(),
            operation: OnceLock::new(),
            ended: OnceLock::new(),
            reason: OnceLock::new(),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
        })
    }

    /// Where it stands in a trace, if that is recorded.
    pub(super) fn trace(&self) -> Option<TraceParent> {
        trace::of(self.traced.get()?)
    }

    fn principal(&self, principal: &Principal) -> Span {
        self.logged.record("principal", principal.name.as_str());
        self.principal.get_or_init(|| principal.clone());
        let begin = || traced(&self.rpc, self.parent.as_ref(), principal);
        self.traced.get_or_init(begin).clone()
    }

    pub(super) fn request(&self, id: &RequestId) {
        self.logged.record("request_id", id.as_str());
        self.trace_has("request_id", id.as_str());
        self.request.get_or_init(|| id.clone());
    }

    pub(super) fn operation(&self, id: OperationId) {
        let name = id.to_string();
        self.logged.record("operation", name.as_str());
        self.trace_has("operation", name.as_str());
        self.operation.get_or_init(|| id);
    }

    fn trace_has(&self, field: &str, value: impl Value) {
        if let Some(traced) = self.traced.get() {
            traced.record(field, value);
        }
    }

    /// The first one counts.
    pub(super) fn ended(&self, ended: Ended) {
        self.ended.get_or_init(|| ended);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes the reason of a refusal in what ends an answer.
    pub(super) fn refused(&self, end: &HeaderMap) {
        if !self.has_line {
            return;
        }
        let status = Status::from_header_map(end).filter(|status| status.code() != Code::Ok);
        let info = status.and_then(|status| status.get_details_error_info());
        if let Some(info) = info {
            self.reason.get_or_init(|| info.reason);
        }
    }

    /// Tells how the RPC ended. Without a code it did not come to its end.
    pub(super) fn end(&self, code: Option<Code>, took: Duration) {
        let number = i32::from(code.unwrap_or(Code::Cancelled));
        self.trace_has("rpc.grpc.status_code", number);
        if code.is_some_and(is_of_server) {
            self.trace_has("otel.status_code", "ERROR");
        }
        if self.has_line {
            self.log(code, took);
        }
    }

    fn log(&self, code: Option<Code>, took: Duration) {
        let ended = self.ended.get().copied().unwrap_or(match code {
            Some(_) => Ended::Answer,
            None => Ended::Client,
        });
        let code = code_name(code.unwrap_or(Code::Cancelled));
        let ends = self.caller.as_ref().map(|caller| &caller.ends);
        let principal = self.principal.get();
        let (rpc, place) = (&self.rpc, self.trace().or_else(|| self.parent.clone()));
        tracing::info!(
            target: "cvm_gateway::access",
            parent: None,
            rpc_id = %self.rpc_id,
            service = rpc.service,
            method = rpc.method,
            code,
            reason = self.reason.get(),
            ended = ended.as_str(),
            took_ms = (took.as_secs_f64() * 1e6).round() / 1e3,
            principal = principal.map(|principal| principal.name.as_str()),
            organization = principal.map(|principal| principal.organization.as_str()),
            request_id = self.request.get().map(RequestId::as_str),
            operation = self.operation.get().map(tracing::field::display),
            peer = ends.map(|ends| ends.peer.as_str()),
            listener = ends.map(|ends| ends.listener.as_str()),
            trace_id = place.as_ref().map(TraceParent::trace_id),
            bytes_received = self.bytes_received.load(Ordering::Relaxed),
            bytes_sent = self.bytes_sent.load(Ordering::Relaxed),
            "{} ended with {code}",
            rpc.method,
        );
    }
}

/// Where the client says that the call stands in a trace.
fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    TraceParent::parse(text).ok()
}

/// The RPC in its trace. Questions for health, which are nobody's, are part of none.
fn traced(rpc: &Rpc, parent: Option<&TraceParent>, principal: &Principal) -> Span {
    let span = tracing::trace_span!(
        target: trace::TARGET, parent: None, "rpc",
        otel.name = %format_args!("{}/{}", rpc.service, rpc.method), otel.kind = "server",
        otel.status_code = Empty, rpc.system = "grpc", rpc.service = rpc.service,
        rpc.method = rpc.method, rpc.grpc.status_code = Empty, request_id = Empty,
        operation = Empty, principal = principal.name.as_str(),
        organization = principal.organization.as_str()
    );
    trace::follow(&span, parent);
    span
}

/// Whether the gateway is to blame, as OpenTelemetry counts codes.
const fn is_of_server(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
