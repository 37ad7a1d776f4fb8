//! Files of keys as other tools write them: the INI of the SDKs and the JSON of tccli. Read by hand
//! where a library would leave copies of the keys behind.

use crate::cloud::credentials::Part;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use time::UtcDateTime;

/// A file of keys is some hundred bytes; a token has up to 4 KiB.
pub(super) const BYTES_MAX: u64 = 16 << 10;

/// What else such files may say, which is configured beside them here.
const ROLES: [&str; 3] = ["role_arn", "role-arn", "use-cvm-role"];

/// What a file of keys holds.
pub(super) struct Keys {
    pub(super) secret_id: String,
    pub(super) secret_key: SecretString,
    pub(super) token: Option<SecretString>,
    pub(super) expires_at: Option<UtcDateTime>,
}

/// The parts found so far.
#[derive(Default)]
struct Found([Option<SecretString>; 3]);

impl Keys {
    /// Reads a file: one that begins with a brace is tccli's, another one has sections, of which
    /// `profile` counts.
    ///
    /// # Errors
    /// What goes after the name of the file: the line, the key, and the rule that it breaks.
    pub(super) fn parse(text: &str, profile: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            json(text)
        } else {
            ini(text, profile)
        }
    }
}

fn ini(text: &str, profile: &str) -> Result<Keys, String> {
    let mut found = Found::default();
    let (mut section, mut seen) = (false, false);
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        let problem = |rule: String| format!(":{number}: {rule}");
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.trim() == profile;
            seen |= section;
        } else if section {
            let pair = line.split_once(['=', ':']);
            let rule = "neither a section nor a key with its value";
            let (key, value) = pair.ok_or_else(|| problem(rule.to_owned()))?;
            let value = value.trim();
            let bare = value
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let key = key.trim().to_ascii_lowercase();
            found.take(&key, bare.unwrap_or(value)).map_err(problem)?;
        }
    }
    if !seen {
        return Err(format!(": has no section [{profile}]"));
    }
    found.keys(&format!(": [{profile}]"), ["secret_id", "secret_key"])
}

impl Found {
    /// Takes in a key of a section, unless it is about something else.
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        if ROLES.contains(&key) {
            return Err(role(key));
        }
        let [id, secret, token] = &mut self.0;
        let (slot, part) = match key {
            "secret_id" => (id, Part::SecretId),
            "secret_key" => (secret, Part::SecretKey),
            "token" => (token, Part::Token),
            _ => return Ok(()),
        };
        part.check(value)
            .map_err(|rule| format!("`{key}`: {rule}"))?;
        match slot.replace(value.into()) {
            None => Ok(()),
            Some(_) => Err(format!("`{key}` is there twice")),
        }
    }

    fn keys(self, place: &str, names: [&str; 2]) -> Result<Keys, String> {
        let Self([id, secret, token]) = self;
        let missing = |name: &str| format!("{place} has no `{name}`");
        let [id_name, secret_name] = names;
        let id = id.ok_or_else(|| missing(id_name))?;
        Ok(Keys {
            secret_id: id.expose_secret().to_owned(),
            secret_key: secret.ok_or_else(|| missing(secret_name))?,
            token,
            expires_at: None,
        })
    }
}

fn role(key: &str) -> String {
    format!("`{key}` does not count here; leave it out, the role is configured beside this file")
}

/// What tccli writes, also after it let somebody log in with a browser.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tccli {
    secret_id: Option<SecretString>,
    secret_key: Option<SecretString>,
    token: Option<SecretString>,
    expires_at: Option<i64>,
    #[serde(rename = "role-arn")]
    role_arn: Option<IgnoredAny>,
    #[serde(rename = "use-cvm-role")]
    use_cvm_role: Option<IgnoredAny>,
}

fn json(text: &str) -> Result<Keys, String> {
    let file: Tccli = serde_json::from_str(text).map_err(|error| {
        // Only where and what kind: the parser's text quotes values.
        let (line, what) = (error.line(), error.classify());
        let rule = match what {
            serde_json::error::Category::Data => "a value is not of its kind",
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => "not JSON",
        };
        format!(":{line}: {rule}")
    })?;
    let roles = [
        ("role-arn", file.role_arn),
        ("use-cvm-role", file.use_cvm_role),
    ];
    if let Some((key, _)) = roles.iter().find(|(_, set)| set.is_some()) {
        return Err(format!(":{}: {}", line_of(text, key), role(key)));
    }
    // tccli leaves empty what nobody entered.
    let entered = |text: Option<SecretString>| text.filter(|text| !text.expose_secret().is_empty());
    let parts = [
        ("secretId", Part::SecretId, entered(file.secret_id)),
        ("secretKey", Part::SecretKey, entered(file.secret_key)),
        ("token", Part::Token, entered(file.token)),
    ];
    for (key, part, value) in &parts {
        let judged = value
            .as_ref()
            .map(|value| part.check(value.expose_secret()));
        if let Some(Err(rule)) = judged {
            return Err(format!(":{}: `{key}`: {rule}", line_of(text, key)));
        }
    }
    let found = Found(parts.map(|(_, _, value)| value));
    let mut keys = found.keys(":", ["secretId", "secretKey"])?;
    if let Some(seconds) = file.expires_at {
        let at = UtcDateTime::from_unix_timestamp(seconds);
        let rule = || format!(":{}: `expiresAt` is no time", line_of(text, "expiresAt"));
        keys.expires_at = Some(at.map_err(|_out_of_range| rule())?);
    }
    Ok(keys)
}

