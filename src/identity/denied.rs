//! The deny list: what is not let in although it would prove who calls.

use super::certificate::Leaf;
use super::proven::{Proven, SpiffeId, dns_name};
use std::collections::{BTreeMap, BTreeSet};

/// A line of it is some dozen bytes, so this is a hundred thousand of them.
pub const BYTES_MAX: u64 = 8 << 20;

/// Certificates and names that are not let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    serials: BTreeSet<Vec<u8>>,
    fingerprints: BTreeSet<Vec<u8>>,
    names: BTreeSet<Proven>,
}

/// The issuers that are configured, by name, each with the trust domain whose SPIFFE ids its tokens may carry.
pub type Issuers<'a> = BTreeMap<&'a str, Option<&'a str>>;

impl Denied {
    /// Reads the list: one `serial HEX`, `sha256 HEX`, `spiffe ID`, `dns NAME` or
    /// `subject ISSUER SUBJECT` a line; `#` after white space, or first, begins a comment.
    ///
    /// # Errors
    /// The line that is wrong, and how: also one that could deny nobody, as far as `issuers` tell.
    pub fn parse(text: &str, issuers: &Issuers<'_>) -> Result<Self, String> {
        let mut denied = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = without_comment(line).trim();
            if !line.is_empty() {
                let added = denied.add(line, issuers);
                added.map_err(|rule| format!("line {}: {rule}", number + 1))?;
            }
        }
        Ok(denied)
    }

    fn add(&mut self, line: &str, issuers: &Issuers<'_>) -> Result<(), String> {
        let (kind, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        let new = match kind {
            "serial" => self.serials.insert(serial(&hex_bytes(value)?)),
            "sha256" => {
                let bytes = hex_bytes(value)?;
                if bytes.len() != 32 {
                    return Err("a SHA-256 fingerprint has 64 hex digits".to_owned());
                }
                self.fingerprints.insert(bytes)
            }
            "spiffe" => {
                let id = SpiffeId::parse(value);
                let id = id.ok_or_else(|| format!("`{value}` is no SPIFFE id"))?;
                self.names.insert(Proven::Spiffe(id))
            }
            "dns" => {
                let name = dns_name(value);
                let name = name.ok_or_else(|| format!("`{value}` is no name of a host"))?;
                self.names.insert(Proven::Dns(name))
            }
            "subject" => {
                let parts = value.split_once(char::is_whitespace);
                let (issuer, name) = parts.ok_or("write: subject ISSUER SUBJECT")?;
                self.names.insert(subject(issuer, name.trim(), issuers)?)
            }
            other => {
                return Err(format!(
                    "`{other}` is none of serial, sha256, spiffe, dns, subject"
                ));
            }
        };
        // A line twice denies no less.
        let _: bool = new;
        Ok(())
    }

    /// Whether the certificate, by itself, is on the list.
    pub(super) fn has_certificate(&self, leaf: &Leaf) -> bool {
        self.serials.contains(&serial(&leaf.serial))
            || self.fingerprints.contains(leaf.sha256.as_slice())
    }

    /// Whether the name is on the list.
    pub(super) fn has_name(&self, proven: &Proven) -> bool {
        self.names.contains(proven)
    }

    /// How many lines count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.serials.len() + self.fingerprints.len() + self.names.len()
    }

    /// Whether nobody is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Subjects may have a `#` within them, so only one that begins a word begins a comment.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    let begins = |(_, here): &(usize, char)| {
        let begins = *here == '#' && before.is_whitespace();
        before = *here;
        begins
    };
    let comment = line.char_indices().find(begins);
    comment.map_or(line, |(at, _)| line.get(..at).unwrap_or(line))
}

/// Whom a token of `issuer` names so.
fn subject(issuer: &str, subject: &str, issuers: &Issuers<'_>) -> Result<Proven, String> {
    let Some(trust_domain) = issuers.get(issuer) else {
        let known: Vec<_> = issuers.keys().copied().collect();
        let known = match known.as_slice() {
            [] => String::new(),
            known => format!("write one of {}, or ", known.join(", ")),
        };
        return Err(format!(
            "no issuer `{issuer}`; {known}add [identity.issuers.{issuer}]"
        ));
    };
    if trust_domain.is_some() && subject.starts_with("spiffe:") {
        return Err(format!(
            "tokens of `{issuer}` with a SPIFFE id count by that id; write: spiffe {subject}"
        ));
    }
    Ok(Proven::Subject {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
    })
}

