//! A field that policy changed, and where that is written.

use serde::{Deserialize, Serialize};

/// One field that policy set or changed. Of a secret it tells the shape only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Path in the request message, for example `spec.system_disk.encrypt`.
    pub field: String,
    /// The value before, as JSON; empty when it was unset.
    pub before: String,
    /// The value after, as JSON.
    pub after: String,
    /// For a person: what was done, by which layer, and where it is written.
    pub origin: String,
}
