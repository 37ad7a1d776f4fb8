//! Who calls: what a certificate or a token proves, and which organisation that is.

pub mod callers;
mod certificate;
pub mod denied;
mod files;
mod issuer;
mod keys;
pub mod proven;
mod rejection;
mod shown;
mod tls;
mod token;

pub use files::Reader;
pub use issuer::{IssuerSettings, KeySource, KeyUrl};
pub use jsonwebtoken::Algorithm;
pub use keys::{BYTES_MAX as KEYS_BYTES_MAX, Keys};
pub use rejection::Rejection;
pub use shown::{Certificate, certificates};
pub use tls::{Material, MaterialError, Peer};
pub use token::TokenRules;

use crate::clock::Clock;
use crate::domain::audit::Proof;
use crate::domain::ids::Principal;
use crate::metrics;
use arc_swap::{ArcSwap, ArcSwapOption};
use callers::Callers;
use denied::Denied;
use files::Watched;
use http::HeaderMap;
use issuer::Issuer;
use proven::Proven;
use rustls::ServerConfig;
use secrecy::{ExposeSecret, SecretString};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tls::Tls;
use token::Token;

/// A large enterprise's certificates.
pub const PEM_BYTES_MAX: u64 = 4 << 20;

/// How callers are told apart.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What each call must prove.
    pub required: Required,
    /// TLS; none: plaintext.
    pub tls: Option<TlsFiles>,
    /// The file of the deny list.
    pub denied_file: Option<String>,
    /// How often files are looked at.
    pub reload_interval: Duration,
    /// Who issues tokens.
    pub issuers: Vec<IssuerSettings>,
    /// Whose the callers are.
    pub callers: Callers,
    /// Reads the files.
    pub reader: Reader,
}

/// What each call must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Required {
    /// Nothing: every caller is this one.
    Nothing(Principal),
    /// A certificate.
    Certificate,
    /// A token.
    Token,
    /// Both, of one organisation. The token names the caller.
    Both,
}

/// What goes on beside the calls, and never ends.
pub type Errand = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The files of TLS, as the configuration names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The gateway's own certificate, with those that vouch for it after it.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// Who vouches for callers; none: callers need no certificate.
    pub client_authorities: Option<String>,
}

/// A file that the gateway cannot start with.
#[derive(Debug, thiserror::Error)]
#[error("{files}: {problem}")]
pub struct IdentityError {
    files: String,
    problem: String,
}

/// Lets callers in. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    required: Required,
    callers: Callers,
    tls: ArcSwapOption<Tls>,
    denied: ArcSwap<Denied>,
    issuers: Vec<Issuer>,
    generation: AtomicU64,
    /// Only one at a time reads them.
    watched: Mutex<Vec<(Source, Watched)>>,
    reload_interval: Duration,
    reader: Reader,
    clock: Clock,
    metrics: metrics::Identity,
}

/// What a group of files is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Tls,
    Denied,
    /// Of the issuer with this index.
    Keys(usize),
}

