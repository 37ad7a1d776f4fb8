//! The cloud over HTTP: builds, signs, sends once, and judges what comes back.

mod forms;
mod key;
mod record;
mod tools;
mod transport;

pub use record::{CallClass, CallRecord, Observer};
pub use tools::Tools;
pub use transport::is_proxy;

use super::body::wiped;
use super::credentials::{self, Credential, Credentials, Errand, Means};
use super::endpoint::Endpoint;
use super::limiter::{Action, Permit};
use super::skew::{SIGNATURE_EXPIRED, Sample, Signature, Skew};
use super::wire::{self, Answer, FoundPages, TaggedPages};
use super::{
    Accepted, Cloud, CloudError, Fault, IDS_PER_CALL_MAX, Leaving, Retry, SettingsError, Signing,
    Tagged, Target,
};
use crate::chaos;
use crate::clock::Clock;
use crate::domain::instance::{InstanceDetail, InstanceId, InstanceState};
use crate::domain::outlook::{Offer, Price, Quota};
use crate::domain::standing::KeyStanding;
use async_trait::async_trait;
use forms::Forms;
use reqwest::header::{self, HeaderValue};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use time::UtcDateTime;
use tracing::Instrument;
use transport::{direct_client, http_client, lost, read_body};

/// The longest answer that is read: 100 instances take about 200 KiB, and what they were given as metadata.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest answer about a single instance, which cannot be asked for in parts. What it was given came in a
/// request, and the cloud takes 10 MB at most; it may be longer here, for characters that JSON escapes.
const LONE_ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Lower case, as it is signed; the charset as the cloud's own example has it.
const CONTENT_TYPE: &str = "application/json; charset=utf-8";
const API_VERSION: &str = "2017-03-12";
/// The cloud takes letters, digits and `-_ ,;.` here.
const REQUEST_CLIENT: &str = concat!("cvm-gateway_", env!("CARGO_PKG_VERSION"));

/// How to reach the cloud.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which host to call.
    pub endpoint: Endpoint,
    /// For name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// For a whole `RunInstances` call.
    pub run_instances_timeout: Duration,
    /// For a whole describe call.
    pub read_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How far this machine's clock may be off and be corrected.
    pub clock_skew_max: Duration,
    /// The URL of a proxy to go through, which may hold a password. The usual environment
    /// variables have no say.
    pub proxy: Option<SecretString>,
    /// PEM certificates to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// What the amounts of a price are for.
    pub price_amounts: wire::Amounts,
}

/// The CVM API over HTTP, with one connection pool for all accounts.
pub struct HttpCloud {
    http: Client,
    settings: Settings,
    credentials: Credentials,
    forms: Forms,
    /// Of the cloud's time.
    clock: Clock,
    skew: Arc<Skew>,
    observer: Observer,
}

impl HttpCloud {
    /// Prepares the client; connects only when called.
    ///
    /// # Errors
    /// [`SettingsError`] when the proxy or the certificates cannot be used.
    pub fn new(
        settings: Settings,
        credentials: credentials::Settings,
        tools: Tools,
    ) -> Result<Self, SettingsError> {
        let http = http_client(&settings)?;
        let skew = Skew::new(tools.clock, settings.clock_skew_max, tools.metrics.clone());
        let skew = Arc::new(skew);
        let means = Means {
            http: http.clone(),
            direct: direct_client()?,
            endpoint: settings.endpoint.clone(),
            clock: skew.clock(),
            skew: Arc::clone(&skew),
            random: tools.random,
            metrics: tools.metrics,
            reload_interval: credentials.reload_interval,
            first_wait: credentials.first_wait,
        };
        Ok(Self {
            http,
            settings,
            credentials: Credentials::new(credentials.accounts, &means),
            forms: Forms::new(),
            clock: skew.clock(),
            skew,
            observer: tools.observer,
        })
    }

    /// The cloud's time, as far as its answers have told it: what is signed must be dated by it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// What must go on beside the calls: keys are renewed.
    #[must_use]
    pub fn errands(&self) -> Vec<Errand> {
        self.credentials.errands()
    }

