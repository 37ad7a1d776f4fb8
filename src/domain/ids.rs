//! Who calls, what they call their wish, and what we call it.

use crate::domain::millis;
use serde::{Deserialize, Serialize};
use std::fmt;
use time::UtcDateTime;
use uuid::Uuid;

/// A text that breaks the rule of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct Malformed {
    /// What the text should have been, for example `request_id`.
    pub what: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// Who calls, as the gateway verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The verified identity, for example a SPIFFE id.
    pub name: String,
    /// The organisation that the configuration gives it.
    pub organization: OrganizationId,
}

/// Names an operation. Ordered by the time it was made, so that journal keys only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(Uuid);

const RESOURCE_PREFIX: &str = "operations/";

impl OperationId {
    /// A new id of the moment `now`, with 74 of these random bits.
    #[must_use]
    pub fn new(now: UtcDateTime, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(millis::from_time(now)).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }

    /// A new id of the moment `now`, with the system's randomness.
    #[must_use]
    pub fn generate(now: UtcDateTime) -> Self {
        // Without the bytes that hold the version and the variant.
        let [a, b, c, d, e, f, _, _, _, g, h, i, j, ..] = Uuid::new_v4().into_bytes();
        Self::new(now, &[a, b, c, d, e, f, g, h, i, j])
    }

    /// Parses the bare UUID.
    ///
    /// # Errors
    /// When it is not a UUID.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_not_a_uuid| Malformed {
                what: "operation id",
                rule: "a UUID",
            })
    }

    /// Parses the resource name, `operations/{uuid}`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse_name(name: &str) -> Result<Self, Malformed> {
        name.strip_prefix(RESOURCE_PREFIX)
            .and_then(|id| Self::parse(id).ok())
            .ok_or(Malformed {
                what: "name",
                rule: "operations/ and a UUID, as RunInstances returned it",
            })
    }

    /// The resource name, `operations/{uuid}`.
    #[must_use]
    pub fn resource_name(&self) -> String {
        format!("{RESOURCE_PREFIX}{}", self.0)
    }

    /// One of its random bytes, for spreading what many operations do at the same time.
    #[must_use]
    pub fn random_byte(&self, index: u32) -> u8 {
        let [.., a, b, c, d] = *self.0.as_bytes();
        match index % 4 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        }
    }

    /// The ClientToken of a launch: a function of the operation and the alternative, never of
    /// the attempt. 34 + digits ≤ 64 ASCII characters, as the contract asks.
    #[must_use]
    pub fn client_token(&self, alternative: u32) -> String {
        format!("{}-{alternative}", self.0.simple())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text newtype with its parser, its text and its serde conversions.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// When it breaks the rule of its kind.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                Self::try_from(text.to_owned())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;

            fn try_from(text: String) -> Result<Self, Malformed> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(Malformed {
                        what: $what,
                        rule: $rule,
                    })
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(in crate::domain) use text_id;

text_id!(
    /// An organisation: the tenant that operations, accounts and limits belong to.
    OrganizationId,
    "organization",
    "1 to 63 characters of a-z 0-9 -, beginning with a letter",
    |text| {
        text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
);

text_id!(
    /// The caller's own name for one wish, unique within its organisation.
    RequestId,
    "request_id",
    "1 to 64 characters of A-Z a-z 0-9 . _ : -",
    |text| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn request_ids() {
        let long = "x".repeat(65);
        let rows: [(&str, bool); 8] = [
            ("a", true),
            ("7f0d0c86-2b5e-4a7e-9f5a-0b7f1f1f2c3d", true),
            ("A.b_c:d-1", true),
            ("", false),
            ("with space", false),
            ("line\nfeed", false),
            ("ümlaut", false),
            (&long, false),
        ];
        for (text, valid) in rows {
            assert_eq!(RequestId::parse(text).is_ok(), valid, "{text:?}");
        }
    }

    #[test]
    fn organizations() {
        for (text, valid) in [
            ("acme", true),
            ("a-1", true),
            ("1a", false),
            ("", false),
            ("Acme", false),
        ] {
            assert_eq!(OrganizationId::parse(text).is_ok(), valid, "{text:?}");
        }
    }

    #[test]
    fn operation_ids_sort_by_time_and_round_trip() {
        let earlier = OperationId::generate(utc_datetime!(2026-01-01 00:00:00));
        let later = OperationId::generate(utc_datetime!(2026-01-01 00:00:01));
        assert!(earlier < later);
        assert_eq!(OperationId::parse_name(&later.resource_name()), Ok(later));
        assert!(OperationId::parse_name(&later.to_string()).is_err());
        assert!(later.client_token(9).len() <= 64);
        assert_ne!(later.client_token(0), later.client_token(1));
    }
}
