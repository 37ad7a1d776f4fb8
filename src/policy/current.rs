//! The policy in force, which can be replaced while calls are decided.

use crate::policy::Policy;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The policy in force. Clones share it.
#[derive(Clone, Debug)]
pub struct Current(Arc<ArcSwap<Policy>>);

impl Current {
    /// Puts a first policy in force.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(policy)))
    }

    /// The policy of this moment. A decision uses one, from its begin to its end.
    #[must_use]
    pub fn get(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Puts another in force, for all decisions that begin from now on.
    pub fn replace(&self, policy: Policy) {
        self.0.store(Arc::new(policy));
    }
}