impl Gate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn open(
        settings: Settings,
        clock: Clock,
        metrics: metrics::Identity,
    ) -> Result<Self, IdentityError> {
        metrics.rejects_none(Rejection::ALL.map(Rejection::as_str));
        let watched = watched(&settings);
        let issuers = settings.issuers.into_iter().map(|issuer| {
            Issuer::new(
                issuer,
                settings.reader.clone(),
                clock.clone(),
                metrics.clone(),
            )
        });
        let gate = Self(Arc::new(Shared {
            watched: Mutex::new(watched),
            issuers: issuers.collect(),
            required: settings.required,
            callers: settings.callers,
            tls: ArcSwapOption::empty(),
            denied: ArcSwap::default(),
            generation: AtomicU64::new(0),
            reload_interval: settings.reload_interval,
            reader: settings.reader,
            clock,
            metrics,
        }));
        match gate.reload().into_iter().next() {
            None => Ok(gate),
            Some(error) => Err(error),
        }
    }

    /// What must go on beside the calls: to look at files, and to fetch keys.
    #[must_use]
    pub fn errands(&self) -> Vec<Errand> {
        let watch: Errand = Box::pin(self.clone().watch());
        let issuers = (0..self.0.issuers.len()).map(|index| -> Errand {
            let gate = self.clone();
            Box::pin(async move {
                if let Some(issuer) = gate.0.issuers.get(index) {
                    issuer.refresh().await;
                }
            })
        });
        std::iter::once(watch).chain(issuers).collect()
    }

    /// Looks at the files again and again. What cannot be used is told, and what was good before
    /// stays. Never ends.
    async fn watch(self) {
        loop {
            self.0.clock.sleep(self.0.reload_interval).await;
            let gate = self.clone();
            let reload = tokio::task::spawn_blocking(move || gate.reload());
            for error in reload.await.unwrap_or_default() {
                tracing::error!(%error, "changed files cannot be used; what they held before stays");
            }
        }
    }

    /// TLS as new connections get it; none: plaintext.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        let tls = self.0.tls.load();
        tls.as_ref().map(|tls| Arc::clone(&tls.config))
    }

    /// Who calls, by the other side of its connection and by what the call carries; and what proved it.
    ///
    /// # Errors
    /// Why nobody is let in. Callers must not be told.
    pub async fn principal(
        &self,
        peer: Option<&Peer>,
        headers: &HeaderMap,
    ) -> Result<(Principal, Proof), Rejection> {
        let principal = self.prove(peer, headers).await;
        if let Err(rejection) = principal {
            self.0.metrics.rejected(rejection.as_str());
        }
        principal
    }

    async fn prove(
        &self,
        peer: Option<&Peer>,
        headers: &HeaderMap,
    ) -> Result<(Principal, Proof), Rejection> {
        let mut proof = Proof::default();
        let principal = match &self.0.required {
            Required::Nothing(everybody) => everybody.clone(),
            Required::Certificate => self.caller(&self.certificate(peer, &mut proof)?)?,
            Required::Token => self.caller(&self.token(headers, &mut proof).await?)?,
            Required::Both => {
                let machine = self.caller(&self.certificate(peer, &mut proof)?)?;
                let caller = self.caller(&self.token(headers, &mut proof).await?)?;
                let same = machine.organization == caller.organization;
                same.then_some(caller).ok_or(Rejection::TwoOrganizations)?
            }
        };
        Ok((principal, proof))
    }

    fn certificate(&self, peer: Option<&Peer>, proof: &mut Proof) -> Result<Proven, Rejection> {
        let peer = peer.ok_or(Rejection::NoCertificate)?;
        let tls = self.0.tls.load();
        let tls = tls.as_ref().ok_or(Rejection::NoCertificate)?;
        let leaf = peer.trusted(tls, &self.0.clock)?;
        if self.0.denied.load().has_certificate(leaf) {
            return Err(Rejection::Denied);
        }
        proof.certificate_sha256 = Some(hex::encode(leaf.sha256));
        leaf.names.clone()
    }

    async fn token(&self, headers: &HeaderMap, proof: &mut Proof) -> Result<Proven, Rejection> {
        let token = Token::parse(token::bearer(headers)?)?;
        let name = token.issuer()?;
        let issuer = self.0.issuers.iter().find(|issuer| issuer.issuer() == name);
        let proven = issuer.ok_or(Rejection::TokenIssuer)?.judge(&token).await?;
        proof.token_id = token.id();
        Ok(proven)
    }

    fn caller(&self, proven: &Proven) -> Result<Principal, Rejection> {
        if self.0.denied.load().has_name(proven) {
            return Err(Rejection::Denied);
        }
        let organization = self.0.callers.organization(proven);
        Ok(Principal {
            name: proven.to_string(),
            organization: organization.ok_or(Rejection::NoOrganization)?.clone(),
        })
    }

    /// Takes in what changed; what is wrong with it.
    fn reload(&self) -> Vec<IdentityError> {
        let mut watched = self
            .0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut errors = Vec::new();
        for (source, files) in watched.iter_mut() {
            let Some(texts) = files.changed(&self.0.reader) else {
                continue;
            };
            let taken = texts.and_then(|texts| self.take(*source, &texts));
            let which = (source.as_str(), self.which(*source));
            self.0.metrics.reloaded(which, taken.is_ok());
            match taken {
                Ok(what) => tracing::info!(files = files.names(), "took in {what}"),
                Err(problem) => errors.push(IdentityError {
                    files: files.names(),
                    problem,
                }),
            }
        }
        errors
    }

    /// What tells apart what is of the same kind: the issuer.
    fn which(&self, source: Source) -> &str {
        match source {
            Source::Tls | Source::Denied => "",
            Source::Keys(index) => self.0.issuers.get(index).map_or("", Issuer::name),
        }
    }

    /// Takes in the texts of a group of files; what came of it, for people.
    fn take(&self, source: Source, texts: &[SecretString]) -> Result<String, String> {
        match (source, texts) {
            (Source::Tls, [certificate, key, rest @ ..]) => {
                let authorities = rest.first().map(ExposeSecret::expose_secret);
                let material = Material::read(certificate.expose_secret(), key, authorities);
                let generation = self.0.generation.fetch_add(1, Ordering::Relaxed);
                let tls = material.and_then(|new| Tls::new(new, &self.0.clock, generation));
                let tls = tls.map_err(|error| error.to_string())?;
                let told = format!("a certificate that ends {}", tls.not_after);
                self.0.metrics.ends(tls.not_after);
                self.0.tls.store(Some(Arc::new(tls)));
                Ok(told)
            }
            (Source::Denied, [list]) => {
                let issuers = self.0.issuers.iter();
                let issuers = issuers.map(|issuer| (issuer.name(), issuer.trust_domain()));
                let denied = Denied::parse(list.expose_secret(), &issuers.collect())?;
                let told = format!("a deny list of {} entries", denied.len());
                self.0.denied.store(Arc::new(denied));
                Ok(told)
            }
            (Source::Keys(index), [keys]) => {
                let issuer = self.0.issuers.get(index).ok_or("there is no such issuer")?;
                issuer.take(keys.expose_secret())
            }
            (Source::Tls | Source::Denied | Source::Keys(_), _) => {
                Err("the files were not read".to_owned())
            }
        }
    }
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Denied => "denied",
            Self::Keys(_) => "keys",
        }
    }
}

fn watched(settings: &Settings) -> Vec<(Source, Watched)> {
    let tls = settings.tls.clone().map(|files| {
        let paths = [files.certificate, files.key];
        let paths = paths.into_iter().chain(files.client_authorities);
        let watched = Watched::new(paths.collect(), PEM_BYTES_MAX);
        (Source::Tls, watched)
    });
    let denied = settings.denied_file.clone().map(|path| {
        let watched = Watched::new(vec![path], denied::BYTES_MAX);
        (Source::Denied, watched)
    });
    let issuers = settings.issuers.iter().enumerate();
    let keys = issuers.filter_map(|(index, issuer)| match &issuer.source {
        KeySource::File(path) => {
            let watched = Watched::new(vec![path.clone()], keys::BYTES_MAX);
            Some((Source::Keys(index), watched))
        }
        KeySource::Url(_) => None,
    });
    tls.into_iter().chain(denied).chain(keys).collect()
}

#[cfg(test)]
mod tests;
