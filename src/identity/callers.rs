//! Whose a verified identity is: rules of the configuration, and nothing else.

use super::proven::{Proven, SpiffeId, dns_name, is_trust_domain};
use crate::domain::ids::OrganizationId;
use std::collections::BTreeMap;

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This identity.
    Exact(Proven),
    /// SPIFFE ids that begin with this, which ends with a slash.
    SpiffeBelow(String),
    /// Hosts whose names end with this, which begins with a dot.
    DnsBelow(String),
    /// Subjects of an issuer that begin with this, which ends with a separator.
    SubjectBelow {
        /// The issuer, as the configuration calls it.
        issuer: String,
        /// How the subjects begin.
        prefix: String,
    },
}

/// The rules. An exact one decides before those that name many; of those the longest decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    exact: BTreeMap<Proven, OrganizationId>,
    /// The longest first.
    below: Vec<(Pattern, OrganizationId)>,
}

impl Pattern {
    /// One SPIFFE id.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn spiffe(text: &str) -> Result<Self, String> {
        let id = SpiffeId::parse(text).ok_or_else(|| {
            format!("`{text}` is no SPIFFE id; write it like spiffe://example.org/ns/web/sa/api")
        })?;
        Ok(Self::Exact(Proven::Spiffe(id)))
    }

    /// All SPIFFE ids below a path.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn spiffe_below(text: &str) -> Result<Self, String> {
        let rule = || {
            format!(
                "`{text}` is no beginning of SPIFFE ids; end it with a slash, like spiffe://example.org/ns/web/"
            )
        };
        let begin = text.strip_suffix('/').ok_or_else(rule)?;
        let domain = begin.strip_prefix("spiffe://").ok_or_else(rule)?;
        let sound = is_trust_domain(domain) || SpiffeId::parse(begin).is_some();
        let pattern = sound.then(|| Self::SpiffeBelow(text.to_owned()));
        pattern.ok_or_else(rule)
    }

    /// One host.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn dns(text: &str) -> Result<Self, String> {
        let name = dns_name(text)
            .ok_or_else(|| format!("`{text}` is no name of a host; write it like api.web.svc"))?;
        Ok(Self::Exact(Proven::Dns(name)))
    }

    /// All hosts of a domain.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn dns_below(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix('.').and_then(dns_name);
        let name = name.ok_or_else(|| {
            format!("`{text}` is no end of host names; begin it with a dot, like .web.svc")
        })?;
        Ok(Self::DnsBelow(format!(".{name}")))
    }

    /// One subject of an issuer.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn subject(issuer: &str, text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty; write what the issuer calls the caller".to_owned());
        }
        Ok(Self::Exact(Proven::Subject {
            issuer: issuer.to_owned(),
            subject: text.to_owned(),
        }))
    }

    /// All subjects of an issuer that begin alike.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn subject_below(issuer: &str, text: &str) -> Result<Self, String> {
        if !text.ends_with([':', '/', '|', '@']) {
            return Err(format!(
                "`{text}` would also begin names that only look alike; end it with one of : / | @, \
                 like system:serviceaccount:web:"
            ));
        }
        Ok(Self::SubjectBelow {
            issuer: issuer.to_owned(),
            prefix: text.to_owned(),
        })
    }

    fn matches(&self, proven: &Proven) -> bool {
        match (self, proven) {
            (Self::Exact(exact), proven) => exact == proven,
            (Self::SpiffeBelow(begin), Proven::Spiffe(id)) => id.as_str().starts_with(begin),
            (Self::DnsBelow(end), Proven::Dns(name)) => name.ends_with(end),
            (
                Self::SubjectBelow { issuer, prefix },
                Proven::Subject {
                    issuer: of,
                    subject,
                },
            ) => of == issuer && subject.starts_with(prefix) && subject.len() > prefix.len(),
            (
                Self::SpiffeBelow(_) | Self::DnsBelow(_) | Self::SubjectBelow { .. },
                Proven::Spiffe(_) | Proven::Dns(_) | Proven::Subject { .. },
            ) => false,
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::SpiffeBelow(text)
            | Self::DnsBelow(text)
            | Self::SubjectBelow { prefix: text, .. } => text.len(),
        }
    }
}

