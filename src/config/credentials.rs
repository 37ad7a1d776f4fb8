//! Where an account's keys come from: one source in the account's table, and perhaps a role that is
//! assumed with them.

use super::file::{beside, read_secret, variable};
use super::keys::{self, Keys};
use super::roles::{self, uin_of};
use super::section::Section;
use crate::cloud::credentials::{Credential, Local, Part, Role, Source};
use crate::domain::names::Region;
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;

/// Keys of a table that name a source; what belongs to one source comes as one.
const SOURCES: [&str; 5] = [
    "secret_id",
    "credentials_file",
    "environment",
    "machine_role",
    "web_identity",
];
/// The keys of the first one.
const PAIR: [&str; 5] = [
    "secret_id",
    "secret_id_file",
    "secret_key",
    "secret_key_file",
    "token_file",
];
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

/// How the keys of an account are got.
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) role: Option<Role>,
    /// The region that STS is asked in, if one is named.
    pub(super) region: Option<Region>,
    /// Who the cloud knows the account as, as far as that shows: its number, or else its key.
    pub(super) owner: Option<String>,
}

/// How the keys of an account are got. Nothing only when a problem was noted.
pub(super) fn found(table: &mut Section<'_>, folder: &Path) -> Option<Found> {
    one_source(table);
    // Each is read, so that its keys are known and all that is wrong with them is told.
    let pair = PAIR.iter().any(|key| table.is_set(key));
    let local = [
        pair.then(|| pair_of(table, folder)).flatten(),
        file(table, folder),
        table
            .is_set("environment")
            .then(|| environment(table))
            .flatten(),
    ];
    let machine = table
        .is_set("machine_role")
        .then(|| roles::machine_role(table))
        .flatten();
    let web = table
        .is_set("web_identity")
        .then(|| roles::web_identity(table, folder))
        .flatten();
    let assumed = table.is_set("assume_role");
    let assumed = assumed.then(|| roles::assume_role(table, folder));
    let local = local.into_iter().flatten().next();
    let (source, owner, here) = match (local, machine, web) {
        (Some(local), _, _) => {
            let key = local.read().map_err(|rule| table.refuse(rule)).ok()?;
            let id = key.secret_id().to_owned();
            (Source::Local(local), Some(id), None)
        }
        (None, Some(machine), _) => (machine, None, None),
        (None, None, Some((web, arn, region))) => (web, uin_of(&arn), region),
        (None, None, None) => return None,
    };
    let (role, region) = match assumed {
        None => (None, None),
        Some(assumed) => {
            let (role, region) = assumed?;
            (Some(role), region)
        }
    };
    let account = role.as_ref().and_then(|role| uin_of(&role.arn));
    Some(Found {
        source,
        owner: account.or(owner),
        role,
        region: region.or(here),
    })
}

/// Notes it when there is no source, or more than one.
fn one_source(table: &mut Section<'_>) {
    let is_set = |key: &&str| match *key {
        "secret_id" => PAIR.iter().any(|key| table.is_set(key)),
        key => table.is_set(key),
    };
    let named: Vec<&str> = SOURCES.into_iter().filter(is_set).collect();
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
}

/// Id and key, each in the table or in a file of its own.
fn pair_of(table: &mut Section<'_>, folder: &Path) -> Option<Local> {
    let id = ["secret_id", "secret_id_file"];
    let id = one_of(table, folder, id, "secret_id", Part::SecretId);
    let key = ["secret_key", "secret_key_file"];
    let key = one_of(table, folder, key, "secret_key_file", Part::SecretKey);
    let token = table.if_set("token_file", |path| known(folder, path, Part::Token));
    let (id, key) = (id?, key?);
    let fixed = token.is_none() && id.is_here() && key.is_here();
    let folder = folder.to_owned();
    let read = move || {
        let token = token.as_ref().map(|token| token.read(&folder));
        let id = id.read(&folder)?;
        let id = id.expose_secret().to_owned();
        let credential = Credential::new(id, key.read(&folder)?, token.transpose()?);
        credential.map_err(|rule| rule.to_string())
    };
    Some(if fixed {
        Local::fixed(read)
    } else {
        Local::new(read)
    })
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
    const fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    fn read(&self, folder: &Path) -> Result<SecretString, String> {
        match self {
            Self::Here(text) => Ok(text.clone()),
            Self::File(path) => key_file(folder, path),
        }
    }
}

/// A file in the form of the SDKs or of tccli.
fn file(table: &mut Section<'_>, folder: &Path) -> Option<Local> {
    let profile = table.if_set("profile", |text| Ok::<_, String>(text.to_owned()));
    if profile.is_some() && !table.is_set("credentials_file") {
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

/// The keys that `place` holds.
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
        let local = Local::fixed(move || {
            let [id, key, token] = &names;
            let needed = |name: &str, part| {
                let none = || format!("the environment has no variable {name}");
                known_variable(name, part)?.ok_or_else(none)
            };
            let keys = Keys {
                secret_id: needed(id, Part::SecretId)?.expose_secret().to_owned(),
                secret_key: needed(key, Part::SecretKey)?,
                token: known_variable(token, Part::Token)?,
                expires_at: None,
            };
            credential(keys, "the environment")
        });
        local.read().map_err(|rule| table.refuse(rule)).ok()?;
        Some(local)
    })
}

/// A variable that holds a part, if it is there.
fn known_variable(name: &str, part: Part) -> Result<Option<SecretString>, String> {
    let Some(text) = variable(name) else {
        return Ok(None);
    };
    let sound = part.check(text.expose_secret());
    sound.map_err(|rule| format!("the variable {name}: {rule}"))?;
    Ok(Some(text))
}

/// What a file of keys holds, without the line's end that editors add. One that everybody may read,
/// or others may write, is refused.
fn key_file(folder: &Path, path: &str) -> Result<SecretString, String> {
    let text = read_secret(&beside(folder, path), keys::BYTES_MAX);
    text.map_err(|error| format!("cannot read {path}: {error}"))
}

#[cfg(test)]
mod tests;
