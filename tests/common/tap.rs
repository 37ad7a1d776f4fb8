//! A connection to a gateway on which every answer is searched for secrets.

use crate::canary::{ALL, Pieces, examine};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::transport::{Channel, Endpoint, Error};
use tonic::{Status, codegen::Service};

/// Such a connection.
#[derive(Clone, Debug)]
pub(crate) struct Tap(pub(crate) Channel);

impl Tap {
    /// Connects to a URL.
    pub(crate) async fn connect(url: String) -> Result<Self, Error> {
        let channel = Endpoint::from_shared(url)?.connect().await?;
        Ok(Self(channel))
    }
}

impl Service<http::Request<Body>> for Tap {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let (head, body) = answer.await?.into_parts();
            examine_headers(&head.headers);
            let seen = Pieces::of(&ALL);
            let body = Body::new(Answer { body, seen });
            Ok(http::Response::from_parts(head, body))
        })
    }
}

/// Headers or trailers: as they are, and the status that they are.
fn examine_headers(headers: &http::HeaderMap) {
    for (_, value) in headers {
        examine("an answer", value);
    }
    if let Some(status) = Status::from_header_map(headers) {
        examine("an answer", status.message());
        examine("an answer", status.details());
    }
}

struct Answer {
    body: Body,
    seen: Pieces,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            if let Some(data) = frame.data_ref() {
                self.seen.examine("an answer", data);
            }
            frame.trailers_ref().map(examine_headers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
