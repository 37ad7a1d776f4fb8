//! A client that keeps to the rules, and how long it waits for its answers.

use crate::gateway::Gateway;
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use std::error::Error;
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(2);
/// An answer that takes longer does not come.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A good client.
#[derive(Debug)]
pub(crate) struct Good {
    client: CvmGatewayServiceClient<Channel>,
}

impl Good {
    pub(crate) async fn connect(gateway: &Gateway) -> Result<Self, tonic::transport::Error> {
        let port = gateway.grpc.port();
        let endpoint = match &gateway.authority {
            Some(authority) => {
                let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
                let endpoint = Endpoint::from_shared(format!("https://localhost:{port}"));
                endpoint.unwrap().tls_config(tls).unwrap()
            }
            None => Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap(),
        };
        let channel = endpoint.connect_timeout(ANSWER_MAX).connect().await?;
        Ok(Self {
            client: CvmGatewayServiceClient::new(channel),
        })
    }

    /// One call that reads the journal; how long it took.
    pub(crate) async fn call(&mut self) -> Duration {
        self.answered().await.expect("a good call fails")
    }

    /// What [`Self::call`] of somebody new would tell; an error if nobody is let in.
    pub(crate) async fn newcomer(gateway: &Gateway) -> Result<Duration, Box<dyn Error>> {
        Ok(Self::connect(gateway).await?.answered().await?)
    }

    async fn answered(&mut self) -> Result<Duration, Status> {
        let clock = Clock::system();
        let call = self
            .client
            .list_operations(pb::ListOperationsRequest::default());
        let answer = clock.timeout(ANSWER_MAX, call).await;
        answer.expect("no answer comes")?;
        Ok(clock.elapsed())
    }

    /// Calls for so long, and until `all` is so; what 99 of 100 answers took at most.
    pub(crate) async fn p99(&mut self, span: Duration, all: impl Fn() -> bool) -> Duration {
        let clock = Clock::system();
        let mut took = Vec::new();
        while took.is_empty() || clock.elapsed() < span || !all() {
            took.push(self.call().await);
            clock.sleep(PAUSE).await;
        }
        took.sort();
        took[took.len() * 99 / 100]
    }
}