    async fn call<T>(
        &self,
        permit: &mut Permit,
        call: Call<'_>,
        read: impl FnOnce(&[u8]) -> Result<Answer<T>, CloudError>,
    ) -> Result<T, CloudError> {
        let started = self.clock.elapsed();
        let span = call.span();
        let result = async {
            let credential = self.credential(permit, &call).await?;
            self.try_with(&credential, &call, read).await
        };
        let result = result.instrument(span.clone()).await;
        let elapsed = self.clock.elapsed().saturating_sub(started);
        self.report(&call, elapsed, &result, &span);
        permit.answered(&result);
        result.map(|answer| answer.value)
    }

    /// Calls once. If the cloud refuses the key, another one is asked for before that is told, so
    /// that who repeats the call has it.
    async fn try_with<T>(
        &self,
        credential: &Arc<Credential>,
        call: &Call<'_>,
        read: impl FnOnce(&[u8]) -> Result<Answer<T>, CloudError>,
    ) -> Result<Answer<T>, CloudError> {
        let (result, sample) = match self.send(call, credential).await {
            Ok((answer, sample)) => (
                chaos::at!("cloud.read", read(&answer), else Err(Fault::MalformedAnswer.error("planted"))),
                sample,
            ),
            Err(error) => (Err(error), None),
        };
        self.skew.heard(sample, Signature::of(&result));
        if result.as_ref().is_err_and(blames_the_key) {
            let account = &call.target.account;
            let refused = self.credentials.refused(account, call.caller, credential);
            refused.await;
        }
        result
    }

    async fn send(
        &self,
        call: &Call<'_>,
        credential: &Credential,
    ) -> Result<(Vec<u8>, Option<Sample>), CloudError> {
        let request = chaos::at!("cloud.sign", self.signed(call, credential)?, else return Err(Fault::NoCredential.error("planted")));
        let exchange = async {
            let (at, before) = (self.skew.wall().now(), self.clock.elapsed());
            let sent = async { request.send().await.map_err(|e| lost(&e)) };
            let sent = chaos::around!("cloud.send", sent, else Err(Fault::ConnectionLost.error("planted")));
            let response = sent?;
            let took = self.clock.elapsed().saturating_sub(before);
            let sample = Sample::of(response.headers(), at, took);
            let body = chaos::around!("cloud.body", read_body(response, call.answer_bytes_max), else Err(Fault::ConnectionLost.error("planted")));
            Ok((body?, sample))
        };
        match self.clock.timeout(call.timeout, exchange).await {
            Some(answer) => answer,
            None => Err(
                chaos::wrong!("timeout-is-not-sent", Fault::Timeout, Fault::ConnectFailed)
                    .error(format!("no whole answer within {:?}", call.timeout)),
            ),
        }
    }

    fn signed(
        &self,
        call: &Call<'_>,
        credential: &Credential,
    ) -> Result<RequestBuilder, CloudError> {
        let region = &call.target.region;
        let about_a_region = call.action != Action::DescribeRegions;
        let address = if about_a_region {
            self.settings.endpoint.address(region)
        } else {
            self.settings.endpoint.nearest(region)
        };
        let form = self.forms.of(call.action, &address.host);
        let signed = credential.sign(&form.signed, call.body, call.at);
        let mut request = self
            .http
            .post(address.url)
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header("x-tc-action", call.action.as_str())
            .header("x-tc-version", API_VERSION)
            .header("x-tc-timestamp", signed.timestamp)
            .header("x-tc-language", "en-US")
            .header("x-tc-requestclient", REQUEST_CLIENT)
            .header(header::AUTHORIZATION, secret(&signed.authorization)?);
        if about_a_region {
            request = request.header("x-tc-region", region.as_str());
        }
        if let Some(token) = credential.token() {
            request = request.header("x-tc-token", secret(token.expose_secret())?);
        }
        Ok(request.body(wiped(call.body)))
    }

    fn read_call<'a>(&self, action: Action, target: &'a Target, body: &'a [u8]) -> Call<'a> {
        Call {
            timeout: self.settings.read_timeout,
            ..self.write_call(action, target, body, at(self.clock.now()))
        }
    }

