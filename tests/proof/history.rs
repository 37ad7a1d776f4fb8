//! What the clients saw: every snapshot of every request, checked as it comes.

use crate::report::{Findings, Kind};
use cvm_gateway::pb::v1 as pb;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// What a client asks for; the same `request_id` with another count is another request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) request_id: String,
    pub(crate) count: u32,
    pub(crate) instance_type: &'static str,
    /// Machines that it gives back, instead of launching some.
    pub(crate) back: Vec<String>,
}

/// What all clients together know of one request_id.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The request that was accepted, as the first answer showed.
    pub(crate) wish: Wish,
    pub(crate) name: String,
    /// Every snapshot that anybody saw, by sequence.
    pub(crate) snapshots: BTreeMap<u64, pb::Operation>,
}

impl Known {
    pub(crate) fn newest(&self) -> &pb::Operation {
        self.snapshots.last_key_value().unwrap().1
    }
}

/// The clients' log.
#[derive(Debug)]
pub(crate) struct History {
    known: Mutex<BTreeMap<String, Known>>,
    findings: Findings,
}

impl History {
    pub(crate) fn new(findings: Findings) -> Self {
        Self {
            known: Mutex::default(),
            findings,
        }
    }

    /// A stream that `wish` was asked or watched with, and that was at `cursor`, showed `operation`.
    pub(crate) fn saw(&self, wish: &Wish, cursor: u64, operation: &pb::Operation) {
        let id = &wish.request_id;
        if operation.sequence <= cursor {
            let what = format!("{id}: {} came after {cursor}", operation.sequence);
            self.findings.add(Kind::Stream, what);
        }
        if operation.request_id != *id || operation.instance_count != wish.count {
            let what = format!("{wish:?} was answered with {operation:?}");
            self.findings.add(Kind::Differs, what);
        }
        let mut known = self.known.lock().unwrap();
        let known = known.entry(id.clone()).or_insert_with(|| Known {
            wish: wish.clone(),
            name: operation.name.clone(),
            snapshots: BTreeMap::new(),
        });
        if known.wish != *wish {
            let what = format!("{wish:?} and {:?} were both accepted", known.wish);
            self.findings.add(Kind::Duplicate, what);
        }
        if known.name != operation.name {
            let what = format!("{id} is {} and {}", known.name, operation.name);
            self.findings.add(Kind::Duplicate, what);
        }
        let before = known
            .snapshots
            .insert(operation.sequence, operation.clone());
        if before.is_some_and(|before| before != *operation) {
            let what = format!("{id}: two snapshots are {}", operation.sequence);
            self.findings.add(Kind::Stream, what);
        }
    }

    pub(crate) fn get(&self, request_id: &str) -> Option<Known> {
        self.known.lock().unwrap().get(request_id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Known> {
        self.known.lock().unwrap().values().cloned().collect()
    }
}

/// Whether nothing comes after it.
pub(crate) fn is_final(state: pb::OperationState) -> bool {
    match state {
        pb::OperationState::Succeeded
        | pb::OperationState::Partial
        | pb::OperationState::Failed
        | pb::OperationState::Cancelled
        | pb::OperationState::NeedsOperator => true,
        pb::OperationState::Unspecified
        | pb::OperationState::Accepted
        | pb::OperationState::Sent
        | pb::OperationState::Reconciling
        | pb::OperationState::Launched
        | pb::OperationState::Terminating => false,
    }
}
