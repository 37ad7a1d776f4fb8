//! Follows a launch or an operation to its end, through streams that break: for the command line and
//! for callers in Rust.

use crate::clock::Clock;
use crate::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use crate::pb::v1::run_instances_response::Event as RunEvent;
use crate::pb::v1::watch_operation_response::Event as WatchEvent;
use crate::pb::v1::{
    GetOperationRequest, Heartbeat, Operation, OperationState, RunInstancesRequest,
    RunInstancesResponse, WatchOperationRequest, WatchOperationResponse,
};
use std::time::Duration;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{self, Bytes, StdError};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

/// Streams that break one after the other, without a message between them: about two minutes, and more where the gateway
/// asks for longer pauses.
const BREAKS_MAX: u32 = 10;
/// The longest pause between two of them.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// The longest that the gateway may ask for.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// What a stream tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new snapshot.
    Operation(Box<Operation>),
    /// Nothing changed for a while.
    Heartbeat(Heartbeat),
}

/// What following tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// What the stream told.
    Event(Event),
    /// The stream broke; it is opened again, after a pause, where it was.
    Broke(Status),
}

/// A launch or an operation that is followed.
///
/// Nothing is launched twice: until the launch has a name, the call is repeated with the same
/// `request_id`, which finds the operation that exists. To drop this ends only the watching.
#[derive(Debug)]
pub struct Follow<T> {
    service: CvmGatewayServiceClient<T>,
    clock: Clock,
    cursor: Cursor,
    /// Nothing before it is opened, and after it broke or ended.
    events: Option<Events>,
    newest: Option<Operation>,
    /// Streams that brought nothing, one after the other.
    breaks: u32,
    /// How long the gateway is left alone before the next one, ...
    wait: Duration,
    /// ... which is until then, however often the caller looks at something else meanwhile.
    open_at: Duration,
}

/// How a stream is opened, or opened again.
#[derive(Debug)]
enum Cursor {
    Launch(Box<RunInstancesRequest>),
    Follow(WatchOperationRequest),
}

/// A stream of either kind.
#[derive(Debug)]
enum Events {
    Run(Streaming<RunInstancesResponse>),
    Watch(Streaming<WatchOperationResponse>),
}

impl<T> Follow<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: codegen::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as codegen::Body>::Error: Into<StdError> + Send,
{
    /// Will launch, and follow.
    pub fn launch(
        service: CvmGatewayServiceClient<T>,
        request: RunInstancesRequest,
        clock: Clock,
    ) -> Self {
        Self::new(service, Cursor::Launch(Box::new(request)), clock)
    }

    /// Will follow the operation `name`, from the first snapshot after `after_sequence`.
    pub fn operation(
        service: CvmGatewayServiceClient<T>,
        name: String,
        after_sequence: u64,
        clock: Clock,
    ) -> Self {
        let request = WatchOperationRequest {
            name,
            after_sequence,
        };
        Self::new(service, Cursor::Follow(request), clock)
    }

    fn new(service: CvmGatewayServiceClient<T>, cursor: Cursor, clock: Clock) -> Self {
        Self {
            service,
            clock,
            cursor,
            events: None,
            newest: None,
            breaks: 0,
            wait: Duration::ZERO,
            open_at: Duration::ZERO,
        }
    }

    /// The newest snapshot.
    #[must_use]
    pub fn newest(&self) -> Option<&Operation> {
        self.newest.as_ref()
    }