    fn write_call<'a>(
        &self,
        action: Action,
        target: &'a Target,
        body: &'a [u8],
        signing: Signing<'a>,
    ) -> Call<'a> {
        let timeout = self.settings.run_instances_timeout;
        Call {
            action,
            target,
            body,
            at: signing.at,
            caller: signing.caller,
            timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }
}

/// Prints the settings, and of the credentials only the accounts.
impl fmt::Debug for HttpCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCloud")
            .field("endpoint", &self.settings.endpoint)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Cloud for HttpCloud {
    fn host(&self, target: &Target) -> String {
        self.settings.endpoint.address(&target.region).host
    }

    fn keys(&self) -> Vec<KeyStanding> {
        self.credentials.standings()
    }

    async fn run_instances(
        &self,
        mut permit: Permit,
        target: &Target,
        body: &[u8],
        signing: Signing<'_>,
    ) -> Result<Accepted, CloudError> {
        let at = chaos::wrong!("sign-with-now", signing.at, self.clock.now());
        let signing = Signing { at, ..signing };
        let call = self.write_call(Action::RunInstances, target, body, signing);
        chaos::around!("cloud.run_instances", self.call(&mut permit, call, wire::run_instances), else Err(Fault::ConnectionLost.error("planted")))
    }

    async fn describe_instances_status(
        &self,
        mut permit: Permit,
        target: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<(InstanceId, InstanceState)>, CloudError> {
        let Some(body) = ids_body(ids)? else {
            return Ok(Vec::new());
        };
        let call = self.read_call(Action::DescribeInstancesStatus, target, &body);
        let answer = self.call(&mut permit, call, |answer| {
            wire::describe_instances_status(answer, ids)
        });
        chaos::around!("cloud.describe_status", answer, else Err(Fault::Timeout.error("planted")))
    }

    async fn describe_instances(
        &self,
        mut permit: Permit,
        target: &Target,
        ids: &[InstanceId],
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        let Some(body) = ids_body(ids)? else {
            return Ok(Vec::new());
        };
        let call = self.read_call(Action::DescribeInstances, target, &body);
        let call = call.for_up_to(ids.len());
        let answer = self.call(&mut permit, call, |answer| {
            wire::describe_instances(answer, ids)
        });
        chaos::around!("cloud.describe", answer, else Err(Fault::Timeout.error("planted")))
    }

    async fn terminate_instances(
        &self,
        mut permit: Permit,
        target: &Target,
        leaving: Leaving<'_>,
        signing: Signing<'_>,
    ) -> Result<(), CloudError> {
        within_bound(leaving.ids)?;
        let body = wire::terminate(leaving);
        let call = self.write_call(Action::TerminateInstances, target, &body, signing);
        chaos::around!("cloud.terminate", self.call(&mut permit, call, wire::terminate_instances), else Err(Fault::ConnectionLost.error("planted")))
    }

    async fn find_by_tag(
        &self,
        mut permit: Permit,
        target: &Target,
        key: &str,
        value: &str,
    ) -> Result<Vec<InstanceDetail>, CloudError> {
        let mut pages = FoundPages::default();
        loop {
            let rows = pages.next();
            let body = wire::by_tag(key, value, rows);
            let call = self.read_call(Action::DescribeInstances, target, &body);
            let call = call.for_up_to(rows.limit);
            let page = self.call(&mut permit, call, wire::describe_page);
            let page = chaos::around!("cloud.find_by_tag", page, else Err(Fault::Timeout.error("planted")));
            if pages.take(page)? {
                return Ok(pages.into_instances());
            }
            permit = permit.another().await;
        }
    }

    async fn list_tagged(
        &self,
        mut permit: Permit,
        target: &Target,
        key: &str,
    ) -> Result<Vec<Tagged>, CloudError> {
        let mut pages = TaggedPages::default();
        loop {
            let rows = pages.next();
            let body = wire::by_tag_key(key, rows);
            let call = self.read_call(Action::DescribeInstances, target, &body);
            let call = call.for_up_to(rows.limit);
            let read = |answer: &[u8]| wire::tagged_page(answer, key);
            if pages.take(self.call(&mut permit, call, read).await)? {
                return Ok(pages.into_instances());
            }
            permit = permit.another().await;
        }
    }

    async fn price(
        &self,
        mut permit: Permit,
        target: &Target,
        body: &[u8],
        count: u32,
    ) -> Result<Price, CloudError> {
        let body = wire::inquiry(body, count);
        let currency = self.settings.endpoint.currency();
        let amounts = self.settings.price_amounts;
        let call = self.read_call(Action::InquiryPriceRunInstances, target, &body);
        let read = |answer: &[u8]| wire::price(answer, currency, amounts, count);
        self.call(&mut permit, call, read).await
    }

    async fn offers(
        &self,
        mut permit: Permit,
        target: &Target,
        places: &[(String, String)],
        charge_type: Option<&str>,
    ) -> Result<Vec<Offer>, CloudError> {
        let body = wire::offers_in(places, charge_type);
        let call = self.read_call(Action::DescribeZoneInstanceConfigInfos, target, &body);
        self.call(&mut permit, call, wire::offers).await
    }

    fn host_of_regions(&self, target: &Target) -> String {
        self.settings.endpoint.nearest(&target.region).host
    }

    async fn regions(
        &self,
        mut permit: Permit,
        target: &Target,
    ) -> Result<Vec<String>, CloudError> {
        let call = self.read_call(Action::DescribeRegions, target, b"{}");
        self.call(&mut permit, call, wire::regions).await
    }

    async fn zones(&self, mut permit: Permit, target: &Target) -> Result<Vec<String>, CloudError> {
        let call = self.read_call(Action::DescribeZones, target, b"{}");
        self.call(&mut permit, call, wire::zones).await
    }

    async fn quotas(
        &self,
        mut permit: Permit,
        target: &Target,
        zone: &str,
        charge_type: Option<&str>,
    ) -> Result<Vec<Quota>, CloudError> {
        let body = wire::quotas_in(zone);
        let call = self.read_call(Action::DescribeAccountQuota, target, &body);
        let read = |answer: &[u8]| wire::quotas(answer, charge_type);
        self.call(&mut permit, call, read).await
    }
}

/// One call of the API.
struct Call<'a> {
    action: Action,
    target: &'a Target,
    body: &'a [u8],
    at: UtcDateTime,
    caller: Option<&'a str>,
    timeout: Duration,
    answer_bytes_max: usize,
}