impl Callers {
    /// Adds a rule; whether there was none for the very same identities.
    pub fn add(&mut self, pattern: Pattern, organization: OrganizationId) -> bool {
        if let Pattern::Exact(proven) = pattern {
            return self.exact.insert(proven, organization).is_none();
        }
        let new = self.below.iter().all(|(known, _)| *known != pattern);
        self.below.push((pattern, organization));
        self.below
            .sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.length()));
        new
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.below.len()
    }

    /// Whether there are none, so that nobody can call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The organisation that an identity belongs to.
    #[must_use]
    pub fn organization(&self, proven: &Proven) -> Option<&OrganizationId> {
        let below = || {
            let mut rules = self.below.iter();
            rules.find(|(pattern, _)| pattern.matches(proven))
        };
        let exact = self.exact.get(proven);
        exact.or_else(|| below().map(|(_, organization)| organization))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers() -> Callers {
        let mut callers = Callers::default();
        let rules = [
            (Pattern::spiffe("spiffe://x.org/ns/web/sa/root"), "root"),
            (Pattern::spiffe_below("spiffe://x.org/ns/web/"), "web"),
            (Pattern::spiffe_below("spiffe://x.org/"), "any"),
            (Pattern::dns("Api.example"), "api"),
            (Pattern::dns_below(".Example"), "hosts"),
            (
                Pattern::subject("k8s", "system:serviceaccount:web:root"),
                "root",
            ),
            (
                Pattern::subject_below("k8s", "system:serviceaccount:web:"),
                "web",
            ),
            (Pattern::subject_below("ci", "repo:acme/"), "ci"),
        ];
        for (pattern, organization) in rules {
            let organization = OrganizationId::parse(organization).unwrap();
            assert!(callers.add(pattern.unwrap(), organization));
        }
        callers
    }

    fn subject(issuer: &str, subject: &str) -> Proven {
        Proven::Subject {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
        }
    }

    #[test]
    fn the_nearest_rule_decides() {
        let spiffe = |text: &str| Proven::Spiffe(SpiffeId::parse(text).unwrap());
        let dns = |text: &str| Proven::Dns(text.to_owned());
        let rows = [
            (spiffe("spiffe://x.org/ns/web/sa/root"), Some("root")),
            (spiffe("spiffe://x.org/ns/web/sa/api"), Some("web")),
            (spiffe("spiffe://x.org/ns/webby/sa/api"), Some("any")),
            (spiffe("spiffe://x.org/ns/web"), Some("any")),
            (spiffe("spiffe://x.org.evil/ns/web/sa/api"), None),
            (spiffe("spiffe://y.org/ns/web/sa/api"), None),
            (dns("api.example"), Some("api")),
            (dns("other.example"), Some("hosts")),
            (dns("example"), None),
            (dns("evilexample"), None),
            (dns("api.example.evil"), None),
            (
                subject("k8s", "system:serviceaccount:web:root"),
                Some("root"),
            ),
            (subject("k8s", "system:serviceaccount:web:api"), Some("web")),
            (subject("k8s", "system:serviceaccount:web:"), None),
            (subject("k8s", "system:serviceaccount:webby:api"), None),
            (subject("ci", "system:serviceaccount:web:api"), None),
            (subject("ci", "repo:acme/x"), Some("ci")),
            (subject("k8s", "repo:acme/x"), None),
            // A token's subject is never taken for a certificate's name.
            (subject("k8s", "spiffe://x.org/ns/web/sa/root"), None),
            (subject("k8s", "api.example"), None),
        ];
        let callers = callers();
        for (proven, expected) in rows {
            let found = callers.organization(&proven);
            assert_eq!(found.map(OrganizationId::as_str), expected, "{proven}");
        }
    }

    #[test]
    fn patterns_that_match_too_much_are_refused() {
        let rows = [
            Pattern::spiffe("spiffe://x.org/"),
            Pattern::spiffe("x.org/a"),
            Pattern::spiffe_below("spiffe://x.org/ns/web"),
            Pattern::spiffe_below("spiffe://x.org"),
            Pattern::spiffe_below("spiffe:///"),
            Pattern::spiffe_below("spiffe://"),
            Pattern::spiffe_below("/"),
            Pattern::spiffe_below("spiffe://x.org/../"),
            Pattern::dns("*.example"),
            Pattern::dns(""),
            Pattern::dns_below("example"),
            Pattern::dns_below("."),
            Pattern::subject("k8s", ""),
            Pattern::subject_below("k8s", ""),
            Pattern::subject_below("k8s", "system:serviceaccount:web"),
        ];
        for row in rows {
            assert!(row.is_err(), "{row:?}");
        }
    }

    #[test]
    fn the_same_rule_twice_is_noticed() {
        let mut callers = callers();
        let organization = OrganizationId::parse("other").unwrap();
        for pattern in [
            Pattern::dns("api.example"),
            Pattern::spiffe_below("spiffe://x.org/"),
        ] {
            assert!(!callers.add(pattern.unwrap(), organization.clone()));
        }
        assert!(!callers.is_empty());
    }
}
