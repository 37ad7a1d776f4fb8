//! What of an open operation is secret lies sealed in the journal, with a key that is not in it.

use crate::store::{self, Journal, admit, new, next, on_both, operation, save};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cvm_gateway::domain::causes::chain;
use cvm_gateway::domain::ids::OperationId;
use cvm_gateway::domain::operation::State;
use cvm_gateway::store::{Admission, SealedBody, Store, StoreError};
use sqlx::{Connection, Row};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What an earlier version launched with, and did not seal.
const OLD: &[u8] = b"{\"Password\":\"hunter2\"}\0\xff";

on_both! {
    bodies_are_sealed_for_their_row_and_place
    bodies_of_before_are_read_and_sealed_at_the_next_start
    fingerprints_of_before_are_known_and_new_ones_are_keyed
    another_key_opens_nothing
}

async fn bodies_are_sealed_for_their_row_and_place(journal: Journal) {
    let store = journal.open().await;
    let [first, second] = ["r-1", "r-2"].map(|request| operation("acme", request));
    for operation in [&first, &second] {
        admit(&store, operation).await;
    }
    let sealed = column(&journal, first.id).await;
    let places: Vec<_> = sealed.split(' ').collect();
    assert_eq!(places.len(), 2);
    assert!(
        places.iter().all(|place| place.starts_with("v1:")),
        "{sealed}"
    );
    assert_eq!(body(&store, first.id, 0).await.unwrap(), store::body());
    assert_eq!(body(&store, first.id, 1).await.unwrap(), b"{}");

    // Of another operation, of another place, changed.
    let other = column(&journal, second.id).await;
    let swapped = format!("{} {}", places[1], places[0]);
    let mut flipped = sealed.clone().into_bytes();
    flipped[40] = if flipped[40] == b'A' { b'B' } else { b'A' };
    for wrong in [other, swapped, String::from_utf8(flipped).unwrap()] {
        write(&journal, first.id, &wrong).await;
        let error = body(&store, first.id, 0).await.unwrap_err();
        let text = chain(&error, ": ");
        assert!(
            text.contains(&format!("operations.body of {}", first.id)),
            "{text}"
        );
        assert!(text.contains("changed since it was sealed"), "{text}");
    }
    write(&journal, first.id, &sealed).await;
    assert_eq!(body(&store, first.id, 0).await.unwrap(), store::body());
    store.close().await;
}

async fn bodies_of_before_are_read_and_sealed_at_the_next_start(journal: Journal) {
    let store = journal.open().await;
    let [open, waiting, ended, damaged] =
        ["r-1", "r-2", "r-3", "r-4"].map(|request| operation("acme", request));
    for operation in [&open, &ended, &damaged] {
        admit(&store, operation).await;
    }
    let lease = admit(&store, &waiting).await;
    save(&store, lease, &next(&waiting, State::NeedsOperator)).await;
    let old = [OLD, b"{}"]
        .map(|body| BASE64_STANDARD.encode(body))
        .join(" ");
    for operation in [&open, &waiting, &ended] {
        write(&journal, operation.id, &old).await;
        assert_eq!(body(&store, operation.id, 0).await.unwrap(), OLD);
        assert_eq!(body(&store, operation.id, 1).await.unwrap(), b"{}");
    }
    write(&journal, damaged.id, "e30= !").await;
    journal
        .run(&format!(
            "UPDATE operations SET state = 'FAILED' WHERE id = '{}'",
            ended.id
        ))
        .await;
    store.close().await;

    let store = journal.open().await;
    for operation in [&open, &waiting] {
        let sealed = column(&journal, operation.id).await;
        assert!(sealed.starts_with("v1:"), "{sealed}");
        assert_eq!(body(&store, operation.id, 0).await.unwrap(), OLD);
        assert_eq!(body(&store, operation.id, 1).await.unwrap(), b"{}");
    }
    assert_eq!(
        column(&journal, damaged.id).await,
        "e30= !",
        "it stays for who looks"
    );
    store.close().await;
    if let Some(folder) = &journal.folder {
        // What ended keeps what it had, and nothing else does.
        let encoded = BASE64_STANDARD.encode(OLD);
        let count = |bytes: Vec<u8>| {
            let windows = bytes.windows(encoded.len());
            windows.filter(|part| *part == encoded.as_bytes()).count()
        };
        let files = ["journal.db", "journal.db-wal"].map(|name| folder.join(name));
        let found = files.map(|file| std::fs::read(file).map_or(0, count));
        assert_eq!(found, [1, 0]);
    }
}