impl Call<'_> {
    /// The same, which asks for so many instances at most.
    fn for_up_to(self, instances: usize) -> Self {
        match instances {
            1 => Self {
                answer_bytes_max: LONE_ANSWER_BYTES_MAX,
                ..self
            },
            _ => self,
        }
    }
}

/// Signed at a time, for nobody in particular.
const fn at(at: UtcDateTime) -> Signing<'static> {
    Signing { at, caller: None }
}

/// Whether another key may help: what is wrong with one that expired is the time.
fn blames_the_key(error: &CloudError) -> bool {
    error.retry == Retry::Resign && error.code != SIGNATURE_EXPIRED
}

/// The body that asks for `ids`; none for no ids, because the cloud would answer with all it has.
fn ids_body(ids: &[InstanceId]) -> Result<Option<Vec<u8>>, CloudError> {
    within_bound(ids)?;
    Ok((!ids.is_empty()).then(|| wire::by_ids(ids)))
}

fn within_bound(ids: &[InstanceId]) -> Result<(), CloudError> {
    if ids.len() <= IDS_PER_CALL_MAX {
        return Ok(());
    }
    let message = format!("{} ids in one call, above {IDS_PER_CALL_MAX}", ids.len());
    Err(Fault::InvalidCall.error(message))
}

/// A header value that HTTP libraries neither print nor put into compression tables.
fn secret(text: &str) -> Result<HeaderValue, CloudError> {
    let mut value = HeaderValue::from_str(text).or(Err(
        Fault::InvalidCall.error("a credential that is no header text")
    ))?;
    value.set_sensitive(true);
    Ok(value)
}
