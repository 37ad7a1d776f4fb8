//! The fake cloud without HTTP and without signatures, behind a network that loses, delays and
//! repeats: for simulations. Bodies and answers are the very bytes that HTTP would carry.

use super::action::{self, Action, Written};
use super::wire::{self, Refusal};
use super::world::{Call, World};
use super::{Settings, auth, verdict};
use crate::clock::Clock;
use crate::cloud::limiter::Permit;
use crate::cloud::wire as client;
use crate::cloud::{Accepted, Cloud, CloudError, Fault, Leaving, Signing, Tagged, Target};
use crate::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use async_trait::async_trait;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// How long the gateway waits for the answer to a launch, ...
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);
/// ... and to any other call.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer that never comes keeps its connection open.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// What happens to one call on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// How long after it was sent the request arrives; once for each.
    pub arrivals: Vec<Duration>,
    /// How long the answer is under way.
    pub back: Duration,
    pub answer: Answer,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What the cloud said to the first arrival.
    Given,
    /// Nothing, and the connection stays open.
    Silence,
    /// The connection breaks so.
    Broken(Fault),
    /// These bytes instead.
    Replaced(Vec<u8>),
}

/// Decides on the passage of each call, told its action.
pub type Network = Arc<dyn Fn(&'static str) -> Passage + Send + Sync>;

/// One request as it arrived, for who checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub at: UtcDateTime,
    pub action: &'static str,
    pub region: String,
    /// The account, as nothing is signed.
    pub account: String,
    pub signed_at: UtcDateTime,
    pub body: Vec<u8>,
    /// `OK` or the code of the refusal.
    pub verdict: Cow<'static, str>,
    /// Names the call in its machines.
    pub request_id: String,
}

/// A machine that was made, for who checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub id: String,
    /// Of the RunInstances call.
    pub request_id: String,
    pub client_token: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub created_at: UtcDateTime,
    /// When its launch fails, if it does.
    pub failed_at: Option<UtcDateTime>,
    /// When it is destroyed, if that is decided.
    pub gone_at: Option<UtcDateTime>,
}

/// The world as a [`Cloud`]. Clones share the world; each has a network of its own.
#[derive(Clone)]
pub struct SimulatedCloud {
    world: Arc<Mutex<Record>>,
    clock: Clock,
    network: Network,
    /// Requests and answers under way: they outlive their callers.
    under_way: TaskTracker,
}

struct Record {
    world: World,
    arrivals: Vec<Arrival>,
}

impl fmt::Debug for SimulatedCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedCloud").finish_non_exhaustive()
    }
}

impl SimulatedCloud {
    /// An empty world whose time is `clock`'s.
    #[must_use]
    pub fn new(settings: Settings, clock: Clock, network: Network) -> Self {
        let catalog = Arc::new(settings.catalog);
        let world = World::new(catalog, settings.seed, settings.speed.0);
        Self {
            world: Arc::new(Mutex::new(Record {
                world,
                arrivals: Vec::new(),
            })),
            clock,
            network,
            under_way: TaskTracker::new(),
        }
    }

    /// The same world behind another network.
    #[must_use]
    pub fn behind(&self, network: Network) -> Self {
        Self {
            network,
            ..self.clone()
        }
    }

    /// Every request that arrived, in order.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.lock().arrivals.clone()
    }

    /// Every machine that was ever made, in order.
    #[must_use]
    pub fn machines(&self) -> Vec<Made> {
        self.lock().world.made().collect()
    }

    /// One call, read, and told to what permitted it.
    async fn call<T>(
        &self,
        permit: &Permit,
        call: Sent<'_>,
        read: impl FnOnce(&[u8]) -> Result<client::Answer<T>, CloudError>,
    ) -> Result<T, CloudError> {
        let answer = self.exchange(call).await.and_then(|answer| read(&answer));
        permit.answered(&answer);
        Ok(answer?.value)
    }

    async fn exchange(&self, call: Sent<'_>) -> Result<Vec<u8>, CloudError> {
        let passage = (self.network)(call.action);
        let (reply, answer) = oneshot::channel();
        let mut reply = Some(reply);
        if passage.arrivals.is_empty() {
            let come_back = self.clone().come_back(passage.clone(), None, reply.take());
            self.under_way.spawn(come_back);
        }
        for arrives_in in &passage.arrivals {
            let (cloud, passage, call) = (self.clone(), passage.clone(), call.to_owned());
            let (arrives_in, reply) = (*arrives_in, reply.take());
            self.under_way.spawn(async move {
                cloud.clock.sleep(arrives_in).await;
                let given = cloud.lock().arrive(&call, cloud.clock.now());
                cloud.come_back(passage, Some(given), reply).await;
            });
        }
        match self.clock.timeout(call.timeout, answer).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(Fault::ConnectionLost.error("the connection was closed")),
            None => Err(Fault::Timeout.error("no whole answer in time")),
        }
    }

    async fn come_back(
        self,
        passage: Passage,
        given: Option<Vec<u8>>,
        reply: Option<oneshot::Sender<Result<Vec<u8>, CloudError>>>,
    ) {
        let Some(reply) = reply else {
            return; // a repetition's answer finds nobody
        };
        self.clock.sleep(passage.back).await;
        let answer = match (passage.answer, given) {
            (Answer::Given, Some(given)) => Ok(given),
            (Answer::Silence, _) | (Answer::Given, None) => {
                return self.clock.sleep(FOR_EVER).await;
            }
            (Answer::Broken(fault), _) => Err(fault.error("the connection broke")),
            (Answer::Replaced(bytes), _) => Ok(bytes),
        };
        // Who has gone away needs no answer.
        drop(reply.send(answer));
    }

    fn read<'a>(&self, action: Action, target: &'a Target, body: &'a [u8]) -> Sent<'a> {
        Sent {
            action: action.as_str(),
            target,
            body,
            signed_at: self.clock.now(),
            timeout: READ_TIMEOUT,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call as the gateway sends it.
struct Sent<'a> {
    action: &'static str,
    target: &'a Target,
    body: &'a [u8],
    signed_at: UtcDateTime,
    timeout: Duration,
}

/// A call on its way.
struct Letter {
    action: &'static str,
    target: Target,
    body: Vec<u8>,
    signed_at: UtcDateTime,
}

impl Sent<'_> {
    fn to_owned(&self) -> Letter {
        Letter {
            action: self.action,
            target: self.target.clone(),
            body: self.body.to_vec(),
            signed_at: self.signed_at,
        }
    }
}

