//! What the journal does when the database, a lock, a clock or a person gets in its way.

use super::{HOUR, Journal, MINUTE, NO_TIME, NOW, admit, all, claim, new, next, operation, save};
use crate::postgres::Proxy;
use cvm_gateway::clock::Clock;
use cvm_gateway::domain::instance::{Instance, InstanceId};
use cvm_gateway::domain::operation::{Operation, State, Transition};
use cvm_gateway::metrics::Metrics;
use cvm_gateway::store::{Admission, Save, Saved, Settings, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Where a dead owner's lease ends in an hour because the clock was set back, nobody waits for that. A
/// lease that another gateway may have by its own settings is left alone.
pub(super) async fn claims_a_lease_that_ends_too_late(journal: Journal) {
    let store = journal.open().await;
    let [late, live, ended] = ["late", "live", "ended"].map(|name| operation("acme", name));
    for (operation, lease) in [(&late, HOUR), (&live, MINUTE), (&ended, NO_TIME)] {
        let mut new = new(operation);
        new.lease = lease;
        store.admit(new).await.unwrap();
    }
    for expected in [&ended, &late] {
        let claimed = claim(&store, "b", NOW, SECOND * 30, 1).await;
        assert_eq!(claimed.len(), 1, "as many as asked for");
        assert_eq!(&claimed[0].1, expected);
        assert_eq!(claimed[0].0.epoch, 2);
    }
    assert_eq!(claim(&store, "c", NOW, SECOND, 10).await, []);
}

/// What one person decided once lets an operation go on once, and lifts the brake of that time.
pub(super) async fn a_release_is_used_once(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    let parked = parked(&accepted, 2);
    assert_eq!(save(&store, lease, &parked).await, Saved::Done);
    journal.release(accepted.id).await;
    let release = store.releases().await.unwrap().remove(0);

    let dying = store.take_released(&release, "b", NOW, NO_TIME).await;
    assert!(dying.unwrap().is_some());
    let taken = store.take_released(&release, "c", NOW, HOUR).await;
    let lease = taken.unwrap().expect("the first one died with it").lease;
    let going = entered(&parked, State::Launched);
    assert_eq!(save(&store, lease, &going).await, Saved::Done);
    assert_eq!(store.releases().await.unwrap(), [], "used up with the save");
    assert_eq!(store.brakes().await.unwrap(), []);

    let again = self::parked(&going, 3);
    assert_eq!(save(&store, lease, &again).await, Saved::Done);
    let taken = store.take_released(&release, "d", NOW, HOUR).await;
    assert_eq!(taken.unwrap(), None, "it was read before it was used up");
    assert_eq!(store.brakes().await.unwrap().len(), 1);

    journal.release(accepted.id).await;
    let release = store.releases().await.unwrap().remove(0);
    let taken = store.take_released(&release, "d", NOW, HOUR).await;
    assert!(taken.unwrap().is_some(), "a new one counts");
}

/// It waits for a person, with so many machines where one was asked for.
fn parked(operation: &Operation, machines: u32) -> Operation {
    let mut parked = entered(operation, State::NeedsOperator);
    let id = |number| InstanceId::parse(&format!("ins-{number}")).unwrap();
    parked.instances = (0..machines).map(id).map(Instance::named).collect();
    parked
}

pub(super) fn entered(operation: &Operation, state: State) -> Operation {
    let mut entered = next(operation, state);
    entered.transitions.push(Transition {
        state: entered.state.name(),
        time: NOW,
        note: String::new(),
    });
    entered
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_keep_sqlite_s_log_short() {
    let journal = Journal::sqlite();
    let store = journal.open().await;
    let operations: Vec<_> = (0..600)
        .map(|i| operation("acme", &format!("r-{i}")))
        .collect();
    for some in operations.chunks(64) {
        for admitted in all(some.iter().map(|operation| store.admit(new(operation)))).await {
            assert!(matches!(admitted.unwrap(), Admission::New(_)));
        }
    }
    let held: Vec<_> = operations.iter().map(|operation| operation.id).collect();
    for number in 0..30 {
        let lost = store.renew("a", &held, NOW + SECOND * number, HOUR).await;
        assert_eq!(lost.unwrap().lost, []);
    }
    let log = journal.folder.as_ref().unwrap().join("journal.db-wal");
    let megabytes = std::fs::metadata(log).unwrap().len() >> 20;
    assert!(megabytes < 16, "{megabytes} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_locked_holds_up_only_itself() {
    let journal = Journal::postgres().await;
    let store = impatient(&journal).await;
    let operations = ["locked", "free", "also-free"].map(|name| operation("acme", name));
    let mut saves = Vec::new();
    for operation in &operations {
        saves.push(Save {
            lease: admit(&store, operation).await,
            operation: next(operation, State::Sent),
            attempt: false,
        });
    }
    let held = operations.each_ref().map(|operation| operation.id);
    let mut other = journal.connect().await;
    let lock = format!(
        "BEGIN; UPDATE operations SET crashes = crashes WHERE id = '{}'",
        held[0]
    );
    let lock = sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut other);
    lock.await.unwrap();

    let clock = Clock::system();
    let began = clock.elapsed();
    let (stuck, saved, renewal) = tokio::join!(
        store.save(&saves[..1]),
        store.save(&saves[1..]),
        store.renew("a", &held, NOW, HOUR),
    );
    let took = clock.elapsed() - began;
    assert!(matches!(stuck, Err(StoreError::Unavailable { .. })));
    assert_eq!(saved.unwrap(), [Saved::Done; 2]);
    let renewal = renewal.unwrap();
    assert_eq!(renewal.prolonged, held[1..]);
    assert_eq!(renewal.lost, [], "a lock is no other owner");
    assert!(took < SECOND * 10, "{took:?}");
    let unlock = sqlx::raw_sql("ROLLBACK").execute(&mut other).await;
    unlock.unwrap();
    assert_eq!(store.save(&saves[..1]).await.unwrap(), [Saved::Done]);
    other.close().await.unwrap();
    store.close().await;
}

/// Who asked hears of the doubt, and gives back what it was given; it would else be nobody's until the
/// lease ran out, and then be counted as a crash.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_doubt_is_told() {
    let mut journal = Journal::postgres().await;
    let direct = journal.url.clone();
    let proxy = Proxy::start();
    journal.url = proxy.url(&direct);
    let store = journal.open().await;
    let mut left = new(&operation("acme", "r-1"));
    left.lease = NO_TIME;
    store.admit(left).await.unwrap();

    proxy.lose_next_commit();
    let claimed = store.claim("b", NOW, HOUR, 0..=9, 10).await;
    assert!(proxy.has_lost_it());
    let doubt = claimed.unwrap_err();
    assert!(matches!(doubt, StoreError::Unavailable { .. }), "{doubt:?}");
    let given_back = store.release("b", &[], NOW, HOUR * 2).await;
    assert_eq!(given_back.unwrap(), 1);
    assert_eq!(claim(&store, "c", NOW, HOUR, 10).await.len(), 1);
    journal.url = direct;
    store.close().await;
}

/// As when its host loses power, or a firewall forgets the flow: nobody says that the connection is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_left() {
    let mut journal = Journal::postgres().await;
    let direct = journal.url.clone();
    let proxy = Proxy::start();
    journal.url = proxy.url(&direct);
    let store = impatient(&journal).await;
    let accepted = operation("acme", "r-1");
    let clock = Clock::system();
    let patience = SECOND * 15;

    proxy.fall_silent_at_next_commit();
    let admitted = clock.timeout(patience, admit(&store, &accepted)).await;
    let lease = admitted.expect("the writer hangs");
    assert!(proxy.has_lost_it());
    proxy.fall_silent_at_next_commit();
    let sent = next(&accepted, State::Sent);
    let saved = clock.timeout(patience, save(&store, lease, &sent)).await;
    assert_eq!(saved, Some(Saved::Done));
    assert!(proxy.has_lost_it());
    journal.url = direct;
    assert_eq!(journal.audit().await, ["intent RunInstances dev main"]);
    assert_eq!(journal.state(&store, &accepted).await, sent);
    store.close().await;
}

