//! Where keys come from: this machine, the metadata service of a machine of the cloud, or STS for
//! who shows a token of Kubernetes.

use super::keeper::Fetched;
use super::sts::{self, Role, TemporaryKeys};
use super::{Credential, Local};
use crate::clock::Clock;
use crate::cloud::body::wiped;
use crate::cloud::endpoint::{Address, Endpoint, is_written_so};
use crate::cloud::skew::{Sample, Signature, Skew};
use crate::cloud::tc3::Form;
use crate::domain::names::{Region, is_loopback_host};
use crate::metrics;
use crate::random::Random;
use reqwest::header::{self, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;

/// The metadata service answers from the same host or not at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const METADATA_PATH: &str = "latest/meta-data/cam/security-credentials/";
/// Where it is.
pub const METADATA_HOST: &str = "metadata.tencentyun.com";
/// How long STS may take.
const STS_TIMEOUT: Duration = Duration::from_secs(10);
/// Keys are some kilobytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What asks for keys by a token is not signed: it has none yet.
const UNSIGNED: &str = "SKIP";
const JSON: &str = "application/json; charset=utf-8";

/// Where the keys of an account come from, before a role is assumed with them.
#[derive(Clone, Debug)]
pub enum Source {
    /// From this machine; looked at again and again, unless it cannot change.
    Local(Local),
    /// From the role that is bound to the machine of the cloud that this is.
    MachineRole(MachineRole),
    /// From STS, for a token of Kubernetes.
    WebIdentity(WebIdentity),
}

impl Source {
    /// What it is, for a person.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Local(local) if local.is_fixed() => "configuration or environment",
            Self::Local(_) => "file",
            Self::MachineRole(_) => "role of the machine",
            Self::WebIdentity(_) => "token of Kubernetes",
        }
    }
}

/// The role that is bound to a machine of the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineRole {
    /// Which; none: the one that the metadata service names.
    pub role: Option<String>,
    /// Where the metadata service is: [`MachineRole::endpoint`].
    pub endpoint: Url,
}

impl MachineRole {
    /// The URL of a metadata service: the cloud's, or one of this machine or of its link.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn endpoint(text: &str) -> Result<Url, &'static str> {
        let url = Url::parse(text).or(Err("is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("names a user");
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("has more than a host and a port");
        }
        if !is_written_so(&url, text) {
            return Err("is not how such a URL is written");
        }
        let host = url.host_str().unwrap_or_default();
        let link = host.parse::<std::net::Ipv4Addr>();
        let near = is_loopback_host(host) || link.is_ok_and(|address| address.is_link_local());
        let known = host == METADATA_HOST && url.port().is_none();
        match url.scheme() {
            "http" if known || near => Ok(url),
            "http" | "https" => Err("is not the metadata service, whose keys would be trusted"),
            _ => Err("is not http"),
        }
    }
}

/// A token of Kubernetes that STS gives keys for.
#[derive(Clone, Debug)]
pub struct WebIdentity {
    /// The cloud's name of the cluster as an identity provider.
    pub provider_id: String,
    /// The role that it may assume.
    pub role_arn: String,
    /// Reads the token, each time anew.
    pub token: Token,
}

/// Reads a token; `config` gives it.
#[derive(Clone)]
pub struct Token(Arc<ReadToken>);

type ReadToken = dyn Fn() -> Result<SecretString, String> + Send + Sync;

