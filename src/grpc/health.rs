//! Health, which everybody may ask for: how many of its streams one connection may have.

use super::auth::Caller;
use super::status;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// Streams of health of one connection. Who has them has shown no identity, and each keeps its buffers for as long as
/// its reader likes. A channel of gRPC needs one. Those of other connections do not count.
const WATCHES_MAX: usize = 4;
/// What is answered by such a stream.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The places for these streams on one connection.
pub(super) fn watches() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WATCHES_MAX))
}

/// The service of health, with so many streams on a connection.
#[derive(Clone, Debug)]
pub struct FewWatches<S>(pub S);

impl<S: NamedService> NamedService for FewWatches<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for FewWatches<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != WATCH {
            return Box::pin(self.0.call(request));
        }
        let caller = request.extensions().get::<Caller>();
        let places = caller.map(|caller| Arc::clone(&caller.health_watches));
        let Some(Ok(place)) = places.map(Semaphore::try_acquire_owned) else {
            return Box::pin(ready(Ok(status::too_many_watches().into_http())));
        };
        let answer = self.0.call(request);
        Box::pin(async move {
            // It ends with the body, which is when nobody reads it any more.
            let kept = move |frame| {
                let _place = &place;
                frame
            };
            Ok(answer.await?.map(|body| Body::new(body.map_frame(kept))))
        })
    }
}