impl Record {
    /// The world's answer, in bytes.
    fn arrive(&mut self, letter: &Letter, now: UtcDateTime) -> Vec<u8> {
        let request_id = self.world.next_request_id();
        let outcome = self.answer(letter, &request_id, now);
        self.arrivals.push(Arrival {
            at: now,
            action: letter.action,
            region: letter.target.region.as_str().to_owned(),
            account: letter.target.account.as_str().to_owned(),
            signed_at: letter.signed_at,
            body: letter.body.clone(),
            verdict: verdict(&outcome),
            request_id: request_id.clone(),
        });
        action::written(outcome, &request_id).into_bytes()
    }

    fn answer(
        &mut self,
        letter: &Letter,
        request_id: &str,
        now: UtcDateTime,
    ) -> Result<Written, Refusal> {
        let account = letter.target.account.as_str();
        auth::check_age(letter.signed_at, now, self.world.signature_life())?;
        self.world.admit(now, account, letter.action)?;
        let call = Call {
            now,
            secret_id: account,
            region: letter.target.region.as_str(),
            endpoint: "",
            request_id,
        };
        let parameters = wire::json(&letter.body)?;
        let job = Action::parse(letter.action)?.job(&parameters)?;
        job(&mut self.world, &call)
    }
}

#[async_trait]
impl Cloud for SimulatedCloud {
    fn host(&self, _target: &Target) -> String {
        "simulated.invalid".to_owned()
    }

    async fn run_instances(
        &self,
        permit: Permit,
        target: &Target,
        body: &[u8],
        signing: Signing<'_>,
    ) -> Result<Accepted, CloudError> {
        let call = Sent {
            action: Action::RunInstances.as_str(),
            target,
            body,
            signed_at: signing.at,
            timeout: LAUNCH_TIMEOUT,
        };
        self.call(&permit, call, client::run_instances).await
    }

    async fn describe_instances_status(
        &self,
        permit: Permit,
        target: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<(InstanceId, InstanceState)>, CloudError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let body = client::by_ids(ids);
        let call = self.read(Action::DescribeInstancesStatus, target, &body);
        let read = |answer: &[u8]| client::describe_instances_status(answer, ids);
        self.call(&permit, call, read).await
    }

    async fn describe_instances(
        &self,
        permit: Permit,
        target: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let body = client::by_ids(ids);
        let call = self.read(Action::DescribeInstances, target, &body);
        let read = |answer: &[u8]| client::describe_instances(answer, ids);
        self.call(&permit, call, read).await
    }

    async fn terminate_instances(
        &self,
        permit: Permit,
        target: &Target,
        leaving: Leaving<'_>,
        signing: Signing<'_>,
    ) -> Result<(), CloudError> {
        if leaving.ids.is_empty() {
            return Ok(());
        }
        let body = client::terminate(leaving);
        let call = Sent {
            signed_at: signing.at,
            ..self.read(Action::TerminateInstances, target, &body)
        };
        self.call(&permit, call, client::terminate_instances).await
    }

    async fn find_by_tag(
        &self,
        mut permit: Permit,
        target: &Target,
        key: &str,
        value: &str,
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        let mut pages = client::FoundPages::default();
        loop {
            let body = client::by_tag(key, value, pages.next());
            let call = self.read(Action::DescribeInstances, target, &body);
            let page = self.call(&permit, call, client::describe_page);
            if pages.take(page.await)? {
                return Ok(pages.into_instances());
            }
            permit = permit.another().await;
        }
    }

    async fn list_tagged(
        &self,
        mut permit: Permit,
        target: &Target,
        key: &str,
    ) -> Result<Vec<Tagged>, CloudError> {
        let mut pages = client::TaggedPages::default();
        loop {
            let body = client::by_tag_key(key, pages.next());
            let call = self.read(Action::DescribeInstances, target, &body);
            let read = |answer: &[u8]| client::tagged_page(answer, key);
            if pages.take(self.call(&permit, call, read).await)? {
                return Ok(pages.into_instances());
            }
            permit = permit.another().await;
        }
    }
}
