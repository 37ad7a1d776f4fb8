//! Calls of browsers: a page in Chromium with the stubs for TypeScript, and what is told to pages of others.

use crate::clients::secured;
use crate::doors::channel;
use crate::identity::tokens::{ISSUER, Signer};
use crate::identity::{CALLERS, counts, list};
use crate::official_clients::program;
use crate::refusals::raw::framed;
use crate::tap::Tap;
use crate::world::{Folder, Served, World, client, wish};
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::routing::{get, post};
use cvm_gateway::clock::Clock;
use cvm_gateway::gateway::Gateway;
use prost::Message;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tonic::body::Body;
use tower::ServiceExt;

/// How long a browser may take, also on a machine that is busy with other tests.
const RUN_MAX: Duration = Duration::from_secs(120);

/// A server of the page, and what the page has seen.
struct Pages {
    addr: SocketAddr,
    listener: TcpListener,
}

impl Pages {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        Self { addr, listener }
    }

    /// What the page tells that a browser finds at `host`, with a token, when it calls the gateway at `port`.
    async fn seen(self, host: &str, port: u16, token: String) -> Value {
        let (told, mut seen) = mpsc::channel(1);
        let tell = |body: String| async move { told.send(body).await.unwrap() };
        let pages = Router::new()
            // What a browser caches is searched for secrets as everything else.
            .route(
                "/token",
                get(|| async { ([(CACHE_CONTROL, "no-store")], token) }),
            )
            .route("/seen", post(tell))
            .fallback(file);
        let page = format!(
            "http://{host}:{}/?gateway=https://localhost:{port}",
            self.addr.port()
        );
        let profile = Folder::new();
        let mut browser = browser(&profile.0, &page);
        let clock = Clock::system();
        let seen = tokio::select! {
            served = axum::serve(self.listener, pages) => panic!("{served:?}"),
            seen = clock.timeout(RUN_MAX, seen.recv()) => seen,
        };
        browser.kill().await.unwrap();
        serde_json::from_str(&seen.expect("the page tells nothing").unwrap()).unwrap()
    }
}

/// A browser that opens `page`.
fn browser(profile: &Path, page: &str) -> Child {
    let mut browser = Command::new(program("CVM_GATEWAY_TEST_CHROMIUM"));
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-proxy-server",
        "--ignore-certificate-errors",
        &format!("--user-data-dir={}", profile.display()),
        page,
    ]);
    browser.env("HOME", profile).stdin(Stdio::null());
    browser.stdout(Stdio::null()).stderr(Stdio::null());
    browser.kill_on_drop(true).spawn().unwrap()
}

/// The page, the stubs, or the packages that they need.
async fn file(uri: Uri) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), StatusCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let typescript = root.join("clients/typescript");
    let (kind, path) = match uri.path()[1..].split_once('/') {
        Some(("npm", rest)) => (
            "text/javascript",
            typescript.join("node_modules").join(rest),
        ),
        Some(("stubs", rest)) => ("text/javascript", typescript.join("dist/src").join(rest)),
        Some(_) | None => ("text/html", root.join("tests/it/web/page.html")),
    };
    let bytes = std::fs::read(path).map_err(|_missing| StatusCode::NOT_FOUND)?;
    Ok(([(CONTENT_TYPE, kind)], bytes))
}

/// Settings of a gateway that pages of `origin` may call.
fn settings(origin: &str) -> String {
    format!("[grpc.web]\nenabled = true\norigins = [\"{origin}\"]\n")
}

