//! TLS towards callers: what the gateway shows, and which certificates it trusts.

use super::certificate::Leaf;
use super::rejection::Rejection;
use crate::clock::Clock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use secrecy::{ExposeSecret, SecretString};
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::UtcDateTime;

/// How long a verdict about a certificate is kept: its issuers may end before it does.
const VERDICT_LIFE: Duration = Duration::from_secs(60);
/// Certificates that a caller may show, and their bytes: nobody has vouched for them yet, and each connection keeps
/// them. One and its authorities are a few, and have a few kilobytes.
const CHAIN_MAX: usize = 16;
const CHAIN_BYTES_MAX: usize = 16 << 10;
/// gRPC is HTTP/2 and nothing else.
const PROTOCOL: &[u8] = b"h2";

/// What the files hold.
#[derive(Debug)]
pub struct Material {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// Who vouches for callers, when these need certificates.
    authorities: Option<RootCertStore>,
}

/// What is wrong with one of the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// Not a chain of certificates.
    #[error("holds no certificate chain; name a PEM file with the gateway's certificate first")]
    Chain,
    /// Not a key.
    #[error(
        "holds no private key; name a PEM file with an unencrypted PKCS #8, SEC 1 or PKCS #1 key"
    )]
    Key,
    /// Not certificates.
    #[error(
        "holds no certificates of authorities; name a PEM file with those that vouch for callers"
    )]
    Authorities,
    /// Key and certificate are not of each other, or of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Unusable(String),
}

/// TLS as it is now.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    /// Judges the certificates of callers.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// When the gateway's own certificate ends.
    pub(super) not_after: UtcDateTime,
    /// How often the files were taken in.
    generation: u64,
}

impl Material {
    /// Reads the texts of the files, each a PEM.
    ///
    /// # Errors
    /// [`MaterialError`].
    pub fn read(
        chain: &str,
        key: &SecretString,
        authorities: Option<&str>,
    ) -> Result<Self, MaterialError> {
        Ok(Self {
            chain: self::chain(chain)?,
            key: self::key(key)?,
            authorities: authorities.map(self::authorities).transpose()?,
        })
    }

    /// Whether a text is a chain of certificates.
    ///
    /// # Errors
    /// [`MaterialError::Chain`].
    pub fn check_chain(pem: &str) -> Result<(), MaterialError> {
        chain(pem).map(|_chain| ())
    }

    /// Whether a text is a private key.
    ///
    /// # Errors
    /// [`MaterialError::Key`].
    pub fn check_key(pem: &SecretString) -> Result<(), MaterialError> {
        key(pem).map(|_key| ())
    }

    /// Whether a text holds certificates of authorities.
    ///
    /// # Errors
    /// [`MaterialError::Authorities`].
    pub fn check_authorities(pem: &str) -> Result<(), MaterialError> {
        authorities(pem).map(|_authorities| ())
    }

    /// When the gateway's own certificate ends.
    ///
    /// # Errors
    /// [`MaterialError::Chain`].
    pub fn not_after(&self) -> Result<UtcDateTime, MaterialError> {
        let first = self.chain.first().ok_or(MaterialError::Chain)?;
        let leaf = Leaf::read(first).or(Err(MaterialError::Chain))?;
        Ok(leaf.not_after)
    }

    /// Whether it can be used.
    ///
    /// # Errors
    /// [`MaterialError`].
    pub fn check(self) -> Result<(), MaterialError> {
        Tls::new(self, &Clock::system(), 0).map(|_tls| ())
    }
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.or(Err(MaterialError::Chain))?;
    if chain.is_empty() || chain.iter().any(|one| Leaf::read(one).is_err()) {
        return Err(MaterialError::Chain);
    }
    Ok(chain)
}

fn key(pem: &SecretString) -> Result<PrivateKeyDer<'static>, MaterialError> {
    let pem = pem.expose_secret().as_bytes();
    PrivateKeyDer::from_pem_slice(pem).or(Err(MaterialError::Key))
}

fn authorities(pem: &str) -> Result<RootCertStore, MaterialError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.or(Err(MaterialError::Authorities))?;
        store.add(certificate).or(Err(MaterialError::Authorities))?;
    }
    if store.is_empty() {
        return Err(MaterialError::Authorities);
    }
    Ok(store)
}

