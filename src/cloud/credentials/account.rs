//! The keys of one account at work: those of its source, and the sessions of a role that is assumed
//! with them.

use super::keeper::{Fetched, Keeper, PAUSE_MIN, Why};
use super::source::{self, Means, Source};
use super::sts::{Role, SessionOf, session_name};
use super::{AccountSettings, Credential};
use crate::domain::ids::OrganizationId;
use crate::domain::names::{AccountName, Region};
use crate::domain::standing::KeyStanding;
use crate::metrics::Key;
use futures_util::StreamExt;
use futures_util::stream;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::UtcDateTime;
use tokio::sync::Notify;

/// Sessions of callers that are kept; a further one takes the place of that which was used least
/// recently.
const SESSIONS_MAX: usize = 500;
/// A caller's session that nobody used for so long is not renewed.
const SESSION_IDLE: Duration = Duration::from_secs(60 * 60);
/// So many of an account are asked for at once: STS has limits for its callers, too.
const RENEWED_AT_ONCE: usize = 10;
/// How often it is looked whether something is due, when nothing is known to be.
const LOOK: Duration = Duration::from_secs(60);

/// The keys of one account.
pub(super) struct Account {
    name: AccountName,
    organization: OrganizationId,
    source: Source,
    region: Region,
    base: Keeper,
    role: Option<Sessions>,
    /// Told when there is a new session.
    added: Notify,
    means: Means,
}

/// The sessions of a role.
struct Sessions {
    role: Role,
    organization: Arc<Session>,
    callers: Mutex<BTreeMap<String, Arc<Session>>>,
}

struct Session {
    /// As the cloud is told.
    name: String,
    keeper: Keeper,
    /// When it was last used, in milliseconds of the clock that has passed.
    used: AtomicU64,
}

impl Account {
    pub(super) fn new(name: AccountName, settings: AccountSettings, means: &Means) -> Self {
        let keeper = || Keeper::new(means.clock.clone(), means.random.clone());
        let organization = session_name(&format!("cvm-gateway@{}", settings.organization));
        let sessions = |role| Sessions {
            role,
            organization: Arc::new(Session::new(organization, keeper())),
            callers: Mutex::default(),
        };
        Self {
            name,
            organization: settings.organization,
            source: settings.source,
            region: settings.region,
            base: keeper(),
            role: settings.role.map(sessions),
            added: Notify::new(),
            means: means.clone(),
        }
    }

    /// What signs a call, for `caller` if it changes something in its name; none when there is nothing
    /// to sign with within the wait.
    pub(super) async fn credential(&self, caller: Option<&str>) -> Option<Arc<Credential>> {
        let (clock, first_wait) = (&self.means.clock, self.means.first_wait);
        let Some(sessions) = &self.role else {
            if let Some(usable) = self.base.usable() {
                return Some(usable);
            }
            let renew = || self.renew_base(None, Why::Due);
            return clock.timeout(first_wait, self.base.wait(renew)).await;
        };
        let session = self.session(sessions, caller);
        session.touch(clock.elapsed());
        if let Some(usable) = session.keeper.usable() {
            return Some(usable);
        }
        let renew = || self.renew(sessions, &session, None, Why::Due);
        clock.timeout(first_wait, session.keeper.wait(renew)).await
    }

    /// Takes it that the cloud refused a credential: asks for another one, if there is none yet.
    pub(super) async fn refused(&self, caller: Option<&str>, refused: &Arc<Credential>) {
        let asked = async {
            match &self.role {
                None => self.renew_base(Some(refused), Why::Refused).await,
                Some(sessions) => {
                    let session = self.session(sessions, caller);
                    self.renew(sessions, &session, Some(refused), Why::Refused)
                        .await;
                }
            }
        };
        self.means.clock.timeout(self.means.first_wait, asked).await;
    }

    /// Renews what is due, again and again. Never ends.
    pub(super) async fn keep(&self) {
        loop {
            self.renew_due().await;
            tokio::select! {
                () = self.added.notified() => {}
                () = self.means.clock.sleep(self.rest()) => {}
            }
        }
    }

    /// Renews what is due now.
    async fn renew_due(&self) {
        let now = self.means.clock.elapsed();
        if self.base.due() <= now {
            let held = self.base.usable();
            self.renew_base(held.as_ref(), Why::Due).await;
        }
        if let Some(sessions) = &self.role {
            sessions.forget_idle(now);
            let due = sessions.all().into_iter();
            let due = due.filter(|session| session.keeper.due() <= now);
            let renewed = due.map(|session| async move {
                let held = session.keeper.usable();
                self.renew(sessions, &session, held.as_ref(), Why::Due)
                    .await;
            });
            a_few_at_once(renewed).await;
        }
        self.show();
    }

