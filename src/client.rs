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
pub use crate::follow::Event;
use crate::follow::{Follow, Told};
use crate::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use crate::pb::v1::{
    Operation, OperationState, PlanRunInstancesRequest, PlanRunInstancesResponse,
    RunInstancesRequest,
};
use crate::terminal::Exit;
use prost_types::Timestamp;
use std::io;
use std::time::Duration;
use tonic::Status;

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
        let follow = Follow::launch(self.service.clone(), request, self.clock.clone());
        self.follow(follow, progress).await
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
        let (service, clock) = (self.service.clone(), self.clock.clone());
        let follow = Follow::operation(service, name, after_sequence, clock);
        self.follow(follow, progress).await
    }

    async fn follow(
        &mut self,
        mut follow: Follow<server::Connection>,
        progress: &mut Progress,
    ) -> Result<Operation, ClientError> {
        loop {
            match follow.next().await {
                Ok(Some(Told::Event(event))) => progress.show(&event)?,
                Ok(Some(Told::Broke(status))) => progress.broke(&status, follow.pause()),
                Ok(None) => return conclude(follow.newest().cloned().unwrap_or_default()),
                Err(status) => return Err(refused(&status, asked(&follow))),
            }
        }
    }
}

fn asked(follow: &Follow<server::Connection>) -> Asked<'_> {
    match follow.newest() {
        _ if follow.is_launching() => Asked::Launch,
        Some(newest) if newest.state() == OperationState::NeedsOperator => Asked::Watch,
        Some(newest) if follow.is_over() => Asked::Ended(newest),
        Some(_) | None => Asked::Watch,
    }
}

/// What the end of a stream that ended well means.
fn conclude(operation: Operation) -> Result<Operation, ClientError> {
    match Refusal::of_operation(&operation) {
        None => Ok(operation),
        Some(refusal) => Err(ClientError::Refused(Box::new(refusal))),
    }
}

fn refused(status: &Status, asked: Asked<'_>) -> ClientError {
    ClientError::Refused(Box::new(Refusal::of_status(status, asked)))
}

/// How long after `from` is `to`; nothing when one is not known.
#[must_use]
pub fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<Duration> {
    let nanos = |at: Timestamp| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    let took = nanos(to?) - nanos(from?);
    u64::try_from(took).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

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
