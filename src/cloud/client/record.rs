//! How calls ended, for who counts them.

use super::{Call, HttpCloud};
use crate::chaos;
use crate::cloud::limiter::Action;
use crate::cloud::wire::Answer;
use crate::cloud::{CloudError, Fault, Target, codes};
use crate::domain::names::AccountName;
use crate::domain::reason::Reason;
use crate::domain::trace::TraceParent;
use crate::trace;
use std::sync::Arc;
use std::time::Duration;
use tracing::Span;
use tracing::field::Empty;

/// One finished call, for the metrics.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// The cloud's action, e.g. `RunInstances`.
    pub action: &'static str,
    /// In whose name.
    pub account: AccountName,
    /// How it ended.
    pub class: CallClass,
    /// The cloud's code, if it ended with one that the table of codes does not list.
    pub unlisted_code: Option<String>,
    /// How long it took, from signing to the last byte.
    pub elapsed: Duration,
    /// Where it stands in a trace, if that is recorded.
    pub trace: Option<TraceParent>,
}

impl HttpCloud {
    /// Logs how a call ended, and tells who counts.
    pub(super) fn report<T>(
        &self,
        call: &Call<'_>,
        elapsed: Duration,
        result: &Result<Answer<T>, CloudError>,
        span: &Span,
    ) {
        let (class, code, request_id) = match result {
            Ok(answer) => (
                CallClass::Ok,
                chaos::wrong!(
                    "secret-logged",
                    "",
                    str::from_utf8(call.body).unwrap_or_default()
                ),
                answer.request_id.as_str(),
            ),
            Err(error) => (
                CallClass::of(error),
                error.code.as_str(),
                error.request_id.as_deref().unwrap_or_default(),
            ),
        };
        span.record("class", class.as_str());
        span.record("cloud_request_id", request_id);
        if class != CallClass::Ok {
            span.record("code", code);
            span.record("otel.status_code", "ERROR");
        }
        // Without the message: the cloud's texts may quote values of the request. A macro, because a
        // line's level is part of its call site.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    action = call.action.as_str(),
                    account = %call.target.account,
                    region = %call.target.region,
                    class = class.as_str(),
                    code,
                    cloud_request_id = request_id,
                    latency_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                    "cloud call {} ended {}", call.action.as_str(), class.as_str()
                )
            };
        }
        match (class, call.action) {
            (CallClass::Ok, Action::RunInstances | Action::TerminateInstances) => line!(info),
            // Polls that worked are many, and tell nothing that the operation's own lines do not.
            (CallClass::Ok, _) => line!(debug),
            (_, _) => line!(warn),
        }
        (self.observer)(CallRecord {
            action: call.action.as_str(),
            account: call.target.account.clone(),
            class,
            unlisted_code: result.as_ref().err().and_then(unlisted_code),
            elapsed,
            trace: trace::of(span),
        });
    }
}

impl Call<'_> {
    /// The call in a trace that is recorded.
    pub(super) fn span(&self) -> Span {
        if trace::here().is_none() {
            return Span::none();
        }
        let Target { account, region } = self.target;
        tracing::trace_span!(
            target: trace::TARGET, "cloud call",
            otel.name = self.action.as_str(), otel.kind = "client", %account, %region,
            class = Empty, code = Empty, cloud_request_id = Empty, otel.status_code = Empty
        )
    }
}

/// The code of the cloud that `error` has, unless the table of codes lists it.
fn unlisted_code(error: &CloudError) -> Option<String> {
    let code = error.code.as_str();
    let ours = Fault::ALL.into_iter().any(|fault| fault.as_str() == code);
    (!ours && !codes::is_listed(code)).then(|| code.to_owned())
}

/// How a call ended, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallClass {
    /// Answered.
    Ok,
    /// Refused for what was asked, or for the account's state.
    Refused,
    /// Refused for its rate.
    Throttled,
    /// Refused for the gateway's credential, or there is none.
    Auth,
    /// Not sent, or cut.
    Transport,
    /// No whole answer in time.
    Timeout,
    /// An answer that is none.
    Malformed,
    /// The cloud failed.
    Internal,
}

impl CallClass {
    /// The class as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Auth => "auth",
            Self::Transport => "transport",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::Internal => "internal",
        }
    }

    fn of(error: &CloudError) -> Self {
        let fault = Fault::ALL
            .into_iter()
            .find(|fault| fault.as_str() == error.code);
        match fault {
            Some(Fault::NoCredential | Fault::CredentialUnavailable) => Self::Auth,
            Some(Fault::InvalidCall | Fault::ConnectFailed | Fault::ConnectionLost) => {
                Self::Transport
            }
            Some(Fault::Timeout) => Self::Timeout,
            Some(Fault::HttpStatus) => Self::Internal,
            Some(Fault::AnswerTooLarge | Fault::MalformedAnswer) => Self::Malformed,
            None => match error.reason {
                Reason::CloudRateLimited => Self::Throttled,
                Reason::GatewayCredential => Self::Auth,
                Reason::CloudInternal | Reason::CloudUnavailable => Self::Internal,
                Reason::DryRunPassed => Self::Ok,
                Reason::InvalidParameter
                | Reason::ResourceNotFound
                | Reason::QuotaExceeded
                | Reason::Capacity
                | Reason::InsufficientBalance
                | Reason::PreconditionFailed
                | Reason::MarketPrice
                | Reason::CloudPermissionDenied
                | Reason::ConflictingOperation
                | Reason::GatewayDefect
                | Reason::OperationNotFound
                | Reason::RequestIdReused
                | Reason::Unauthenticated
                | Reason::PolicyDenied
                | Reason::Overloaded
                | Reason::TooManyCalls
                | Reason::GatewayBusy
                | Reason::GatewayUnavailable
                | Reason::LaunchFailed
                | Reason::LaunchTimeout
                | Reason::Cancelled
                | Reason::NeedsOperator
                | Reason::NotImplemented => Self::Refused,
            },
        }
    }
}

/// Is told of every call as it ends.
pub type Observer = Arc<dyn Fn(CallRecord) + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_nobody_listed_are_unlisted() {
        let unlisted = |code: &str| {
            let error = CloudError {
                code: code.to_owned(),
                ..Fault::MalformedAnswer.error("x")
            };
            unlisted_code(&error)
        };
        let new = "InvalidParameterValue.OfTomorrow";
        assert_eq!(unlisted(new).as_deref(), Some(new));
        assert_eq!(unlisted("Brand.New").as_deref(), Some("Brand.New"));
        assert_eq!(unlisted("InvalidImageId.NotFound"), None);
        assert_eq!(unlisted("InternalError"), None);
        for fault in Fault::ALL {
            assert_eq!(unlisted(fault.as_str()), None, "{fault:?}");
        }
    }
}
