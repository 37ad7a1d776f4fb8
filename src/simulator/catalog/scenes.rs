//! What single calls to come meet with: the `[[scenes]]` of a catalogue, or a JSON list of them.

use super::misbehaviour::{Chance, Code, Seconds};
use crate::simulator::action::Action;
use crate::simulator::wire::Refusal;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Scenes that may wait for their call.
const SCENES_MAX: usize = 1000;
/// How often one call may arrive.
const ARRIVALS_MAX: u32 = 10;
/// The action of a scene that is for any.
const ANY: &str = "*";

/// What happens to a call to come, or to several.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulator) struct Scene {
    /// The action whose calls are counted; `*` is any.
    action: String,
    /// Which of the calls from now on; 1 is the next.
    #[serde(default = "one")]
    nth: u32,
    /// For how many calls from there.
    #[serde(default = "one")]
    times: u32,
    /// How many of those meet with it.
    #[serde(default = "always")]
    p: Chance,
    /// Whether the cloud carries the call out, or never hears of it.
    #[serde(default = "yes")]
    pub(in crate::simulator) carried_out: bool,
    /// How long it is under way to the cloud, even when its client has gone.
    #[serde(default)]
    arrives_after_s: Seconds,
    /// How often it arrives.
    #[serde(default = "one")]
    pub(in crate::simulator) arrivals: u32,
    /// The cloud refuses it so, once its signature is proven.
    #[serde(default)]
    refuse: Option<Words>,
    /// How long the client waits for what comes then.
    #[serde(default)]
    delay_s: Seconds,
    #[serde(default)]
    pub(in crate::simulator) ending: Ending,
}

/// A refusal in the API's words.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulator) struct Words {
    code: Code,
    #[serde(default = "default_message")]
    message: String,
}

/// What the client gets.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::simulator) enum Ending {
    /// The cloud's own answer, or none when the call was not carried out.
    #[default]
    Answer,
    /// The connection breaks.
    Cut,
    /// This HTTP status and no body.
    Status(Status),
    /// HTTP 200 and this text, which need not be JSON.
    Body(String),
    /// A refusal, although the cloud did it.
    Error(Words),
    /// So many bytes of the answer, head and all; then the connection ends.
    CutAfter(usize),
    /// So many bytes of the answer; then the connection is reset.
    ResetAfter(usize),
    /// So many bytes of the answer; then nothing more, and the connection stays open.
    SilentAfter(usize),
    /// A few bytes of the answer at a time.
    Drip(Drip),
    /// The bytes of the answer two times.
    Twice,
}

/// So many bytes, then a pause, and so on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulator) struct Drip {
    pub(in crate::simulator) bytes: std::num::NonZeroUsize,
    every_s: Seconds,
}

/// Of an HTTP server that is in trouble.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "u16", into = "u16")]
pub(in crate::simulator) struct Status(pub(in crate::simulator) StatusCode);

impl Scene {
    /// Reads a JSON list.
    ///
    /// # Errors
    /// The first mistake.
    pub(in crate::simulator) fn read(json: &[u8]) -> Result<Vec<Self>, String> {
        let scenes: Vec<Self> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        complaint(&scenes).map_or(Ok(scenes), Err)
    }

    fn complaint(&self) -> Option<String> {
        if self.nth == 0 || self.times == 0 {
            return Some("`nth` and `times` count from 1".to_owned());
        }
        if !(1..=ARRIVALS_MAX).contains(&self.arrivals) {
            return Some(format!("`arrivals` must be 1 to {ARRIVALS_MAX}"));
        }
        let known = self.action == ANY || Action::parse(&self.action).is_ok();
        (!known).then(|| {
            let remedy = super::remedy(&self.action, Action::names());
            format!("there is no action \"{}\"; {remedy}", self.action)
        })
    }

    fn is_of(&self, action: &str) -> bool {
        self.action == ANY || self.action == action
    }

    /// How long the call is under way.
    pub(in crate::simulator) fn arrives_after(&self) -> Duration {
        self.arrives_after_s.duration().unsigned_abs()
    }

    /// How long the answer is held back.
    pub(in crate::simulator) fn delay(&self) -> Duration {
        self.delay_s.duration().unsigned_abs()
    }

    pub(in crate::simulator) fn refusal(&self) -> Option<Refusal> {
        self.refuse.as_ref().map(Words::refusal)
    }
}

impl Words {
    pub(in crate::simulator) fn refusal(&self) -> Refusal {
        Refusal::new(&self.code, self.message.clone())
    }
}

impl Drip {
    pub(in crate::simulator) fn pause(self) -> Duration {
        self.every_s.duration().unsigned_abs()
    }
}

/// What is wrong with a list of scenes.
pub(super) fn complaint(scenes: &[Scene]) -> Option<String> {
    if scenes.len() > SCENES_MAX {
        return Some(format!("at most {SCENES_MAX} scenes"));
    }
    scenes.iter().find_map(Scene::complaint)
}

/// Takes the scene that this call of an action plays, if it does. `drawn` is from 0 up to 1.
pub(in crate::simulator) fn due(
    scenes: &mut Vec<Scene>,
    action: &str,
    drawn: impl FnOnce() -> f64,
) -> Option<Scene> {
    let mut due = None;
    for scene in scenes.iter_mut().filter(|scene| scene.is_of(action)) {
        if scene.nth > 1 {
            scene.nth -= 1;
        } else if due.is_none() {
            scene.times = scene.times.saturating_sub(1);
            due = Some(scene.clone());
        }
    }
    scenes.retain(|scene| scene.times > 0);
    due.filter(|scene| scene.p.hits(drawn()))
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

fn one() -> u32 {
    1
}

fn always() -> Chance {
    Chance::ALWAYS
}

fn yes() -> bool {
    true
}

fn default_message() -> String {
    "The call is refused, as the scene says.".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_plays_for_its_calls_and_no_others() {
        let mut scenes = Scene::read(
            br#"[{"action": "RunInstances", "nth": 2, "times": 2}, {"action": "*", "nth": 4}]"#,
        )
        .unwrap();
        let calls = [
            "RunInstances",
            "DescribeZones",
            "RunInstances",
            "RunInstances",
            "RunInstances",
        ];
        let played = calls.map(|action| due(&mut scenes, action, || 0.0).map(|it| it.action));
        let played = played.each_ref().map(Option::as_deref);
        assert_eq!(
            played,
            [
                None,
                None,
                Some("RunInstances"),
                Some("RunInstances"),
                Some("*")
            ]
        );
        assert!(scenes.is_empty(), "{scenes:?}");
    }

    #[test]
    fn chance_decides_which_of_the_calls_meet_with_it() {
        let json = br#"[{"action": "DescribeZones", "times": 3, "p": 0.5}]"#;
        let mut scenes = Scene::read(json).unwrap();
        let hits =
            [0.4, 0.6, 0.1].map(|drawn| due(&mut scenes, "DescribeZones", || drawn).is_some());
        assert_eq!(hits, [true, false, true]);
        assert!(scenes.is_empty());
    }
}
