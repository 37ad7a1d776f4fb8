//! Changes at run time how the simulator misbehaves: `/_control/…`, in JSON, for tests and people.
//!
//! Faults are chances and delays inside the cloud, scenes are single calls that end in a certain way.

use super::catalog::misbehaviour::Faults;
use super::catalog::scenes::{self, Ending, Scene, Status};
use super::world::{SCENES_STREAM, random_stream, unit};
use super::{Face, Mail, action, respond};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;
use std::sync::{Arc, MutexGuard, PoisonError};

/// The longest instruction, in bytes.
const INSTRUCTION_MAX: usize = 256 * 1024;

/// The scenes that still wait, and where their chances come from.
#[derive(Debug)]
pub(super) struct Stage {
    scenes: Vec<Scene>,
    random: ChaCha8Rng,
}

impl Stage {
    pub(super) fn new(scenes: Vec<Scene>, seed: u64) -> Self {
        let random = random_stream(seed, SCENES_STREAM);
        Self { scenes, random }
    }
}

impl Face {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scene that this call of an action plays, if it does.
    pub(super) fn scene(&self, action: &str) -> Option<Scene> {
        let stage = &mut *self.stage();
        let Stage { scenes, random } = stage;
        scenes::due(scenes, action, || unit(random))
    }
}

/// What the client gets of a call that plays a scene.
pub(super) async fn play(face: Arc<Face>, mail: Arc<Mail>, scene: Scene) -> Response {
    let late = scene.arrives_after();
    let answer = if late.is_zero() {
        deliver(&face, &mail, &scene)
    } else {
        // The cloud gets it even when the client has gone by then.
        let (face, mail, scene) = (Arc::clone(&face), Arc::clone(&mail), scene.clone());
        let tasks = face.tasks.clone();
        let arrival = tasks.spawn(async move {
            tokio::select! {
                () = face.clock.sleep(late) => deliver(&face, &mail, &scene),
                () = face.stopping.cancelled() => None,
            }
        });
        arrival.await.ok().flatten()
    };
    face.clock.sleep(scene.delay()).await;
    end(scene.ending, &mail, answer)
}

/// The cloud's answer to the first arrival; none when the call is not carried out.
fn deliver(face: &Face, mail: &Mail, scene: &Scene) -> Option<String> {
    let arrivals = if scene.carried_out { scene.arrivals } else { 0 };
    let answers = (0..arrivals).map(|_| face.answer(mail, scene.refusal()));
    answers.collect::<Vec<_>>().into_iter().next()
}

/// What the client gets instead of `answer`, which there is when the call was carried out.
fn end(ending: Ending, mail: &Mail, answer: Option<String>) -> Response {
    let headers = &mail.parts.headers;
    match (ending, answer) {
        (Ending::Status(Status(code)), _) => code.into_response(),
        (Ending::Body(text), _) => respond(headers, text),
        (Ending::Error(words), answer) => {
            let request_id = request_id(answer.as_deref());
            respond(headers, action::refused(&words.refusal(), &request_id))
        }
        (Ending::CutAfter(_) | Ending::ResetAfter(_) | Ending::SilentAfter(_), None) => {
            StatusCode::OK.into_response()
        }
        (Ending::Cut, _) | (_, None) => cut(),
        (
            Ending::Answer
            | Ending::CutAfter(_)
            | Ending::ResetAfter(_)
            | Ending::SilentAfter(_)
            | Ending::Drip(_)
            | Ending::Twice,
            Some(answer),
        ) => respond(headers, answer),
    }
}

/// That of the cloud's own answer.
fn request_id(answer: Option<&str>) -> String {
    let answer: Option<Value> = answer.and_then(|answer| serde_json::from_str(answer).ok());
    let id = answer
        .as_ref()
        .and_then(|it| it.pointer("/Response/RequestId"));
    id.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An answer that breaks off with its first byte: hyper closes the connection.
fn cut() -> Response {
    let broken = std::io::Error::other("cut, as the scene says");
    let nothing: Result<Bytes, _> = Err(broken);
    Body::from_stream(futures_util::stream::iter([nothing])).into_response()
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
    let faults: Faults = match serde_json::from_slice(&body) {
        Ok(faults) => faults,
        Err(error) => return refused(&error.to_string()),
    };
    if let Some(complaint) = faults.complaint(&face.catalog) {
        return refused(&complaint);
    }
    let mut record = face.lock();
    record.world.misbehave(faults);
    tracing::info!("the simulator misbehaves otherwise from now on");
    shown(record.world.faults())
}

async fn scenes(State(face): State<Arc<Face>>) -> Response {
    shown(&face.stage().scenes)
}

/// In the place of those that still wait.
async fn set_scenes(State(face): State<Arc<Face>>, body: Bytes) -> Response {
    match Scene::read(&body) {
        Ok(scenes) => {
            let stage = &mut *face.stage();
            stage.scenes = scenes;
            shown(&stage.scenes)
        }
        Err(complaint) => refused(&complaint),
    }
}

fn refused(complaint: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{complaint}\n")).into_response()
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
