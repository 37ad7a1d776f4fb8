//! Times as the journal keeps them: milliseconds since the UNIX epoch.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::time::Duration;
use time::UtcDateTime;

/// Milliseconds since the UNIX epoch.
#[must_use]
pub fn from_time(at: UtcDateTime) -> i64 {
    let millis = at.unix_timestamp_nanos() / 1_000_000;
    i64::try_from(millis).unwrap_or(if millis < 0 { i64::MIN } else { i64::MAX })
}

/// The time of that many milliseconds since the UNIX epoch; nothing when no calendar has it.
#[must_use]
pub fn to_time(millis: i64) -> Option<UtcDateTime> {
    UtcDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()
}

/// How long after `earlier` is `later`; zero when it is not.
#[must_use]
pub fn since(later: UtcDateTime, earlier: UtcDateTime) -> Duration {
    Duration::try_from(later - earlier).unwrap_or_default()
}

/// So many milliseconds.
#[must_use]
pub fn of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// For `#[serde(with = …)]`.
///
/// # Errors
/// When the serializer fails.
pub fn serialize<S: Serializer>(at: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(from_time(*at))
}

/// For `#[serde(with = …)]`.
///
/// # Errors
/// When it is not a number of milliseconds within the calendar.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UtcDateTime, D::Error> {
    let millis = i64::deserialize(deserializer)?;
    to_time(millis).ok_or_else(|| D::Error::custom(format!("no such time: {millis} ms")))
}

/// The same for a time that may be unset.
pub mod option {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use time::UtcDateTime;

    /// For `#[serde(with = …)]`.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(
        at: &Option<UtcDateTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_some(&super::from_time(*at)),
            None => serializer.serialize_none(),
        }
    }

    /// For `#[serde(with = …)]`.
    ///
    /// # Errors
    /// When it is not a number of milliseconds within the calendar.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<UtcDateTime>, D::Error> {
        let Some(millis) = Option::<i64>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let at = super::to_time(millis);
        at.map(Some)
            .ok_or_else(|| D::Error::custom(format!("no such time: {millis} ms")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn round_trips_to_the_millisecond() {
        let at = utc_datetime!(2026-02-28 23:59:59.123);
        assert_eq!(to_time(from_time(at)), Some(at));
        assert_eq!(from_time(utc_datetime!(1970-01-01 00:00:01)), 1000);
        assert_eq!(to_time(i64::MAX), None);
        assert_eq!(since(at, at + Duration::from_secs(1)), Duration::ZERO);
    }
}
