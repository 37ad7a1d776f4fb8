//! `kill -9` at random instants, under load and with a cloud that loses, delays and doubles.

use crate::dice::knob;
use crate::process::Process;
use crate::report::{Kind, Report};
use crate::world::World;
use cvm_gateway::clock::Clock;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Worlds that run at the same time.
const WORLDS_AT_ONCE: usize = 4;
/// Clients of one world.
const CLIENTS: usize = 12;
/// Kills of one world, after which it is judged; fewer make a violation easier to understand.
const KILLS_PER_WORLD: u64 = 25;

/// What is done in one world.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    seed: u64,
    kills: u64,
    /// Of a process that has hardly started, several in a row.
    recovery_kills: u64,
}

impl Plan {
    fn replay(self) -> String {
        format!(
            "make kill SEED={} KILLS={} RECOVERY_KILLS={} STOPS=0",
            self.seed, self.kills, self.recovery_kills
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_neither_repeat_nor_lose_a_launch() {
    let (kills, recovery_kills) = (knob("KILLS", 25), knob("RECOVERY_KILLS", 5));
    let plans = plans(knob("SEED", 1), kills, recovery_kills);
    let total = worlds_in_turn(plans.into_iter().map(run).collect()).await;
    total.conclude("kill");
    assert_eq!(total.figure("kills"), kills);
    assert_eq!(total.figure("kills during recovery"), recovery_kills);
    assert!(total.figure("machines") > 0 || kills + recovery_kills == 0);
}

/// Runs worlds, some at once: most of their time is waiting. What all of them came to.
pub(crate) async fn worlds_in_turn<W>(worlds: Vec<W>) -> Report
where
    W: Future<Output = Report> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(WORLDS_AT_ONCE));
    let running = TaskTracker::new();
    let mut reports = Vec::new();
    for world in worlds {
        let turns = Arc::clone(&turns);
        reports.push(running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            world.await
        }));
    }
    let mut total = Report::default();
    for report in reports {
        total.add(report.await.unwrap());
    }
    total
}

/// Worlds of a bounded number of kills each, with seeds that count up.
fn plans(seed: u64, mut kills: u64, mut recovery_kills: u64) -> Vec<Plan> {
    let mut plans = Vec::new();
    while kills + recovery_kills > 0 {
        let plan = Plan {
            seed: seed + u64::try_from(plans.len()).unwrap(),
            kills: kills.min(KILLS_PER_WORLD),
            recovery_kills: recovery_kills.min(KILLS_PER_WORLD / 5),
        };
        kills -= plan.kills;
        recovery_kills -= plan.recovery_kills;
        plans.push(plan);
    }
    plans
}

async fn run(plan: Plan) -> Report {
    let world = World::new(plan.seed, None, 1).await;
    let proxy = world.proxy().await;
    let config = world.config("gateway", proxy.address(), world.journal());
    world.load.start(CLIENTS);
    let (mut kills, mut recovery_kills) = (plan.kills, plan.recovery_kills);
    while kills + recovery_kills > 0 {
        if kills > 0 {
            kill(&world, &config).await;
            kills -= 1;
        }
        if recovery_kills > 0 && world.dice.percent(40) || kills == 0 {
            let in_a_row = world.dice.within(2..5).min(recovery_kills);
            for _ in 0..in_a_row {
                kill_recovering(&world, &config).await;
            }
            recovery_kills -= in_a_row;
        }
    }
    let mut process = Process::spawn(&config);
    announce(&world, &mut process).await;
    let mut report = world.conclude(&proxy, &mut [process], &plan.replay()).await;
    report.count("kills", plan.kills);
    report.count("kills during recovery", plan.recovery_kills);
    report
}

/// Starts the program and kills it: while it starts, while it works, or after a longer while.
async fn kill(world: &World, config: &Path) {
    let dice = &world.dice;
    let mut process = Process::spawn(config);
    let life = match dice.within(0..10) {
        0..3 => dice.millis(1..90),
        kind => {
            announce(world, &mut process).await;
            dice.millis(if kind >= 8 { 90..900 } else { 1..90 })
        }
    };
    die_after(world, process, life).await;
}

/// Kills it 1 to 40 ms after it was started, or after it began to serve and to recover.
async fn kill_recovering(world: &World, config: &Path) {
    let mut process = Process::spawn(config);
    if world.dice.percent(60) {
        announce(world, &mut process).await;
    }
    die_after(world, process, world.dice.millis(1..40)).await;
}

async fn die_after(world: &World, mut process: Process, life: Duration) {
    Clock::system().sleep(life).await;
    if process.has_ended() {
        let what = format!("the gateway ended by itself:\n{}", process.log());
        world.findings.add(Kind::Process, what);
    } else {
        process.kill().await;
    }
    world.serve_at(Vec::new());
}

/// Waits until it serves, and lets the clients know.
async fn announce(world: &World, process: &mut Process) {
    let address = announced(world, process).await;
    world.serve_at(address.into_iter().collect());
}

/// Waits until it serves; where, or nothing when it does not start, which is noted.
pub(crate) async fn announced(world: &World, process: &mut Process) -> Option<String> {
    let ready = process.ready().await;
    if let Err(log) = &ready {
        let what = format!("the gateway does not start:\n{log}");
        world.findings.add(Kind::Process, what);
    }
    ready.ok()
}
