//! Gateways of two versions on one journal: replaced by each other under load, in order or as they die.
//! `make upgrade` names the program of an older version; without one, this version is replaced by itself.

use crate::dice::knob;
use crate::kill::announced;
use crate::postgres::Postgres;
use crate::process::{PROGRAM, Process};
use crate::report::Report;
use crate::world::World;
use cvm_gateway::clock::Clock;
use std::path::PathBuf;

const REPLICAS: usize = 2;
const CLIENTS: usize = 4;
/// As with the other proofs on PostgreSQL: every wait is so many times as long as with SQLite.
const PACE: u32 = 4;

/// A gateway's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Previous,
    This,
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_follow_each_other_and_lose_nothing() {
    let (seed, swaps) = (knob("SEED", 1), knob("SWAPS", 2));
    let server = Postgres::start();
    let database = server.new_database().await;
    let shared = server.url(server.folder(), &database);
    let shared = World::new(seed, Some(shared), PACE).await;
    let mut total = run(shared, REPLICAS, swaps).await;
    total.add(run(World::new(seed, None, 1).await, 1, swaps).await);
    total.conclude("upgrade");
    assert_eq!(total.figure("gateways replaced"), 2 * swaps);
    assert!(total.figure("machines") > 0);
}

/// The gateways are of the previous version at first, and of this one at last. Between, one is replaced by one of any
/// version, `swaps` times in all.
async fn run(world: World, replicas: usize, swaps: u64) -> Report {
    let proxy = world.proxy().await;
    let config = world.config("gateway", proxy.address(), world.journal());
    let (mut gateways, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..replicas {
        let mut gateway = Process::of(&Version::Previous.program(), &config);
        addresses.push(announced(&world, &mut gateway).await);
        gateways.push(gateway);
    }
    world.serve_at(addresses.iter().flatten().cloned().collect());
    world.load.start(CLIENTS);
    let mut counts = Report::default();
    for (swap, version) in versions(&world, replicas, swaps).into_iter().enumerate() {
        Clock::system().sleep(world.dice.millis(100..1500)).await;
        let place = swap % replicas;
        end(&world, &mut gateways[place]).await;
        gateways[place] = Process::of(&version.program(), &config);
        addresses[place] = announced(&world, &mut gateways[place]).await;
        world.serve_at(addresses.iter().flatten().cloned().collect());
        counts.count("gateways replaced", 1);
        counts.count(
            "  of them by the previous version",
            u64::from(version == Version::Previous),
        );
    }
    let replay = format!("make upgrade SEED={} SWAPS={swaps}", world.seed);
    let mut report = world.conclude(&proxy, &mut gateways, &replay).await;
    report.add(counts);
    report
}

/// What comes in turn: this version first and last, whatever between. One place alone goes back: versions of before
/// 2026-12 that met newer tables kept others of theirs from starting beside them.
fn versions(world: &World, replicas: usize, swaps: u64) -> Vec<Version> {
    let swaps = usize::try_from(swaps).unwrap();
    let of = |swap: usize| {
        let stays = swap == 0 || !swap.is_multiple_of(replicas) || swap + replicas >= swaps;
        match stays || world.dice.percent(40) {
            true => Version::This,
            false => Version::Previous,
        }
    };
    (0..swaps).map(of).collect()
}

/// In order, or as a machine does that loses its power.
async fn end(world: &World, gateway: &mut Process) {
    if !gateway.has_ended() && world.dice.percent(50) {
        gateway.kill().await;
    } else {
        world.stop(gateway).await;
    }
}

impl Version {
    #[expect(
        clippy::disallowed_methods,
        reason = "as the other knobs of these tests"
    )]
    fn program(self) -> PathBuf {
        let previous = std::env::var_os("CVM_GATEWAY_TEST_PREVIOUS");
        match previous {
            Some(program) if self == Self::Previous => program.into(),
            _ => PROGRAM.into(),
        }
    }
}