    /// How long until something is looked at again. Whatever is overdue, this must not spin.
    fn rest(&self) -> Duration {
        let left = self.next_due().saturating_sub(self.means.clock.elapsed());
        left.clamp(PAUSE_MIN, LOOK)
    }

    fn next_due(&self) -> Duration {
        let sessions = self.role.iter().flat_map(Sessions::all);
        let dues = sessions.map(|session| session.keeper.due());
        dues.chain([self.base.due()]).min().unwrap_or_default()
    }

    /// Tells until when all keys are good.
    fn show(&self) {
        let first = self.first_end();
        self.means.metrics.good_until(self.name.as_str(), first);
    }

    /// When the first of the keys ends; none: never.
    fn first_end(&self) -> Option<UtcDateTime> {
        let sessions = self.role.iter().flat_map(Sessions::all);
        let ends = sessions.map(|session| session.keeper.good_until());
        ends.chain([self.base.good_until()]).flatten().min()
    }

    /// How its keys stand, for a person.
    pub(super) fn standing(&self) -> KeyStanding {
        let signs = match &self.role {
            Some(sessions) => &sessions.organization.keeper,
            None => &self.base,
        };
        // Nothing was signed in the organisation's name yet: then its first call asks for a session.
        let usable = signs.usable().or_else(|| self.base.usable());
        KeyStanding {
            account: self.name.clone(),
            organization: self.organization.clone(),
            source: self.source.name(),
            role: self.role.as_ref().map(|sessions| sessions.role.arn.clone()),
            usable: usable.is_some(),
            ends: self.first_end(),
            failure: self.failure(),
        }
    }

    /// Why there is no key; without that of the source there is no session, either.
    fn failure(&self) -> Option<String> {
        let sessions = self.role.iter().flat_map(Sessions::all);
        let mut failures = sessions.filter_map(|session| session.keeper.failure());
        self.base.failure().or_else(|| failures.next())
    }

    async fn fetch_base(&self) -> Result<Fetched, String> {
        let session = match &self.role {
            Some(sessions) => &sessions.organization.name,
            None => &session_name(&format!("cvm-gateway@{}", self.name)),
        };
        self.source.fetch(&self.means, &self.region, session).await
    }

    async fn renew_base(&self, held: Option<&Arc<Credential>>, why: Why) {
        let asked = self
            .base
            .renew(held, why, Box::pin(self.fetch_base()))
            .await;
        self.tell(asked, Key::Base, "");
    }

    async fn renew(
        &self,
        sessions: &Sessions,
        session: &Session,
        held: Option<&Arc<Credential>>,
        why: Why,
    ) {
        let fetch = Box::pin(self.fetch_session(sessions, session));
        let asked = session.keeper.renew(held, why, fetch).await;
        self.tell(asked, Key::Role, &session.name);
    }

    /// Assumes the role. If STS refuses the key, it is asked for anew, and tried once more.
    async fn fetch_session(
        &self,
        sessions: &Sessions,
        session: &Session,
    ) -> Result<Fetched, String> {
        if self.base.usable().is_none() {
            self.renew_base(None, Why::Due).await;
        }
        let by = self.base_key()?;
        let (role, means, region) = (&sessions.role, &self.means, &self.region);
        let mut answer = source::assume(role, &by, means, region, &session.name).await;
        if answer.as_ref().is_err_and(|refused| refused.key) {
            self.renew_base(Some(&by), Why::Refused).await;
            let by = self.base_key()?;
            answer = source::assume(role, &by, means, region, &session.name).await;
        }
        answer.map_err(|refused| refused.message)
    }

    fn base_key(&self) -> Result<Arc<Credential>, String> {
        let key = self.base.usable();
        key.ok_or_else(|| "there is no key to assume the role with".to_owned())
    }

    /// Counts what came of a question, and says why there is no key.
    fn tell(&self, asked: Option<Result<(), String>>, key: Key, session: &str) {
        let Some(result) = asked else { return };
        let account = self.name.as_str();
        self.means.metrics.refreshed(account, key, result.is_ok());
        if let Err(error) = result {
            tracing::warn!(
                account,
                session,
                error,
                "no new key; the one there is stays until it ends"
            );
        }
    }

    fn session(&self, sessions: &Sessions, caller: Option<&str>) -> Arc<Session> {
        let by_caller = sessions.role.session == SessionOf::Caller;
        let Some(caller) = caller.filter(|_| by_caller) else {
            return Arc::clone(&sessions.organization);
        };
        let name = session_name(caller);
        let mut callers = sessions.callers();
        if let Some(known) = callers.get(&name) {
            return Arc::clone(known);
        }
        if callers.len() >= SESSIONS_MAX {
            let oldest = callers
                .iter()
                .min_by_key(|(_, session)| session.last_used());
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| callers.remove(&name));
        }
        let (clock, random) = (self.means.clock.clone(), self.means.random.clone());
        let session = Arc::new(Session::new(name.clone(), Keeper::new(clock, random)));
        session.touch(self.means.clock.elapsed());
        callers.insert(name, Arc::clone(&session));
        self.added.notify_one();
        session
    }
}