/// A gateway that pages of `localhost` may call with a token, and what the page at `host` tells.
async fn visited(host: &str) -> (World, Served, Value) {
    let pages = Pages::new().await;
    let signer = Signer::new();
    let web = settings(&format!("http://localhost:{}", pages.addr.port()));
    let identity = CALLERS.replace("[\"mtls\"]", "[\"jwt\"]");
    let (world, gateway) = secured(100.0, &format!("{identity}{ISSUER}{web}"), &signer).await;
    let token = signer.token("system:serviceaccount:web:api", 600);
    let seen = pages.seen(host, gateway.grpc_addr().port(), token).await;
    (world, gateway, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_launches_and_follows() {
    let (world, gateway, seen) = visited("localhost").await;
    assert_eq!(seen["error"], Value::Null, "{seen:#}");
    assert_eq!(seen["allowed"], true, "{seen:#}");
    let launched = seen["launched"].as_array().unwrap();
    assert_eq!(launched.first(), Some(&json!("ACCEPTED")), "{seen:#}");
    assert_eq!(launched.last(), Some(&json!("SUCCEEDED")), "{seen:#}");
    assert_eq!(seen["followed"], json!(["SUCCEEDED"]), "{seen:#}");
    assert_eq!(seen["machines"], json!(world.machines().await), "{seen:#}");
    assert_eq!(seen["listed"], json!([true]), "{seen:#}");
    for (call, reason, field) in [
        ("wrongStream", "INVALID_PARAMETER", "spec.instance_count"),
        ("wrongCall", "INVALID_PARAMETER", "name"),
    ] {
        let refused = &seen[call];
        assert_eq!(refused["code"], "InvalidArgument", "{seen:#}");
        assert_eq!(refused["reason"], reason, "{seen:#}");
        assert_eq!(refused["fields"], json!([field]), "{seen:#}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_keeps_pages_of_others_from_calling() {
    // Another name of the same server is another origin.
    let (world, gateway, seen) = visited("127.0.0.1").await;
    let error = seen["error"].as_str().unwrap();
    assert!(error.contains("Failed to fetch"), "{seen:#}");
    assert!(world.machines().await.is_empty());
    let started = counts(&gateway).await;
    let started = started
        .iter()
        .filter(|(name, _)| name.starts_with("grpc_server_started_total"));
    assert_eq!(started.map(|(_, count)| count).sum::<f64>(), 0.0);
    gateway.stop().await;
}

/// What the gateway tells a browser that asks whether a page may call.
async fn preflight(gateway: &Gateway, origin: &str) -> HeaderMap {
    let headers = "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent";
    let request = Request::options("/cvmgateway.v1.CvmGatewayService/GetOperation")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", headers);
    let request = request.body(Body::empty()).unwrap();
    let answer = Tap(channel(gateway).await).oneshot(request).await.unwrap();
    answer.headers().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_that_are_named_may_call() {
    const OURS: &str = "https://console.example";
    let web = settings(OURS);
    let none = "[grpc.web]\nenabled = true\n";
    for (settings, origin, may) in [
        (web.as_str(), OURS, true),
        (&web, "http://console.example", false),
        (&web, "https://console.example.evil", false),
        (&web, "null", false),
        (none, OURS, false),
        ("", OURS, false),
    ] {
        let world = World::new(100.0).await;
        let gateway = world.gateway(settings).await;
        let told = preflight(&gateway, origin).await;
        let allowed = told.get("access-control-allow-origin");
        let expected = may.then_some(origin.as_bytes());
        assert_eq!(
            allowed.map(|it| it.as_bytes()),
            expected,
            "{settings} {origin}"
        );
        // No page may have the browser add what proves who sits before it.
        let credentials = told.get("access-control-allow-credentials");
        assert_eq!(credentials, None, "{settings} {origin}");
        gateway.stop().await;
    }
}

/// What the gateway says to a launch that is sent with a content type, or none.
async fn answer(gateway: &Gateway, kind: Option<&str>, request_id: &str) -> (StatusCode, String) {
    let mut request = Request::post("/cvmgateway.v1.CvmGatewayService/RunInstances");
    if let Some(kind) = kind {
        request = request.header(CONTENT_TYPE, kind);
    }
    let launch = framed(0, &wish(request_id, 1).encode_to_vec());
    let request = request.body(Body::new(http_body_util::Full::from(launch)));
    let tap = Tap(channel(gateway).await);
    let answer = tap.oneshot(request.unwrap()).await.unwrap();
    let status = answer.headers().get("grpc-status");
    let status = status.map_or("", |status| status.to_str().unwrap());
    (answer.status(), status.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_may_send_unasked_is_no_call() {
    // Browsers send these to anybody without a preflight, with the user's certificate.
    let unasked = [
        None,
        Some(""),
        Some("text/plain"),
        Some("text/plain;application/grpc"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
    ];
    let others = [Some("application/json"), Some("application/grpcx")];
    let on = "[grpc.web]\nenabled = true\n";
    for settings in ["", on] {
        let world = World::new(100.0).await;
        let gateway = world.gateway(settings).await;
        for kind in unasked.into_iter().chain(others) {
            let answer = answer(&gateway, kind, "web-unasked").await;
            let refused = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "3".to_owned());
            assert_eq!(answer, refused, "{kind:?}, {settings}");
        }
        let list = client(&gateway).await.list_operations(list()).await;
        assert_eq!(list.unwrap().into_inner().operations, []);
        let handled = r#"grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="RunInstances",grpc_service="cvmgateway.v1.CvmGatewayService",grpc_type="server_stream"}"#;
        assert_eq!(counts(&gateway).await[handled], 8.0, "{settings}");
        // gRPC is taken, and gRPC-Web where it is on.
        for (number, kind, taken) in [
            (1, "application/grpc", true),
            (2, "application/grpc+proto", true),
            (3, "application/grpc-web+proto", settings == on),
        ] {
            let answer = answer(&gateway, Some(kind), &format!("web-asked-{number}")).await;
            assert_eq!(answer.0 == StatusCode::OK, taken, "{kind}, {settings}");
        }
        world.launched(if settings == on { 3 } else { 2 }).await;
        gateway.stop().await;
    }
}
