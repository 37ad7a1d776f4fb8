//! Other keys for a journal that is open: what comes is sealed with the new one, what is there too, and no
//! operation fails for it.

use crate::canary::{self, Folder, JOURNAL_KEY, put_secret};
use crate::log;
use crate::postgres::{new_database, with_key_file};
use crate::sealing::{column, write};
use crate::store::{Journal, admit, body, new, on_both, operation};
use crate::world::{Served, World, client, config_text, get, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::Config;
use cvm_gateway::domain::causes::chain;
use cvm_gateway::domain::ids::OperationId;
use cvm_gateway::store::{Admission, KeyFile, Renewed, SealedBody, Store, StoreError, rotate_keys};
use sqlx::Row;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use time::macros::date;

on_both! {
    a_new_first_key_seals_what_comes_and_what_is_open
    keys_that_cannot_be_used_change_nothing_and_are_told_once
    what_was_sealed_with_a_key_that_is_gone_is_sealed_anew
}

/// A journal with a file of keys of its own.
struct Own {
    journal: Journal,
    file: PathBuf,
    _folder: Folder,
}

impl Own {
    fn of(mut journal: Journal) -> Self {
        let folder = Folder::new();
        let file = folder.join("own.key");
        put_secret(&file, JOURNAL_KEY);
        journal.key_file = Some(file.clone());
        Self {
            journal,
            file,
            _folder: folder,
        }
    }

    /// Rotates; the id of the new key.
    fn rotate(&self) -> String {
        let rotated = rotate_keys(&self.file, date!(2026 - 01 - 02), None);
        rotated.unwrap().new
    }

    /// The keys that something is sealed with, by their ids.
    async fn used(&self) -> BTreeSet<String> {
        let sql = "SELECT body AS sealed FROM operations WHERE body IS NOT NULL \
            UNION ALL SELECT sealed FROM secrets";
        let mut journal = self.journal.connect().await;
        let rows = sqlx::query(sql).fetch_all(&mut journal).await.unwrap();
        let sealed = rows.iter().flat_map(|row| row.get::<&str, _>(0).split(' '));
        let ids = sealed.map(|text| text.split(':').nth(1).unwrap().to_owned());
        ids.collect()
    }
}

async fn look(file: &mut KeyFile) -> Renewed {
    file.look().await.unwrap()
}

async fn read(store: &Store, id: OperationId) -> Vec<u8> {
    let body = store.body(id, 0).await.unwrap();
    body.as_ref().map(SealedBody::as_bytes).unwrap().to_vec()
}

async fn a_new_first_key_seals_what_comes_and_what_is_open(journal: Journal) {
    let own = Own::of(journal);
    let store = own.journal.open().await;
    let mut file = store.key_file().unwrap();
    let first = look(&mut file).await;
    assert!(!first.changed);
    let operations: Vec<_> = (0..45)
        .map(|n| operation("acme", &format!("r-{n}")))
        .collect();
    for operation in &operations {
        admit(&store, operation).await;
    }
    assert_eq!(own.used().await, BTreeSet::from([first.key]));

    let key = own.rotate();
    let renewed = Renewed {
        key: key.clone(),
        changed: true,
        sealed: operations.len(),
    };
    assert_eq!(look(&mut file).await, renewed);
    assert_eq!(own.used().await, BTreeSet::from([key.clone()]));
    let later = operation("acme", "later");
    admit(&store, &later).await;
    assert_eq!(own.used().await, BTreeSet::from([key]));
    for operation in operations.iter().chain([&later]) {
        assert_eq!(read(&store, operation.id).await, body());
    }
    // The same request is known as before: its fingerprint does not depend on these keys.
    let again = store.admit(new(&operation("acme", "r-0"))).await.unwrap();
    assert_eq!(again, Admission::Replayed(operations[0].clone()));
    let quiet = look(&mut file).await;
    assert!(!quiet.changed && quiet.sealed == 0, "{quiet:?}");
    store.close().await;
    own.journal.open().await.close().await;
}

async fn keys_that_cannot_be_used_change_nothing_and_are_told_once(journal: Journal) {
    let own = Own::of(journal);
    let store = own.journal.open().await;
    let mut file = store.key_file().unwrap();
    let accepted = operation("acme", "r-1");
    admit(&store, &accepted).await;
    let key = look(&mut file).await.key;
    let good = std::fs::read_to_string(&own.file).unwrap();
    let line = format!("{}:2 cannot be used: it is no key", own.file.display());
    let rows = [
        (format!("# garbled\nhunter2\n{good}"), line.as_str()),
        ("# nothing\n".to_owned(), "it has no key"),
        ("ab".repeat(32), "the journal is sealed with key"),
    ];
    for (text, says) in rows {
        put_secret(&own.file, &text);
        let error = file.look().await.unwrap_err();
        let told = chain(&error, ": ");
        assert!(error.is_of_keys() && told.contains(says), "{told}");
        assert!(
            !told.contains("hunter2") && !told.contains("abab"),
            "{told}"
        );
        let again = look(&mut file).await;
        assert_eq!((again.key.as_str(), again.changed), (key.as_str(), false));
        assert_eq!(read(&store, accepted.id).await, body());
    }
    std::fs::remove_file(&own.file).unwrap();
    let error = file.look().await.unwrap_err();
    assert!(matches!(error, StoreError::KeyFile { .. }), "{error}");
    let later = operation("acme", "later");
    admit(&store, &later).await;
    assert_eq!(own.used().await, BTreeSet::from([key]));
    put_secret(&own.file, &good);
    let key = own.rotate();
    assert_eq!(look(&mut file).await.key, key);
    assert_eq!(own.used().await, BTreeSet::from([key]));
    store.close().await;
}

/// Somebody was quick to take the old key out: who still has it in memory needs it no longer than to seal
/// everything anew.
async fn what_was_sealed_with_a_key_that_is_gone_is_sealed_anew(journal: Journal) {
    let own = Own::of(journal);
    let store = own.journal.open().await;
    let mut file = store.key_file().unwrap();
    look(&mut file).await;
    let accepted = operation("acme", "r-1");
    admit(&store, &accepted).await;
    let old = column(&own.journal, accepted.id).await;
    own.rotate();
    look(&mut file).await;
    // A write that was on its way with the key of before.
    write(&own.journal, accepted.id, &old).await;
    let key = own.rotate();
    let text = std::fs::read_to_string(&own.file).unwrap();
    let two: Vec<_> = text.lines().take(2).collect();
    put_secret(&own.file, &two.join("\n"));
    let renewed = look(&mut file).await;
    assert_eq!((renewed.key.as_str(), renewed.sealed), (key.as_str(), 1));
    put_secret(&own.file, two[0]);
    look(&mut file).await;
    assert_eq!(own.used().await, BTreeSet::from([key]));
    assert_eq!(read(&store, accepted.id).await, body());
    store.close().await;
    own.journal.open().await.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_read_the_new_key_reads_it_when_it_is_needed() {
    let own = Own::of(Journal::postgres().await);
    let [one, other] = [own.journal.open().await, own.journal.open().await];
    let (mut file, mut late) = (one.key_file().unwrap(), other.key_file().unwrap());
    let [mine, theirs] = ["mine", "theirs"].map(|request| operation("acme", request));
    admit(&other, &theirs).await;
    let key = own.rotate();
    look(&mut file).await;
    admit(&one, &mine).await;
    assert_eq!(own.used().await, BTreeSet::from([key.clone()]));
    for operation in [&mine, &theirs] {
        assert_eq!(read(&other, operation.id).await, body());
    }
    let renewed = look(&mut late).await;
    assert_eq!((renewed.key, renewed.changed), (key, true));

    // While the file does not have it, nothing is opened, and nothing is lost.
    let key = own.rotate();
    look(&mut file).await;
    let new = std::fs::read_to_string(&own.file).unwrap();
    let old: Vec<_> = new.lines().skip(1).collect();
    put_secret(&own.file, &old.join("\n"));
    let error = other.body(mine.id, 0).await.unwrap_err();
    assert!(chain(&error, ": ").contains(&key), "{error}");
    put_secret(&own.file, &new);
    assert_eq!(read(&other, mine.id).await, body());
    for store in [one, other] {
        store.close().await;
    }
}

fn rotate(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    let output = canary::output(command.args(["keys", "rotate"]).args(arguments));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

async fn shows(gateway: &Served, line: &str) {
    let clock = Clock::system();
    let shown = async {
        while !get(gateway.admin_addr(), "/metrics").await.1.contains(line) {
            clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let shown = clock.timeout(Duration::from_secs(20), shown).await;
    shown.unwrap_or_else(|| panic!("{line} is not shown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_gives_a_running_gateway_a_new_key() {
    let world = World::new(100.0).await;
    let config = world.folder.join("gateway.toml");
    let endpoint = format!("http://{}", world.simulator.addr());
    let text = config_text(&world.folder, &endpoint, "");
    let text = text.replace("[journal]\n", "[journal]\nkey_reload_interval = \"20ms\"\n");
    std::fs::write(&config, &text).unwrap();
    let gateway = world.gateway_of(Config::load(&config).unwrap()).await;
    let mut client = client(&gateway).await;
    let keys = world.folder.join("journal.db.key");
    let (file, config) = (keys.to_str().unwrap(), config.to_str().unwrap());
    for number in 0..3 {
        let told = rotate(&[file, "--drop-unused", "--config", config]);
        let key = told.split(' ').next().unwrap();
        assert!(told.contains(" seals from now on; "), "{told}");
        assert_eq!(told.contains("were taken out"), number > 0, "{told}");
        shows(
            &gateway,
            &format!("cvm_gateway_journal_key_info{{key=\"{key}\"}} 1"),
        )
        .await;
        let seen = run(&mut client, wish(&format!("rotated-{number}"), 1)).await;
        seen.end.unwrap();
    }
    shows(
        &gateway,
        "cvm_gateway_journal_key_reloads_total{result=\"ok\"} 3",
    )
    .await;
    assert_eq!(std::fs::read_to_string(&keys).unwrap().lines().count(), 2);

    let good = std::fs::read_to_string(&keys).unwrap();
    put_secret(&keys, &format!("{good}garbled\n"));
    shows(
        &gateway,
        "cvm_gateway_journal_key_reloads_total{result=\"failed\"} 1",
    )
    .await;
    let line = format!("{file}:3 cannot be used: it is no key");
    assert!(log::text().contains(&line), "{line}");
    let seen = run(&mut client, wish("garbled", 1)).await;
    seen.end.unwrap();
    gateway.stop().await;
}

/// Two gateways of one journal, whose key is another one all the time.
#[tokio::test(flavor = "multi_thread")]
async fn launches_go_on_while_keys_are_rotated() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let sqlite = format!("sqlite://{}/journal.db", world.folder.display());
    let keys = world.folder.join("shared.key");
    put_secret(&keys, JOURNAL_KEY);
    let text = config_text(&world.folder, &endpoint, "");
    let text = with_key_file(&text.replace(&sqlite, &new_database().await));
    let table = "[journal]\nkey_reload_interval = \"50ms\"\n";
    let text = text.replace("[journal]\n", table);
    let shared = crate::postgres::key_file().display().to_string();
    let text = text.replace(&shared, keys.to_str().unwrap());
    let config = world.folder.join("gateway.toml");
    std::fs::write(&config, &text).unwrap();
    let one = world.gateway_of(Config::load(&config).unwrap()).await;
    let other = world.gateway_of(Config::load(&config).unwrap()).await;
    let launches = async |gateway: &Served, name: &str| {
        let mut client = client(gateway).await;
        for number in 0..12 {
            let seen = run(&mut client, wish(&format!("{name}-{number}"), 1)).await;
            seen.end.unwrap();
            assert_eq!(
                seen.snapshots.last().unwrap().attempts,
                1,
                "no launch was tried twice"
            );
        }
    };
    let rotating = async {
        for _ in 0..8 {
            rotate_in(&keys, &config).await;
            Clock::system().sleep(Duration::from_millis(150)).await;
        }
    };
    tokio::join!(launches(&one, "one"), launches(&other, "other"), rotating);
    assert_eq!(world.machines().await.len(), 24);
    one.stop().await;
    other.stop().await;
}

async fn rotate_in(keys: &Path, config: &Path) {
    let [keys, config] = [keys, config].map(|path| path.to_str().unwrap().to_owned());
    let rotated = move || rotate(&[&keys, "--drop-unused", "--config", &config]);
    tokio::task::spawn_blocking(rotated).await.unwrap();
}
