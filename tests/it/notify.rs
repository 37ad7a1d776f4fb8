//! A stream at one replica sees at once what another replica does.

use crate::postgres;
use crate::world::{Served, World, client, config_text, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::pb::v1 as pb;
use std::time::Duration;

/// A gateway with its journal in PostgreSQL.
async fn replica(world: &World, database: &str, clock: Clock) -> Served {
    let endpoint = format!("http://{}", world.simulator.addr());
    let text = config_text(&world.folder.0, &endpoint, "");
    let file = format!("sqlite://{}/journal.db", world.folder.0.display());
    assert!(text.contains(&file));
    let text = postgres::with_key_file(&text.replace(&file, database));
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    Served::start(config, clock).await
}

/// The second replica's clock stands still, so that it never reads the journal because a second has
/// passed: all that it tells, it was told.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_told_what_another_one_writes() {
    let world = World::new(20.0).await;
    let database = postgres::new_database().await;
    let clock = Clock::system();
    let first = replica(&world, &database, clock.clone()).await;
    let second = replica(&world, &database, Clock::manual(clock.now())).await;
    let (mut launching, mut watching) = (client(&first).await, client(&second).await);

    // More than one try only while the second replica is not connected yet.
    for number in 0..20 {
        let launch = wish(&format!("launch-{number}"), 1);
        let mut launch = launching.run_instances(launch).await.unwrap().into_inner();
        let message = launch.message().await.unwrap().unwrap();
        let Some(pb::run_instances_response::Event::Operation(begun)) = message.event else {
            panic!("a stream begins with its operation");
        };
        let request = pb::WatchOperationRequest {
            name: begun.name,
            after_sequence: 0,
        };
        let watch = watching.watch_operation(request).await.unwrap();
        let mut stream = watch.into_inner();
        let mut last = 0;
        let followed = async {
            while let Some(message) = stream.message().await.unwrap() {
                if let Some(pb::watch_operation_response::Event::Operation(seen)) = message.event {
                    assert!(seen.sequence > last, "never backwards");
                    last = seen.sequence;
                }
            }
        };
        let ended = clock.timeout(Duration::from_secs(10), followed).await;
        if ended.is_some() {
            assert!(last > 2, "it followed the launch to its end");
            first.stop().await;
            return;
        }
    }
    panic!("nothing is told");
}
