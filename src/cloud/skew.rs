//! How far this machine's clock is from the cloud's: measured by each answer, and corrected when it
//! matters, so that signatures are as of the cloud's time.

use super::CloudError;
use crate::clock::{Clock, Correction};
use crate::metrics;
use reqwest::header::{self, HeaderMap};
use std::sync::{Mutex, PoisonError};
use time::format_description::well_known::Rfc2822;
use time::{Duration, UtcDateTime};

/// A clock that is no further off is left alone: the cloud takes signatures for five minutes, and the
/// quarantine of a launch leaves one for clocks.
const TOLERANCE: Duration = Duration::seconds(5);
/// Two answers say the same when they differ no more than this and their doubts.
const AGREEMENT: Duration = Duration::seconds(2);
/// One that says less precisely than this when it was given says nothing.
const DOUBT_MAX: Duration = Duration::seconds(5);
/// How far off a signature may be that the cloud takes.
const SIGNATURE_LIFE: Duration = Duration::seconds(300);
/// What the cloud says when it is further off.
pub(super) const SIGNATURE_EXPIRED: &str = "AuthFailure.SignatureExpire";
const REFUSED_KEY: &str = "AuthFailure";

/// Measures the clock of this machine, and corrects what [`Skew::clock`] gives.
#[derive(Debug)]
pub(super) struct Skew {
    wall: Clock,
    correction: Correction,
    /// Further off than this the answer is not believed.
    max: Duration,
    /// What an answer said that no second one has said yet.
    unconfirmed: Mutex<Option<Sample>>,
    metrics: metrics::Credentials,
}

/// What one answer says about the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// How far the cloud is ahead of this machine.
    offset: Duration,
    /// How far that may be wrong, to both sides.
    doubt: Duration,
}

/// What the cloud made of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    Taken,
    Expired,
    Unknown,
}

impl Skew {
    pub(super) fn new(
        wall: Clock,
        max: std::time::Duration,
        metrics: metrics::Credentials,
    ) -> Self {
        metrics.corrected(0.0);
        Self {
            wall: wall.uncorrected(),
            correction: Correction::default(),
            max: Duration::try_from(max).unwrap_or(Duration::MAX),
            unconfirmed: Mutex::new(None),
            metrics,
        }
    }

    /// The cloud's time, as far as it is known.
    pub(super) fn clock(&self) -> Clock {
        self.wall.corrected(&self.correction)
    }

    /// This machine's time, which answers are measured by.
    pub(super) fn wall(&self) -> &Clock {
        &self.wall
    }

    /// Takes in what an answer says, and what it made of the signature.
    pub(super) fn heard(&self, sample: Option<Sample>, signature: Signature) {
        let Some(sample) = sample.filter(|sample| sample.doubt <= DOUBT_MAX) else {
            return;
        };
        self.metrics.measured(sample.offset.as_seconds_f64());
        let off = sample.offset - self.correction.get();
        // First: a date is cut to a second, so that even the best clock is off by more than no time.
        if off.abs() <= TOLERANCE + sample.doubt {
            self.forget();
            return;
        }
        // One who took a signature of another time than its own tells no time.
        let lies = signature == Signature::Taken && off.abs() > SIGNATURE_LIFE + sample.doubt;
        if lies || sample.offset.abs() > self.max {
            self.metrics.disbelieved();
            self.forget();
            return;
        }
        let mut unconfirmed = self
            .unconfirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let confirmed = unconfirmed.is_some_and(|before| before.agrees(sample));
        *unconfirmed = Some(sample);
        if confirmed || signature == Signature::Expired {
            *unconfirmed = None;
            self.correct(sample.offset);
        }
    }

    fn forget(&self) {
        *self
            .unconfirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn correct(&self, offset: Duration) {
        let by = if offset.abs() <= TOLERANCE {
            Duration::ZERO
        } else {
            offset
        };
        self.correction.set(by);
        let seconds = by.as_seconds_f64();
        self.metrics.corrected(seconds);
        tracing::warn!(
            seconds,
            "the clock of this machine is off; the cloud is called by its own time from now on"
        );
    }
}

impl Sample {
    /// What the head of an answer says that was asked for at `sent` and took so long. Its date is cut
    /// to the second and of some time between the two: the middle is taken.
    pub(super) fn of(
        head: &HeaderMap,
        sent: UtcDateTime,
        took: std::time::Duration,
    ) -> Option<Self> {
        if head.contains_key(header::AGE) {
            return None; // what a cache gives is of another time
        }
        let date = head.get(header::DATE)?.to_str().ok()?;
        let date = UtcDateTime::parse(date, &Rfc2822).ok()?;
        let half_a_second = Duration::milliseconds(500);
        let half = Duration::try_from(took / 2).ok()?;
        Some(Self {
            offset: date.checked_add(half_a_second)? - sent.checked_add(half)?,
            doubt: half + half_a_second,
        })
    }

    fn agrees(self, other: Self) -> bool {
        let apart = (self.offset - other.offset).abs();
        apart <= AGREEMENT + self.doubt + other.doubt
    }
}

impl Signature {
    pub(super) fn of<T>(answer: &Result<T, CloudError>) -> Self {
        match answer {
            Ok(_) => Self::Taken,
            Err(error) => Self::refused(&error.code, error.request_id.as_deref()),
        }
    }

