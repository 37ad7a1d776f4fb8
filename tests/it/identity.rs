//! Who calls, over real sockets: certificates that count and those that do not, what is read anew while
//! calls go on, and what everybody may ask.

pub(crate) mod pki;
pub(crate) mod tokens;

use crate::frames::hello;
use crate::refusals::told;
use crate::tap::Tap;
use crate::world::{Client, Folder, Served, World, get, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::gateway::Gateway;
use cvm_gateway::pb::v1 as pb;
use futures_util::stream;
use pki::{Authority, Issued, dns, from_now, uri};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

/// Two organisations, and whose the callers are.
pub(crate) const CALLERS: &str = r#"
[identity]
require = ["mtls"]
denied_file = "denied.txt"
reload_interval = "20ms"

[identity.callers.web]
organization = "development"
spiffe_id_prefix = "spiffe://example.org/ns/web/"

[identity.callers.host]
organization = "development"
dns_name = "api.web.example"

[identity.callers.other]
organization = "other"
spiffe_id = "spiffe://example.org/ns/other/sa/api"

[organizations.other]
default_account = "theirs"

[organizations.other.accounts.theirs]
secret_id = "AKIDfakeForLoopbackTestsOnly0000001"
secret_key = "fakeSecretKeyLoopbackTestsOnly001"

[grpc.tls]
certificate_file = "server.pem"
key_file = "server.key"
client_ca_file = "callers.pem"
"#;

pub(crate) const WEB: &str = "spiffe://example.org/ns/web/sa/api";

/// A gateway with TLS, and who issues what.
struct Secured {
    world: World,
    gateway: Served,
    /// Issues the gateway's certificate.
    servers: Authority,
    /// Vouches for callers.
    callers: Authority,
}

impl Secured {
    async fn new() -> Self {
        let world = World::new(100.0).await;
        let [servers, callers] = ["servers", "callers"].map(Authority::new);
        write(&world.folder, &servers.server(), &callers.pem());
        put(&world.folder, "denied.txt", "# nobody\n");
        let gateway = world.gateway(CALLERS).await;
        Self {
            world,
            gateway,
            servers,
            callers,
        }
    }

    async fn channel(&self, identity: Option<&Issued>) -> Channel {
        channel(&self.gateway, &self.servers, identity).await
    }

    async fn client(&self, identity: Option<&Issued>) -> Client {
        Client::new(Tap(self.channel(identity).await))
    }

    /// Waits until files were taken in, or not, `count` more times than in `before`.
    async fn reloaded(&self, before: &Counts, source: &str, result: &str, count: f64) {
        let series =
            format!(r#"cvm_gateway_identity_reloads_total{{result="{result}",source="{source}"}}"#);
        let waits = async {
            while counts(&self.gateway).await[&series] < before[&series] + count {
                Clock::system().sleep(Duration::from_millis(10)).await;
            }
        };
        let limit = Duration::from_secs(20);
        let reloaded = Clock::system().timeout(limit, waits).await;
        reloaded.unwrap_or_else(|| panic!("{series} does not change"));
    }
}

pub(crate) fn put(folder: &Folder, name: &str, text: &str) {
    let new = folder.0.join(format!("{name}.new"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, folder.0.join(name)).unwrap();
}

pub(crate) fn write(folder: &Folder, server: &Issued, callers: &str) {
    put(folder, "server.pem", &server.certificate);
    put(folder, "server.key", &server.key);
    put(folder, "callers.pem", callers);
}

pub(crate) async fn channel(
    gateway: &Gateway,
    servers: &Authority,
    identity: Option<&Issued>,
) -> Channel {
    connect(gateway, servers, identity).await.unwrap()
}

async fn connect(
    gateway: &Gateway,
    servers: &Authority,
    identity: Option<&Issued>,
) -> Result<Channel, tonic::transport::Error> {
    let url = format!("https://localhost:{}", gateway.grpc_addr().port());
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(servers.pem()));
    let tls = match identity {
        Some(issued) => tls.identity(issued.identity()),
        None => tls,
    };
    let endpoint = Endpoint::from_shared(url).unwrap().tls_config(tls);
    endpoint.unwrap().connect().await
}

/// The metrics of identities, by name and labels.
pub(crate) type Counts = BTreeMap<String, f64>;

pub(crate) async fn counts(gateway: &Gateway) -> Counts {
    let (_, text) = get(gateway.admin_addr(), "/metrics").await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    series.collect()
}

/// The reasons that were counted since `before`.
pub(crate) async fn rejections(gateway: &Gateway, before: &Counts) -> Vec<String> {
    let prefix = r#"cvm_gateway_unauthenticated_total{reason=""#;
    let now = counts(gateway).await;
    let all = now.iter().filter_map(|(name, value)| {
        let reason = name.strip_prefix(prefix)?;
        (before[name] < *value).then(|| reason.trim_end_matches("\"}").to_owned())
    });
    all.collect()
}

pub(crate) fn list() -> pb::ListOperationsRequest {
    pb::ListOperationsRequest::default()
}

/// A certificate, and the reason that is counted, if any.
type Row = (&'static str, Option<Issued>, &'static str);

/// One of `callers`, none, and one of somebody else.
fn certificates(callers: &Authority) -> Vec<Row> {
    let strangers = Authority::new("callers");
    let web = || vec![uri(WEB)];
    let denied = callers.issue(|params| {
        params.subject_alt_names = web();
        params.serial_number = Some(vec![0xbe, 0xef].into());
    });
    vec![
        ("by SPIFFE id", Some(callers.client(web())), ""),
        (
            "by DNS name",
            Some(callers.client(vec![dns("api.web.example")])),
            "",
        ),
        ("none", None, "no_certificate"),
        (
            "of an authority of the same name",
            Some(strangers.client(web())),
            "certificate_untrusted",
        ),
        (
            "expired",
            Some(callers.issue(|params| {
                params.subject_alt_names = web();
                params.not_before = from_now(-3);
                params.not_after = from_now(-2);
            })),
            "certificate_expired",
        ),
        (
            "of tomorrow",
            Some(callers.issue(|params| {
                params.subject_alt_names = web();
                params.not_before = from_now(2);
            })),
            "certificate_not_yet_valid",
        ),
        (
            "of a server",
            Some(callers.issue(|params| {
                params.subject_alt_names = web();
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })),
            "certificate_purpose",
        ),
        (
            "without a name",
            Some(callers.client(vec![])),
            "certificate_names",
        ),
        (
            "with two URIs",
            Some(callers.client(vec![uri(WEB), uri("spiffe://example.org/ns/other/sa/api")])),
            "certificate_names",
        ),
        (
            "of an authority itself",
            Some(callers.issue(|params| {
                params.subject_alt_names = web();
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            })),
            "certificate_untrusted",
        ),
        (
            "of nobody",
            Some(callers.client(vec![uri("spiffe://example.org/ns/x/y")])),
            "no_organization",
        ),
        ("denied", Some(denied), "denied"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_or_is_counted() {
    let secured = Secured::new().await;
    let rows = certificates(&secured.callers);
    let before = counts(&secured.gateway).await;
    put(&secured.world.folder, "denied.txt", "serial beef\n");
    secured.reloaded(&before, "denied", "ok", 1.0).await;
    for (name, certificate, reason) in rows {
        let before = counts(&secured.gateway).await;
        let mut client = secured.client(certificate.as_ref()).await;
        let answer = client.list_operations(list()).await;
        if reason.is_empty() {
            answer.unwrap_or_else(|status| panic!("{name}: {status}"));
        } else {
            let told = told(&answer.unwrap_err());
            assert_eq!(
                (told.code, told.reason.as_str()),
                (Code::Unauthenticated, "UNAUTHENTICATED")
            );
            let neutral = "the gateway does not know the caller; call with a certificate or a token that it takes";
            assert_eq!(told.message, neutral, "{name}");
        }
        let counted = rejections(&secured.gateway, &before).await;
        assert_eq!(counted.concat(), reason, "{name}");
    }
    secured.gateway.stop().await;
}

/// Nobody has vouched for what a caller shows in the handshake, so it may not be large.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_without_end_are_not_taken() {
    let secured = Secured::new().await;
    let issued = secured.callers.client(vec![uri(WEB)]);
    let with = |others: usize| Issued {
        certificate: issued.certificate.clone() + &secured.callers.pem().repeat(others),
        ..issued.clone()
    };
    let mut few = secured.client(Some(&with(8))).await;
    few.list_operations(list()).await.unwrap();
    let many = connect(&secured.gateway, &secured.servers, Some(&with(64))).await;
    // The client has finished its part of the handshake: it may learn of that only now.
    if let Ok(channel) = many {
        let answer = Client::new(Tap(channel)).list_operations(list()).await;
        let status = answer.unwrap_err();
        assert_ne!(status.code(), Code::Unauthenticated, "{status:?}");
    }
    let failed = async {
        let failed = r#"cvm_gateway_tls_handshakes_total{result="failed"}"#;
        while counts(&secured.gateway).await[failed] == 0.0 {
            Clock::system().sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_secs(20);
    let failed = Clock::system().timeout(limit, failed).await;
    failed.expect("no handshake fails");
    secured.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_for_everybody_and_nothing_else_is() {
    let secured = Secured::new().await;
    let channel = secured.channel(None).await;
    let request = HealthCheckRequest::default();
    let mut health = HealthClient::new(channel.clone());
    health.check(request).await.unwrap();
    let reflect = ServerReflectionRequest::default();
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let reflected = reflection.server_reflection_info(stream::iter([reflect.clone()]));
    assert_eq!(reflected.await.unwrap_err().code(), Code::Unauthenticated);
    let paths = [
        "/cvmgateway.v1.CvmGatewayService/OfTomorrow",
        "/made.up.Service/Method",
        "/grpc.health.v1.Health",
        "/grpc.health.v1.HealthX/Check",
        "/",
    ];
    for path in paths {
        let mut any = tonic::client::Grpc::new(channel.clone());
        any.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<pb::ListOperationsRequest, pb::Operation>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        let answer = any
            .unary(tonic::Request::new(list()), path.clone(), codec)
            .await;
        assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated, "{path}");
    }
    let known = secured
        .channel(Some(&secured.callers.client(vec![uri(WEB)])))
        .await;
    let mut reflection = ServerReflectionClient::new(known);
    let reflected = reflection.server_reflection_info(stream::iter([reflect]));
    reflected.await.unwrap();
    secured.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_counts_without_a_restart_and_for_open_connections() {
    let secured = Secured::new().await;
    let folder = &secured.world.folder;
    let old = secured.callers.client(vec![uri(WEB)]);
    let mut open = secured.client(Some(&old)).await;
    open.list_operations(list()).await.unwrap();

    // What cannot be used changes nothing, and is counted once.
    let before = counts(&secured.gateway).await;
    put(folder, "server.key", "-----BEGIN PRIVATE KEY-----\n");
    put(folder, "denied.txt", "serial ?\n");
    secured.reloaded(&before, "tls", "failed", 1.0).await;
    secured.reloaded(&before, "denied", "failed", 1.0).await;
    Clock::system().sleep(Duration::from_millis(100)).await;
    let after = counts(&secured.gateway).await;
    let failed = r#"cvm_gateway_identity_reloads_total{result="failed",source="tls"}"#;
    assert_eq!(after[failed], before[failed] + 1.0);
    for (source, stale) in [("tls", 1.0), ("denied", 1.0), ("keys", 0.0)] {
        let series = format!(r#"cvm_gateway_identity_reload_failed{{source="{source}"}}"#);
        assert_eq!(after[&series], stale, "{source}");
    }
    open.list_operations(list()).await.unwrap();
    let mut again = secured.client(Some(&old)).await;
    again.list_operations(list()).await.unwrap();

    // New authorities: the gateway shows a new certificate and trusts new callers, and no old ones.
    let [servers, callers] = ["new servers", "new callers"].map(Authority::new);
    write(folder, &servers.server(), &callers.pem());
    put(folder, "denied.txt", "");
    secured.reloaded(&after, "tls", "ok", 1.0).await;
    secured.reloaded(&after, "denied", "ok", 1.0).await;
    let mended = counts(&secured.gateway).await;
    let denied = r#"cvm_gateway_identity_reload_failed{source="denied"}"#;
    assert_eq!(mended[denied], 0.0);
    let new = callers.client(vec![uri(WEB)]);
    let mut client = Client::new(Tap(channel(&secured.gateway, &servers, Some(&new)).await));
    let trusted = async {
        // The file of the authorities is replaced last, and may have been looked at before.
        while client.list_operations(list()).await.is_err() {
            Clock::system().sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_secs(20);
    let trusted = Clock::system().timeout(limit, trusted).await;
    trusted.expect("the new authority is not trusted");
    let told = told(&open.list_operations(list()).await.unwrap_err());
    assert_eq!(told.code, Code::Unauthenticated);

    // A denial counts for an open connection.
    let before = counts(&secured.gateway).await;
    put(
        folder,
        "denied.txt",
        "spiffe spiffe://example.org/ns/web/sa/api\n",
    );
    secured.reloaded(&before, "denied", "ok", 1.0).await;
    client.list_operations(list()).await.unwrap_err();
    assert_eq!(rejections(&secured.gateway, &before).await, ["denied"]);
    secured.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_go_on_while_certificates_change() {
    let secured = Secured::new().await;
    let client = secured.callers.client(vec![uri(WEB)]);
    let rotate = async {
        for _ in 0..10 {
            let before = counts(&secured.gateway).await;
            let server = secured.servers.server();
            write(&secured.world.folder, &server, &secured.callers.pem());
            secured.reloaded(&before, "tls", "ok", 1.0).await;
        }
    };
    let launch = async {
        for number in 0..10 {
            // Each over a connection of its own, with whatever certificate it meets.
            let mut client = secured.client(Some(&client)).await;
            let seen = run(&mut client, wish(&format!("w-{number}"), 1)).await;
            seen.end.unwrap();
        }
    };
    tokio::join!(rotate, launch);
    secured.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_to_shake_hands_is_in_nobody_s_way_for_long() {
    let world = World::new(100.0).await;
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    write(&world.folder, &servers.server(), &callers.pem());
    put(&world.folder, "denied.txt", "");
    let text = crate::world::config_text(&world.folder.0, "http://127.0.0.1:9", "");
    let text = text.replace(
        "[grpc]\n",
        "[grpc]\nhandshake_timeout = \"300ms\"\nhandshakes_max = 16\n",
    );
    let text = format!("{text}{CALLERS}");
    let config = cvm_gateway::config::Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gateway.grpc_addr()).await.unwrap();
        stream.write_all(&hello()).await.unwrap();
        // The gateway's part of the handshake: it has begun.
        assert!(stream.read(&mut [0]).await.unwrap() > 0);
        stalled.push(stream);
    }
    let issued = callers.client(vec![uri(WEB)]);
    let connected = async {
        // Its turn may come when it has waited too long.
        loop {
            match connect(&gateway, &servers, Some(&issued)).await {
                Ok(channel) => return channel,
                Err(_) => Clock::system().sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let soon = Clock::system()
        .timeout(Duration::from_secs(20), connected)
        .await;
    let mut client = Client::new(Tap(soon.expect("the stalled ones are waited for")));
    client.list_operations(list()).await.unwrap();
    for mut stream in stalled {
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    let timeouts = counts(&gateway).await[r#"cvm_gateway_tls_handshakes_total{result="timeout"}"#];
    assert!(timeouts >= 2.0, "{timeouts}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_is_not_spoken_where_tls_is_asked_for() {
    let secured = Secured::new().await;
    let url = format!("http://{}", secured.gateway.grpc_addr());
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let answer = Client::new(Tap(channel)).list_operations(list()).await;
    answer.unwrap_err();
    let failed =
        counts(&secured.gateway).await[r#"cvm_gateway_tls_handshakes_total{result="failed"}"#];
    assert!(failed > 0.0);
    secured.gateway.stop().await;
}
