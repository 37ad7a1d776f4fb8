//! Callers that launch: one machine after the other, or so many a second whatever becomes of them.

use crate::gateway::Gateway;
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use cvm_gateway::pb::v1::run_instances_response::Event;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;
use uuid::Uuid;

/// One has as many streams at once as the gateway allows.
const CONNECTIONS: usize = 8;
/// How often calls are made that are due.
const TICK: Duration = Duration::from_millis(1);
/// Between two calls of who calls as it should.
const PAUSE: Duration = Duration::from_millis(20);

/// A caller of one organisation, with several connections.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Vec<CvmGatewayServiceClient<Channel>>);

/// What came of calls. Clones are the same tally.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    begun: Clock,
    outcomes: Arc<Mutex<Outcomes>>,
}

#[derive(Debug, Default)]
struct Outcomes {
    /// How long it took until each was promised.
    accepted: Vec<Duration>,
    /// How long it took until the cloud had launched each, and when that was since the tally began.
    launched: Vec<(Duration, Duration)>,
    /// How long each refusal took.
    refused: Vec<Duration>,
    /// Of no kind that overload has, or without the time to come back in details and trailers.
    strange: Vec<Status>,
}

impl Caller {
    /// A caller that shows this certificate.
    pub(crate) async fn connect(gateway: &Gateway, certificate: &str, key: &str) -> Self {
        let authority = gateway.authority.as_ref().unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .identity(Identity::from_pem(certificate, key));
        let url = format!("https://localhost:{}", gateway.grpc.port());
        let endpoint = Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap();
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let channel = endpoint.connect().await.unwrap();
            clients.push(CvmGatewayServiceClient::new(channel));
        }
        Self(clients)
    }

    /// Launches one machine and waits until the cloud has, unless it is refused.
    pub(crate) async fn launch(&self, connection: usize, tally: &Tally) {
        let mut client = self.0[connection % self.0.len()].clone();
        let request = wish();
        let clock = Clock::system();
        let launched = async {
            let answers = client.run_instances(request).await?;
            follow(answers.into_inner(), &clock, tally).await
        };
        if let Err(refusal) = launched.await {
            tally.refuses(refusal, clock.elapsed());
        }
    }
}

/// Tells the tally what the answers to a launch say, until its machine is there.
async fn follow(
    mut answers: Streaming<pb::RunInstancesResponse>,
    clock: &Clock,
    tally: &Tally,
) -> Result<(), Status> {
    let mut promised = false;
    while let Some(answer) = answers.message().await? {
        if !std::mem::replace(&mut promised, true) {
            tally.outcomes().accepted.push(clock.elapsed());
        }
        if is_launched(&answer) {
            let at = tally.begun.elapsed();
            tally.outcomes().launched.push((clock.elapsed(), at));
            break;
        }
    }
    Ok(())
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            begun: Clock::system(),
            outcomes: Arc::default(),
        }
    }
}

impl Tally {
    fn refuses(&self, status: Status, took: Duration) {
        let mut outcomes = self.outcomes();
        outcomes.refused.push(took);
        if !is_of_overload(&status) || !says_when_to_come_back(&status) {
            outcomes.strange.push(status);
        }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.outcomes().accepted.len()
    }

    /// How many were launched within that time since the tally began.
    pub(crate) fn launched_within(&self, span: Duration) -> usize {
        let outcomes = self.outcomes();
        let within = outcomes.launched.iter().filter(|(_, at)| *at <= span);
        within.count()
    }

    pub(crate) fn refused(&self) -> usize {
        self.outcomes().refused.len()
    }

    pub(crate) fn accepted_p99(&self) -> Duration {
        p99(&mut self.outcomes().accepted)
    }

    pub(crate) fn launched_p99(&self) -> Duration {
        let outcomes = self.outcomes();
        p99(&mut outcomes
            .launched
            .iter()
            .map(|(took, _)| *took)
            .collect::<Vec<_>>())
    }

