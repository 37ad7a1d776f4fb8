//! Every point × crash before, crash after, error, lost, delay × what the cloud remembers × engine.

use crate::meddler::Mischief;
use crate::settings::IMPATIENCE;
use crate::stories::{cancelling, failing, releasing, returning};
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

/// Points that only one engine has.
const SQLITE_ONLY: [&str; 1] = ["store.scrub"];
const POSTGRES_ONLY: [&str; 1] = ["store.budget"];
/// Points that need a second launch, and so a cloud that forgets.
const FORGETTING_ONLY: [&str; 1] = ["store.brake"];

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
        let other_engine = match self.engine {
            Engine::Sqlite => POSTGRES_ONLY,
            Engine::Postgres => SQLITE_ONLY,
        };
        let forgets = self.memory == Memory::Nothing || !FORGETTING_ONLY.contains(&self.point);
        forgets && !other_engine.contains(&self.point)
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
        let story = Story {
            engine: self.engine,
            memory: self.memory,
            faults: vec![self.fault()],
            ..Story::default()
        };
        match self.point.split_once('.').unwrap().0 {
            "cloud" | "driver" | "terminate" => self.of_calls(story),
            "cancel" | "lease" | "release" => self.of_leases(story),
            "store" => self.of_store(story),
            _ => self.of_doors(story),
        }
    }

    fn fault(&self) -> String {
        format!("{}:{}", self.point, self.action.as_str())
    }

    fn of_calls(&self, story: Story) -> Story {
        match self.point {
            // An answer is lost, and looked for.
            "driver.look_up" | "driver.found" | "cloud.find_by_tag" => Story {
                script: vec![Mischief::LoseAnswer],
                ..story
            },
            // The process before died while it sent.
            "driver.doubt" => Story {
                faults: vec!["driver.call:crash-after".to_owned(), self.fault()],
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
                setting: Some(IMPATIENCE),
                deaf: true,
                end: OperationState::NeedsOperator,
                ..story
            },
            // A step ends it, not a poll. Refused once more, for where the process dies that ends the one launch, the other's
            // refusal may be on its way.
            "driver.rest" => Story {
                script: vec![Mischief::Refuse("LimitExceeded.InstanceQuota"); 2],
                end: OperationState::Failed,
                ..story
            },
            // Not a call that went wrong, but a gateway without its key.
            "cloud.sign" if matches!(self.action, Action::Error | Action::Lost) => Story {
                alone: true,
                end: OperationState::Failed,
                ..story
            },
            "driver.begin_call" | "driver.end_call" | "terminate.call" | "cloud.terminate" => {
                self.giving_back(story)
            }
            // The process before died while it gave machines back.
            "driver.doubt_call" => Story {
                faults: vec!["terminate.call:crash-after".to_owned(), self.fault()],
                ..self.giving_back(story)
            },
            _ => story,
        }
    }

    fn of_leases(&self, story: Story) -> Story {
        match self.point {
            // The process before died while it sent.
            "lease.hold" => Story {
                faults: vec!["driver.call:crash-after".to_owned(), self.fault()],
                ..story
            },
            // The process before died in the middle of a step.
            "lease.calm" => Story {
                faults: vec!["poll.save:crash-before".to_owned(), self.fault()],
                ..story
            },
            // The journal gave a lease, or a replay, and nobody was told; the leases are renewed
            // before the end.
            "lease.give_back" => Story {
                faults: vec![format!("submit.admit:lost,{}", self.fault())],
                lags: (2.0, 0.1),
                ..story
            },
            "lease.last" | "lease.release" => Story {
                stopped: true,
                ..story
            },
            // What was ordered is still to be seen to when the leases are renewed next.
            "cancel.order" | "cancel.fulfilled" => cancelling(story),
            // The process before died when it had written the order down, and before it could see
            // the machines run.
            "cancel.take" => Story {
                faults: vec!["cancel.order:crash-after".to_owned(), self.fault()],
                ..cancelling(story)
            },
            "release.take" => releasing(story),
            _ => story,
        }
    }

    fn of_store(&self, story: Story) -> Story {
        match self.point {
            // The process before died while it sent.
            "store.claim" => Story {
                faults: vec!["driver.call:crash-after".to_owned(), self.fault()],
                ..story
            },
            // A write went through, but who asked for it was not told.
            "store.saved" => Story {
                faults: vec![format!("driver.save:lost,{}", self.fault())],
                ..story
            },
            // The connection was given up.
            "store.acquire" => Story {
                faults: vec![format!("store.commit:error,{}", self.fault())],
                ..story
            },
            // Something is in hand for long enough.
            "store.renew" => Story {
                script: vec![Mischief::HoldAnswer],
                ..story
            },
            "store.release" => Story {
                stopped: true,
                ..story
            },
            // A request arrives twice.
            "store.brake" => Story {
                script: vec![Mischief::RepeatAndLose],
                lags: (0.0, 0.0),
                end: OperationState::NeedsOperator,
                ..story
            },
            _ => story,
        }
    }

    /// Of what clients meet, and of what runs beside them.
    fn of_doors(&self, story: Story) -> Story {
        match self.point {
            // What was asked for cannot be had now, although it was before.
            "submit.find" | "grpc.attach" => Story {
                faults: vec![format!("grpc.submit:error,{}", self.fault())],
                ..story
            },
            // A stream broke behind its first snapshot, for at most four pass the point before one
            // does for the second time; so that a client goes on from its cursor.
            "operations.get" => Story {
                faults: vec![format!("grpc.stream:error:5,{}", self.fault())],
                lags: (0.7, 0.1),
                ..story
            },
            "gateway.drain" => Story {
                stopped: true,
                ..story
            },
            "sweep.list" | "sweep.judge" => Story {
                sweeping: true,
                ..story
            },
            // Another process steps it; or nobody does, for a step ended by a defect.
            "watch.refresh" => match self.engine {
                Engine::Sqlite => Story {
                    faults: vec![format!("driver.begin:error,{}", self.fault())],
                    ..story
                },
                Engine::Postgres => Story {
                    twin: true,
                    ..story
                },
            },
            _ => story,
        }
    }

    /// Machines are given back. The cloud's memory has no part in it, so each stands for another
    /// reason: the caller asks for it, cancels the launch, or wants all or nothing and one fails.
    fn giving_back(&self, story: Story) -> Story {
        match self.memory {
            Memory::Forever => returning(story),
            Memory::Minute => cancelling(story),
            Memory::Nothing => failing(story),
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
