//! The command line's own gRPC client: launches or follows an operation to its end.

mod failure;
mod json;
mod plan;
mod progress;
mod server;
mod table;

pub use crate::pb::json::{JsonError, read_request, write_plan, write_request};
use failure::Asked;
pub use failure::Refusal;
pub use plan::{changed, overview};
pub use progress::{Format, Progress};
pub use server::{ReadToken, Server};
pub use table::{align, table};

use crate::clock::Clock;
use crate::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use crate::pb::v1::run_instances_response::Event as RunEvent;
use crate::pb::v1::watch_operation_response::Event as WatchEvent;
use crate::pb::v1::{
    GetOperationRequest, Heartbeat, Operation, OperationState, PlanRunInstancesRequest,
    PlanRunInstancesResponse, RunInstancesRequest, RunInstancesResponse, WatchOperationRequest,
    WatchOperationResponse,
};
use crate::terminal::Exit;
use prost_types::Timestamp;
use std::io;
use std::time::Duration;
use tonic::{Status, Streaming};

/// Streams that break one after the other, without a message between them: about two minutes.
const BREAKS_MAX: u32 = 10;
/// The longest pause between two of them.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// How one stream went.
struct Streamed {
    /// The newest snapshot that it brought.
    newest: Option<Operation>,
    /// Whether it brought anything, a heartbeat perhaps.
    alive: bool,
    end: Result<(), Status>,
}

/// Why a client did not see its operation succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be used.
    #[error(
        "`{0}` is no address of a gateway; write --server https://HOST:PORT or http://HOST:PORT"
    )]
    Server(String),
    /// What proves who calls would be sent in plaintext.
    #[error("{0} is plain http to another machine, which a token is not sent to; write https")]
    Plaintext(String),
    /// The certificates or the key cannot be used.
    #[error(
        "the files of --tls-ca, --tls-cert and --tls-key cannot be used with {server}; name PEM files, and https"
    )]
    Tls {
        /// The address.
        server: String,
        /// What is wrong.
        #[source]
        source: Option<tonic::transport::Error>,
    },
    /// Nobody answers there.
    #[error(
        "no gateway answers at {server}; start one with `cvm-gateway serve`, or name another with --server"
    )]
    Unreachable {
        /// The address.
        server: String,
        /// What happened.
        #[source]
        source: tonic::transport::Error,
    },
    /// The gateway, or what is between, refused; or the operation ended without success.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Progress cannot be shown.
    #[error("cannot write to stdout")]
    Output(#[from] io::Error),
}

impl ClientError {
    /// The exit code that tells a script what to do next.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Server(_) | Self::Plaintext(_) => Exit::Usage,
            Self::Tls { .. } => Exit::Data,
            Self::Unreachable { .. } => Exit::Unavailable,
            Self::Refused(refusal) => refusal.exit,
            Self::Output(_) => Exit::Io,
        }
    }
}

/// A connection to a gateway.
#[derive(Debug)]
pub struct Client {
    service: CvmGatewayServiceClient<server::Connection>,
    clock: Clock,
}

/// What a stream tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new snapshot.
    Operation(Box<Operation>),
    /// Nothing changed for a while.
    Heartbeat(Heartbeat),
}

/// How a stream is opened, or opened again.
enum Cursor {
    Launch(Box<RunInstancesRequest>),
    Follow(WatchOperationRequest),
}

/// A stream of either kind.
enum Events {
    Run(Streaming<RunInstancesResponse>),
    Watch(Streaming<WatchOperationResponse>),
}

impl Client {
    /// Connects to a gateway.
    ///
    /// # Errors
    /// [`ClientError::Server`], [`ClientError::Plaintext`], [`ClientError::Tls`],
    /// [`ClientError::Unreachable`].
    pub async fn connect(server: &Server, clock: Clock) -> Result<Self, ClientError> {
        let connection = server.connect().await?;
        Ok(Self {
            service: CvmGatewayServiceClient::new(connection),
            clock,
        })
    }