impl Token {
    /// Reads with `read`, which names the file in its errors.
    #[must_use]
    pub fn new(read: impl Fn() -> Result<SecretString, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// What sources are asked with.
#[derive(Clone, Debug)]
pub(in crate::cloud) struct Means {
    /// As the cloud is called.
    pub(in crate::cloud) http: Client,
    /// Past every proxy.
    pub(in crate::cloud) direct: Client,
    pub(in crate::cloud) endpoint: Endpoint,
    pub(in crate::cloud) clock: Clock,
    /// Hears the answers of STS, too: it may be all that is called.
    pub(in crate::cloud) skew: Arc<Skew>,
    pub(in crate::cloud) random: Random,
    pub(in crate::cloud) metrics: metrics::Credentials,
    /// How often what is on this machine is looked at.
    pub(in crate::cloud) reload_interval: Duration,
    /// How long a call waits for the first key.
    pub(in crate::cloud) first_wait: Duration,
}

impl Source {
    /// The keys as they are now. `session` is in whose name a role is assumed.
    pub(super) async fn fetch(
        &self,
        means: &Means,
        region: &Region,
        session: &str,
    ) -> Result<Fetched, String> {
        match self {
            Self::Local(local) => from_here(local.clone(), means).await,
            Self::MachineRole(role) => from_metadata(role, means).await,
            Self::WebIdentity(web) => from_token(web, means, region, session).await,
        }
    }
}

async fn from_here(local: Local, means: &Means) -> Result<Fetched, String> {
    let fixed = local.is_fixed();
    // Twice: of several files that are replaced together, some may be new and others not yet.
    let read = move || {
        let (first, second) = (local.read()?, local.read()?);
        let same = first.is(&second);
        same.then_some(second)
            .ok_or_else(|| "its files change just now".to_owned())
    };
    let read = tokio::task::spawn_blocking(read).await;
    let credential = read.unwrap_or_else(|_| Err("reading it failed".to_owned()))?;
    let again = (!fixed).then_some(means.reload_interval);
    fetched(credential, again, means)
}

fn fetched(
    credential: Credential,
    again: Option<Duration>,
    means: &Means,
) -> Result<Fetched, String> {
    match credential.expires_at() {
        Some(end) if end <= means.clock.now() => Err(format!("its key ended at {end}")),
        Some(_) | None => Ok(Fetched { credential, again }),
    }
}

async fn from_metadata(source: &MachineRole, means: &Means) -> Result<Fetched, String> {
    let asked = async {
        let list = source.endpoint.join(METADATA_PATH);
        let list = list.map_err(|error| error.to_string())?;
        let role = match &source.role {
            Some(role) => role.clone(),
            None => bound_role(&means.direct, list.clone()).await?,
        };
        let url = list.join(&role).map_err(|error| error.to_string())?;
        get(&means.direct, url).await
    };
    let answer = means.clock.timeout(METADATA_TIMEOUT, asked).await;
    let answer = answer.unwrap_or_else(|| Err("does not answer".to_owned()));
    let answer = answer.map_err(|error| format!("the metadata service {error}"))?;
    let keys: MetadataKeys = serde_json::from_slice(&answer)
        .or(Err("the metadata service answers no keys".to_owned()))?;
    if keys.code != "Success" {
        return Err("the metadata service has no keys".to_owned());
    }
    let end = UtcDateTime::from_unix_timestamp(keys.expired_time);
    let end = end.or(Err(
        "the keys of the metadata service have no end".to_owned()
    ))?;
    let credential = keys.keys.credential().map_err(|rule| rule.to_string())?;
    fetched(credential.expiring(end), None, means)
}

/// The role that the metadata service names: the first line.
async fn bound_role(http: &Client, list: Url) -> Result<String, String> {
    let text = get(http, list).await?;
    let text = str::from_utf8(&text).unwrap_or_default();
    let role = text.lines().next().unwrap_or_default().trim();
    if is_role(role) {
        Ok(role.to_owned())
    } else {
        Err("names no role".to_owned())
    }
}

/// Whether a text is the name of a role and nothing else, so that it may stand in a path.
#[must_use]
pub fn is_role(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    let dots = text.bytes().all(|byte| byte == b'.');
    (1..=128).contains(&text.len()) && text.bytes().all(plain) && !dots
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetadataKeys {
    code: String,
    expired_time: i64,
    #[serde(flatten)]
    keys: TemporaryKeys,
}

async fn get(http: &Client, url: Url) -> Result<Zeroizing<Vec<u8>>, String> {
    let response = http.get(url).send().await.map_err(|error| cause(&error))?;
    body(response).await
}

async fn from_token(
    source: &WebIdentity,
    means: &Means,
    region: &Region,
    session: &str,
) -> Result<Fetched, String> {
    let read = source.token.clone();
    let token = tokio::task::spawn_blocking(move || (read.0)()).await;
    let token = token.unwrap_or_else(|_| Err("reading the token failed".to_owned()))?;
    let (arn, provider) = (&source.role_arn, &source.provider_id);
    let body = sts::web_identity(arn, session, provider, token.expose_secret());
    let action = "AssumeRoleWithWebIdentity";
    let request = Sts {
        means,
        region,
        action,
        body: &body,
    };
    let answer = request.ask(None).await;
    fetched(answer.map_err(|refused| refused.message)?, None, means)
}

/// The keys of `role`, which `by` may assume.
pub(super) async fn assume(
    role: &Role,
    by: &Credential,
    means: &Means,
    region: &Region,
    session: &str,
) -> Result<Fetched, sts::Refused> {
    let action = "AssumeRole";
    let body = role.body(session);
    let request = Sts {
        means,
        region,
        action,
        body: &body,
    };
    let credential = request.ask(Some(by)).await?;
    fetched(credential, None, means).map_err(sts::Refused::unusable)
}

/// One call of STS.
struct Sts<'a> {
    means: &'a Means,
    region: &'a Region,
    action: &'static str,
    body: &'a str,
}

impl Sts<'_> {
    /// Asks once, signed by a key if there is one.
    async fn ask(&self, by: Option<&Credential>) -> Result<Credential, sts::Refused> {
        let Means { clock, skew, .. } = self.means;
        let sent = async {
            let request = self.request(by)?;
            let (at, before) = (skew.wall().now(), clock.elapsed());
            let response = request.send().await.map_err(|error| cause(&error))?;
            let took = clock.elapsed().saturating_sub(before);
            let sample = Sample::of(response.headers(), at, took);
            Ok((body(response).await?, sample))
        };
        let answer = clock.timeout(STS_TIMEOUT, sent).await;
        let answer = answer.unwrap_or_else(|| Err("does not answer".to_owned()));
        let lost = |error| sts::Refused::unusable(format!("STS {error}"));
        let (answer, sample) = answer.map_err(lost)?;
        let keys = sts::read(&answer);
        let signature = match &keys {
            Ok(_) => Signature::Taken,
            Err(refused) => refused.signature,
        };
        // Where nothing was signed, only a refusal for its age says how the time was taken.
        let said = by.is_some() || signature == Signature::Expired;
        skew.heard(sample, if said { signature } else { Signature::Unknown });
        keys
    }

    fn request(&self, by: Option<&Credential>) -> Result<RequestBuilder, String> {
        let Address { url, host } = self.means.endpoint.sts(self.region);
        let headers = [
            ("content-type", JSON),
            ("host", &host),
            ("x-tc-action", self.action),
        ];
        let now = self.means.clock.now();
        let (timestamp, authorization) = match by {
            Some(by) => {
                let form = Form::new("POST", "", &headers);
                let signed = by.sign_for_sts(&form, self.body.as_bytes(), now);
                (signed.timestamp, signed.authorization)
            }
            None => (now.unix_timestamp().to_string(), UNSIGNED.to_owned()),
        };
        let request = self.means.http.post(url);
        let request = request
            .header(header::CONTENT_TYPE, JSON)
            .header("x-tc-action", self.action)
            .header("x-tc-version", sts::VERSION)
            .header("x-tc-region", self.region.as_str())
            .header("x-tc-timestamp", timestamp)
            .header("x-tc-language", "en-US")
            .header(header::AUTHORIZATION, secret(&authorization)?);
        let token = by.and_then(Credential::token);
        let request = match token {
            Some(token) => request.header("x-tc-token", secret(token.expose_secret())?),
            None => request,
        };
        Ok(request.body(wiped(self.body.as_bytes())))
    }
}

fn secret(text: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(text);
    let mut value = value.or(Err("cannot be asked: the key is no header text".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The whole answer, chunk by chunk so that a giant one is cut and not held.
async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, String> {
    if response.status() != StatusCode::OK {
        return Err(format!("answers {}", response.status()));
    }
    let mut body = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_MAX));
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("answers more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The last error of the chain says what happened.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("cannot be reached: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_metadata_service_is_believed() {
        for text in [
            "http://metadata.tencentyun.com",
            "http://metadata.tencentyun.com/",
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "http://[::1]:8080",
            "http://169.254.0.23",
        ] {
            assert!(MachineRole::endpoint(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "metadata.tencentyun.com",
            "https://metadata.tencentyun.com",
            "http://metadata.tencentyun.com:8080",
            "http://metadata.tencentyun.com.evil.example",
            "http://metadata.tencentyun.com@evil.example",
            "http://user@metadata.tencentyun.com",
            "http://metadata.tencentyun.com/latest",
            "http://metadata.tencentyun.com/?a",
            "http://metadata.tencentyun.com/#a",
            "http://evil.example",
            "http://10.0.0.1",
            "http://169.255.0.23",
            "ftp://127.0.0.1",
        ] {
            assert!(MachineRole::endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn roles_are_names_and_no_paths() {
        for (text, sound) in [
            ("CvmAgent", true),
            ("a+b=c,d.e@f_g-h", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a?b", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(is_role(text), sound, "{text}");
        }
        assert!(!is_role(&"a".repeat(129)));
    }
}
