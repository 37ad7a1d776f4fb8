//! Lets callers in, in one place for every RPC: only what was verified counts, nothing that a message
//! says.

use super::{observe, status};
use crate::domain::audit::Proof;
use crate::domain::ids::Principal;
use crate::identity::{Gate, Peer};
use http::{Request, Response, header};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument;

/// What everybody may ask: kubelets and load balancers have no identity. Whatever is not below one of
/// these needs one: our own service with RPCs to come, reflection, and methods that nobody knows.
const OPEN: [&str; 1] = ["/grpc.health.v1.Health/"];

/// Puts a gate before the services of a server.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    gate: Gate,
}

/// A service behind the gate.
#[derive(Clone, Debug)]
pub struct Auth<S> {
    inner: S,
    gate: Gate,
}

impl AuthLayer {
    /// Lets in whom `gate` lets in.
    #[must_use]
    pub fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth {
            inner,
            gate: self.gate.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Auth<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if OPEN.iter().any(|open| path.starts_with(open)) {
            return Box::pin(self.inner.call(request));
        }
        let gate = self.gate.clone();
        // The one that is ready is called; the next call gets a new one.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let peer = request.extensions().get::<Caller>().cloned();
            let peer = peer.and_then(|caller| caller.peer);
            match gate.principal(peer.as_deref(), request.headers()).await {
                Ok((principal, proof)) => {
                    let span = observe::principal(&principal);
                    request.headers_mut().remove(header::AUTHORIZATION);
                    request.extensions_mut().insert(principal);
                    request.extensions_mut().insert(proof);
                    let answer = async move { inner.call(request).await };
                    answer.instrument(span).await
                }
                Err(rejection) => {
                    let reason = rejection.as_str();
                    tracing::info!(reason, "a caller is not let in");
                    Ok(status::unauthenticated().into_http())
                }
            }
        })
    }
}

/// What a connection tells of who is on its other side.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What it has shown; none without TLS.
    pub peer: Option<Arc<Peer>>,
    /// Between which addresses it is.
    pub ends: Arc<Ends>,
    /// Ends the streams on it, when it is to be closed.
    pub leaving: CancellationToken,
    /// The places of its streams of health.
    pub health_watches: Arc<Semaphore>,
}

/// The two ends of a connection, as the access log names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The client's address, or `user:` and the number of a user of this machine.
    pub peer: String,
    /// The gateway's address that it came to, or `unix:` and a path.
    pub listener: String,
}

/// Who sent `request`: whom the gate let in. A request that did not come through it has nobody.
pub(super) fn principal<T>(request: &tonic::Request<T>) -> Result<Principal, Status> {
    let principal = request.extensions().get::<Principal>();
    principal.cloned().ok_or_else(status::unauthenticated)
}

/// What ends the streams on the connection of `request`.
pub(super) fn leaving<T>(request: &tonic::Request<T>) -> CancellationToken {
    let caller = request.extensions().get::<Caller>();
    caller
        .map(|caller| caller.leaving.clone())
        .unwrap_or_default()
}

/// By what it was let in.
pub(super) fn proof<T>(request: &tonic::Request<T>) -> Proof {
    let proof = request.extensions().get::<Proof>();
    proof.cloned().unwrap_or_default()
}
