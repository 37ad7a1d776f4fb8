//! The table of the journal.

use super::JournalConfig;
use super::read::secret_file;
use super::section::Section;
use crate::domain::causes::chain;
use crate::store;
use secrecy::{ExposeSecret, SecretString};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

/// More is no use: it is a few kilobytes for each launch under way.
const RESERVE_BYTES_MAX: u32 = 1 << 30;
/// How many deaths of a process park its operation.
pub(super) const CRASHES: RangeInclusive<u32> = 1..=1000;
const JOURNAL_URLS: &str = "is no journal; write sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE, \
     the latter into a file that `url_file` names";
const NO_KEY_FILE: &str = "`key_file` is missing, and all gateways of a journal in PostgreSQL need the same one: \
     let `cvm-gateway keys new` write a key into a file, and name it";

pub(super) fn journal(table: &mut Section<'_>, folder: &Path) -> Option<store::Settings> {
    let url = table.text_as("url", |url| journal_url(url.to_owned().into()));
    let from_file = table.if_set("url_file", |path| {
        journal_url(secret_file(folder, path)?).map_err(|rule| format!("{path} {rule}"))
    });
    let url = from_file.or(url);
    let shared = url.as_ref();
    let shared = shared.is_some_and(|url| !url.expose_secret().starts_with("sqlite:"));
    if shared && !table.is_set("key_file") {
        table.refuse(NO_KEY_FILE);
    }
    let key_file = table.if_set("key_file", |path| {
        let path = folder.join(path);
        let usable = store::check_key_file(&path).map_err(|error| chain(&error, ": "));
        usable.map(|()| path)
    });
    let pool_size = table.count("pool_size", 1..=1000);
    let queue = table.count("queue", 1..=1_000_000);
    let batch = table.count("writes_per_commit_max", 1..=10_000);
    Some(store::Settings {
        busy_timeout: table.duration("busy_timeout"),
        reserve_bytes: table.bytes("reserve", 0..=RESERVE_BYTES_MAX),
        url: url?,
        key_file,
        pool_size,
        queue: usize::try_from(queue).ok()?,
        batch: usize::try_from(batch).ok()?,
    })
}

/// What a person at the journal needs; everything else is a gateway's to judge.
pub(super) fn for_a_person(root: &mut Section<'_>, folder: &Path) -> Option<JournalConfig> {
    root.may_have_any();
    let journal = root.table("journal", |table| {
        let _unused = key_looks(table);
        journal(table, folder)
    });
    let (lease, crashes_max) = root.table("operations", |table| {
        table.may_have_any();
        (table.duration("lease"), table.count("crashes_max", CRASHES))
    });
    Some(JournalConfig {
        journal: journal?,
        lease,
        crashes_max,
    })
}

/// How often the file of the keys is looked at.
pub(super) fn key_looks(table: &mut Section<'_>) -> Duration {
    let looks = Duration::from_millis(10)..=Duration::from_secs(60 * 60);
    table.duration_within("key_reload_interval", looks)
}

/// Judged by its scheme; the rest of it is the store's to judge. Never repeated: it may hold a
/// password.
fn journal_url(url: SecretString) -> Result<SecretString, &'static str> {
    let schemes = ["sqlite:", "postgres:", "postgresql:"];
    let text = url.expose_secret();
    let known = schemes.iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(url) } else { Err(JOURNAL_URLS) }
}

/// The URL without user and parameters, where passwords stand. They may have a `?` in them that had
/// to be written otherwise.
pub(super) fn without_password(url: &str) -> String {
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, _) = url.split_once(':').unwrap_or_default();
    match place.rsplit_once('@') {
        _ if parameters.contains('@') => format!("{scheme}://…"),
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => place.to_owned(),
    }
}
