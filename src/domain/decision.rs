//! Why something was allowed, for the audit.

use serde::{Deserialize, Serialize};

/// What allowed a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Name and version of the policy.
    pub policy: String,
    /// The id of the rule that allowed it.
    pub rule: String,
}
