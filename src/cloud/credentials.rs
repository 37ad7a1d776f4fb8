//! The accounts' keys: they enter here, sign here, and are never shown.

use super::SettingsError;
use super::tc3::{self, DayKey, SignedHeaders};
use crate::domain::names::AccountName;
use arc_swap::ArcSwapOption;
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use time::UtcDateTime;

/// The cloud's own limit for key ids and keys.
const KEY_BYTES_MAX: usize = 1024;
/// The cloud's own limit for the tokens of temporary keys.
const TOKEN_BYTES_MAX: usize = 4096;

/// A part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its id.
    SecretId,
    /// The key itself.
    SecretKey,
    /// What comes with a temporary one.
    Token,
}

impl Part {
    /// Whether a text can be one.
    ///
    /// # Errors
    /// [`SettingsError::Credential`] when it is empty, too long, or has spaces or other characters
    /// that no real one has: a copying mistake that the cloud would only call a wrong signature.
    pub fn check(self, text: &str) -> Result<(), SettingsError> {
        let (bytes_max, rule) = match self {
            Self::SecretId => (KEY_BYTES_MAX, "the secret id is malformed"),
            Self::SecretKey => (KEY_BYTES_MAX, "the secret key is malformed"),
            Self::Token => (TOKEN_BYTES_MAX, "the token is malformed"),
        };
        let fits = (1..=bytes_max).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(())
        } else {
            Err(SettingsError::Credential(rule))
        }
    }
}

/// An account's access key.
pub struct Credential {
    secret_id: String,
    secret_key: SecretString,
    token: Option<SecretString>,
    expires_at: Option<UtcDateTime>,
    /// Deriving the day's key costs more than all the rest of a signature.
    today: ArcSwapOption<DayKey>,
}

impl Credential {
    /// A key, with the session token that comes with a temporary one.
    ///
    /// # Errors
    /// As [`Part::check`] judges each.
    pub fn new(
        secret_id: String,
        secret_key: SecretString,
        token: Option<SecretString>,
    ) -> Result<Self, SettingsError> {
        Part::SecretId.check(&secret_id)?;
        Part::SecretKey.check(secret_key.expose_secret())?;
        if let Some(token) = &token {
            Part::Token.check(token.expose_secret())?;
        }
        Ok(Self {
            secret_id,
            secret_key,
            token,
            expires_at: None,
            today: ArcSwapOption::empty(),
        })
    }

    /// The same key, which is good until then.
    #[must_use]
    pub fn expiring(self, at: UtcDateTime) -> Self {
        Self {
            expires_at: Some(at),
            ..self
        }
    }

    /// Names the key. It is no secret, and is not for the log all the same.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// Until when the key is good; none: until somebody ends it.
    #[must_use]
    pub fn expires_at(&self) -> Option<UtcDateTime> {
        self.expires_at
    }

    /// Signs `request` as of `at`.
    #[must_use]
    pub fn sign(&self, request: &tc3::Request<'_>, at: UtcDateTime) -> SignedHeaders {
        let cached = self.today.load();
        if let Some(key) = cached.as_ref().filter(|key| key.covers(at)) {
            return tc3::sign(request, &self.secret_id, key, at);
        }
        let key = Arc::new(DayKey::derive(self.secret_key.expose_secret(), at));
        self.today.store(Some(Arc::clone(&key)));
        tc3::sign(request, &self.secret_id, &key, at)
    }

    /// The session token of a temporary key.
    #[must_use]
    pub fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }
}

/// Prints no part of the key, not even the id: logs are read by more people than the console.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

/// Reads a key that is on this machine, again and again. `config` gives it: no other room reads files
/// or the environment.
#[derive(Clone)]
pub struct Local(Arc<ReadKey>);

type ReadKey = dyn Fn() -> Result<Credential, String> + Send + Sync;

impl Local {
    /// Reads with `read`, which says in its errors where what is wrong.
    #[must_use]
    pub fn new(read: impl Fn() -> Result<Credential, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The key as it is now.
    ///
    /// # Errors
    /// Why there is none. Never repeats a secret.
    pub fn read(&self) -> Result<Credential, String> {
        (self.0)()
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

/// The credential of each account.
#[derive(Debug)]
pub struct Credentials(HashMap<AccountName, Credential>);

impl Credentials {
    /// Holds these credentials for the life of the process.
    #[must_use]
    pub fn new(credentials: HashMap<AccountName, Credential>) -> Self {
        Self(credentials)
    }

    /// The credential of `account`, if the gateway holds one.
    #[must_use]
    pub fn get(&self, account: &AccountName) -> Option<&Credential> {
        self.0.get(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    fn credential(id: &str, key: &str, token: Option<&str>) -> Result<Credential, SettingsError> {
        Credential::new(id.to_owned(), key.into(), token.map(SecretString::from))
    }

    #[test]
    fn nothing_of_a_credential_is_printed() {
        let made = credential("canary-id", "canary-key", Some("canary-token")).unwrap();
        let account = AccountName::parse("prod").unwrap();
        let all = Credentials::new(HashMap::from([(account, made)]));
        assert!(!format!("{all:?} {all:#?}").contains("canary"));
    }

    #[test]
    fn copying_mistakes_are_found_and_not_repeated() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        let long_token = "t".repeat(TOKEN_BYTES_MAX + 1);
        for (id, key, token) in [
            ("", "key", None),
            ("id", "", None),
            ("id", "key", Some("")),
            ("id\n", "key", None),
            ("id", " canary", None),
            ("id", "canary\r\nX-TC-Action: x", None),
            ("id", "canäry", None),
            ("id", &long, None),
            ("id", "key", Some("canary\t")),
            ("id", "key", Some(&long_token)),
        ] {
            let error = credential(id, key, token).unwrap_err().to_string();
            assert!(
                error.contains("malformed") && !error.contains("canary"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_cached_key_follows_the_day_both_ways() {
        let kept = credential("id", "key", None).unwrap();
        let request = tc3::Request {
            method: "POST",
            query: "",
            headers: &[("host", "h")],
            payload: b"{}",
        };
        for at in [
            utc_datetime!(2026-02-28 23:59:59),
            utc_datetime!(2026-03-01 00:00:00),
            utc_datetime!(2026-02-28 23:59:59),
        ] {
            let fresh = credential("id", "key", None).unwrap();
            assert_eq!(kept.sign(&request, at), fresh.sign(&request, at));
        }
    }
}