async fn fingerprints_of_before_are_known_and_new_ones_are_keyed(journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    admit(&store, &accepted).await;
    let plain = hex::encode(new(&accepted).request_hash);
    let kept = text(&journal, "request_hash", accepted.id).await;
    assert!(
        kept.starts_with("k1:") && !kept.contains(&plain[..32]),
        "{kept}"
    );
    store.close().await;

    let store = journal.open().await;
    for kept in [kept.as_str(), plain.as_str()] {
        let set = format!("UPDATE operations SET request_hash = '{kept}'");
        journal.run(&set).await;
        let again = store.admit(new(&operation("acme", "r-1"))).await.unwrap();
        assert_eq!(again, Admission::Replayed(accepted.clone()));
        let (organization, request) = (&accepted.organization, &accepted.request_id);
        let found = store.find(organization, request, &[0; 32]).await.unwrap();
        assert_eq!(found, Some(accepted.clone()));
        let found = store.find(organization, request, &[1; 32]).await.unwrap();
        assert_eq!(found, None);
        let mut other = new(&operation("acme", "r-1"));
        other.request_hash = [1; 32];
        let conflict = store.admit(other).await.unwrap();
        assert_eq!(conflict, Admission::Conflict(accepted.id));
    }
    store.close().await;
}

async fn another_key_opens_nothing(mut journal: Journal) {
    let store = journal.open().await;
    let accepted = operation("acme", "r-1");
    admit(&store, &accepted).await;
    store.close().await;
    let folder = folder();
    let right = journal.key_file.clone();
    let own = journal
        .folder
        .as_ref()
        .map(|own| own.join("journal.db.key"));
    let keys = std::fs::read_to_string(right.clone().or(own).unwrap()).unwrap();
    let other = "ab".repeat(32);

    journal.key_file = Some(key_file(&folder, "other", &other, 0o600));
    let error = journal.try_open().await.unwrap_err();
    assert!(matches!(&error, StoreError::OtherKey { .. }), "{error}");
    let told = error.to_string();
    assert!(
        told.contains("/other") && !told.contains(&other[..16]),
        "{told}"
    );

    // Several are read, the first one writes: at the next start all are sealed with it.
    journal.key_file = Some(key_file(
        &folder,
        "both",
        &format!("{other}\n{keys}"),
        0o640,
    ));
    let before = column(&journal, accepted.id).await;
    let store = journal.open().await;
    assert_eq!(body(&store, accepted.id, 0).await.unwrap(), store::body());
    let sealed = column(&journal, accepted.id).await;
    assert_ne!(sealed[..20], before[..20]);
    store.close().await;

    journal.key_file = right;
    let error = journal.try_open().await.unwrap_err();
    assert!(matches!(&error, StoreError::OtherKey { .. }), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// Whoever loses the file must not lose what is under way without a word.
#[tokio::test]
async fn a_key_that_is_gone_is_not_made_anew() {
    let journal = Journal::sqlite();
    journal.open().await.close().await;
    let key = journal.folder.as_ref().unwrap().join("journal.db.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = std::fs::read_to_string(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let error = journal.try_open().await.unwrap_err();
    assert!(matches!(&error, StoreError::OtherKey { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("journal.db.key; put back the file"),
        "{error}"
    );
    assert!(!key.exists());

    std::fs::write(&key, kept).unwrap();
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&key, open).unwrap();
    let error = journal.try_open().await.unwrap_err();
    assert!(
        error.to_string().contains("everybody may use it"),
        "{error}"
    );
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    journal.open().await.close().await;
}

#[tokio::test]
async fn a_journal_in_a_database_needs_a_key_file() {
    let mut journal = Journal::postgres().await;
    journal.key_file = None;
    let error = journal.try_open().await.unwrap_err();
    assert!(matches!(&error, StoreError::NoKeyFile), "{error}");
    journal.key_file = Some(PathBuf::from("/no/such/file"));
    let error = journal.try_open().await.unwrap_err();
    assert!(matches!(&error, StoreError::KeyFile { .. }), "{error}");
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
    std::fs::create_dir(&folder).unwrap();
    folder
}

fn key_file(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&path, mode).unwrap();
    path
}

async fn body(store: &Store, id: OperationId, place: u32) -> Result<Vec<u8>, StoreError> {
    let body = store.body(id, place).await?;
    Ok(body.as_ref().map(SealedBody::as_bytes).unwrap().to_vec())
}

pub(crate) async fn column(journal: &Journal, id: OperationId) -> String {
    text(journal, "body", id).await
}

async fn text(journal: &Journal, column: &str, id: OperationId) -> String {
    let sql = format!("SELECT {column} FROM operations WHERE id = '{id}'");
    let mut connection = journal.connect().await;
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection);
    let text = row.await.unwrap().get(0);
    // One that is only dropped is in the way of who empties the log.
    connection.close().await.unwrap();
    text
}

pub(crate) async fn write(journal: &Journal, id: OperationId, body: &str) {
    let sql = format!("UPDATE operations SET body = '{body}' WHERE id = '{id}'");
    journal.run(&sql).await;
}