    /// What a refusal says of it; only the cloud has ids for what it was asked.
    pub(super) fn refused(code: &str, request_id: Option<&str>) -> Self {
        if code == SIGNATURE_EXPIRED {
            return Self::Expired;
        }
        match request_id {
            Some(_) if !code.starts_with(REFUSED_KEY) => Self::Taken,
            Some(_) | None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Fault;
    use crate::metrics::Metrics;
    use time::macros::utc_datetime;

    const NOW: UtcDateTime = utc_datetime!(2026-01-01 00:00);

    fn skew() -> (Metrics, Skew) {
        let metrics = Metrics::new("test").unwrap();
        let hour = std::time::Duration::from_secs(3600);
        let skew = Skew::new(Clock::manual(NOW), hour, metrics.credentials.clone());
        (metrics, skew)
    }

    /// A head with the date so many seconds from now.
    fn head(seconds: i64) -> HeaderMap {
        let at = NOW + Duration::seconds(seconds);
        let date = at.to_offset(time::UtcOffset::UTC).format(&Rfc2822).unwrap();
        let date = date.replace("+0000", "GMT");
        let mut head = HeaderMap::new();
        head.insert(header::DATE, date.parse().unwrap());
        head
    }

    fn refused(code: &str) -> Result<(), CloudError> {
        Err(CloudError {
            code: code.to_owned(),
            request_id: Some("r".to_owned()),
            ..Fault::MalformedAnswer.error("")
        })
    }

    /// Hears an answer that took no time; the correction in seconds after it.
    fn hears(skew: &Skew, seconds: i64, answer: &Result<(), CloudError>) -> i64 {
        let sample = Sample::of(&head(seconds), NOW, std::time::Duration::ZERO);
        assert!(sample.is_some());
        skew.heard(sample, Signature::of(answer));
        (skew.clock().now() - NOW).whole_seconds()
    }

    #[test]
    fn the_middle_of_sent_and_received_is_compared() {
        let date = "Thu, 01 Jan 2026 00:01:00 GMT";
        let mut head = HeaderMap::new();
        head.insert(header::DATE, date.parse().unwrap());
        let took = std::time::Duration::from_secs(4);
        let sample = Sample::of(&head, NOW, took).unwrap();
        assert_eq!(sample.offset, Duration::milliseconds(58_500));
        assert_eq!(sample.doubt, Duration::milliseconds(2_500));
        head.insert(header::AGE, "1".parse().unwrap());
        assert_eq!(Sample::of(&head, NOW, took), None);
        for text in ["", "now", "Thu, 99 Jan 2026 00:01:00 GMT", "1767225600"] {
            let mut head = HeaderMap::new();
            head.insert(header::DATE, text.parse().unwrap());
            assert_eq!(Sample::of(&head, NOW, took), None, "{text}");
        }
        assert_eq!(Sample::of(&HeaderMap::new(), NOW, took), None);
    }

    #[test]
    fn two_answers_that_agree_correct_the_clock_and_two_more_undo_it() {
        let (metrics, skew) = skew();
        let rows = [
            (4, 0),
            (100, 0),
            (3, 0), // another one says otherwise
            (100, 0),
            (-100, 0),
            (-101, -100),
            (-99, -100), // close enough
            (1, -100),
            (0, 0),
        ];
        for (says, corrected) in rows {
            assert_eq!(hears(&skew, says, &Ok(())), corrected, "{says}");
        }
        let text = metrics.render().unwrap();
        assert!(
            text.contains("cvm_gateway_cloud_clock_skew_seconds 0.5\n"),
            "{text}"
        );
        assert!(
            text.contains("cvm_gateway_cloud_clock_correction_seconds 0\n"),
            "{text}"
        );
    }

    #[test]
    fn a_signature_that_expired_needs_no_second_witness() {
        let (_, skew) = skew();
        assert_eq!(
            hears(&skew, 900, &refused("AuthFailure.SignatureFailure")),
            0
        );
        let (_, skew) = self::skew();
        assert_eq!(hears(&skew, 900, &refused(SIGNATURE_EXPIRED)), 900);
        // Signed by the cloud's time, it is taken.
        assert_eq!(hears(&skew, 900, &Ok(())), 900);
    }

    #[test]
    fn absurd_and_contradictory_times_are_not_believed() {
        let (metrics, skew) = skew();
        for _ in 0..3 {
            assert_eq!(hears(&skew, 3700, &refused(SIGNATURE_EXPIRED)), 0);
            assert_eq!(
                hears(&skew, -900, &Ok(())),
                0,
                "it took a signature of our time"
            );
            assert_eq!(hears(&skew, -900, &refused("InvalidParameter")), 0);
        }
        let text = metrics.render().unwrap();
        assert!(
            text.contains("cvm_gateway_cloud_clock_disbelieved_total 9\n"),
            "{text}"
        );
    }

    #[test]
    fn slow_answers_say_nothing() {
        let (_, skew) = skew();
        let slow = std::time::Duration::from_secs(20);
        for _ in 0..3 {
            skew.heard(Sample::of(&head(900), NOW, slow), Signature::Expired);
        }
        assert_eq!(skew.clock().now(), NOW);
    }

    #[test]
    fn never_means_never() {
        let metrics = Metrics::new("test").unwrap();
        let never = std::time::Duration::ZERO;
        let skew = Skew::new(Clock::manual(NOW), never, metrics.credentials.clone());
        let disbelieved = |count: u32| {
            let line = format!("cvm_gateway_cloud_clock_disbelieved_total {count}\n");
            let text = metrics.render().unwrap();
            assert!(text.contains(&line), "{count}: {text}");
        };
        for near in [0, -5, 4] {
            assert_eq!(hears(&skew, near, &Ok(())), 0);
        }
        disbelieved(0);
        for _ in 0..3 {
            assert_eq!(hears(&skew, 900, &refused(SIGNATURE_EXPIRED)), 0);
        }
        disbelieved(3);
    }
}
