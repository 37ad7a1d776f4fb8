//! TLS for the simulator: the identity that it shows, and a listener that takes TLS and plain HTTP on one port.

use crate::clock::Clock;
use axum::serve::Listener;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use time::{OffsetDateTime, UtcDateTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an own certificate is good; clocks of clients may be a day behind.
const VALID_FOR: time::Duration = time::Duration::days(365);
const CLOCK_SKEW: time::Duration = time::Duration::days(1);
/// Hosts of the cloud's services on this machine, as Terraform and browsers name them.
const LOCAL_HOSTS: [&str; 6] = [
    "localhost",
    "cvm.localhost",
    "cbs.localhost",
    "sts.localhost",
    "tag.localhost",
    "vpc.localhost",
];
/// The cloud's own hosts, for clients that are led here by name.
const CLOUD_HOSTS: [&str; 3] = [
    "*.tencentcloudapi.com",
    "*.internal.tencentcloudapi.com",
    "*.intl.tencentcloudapi.com",
];
/// The first byte of a TLS connection: a handshake record.
const HANDSHAKE: u8 = 0x16;
/// Connections that have not said yet what they are. More wait in the system's queue.
const UNDECIDED_MAX: usize = 128;
/// How long one may take to say so.
const UNDECIDED_FOR: Duration = Duration::from_secs(10);
/// After a connection could not be taken, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A connection of either kind.
pub(super) type Connection = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The certificate and the key that the simulator proves itself with.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

/// Why an identity cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file holds none.
    #[error("the certificate is not PEM: {0}")]
    Certificate(rustls::pki_types::pem::Error),
    /// The key's file holds none.
    #[error("the private key is not PEM: {0}")]
    Key(rustls::pki_types::pem::Error),
    /// They do not fit each other, or are of a kind that is not supported.
    #[error("the certificate and the key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// An own one could not be made.
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// The certificate chain and the private key of these PEM texts.
    ///
    /// # Errors
    /// When they are none, or do not fit.
    pub fn given(certificate: &str, key: &str) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
        let chain: Result<Vec<_>, _> = chain.collect();
        let chain = chain.map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(TlsError::Key)?;
        Self::of(chain, key)
    }

    /// A new certificate for this machine, `addresses` and the cloud's hosts, signed by a CA of its own
    /// that lives as long; also the certificate of that CA, which clients must trust. The CA's key is
    /// thrown away: nobody can sign more.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn own(
        now: UtcDateTime,
        addresses: &[IpAddr],
        regions: impl IntoIterator<Item = String>,
    ) -> Result<(Self, String), TlsError> {
        let mut authority = params(now, "cvm-gateway simulator CA", Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let regional = regions
            .into_iter()
            .map(|region| format!("*.{region}.tencentcloudapi.com"));
        let hosts = LOCAL_HOSTS.iter().chain(&CLOUD_HOSTS);
        let hosts = hosts.map(|host| (*host).to_owned());
        let addresses = addresses.iter().map(ToString::to_string);
        let names = hosts.chain(regional).chain(addresses).collect();
        let mut server = params(now, "cvm-gateway simulator", names)?;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &authority)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let identity = Self::of(vec![certificate.der().clone()], key.into())?;
        Ok((identity, authority.pem()))
    }

    fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        let mut config = config.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

fn params(
    now: UtcDateTime,
    name: &str,
    names: Vec<String>,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::from(now.saturating_sub(CLOCK_SKEW));
    params.not_after = OffsetDateTime::from(now.saturating_add(VALID_FOR));
    Ok(params)
}

/// A listener whose connections are past their handshake.
#[derive(Debug)]
pub(super) struct Doors {
    addr: SocketAddr,
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
}

impl Doors {
    /// Takes connections of `listener` until `stopping`.
    pub(super) fn open(
        listener: TcpListener,
        identity: Identity,
        stopping: CancellationToken,
        tasks: &TaskTracker,
    ) -> std::io::Result<Self> {
        let addr = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(1);
        let porter = Porter {
            acceptor: TlsAcceptor::from(identity.0),
            ready: sender,
            undecided: Arc::new(Semaphore::new(UNDECIDED_MAX)),
            tasks: tasks.clone(),
        };
        tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = porter.receive(listener) => {}
            }
        });
        Ok(Self { addr, ready })
    }
}

impl Listener for Doors {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await, // it is stopping
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

/// Finds out what each connection is, each in a task of its own, so that a slow one is in nobody's way.
struct Porter {
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(Connection, SocketAddr)>,
    undecided: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Porter {
    async fn receive(self, listener: TcpListener) {
        while let Ok(permit) = Arc::clone(&self.undecided).acquire_owned().await {
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    Clock::system().sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (acceptor, ready) = (self.acceptor.clone(), self.ready.clone());
            self.tasks.spawn(async move {
                let decided = decide(acceptor, stream);
                match Clock::system().timeout(UNDECIDED_FOR, decided).await {
                    // Who stops takes no more connections.
                    Some(Ok(connection)) => drop(ready.send((connection, from)).await),
                    Some(Err(error)) => tracing::debug!(%error, %from, "no TLS"),
                    None => tracing::debug!(%from, "a connection said nothing"),
                }
                drop(permit);
            });
        }
    }
}

async fn decide(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<Connection> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first != [HANDSHAKE] {
        return Ok(Either::Left(stream));
    }
    let stream = acceptor.accept(stream).await?;
    Ok(Either::Right(Box::new(stream)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn given_files_must_be_a_certificate_and_its_key() {
        let now = utc_datetime!(2026-11-23 12:00);
        let keys = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
        let params = params(now, "test", vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&keys[0]).unwrap().pem();
        let verdict = |certificate: &str, key: &str| match Identity::given(certificate, key) {
            Ok(_) => "fits",
            Err(TlsError::Certificate(_)) => "no certificate",
            Err(TlsError::Key(_)) => "no key",
            Err(TlsError::Unusable(_)) => "does not fit",
            Err(TlsError::Make(_)) => "not made",
        };
        let [fitting, strange] = keys.map(|key| key.serialize_pem());
        assert_eq!(verdict(&certificate, &fitting), "fits");
        assert_eq!(verdict(&certificate, &strange), "does not fit");
        assert_eq!(verdict(&certificate, &certificate), "no key");
        assert_eq!(verdict("", &fitting), "does not fit");
        assert_eq!(
            verdict("-----BEGIN CERTIFICATE-----\n?", &fitting),
            "no certificate"
        );
    }
}
