//! Keeps out what is not gRPC. A page of anybody may have a browser send a POST, with the browser's certificate
//! and without asking the gateway first (CORS), as long as the content type is none or one that forms have; and
//! tonic looks at no content type.

use super::status;
use futures_util::future::{Either, Ready, ready};
use http::{HeaderValue, Method, Request, Response, header};
use std::task::{Context, Poll};
use tonic::body::Body;
use tower::Service;

/// A service that only calls of gRPC come to.
#[derive(Clone, Debug)]
pub struct OnlyGrpc<S> {
    inner: S,
}

/// Lets only calls of gRPC come to `inner`. Those of gRPC-Web are such calls by then.
pub fn only_grpc<S>(inner: S) -> OnlyGrpc<S> {
    OnlyGrpc { inner }
}

impl<S> Service<Request<Body>> for OnlyGrpc<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let kind = request.headers().get(header::CONTENT_TYPE);
        if request.method() == Method::POST && kind.is_some_and(is_grpc) {
            Either::Left(self.inner.call(request))
        } else {
            Either::Right(ready(Ok(status::not_grpc())))
        }
    }
}

fn is_grpc(kind: &HeaderValue) -> bool {
    let rest = kind.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}
