//! The HTTP client itself: how it is built, and what a broken exchange proves.

use super::{REQUEST_CLIENT, Settings};
use crate::chaos;
use crate::cloud::{CloudError, Fault, SettingsError};
use crate::domain::reason::Reason;
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Response, StatusCode};
use secrecy::ExposeSecret;

/// Reads a whole answer, chunk by chunk so that a giant one is cut and not held.
pub(super) async fn read_body(
    mut response: Response,
    bytes_max: usize,
) -> Result<Vec<u8>, CloudError> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refused_by_http(status));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Fault::AnswerTooLarge.error(format!("more than {bytes_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn refused_by_http(status: StatusCode) -> CloudError {
    let error = Fault::HttpStatus.error(format!("HTTP status {status}"));
    if status.is_server_error() {
        return CloudError {
            reason: Reason::CloudUnavailable,
            effect: chaos::wrong!(
                "5xx-is-refusal",
                error.effect,
                crate::cloud::Effect::Definite
            ),
            ..error
        };
    }
    error
}

/// Judges a broken exchange. Only an error before there was a connection proves that no byte left.
pub(super) fn lost(error: &reqwest::Error) -> CloudError {
    let fault = if error.is_builder() {
        Fault::InvalidCall
    } else if error.is_connect() {
        Fault::ConnectFailed
    } else {
        chaos::wrong!(
            "cut-is-not-sent",
            Fault::ConnectionLost,
            Fault::ConnectFailed
        )
    };
    fault.error(root_cause(error))
}

/// The last error of the chain says what happened; those before it only where.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that builds the HTTP client"
)]
fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(REQUEST_CLIENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
}

/// Whether a text is the URL of a proxy that can be gone through.
#[must_use]
pub fn is_proxy(url: &str) -> bool {
    let known = url.starts_with("http://") || url.starts_with("https://");
    known && Proxy::all(url).is_ok()
}

/// A client for what is next to this machine: nothing is kept, and no proxy is asked.
pub(super) fn direct_client() -> Result<Client, SettingsError> {
    let builder = builder().pool_max_idle_per_host(0);
    builder.build().map_err(SettingsError::Client)
}

pub(super) fn http_client(settings: &Settings) -> Result<Client, SettingsError> {
    let mut builder = builder()
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(settings.idle_timeout);
    if let Some(url) = &settings.proxy {
        let proxy = Proxy::all(url.expose_secret()).or(Err(SettingsError::Proxy))?;
        builder = builder.proxy(proxy);
    }
    if let Some(pem) = &settings.ca_pem {
        let certificates = Certificate::from_pem_bundle(pem).or(Err(SettingsError::CaFile))?;
        if certificates.is_empty() {
            return Err(SettingsError::CaFile);
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(SettingsError::Client)
}
