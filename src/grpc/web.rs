//! Calls of browsers: gRPC-Web, and which pages may make them.

use http::{HeaderValue, Method};
use std::time::Duration;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::Layer;
use tower::util::Either;
use tower_http::cors::{AllowHeaders, Cors, CorsLayer, ExposeHeaders};

/// How long a browser may remember what a page may do. Chromium keeps it no longer.
const REMEMBERED: Duration = Duration::from_secs(2 * 60 * 60);

/// Which pages may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where they come from, as in `https://console.example`.
    pub origins: Vec<HeaderValue>,
}

/// A service, behind what browsers need if they may call.
pub type Web<S> = Either<Cors<GrpcWebService<S>>, S>;

/// Lets browsers call `inner`, too, if there are settings for them.
pub fn web<S>(settings: Option<&Settings>, inner: S) -> Web<S> {
    match settings {
        Some(settings) => Either::Left(cors(settings).layer(GrpcWebLayer::new().layer(inner))),
        None => Either::Right(inner),
    }
}

/// Who calls is proved by a token in a header, never by what a browser adds of its own: a page gets no
/// credentials.
fn cors(settings: &Settings) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(settings.origins.clone())
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::any())
        .max_age(REMEMBERED)
}
