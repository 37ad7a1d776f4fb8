//! Streams: snapshots as they come, heartbeats while nothing does, and the end.

use super::observe::{self, Ended};
use super::{status, wire};
use crate::chaos;
use crate::clock::Clock;
use crate::domain::operation::Operation;
use crate::metrics::Gauge;
use crate::operations::{OperationError, Watch};
use crate::pb::v1 as pb;
use futures_util::stream::{Stream, unfold};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// A stream of messages to a client.
pub(super) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a message of such a stream tells.
#[derive(Debug)]
pub(super) enum Event {
    Snapshot(Arc<Operation>),
    Heartbeat(pb::Heartbeat),
}

/// How a stream of one operation is followed.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) clock: Clock,
    /// Ends the stream, because its connection is to be closed.
    pub(super) leaving: CancellationToken,
    /// How long a stream may be silent.
    pub(super) heartbeat_interval: Duration,
    /// Whether the stream ends with the operation's error when it did not fully succeed.
    pub(super) ends_with_error: bool,
    /// Counts the open streams.
    pub(super) open: Gauge,
}

/// A stream and where it stands.
struct Open {
    watch: Watch,
    follow: Follow,
    last: Option<Arc<Operation>>,
    ended: bool,
}

/// Follows an operation to its end, in messages that `render` makes.
pub(super) fn follow<T: Send + 'static>(
    watch: Watch,
    follow: Follow,
    render: fn(Event) -> T,
) -> Messages<T> {
    follow.open.inc();
    let open = Open {
        watch,
        follow,
        last: None,
        ended: false,
    };
    let messages = unfold(open, move |mut open| async move {
        let event = open.next().await?;
        Some((event.map(render), open))
    });
    Box::pin(messages)
}

impl Open {
    /// The next event; nothing after the last one.
    async fn next(&mut self) -> Option<Result<Event, Status>> {
        if self.ended {
            return None;
        }
        let Follow {
            clock,
            leaving,
            heartbeat_interval,
            ..
        } = &self.follow;
        // Side by side, for a future in a future is there twice; thousands of streams wait in one of these.
        let newest = tokio::select! {
            biased;
            () = leaving.cancelled() => {
                self.ended = true;
                observe::ended(Ended::ConnectionAge);
                return Some(Err(status::leaving(self.watch.id(), self.watch.sequence())));
            }
            newest = async {
                chaos::around!("grpc.stream", self.watch.next(), else Err(OperationError::Stopping))
            } => newest,
            () = clock.sleep(*heartbeat_interval) => return Some(Ok(Event::Heartbeat(self.heartbeat()))),
        };
        match newest {
            Ok(Some(operation)) => {
                self.last = Some(Arc::clone(&operation));
                Some(Ok(Event::Snapshot(operation)))
            }
            Ok(None) => {
                self.ended = true;
                self.error().map(Err)
            }
            Err(error) => {
                self.ended = true;
                if matches!(error, OperationError::Stopping) {
                    observe::ended(Ended::Stop);
                }
                Some(Err(status::resumable(
                    &error,
                    self.watch.id(),
                    self.watch.sequence(),
                )))
            }
        }
    }

    fn heartbeat(&self) -> pb::Heartbeat {
        pb::Heartbeat {
            time: Some(wire::timestamp(self.follow.clock.now())),
            sequence: self.watch.sequence(),
        }
    }

    fn error(&self) -> Option<Status> {
        let last = self.last.as_ref().filter(|_| self.follow.ends_with_error);
        last.and_then(|operation| status::of_operation(operation))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.follow.open.dec();
    }
}
