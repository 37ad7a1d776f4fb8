//! Machines, as the cloud shows them and as an operation keeps them.

use crate::domain::ids::{Malformed, text_id};
use crate::domain::names::{AccountName, Region};
use serde::{Deserialize, Serialize};
use time::UtcDateTime;

text_id!(
    /// The cloud's id of a machine, for example `ins-r8hr2upy`.
    InstanceId,
    "instance id",
    "1 to 64 characters of A-Z a-z 0-9 -",
    |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }
);

/// Gives each state its spelling of the cloud once.
macro_rules! instance_states {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// The cloud's state of a machine (API data type `Instance.InstanceState`). The list grows
        /// over time, so an unknown state is carried through and never taken for an end.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum InstanceState {
            $($(#[$doc])* $variant,)+
            /// A state that this version does not know, in the cloud's spelling.
            Other(String),
        }

        impl InstanceState {
            /// The cloud's spelling.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other(name) => name,
                }
            }
        }

        impl From<String> for InstanceState {
            fn from(name: String) -> Self {
                match name.as_str() {
                    $($name => Self::$variant,)+
                    _ => Self::Other(name),
                }
            }
        }
    };
}

instance_states! {
    /// Being created.
    Pending = "PENDING",
    /// Creation failed; final.
    LaunchFailed = "LAUNCH_FAILED",
    /// Running.
    Running = "RUNNING",
    /// Powered off.
    Stopped = "STOPPED",
    /// Powering on.
    Starting = "STARTING",
    /// Powering off.
    Stopping = "STOPPING",
    /// Restarting.
    Rebooting = "REBOOTING",
    /// Isolated, waiting to be destroyed.
    Shutdown = "SHUTDOWN",
    /// Being destroyed.
    Terminating = "TERMINATING",
    /// Entering rescue mode.
    EnterRescueMode = "ENTER_RESCUE_MODE",
    /// In rescue mode.
    RescueMode = "RESCUE_MODE",
    /// Leaving rescue mode.
    ExitRescueMode = "EXIT_RESCUE_MODE",
    /// Entering live migration.
    EnterServiceLiveMigrate = "ENTER_SERVICE_LIVE_MIGRATE",
    /// In live migration.
    ServiceLiveMigrate = "SERVICE_LIVE_MIGRATE",
    /// Leaving live migration.
    ExitServiceLiveMigrate = "EXIT_SERVICE_LIVE_MIGRATE",
}

impl InstanceState {
    /// The state of that spelling.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        Self::from(name.to_owned())
    }
}

impl From<InstanceState> for String {
    fn from(state: InstanceState) -> Self {
        state.as_str().to_owned()
    }
}

/// What DescribeInstances tells of a machine, as far as the gateway keeps it. The cloud leaves
/// members out or null while a machine is young, so all but id and state may be empty. Texts are
/// cleaned of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceDetail {
    pub id: InstanceId,
    pub state: InstanceState,
    /// Display name, with patterns expanded.
    pub name: String,
    pub zone: String,
    /// Model, e.g. `S5.MEDIUM2`.
    pub instance_type: String,
    /// Of its primary interface.
    pub private_ip_addresses: Vec<String>,
    /// Of its primary interface.
    pub public_ip_addresses: Vec<String>,
    /// Why the last operation failed: the only documented place for the cause of LAUNCH_FAILED.
    pub latest_operation_error: String,
}

/// Machines of one organisation, all launched through the gateway, of one account and region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedInstances {
    pub account: AccountName,
    pub region: Region,
    /// At least one, sorted.
    pub ids: Vec<InstanceId>,
}

/// One machine of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    /// The last state seen; none before the cloud first showed the machine.
    pub state: Option<InstanceState>,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub instance_type: String,
    #[serde(default)]
    pub zone: String,
    #[serde(default)]
    pub private_ip_addresses: Vec<String>,
    #[serde(default)]
    pub public_ip_addresses: Vec<String>,
    #[serde(default)]
    pub failure_message: String,
    /// When the machine was first seen RUNNING.
    #[serde(default, with = "crate::domain::millis::option")]
    pub running_time: Option<UtcDateTime>,
    /// Since when the cloud, having shown the machine, no longer does.
    #[serde(default, with = "crate::domain::millis::option")]
    pub missing_since: Option<UtcDateTime>,
}

impl Instance {
    /// A machine that the cloud has named but not shown yet.
    #[must_use]
    pub fn named(id: InstanceId) -> Self {
        Self {
            id,
            state: None,
            name: String::new(),
            instance_type: String::new(),
            zone: String::new(),
            private_ip_addresses: Vec::new(),
            public_ip_addresses: Vec::new(),
            failure_message: String::new(),
            running_time: None,
            missing_since: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_keep_the_cloud_s_spelling() {
        for name in ["PENDING", "EXIT_SERVICE_LIVE_MIGRATE", "SOMETHING_NEW", ""] {
            assert_eq!(InstanceState::parse(name).as_str(), name);
        }
        assert_eq!(InstanceState::parse("RUNNING"), InstanceState::Running);
        assert_eq!(
            InstanceState::parse("NEW"),
            InstanceState::Other("NEW".to_owned())
        );
    }
}
