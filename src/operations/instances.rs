//! The machines of an organisation, as the operations that launched and ended them last saw them.

use super::{OperationError, Operations};
use crate::domain::ids::OperationId;
use crate::domain::instance::{Instance, InstanceId, InstanceState};
use crate::domain::operation::Operation;
use crate::domain::reason::Reason;
use crate::store::{Launched, LaunchedPage};
use std::collections::{BTreeMap, BTreeSet};
use time::UtcDateTime;

/// A machine and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchedInstance {
    /// Whose it is, and where.
    pub launched: Launched,
    /// As it was last seen.
    pub instance: Instance,
    /// When what is known of it was written down.
    pub observe_time: UtcDateTime,
    /// Why its launch failed.
    pub failure: Option<Reason>,
}

impl Operations {
    /// A page of the machines that an organisation launched.
    ///
    /// # Errors
    /// When the journal fails.
    pub async fn instances(
        &self,
        page: &LaunchedPage,
    ) -> Result<Vec<LaunchedInstance>, OperationError> {
        let store = &self.0.store;
        let machines = store.launched(page).await?;
        let operations = machines.iter().flat_map(|machine| {
            let launch = machine.owner.operation;
            std::iter::once(launch).chain(machine.termination)
        });
        let operations: BTreeSet<OperationId> = operations.collect();
        let operations: Vec<_> = operations.into_iter().collect();
        let known = store.known(&operations).await?;
        let machines = machines.into_iter();
        Ok(machines.map(|machine| seen(machine, &known)).collect())
    }
}

/// What the operations know of a machine. One that this version cannot read knows nothing.
fn seen(launched: Launched, known: &BTreeMap<OperationId, Option<Operation>>) -> LaunchedInstance {
    let operation = |id: OperationId| known.get(&id).and_then(Option::as_ref);
    let launch = operation(launched.owner.operation);
    let id = &launched.owner.instance;
    let first = launch.and_then(|launch| Some((find(launch, id)?, launch.update_time)));
    let last = launched.termination.and_then(operation);
    // An operation that has not seen it yet knows no more than its id.
    let last = last.and_then(|last| Some((find(last, id)?, last.update_time)));
    let last = last.filter(|(machine, _)| machine.state.is_some());
    let (instance, observe_time) = match (first, last) {
        (Some((first, _)), Some((last, time))) => (later(first, last), time),
        (Some((machine, time)), None) | (None, Some((machine, time))) => (machine.clone(), time),
        (None, None) => (Instance::named(id.clone()), launched.create_time),
    };
    let failed = instance.state == Some(InstanceState::LaunchFailed);
    let failure = launch.and_then(|launch| launch.failure.as_ref());
    LaunchedInstance {
        failure: failure.filter(|_| failed).map(|failure| failure.reason),
        launched,
        instance,
        observe_time,
    }
}

fn find<'a>(operation: &'a Operation, id: &InstanceId) -> Option<&'a Instance> {
    let mut machines = operation.instances.iter();
    machines.find(|machine| machine.id == *id)
}

/// What the launch knows of a machine, in the state that it was seen in since.
fn later(first: &Instance, last: &Instance) -> Instance {
    Instance {
        state: last.state.clone(),
        missing_since: last.missing_since,
        ..first.clone()
    }
}
