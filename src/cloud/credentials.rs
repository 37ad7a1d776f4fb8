//! The accounts' keys: they enter here, are renewed here, sign here, and are never shown.

mod account;
mod keeper;
mod source;
mod sts;

pub(super) use source::Means;
pub use source::{METADATA_HOST, MachineRole, Source, Token, WebIdentity, is_role};
pub use sts::{Role, SessionOf};

use super::tc3::{DayKey, Form, SignedHeaders};
use super::{CloudError, Fault, SettingsError};
use crate::domain::ids::OrganizationId;
use crate::domain::names::{AccountName, Region};
use crate::domain::standing::KeyStanding;
use account::Account;
use arc_swap::ArcSwapOption;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;

/// The cloud's own limit for key ids and keys.
const KEY_BYTES_MAX: usize = 1024;
/// The service that hands out temporary keys.
const STS: &str = "sts";
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

    /// Signs a call of that form and body as of `at`.
    #[must_use]
    pub fn sign(&self, form: &Form, payload: &[u8], at: UtcDateTime) -> SignedHeaders {
        let cached = self.today.load();
        if let Some(key) = cached.as_ref().filter(|key| key.covers(at)) {
            return form.sign(payload, key, at);
        }
        let key = DayKey::derive(&self.secret_id, self.secret_key.expose_secret(), at);
        let signed = form.sign(payload, &key, at);
        self.today.store(Some(Arc::new(key)));
        signed
    }

    /// Signs a call of the service that hands out temporary keys, as of `at`.
    fn sign_for_sts(&self, form: &Form, payload: &[u8], at: UtcDateTime) -> SignedHeaders {
        let secret_key = self.secret_key.expose_secret();
        let key = DayKey::of_service(&self.secret_id, secret_key, STS, at);
        form.sign(payload, &key, at)
    }

    /// Whether both are the same key, good for as long.
    fn is(&self, other: &Self) -> bool {
        let same_token = match (&self.token, &other.token) {
            (None, None) => true,
            (Some(mine), Some(theirs)) => mine.expose_secret() == theirs.expose_secret(),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let same_key = self.secret_key.expose_secret() == other.secret_key.expose_secret();
        let same_id = self.secret_id == other.secret_id;
        same_id && same_key && same_token && self.expires_at == other.expires_at
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
pub struct Local {
    read: Arc<ReadKey>,
    fixed: bool,
}

type ReadKey = dyn Fn() -> Result<Credential, String> + Send + Sync;

impl Local {
    /// Reads with `read`, which says in its errors where what is wrong.
    #[must_use]
    pub fn new(read: impl Fn() -> Result<Credential, String> + Send + Sync + 'static) -> Self {
        Self {
            read: Arc::new(read),
            fixed: false,
        }
    }

    /// As [`Local::new`], where the same is read each time.
    #[must_use]
    pub fn fixed(read: impl Fn() -> Result<Credential, String> + Send + Sync + 'static) -> Self {
        Self {
            fixed: true,
            ..Self::new(read)
        }
    }

    /// The key as it is now.
    ///
    /// # Errors
    /// Why there is none. Never repeats a secret.
    pub fn read(&self) -> Result<Credential, String> {
        (self.read)()
    }

    fn is_fixed(&self) -> bool {
        self.fixed
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

/// How the gateway gets at the keys of the cloud.
#[derive(Debug)]
pub struct Settings {
    /// The accounts.
    pub accounts: BTreeMap<AccountName, AccountSettings>,
    /// How often what is on this machine is looked at.
    pub reload_interval: Duration,
    /// How long a call waits for a key when there is none.
    pub first_wait: Duration,
}

/// How the gateway gets at the keys of an account.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// Whose the account is.
    pub organization: OrganizationId,
    /// Where its keys come from.
    pub source: Source,
    /// The region that STS is asked in.
    pub region: Region,
    /// What is assumed with those keys; none: they sign themselves.
    pub role: Option<Role>,
}

/// What goes on beside the calls, and never ends.
pub type Errand = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The keys of all accounts at work. One that breaks stops no other.
#[derive(Debug)]
pub(super) struct Credentials(BTreeMap<AccountName, Arc<Account>>);

impl Credentials {
    pub(super) fn new(accounts: BTreeMap<AccountName, AccountSettings>, means: &Means) -> Self {
        let accounts = accounts.into_iter();
        let at_work = |(name, settings): (AccountName, _)| {
            (name.clone(), Arc::new(Account::new(name, settings, means)))
        };
        Self(accounts.map(at_work).collect())
    }

    /// What signs a call of `account`.
    pub(super) async fn get(
        &self,
        account: &AccountName,
        caller: Option<&str>,
    ) -> Result<Arc<Credential>, CloudError> {
        let Some(keys) = self.0.get(account) else {
            let message = format!("the gateway holds no credential for account {account}");
            return Err(Fault::NoCredential.error(message));
        };
        keys.credential(caller).await.ok_or_else(|| {
            let message = format!("the gateway has no usable key for account {account} at present");
            Fault::CredentialUnavailable.error(message)
        })
    }

    /// Takes it that the cloud refused a credential. Returns when there is another one, or none to be had.
    pub(super) async fn refused(
        &self,
        account: &AccountName,
        caller: Option<&str>,
        refused: &Arc<Credential>,
    ) {
        if let Some(keys) = self.0.get(account) {
            keys.refused(caller, refused).await;
        }
    }

    /// How the keys stand.
    pub(super) fn standings(&self) -> Vec<KeyStanding> {
        self.0.values().map(|keys| keys.standing()).collect()
    }

    /// What renews the keys.
    pub(super) fn errands(&self) -> Vec<Errand> {
        let keep = |account: &Arc<Account>| -> Errand {
            let account = Arc::clone(account);
            Box::pin(async move { account.keep().await })
        };
        self.0.values().map(keep).collect()
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
        assert!(!format!("{made:?} {made:#?}").contains("canary"));
        let local = Local::new(|| Err("canary".to_owned()));
        assert!(!format!("{local:?}").contains("canary"));
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
        let form = Form::new("POST", "", &[("host", "h")]);
        for at in [
            utc_datetime!(2026-02-28 23:59:59),
            utc_datetime!(2026-03-01 00:00:00),
            utc_datetime!(2026-02-28 23:59:59),
        ] {
            let fresh = credential("id", "key", None).unwrap();
            assert_eq!(kept.sign(&form, b"{}", at), fresh.sign(&form, b"{}", at));
        }
    }
}