    /// Launches, and follows to the end. A stream that breaks is resumed; the launch is never
    /// repeated, for it keeps its `request_id`.
    ///
    /// # Errors
    /// [`ClientError`], also when the launch did not fully succeed.
    pub async fn run(
        &mut self,
        request: RunInstancesRequest,
        progress: &mut Progress,
    ) -> Result<Operation, ClientError> {
        let cursor = Cursor::Launch(Box::new(request));
        self.follow(cursor, progress).await
    }

    /// Says what a launch would do.
    ///
    /// # Errors
    /// [`ClientError`], but not when policy forbids the launch.
    pub async fn plan(
        &mut self,
        request: PlanRunInstancesRequest,
    ) -> Result<PlanRunInstancesResponse, ClientError> {
        let planned = self.service.plan_run_instances(request).await;
        let planned = planned.map_err(|status| refused(&status, Asked::Launch))?;
        Ok(planned.into_inner())
    }

    /// Follows the operation `name` to its end, from the first snapshot after `after_sequence`.
    ///
    /// # Errors
    /// [`ClientError`], also when the operation did not fully succeed.
    pub async fn watch(
        &mut self,
        name: String,
        after_sequence: u64,
        progress: &mut Progress,
    ) -> Result<Operation, ClientError> {
        let cursor = Cursor::Follow(WatchOperationRequest {
            name,
            after_sequence,
        });
        self.follow(cursor, progress).await
    }

    async fn follow(
        &mut self,
        mut cursor: Cursor,
        progress: &mut Progress,
    ) -> Result<Operation, ClientError> {
        let mut breaks = 0;
        loop {
            let Streamed { newest, alive, end } = self.stream(&cursor, progress).await?;
            if alive {
                breaks = 0;
            }
            if let Some(operation) = newest {
                if is_final(&operation) {
                    return conclude(operation, end);
                }
                cursor = Cursor::after(&operation);
            }
            let status = match end {
                Ok(()) => match self.concluded(&cursor).await {
                    Ok(operation) if is_final(&operation) => return conclude(operation, Ok(())),
                    Ok(_) => Status::unavailable("the stream ended before the operation"),
                    Err(status) => status,
                },
                Err(status) => status,
            };
            if breaks == BREAKS_MAX || !failure::is_resumable(&status) {
                return Err(refused(&status, cursor.asked()));
            }
            progress.broke(&status);
            self.clock.sleep(pause(breaks)).await;
            breaks += 1;
        }
    }

    /// One stream to its end: its newest snapshot, and how it ended.
    async fn stream(&mut self, cursor: &Cursor, progress: &mut Progress) -> io::Result<Streamed> {
        let mut streamed = Streamed {
            newest: None,
            alive: false,
            end: Ok(()),
        };
        let mut events = match self.open(cursor).await {
            Ok(events) => events,
            Err(status) => {
                streamed.end = Err(status);
                return Ok(streamed);
            }
        };
        loop {
            match events.next().await {
                Ok(Some(event)) => {
                    progress.show(&event)?;
                    streamed.alive = true;
                    if let Event::Operation(operation) = event {
                        streamed.newest = Some(*operation);
                    }
                }
                Ok(None) => return Ok(streamed),
                Err(status) => {
                    streamed.end = Err(status);
                    return Ok(streamed);
                }
            }
        }
    }

    /// The operation as it stands: a cursor that was at its end got no snapshot.
    async fn concluded(&mut self, cursor: &Cursor) -> Result<Operation, Status> {
        let Cursor::Follow(WatchOperationRequest { name, .. }) = cursor else {
            return Err(Status::unavailable("the stream ended without a message"));
        };
        let request = GetOperationRequest { name: name.clone() };
        let answer = self.service.get_operation(request).await?.into_inner();
        let missing = || Status::unavailable("the gateway sent no operation");
        answer.operation.ok_or_else(missing)
    }