    /// Whether the operation has ended, or waits for a person.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.newest.as_ref().is_some_and(is_over)
    }

    /// How long it waits after [`Told::Broke`], which it just told: for who has no time for it.
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.wait
    }

    /// Whether the launch has no name yet.
    #[must_use]
    pub fn is_launching(&self) -> bool {
        matches!(self.cursor, Cursor::Launch(_))
    }

    /// What comes next; nothing when the operation is over. Then [`Follow::newest`] tells how it
    /// ended, as its `failure`.
    ///
    /// # Errors
    /// When the call is refused, the stream ends with the operation's error, or it broke too often.
    pub async fn next(&mut self) -> Result<Option<Told>, Status> {
        if self.events.is_none() && self.is_over() {
            return Ok(None);
        }
        match self.read().await {
            Ok(Some(event)) => Ok(Some(Told::Event(self.seen(event)))),
            Ok(None) => self.ended().await,
            Err(status) => self.broke(status),
        }
    }

    /// The next event of the stream, which is opened when there is none. Who drops this future loses
    /// the stream, and nothing else: the next one begins after the newest snapshot.
    async fn read(&mut self) -> Result<Option<Event>, Status> {
        let mut events = match self.events.take() {
            Some(events) => events,
            None => self.open().await?,
        };
        let event = events.next().await?;
        if event.is_some() {
            self.events = Some(events);
        }
        Ok(event)
    }

    async fn open(&mut self) -> Result<Events, Status> {
        let left = self.open_at.saturating_sub(self.clock.elapsed());
        self.clock.sleep(left).await;
        match &self.cursor {
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

    fn seen(&mut self, event: Event) -> Event {
        self.breaks = 0;
        self.wait = Duration::ZERO;
        if let Event::Operation(operation) = &event {
            self.cursor = Cursor::after(operation);
            self.newest = Some(operation.as_ref().clone());
        }
        event
    }

    /// The stream ended well. So has the operation, or something between cut it.
    async fn ended(&mut self) -> Result<Option<Told>, Status> {
        if !self.is_over() {
            match self.get().await {
                Ok(operation) => self.newest = Some(operation),
                Err(status) => return self.broke(status),
            }
        }
        if self.is_over() {
            return Ok(None);
        }
        self.broke(Status::unavailable("the stream ended before the operation"))
    }

    /// The operation as it stands: a cursor that was at its end got no snapshot.
    async fn get(&mut self) -> Result<Operation, Status> {
        let Cursor::Follow(WatchOperationRequest { name, .. }) = &self.cursor else {
            return Err(Status::unavailable("the stream ended without a message"));
        };
        let request = GetOperationRequest { name: name.clone() };
        let answer = self.service.get_operation(request).await?.into_inner();
        let missing = || Status::unavailable("the gateway sent no operation");
        answer.operation.ok_or_else(missing)
    }

    fn broke(&mut self, status: Status) -> Result<Option<Told>, Status> {
        match (is_resumable(&status), self.is_over()) {
            // The gateway's own status tells most; where it got lost, the snapshot tells enough.
            (true, true) => Ok(None),
            (true, false) if self.breaks < BREAKS_MAX => {
                self.wait = pause(self.breaks).max(retry_delay(&status));
                self.open_at = self.clock.elapsed() + self.wait;
                self.breaks += 1;
                Ok(Some(Told::Broke(status)))
            }
            (true, false) | (false, _) => Err(status),
        }
    }
}

impl Cursor {
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

/// Whether the same call will help, later. The gateway says so by `RetryInfo`, and by nothing else: reasons
/// are added. Every status of its own carries `ErrorInfo`; one without it comes from the connection.
#[must_use]
pub fn is_resumable(status: &Status) -> bool {
    let details = status.get_error_details();
    let of_gateway = details.error_info().is_some();
    details.retry_info().is_some() || (!of_gateway && is_transport(status.code()))
}

/// How long the gateway wants to be left alone.
fn retry_delay(status: &Status) -> Duration {
    let asked = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    asked.unwrap_or_default().min(RETRY_DELAY_MAX)
}

/// The codes that tonic gives to connections that fail or break.
#[must_use]
pub fn is_transport(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
    )
}

/// Whether the operation has ended, or waits for a person: no stream goes on.
#[must_use]
pub fn is_over(operation: &Operation) -> bool {
    match operation.state() {
        OperationState::Succeeded
        | OperationState::Partial
        | OperationState::Failed
        | OperationState::Cancelled
        | OperationState::NeedsOperator => true,
        OperationState::Unspecified
        | OperationState::Accepted
        | OperationState::Sent
        | OperationState::Reconciling
        | OperationState::Launched
        | OperationState::Terminating => false,
    }
}

fn pause(breaks: u32) -> Duration {
    Duration::from_secs(1)
        .saturating_mul(1 << breaks.min(8))
        .min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};
    use time::macros::utc_datetime;
    use tonic::codegen::{Service, http};
    use tonic_types::ErrorDetails;

    /// A gateway that is not there.
    struct Gone;

    impl Service<http::Request<Body>> for Gone {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            ready(Ok(Status::unavailable("gone").into_http()))
        }
    }

    /// What it tells at once, if it does.
    async fn look(follow: &mut Follow<Gone>) -> Option<Told> {
        tokio::select! {
            biased;
            told = follow.next() => told.unwrap(),
            () = ready(()) => None,
        }
    }

    #[tokio::test]
    async fn who_looks_at_something_else_meanwhile_waits_no_longer() {
        let clock = Clock::manual(utc_datetime!(2026-01-02 03:04:05));
        let service = CvmGatewayServiceClient::new(Gone);
        let mut follow = Follow::operation(service, "operations/o".to_owned(), 0, clock.clone());
        for seconds in [1, 2] {
            assert!(matches!(look(&mut follow).await, Some(Told::Broke(_))));
            assert_eq!(follow.pause(), Duration::from_secs(seconds));
            for _ in 0..2 * seconds {
                assert!(look(&mut follow).await.is_none());
                clock.advance(Duration::from_millis(500));
            }
        }
        assert!(matches!(look(&mut follow).await, Some(Told::Broke(_))));
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let pauses: Vec<u64> = (0..BREAKS_MAX)
            .map(|breaks| pause(breaks).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15, 15, 15, 15, 15]);
    }

    #[test]
    fn the_gateway_is_left_alone_as_long_as_it_asks() {
        let asks = |seconds| {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
            Status::with_error_details(Code::Unavailable, "", details)
        };
        for (status, seconds) in [(asks(3), 3), (asks(3600), 60), (Status::unavailable(""), 0)] {
            assert_eq!(retry_delay(&status).as_secs(), seconds);
        }
    }

    #[test]
    fn what_helps_when_made_later_is_repeated_and_refusals_are_not() {
        let with = |code, reason: &str, seconds: Option<u64>| {
            let mut details = ErrorDetails::new();
            details.set_error_info(reason, "cvm-gateway", HashMap::new());
            if let Some(seconds) = seconds {
                details.set_retry_info(Some(Duration::from_secs(seconds)));
            }
            Status::with_error_details(code, "", details)
        };
        let (exhausted, unavailable) = (Code::ResourceExhausted, Code::Unavailable);
        for (status, resumable) in [
            (Status::unavailable("connection reset"), true),
            (Status::unknown("transport error"), true),
            (Status::internal("h2 protocol error"), true),
            (with(unavailable, "GATEWAY_UNAVAILABLE", Some(1)), true),
            (with(unavailable, "GATEWAY_BUSY", Some(1)), true),
            (with(exhausted, "OVERLOADED", Some(1)), true),
            (with(exhausted, "TOO_MANY_CALLS", Some(2)), true),
            (with(exhausted, "QUOTA_EXCEEDED", Some(60)), true),
            (with(exhausted, "OF_A_LATER_VERSION", Some(1)), true),
            (with(exhausted, "QUOTA_EXCEEDED", None), false),
            (with(unavailable, "CLOUD_UNAVAILABLE", None), false),
            (with(Code::Unknown, "NEEDS_OPERATOR", None), false),
            (with(Code::Internal, "GATEWAY_DEFECT", None), false),
            (Status::unimplemented(""), false),
            (Status::permission_denied("by a proxy"), false),
        ] {
            assert_eq!(is_resumable(&status), resumable, "{status:?}");
        }
    }
}
