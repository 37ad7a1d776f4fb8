//! The metadata service of a machine: the keys of the role that is bound to it. SDKs ask for them at
//! `http://metadata.tencentyun.com`, unsigned.

use super::Face;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use std::sync::Arc;

const ROLES: &str = "/latest/meta-data/cam/security-credentials/";

pub(super) fn routes() -> Router<Arc<Face>> {
    Router::new()
        .route(ROLES, get(role))
        .route(&format!("{ROLES}{{role}}"), get(credentials))
}

/// The name of the role; not found when none is bound.
async fn role(State(face): State<Arc<Face>>) -> Response {
    match &face.catalog.account.bound_role {
        Some(role) => role.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn credentials(State(face): State<Arc<Face>>, Path(role): Path<String>) -> Response {
    if face.catalog.account.bound_role.as_ref() != Some(&role) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let now = face.clock.now();
    match face.lock().world.bound_keys(&role, now) {
        Ok(keys) => (
            [(header::CONTENT_TYPE, "application/json")],
            keys.to_string(),
        )
            .into_response(),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, refusal.message).into_response(),
    }
}
