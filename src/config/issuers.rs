//! Who issues tokens: the tables `identity.issuers.NAME`.

use super::read::{authorities_beside, file_beside, secret_file};
use super::section::Section;
use crate::identity::proven::is_trust_domain;
use crate::identity::{
    Algorithm, IssuerSettings, KEYS_BYTES_MAX, KeySource, KeyUrl, Keys, TokenRules,
};
use std::path::Path;
use std::time::Duration;

/// What can be signed so that nobody who verifies could sign, too.
const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];
/// The names of callers begin with that of their issuer, and of certificates with these.
const TAKEN: [&str; 2] = ["dns", "spiffe"];
/// Unless the user says otherwise.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// All of them.
pub(super) fn read(
    table: &mut Section<'_>,
    folder: &Path,
    leeway: Duration,
) -> Vec<IssuerSettings> {
    let mut all: Vec<IssuerSettings> = Vec::new();
    for name in table.names() {
        let issuer = table.table(&name, |table| {
            let issuer = issuer(table, folder, &name, leeway)?;
            let same = |one: &IssuerSettings| one.rules.issuer == issuer.rules.issuer;
            if all.iter().any(same) {
                table.refuse("another issuer has the same `issuer`; keep one");
            }
            Some(issuer)
        });
        all.extend(issuer);
    }
    all
}

fn issuer(
    table: &mut Section<'_>,
    folder: &Path,
    name: &str,
    leeway: Duration,
) -> Option<IssuerSettings> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if TAKEN.contains(&name) || !name.chars().all(plain) {
        table.refuse("name the issuer with a-z 0-9 -, and neither dns nor spiffe");
    }
    let filled = |text: &str| match text {
        "" => Err("is empty"),
        text => Ok(text.to_owned()),
    };
    let issuer = table.text_as("issuer", filled);
    let audiences = table.texts("audiences", filled);
    let algorithms = table.texts("algorithms", |text| {
        let algorithm = ALGORITHMS
            .contains(&text)
            .then(|| text.parse::<Algorithm>().ok());
        let rule = || format!("is none of {}", ALGORITHMS.join(", "));
        algorithm.flatten().ok_or_else(rule)
    });
    if audiences.is_empty() || algorithms.is_empty() {
        table.refuse("name at least one of `audiences` and of `algorithms`");
    }
    let subject_claim = table.if_set("subject_claim", filled);
    let trust_domain = table.if_set("trust_domain", |text| {
        let rule = "is no trust domain; write a name like example.org";
        is_trust_domain(text).then(|| text.to_owned()).ok_or(rule)
    });
    let source = source(table, folder);
    Some(IssuerSettings {
        rules: TokenRules {
            name: name.to_owned(),
            issuer: issuer?,
            audiences,
            algorithms,
            subject_claim: subject_claim.unwrap_or_else(|| "sub".to_owned()),
            trust_domain,
            leeway,
        },
        source: source?,
    })
}

/// Where the keys are: in a file, or behind an URL.
fn source(table: &mut Section<'_>, folder: &Path) -> Option<KeySource> {
    if table.is_set("jwks_file") == table.is_set("jwks_url") {
        table.refuse("set one of `jwks_file` and `jwks_url`");
    }
    let file = table.if_set("jwks_file", |path| {
        let text = file_beside(folder, path, KEYS_BYTES_MAX)?;
        Keys::parse(&text).map_err(|rule| format!("{path} {rule}"))?;
        Ok::<_, String>(path.to_owned())
    });
    let url = table.if_set("jwks_url", KeyUrl::parse);
    let ca_file = table.if_set("jwks_ca_file", |path| {
        authorities_beside(folder, path).map(|_sound| path.to_owned())
    });
    let token_file = table.if_set("jwks_token_file", |path| {
        secret_file(folder, path)?;
        Ok::<_, String>(path.to_owned())
    });
    let mut duration = |key: &str, otherwise: Duration, range| {
        if table.is_set(key) {
            table.duration_within(key, range)
        } else {
            otherwise
        }
    };
    let seconds = Duration::from_secs;
    let refresh_interval = duration("jwks_refresh_interval", REFRESH_INTERVAL, seconds(1)..=DAY);
    let keep = duration("jwks_keep", KEEP, seconds(1)..=7 * DAY);
    let keep_min = KeyUrl::keep_min(refresh_interval);
    // Zero was refused before.
    if url.is_some() && !keep.is_zero() && keep < keep_min {
        let [keep, least] = [keep, keep_min].map(humantime::format_duration);
        let rule = "is too short: keys would end before they are fetched again";
        table.refuse_key(
            "jwks_keep",
            format_args!("{keep} {rule}; write at least {least}"),
        );
    }
    let url = url.map(|url| {
        KeySource::Url(Box::new(KeyUrl {
            url,
            ca_file,
            token_file,
            refresh_interval,
            keep,
        }))
    });
    file.map(KeySource::File).or(url)
}