impl Tls {
    pub(super) fn new(
        material: Material,
        clock: &Clock,
        generation: u64,
    ) -> Result<Self, MaterialError> {
        let unusable = |error: &dyn std::fmt::Display| MaterialError::Unusable(error.to_string());
        let not_after = material.not_after()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = material.authorities.map(|authorities| {
            let builder = WebPkiClientVerifier::builder_with_provider(
                Arc::new(authorities),
                Arc::clone(&provider),
            );
            builder.build().or(Err(MaterialError::Authorities))
        });
        let clients = clients.transpose()?;
        let time = Arc::new(TlsTime(clock.clone()));
        let builder = ServerConfig::builder_with_details(provider, time);
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = match &clients {
            Some(clients) => {
                builder.with_client_cert_verifier(Arc::new(Possession(Arc::clone(clients))))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(material.chain, material.key)
            .map_err(|error| unusable(&error))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self {
            config: Arc::new(config),
            clients,
            not_after,
            generation,
        })
    }

    /// Whether an authority vouches for these certificates, the caller's first, as of `now`.
    fn judge(&self, chain: &[CertificateDer<'_>], now: UtcDateTime) -> Result<(), Rejection> {
        let (first, rest) = chain.split_first().ok_or(Rejection::NoCertificate)?;
        let clients = self
            .clients
            .as_ref()
            .ok_or(Rejection::CertificateUntrusted)?;
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verified = clients.verify_client_cert(first, rest, now);
        verified.map(|_verified| ()).map_err(|error| reason(&error))
    }
}

fn reason(error: &rustls::Error) -> Rejection {
    let rustls::Error::InvalidCertificate(error) = error else {
        return Rejection::CertificateUntrusted;
    };
    if matches!(
        error,
        CertificateError::Expired | CertificateError::ExpiredContext { .. }
    ) {
        Rejection::CertificateExpired
    } else if matches!(
        error,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
    ) {
        Rejection::CertificateNotYetValid
    } else if matches!(
        error,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
    ) {
        Rejection::CertificatePurpose
    } else if matches!(error, CertificateError::BadEncoding) {
        Rejection::CertificateMalformed
    } else {
        Rejection::CertificateUntrusted
    }
}

/// In the handshake a caller proves that it has the key of its certificate, and no more. Whether the
/// certificate counts is judged at each call: so a caller is told UNAUTHENTICATED in place of a broken
/// connection, health can be asked without a certificate, and what a reload takes away, or time,
/// counts for connections that are open.
#[derive(Debug)]
struct Possession(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if !is_short(end_entity, intermediates) {
            let why = "the chain of certificates is too long".to_owned();
            return Err(rustls::Error::General(why));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whether a chain may be kept that nobody has vouched for.
fn is_short(first: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> bool {
    let chain = iter::once(first).chain(rest);
    let bytes: usize = chain.map(|certificate| certificate.len()).sum();
    rest.len() < CHAIN_MAX && bytes <= CHAIN_BYTES_MAX
}

#[derive(Debug)]
struct TlsTime(Clock);

impl TimeProvider for TlsTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().unix_timestamp()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The certificates that the other side of a connection has the key of.
#[derive(Debug)]
pub struct Peer {
    chain: Vec<CertificateDer<'static>>,
    leaf: Result<Leaf, Rejection>,
    verdict: Mutex<Option<Verdict>>,
}

/// What was last found out about a peer.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    /// By which authorities: the number of the reload.
    generation: u64,
    at: Duration,
    trusted: Result<(), Rejection>,
}

impl Peer {
    /// Of a handshake that was finished.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        let leaf = chain.first().ok_or(Rejection::NoCertificate);
        Self {
            leaf: leaf.and_then(|leaf| Leaf::read(leaf)),
            chain,
            verdict: Mutex::new(None),
        }
    }

    /// The certificate, if it can be trusted now.
    pub(super) fn trusted(&self, tls: &Tls, clock: &Clock) -> Result<&Leaf, Rejection> {
        let leaf = self.leaf.as_ref().map_err(|rejection| *rejection)?;
        let (now, elapsed) = (clock.now(), clock.elapsed());
        if now > leaf.not_after {
            return Err(Rejection::CertificateExpired);
        }
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = verdict.filter(|verdict| {
            verdict.generation == tls.generation
                && elapsed.saturating_sub(verdict.at) < VERDICT_LIFE
        });
        let verdict = verdict.insert(fresh.unwrap_or_else(|| Verdict {
            generation: tls.generation,
            at: elapsed,
            trusted: tls.judge(&self.chain, now),
        }));
        verdict.trusted.map(|()| leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_short_by_its_number_and_by_its_bytes() {
        for (first, rest, short) in [
            (CHAIN_BYTES_MAX, &[][..], true),
            (CHAIN_BYTES_MAX, &[1], false),
            (1, &[1; CHAIN_MAX - 1], true),
            (1, &[1; CHAIN_MAX], false),
        ] {
            let of = |bytes: usize| CertificateDer::from(vec![0; bytes]);
            let rest: Vec<_> = rest.iter().copied().map(of).collect();
            assert_eq!(is_short(&of(first), &rest), short, "{first}, {rest:?}");
        }
    }
}
