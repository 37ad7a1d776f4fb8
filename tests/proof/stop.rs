//! SIGSTOP past the lease and past the signature's life: who wakes up can neither write nor launch.

use crate::dice::knob;
use crate::kill::{announced, worlds_in_turn};
use crate::postgres::Postgres;
use crate::process::Process;
use crate::report::Report;
use crate::world::World;
use cvm_gateway::clock::Clock;
use std::sync::Arc;
use std::time::Duration;

const CLIENTS: usize = 6;
const STOPS_PER_WORLD: u64 = 13;
/// Longer than a lease (1.5 s) and a signature's life (2 s) one after the other.
const PAUSE: Duration = Duration::from_millis(3800);
/// How long a launch is waited for that can be held on its way.
const HOLD_MAX: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_paused_can_neither_write_nor_launch() {
    let (seed, mut stops) = (knob("SEED", 1), knob("STOPS", 3));
    let server = Arc::new(Postgres::start());
    let mut worlds = Vec::new();
    let mut left = stops;
    while left > 0 {
        let number = u64::try_from(worlds.len()).unwrap();
        let here = left.min(STOPS_PER_WORLD);
        worlds.push(run(seed + number, here, Arc::clone(&server)));
        left -= here;
    }
    let total = worlds_in_turn(worlds).await;
    total.conclude("stop");
    stops -= total.figure("pauses");
    assert_eq!(stops, 0);
    // The bytes that were held arrive when their signature is too old.
    let expired = total.figure("  of them expired on the way");
    assert!(expired >= total.figure("launches held over a pause"));
}

async fn run(seed: u64, stops: u64, server: Arc<Postgres>) -> Report {
    let database = server.new_database().await;
    let world = World::new(seed, Some(server.url(server.folder(), &database)), 1).await;
    let proxy = world.proxy().await;
    let config = world.config("gateway", proxy.address(), world.journal());
    // One after the other: the first makes the journal's tables.
    let mut gateways = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let mut gateway = Process::spawn(&config);
        addresses.extend(announced(&world, &mut gateway).await);
        gateways.push(gateway);
    }
    world.serve_at(addresses.clone());
    world.load.start(CLIENTS);
    let (mut held, mut pauses) = (0, 0);
    while pauses < stops {
        let port = match world.dice.percent(70) {
            true => proxy.hold_a_launch(HOLD_MAX).await,
            false => None,
        };
        if port.is_none() {
            Clock::system().sleep(world.dice.millis(1..90)).await;
        }
        let owner = gateways
            .iter()
            .position(|gateway| port.is_some_and(|port| gateway.has_port(port)));
        let chosen = usize::try_from(world.dice.within(0..2)).unwrap();
        let victim = owner.unwrap_or(chosen);
        gateways[victim].pause().await;
        let others = addresses
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != victim);
        world.serve_at(others.map(|(_, address)| address.clone()).collect());
        Clock::system().sleep(PAUSE).await;
        if world.dice.percent(50) {
            proxy.release();
            Clock::system().sleep(world.dice.millis(1..50)).await;
            gateways[victim].resume().await;
        } else {
            gateways[victim].resume().await;
            Clock::system().sleep(world.dice.millis(1..50)).await;
            proxy.release();
        }
        held += u64::from(port.is_some());
        pauses += 1;
        world.serve_at(addresses.clone());
        Clock::system().sleep(world.dice.millis(50..400)).await;
    }
    let replay = format!("make kill SEED={seed} KILLS=0 RECOVERY_KILLS=0 STOPS={stops}");
    let mut report = world.conclude(&proxy, &mut gateways, &replay).await;
    report.count("pauses", pauses);
    report.count("launches held over a pause", held);
    report
}