/// Tools write serial numbers with and without the zero that keeps them positive.
fn serial(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default().to_vec()
}

/// The bytes of hex digits, with colons between them or not, as tools write them.
fn hex_bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = text.replace(':', "");
    if digits.len() % 2 == 1 {
        digits.insert(0, '0');
    }
    let bytes = hex::decode(&digits).ok().filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| format!("`{text}` is no number in hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Rejection;

    const ISSUERS: [(&str, Option<&str>); 3] = [
        ("cluster", None),
        ("people", None),
        ("spire", Some("example.org")),
    ];

    fn parse(text: &str) -> Result<Denied, String> {
        Denied::parse(text, &ISSUERS.into())
    }

    #[test]
    fn lines_of_each_kind_are_read() {
        let text = "# who left\n\nserial 0A:1b # stolen\nserial a1b\n\
                    sha256 00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\r\n\
                    spiffe spiffe://example.org/a\ndns  Api.Example\n\
                    subject cluster system:serviceaccount:web:api\n";
        let denied = parse(text).unwrap();
        assert_eq!(denied.len(), 5, "two lines are the same serial: {denied:?}");
        let leaf = |serial: &[u8], first: u8| Leaf {
            serial: serial.to_vec(),
            sha256: {
                let text = "112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
                let mut bytes = hex::decode(text).unwrap();
                bytes.insert(0, first);
                bytes.try_into().unwrap()
            },
            names: Err(Rejection::CertificateNames),
            not_after: time::UtcDateTime::UNIX_EPOCH,
        };
        assert!(denied.has_certificate(&leaf(&[0, 0x0a, 0x1b], 1)));
        assert!(denied.has_certificate(&leaf(&[9], 0)));
        assert!(!denied.has_certificate(&leaf(&[0x0a, 0x1b, 0], 1)));
        assert!(denied.has_name(&Proven::Dns("api.example".to_owned())));
        assert!(!denied.has_name(&Proven::Dns("api".to_owned())));
        assert!(parse("").unwrap().is_empty());
    }

    /// Entra calls its guests `NAME_HOME#EXT#@TENANT`.
    #[test]
    fn only_white_space_before_it_makes_a_comment() {
        let guest = "ann_contoso.com#EXT#@corp.onmicrosoft.com";
        let text =
            format!("  # guests\nsubject people {guest}\t# left\nsubject people bob#\n#dns a\n");
        let denied = parse(&text).unwrap();
        assert_eq!(denied.len(), 2, "{denied:?}");
        for subject in [guest, "bob#"] {
            let (issuer, subject) = ("people".to_owned(), subject.to_owned());
            assert!(denied.has_name(&Proven::Subject { issuer, subject }));
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        let rows = [
            ("serial", "line 1: `` is no number"),
            ("serial xyz", "line 1: `xyz` is no number"),
            ("\nsha256 00", "line 2: a SHA-256 fingerprint has 64"),
            (
                "spiffe example.org/a",
                "line 1: `example.org/a` is no SPIFFE",
            ),
            ("dns *.example", "line 1: `*.example` is no name"),
            ("subject cluster", "line 1: write: subject ISSUER"),
            (
                "dns a\nsubject cluser api",
                "line 2: no issuer `cluser`; write one of cluster, people, spire, or add [identity.issuers.cluser]",
            ),
            (
                "subject spire spiffe://example.org/a # b",
                "line 1: tokens of `spire` with a SPIFFE id count by that id; write: spiffe spiffe://example.org/a",
            ),
            ("00112233", "line 1: `00112233` is none of serial"),
            ("serial -1", "line 1: `-1` is no number"),
        ];
        for (text, says) in rows {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(says), "{text}: {said}");
        }
        let said = Denied::parse("subject a b", &Issuers::new()).unwrap_err();
        assert_eq!(said, "line 1: no issuer `a`; add [identity.issuers.a]");
        // Without a trust domain it is a subject like any other.
        assert_eq!(parse("subject people spiffe://a/b").unwrap().len(), 1);
    }
}
