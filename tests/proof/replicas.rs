//! Three processes on one PostgreSQL: races, kills, a database that restarts, pauses and loses COMMITs.

use crate::cutter::Cutter;
use crate::dice::{Dice, knob};
use crate::kill::worlds_in_turn;
use crate::postgres::Postgres;
use crate::process::Process;
use crate::report::{Kind, Report};
use crate::world::World;
use cvm_gateway::clock::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const REPLICAS: usize = 3;
const CLIENTS: usize = 4;
/// Every wait is so many times as long as with SQLite: writes take longer, most of all when
/// connections were cut and 64 callers wait for them.
const PACE: u32 = 4;
const EVENTS_PER_WORLD: u64 = 40;
/// Clients that ask for one request_id at the same time, and those among them with another body.
const RACE: (usize, usize) = (60, 4);
/// How long a race may take, with whatever happens meanwhile.
const RACE_MAX: Duration = Duration::from_secs(120);
/// A start may fail when its connection is cut; then it is started again, as a supervisor does.
const STARTS_MAX: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_one_gateway() {
    let (seed, events) = (knob("SEED", 1), knob("EVENTS", 6));
    let mut worlds = Vec::new();
    let mut left = events;
    while left > 0 {
        let number = u64::try_from(worlds.len()).unwrap();
        let here = left.min(EVENTS_PER_WORLD);
        worlds.push(run(seed + number, here));
        left -= here;
    }
    let total = worlds_in_turn(worlds).await;
    total.conclude("replicas");
    let happened = EVENTS.map(|name| total.figure(name)).iter().sum::<u64>();
    assert_eq!(happened, events);
    assert!(total.figure("machines") > 0 || events == 0);
}

const EVENTS: [&str; 4] = [
    "64-way races",
    "replicas killed",
    "restarts of PostgreSQL",
    "pauses of PostgreSQL",
];

/// The replicas of a world, each behind a proxy of its own to the database.
struct Replicas {
    configs: Vec<PathBuf>,
    processes: Vec<Process>,
    addresses: Vec<String>,
}

async fn run(seed: u64, events: u64) -> Report {
    let server = Arc::new(Postgres::start());
    let database = server.new_database().await;
    let world = World::new(seed, Some(server.url(server.folder(), &database)), PACE).await;
    let proxy = world.proxy().await;
    let mut cutters = Vec::new();
    let mut configs = Vec::new();
    for number in 0..REPLICAS {
        let part = 200 + u64::try_from(number).unwrap();
        let cutter = Cutter::start(server.folder(), Dice::new(seed, part));
        let journal = server.url(cutter.folder(), &database);
        configs.push(world.config(&format!("gateway-{number}"), proxy.address(), &journal));
        cutters.push(cutter);
    }
    let mut replicas = Replicas::start(&world, configs).await;
    world.load.start(CLIENTS);
    let mut counts = Report::default();
    for event in 0..events {
        Clock::system().sleep(world.dice.millis(1..300)).await;
        // Each in turn at first, so that a short run has them all; then mostly kills.
        let chance = usize::try_from(world.dice.within(0..6)).unwrap();
        let turn = usize::try_from(event).unwrap();
        let kind = if turn < 4 {
            turn
        } else {
            [0, 1, 1, 1, 2, 3][chance]
        };
        match kind {
            0 => race(&world).await,
            1 => replicas.kill_one(&world).await,
            2 => {
                let server = Arc::clone(&server);
                tokio::task::spawn_blocking(move || server.restart())
                    .await
                    .unwrap();
            }
            _ => server.pause(world.dice.millis(200..3000)).await,
        }
        counts.count(EVENTS[kind], 1);
    }
    for cutter in &cutters {
        cutter.make_peace();
    }
    let replay = format!("make replicas SEED={seed} EVENTS={events}");
    let mut report = world
        .conclude(&proxy, &mut replicas.processes, &replay)
        .await;
    counts.count("COMMITs cut", cutters.iter().map(Cutter::cut).sum());
    report.add(counts);
    report
}

/// One request_id, asked for by 64 clients of all replicas at once, some with another body.
async fn race(world: &World) {
    let wishes = world.load.contest(RACE.0, RACE.1);
    let raced = Clock::system()
        .timeout(RACE_MAX, world.load.race(wishes))
        .await;
    if raced.is_none() {
        world
            .findings
            .add(Kind::Stuck, "a race did not come to its end");
    }
}

impl Replicas {
    async fn start(world: &World, configs: Vec<PathBuf>) -> Self {
        let mut replicas = Self {
            configs,
            processes: Vec::new(),
            addresses: Vec::new(),
        };
        for config in &replicas.configs {
            let (process, address) = serve(world, config).await;
            replicas.processes.push(process);
            replicas.addresses.push(address);
        }
        world.serve_at(replicas.addresses.clone());
        replicas
    }

    async fn kill_one(&mut self, world: &World) {
        let victim = usize::try_from(world.dice.within(0..3)).unwrap();
        if self.processes[victim].has_ended() {
            let what = format!(
                "a gateway ended by itself:\n{}",
                self.processes[victim].log()
            );
            world.findings.add(Kind::Process, what);
        } else {
            self.processes[victim].kill().await;
        }
        // Its clients run into nothing for a while.
        Clock::system().sleep(world.dice.millis(1..1500)).await;
        let (process, address) = serve(world, &self.configs[victim]).await;
        self.processes[victim] = process;
        self.addresses[victim] = address;
        world.serve_at(self.addresses.clone());
    }
}

/// Starts a replica, again when it fails to start.
async fn serve(world: &World, config: &std::path::Path) -> (Process, String) {
    for _ in 0..STARTS_MAX {
        let mut process = Process::spawn(config);
        if let Ok(address) = process.ready().await {
            return (process, address);
        }
    }
    panic!(
        "world {}: a replica does not start in {STARTS_MAX} tries",
        world.seed
    );
}
