//! An operation that ends the process which steps it is parked, and no other one waits for it.

use crate::world::{World, client, ready_again, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::time::Duration;

async fn journal(world: &World) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}/journal.db", world.folder.0.display());
    AnyConnection::connect(&url).await.unwrap()
}

/// Three launches under way, whose gateway has stopped in order.
async fn three_launches(world: &World) {
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let mut streams = Vec::new();
    for name in ["poison", "unreadable", "good"] {
        let stream = client.run_instances(wish(name, 1)).await.unwrap();
        let mut stream = stream.into_inner();
        stream.message().await.unwrap().unwrap();
        streams.push(stream);
    }
    world.launched(3).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_the_process_is_parked_and_delays_no_other() {
    // Machines that run would end the launches before they are poisoned.
    let (world, later) = World::still().await;
    three_launches(&world).await;
    let mut journal = journal(&world).await;
    // As if processes had died with two of them in hand. The second cannot even be read.
    for sql in [
        "UPDATE operations SET crashes = 2, lease_until = 1 WHERE request_id = 'poison'",
        "UPDATE operations SET crashes = 2, lease_until = 1, document = '{}' \
         WHERE request_id = 'unreadable'",
    ] {
        let changed = sqlx::query(AssertSqlSafe(sql)).execute(&mut journal).await;
        assert_eq!(changed.unwrap().rows_affected(), 1);
    }

    let gateway = world.gateway("lease = \"1s\"").await;
    let mut client = client(&gateway).await;
    later.comes();
    let good = run(&mut client, wish("good", 1)).await;
    good.end.unwrap();
    let poison = run(&mut client, wish("poison", 1)).await;
    let failure = poison.last().failure.as_ref().unwrap();
    assert_eq!(poison.last().state(), pb::OperationState::NeedsOperator);
    assert!(
        failure.message.starts_with("parked after 3 crashes"),
        "{failure:?}"
    );
    let crashes = |row: sqlx::any::AnyRow| row.get::<i64, _>(0);
    let sql = "SELECT crashes FROM operations WHERE request_id = 'poison'";
    let counted = sqlx::query(sql).fetch_one(&mut journal).await.map(crashes);
    assert_eq!(counted.unwrap(), 3, "kept, so that it can be listed");

    // What cannot be read is claimed each time that its lease ends: a newer version may read it.
    let claims = async {
        let sql = "SELECT crashes, lease_epoch FROM operations WHERE request_id = 'unreadable'";
        loop {
            let row = sqlx::query(sql).fetch_one(&mut journal).await.unwrap();
            let [crashes, epoch] = [0, 1].map(|column| row.get::<i64, _>(column));
            assert!(crashes <= 3, "{crashes}: who cannot read it is no crash");
            if epoch > 8 {
                return;
            }
            Clock::system().sleep(Duration::from_millis(50)).await;
        }
    };
    let clock = Clock::system();
    let claimed = clock.timeout(Duration::from_secs(60), claims).await;
    claimed.expect("it is claimed no more");
    assert_eq!(
        world.machines().await.len(),
        3,
        "nothing was launched again"
    );
    ready_again(&gateway).await;
    gateway.stop().await;
}

/// A process that died for another reason is no blame: the next step that is completed says so.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_after_a_crash_is_not_parked() {
    let world = World::new(0.1).await;
    three_launches(&world).await;
    let mut journal = journal(&world).await;
    let sql = "UPDATE operations SET crashes = 1, lease_until = 1";
    sqlx::query(sql).execute(&mut journal).await.unwrap();
    let gateway = world.gateway("").await;
    let calmed = async {
        let sql = "SELECT COUNT(*) FROM operations WHERE crashes > 0 OR lease_epoch = 1";
        loop {
            let row = sqlx::query(sql).fetch_one(&mut journal).await.unwrap();
            if row.get::<i64, _>(0) == 0 {
                return;
            }
            Clock::system().sleep(Duration::from_millis(20)).await;
        }
    };
    let clock = Clock::system();
    clock
        .timeout(Duration::from_secs(60), calmed)
        .await
        .unwrap();
    let sql = "SELECT COUNT(*) FROM operations WHERE state = 'LAUNCHED'";
    let row = sqlx::query(sql).fetch_one(&mut journal).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 3, "by a step that changed nothing");
    gateway.stop().await;
}

/// To wait for the account's turn is no step: the one that ends the process may be the next.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_its_turn_is_not_cleared_by_that() {
    let slow = "[cloud.limits]\nrun_instances_per_second = 1\n";
    let world = World::new(100.0).await;
    let gateway = world.gateway(slow).await;
    let mut client = client(&gateway).await;
    // More than have their turn while the gateway stops.
    for number in 0..30 {
        let stream = client.run_instances(wish(&format!("queued-{number}"), 1));
        let message = stream.await.unwrap().into_inner().message().await;
        message.unwrap().unwrap();
    }
    gateway.stop().await;
    let mut journal = journal(&world).await;
    let sql = "UPDATE operations SET lease_until = 1 WHERE state = 'ACCEPTED'";
    let died = sqlx::query(sql).execute(&mut journal).await.unwrap();
    assert!(died.rows_affected() >= 5);

    let gateway = world.gateway(slow).await;
    // One of them has had its turn: others wait for theirs meanwhile.
    let turned = async {
        let sql = "SELECT COUNT(*), COUNT(CASE WHEN lease_epoch > 1 THEN 1 END) \
                   FROM operations WHERE state = 'ACCEPTED'";
        loop {
            let row = sqlx::query(sql).fetch_one(&mut journal).await.unwrap();
            let left = u64::try_from(row.get::<i64, _>(0)).unwrap();
            if left < died.rows_affected() && row.get::<i64, _>(1) >= 2 {
                return;
            }
            Clock::system().sleep(Duration::from_millis(50)).await;
        }
    };
    let clock = Clock::system();
    let turned = clock.timeout(Duration::from_secs(60), turned).await;
    turned.expect("nobody has its turn");
    let sql = "SELECT COUNT(*), SUM(crashes) FROM operations \
               WHERE state = 'ACCEPTED' AND lease_epoch > 1";
    let row = sqlx::query(sql).fetch_one(&mut journal).await.unwrap();
    let (waiting, crashes) = (row.get::<i64, _>(0), row.get::<i64, _>(1));
    assert!(waiting >= 2, "{waiting}");
    assert_eq!(crashes, waiting);
    gateway.stop().await;
}
