//! Where an account's keys are: one source in the account's table.

use super::file::{read_secret, variable};
use super::keys::{self, Keys};
use super::section::Section;
use crate::cloud::credentials::{Credential, Local, Part};
use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};

/// Keys of a table that name a source; what belongs to one source comes as one.
const SOURCES: [&str; 3] = ["secret_id", "credentials_file", "environment"];
/// What the SDKs call the variables.
const VARIABLES: [(&str, &str); 3] = [
    ("secret_id", "TENCENTCLOUD_SECRET_ID"),
    ("secret_key", "TENCENTCLOUD_SECRET_KEY"),
    ("token", "TENCENTCLOUD_TOKEN"),
];
/// The section of the SDKs' file.
const PROFILE: &str = "default";

/// Where a part of a key is.
#[derive(Clone)]
enum Text {
    Here(SecretString),
    File(String),
}

/// The id of the key as it is now, and where the key is. Nothing only when a problem was noted.
pub(super) fn source(table: &mut Section<'_>, folder: &Path) -> Option<(String, Local)> {
    let own = [
        "secret_id",
        "secret_id_file",
        "secret_key",
        "secret_key_file",
        "token_file",
    ];
    let own = own.into_iter().any(|key| table.is_set(key));
    let set = SOURCES.map(|key| match key {
        "secret_id" => own,
        key => table.is_set(key),
    });
    let [pair_set, file_set, environment_set] = set;
    let named = SOURCES.into_iter().zip(set).filter(|(_, set)| *set);
    let named: Vec<&str> = named.map(|(key, _)| key).collect();
    // Each is read, so that its keys are known and all that is wrong with them is told.
    let pair = pair_set.then(|| pair(table, folder)).flatten();
    let file = file(table, folder, file_set);
    let environment = environment_set.then(|| environment(table)).flatten();
    match named[..] {
        [_] => {}
        [] => table.refuse(format_args!(
            "no key; set `secret_id` and `secret_key_file`, or one of {}",
            SOURCES[1..].join(", ")
        )),
        [..] => table.refuse(format_args!(
            "has keys by {}; keep one",
            named.join(" and ")
        )),
    }
    let local = pair.or(file).or(environment)?;
    let credential = local.read().map_err(|rule| table.refuse(rule)).ok()?;
    Some((credential.secret_id().to_owned(), local))
}

/// Id and key, each in the table or in a file of its own.
fn pair(table: &mut Section<'_>, folder: &Path) -> Option<Local> {
    let id = ["secret_id", "secret_id_file"];
    let id = one_of(table, folder, id, "secret_id", Part::SecretId);
    let key = ["secret_key", "secret_key_file"];
    let key = one_of(table, folder, key, "secret_key_file", Part::SecretKey);
    let token = table.if_set("token_file", |path| known(folder, path, Part::Token));
    let (id, key) = (id?, key?);
    let folder = folder.to_owned();
    let read = move || {
        let token = token.as_ref().map(|token| token.read(&folder));
        let id = id.read(&folder)?;
        let id = id.expose_secret().to_owned();
        let credential = Credential::new(id, key.read(&folder)?, token.transpose()?);
        credential.map_err(|rule| rule.to_string())
    };
    Some(Local::new(read))
}

/// A text of the table, or of the file that it names.
fn one_of(
    table: &mut Section<'_>,
    folder: &Path,
    [here, file]: [&str; 2],
    usual: &str,
    part: Part,
) -> Option<Text> {
    match (table.is_set(here), table.is_set(file)) {
        (true, true) => table.refuse(format_args!("has both `{here}` and `{file}`; keep one")),
        (false, false) => table.refuse(format_args!("`{usual}` is missing")),
        (true, false) | (false, true) => {}
    }
    let text = table.if_set(here, |text| {
        part.check(text).map(|()| Text::Here(text.into()))
    });
    let in_file = table.if_set(file, |path| known(folder, path, part));
    text.or(in_file)
}

/// A file that holds a part now.
fn known(folder: &Path, path: &str, part: Part) -> Result<Text, String> {
    let text = key_file(folder, path)?;
    let sound = part.check(text.expose_secret());
    sound.map_err(|rule| format!("{path}: {rule}"))?;
    Ok(Text::File(path.to_owned()))
}

impl Text {
    fn read(&self, folder: &Path) -> Result<SecretString, String> {
        match self {
            Self::Here(text) => Ok(text.clone()),
            Self::File(path) => key_file(folder, path),
        }
    }
}

/// A file in the form of the SDKs or of tccli.
fn file(table: &mut Section<'_>, folder: &Path, set: bool) -> Option<Local> {
    let profile = table.if_set("profile", |text| Ok::<_, String>(text.to_owned()));
    if profile.is_some() && !set {
        table.refuse("`profile` is a section of a `credentials_file`, and there is none");
    }
    let profile = profile.unwrap_or_else(|| PROFILE.to_owned());
    table.if_set("credentials_file", |path| {
        let (folder, path) = (folder.to_owned(), path.to_owned());
        let local = Local::new(move || {
            let text = key_file(&folder, &path)?;
            let keys = Keys::parse(text.expose_secret(), &profile);
            credential(keys.map_err(|rule| format!("{path}{rule}"))?, &path)
        });
        local.read().map(|_| local)
    })
}

/// What an environment variable or a file holds.
fn credential(keys: Keys, place: &str) -> Result<Credential, String> {
    let made = Credential::new(keys.secret_id, keys.secret_key, keys.token);
    let made = made.map_err(|rule| format!("{place}: {rule}"))?;
    Ok(match keys.expires_at {
        Some(at) => made.expiring(at),
        None => made,
    })
}

/// The variables that the table names.
fn environment(table: &mut Section<'_>) -> Option<Local> {
    table.table("environment", |table| {
        let names = VARIABLES.map(|(key, usual)| {
            let named = table.if_set(key, |name| Ok::<_, String>(name.to_owned()));
            named.unwrap_or_else(|| usual.to_owned())
        });
        let local = Local::new(move || {
            let [id, key, token] = &names;
            let needed = |name: &str| {
                variable(name).ok_or_else(|| format!("the environment has no variable {name}"))
            };
            let judged = |part: Part, name: &str, text: &SecretString| {
                let judged = part.check(text.expose_secret());
                judged.map_err(|rule| format!("the variable {name}: {rule}"))
            };
            let (secret_id, secret_key) = (needed(id)?, needed(key)?);
            judged(Part::SecretId, id, &secret_id)?;
            judged(Part::SecretKey, key, &secret_key)?;
            let found = variable(token);
            if let Some(found) = &found {
                judged(Part::Token, token, found)?;
            }
            let keys = Keys {
                secret_id: secret_id.expose_secret().to_owned(),
                secret_key,
                token: found,
                expires_at: None,
            };
            credential(keys, "the environment")
        });
        local.read().map_err(|rule| table.refuse(rule)).ok()?;
        Some(local)
    })
}

/// What a file of keys holds, without the line's end that editors add. One that everybody may read,
/// or others may write, is refused.
fn key_file(folder: &Path, path: &str) -> Result<SecretString, String> {
    let text = read_secret(&beside(folder, path), keys::BYTES_MAX);
    text.map_err(|error| format!("cannot read {path}: {error}"))
}

/// A path beside the configuration, or in the home of who runs the gateway.
fn beside(folder: &Path, path: &str) -> PathBuf {
    let home = path.strip_prefix("~/").zip(variable("HOME"));
    match home {
        Some((rest, home)) => Path::new(home.expose_secret()).join(rest),
        None => folder.join(path),
    }
}

#[cfg(test)]
mod tests;