    async fn open(&mut self, cursor: &Cursor) -> Result<Events, Status> {
        match cursor {
            Cursor::Launch(request) => {
                let request = RunInstancesRequest::clone(request);
                let stream = self.service.run_instances(request).await?;
                Ok(Events::Run(stream.into_inner()))
            }
            Cursor::Follow(request) => {
                let stream = self.service.watch_operation(request.clone()).await?;
                Ok(Events::Watch(stream.into_inner()))
            }
        }
    }
}

impl Cursor {
    fn asked(&self) -> Asked {
        match self {
            Self::Launch(_) => Asked::Launch,
            Self::Follow(_) => Asked::Watch,
        }
    }

    fn after(operation: &Operation) -> Self {
        Self::Follow(WatchOperationRequest {
            name: operation.name.clone(),
            after_sequence: operation.sequence,
        })
    }
}

impl Events {
    /// The next event; nothing when the stream has ended with OK.
    async fn next(&mut self) -> Result<Option<Event>, Status> {
        loop {
            let event = match self {
                Self::Run(stream) => {
                    let Some(message) = stream.message().await? else {
                        return Ok(None);
                    };
                    message.event.map(|event| match event {
                        RunEvent::Operation(operation) => Event::Operation(Box::new(operation)),
                        RunEvent::Heartbeat(heartbeat) => Event::Heartbeat(heartbeat),
                    })
                }
                Self::Watch(stream) => {
                    let Some(message) = stream.message().await? else {
                        return Ok(None);
                    };
                    message.event.map(|event| match event {
                        WatchEvent::Operation(operation) => Event::Operation(Box::new(operation)),
                        WatchEvent::Heartbeat(heartbeat) => Event::Heartbeat(heartbeat),
                    })
                }
            };
            // An event that this version does not know is skipped.
            if event.is_some() {
                return Ok(event);
            }
        }
    }
}

/// What the end of a stream means, once the operation is final. The gateway's own status tells
/// most; where it got lost, the snapshot tells enough.
fn conclude(operation: Operation, ended: Result<(), Status>) -> Result<Operation, ClientError> {
    match ended {
        Err(status) if !failure::is_resumable(&status) => {
            return Err(refused(&status, Asked::Ended));
        }
        Ok(()) | Err(_) => {}
    }
    match Refusal::of_operation(&operation) {
        None => Ok(operation),
        Some(refusal) => Err(ClientError::Refused(Box::new(refusal))),
    }
}

fn refused(status: &Status, asked: Asked) -> ClientError {
    ClientError::Refused(Box::new(Refusal::of_status(status, asked)))
}

/// Whether the operation never changes again.
fn is_final(operation: &Operation) -> bool {
    match operation.state() {
        OperationState::Succeeded
        | OperationState::Partial
        | OperationState::Failed
        | OperationState::Cancelled => true,
        OperationState::Unspecified
        | OperationState::Accepted
        | OperationState::Sent
        | OperationState::Reconciling
        | OperationState::Launched
        | OperationState::Terminating
        | OperationState::NeedsOperator => false,
    }
}

/// How long after `from` is `to`; nothing when one is not known.
#[must_use]
pub fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<Duration> {
    let nanos = |at: Timestamp| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    let took = nanos(to?) - nanos(from?);
    u64::try_from(took).ok().map(Duration::from_nanos)
}

fn pause(breaks: u32) -> Duration {
    Duration::from_secs(1)
        .saturating_mul(1 << breaks.min(8))
        .min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let pauses: Vec<u64> = (0..BREAKS_MAX)
            .map(|breaks| pause(breaks).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15, 15, 15, 15, 15]);
    }

    #[test]
    fn times_between_are_never_negative() {
        let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
        assert_eq!(
            between(at(1, 900_000_000), at(3, 0)),
            Some(Duration::from_millis(1100))
        );
        assert_eq!(between(at(3, 0), at(1, 0)), None);
        assert_eq!(between(None, at(1, 0)), None);
    }
}