/// Nor does who reads wait for it, and who goes away meanwhile keeps no connection from the next.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_leaves_a_server_that_falls_silent() {
    let mut journal = Journal::postgres().await;
    let direct = journal.url.clone();
    let proxy = Proxy::start();
    journal.url = proxy.url(&direct);
    let store = impatient(&journal).await;
    let accepted = operation("acme", "r-1");
    admit(&store, &accepted).await;
    let clock = Clock::system();
    let organization = &accepted.organization;
    let read = || store.get(organization, accepted.id);
    let reads_again = async || {
        let reads = async { while !matches!(read().await, Ok(Some(_))) {} };
        clock.timeout(SECOND * 60, reads).await
    };

    assert_eq!(read().await.unwrap().as_ref(), Some(&accepted));
    proxy.fall_silent_at_next_read();
    let waited = clock.timeout(SECOND * 60, read()).await;
    let waited = waited.expect("who reads hangs");
    assert!(matches!(waited, Err(StoreError::Unavailable { .. })));
    assert!(proxy.has_lost_it());

    assert_eq!(read().await.unwrap().as_ref(), Some(&accepted));
    proxy.fall_silent_at_next_read();
    let arrives = async {
        while !proxy.has_lost_it() {
            clock.sleep(SECOND / 100).await;
        }
    };
    tokio::select! {
        answer = read() => panic!("it was answered: {answer:?}"),
        () = arrives => {} // and who asked goes away
    }
    reads_again().await.expect("the connection is lost");
    journal.url = direct;
    store.close().await;
}

