//! Where something stands in a trace, as W3C Trace Context writes it.

use super::ids::Malformed;

/// A `traceparent`: the trace, the span in it that comes before, and whether it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(String);

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
            Ok(Self(known.to_owned()))
        } else {
            Err(malformed)
        }
    }

    /// The trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
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
            }
        }
    }
}
