//! An issuer of tokens and its keys: read from a file that may change, or fetched by an errand, kept while
//! they cannot be had, and fetched again when a token names one that is new.

use super::files::Reader;
use super::keys::{BYTES_MAX, Keys};
use super::proven::Proven;
use super::rejection::Rejection;
use super::token::{Token, TokenRules};
use crate::clock::Clock;
use crate::domain::names::is_loopback_host;
use crate::metrics;
use arc_swap::ArcSwapOption;
use reqwest::{Certificate, Client, Response, StatusCode, Url, header};
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long an issuer is left alone after it was asked, whatever tokens name.
const FETCH_FLOOR: Duration = Duration::from_secs(10);
/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// An issuer as it is configured.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// What its tokens must be like.
    pub rules: TokenRules,
    /// Where its keys are.
    pub source: KeySource,
}

/// Where keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// In this file.
    File(String),
    /// Behind an URL.
    Url(Box<KeyUrl>),
}

/// Keys behind an URL.
#[derive(Clone, Debug)]
pub struct KeyUrl {
    /// Which.
    pub url: Url,
    /// A file of the certificates that its host is trusted by; none: the system's.
    pub ca_file: Option<String>,
    /// A file of the token that it wants.
    pub token_file: Option<String>,
    /// How often they are fetched.
    pub refresh_interval: Duration,
    /// How long they count after they were last fetched.
    pub keep: Duration,
}

impl KeyUrl {
    /// How long keys must count so that they are fetched again before they end: who calls when they have
    /// ended has them fetched, but not soon after they were last asked for.
    #[must_use]
    pub fn keep_min(refresh_interval: Duration) -> Duration {
        refresh_interval.max(FETCH_FLOOR) + FETCH_TIMEOUT
    }

    /// The URL of a text: encrypted, or of this machine.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Url, String> {
        let url = Url::parse(text).or(Err("is no URL; write it like https://issuer.example/jwks"));
        let url = url.map_err(str::to_owned)?;
        let here = url.host_str().is_some_and(is_loopback_host);
        match url.scheme() {
            _ if !url.username().is_empty() || url.password().is_some() => {
                Err("names a user; put a token into `jwks_token_file`".to_owned())
            }
            "https" => Ok(url),
            "http" if here => Ok(url),
            _ => Err("is not https, so that anybody on the way could become anybody".to_owned()),
        }
    }

    /// The keys that are there now.
    ///
    /// # Errors
    /// Why there are none: a file that is needed cannot be read, the answer is none of keys, or does
    /// not come within five seconds.
    pub async fn keys(&self, reader: &Reader, clock: &Clock) -> Result<Keys, String> {
        let fetched = clock.timeout(FETCH_TIMEOUT, self.fetch(reader)).await;
        let text = fetched.unwrap_or_else(|| Err("does not answer".to_owned()))?;
        Keys::parse(&text)
    }

    async fn fetch(&self, reader: &Reader) -> Result<String, String> {
        let read = |path: &Option<String>, max| -> Result<Option<SecretString>, String> {
            let path = path.as_deref();
            path.map(|path| reader.read(path, max)).transpose()
        };
        let authorities = read(&self.ca_file, super::PEM_BYTES_MAX)?;
        let token = read(&self.token_file, TOKEN_BYTES_MAX)?;
        let client = client(authorities.as_ref())?;
        let mut request = client.get(self.url.clone());
        request = request.header(header::ACCEPT, "application/jwk-set+json, application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token.expose_secret().trim());
        }
        let response = request.send().await.map_err(|error| cause(&error))?;
        text(response).await
    }
}

/// An issuer at work.
#[derive(Debug)]
pub(super) struct Issuer {
    rules: TokenRules,
    source: KeySource,
    held: ArcSwapOption<Held>,
    /// When the last fetch ended, whether it brought keys or not.
    fetched: watch::Sender<Option<Duration>>,
    /// Tells that a call wants keys that are not held.
    wanted: watch::Sender<()>,
    reader: Reader,
    clock: Clock,
    metrics: metrics::Identity,
}

#[derive(Debug)]
struct Held {
    keys: Keys,
    at: Duration,
}

impl Issuer {
    pub(super) fn new(
        settings: IssuerSettings,
        reader: Reader,
        clock: Clock,
        metrics: metrics::Identity,
    ) -> Self {
        Self {
            rules: settings.rules,
            source: settings.source,
            held: ArcSwapOption::empty(),
            fetched: watch::Sender::default(),
            wanted: watch::Sender::default(),
            reader,
            clock,
            metrics,
        }
    }

    /// What its tokens have as `iss`.
    pub(super) fn issuer(&self) -> &str {
        &self.rules.issuer
    }

    /// What it is called in the configuration.
    pub(super) fn name(&self) -> &str {
        &self.rules.name
    }

    /// Whose SPIFFE ids its tokens may carry.
    pub(super) fn trust_domain(&self) -> Option<&str> {
        self.rules.trust_domain.as_deref()
    }