/// A backup reads for hours. Who waits to have the table to itself must not keep everybody from it for as long.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_reader_stops_nobody() {
    let journal = Journal::postgres().await;
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    let lease = admit(&store, &accepted).await;
    let before = "DROP INDEX audit_rows_not_done; DELETE FROM _sqlx_migrations WHERE version = 15";
    journal.run(before).await;
    let mut backup = journal.connect().await;
    let reads = "BEGIN; SELECT count(*) FROM operations";
    sqlx::raw_sql(reads).execute(&mut backup).await.unwrap();

    let clock = Clock::system();
    let opens = async {
        let opened = journal.open().await;
        opened.close().await;
        clock.elapsed()
    };
    let goes_on = async {
        let mut other = journal.connect().await;
        let waits = "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                     WHERE datname = current_database() AND relation = 'operations'::regclass AND NOT granted";
        while sqlx::query(waits)
            .fetch_optional(&mut other)
            .await
            .unwrap()
            .is_none()
        {
            clock.sleep(SECOND / 100).await;
        }
        let sent = next(&accepted, State::Sent);
        assert_eq!(save(&store, lease, &sent).await, Saved::Done);
        assert_eq!(journal.state(&store, &accepted).await, sent);
        let ends = clock.elapsed();
        sqlx::raw_sql("COMMIT").execute(&mut backup).await.unwrap();
        ends
    };
    let (opened, ended) = tokio::join!(opens, goes_on);
    assert!(opened > ended, "the reader was not in its way");
    backup.close().await.unwrap();
    store.close().await;
}

/// What made the first connection safe says nothing of the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_that_would_lose_commits_is_not_written_on() {
    let journal = Journal::postgres().await;
    let store = journal.open().await;
    admit(&store, &operation("acme", "r-1")).await;
    let mut other = journal.connect().await;
    let name = sqlx::query("SELECT CAST(current_database() AS TEXT)");
    let name: String = name.fetch_one(&mut other).await.unwrap().get(0);
    let quick = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    let safe = format!("ALTER DATABASE {name} RESET synchronous_commit");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";

    let set = sqlx::raw_sql(AssertSqlSafe(quick)).execute(&mut other);
    set.await.unwrap();
    sqlx::raw_sql(cut).execute(&mut other).await.unwrap();
    for _ in 0..2 {
        let unsafe_now = store.admit(new(&operation("acme", "r-2"))).await;
        assert!(
            matches!(
                unsafe_now,
                Err(StoreError::Unsafe {
                    setting: "synchronous_commit",
                    ..
                })
            ),
            "{unsafe_now:?}"
        );
    }
    let reset = sqlx::raw_sql(AssertSqlSafe(safe)).execute(&mut other);
    reset.await.unwrap();
    admit(&store, &operation("acme", "r-2")).await;
    other.close().await.unwrap();
    store.close().await;
}

/// Opens a journal that waits for a second, for a lock or a connection, and reads on one.
async fn impatient(journal: &Journal) -> Store {
    let settings = Settings {
        pool_size: 1,
        busy_timeout: SECOND,
        ..journal.settings()
    };
    let metrics = Metrics::new("test").unwrap();
    let store = Store::open(&settings, metrics.journal, Clock::system()).await;
    store.unwrap()
}
