//! Whether the keys of each issuer of tokens can be had, and can have signed what its tokens are signed with.

use super::{Finding, fail, ok};
use crate::clock::Clock;
use crate::identity::{IssuerSettings, KEYS_BYTES_MAX, KeySource, Keys, Reader, Settings};
use futures_util::StreamExt;
use futures_util::stream;
use secrecy::ExposeSecret;

const ISSUERS: &str = "issuers";
/// Issuers that are asked at once.
const AT_ONCE: usize = 8;

pub(super) async fn examine(settings: &Settings, clock: &Clock) -> Vec<Finding> {
    let issuers = stream::iter(&settings.issuers);
    let found = issuers.map(|issuer| look(issuer, &settings.reader, clock));
    found.buffered(AT_ONCE).collect().await
}

async fn look(issuer: &IssuerSettings, reader: &Reader, clock: &Clock) -> Finding {
    let subject = &issuer.rules.name;
    let (place, keys) = match &issuer.source {
        KeySource::File(path) => (path.as_str(), of_file(path, reader)),
        KeySource::Url(source) => (source.url.as_str(), source.keys(reader, clock).await),
    };
    match keys {
        Err(cause) => fail(
            ISSUERS,
            subject,
            format!("no keys of {place}: {cause}"),
            "have this machine reach it and trust it, docs/identity.md: until then, tokens of this issuer prove nothing",
        ),
        Ok(keys) if !keys.suit(&issuer.rules.algorithms) => fail(
            ISSUERS,
            subject,
            format!(
                "none of the {} keys of {place} can sign with one of its `algorithms`",
                keys.count()
            ),
            "name the algorithm that it signs its tokens with, or the place of the keys that do",
        ),
        Ok(keys) => ok(
            ISSUERS,
            subject,
            format!("{} keys of {place}", keys.count()),
        ),
    }
}

fn of_file(path: &str, reader: &Reader) -> Result<Keys, String> {
    let text = reader.read(path, KEYS_BYTES_MAX)?;
    Keys::parse(text.expose_secret())
}
