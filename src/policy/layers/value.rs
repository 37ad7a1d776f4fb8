//! Values of fields, as layers hold them and as requests have them.

use crate::domain::secret::Secret;
use std::time::Duration;
use time::UtcDateTime;
use time::macros::format_description;

/// What a field can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    /// A list of texts.
    Texts,
    Secret,
    /// A time in a text; a layer says how long after the decision it is.
    Time,
    /// What a text must begin with.
    Prefix,
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    Texts(Vec<String>),
    Secret(Secret),
    /// So long after the decision.
    After(Duration),
}

impl Kind {
    /// For a person.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a whole number",
            Self::Flag => "true or false",
            Self::Texts => "a list of texts",
            Self::Secret => "a secret text",
            Self::Time => "a time after the decision, such as \"72h\"",
            Self::Prefix => "what the text begins with",
        }
    }
}

impl Value {
    /// As JSON; of a secret its shape.
    pub(super) fn json(&self) -> String {
        let json = match self {
            Self::Text(text) => serde_json::json!(text),
            Self::Number(number) => serde_json::json!(number),
            Self::Flag(flag) => serde_json::json!(flag),
            Self::Texts(texts) => serde_json::json!(texts),
            Self::Secret(secret) => {
                let length = secret.expose().len();
                serde_json::json!(format!("[secret of {length} bytes]"))
            }
            Self::After(after) => serde_json::json!(format!("{} s later", after.as_secs())),
        };
        json.to_string()
    }

    /// This value in a request that is decided at `now`.
    pub(super) fn at(&self, now: UtcDateTime) -> Self {
        match self {
            Self::After(after) => Self::Text(time_text(now, *after)),
            Self::Text(_) | Self::Number(_) | Self::Flag(_) | Self::Texts(_) | Self::Secret(_) => {
                self.clone()
            }
        }
    }
}

/// The time `after` `now`, in the cloud's form (`ActionTimer.ActionTime` of the contract).
pub(super) fn time_text(now: UtcDateTime, after: Duration) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    // Both are bounded when they are read, so the sum is far from the calendar's end.
    let at = now.checked_add(after.try_into().unwrap_or(time::Duration::ZERO));
    at.unwrap_or(now).format(form).unwrap_or_default()
}

/// Whether `text` is `pattern`, in which each `*` stands for any text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-1", true),
            ("web-*", "web-", true),
            ("web-*", "my-web-1", false),
            ("*-web", "my-web", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("ü*", "über", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn secrets_show_their_shape_only() {
        let secret = Value::Secret(Secret::new("hunter22".to_owned()));
        assert_eq!(secret.json(), "\"[secret of 8 bytes]\"");
        assert!(!format!("{secret:?}").contains("hunter22"));
    }

    #[test]
    fn times_are_counted_from_the_decision() {
        let now = utc_datetime!(2026-11-28 22:30:01.5);
        let after = Value::After(Duration::from_secs(2 * 60 * 60));
        let expected = Value::Text("2026-11-29T00:30:01Z".to_owned());
        assert_eq!(after.at(now), expected);
    }
}
