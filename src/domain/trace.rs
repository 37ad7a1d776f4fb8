//! Where something stands in a trace, as W3C Trace Context writes it.

use super::ids::Malformed;
use serde::{Deserialize, Serialize};

/// A `traceparent`: the trace, the span in it that comes before, and whether it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent(Box<str>);

/// `00-`, the trace, `-`, the span, `-`, the flags. Later versions may append to it.
const LENGTH: usize = 55;

impl TraceParent {
    /// Parses the text of a `traceparent` header.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            what: "traceparent",
            rule: "as W3C Trace Context has it: 00-TRACE-SPAN-FLAGS",
        };
        let (known, more) = text.split_at_checked(LENGTH).ok_or(malformed.clone())?;
        let mut parts = known.split('-');
        let mut next = |length| parts.next().filter(|part| is_hex(part, length));
        let parsed = (next(2), next(32), next(16), next(2));
        let (Some(version), Some(trace), Some(span), Some(_flags)) = parsed else {
            return Err(malformed);
        };
        let whole = more.is_empty() || version != "00" && more.starts_with('-');
        let real = version != "ff" && !is_zero(trace) && !is_zero(span);
        if parts.next().is_none() && whole && real {
            Ok(Self(known.into()))
        } else {
            Err(malformed)
        }
    }

    /// One that is recorded.
    #[must_use]
    pub fn sampled(trace: &[u8; 16], span: &[u8; 8]) -> Self {
        let text = format!("00-{}-{}-01", hex::encode(trace), hex::encode(span));
        Self(text.into())
    }

    /// The trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }

    /// The span: 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        self.0.get(36..52).unwrap_or_default()
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let flags = self.0.get(53..55).unwrap_or_default();
        u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
    }
}

impl TryFrom<String> for TraceParent {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        Self::parse(&text)
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.0.into()
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == length && text.bytes().all(digit)
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|digit| digit == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_what_w3c_says() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let rows = [
            (format!("00-{trace}-00f067aa0ba902b7-01"), true),
            (format!("00-{trace}-00f067aa0ba902b7-00"), true),
            (format!("cc-{trace}-00f067aa0ba902b7-01-later"), true),
            (format!("cc-{trace}-00f067aa0ba902b7-01later"), false),
            (format!("00-{trace}-00f067aa0ba902b7-01-later"), false),
            (format!("ff-{trace}-00f067aa0ba902b7-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (
                format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
                false,
            ),
            (format!("00-{trace}-00f067aa0ba902b7"), false),
            (format!("00-{trace}é00f067aa0ba902b7-0"), false),
            (String::new(), false),
        ];
        for (text, sound) in rows {
            let parsed = TraceParent::parse(&text);
            assert_eq!(parsed.is_ok(), sound, "{text}");
            if let Ok(parsed) = parsed {
                assert_eq!(parsed.trace_id(), trace);
                assert_eq!(parsed.span_id(), "00f067aa0ba902b7");
                assert_eq!(parsed.is_sampled(), !text.ends_with("-00"));
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = TraceParent::sampled(&[0xab; 16], &[0x0c; 8]);
        assert_eq!(TraceParent::parse(&written.0).as_ref(), Ok(&written));
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<TraceParent>(&json).unwrap(), written);
        assert!(serde_json::from_str::<TraceParent>("\"00\"").is_err());
    }
}