    /// Whom a token of it names.
    pub(super) async fn judge(&self, token: &Token<'_>) -> Result<Proven, Rejection> {
        let before = self.held_since();
        let verdict = self.verify(token, self.held().as_deref());
        let again = matches!(
            verdict,
            Err(Rejection::TokenKey | Rejection::KeysUnavailable)
        );
        if again && matches!(self.source, KeySource::Url(_)) {
            self.news(before).await;
            self.verify(token, self.held().as_deref())?;
        } else {
            verdict?;
        }
        token.subject(&self.rules, self.clock.now())
    }

    fn verify(&self, token: &Token<'_>, held: Option<&Held>) -> Result<(), Rejection> {
        let held = held.ok_or(Rejection::KeysUnavailable)?;
        token.verify(&self.rules, &held.keys)
    }

    /// When those that are held were had, whether they count or not.
    fn held_since(&self) -> Option<Duration> {
        self.held.load().as_ref().map(|held| held.at)
    }

    /// The keys that count.
    fn held(&self) -> Option<Arc<Held>> {
        let held = self.held.load_full();
        held.filter(|held| match &self.source {
            KeySource::File(_) => true,
            KeySource::Url(source) => self.clock.elapsed().saturating_sub(held.at) <= source.keep,
        })
    }

    /// Takes in the text of a key set.
    pub(super) fn take(&self, text: &str) -> Result<String, String> {
        Ok(self.hold(Keys::parse(text)?))
    }

    fn hold(&self, keys: Keys) -> String {
        let told = format!("{} keys of the issuer {}", keys.count(), self.name());
        let at = self.clock.elapsed();
        self.held.store(Some(Arc::new(Held { keys, at })));
        told
    }

    /// Fetches the keys again and again, also before their time for a call that wants them, and keeps
    /// those it has while it gets none. Never ends. Nothing else fetches, so that no caller who goes away
    /// takes a fetch along, or the turn of one.
    pub(super) async fn refresh(&self) {
        let KeySource::Url(source) = &self.source else {
            return std::future::pending().await; // its file is watched
        };
        let mut wanted = self.wanted.subscribe();
        loop {
            let came = self.fetch(source).await;
            self.fetched.send_replace(Some(self.clock.elapsed()));
            // Who wanted keys until now had these.
            wanted.mark_unchanged();
            self.clock.sleep(FETCH_FLOOR).await;
            let pause = if came {
                source.refresh_interval.saturating_sub(FETCH_FLOOR)
            } else {
                Duration::ZERO
            };
            self.clock.timeout(pause, wanted.changed()).await;
        }
    }

    /// Whether keys came.
    async fn fetch(&self, source: &KeyUrl) -> bool {
        let keys = source.keys(&self.reader, &self.clock).await;
        let taken = keys.map(|keys| self.hold(keys));
        let (issuer, url) = (self.name(), source.url.as_str());
        self.metrics.reloaded(("keys", issuer), taken.is_ok());
        match &taken {
            Ok(what) => {
                self.metrics.keys_read(issuer, self.clock.now());
                tracing::debug!(issuer, url, "took in {what}");
            }
            Err(error) => {
                tracing::warn!(issuer, url, error, "no keys; those there are stay for now");
            }
        }
        taken.is_ok()
    }

    /// Has the keys fetched, and waits for that or for the fetch that is under way, unless others than
    /// those of `before` came meanwhile, or the issuer was asked only just now.
    async fn news(&self, before: Option<Duration>) {
        // Before the keys are looked at, so that no fetch ends unseen in between.
        let mut fetched = self.fetched.subscribe();
        let last = *fetched.borrow_and_update();
        let since = |at| self.clock.elapsed().saturating_sub(at);
        let just = last.is_some_and(|at| since(at) < FETCH_FLOOR);
        if just || self.held_since() > before {
            return;
        }
        self.wanted.send_replace(());
        self.clock.timeout(FETCH_TIMEOUT, fetched.changed()).await;
    }
}

/// A client for one fetch: made anew each time, so that it knows changed certificates.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks issuers, with limits of its own"
)]
fn client(authorities: Option<&SecretString>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy();
    if let Some(pem) = authorities {
        let certificates = Certificate::from_pem_bundle(pem.expose_secret().as_bytes());
        let certificates = certificates.or(Err("jwks_ca_file holds no certificates"))?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|error| cause(&error))
}

/// The whole answer, chunk by chunk so that a giant one is cut and not held.
async fn text(mut response: Response) -> Result<String, String> {
    if response.status() != StatusCode::OK {
        return Err(format!("answers {}", response.status()));
    }
    let limit = usize::try_from(BYTES_MAX).unwrap_or(usize::MAX);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(format!("answers more than {BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).or(Err("answers what is no text".to_owned()))
}

/// The last error of a chain says what happened.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let cause: &dyn Display = &cause;
    cause.to_string()
}