async fn a_few_at_once(tasks: impl Iterator<Item = impl Future<Output = ()>>) {
    let tasks = stream::iter(tasks);
    tasks
        .for_each_concurrent(RENEWED_AT_ONCE, |task| task)
        .await;
}

impl Sessions {
    fn callers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        // A map cannot be left half changed by a panic elsewhere.
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Session>> {
        let callers = self.callers();
        let all = callers.values().chain([&self.organization]);
        all.map(Arc::clone).collect()
    }

    fn forget_idle(&self, now: Duration) {
        let idle = |session: &Session| now.saturating_sub(session.last_used()) > SESSION_IDLE;
        self.callers().retain(|_, session| !idle(session));
    }
}

impl Session {
    fn new(name: String, keeper: Keeper) -> Self {
        Self {
            name,
            keeper,
            used: AtomicU64::new(0),
        }
    }

    fn touch(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.used.store(millis, Ordering::Relaxed);
    }

    fn last_used(&self) -> Duration {
        Duration::from_millis(self.used.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Local;
    use super::*;
    use crate::clock::Clock;
    use crate::cloud::endpoint::Endpoint;
    use crate::cloud::skew::Skew;
    use crate::metrics::Metrics;
    use crate::random::Random;
    use std::cell::Cell;

    #[tokio::test]
    async fn few_sessions_are_renewed_at_once() {
        let (running, most, ended) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let tasks = (0..500).map(|_| async {
            running.set(running.get() + 1);
            most.set(running.get().max(most.get()));
            tokio::task::yield_now().await;
            running.set(running.get() - 1);
            ended.set(ended.get() + 1);
        });
        a_few_at_once(tasks).await;
        assert_eq!((most.get(), ended.get()), (RENEWED_AT_ONCE, 500));
    }

    #[test]
    fn what_is_overdue_is_not_looked_at_without_a_pause() {
        let account = account();
        assert_eq!(account.next_due(), Duration::ZERO, "it was never asked");
        assert_eq!(account.rest(), PAUSE_MIN);
    }

    #[tokio::test]
    async fn a_key_that_comes_hides_no_other_that_does_not() {
        let account = account();
        let sessions = account.role.as_ref().unwrap();
        let [web, job] = ["web", "job"].map(|caller| account.session(sessions, Some(caller)));
        let asked = async |keeper: &Keeper, failure: &str| {
            account.means.clock.advance(LOOK);
            let credential = Credential::new("id".to_owned(), "k".into(), None).unwrap();
            let given = match failure {
                "" => Ok(Fetched {
                    credential,
                    again: None,
                }),
                failure => Err(failure.to_owned()),
            };
            let held = keeper.usable();
            let asked = keeper.renew(held.as_ref(), Why::Due, async { given });
            assert!(asked.await.is_some());
            account.standing().failure.unwrap_or_default()
        };
        assert_eq!(asked(&web.keeper, "no trust").await, "no trust");
        assert_eq!(asked(&account.base, "").await, "no trust");
        assert_eq!(asked(&job.keeper, "").await, "no trust", "another session");
        assert_eq!(
            asked(&account.base, "no file").await,
            "no file",
            "the cause"
        );
        assert_eq!(asked(&account.base, "").await, "no trust");
        assert_eq!(asked(&web.keeper, "").await, "");
        assert_eq!(asked(&web.keeper, "no trust").await, "no trust");
        account.means.clock.advance(SESSION_IDLE * 2);
        sessions.forget_idle(account.means.clock.elapsed());
        assert_eq!(account.standing().failure, None, "it went with its session");
    }

    #[expect(clippy::disallowed_methods, reason = "nothing is sent")]
    fn account() -> Account {
        let settings = AccountSettings {
            organization: OrganizationId::parse("development").unwrap(),
            source: Source::Local(Local::new(|| Err(String::new()))),
            region: Region::parse("ap-shanghai").unwrap(),
            role: Some(Role {
                arn: String::new(),
                external_id: None,
                duration_seconds: 7200,
                policy: None,
                session: SessionOf::Caller,
            }),
        };
        let clock = Clock::manual(UtcDateTime::UNIX_EPOCH);
        let metrics = Metrics::new("test").unwrap().credentials;
        let skew = Skew::new(clock.clone(), LOOK, metrics.clone());
        let means = Means {
            http: reqwest::Client::new(),
            direct: reqwest::Client::new(),
            endpoint: Endpoint::parse("tencentcloudapi.com", false, None).unwrap(),
            clock,
            skew: Arc::new(skew),
            random: Random::seeded(7),
            metrics,
            reload_interval: LOOK,
            first_wait: LOOK,
        };
        Account::new(AccountName::parse("main").unwrap(), settings, &means)
    }
}