    pub(crate) fn refused_p99(&self) -> Duration {
        p99(&mut self.outcomes().refused)
    }

    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap()
    }

    pub(crate) fn assert_refusals_say_when_to_come_back(&self) {
        let strange = &self.outcomes().strange;
        assert!(
            strange.is_empty(),
            "{} like {:?}",
            strange.len(),
            strange[0]
        );
    }
}

/// Launches so often for so long, whatever becomes of it; how often it was, and the launches. Who drops them does
/// not wait for their machines any more.
pub(crate) async fn offer(
    callers: &[Caller],
    per_second: f64,
    span: Duration,
    tally: &Tally,
) -> (usize, JoinSet<()>) {
    let clock = Clock::system();
    let mut launches = JoinSet::new();
    let interval = Duration::from_secs_f64(1.0 / per_second);
    let mut made = 0_u32;
    while clock.elapsed() < span {
        let due = clock.elapsed().div_duration_f64(interval);
        while f64::from(made) < due {
            let number = usize::try_from(made).unwrap();
            let caller = callers[number % callers.len()].clone();
            let tally = tally.clone();
            let connection = number / callers.len();
            launches.spawn(async move { caller.launch(connection, &tally).await });
            made += 1;
        }
        clock.sleep(TICK).await;
    }
    (usize::try_from(made).unwrap(), launches)
}

/// Launches so often at once; the launches.
pub(crate) fn offer_at_once(callers: &[Caller], count: usize, tally: &Tally) -> JoinSet<()> {
    let mut launches = JoinSet::new();
    for number in 0..count {
        let caller = callers[number % callers.len()].clone();
        let tally = tally.clone();
        let connection = number / callers.len();
        launches.spawn(async move { caller.launch(connection, &tally).await });
    }
    launches
}

/// Launches again and again for so long, at least once.
pub(crate) async fn one_after_the_other(caller: &Caller, span: Duration, tally: &Tally) {
    let clock = Clock::system();
    let mut number = 0;
    while number == 0 || clock.elapsed() < span {
        caller.launch(number, tally).await;
        number += 1;
        clock.sleep(PAUSE).await;
    }
}

/// What 99 of 100 took at most; nothing, if there are none.
fn p99(took: &mut [Duration]) -> Duration {
    took.sort();
    took.get(took.len() * 99 / 100).copied().unwrap_or_default()
}

fn is_launched(answer: &pb::RunInstancesResponse) -> bool {
    match &answer.event {
        Some(Event::Operation(operation)) => !operation.instances.is_empty(),
        Some(Event::Heartbeat(_)) | None => false,
    }
}

fn is_of_overload(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason);
    let told = (status.code(), reason.as_deref());
    told == (Code::ResourceExhausted, Some("TOO_MANY_CALLS"))
        || told == (Code::Unavailable, Some("GATEWAY_BUSY"))
}

fn says_when_to_come_back(status: &Status) -> bool {
    let delay = status
        .get_details_retry_info()
        .and_then(|retry| retry.retry_delay);
    let pushback = status.metadata().get("grpc-retry-pushback-ms");
    let pushback = pushback.and_then(|millis| millis.to_str().ok()?.parse().ok());
    delay.is_some() && pushback == delay.map(|delay| delay.as_millis())
}

fn wish() -> pb::RunInstancesRequest {
    pb::RunInstancesRequest {
        request_id: Uuid::new_v4().to_string(),
        region: "ap-shanghai".to_owned(),
        spec: Some(pb::InstanceSpec {
            placement: Some(pb::Placement {
                zone: "ap-shanghai-2".to_owned(),
                ..pb::Placement::default()
            }),
            image_id: Some("img-pmqg1cw7".to_owned()),
            instance_type: Some("S5.SMALL1".to_owned()),
            instance_count: Some(1),
            ..pb::InstanceSpec::default()
        }),
        ..pb::RunInstancesRequest::default()
    }
}
