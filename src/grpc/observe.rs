//! Counts, times and logs every RPC, and gives tonic's own refusals their typed details.

mod access;

pub(super) use access::Ended;

use super::deadline::{self, Deadline};
use super::status;
use crate::clock::Clock;
use crate::domain::ids::{OperationId, Principal, RequestId};
use crate::metrics::{Counter, Grpc};
use access::Access;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use prost_reflect::DescriptorPool;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Span;

/// Names the caller's request on the lines that are logged for the present RPC.
pub(super) fn request(id: &RequestId) {
    access::tell(|access| access.request(id));
}

/// Names the operation on the lines that are logged for the present RPC.
pub(super) fn operation(id: OperationId) {
    access::tell(|access| access.operation(id));
}

/// Names the caller on the lines that are logged for the present RPC; the span that all of the RPC is traced
/// in from here on.
pub(super) fn principal(principal: &Principal) -> Span {
    access::identified(principal)
}

/// Says what ends the present RPC.
pub(super) fn ended(ended: Ended) {
    access::tell(|access| access.ended(ended));
}

/// An RPC as the metrics name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Rpc {
    grpc_type: &'static str,
    service: String,
    method: String,
}

/// Wraps the services of a server.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    metrics: Grpc,
    clock: Clock,
    /// How long a method may take to its first answer; a stream may go on.
    answer_within: Duration,
    /// Whether the access log is written.
    access_log: bool,
    /// By path, `/service/method`. What is not here is counted as one unknown method, so that
    /// callers cannot make up labels.
    rpcs: HashMap<String, Arc<Rpc>>,
    unknown: Arc<Rpc>,
}

/// A wrapped service.
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl ObserveLayer {
    /// Observes the methods of these file descriptor sets. Each must begin to answer within
    /// `answer_within`, and with `access_log` has a line when it has ended.
    ///
    /// # Errors
    /// When a set does not decode.
    pub fn new(
        metrics: Grpc,
        clock: Clock,
        answer_within: Duration,
        access_log: bool,
        descriptors: &[&[u8]],
    ) -> Result<Self, prost_reflect::DescriptorError> {
        let mut pool = DescriptorPool::new();
        for descriptor in descriptors {
            pool.decode_file_descriptor_set(*descriptor)?;
        }
        let mut rpcs = HashMap::new();
        for method in pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
        {
            let rpc = Arc::new(Rpc {
                grpc_type: grpc_type(method.is_client_streaming(), method.is_server_streaming()),
                service: method.parent_service().full_name().to_owned(),
                method: method.name().to_owned(),
            });
            initialise(&metrics, &rpc);
            rpcs.insert(format!("/{}/{}", rpc.service, rpc.method), rpc);
        }
        let unknown = Arc::new(Rpc {
            grpc_type: "unary",
            service: "unknown".to_owned(),
            method: "unknown".to_owned(),
        });
        Ok(Self {
            shared: Arc::new(Shared {
                metrics,
                clock,
                answer_within,
                access_log,
                rpcs,
                unknown,
            }),
        })
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S> Service<Request<Body>> for Observe<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = Call::begin(&self.shared, &request);
        let labels = call.rpc.labels();
        let received = self.shared.metrics.msg_received.with_label_values(&labels);
        let sent = self.shared.metrics.msg_sent.with_label_values(&labels);
        let asked = deadline::asked(request.headers());
        let own = self.shared.answer_within;
        let deadline = Deadline::after(asked, own, call.started);
        let limit = deadline.left(call.started);
        let access = Arc::clone(&call.access);
        let incoming = Way::In(Arc::clone(&access));
        let mut request = request.map(|body| Body::new(Counted::new(body, received, incoming)));
        request.extensions_mut().insert(deadline);
        let answer = access::within(&access, || self.inner.call(request));
        let answer = access::whole(&access, answer);
        Box::pin(async move {
            let mut call = call;
            let clock = call.shared.clock.clone();
            let response = match clock.timeout(limit, answer).await {
                // The statuses of health and reflection are their protocols' own.
                Some(answer) if call.rpc.service.starts_with("grpc.") => answer?,
                Some(answer) => with_details(answer?),
                None if deadline.is_of_caller() => {
                    call.access.ended(Ended::Deadline);
                    status::deadline_passed().into_http()
                }
                None => {
                    call.access.ended(Ended::Timeout);
                    status::no_answer_within(own).into_http()
                }
            };
            call.end(response.headers());
            let outgoing = Way::Out(Box::new(call));
            Ok(response.map(|body| Body::new(Counted::new(body, sent, outgoing))))
        })
    }
}

impl Rpc {
    fn labels(&self) -> [&str; 3] {
        [self.grpc_type, &self.service, &self.method]
    }
}

/// One RPC under way. It is counted as handled when it is dropped.
#[derive(Debug)]
struct Call {
    access: Arc<Access>,
    shared: Arc<Shared>,
    rpc: Arc<Rpc>,
    started: Duration,
    /// None: the client went away before there was one.
    code: Option<Code>,
}

impl Call {
    fn begin(shared: &Arc<Shared>, request: &Request<Body>) -> Self {
        let path = request.uri().path();
        let rpc = shared.rpcs.get(path).unwrap_or(&shared.unknown);
        shared
            .metrics
            .started
            .with_label_values(&rpc.labels())
            .inc();
        Self {
            access: Access::new(rpc, request, shared.access_log),
            shared: Arc::clone(shared),
            rpc: Arc::clone(rpc),
            started: shared.clock.elapsed(),
            code: None,
        }
    }

