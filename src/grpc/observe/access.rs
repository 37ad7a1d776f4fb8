//! The access log: one line for each RPC, when it has ended.

use super::{Rpc, code_name};
use crate::domain::ids::{OperationId, Principal, RequestId};
use crate::domain::trace::TraceParent;
use crate::grpc::auth::Caller;
use http::HeaderMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

tokio::task_local! {
    /// The RPC that is worked on; none, if nobody logs it.
    static PRESENT: Option<Arc<Access>>;
}

/// What the line of one RPC tells, as it becomes known.
#[derive(Debug)]
pub(super) struct Access {
    /// Also on every other line that is logged for the RPC.
    rpc_id: Uuid,
    caller: Option<Caller>,
    trace_id: Option<String>,
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
pub(super) fn within<T>(access: Option<&Arc<Access>>, work: impl FnOnce() -> T) -> T {
    PRESENT.sync_scope(access.cloned(), work)
}

/// The future of the RPC's first answer.
pub(super) fn whole<F: Future>(
    access: Option<&Arc<Access>>,
    answer: F,
) -> impl Future<Output = F::Output> + use<F> {
    PRESENT.scope(access.cloned(), answer)
}

/// Has the line of the present RPC tell more.
pub(super) fn tell(more: impl FnOnce(&Access)) {
    // Tests call handlers without a server.
    let _no_rpc = PRESENT.try_with(|present| present.as_deref().map(more));
}

impl Access {
    pub(super) fn new(rpc_id: Uuid, caller: Option<Caller>, headers: &HeaderMap) -> Arc<Self> {
        Arc::new(Self {
            rpc_id,
            caller,
            trace_id: trace_id(headers),
            principal: OnceLock::new(),
            request: OnceLock::new(),
            operation: OnceLock::new(),
            ended: OnceLock::new(),
            reason: OnceLock::new(),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
        })
    }

    pub(super) fn principal(&self, principal: &Principal) {
        self.principal.get_or_init(|| principal.clone());
    }

    pub(super) fn request(&self, id: &RequestId) {
        self.request.get_or_init(|| id.clone());
    }

    pub(super) fn operation(&self, id: OperationId) {
        self.operation.get_or_init(|| id);
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
        let status = Status::from_header_map(end).filter(|status| status.code() != Code::Ok);
        let info = status.and_then(|status| status.get_details_error_info());
        if let Some(info) = info {
            self.reason.get_or_init(|| info.reason);
        }
    }

    /// Writes the line. Without a code the RPC did not come to its end.
    pub(super) fn log(&self, rpc: &Rpc, code: Option<Code>, took: Duration) {
        let ended = self.ended.get().copied().unwrap_or(match code {
            Some(_) => Ended::Answer,
            None => Ended::Client,
        });
        let code = code_name(code.unwrap_or(Code::Cancelled));
        let ends = self.caller.as_ref().map(|caller| &caller.ends);
        let principal = self.principal.get();
        tracing::info!(
            target: "cvm_gateway::access",
            parent: None,
            rpc_id = %self.rpc_id,
            service = rpc.service,
            method = rpc.method,
            code,
            reason = self.reason.get(),
            ended = ended.as_str(),
            took_ms = took.as_secs_f64() * 1000.0,
            principal = principal.map(|principal| principal.name.as_str()),
            organization = principal.map(|principal| principal.organization.as_str()),
            request_id = self.request.get().map(RequestId::as_str),
            operation = self.operation.get().map(tracing::field::display),
            peer = ends.map(|ends| ends.peer.as_str()),
            listener = ends.map(|ends| ends.listener.as_str()),
            trace_id = self.trace_id,
            bytes_received = self.bytes_received.load(Ordering::Relaxed),
            bytes_sent = self.bytes_sent.load(Ordering::Relaxed),
            "{} ended with {code}",
            rpc.method,
        );
    }
}

/// The trace that the client says the call belongs to.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parent = TraceParent::parse(text).ok()?;
    Some(parent.trace_id().to_owned())
}
