//! A replica as a process: it can die or stand still at any call of the journal or the cloud.

use crate::sim::Sim;
use async_trait::async_trait;
use cvm_gateway::cloud::limiter::Permit;
use cvm_gateway::cloud::{Accepted, Cloud, CloudError, Leaving, Signing, Tagged, Target};
use cvm_gateway::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use cvm_gateway::simulator::SimulatedCloud;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Runs,
    Stands,
    Dead,
}

/// What decides whether a replica goes on. One that is dead waits for ever wherever it is.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) replica: usize,
    life: Mutex<Life>,
    changed: Notify,
    gates: AtomicU64,
    crash_at: Option<u64>,
}

impl Process {
    pub(crate) fn new(replica: usize, crash_at: Option<u64>) -> Self {
        Self {
            replica,
            life: Mutex::new(Life::Runs),
            changed: Notify::new(),
            gates: AtomicU64::new(0),
            crash_at,
        }
    }

    /// How many times it stood at a gate.
    pub(crate) fn gates(&self) -> u64 {
        self.gates.load(Ordering::Relaxed)
    }

    /// Returns when the process may go on.
    pub(crate) async fn gate(&self) {
        let number = self.gates.fetch_add(1, Ordering::Relaxed);
        if self.crash_at == Some(number) {
            self.become_dead();
        }
        self.until(|life| life != Life::Stands).await;
        if self.life() != Life::Runs {
            std::future::pending().await
        }
    }

    /// Returns when the process is dead or stands still: who called it hears nothing any more.
    pub(crate) async fn silent(&self) {
        self.until(|life| life != Life::Runs).await;
    }

    pub(crate) async fn died(&self) {
        self.until(|life| life == Life::Dead).await;
    }

    pub(crate) fn life(&self) -> Life {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn become_dead(&self) {
        self.turn(&[Life::Runs, Life::Stands], Life::Dead);
    }

    pub(crate) fn stand_still(&self) {
        self.turn(&[Life::Runs], Life::Stands);
    }

    pub(crate) fn go_on(&self) {
        self.turn(&[Life::Stands], Life::Runs);
    }

    fn turn(&self, from: &[Life], to: Life) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if from.contains(&life) {
            *life = to;
            drop(life);
            self.changed.notify_waiters();
        }
    }

    async fn until(&self, is: impl Fn(Life) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is(self.life()) {
                return;
            }
            changed.await;
        }
    }
}

/// The cloud as a process reaches it.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) process: Arc<Process>,
    pub(crate) cloud: SimulatedCloud,
    pub(crate) sim: Arc<Sim>,
}

impl Reached {
    async fn call<T>(&self, action: &'static str, call: impl Future<Output = T>) -> T {
        self.process.gate().await;
        self.sim.sent(self.process.replica, action);
        let answer = call.await;
        self.process.gate().await;
        answer
    }
}

#[async_trait]
impl Cloud for Reached {
    fn host(&self, target: &Target) -> String {
        self.cloud.host(target)
    }

    async fn run_instances(
        &self,
        permit: Permit,
        target: &Target,
        body: &[u8],
        signing: Signing<'_>,
    ) -> Result<Accepted, CloudError> {
        self.process.gate().await;
        self.sim.launch_sent(body, signing.at);
        let call = self.cloud.run_instances(permit, target, body, signing);
        self.call("RunInstances", call).await
    }

    async fn describe_instances_status(
        &self,
        permit: Permit,
        target: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<(InstanceId, InstanceState)>, CloudError> {
        let call = self.cloud.describe_instances_status(permit, target, ids);
        self.call("DescribeInstancesStatus", call).await
    }

    async fn describe_instances(
        &self,
        permit: Permit,
        target: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        let call = self.cloud.describe_instances(permit, target, ids);
        self.call("DescribeInstances", call).await
    }

    async fn terminate_instances(
        &self,
        permit: Permit,
        target: &Target,
        leaving: Leaving<'_>,
        signing: Signing<'_>,
    ) -> Result<(), CloudError> {
        let call = self
            .cloud
            .terminate_instances(permit, target, leaving, signing);
        self.call("TerminateInstances", call).await
    }

    async fn find_by_tag(
        &self,
        permit: Permit,
        target: &Target,
        key: &str,
        value: &str,
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        let call = self.cloud.find_by_tag(permit, target, key, value);
        self.call("DescribeInstances", call).await
    }

    async fn list_tagged(
        &self,
        permit: Permit,
        target: &Target,
        key: &str,
    ) -> Result<Vec<Tagged>, CloudError> {
        let call = self.cloud.list_tagged(permit, target, key);
        self.call("DescribeInstances", call).await
    }
}
