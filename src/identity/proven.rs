//! What a certificate or a token proves of who calls.

use std::fmt;

/// The longest SPIFFE id (SPIFFE-ID §2.3), and the longest trust domain.
const SPIFFE_BYTES_MAX: usize = 2048;
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
/// The longest DNS name.
const DNS_BYTES_MAX: usize = 253;
const SCHEME: &str = "spiffe://";

/// The id of a workload, `spiffe://TRUST-DOMAIN/PATH`, by the SPIFFE-ID standard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId(String);

/// A verified identity, before anybody says whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proven {
    /// A workload of a trust domain, by its certificate or its JWT-SVID.
    Spiffe(SpiffeId),
    /// A host, by its certificate; in lower case.
    Dns(String),
    /// Whom an issuer of tokens names.
    Subject {
        /// The issuer, as the configuration calls it.
        issuer: String,
        /// As the issuer calls it.
        subject: String,
    },
}

impl SpiffeId {
    /// The id of a workload: it has a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (domain, path) = text.strip_prefix(SCHEME)?.split_once('/')?;
        let sound = text.len() <= SPIFFE_BYTES_MAX
            && is_trust_domain(domain)
            && path.split('/').all(is_segment);
        sound.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who vouches for it.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        let rest = self.0.strip_prefix(SCHEME).unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }
}

/// Whether the text is the name of a trust domain.
#[must_use]
pub fn is_trust_domain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    (1..=TRUST_DOMAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

fn is_segment(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !matches!(text, "" | "." | "..") && text.bytes().all(plain)
}

/// The DNS name in lower case; none when it is no name of one host.
#[must_use]
pub fn dns_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let sound = text.len() <= DNS_BYTES_MAX && text.split('.').all(label);
    sound.then(|| text.to_ascii_lowercase())
}

/// The name that operations, logs and the audit show. An issuer is never called `dns` or `spiffe`.
impl fmt::Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(id) => f.write_str(&id.0),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Subject { issuer, subject } => write!(f, "{issuer}:{subject}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spiffe_ids_are_those_of_the_standard() {
        let long = format!("spiffe://a/{}", "p".repeat(2038));
        let fits = &long[..2048];
        let wide = format!("spiffe://{}/a", "d".repeat(256));
        let rows = [
            ("spiffe://example.org/ns/web/sa/api", true),
            ("spiffe://a_b-1.c/x", true),
            ("spiffe://example.org/A.b_c-d", true),
            ("spiffe://example.org/...", true),
            (fits, true),
            (&long, false),
            (&wide, false),
            ("spiffe://example.org", false),
            ("spiffe://example.org/", false),
            ("spiffe://example.org/a/", false),
            ("spiffe://example.org//a", false),
            ("spiffe://example.org/./a", false),
            ("spiffe://example.org/../a", false),
            ("spiffe://example.org/a?b", false),
            ("spiffe://example.org/a#b", false),
            ("spiffe://example.org/a%2fb", false),
            ("spiffe://example.org:80/a", false),
            ("spiffe://user@example.org/a", false),
            ("spiffe://Example.org/a", false),
            ("SPIFFE://example.org/a", false),
            ("spiffe:///a", false),
            ("https://example.org/a", false),
            ("", false),
            ("spiffe://example.org/ü", false),
            ("spiffe://example.org/a b", false),
            ("spiffe://example.org/a\n", false),
        ];
        for (text, sound) in rows {
            assert_eq!(SpiffeId::parse(text).is_some(), sound, "{text}");
        }
        let id = SpiffeId::parse("spiffe://example.org/a/b").unwrap();
        assert_eq!(id.trust_domain(), "example.org");
    }

    #[test]
    fn dns_names_are_of_one_host() {
        let rows = [
            ("Api.Web.svc", Some("api.web.svc")),
            ("a", Some("a")),
            ("_x.example", Some("_x.example")),
            ("*.example", None),
            ("a..b", None),
            ("a.", None),
            ("-a", None),
            ("a-", None),
            ("", None),
            ("a b", None),
            ("a/b", None),
            ("ü.example", None),
        ];
        for (text, expected) in rows {
            assert_eq!(dns_name(text).as_deref(), expected, "{text}");
        }
        assert_eq!(dns_name(&"a".repeat(64)), None);
        assert_eq!(dns_name(&["a"; 128].join(".")), None);
    }

    #[test]
    fn names_tell_how_they_were_proven() {
        let subject = Proven::Subject {
            issuer: "cluster".to_owned(),
            subject: "system:serviceaccount:web:api".to_owned(),
        };
        let id = SpiffeId::parse("spiffe://a/b").unwrap();
        for (proven, shown) in [
            (subject, "cluster:system:serviceaccount:web:api"),
            (Proven::Dns("a.b".to_owned()), "dns:a.b"),
            (Proven::Spiffe(id), "spiffe://a/b"),
        ] {
            assert_eq!(proven.to_string(), shown);
        }
    }
}