/// The line that a key of JSON begins at; the first one if it is written in another way.
fn line_of(text: &str, key: &str) -> usize {
    let at = text.find(&format!("\"{key}\"")).unwrap_or_default();
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file gives: its parts, or what is said about it.
    fn told(text: &str, profile: &str) -> String {
        match Keys::parse(text, profile) {
            Err(rule) => rule,
            Ok(keys) => {
                let token = keys.token.as_ref().map(ExposeSecret::expose_secret);
                let expires = keys.expires_at.map(UtcDateTime::unix_timestamp);
                let key = keys.secret_key.expose_secret();
                format!("{} {key} {token:?} {expires:?}", keys.secret_id)
            }
        }
    }

    const SOUND: &[(&str, &str, &str)] = &[
        (
            "default",
            "[default]\nsecret_id=i\nsecret_key=k",
            "i k None None",
        ),
        (
            "default",
            "# written by hand\r\n\r\n[ default ]\r\nSecret_Id = \"i\"\r\nsecret_key : k\r\ntoken = t\r\n",
            "i k Some(\"t\") None",
        ),
        (
            "prod",
            "[default]\nno key\nrole_arn = x\n[prod]\nregion = ap-x\nsecret_id = i=1\nsecret_key = k\n[x]\nsecret_id = j",
            "i=1 k None None",
        ),
        (
            "default",
            r#"{"secretId":"i","secretKey":"k"}"#,
            "i k None None",
        ),
        (
            "ignored",
            r#" {"type":"oauth","secretId":"i","secretKey":"k","token":"t","expiresAt":1795435800,"oauth":{"a":1}}"#,
            "i k Some(\"t\") Some(1795435800)",
        ),
        (
            "",
            r#"{"secretId":"i","secretKey":"k","token":""}"#,
            "i k None None",
        ),
    ];

    const WRONG: &[(&str, &str)] = &[
        ("", ": has no section [default]"),
        ("secret_id = i", ": has no section [default]"),
        ("[Default]\nsecret_id = i", ": has no section [default]"),
        (
            "[default]\nsecret_key = k",
            ": [default] has no `secret_id`",
        ),
        (
            "[default]\nsecret_id = i",
            ": [default] has no `secret_key`",
        ),
        (
            "[default]\n\ncanary",
            ":3: neither a section nor a key with its value",
        ),
        (
            "[default]\nsecret_id = i\nsecret_key = canary key",
            ":3: `secret_key`: cloud credential: the secret key is malformed",
        ),
        (
            "[default]\nsecret_id =",
            ":2: `secret_id`: cloud credential: the secret id is malformed",
        ),
        (
            "[default]\ntoken = canary\ttoken",
            ":2: `token`: cloud credential: the token is malformed",
        ),
        (
            "[default]\nsecret_id = i\nsecret_id = j",
            ":3: `secret_id` is there twice",
        ),
        (
            "[default]\nrole_arn = canary",
            ":2: `role_arn` does not count here",
        ),
        ("{", ":1: not JSON"),
        ("{\n\"secretId\": \"canary", ":2: not JSON"),
        ("{\"secretId\": \"canary\"} x", ":1: not JSON"),
        ("{\n\"secretKey\": 7}", ":2: a value is not of its kind"),
        (
            "{\n\n\"expiresAt\": \"canary\"}",
            ":3: a value is not of its kind",
        ),
        ("{}", ": has no `secretId`"),
        (
            r#"{"secretId":"","secretKey":"canary"}"#,
            ": has no `secretId`",
        ),
        (r#"{"secretId":"i"}"#, ": has no `secretKey`"),
        (
            "{\"secretId\":\"i\",\n\"secretKey\":\"canary key\"}",
            ":2: `secretKey`: cloud credential: the secret key is malformed",
        ),
        (
            r#"{"secretId":"i","secretKey":"k","expiresAt":9000000000000000}"#,
            ":1: `expiresAt` is no time",
        ),
        (
            "{\n\"role-arn\":\"canary\"}",
            ":2: `role-arn` does not count here",
        ),
        (
            "{\"use-cvm-role\":true}",
            ":1: `use-cvm-role` does not count here",
        ),
    ];

    #[test]
    fn files_of_other_tools_are_read() {
        for (profile, text, expected) in SOUND {
            assert_eq!(told(text, profile), *expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_file_of_keys_is_named_and_not_repeated() {
        for (text, expected) in WRONG {
            let said = told(text, "default");
            assert!(
                said.starts_with(expected),
                "{text}\ngave {said}\nnot {expected}"
            );
            assert!(!said.contains("canary"), "{said}");
        }
    }
}
