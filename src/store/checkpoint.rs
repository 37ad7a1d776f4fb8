//! SQLite's log of writes is put into the database by a connection of its own, beside the commits.

use crate::store::connection::Connection;
use crate::store::engine::{self, Writers};
use crate::store::error::StoreError;
use tokio::runtime::Handle;
use tokio::task::{self, JoinHandle};

/// How often the log is gone through: SQLite flushes the database only where nobody has committed meanwhile, and
/// each time is shorter than the one before.
const PASSES: usize = 4;

/// The one that is under way, if any.
#[derive(Default)]
pub(in crate::store) struct Checkpoint(Option<JoinHandle<Result<(), StoreError>>>);

impl Checkpoint {
    pub(in crate::store) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Begins one, where the journal is a file. A database in memory has no log.
    pub(in crate::store) fn begin(&mut self, writers: &Writers) {
        let Some(open) = writers.beside() else {
            return;
        };
        let runtime = Handle::current();
        self.0 = Some(task::spawn_blocking(move || {
            let mut connection = open()?;
            let done = runtime.block_on(pass(&mut connection));
            done.map_err(|error| connection.distrusted(error))
        }));
    }

    /// How the one that is under way went, once it has; the future may be dropped before. Pending while there is none.
    pub(in crate::store) async fn ended(&mut self) -> Result<(), StoreError> {
        let Some(running) = &mut self.0 else {
            return std::future::pending().await;
        };
        let ended = running.await;
        self.0 = None;
        ended.unwrap_or_else(|_defect| Err(sqlx::Error::WorkerCrashed.into()))
    }
}

async fn pass(connection: &mut Connection) -> Result<(), StoreError> {
    for _ in 0..PASSES {
        engine::checkpoint(connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settings;
    use crate::store::connection::query;
    use futures_util::poll;
    use std::path::{Path, PathBuf};
    use std::pin::pin;
    use std::time::Duration;

    /// A folder with a journal of its own, and what connects to it.
    fn journal() -> (PathBuf, Writers) {
        let name = format!("cvm-gateway-checkpoint-{}", uuid::Uuid::new_v4());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let settings = Settings {
            url: format!("sqlite://{}/journal.db", folder.display()).into(),
            key_file: None,
            pool_size: 1,
            queue: 1,
            batch: 1,
            busy_timeout: Duration::from_secs(5),
            reserve_bytes: 0,
        };
        let target = engine::target(&settings).unwrap();
        drop(target.lock().unwrap());
        (folder, target.writers(&settings))
    }

    async fn write(connection: &mut Connection) {
        let row = query("INSERT INTO filled VALUES (randomblob(4000))");
        row.execute(connection).await.unwrap();
    }

    fn bytes(folder: &Path, name: &str) -> u64 {
        std::fs::metadata(folder.join(name)).unwrap().len()
    }

    #[tokio::test]
    async fn the_log_is_put_into_the_database_while_others_commit() {
        let (folder, writers) = journal();
        let mut connection = writers.connect().await.unwrap();
        let table = query("CREATE TABLE filled (bytes BLOB)");
        table.execute(&mut connection).await.unwrap();
        for _ in 0..50 {
            write(&mut connection).await;
        }
        let before = bytes(&folder, "journal.db");

        let mut checkpoint = Checkpoint::default();
        checkpoint.begin(&writers);
        assert!(checkpoint.is_under_way());
        while checkpoint
            .0
            .as_ref()
            .is_some_and(|running| !running.is_finished())
        {
            write(&mut connection).await;
        }
        checkpoint.ended().await.unwrap();
        assert!(!checkpoint.is_under_way());
        assert!(bytes(&folder, "journal.db") >= before + 50 * 4000);

        engine::checkpoint(&mut connection).await.unwrap();
        let log = bytes(&folder, "journal.db-wal");
        write(&mut connection).await;
        assert_eq!(bytes(&folder, "journal.db-wal"), log, "it begins anew");
        drop(connection);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn that_it_fails_is_told() {
        let (folder, writers) = journal();
        std::fs::remove_dir_all(folder).unwrap();
        let mut checkpoint = Checkpoint::default();
        checkpoint.begin(&writers);
        checkpoint.ended().await.unwrap_err();
        assert!(!checkpoint.is_under_way());
    }

    #[tokio::test]
    async fn nothing_ends_that_has_not_begun() {
        let mut checkpoint = Checkpoint::default();
        assert!(poll!(pin!(checkpoint.ended())).is_pending());
    }
}
