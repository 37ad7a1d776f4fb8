//! How long a caller waits for its answer, as it says with each call.

use http::HeaderMap;
use std::time::Duration;

/// Where gRPC says it.
const HEADER: &str = "grpc-timeout";
/// gRPC allows no more digits.
const DIGITS_MAX: usize = 8;

/// Until when a call may be answered, by the time that has passed on the gateway's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Duration,
    of_caller: bool,
}

impl Deadline {
    /// The earlier, from `now` on, of what the caller `asked` for, if it did, and of the gateway's `own` limit.
    pub(super) fn after(asked: Option<Duration>, own: Duration, now: Duration) -> Self {
        let earlier = asked.filter(|asked| *asked < own);
        Self {
            at: now.saturating_add(earlier.unwrap_or(own)),
            of_caller: earlier.is_some(),
        }
    }

    /// How long it is until then.
    pub(super) fn left(self, now: Duration) -> Duration {
        self.at.saturating_sub(now)
    }

    /// Whether its caller waits no longer than that; else it is the gateway that does.
    pub(super) fn is_of_caller(self) -> bool {
        self.of_caller
    }
}

/// How long the caller of a call with these headers waits; none: it does not say, or not so that it can
/// be understood.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || digits.len() > DIGITS_MAX {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(count.saturating_mul(60))),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_deadline_is_the_caller_s_where_it_asked_for_less() {
        let [now, own] = [7, 10].map(Duration::from_secs);
        let rows = [(None, 10, false), (Some(3), 3, true), (Some(11), 10, false)];
        for (asked, left, of_caller) in rows {
            let deadline = Deadline::after(asked.map(Duration::from_secs), own, now);
            assert_eq!(deadline.left(now), Duration::from_secs(left));
            assert_eq!(deadline.is_of_caller(), of_caller, "{asked:?}");
        }
    }

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        let rows = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("0S", Some(Duration::ZERO)),
            ("999999999S", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("-1S", None),
            ("+1S", None),
            ("1s", None),
            ("1 S", None),
            ("1é", None),
        ];
        for (text, expected) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(asked(&headers), expected, "{text:?}");
        }
        assert_eq!(asked(&HeaderMap::new()), None);
    }
}
