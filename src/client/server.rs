//! Which gateway is called, and how it and the caller prove who they are.

use super::ClientError;
use crate::domain::names::is_loopback_host;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// A gateway is near: a connection that takes longer will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it lives, and how long it may take to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the caller's token, for each call anew: those of Kubernetes change every hour.
pub type ReadToken = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// A channel whose calls carry the caller's token.
pub(super) type Connection = InterceptedService<Channel, Present>;

/// A gateway, and how to prove who calls.
#[derive(Clone)]
pub struct Server {
    /// Its address, like `https://gateway.example:7080`.
    pub url: String,
    /// Trusts it by these certificates instead of the system's.
    pub ca_pem: Option<String>,
    /// The caller's certificate and its key.
    pub identity: Option<(String, SecretString)>,
    /// The caller's token.
    pub token: Option<ReadToken>,
}

/// Adds the token to each call.
#[derive(Clone)]
pub(super) struct Present(Option<ReadToken>);

impl Server {
    /// A gateway on this machine, to which nothing is proven.
    #[must_use]
    pub fn plain(url: String) -> Self {
        Self {
            url,
            ca_pem: None,
            identity: None,
            token: None,
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection, ClientError> {
        let channel = self.endpoint()?.connect().await;
        let channel = channel.map_err(|source| ClientError::Unreachable {
            server: self.url.clone(),
            source,
        })?;
        Ok(InterceptedService::new(
            channel,
            Present(self.token.clone()),
        ))
    }

    fn endpoint(&self) -> Result<Endpoint, ClientError> {
        let unusable = || ClientError::Server(self.url.clone());
        let endpoint = Endpoint::from_shared(self.url.clone()).or(Err(unusable()))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let host = endpoint.uri().host().map(str::to_owned);
        let host = host.ok_or_else(unusable)?;
        let tls = |source| ClientError::Tls {
            server: self.url.clone(),
            source,
        };
        let holds_none = |pem: &String| !pem.contains("-----BEGIN CERTIFICATE-----");
        match endpoint.uri().scheme_str() {
            Some("https") if self.ca_pem.as_ref().is_some_and(holds_none) => Err(tls(None)),
            Some("http") if self.ca_pem.is_some() || self.identity.is_some() => Err(tls(None)),
            Some("http") if self.token.is_some() && !is_loopback_host(&host) => {
                Err(ClientError::Plaintext(self.url.clone()))
            }
            Some("http") => Ok(endpoint),
            Some("https") => endpoint
                .tls_config(self.tls())
                .map_err(|source| tls(Some(source))),
            Some(_) | None => Err(unusable()),
        }
    }

    fn tls(&self) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new().timeout(CONNECT_TIMEOUT);
        let tls = match &self.ca_pem {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_native_roots(),
        };
        match &self.identity {
            Some((certificate, key)) => {
                tls.identity(Identity::from_pem(certificate, key.expose_secret()))
            }
            None => tls,
        }
    }
}

impl Interceptor for Present {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(read) = &self.0 {
            let token = read().map_err(Status::unauthenticated)?;
            let value = format!("Bearer {}", token.expose_secret().trim());
            let value = MetadataValue::try_from(value);
            let value = value.map_err(|_malformed| {
                Status::unauthenticated("the file of --token-file holds no token")
            });
            let mut value = value?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// Without what proves who calls.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Server");
        shown.field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Present")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(url: &str, token: bool, ca: Option<&str>) -> String {
        let token: Option<ReadToken> = token.then(|| -> ReadToken { Arc::new(|| Ok("t".into())) });
        let server = Server {
            url: url.to_owned(),
            ca_pem: ca.map(str::to_owned),
            identity: None,
            token,
        };
        match server.endpoint() {
            Ok(_) => "fine",
            Err(ClientError::Server(_)) => "no address",
            Err(ClientError::Plaintext(_)) => "plaintext",
            Err(ClientError::Tls { .. }) => "tls",
            Err(
                ClientError::Unreachable { .. } | ClientError::Refused(_) | ClientError::Output(_),
            ) => "other",
        }
        .to_owned()
    }

    #[test]
    fn tokens_go_to_this_machine_or_over_tls() {
        let rows = [
            ("http://127.0.0.1:7080", true, None, "fine"),
            ("http://[::1]:7080", true, None, "fine"),
            ("http://localhost:7080", true, None, "fine"),
            ("http://gateway.example:7080", false, None, "fine"),
            ("http://gateway.example:7080", true, None, "plaintext"),
            ("http://localhost.example:7080", true, None, "plaintext"),
            ("http://10.0.0.1:7080", true, None, "plaintext"),
            ("https://gateway.example:7080", true, None, "fine"),
            (
                "https://gateway.example:7080",
                false,
                Some("rubbish"),
                "tls",
            ),
            ("http://127.0.0.1:7080", false, Some("rubbish"), "tls"),
            ("ftp://gateway.example", false, None, "no address"),
            ("gateway.example:7080", false, None, "no address"),
            ("", false, None, "no address"),
        ];
        for (url, token, ca, expected) in rows {
            assert_eq!(told(url, token, ca), expected, "{url}");
        }
    }
}
