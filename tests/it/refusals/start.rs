//! What keeps a gateway from starting. It says so, and touches nothing that is not its own.

use super::{nothing_happened, told};
use crate::world::{Folder, World, client, config_text, ready_again, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::config::{Config, Listen};
use cvm_gateway::domain::causes::chain;
use cvm_gateway::gateway::{Gateway, GatewayError};
use cvm_gateway::store::StoreError;
use sqlx::{AnyConnection, Connection, Executor};
use std::path::Path;
use tokio::net::TcpListener;
use tonic::Code;

/// The error that a gateway does not start with, and the text of it and its causes.
async fn refused(config: Config) -> (GatewayError, String) {
    let error = Gateway::start(config, Clock::system()).await.unwrap_err();
    let text = chain(&error, ": ");
    (error, text)
}

fn config(folder: &Path, journal: &Path) -> Config {
    let text = config_text(folder, "http://127.0.0.1:9", "");
    let own = folder.join("journal.db");
    let text = text.replace(&own.display().to_string(), &journal.display().to_string());
    Config::parse("test.toml", &text, folder).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_port_that_is_in_use_is_named_and_the_journal_is_not_touched() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    for setting in ["grpc.listen", "admin.listen"] {
        let mut config = config(&folder.0, &folder.0.join("journal.db"));
        if setting == "grpc.listen" {
            config.grpc.listen = vec![Listen::Tcp(address)];
        } else {
            config.admin_listen = address;
        }
        let (error, text) = refused(config).await;
        assert!(matches!(error, GatewayError::Listen { .. }), "{error:?}");
        for part in [setting, &address.to_string(), "in use"] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert_eq!(files(&folder.0), [""; 0]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = Folder::new();
    let journal = folder.0.join("missing").join("journal.db");
    let (error, text) = refused(config(&folder.0, &journal)).await;
    let file = matches!(error, GatewayError::Journal(StoreError::File { .. }));
    assert!(file, "{error:?}");
    assert!(
        text.contains(&format!("cannot write {}", journal.display())),
        "{text}"
    );
    assert!(text.contains("does its folder exist"), "{text}");
    assert_eq!(files(&folder.0), [""; 0]);
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_left_as_it_is() {
    let folder = Folder::new();
    let journal = folder.0.join("journal.db");
    let text = "Dear diary, this is a text of a person.\n".repeat(200);
    std::fs::write(&journal, &text).unwrap();
    let (error, told) = refused(config(&folder.0, &journal)).await;
    let foreign = matches!(error, GatewayError::Journal(StoreError::NoDatabase { .. }));
    assert!(foreign, "{error:?}");
    for part in [
        &journal.display().to_string(),
        "name another one",
        "not a database",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(std::fs::read_to_string(&journal).unwrap(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_another_gateway_has_is_refused_and_works_on() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let (error, text) = refused(world.config("")).await;
    let locked = matches!(error, GatewayError::Journal(StoreError::Locked { .. }));
    assert!(locked, "{error:?}");
    let holder = format!("process {} has the journal open", std::process::id());
    assert!(text.contains(&holder), "{text}");
    assert!(text.contains("end it, or give this one its own"), "{text}");
    ready_again(&gateway).await;
    gateway.stop().await;
    world.gateway("").await.stop().await;
}

/// The database says that it is full, as it does on a full disk.
const FULL: &str = "CREATE TABLE full_up (id INTEGER PRIMARY KEY AUTOINCREMENT);
    INSERT INTO full_up VALUES (9223372036854775807);
    CREATE TRIGGER full BEFORE INSERT ON operations
    BEGIN INSERT INTO full_up (id) VALUES (NULL); END;";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_launches_until_there_is_space() {
    let world = World::new(100.0).await;
    world.gateway("").await.stop().await;
    let url = format!("sqlite://{}/journal.db", world.folder.0.display());
    let mut journal = AnyConnection::connect(&url).await.unwrap();
    journal.execute(FULL).await.unwrap();
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    let refused = told(&client.run_instances(wish("full", 1)).await.unwrap_err());
    let expected = (Code::Unavailable, "GATEWAY_UNAVAILABLE");
    assert_eq!((refused.code, refused.reason.as_str()), expected);
    assert!(
        refused.message.contains("free space on it"),
        "{}",
        refused.message
    );
    nothing_happened(&world, &mut client).await;

    journal.execute("DROP TRIGGER full").await.unwrap();
    ready_again(&gateway).await;
    run(&mut client, wish("full", 1)).await.end.unwrap();
    assert_eq!(world.machines().await.len(), 1);
    gateway.stop().await;
}

/// SQLite's own "full" while the journal's tables are made: the same code tells of a full disk.
#[tokio::test]
async fn a_full_disk_at_the_start_is_named() {
    let folder = Folder::new();
    let journal = folder.0.join("journal.db");
    let url = format!("sqlite://{}?mode=rwc", journal.display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    connection
        .execute(
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
             checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
             CREATE TABLE full_up (id INTEGER PRIMARY KEY AUTOINCREMENT);
             INSERT INTO full_up VALUES (9223372036854775807);
             CREATE TRIGGER fill AFTER INSERT ON _sqlx_migrations
             BEGIN INSERT INTO full_up (id) VALUES (NULL); END;",
        )
        .await
        .unwrap();
    connection.close().await.unwrap();
    let (error, text) = refused(config(&folder.0, &journal)).await;
    let full = matches!(error, GatewayError::Journal(StoreError::Full { .. }));
    assert!(full && text.contains("free space"), "{text}");
}
