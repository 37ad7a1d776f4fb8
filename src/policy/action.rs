//! What a caller may do: one action for each RPC, of the same name.

/// An RPC, as rules name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    RunInstances,
    PlanRunInstances,
    WatchOperation,
    GetOperation,
    ListOperations,
    CancelOperation,
    TerminateInstances,
    ListInstances,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RunInstances,
        Self::PlanRunInstances,
        Self::WatchOperation,
        Self::GetOperation,
        Self::ListOperations,
        Self::CancelOperation,
        Self::TerminateInstances,
        Self::ListInstances,
    ];

    /// Its name, that of the RPC.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunInstances => "RunInstances",
            Self::PlanRunInstances => "PlanRunInstances",
            Self::WatchOperation => "WatchOperation",
            Self::GetOperation => "GetOperation",
            Self::ListOperations => "ListOperations",
            Self::CancelOperation => "CancelOperation",
            Self::TerminateInstances => "TerminateInstances",
            Self::ListInstances => "ListInstances",
        }
    }
}
