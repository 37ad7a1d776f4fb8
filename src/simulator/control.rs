//! Changes at run time how the simulator misbehaves: `/_control/…`, in JSON, for tests and people.
//!
//! Faults are chances and delays inside the cloud, scenes are single calls that end in a certain way.

use super::Face;
use super::catalog::misbehaviour::{Faults, Seconds};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest instruction, in bytes.
const INSTRUCTION_MAX: usize = 256 * 1024;
/// Scenes that may wait for their call.
const SCENES_MAX: usize = 1000;

/// What happens to one call to come.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scene {
    /// The action whose calls are counted.
    action: String,
    /// Which of the calls from now on; 1 is the next.
    #[serde(default = "next")]
    nth: u32,
    /// Whether the cloud carries the call out, or never hears of it.
    #[serde(default = "yes")]
    pub(super) carried_out: bool,
    /// How long the client waits for what comes then.
    #[serde(default)]
    delay_s: Seconds,
    #[serde(default)]
    ending: Ending,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Ending {
    /// The cloud's own answer, or none when the call was not carried out.
    #[default]
    Answer,
    /// The connection breaks.
    Cut,
    /// This HTTP status and no body.
    Status(Status),
}

/// Of an HTTP server that is in trouble.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "u16", into = "u16")]
struct Status(StatusCode);

impl Scene {
    pub(super) fn delay(&self) -> Duration {
        self.delay_s.duration().unsigned_abs()
    }

    /// What the client gets instead of `answer`, which there is when the call was carried out.
    pub(super) fn end(&self, answer: Option<Response>) -> Response {
        match (self.ending, answer) {
            (Ending::Answer, Some(answer)) => answer,
            (Ending::Answer, None) | (Ending::Cut, _) => cut(),
            (Ending::Status(Status(code)), _) => code.into_response(),
        }
    }
}

/// An answer that breaks off with its first byte: hyper closes the connection.
fn cut() -> Response {
    let broken = std::io::Error::other("cut, as the scene says");
    let nothing: Result<Bytes, _> = Err(broken);
    Body::from_stream(futures_util::stream::iter([nothing])).into_response()
}

impl Face {
    fn scenes(&self) -> MutexGuard<'_, Vec<Scene>> {
        self.scenes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scene that this call of an action plays, if it does.
    pub(super) fn scene(&self, action: &str) -> Option<Scene> {
        let mut scenes = self.scenes();
        let counting = scenes.iter_mut().filter(|scene| scene.action == action);
        counting.for_each(|scene| scene.nth = scene.nth.saturating_sub(1));
        let due = |scene: &Scene| scene.action == action && scene.nth == 0;
        let due = scenes.iter().position(due)?;
        Some(scenes.remove(due))
    }
}

pub(super) fn routes() -> Router<Arc<Face>> {
    Router::new()
        .route("/_control/faults", get(faults).put(set_faults))
        .route("/_control/scenes", get(scenes).put(set_scenes))
        .layer(DefaultBodyLimit::max(INSTRUCTION_MAX))
}

async fn faults(State(face): State<Arc<Face>>) -> Response {
    shown(face.lock().world.faults())
}

/// Those that are not named are off.
async fn set_faults(State(face): State<Arc<Face>>, body: Bytes) -> Response {
    let faults: Faults = match read(&body) {
        Ok(faults) => faults,
        Err(refusal) => return *refusal,
    };
    let mut record = face.lock();
    record.world.misbehave(faults);
    tracing::info!("the simulator misbehaves otherwise from now on");
    shown(record.world.faults())
}

async fn scenes(State(face): State<Arc<Face>>) -> Response {
    shown(&*face.scenes())
}

/// In the place of those that still wait.
async fn set_scenes(State(face): State<Arc<Face>>, body: Bytes) -> Response {
    let scenes: Vec<Scene> = match read(&body) {
        Ok(scenes) => scenes,
        Err(refusal) => return *refusal,
    };
    if scenes.len() > SCENES_MAX || scenes.iter().any(|scene| scene.nth == 0) {
        let rule = format!("at most {SCENES_MAX} scenes, and `nth` counts from 1\n");
        return (StatusCode::BAD_REQUEST, rule).into_response();
    }
    let mut waiting = face.scenes();
    *waiting = scenes;
    shown(&*waiting)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<Response>> {
    serde_json::from_slice(body).map_err(|error| {
        let refusal = (StatusCode::BAD_REQUEST, format!("{error}\n"));
        Box::new(refusal.into_response())
    })
}

fn shown(what: &impl Serialize) -> Response {
    match serde_json::to_string(what) {
        Ok(text) => {
            let json = (header::CONTENT_TYPE, "application/json");
            ([json], format!("{text}\n")).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl TryFrom<u16> for Status {
    type Error = String;

    fn try_from(code: u16) -> Result<Self, String> {
        let status = StatusCode::from_u16(code).ok();
        let status = status.filter(|status| status.is_server_error() || status.is_client_error());
        let status = status.ok_or_else(|| format!("{code} is no HTTP status from 400 to 599"));
        status.map(Self)
    }
}

impl From<Status> for u16 {
    fn from(Status(status): Status) -> Self {
        status.as_u16()
    }
}

fn next() -> u32 {
    1
}

fn yes() -> bool {
    true
}
