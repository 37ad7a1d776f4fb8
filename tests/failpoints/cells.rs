//! Every point × crash before, crash after, error, lost, delay × what the cloud remembers × engine.

use crate::meddler::Mischief;
use crate::world::{Engine, Memory, Story, play};
use cvm_gateway::chaos::{Action, POINTS};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1::OperationState;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Stories played at once: most of a story is waiting.
const AT_ONCE: usize = 12;
/// Cells of the short form.
const SAMPLE: usize = 24;

/// A cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Cell {
    point: &'static str,
    action: Action,
    memory: Memory,
    engine: Engine,
}

const MEMORIES: [(Memory, &str); 3] = [
    (Memory::Forever, "forever"),
    (Memory::Minute, "minute"),
    (Memory::Nothing, "nothing"),
];
const ENGINES: [(Engine, &str); 2] = [(Engine::Sqlite, "sqlite"), (Engine::Postgres, "postgres")];

/// Points that no story leads to: of giving machines back, for a machine whose launch failed is gone
/// by itself; and of following what another process steps.
const NO_STORY: [&str; 6] = [
    "cloud.terminate",
    "driver.begin_call",
    "driver.doubt_call",
    "driver.end_call",
    "terminate.call",
    "watch.refresh",
];

/// Points that only one engine has.
const SQLITE_ONLY: [&str; 1] = ["store.scrub"];

impl Cell {
    fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for point in POINTS {
            for action in Action::ALL {
                for (memory, _) in MEMORIES {
                    for (engine, _) in ENGINES {
                        let cell = Self {
                            point,
                            action,
                            memory,
                            engine,
                        };
                        cells.extend(cell.exists().then_some(cell));
                    }
                }
            }
        }
        cells
    }

    fn exists(&self) -> bool {
        let engine = self.engine == Engine::Sqlite || !SQLITE_ONLY.contains(&self.point);
        engine && !NO_STORY.contains(&self.point)
    }

    /// As `CELL` spells it.
    fn name(&self) -> String {
        let memory = MEMORIES.iter().find(|(memory, _)| *memory == self.memory);
        let engine = ENGINES.iter().find(|(engine, _)| *engine == self.engine);
        let (memory, engine) = (memory.unwrap().1, engine.unwrap().1);
        format!("{} {} {memory} {engine}", self.point, self.action.as_str())
    }

    /// The story that leads to its point.
    fn story(&self) -> Story {
        let fault = format!("{}:{}", self.point, self.action.as_str());
        let story = Story {
            engine: self.engine,
            memory: self.memory,
            faults: vec![fault.clone()],
            ..Story::default()
        };
        match self.point {
            // An answer is lost, and looked for.
            "driver.look_up" | "driver.found" | "cloud.find_by_tag" => Story {
                script: vec![Mischief::LoseAnswer],
                ..story
            },
            // The process before died while it sent.
            "driver.doubt" | "lease.hold" | "store.claim" => Story {
                faults: vec!["driver.call:crash-after".to_owned(), fault],
                ..story
            },
            // A write went through, but who asked for it was not told.
            "store.saved" => Story {
                faults: vec![format!("driver.save:lost,{fault}")],
                ..story
            },
            // What was asked for cannot be had now, although it was before.
            "submit.find" | "grpc.attach" => Story {
                faults: vec![format!("grpc.submit:error,{fault}")],
                ..story
            },
            "driver.give_up" => Story {
                script: vec![Mischief::LoseRequest, Mischief::LoseRequest],
                setting: Some(("attempts_max", "1")),
                end: OperationState::Failed,
                ..story
            },
            "driver.escalate" => Story {
                script: vec![Mischief::LoseAnswer, Mischief::LoseAnswer],
                setting: Some(("reconcile_timeout", "\"1s\"")),
                deaf: true,
                end: OperationState::NeedsOperator,
                ..story
            },
            // A stream broke, so that a client goes on from its cursor.
            "operations.get" => Story {
                faults: vec![format!("grpc.stream:lost,{fault}")],
                ..story
            },
            // The connection was given up.
            "store.acquire" => Story {
                faults: vec![format!("store.commit:error,{fault}")],
                ..story
            },
            // Something is in hand for long enough.
            "store.renew" => Story {
                script: vec![Mischief::HoldAnswer],
                ..story
            },
            // A step ends it, not a poll.
            "driver.rest" => Story {
                script: vec![Mischief::Refuse("LimitExceeded.InstanceQuota")],
                end: OperationState::Failed,
                ..story
            },
            "lease.last" | "lease.release" | "store.release" | "gateway.drain" => Story {
                stopped: true,
                ..story
            },
            _ => story,
        }
    }

    /// What went wrong.
    async fn play(&self) -> Vec<String> {
        let mut told = play(&self.story()).await;
        if !told.planted.iter().any(|point| point == self.point) {
            told.violations
                .push(format!("{} was never reached", self.point));
        }
        told.violations
    }
}

/// Cells that `CELL` or `CELLS` asks for: one by name, `all`, or some points; else a sample.
fn chosen() -> Vec<Cell> {
    let cells = Cell::all();
    if let Some(name) = environment("CELL") {
        let cells: Vec<_> = cells
            .into_iter()
            .filter(|cell| cell.name() == name)
            .collect();
        assert!(!cells.is_empty(), "{name} is no cell");
        return cells;
    }
    match environment("CELLS").as_deref() {
        Some("all") => cells,
        Some(part) => {
            let cells = cells.into_iter();
            cells.filter(|cell| cell.name().contains(part)).collect()
        }
        None => {
            let step = cells.len() / SAMPLE;
            let step = (step..)
                .find(|step| !cells.len().is_multiple_of(*step))
                .unwrap();
            cells.into_iter().step_by(step).collect()
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how much is wanted of this test")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_at_any_point_launches_twice_or_loses_anything() {
    let cells = chosen();
    let (count, clock) = (cells.len(), Clock::system());
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut stories = JoinSet::new();
    for cell in cells {
        let free = Arc::clone(&free);
        stories.spawn(async move {
            let _turn = free.acquire_owned().await.unwrap();
            (cell, cell.play().await)
        });
    }
    let mut broken = Vec::new();
    while let Some(played) = stories.join_next().await {
        let (cell, violations) = played.unwrap();
        if !violations.is_empty() {
            let name = cell.name();
            println!("{name}:\n  {}", violations.join("\n  "));
            println!("  CELL='{name}' cargo test --features chaos --test failpoints cells::");
            broken.push(name);
        }
    }
    let seconds = clock.elapsed().as_secs();
    println!(
        "{count} cells of {} points, {} broken, in {seconds} s",
        POINTS.len(),
        broken.len()
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