    /// Takes in how the answer ends, where `headers` say it.
    fn end(&mut self, headers: &HeaderMap) {
        self.code = status_code(headers).or(self.code);
        self.access.refused(headers);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = code_name(self.code.unwrap_or(Code::Cancelled));
        let took = self.shared.clock.elapsed().saturating_sub(self.started);
        let metrics = &self.shared.metrics;
        let [grpc_type, service, method] = self.rpc.labels();
        metrics
            .handled
            .with_label_values(&[grpc_type, service, method, code])
            .inc();
        let seconds = took.as_secs_f64();
        let trace = self.access.trace();
        metrics
            .handling_seconds
            .observe(&self.rpc.labels(), seconds, trace.as_ref());
        self.access.end(self.code, took);
    }
}

/// Which of an RPC's bodies it is.
#[derive(Debug)]
enum Way {
    /// What the client sends.
    In(Arc<Access>),
    /// What it is sent. The RPC ends with this body.
    Out(Box<Call>),
}

/// A body whose messages are counted.
#[derive(Debug)]
struct Counted {
    inner: Body,
    messages: Counter,
    frames: Frames,
    way: Way,
}

impl Counted {
    fn new(inner: Body, messages: Counter, way: Way) -> Self {
        Self {
            inner,
            messages,
            frames: Frames::default(),
            way,
        }
    }

    fn poll_inner(&mut self, context: &mut Context<'_>) -> Polled {
        match &self.way {
            Way::In(_) => Pin::new(&mut self.inner).poll_frame(context),
            Way::Out(call) => {
                let inner = Pin::new(&mut self.inner);
                access::within(&call.access, || inner.poll_frame(context))
            }
        }
    }

    fn count(&mut self, data: &Bytes) {
        let messages = self.frames.feed(data);
        self.messages.inc_by(messages);
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        match &self.way {
            Way::In(access) => access.received(bytes),
            Way::Out(call) => call.access.sent(bytes),
        }
    }
}

/// What a look at a body gives.
type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let frame = self.poll_inner(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            if let Some(data) = frame.data_ref() {
                self.count(data);
            }
            if let (Some(trailers), Way::Out(call)) = (frame.trailers_ref(), &mut self.way) {
                call.end(trailers);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Counts gRPC's length-prefixed messages in a byte stream.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes of the present prefix read so far: one flag and four of length.
    prefix: Vec<u8>,
    /// Bytes of the present message still to come.
    left: usize,
}

/// A compression flag and a length.
const PREFIX_BYTES: usize = 5;

impl Frames {
    /// How many messages begin in `data`.
    fn feed(&mut self, mut data: &[u8]) -> u64 {
        let mut messages = 0;
        while !data.is_empty() {
            let skipped = self.left.min(data.len());
            self.left -= skipped;
            data = data.get(skipped..).unwrap_or_default();
            let wanted = (PREFIX_BYTES - self.prefix.len()).min(data.len());
            let (prefix, rest) = data.split_at(wanted);
            self.prefix.extend_from_slice(prefix);
            data = rest;
            if let [_flag, a, b, c, d] = *self.prefix.as_slice() {
                messages += 1;
                self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                self.prefix.clear();
            }
        }
        messages
    }
}

/// The response, with typed details where tonic refused by itself and gave none.
fn with_details(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            status::typed(&status).into_http()
        }
        Some(_) | None => response,
    }
}

fn status_code(headers: &HeaderMap) -> Option<Code> {
    let status = headers.get("grpc-status")?;
    Some(Code::from_bytes(status.as_bytes()))
}

fn grpc_type(client_streaming: bool, server_streaming: bool) -> &'static str {
    match (client_streaming, server_streaming) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "bidi_stream",
    }
}

/// Shows the series of an RPC before it is first called, so that rates are right from the start.
fn initialise(metrics: &Grpc, rpc: &Rpc) {
    metrics.started.with_label_values(&rpc.labels()).inc_by(0);
    metrics
        .msg_received
        .with_label_values(&rpc.labels())
        .inc_by(0);
    metrics.msg_sent.with_label_values(&rpc.labels()).inc_by(0);
    let [grpc_type, service, method] = rpc.labels();
    for code in 0..=16 {
        let code = code_name(Code::from_i32(code));
        let labels = [grpc_type, service, method, code];
        metrics.handled.with_label_values(&labels).inc_by(0);
    }
}

/// The code's name as the conventional dashboards spell it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let message = |length: u8| {
            let mut bytes = vec![0, 0, 0, 0, length];
            bytes.extend(std::iter::repeat_n(7, usize::from(length)));
            bytes
        };
        let stream = [message(3), message(0), message(200)].concat();
        for cut in 1..stream.len() {
            let mut frames = Frames::default();
            let messages: u64 = stream.chunks(cut).map(|data| frames.feed(data)).sum();
            assert_eq!(messages, 3, "cut every {cut} bytes");
        }
    }

    #[test]
    fn what_tonic_refuses_is_typed() {
        use tonic_types::StatusExt;
        let rows = [
            (
                Status::out_of_range("decoded message length too large"),
                Code::InvalidArgument,
            ),
            (
                Status::internal("Missing request message."),
                Code::InvalidArgument,
            ),
            (Status::unimplemented(""), Code::Unimplemented),
        ];
        for (status, code) in rows {
            let response = with_details(status.into_http());
            let typed = Status::from_header_map(response.headers()).unwrap();
            assert_eq!(typed.code(), code);
            assert_eq!(
                typed.get_details_error_info().unwrap().domain,
                "cvm-gateway"
            );
            assert!(!typed.message().is_empty());
        }
    }
}
