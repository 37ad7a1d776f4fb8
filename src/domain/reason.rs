//! Why something is refused or fails, in the gateway's own vocabulary.

use serde::{Deserialize, Serialize};

/// Gives each reason its wire name once, for text, parsing and iteration.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Mirrors `ErrorReason` of the proto, value by value. Each has its gRPC code,
        /// which only `grpc::status` knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name as it stands in `google.rpc.ErrorInfo`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The reason of that name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
            }
        }
    };
}

reasons! {
    /// A request field breaks a rule.
    InvalidParameter = "INVALID_PARAMETER",
    /// The request names a cloud resource that the account does not have.
    ResourceNotFound = "RESOURCE_NOT_FOUND",
    /// The organisation has no such operation.
    OperationNotFound = "OPERATION_NOT_FOUND",
    /// The request_id was used before with another request.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// The caller could not be identified.
    Unauthenticated = "UNAUTHENTICATED",
    /// A rule of the organisation's policy forbids it.
    PolicyDenied = "POLICY_DENIED",
    /// The cloud does not allow it to the account.
    CloudPermissionDenied = "CLOUD_PERMISSION_DENIED",
    /// A quota of the account or a limit of the organisation is used up.
    QuotaExceeded = "QUOTA_EXCEEDED",
    /// The cloud has no stock: the only reason that moves on to an alternative.
    Capacity = "CAPACITY",
    /// The cloud's request rate limit was in the way for too long.
    CloudRateLimited = "CLOUD_RATE_LIMITED",
    /// The gateway itself has too much to do.
    Overloaded = "OVERLOADED",
    /// The organisation has as many calls waiting as it may.
    TooManyCalls = "TOO_MANY_CALLS",
    /// The gateway has more calls than it can begin in time, of all organisations.
    GatewayBusy = "GATEWAY_BUSY",
    /// The state of the account or of a resource does not allow it.
    PreconditionFailed = "PRECONDITION_FAILED",
    /// The account has not enough money.
    InsufficientBalance = "INSUFFICIENT_BALANCE",
    /// The bid is below the market's price.
    MarketPrice = "MARKET_PRICE",
    /// Another change of the same resource is under way.
    ConflictingOperation = "CONFLICTING_OPERATION",
    /// The gateway's own cloud key is wrong, expired or not allowed.
    GatewayCredential = "GATEWAY_CREDENTIAL",
    /// The gateway broke a rule of the cloud or of its own.
    GatewayDefect = "GATEWAY_DEFECT",
    /// The cloud failed inside.
    CloudInternal = "CLOUD_INTERNAL",
    /// The cloud could not be reached or does not serve now.
    CloudUnavailable = "CLOUD_UNAVAILABLE",
    /// The gateway is starting, stopping or without its journal.
    GatewayUnavailable = "GATEWAY_UNAVAILABLE",
    /// Instances that the cloud accepted did not come up.
    LaunchFailed = "LAUNCH_FAILED",
    /// Instances were still starting, or still there after a termination, when the time had passed.
    LaunchTimeout = "LAUNCH_TIMEOUT",
    /// The operation was cancelled.
    Cancelled = "CANCELLED",
    /// A person must decide what the cloud did.
    NeedsOperator = "NEEDS_OPERATOR",
    /// This version does not offer the method yet.
    NotImplemented = "NOT_IMPLEMENTED",
    /// The cloud's own dry run says that the launch would be allowed; never an error.
    DryRunPassed = "DRY_RUN_PASSED",
}

/// Whose it is to mend what failed, or to wish for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Caller,
    /// Who runs the gateway, and owns the account.
    Operator,
    Cloud,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Caller, Self::Operator, Self::Cloud];

    /// The name as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Operator => "operator",
            Self::Cloud => "cloud",
        }
    }
}

impl Reason {
    /// Whose it is to mend. What is a matter of the wish, as what there is no stock of, is the
    /// caller's.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::InvalidParameter
            | Self::ResourceNotFound
            | Self::OperationNotFound
            | Self::RequestIdReused
            | Self::Unauthenticated
            | Self::PolicyDenied
            | Self::QuotaExceeded
            | Self::Capacity
            | Self::PreconditionFailed
            | Self::MarketPrice
            | Self::ConflictingOperation
            | Self::TooManyCalls
            | Self::Cancelled
            | Self::NotImplemented
            | Self::DryRunPassed => Fault::Caller,
            Self::CloudPermissionDenied
            | Self::CloudRateLimited
            | Self::Overloaded
            | Self::GatewayBusy
            | Self::InsufficientBalance
            | Self::GatewayCredential
            | Self::GatewayDefect
            | Self::GatewayUnavailable
            | Self::NeedsOperator => Fault::Operator,
            Self::CloudInternal
            | Self::CloudUnavailable
            | Self::LaunchFailed
            | Self::LaunchTimeout => Fault::Cloud,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_in_text_and_serde() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.as_str()));
        }
        assert_eq!(Reason::parse("NO_SUCH"), None);
    }
}
