//! Brings the audit out of the journal, into a file: it may lag, and loses nothing.

use crate::clock::Clock;
use crate::domain::causes::chain;
use crate::metrics::audit::Audit;
use crate::store::{Line, Store, StoreError};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Rows that are brought at once.
const ROWS_MAX: usize = 500;
/// How often new rows are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Why rows stay where they are for now.
#[derive(Debug, thiserror::Error)]
enum SinkError {
    #[error("the journal cannot be read or written")]
    Store(#[from] StoreError),
    #[error("cannot append to {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the gateway is stopping")]
    Stopping,
}

/// The file that the audit is brought to.
pub(super) struct Sink {
    store: Store,
    clock: Clock,
    path: PathBuf,
    metrics: Audit,
    /// Open since the last rows.
    file: Arc<Mutex<Option<File>>>,
}

impl Sink {
    pub(super) fn new(path: PathBuf, store: &Store, clock: &Clock, metrics: Audit) -> Self {
        Self {
            store: store.clone(),
            clock: clock.clone(),
            path,
            metrics,
            file: Arc::default(),
        }
    }

    /// Brings rows for as long as it is let.
    pub(super) async fn keep(self) {
        loop {
            match self.bring().await {
                Ok(0) => self.clock.sleep(LOOK_INTERVAL).await,
                Ok(_) => {}
                Err(error) => {
                    let error = chain(&error, ": ");
                    tracing::error!(error, "the audit is not brought out of the journal");
                    self.clock.sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    /// Brings some rows; how many. What was brought is written down only after it is durable, so a row
    /// may come twice.
    async fn bring(&self) -> Result<usize, SinkError> {
        let name = self.path.to_string_lossy();
        let before = self.store.sink(&name).await?;
        self.metrics.lags(self.store.behind(&before).await?);
        let mut after = before.clone();
        let lines = self.store.follow(&mut after, ROWS_MAX).await?;
        let count = lines.len();
        if count > 0 {
            let (path, file) = (self.path.clone(), Arc::clone(&self.file));
            let appended = tokio::task::spawn_blocking(move || append(&path, &file, &lines));
            let appended = appended.await.map_err(|_stopping| SinkError::Stopping)?;
            appended.map_err(|source| SinkError::File {
                path: self.path.clone(),
                source,
            })?;
            self.store.delivered(&name, &before, &after).await?;
            self.metrics.lags(self.store.behind(&after).await?);
        }
        Ok(count)
    }
}

/// Appends lines, to the file that has the name now: it may have been moved away.
fn append(path: &Path, held: &Mutex<Option<File>>, lines: &[Line]) -> io::Result<()> {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    let known = held.take().filter(|file| is_at(file, path));
    let mut file = match known {
        Some(file) => file,
        None => open(path)?,
    };
    let texts = lines.iter().map(|line| format!("{}\n", line.text));
    file.write_all(texts.collect::<String>().as_bytes())?;
    if file.metadata()?.is_file() {
        file.sync_data()?;
    }
    *held = Some(file);
    Ok(())
}

fn is_at(file: &File, path: &Path) -> bool {
    let (held, there) = (file.metadata(), fs::metadata(path));
    held.is_ok_and(|held| {
        there.is_ok_and(|there| (held.dev(), held.ino()) == (there.dev(), there.ino()))
    })
}

/// Opens the file, and ends the line that a crash or a full disk has cut.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let there = fs::metadata(path);
    let is_stream = there.as_ref().is_ok_and(|metadata| !metadata.is_file());
    let options = options
        .append(true)
        .read(!is_stream)
        .create(true)
        .mode(0o600);
    let mut file = options.open(path)?;
    if there.is_err() {
        // Else a loss of power could take the file with the rows that are told to be in it.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    if !is_stream && file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Anchor;
    use time::UtcDateTime;

    fn line(text: &str) -> Line {
        Line {
            time: UtcDateTime::UNIX_EPOCH,
            anchor: Anchor {
                chain: "c".to_owned(),
                sequence: 1,
                hash: String::new(),
            },
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_file_that_was_moved_away_or_cut_is_gone_on_with() {
        let name = format!("cvm-gateway-sink-{}", uuid::Uuid::new_v4());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let (path, moved) = (folder.join("audit.jsonl"), folder.join("audit.jsonl.1"));
        let held = Mutex::new(None);
        append(&path, &held, &[line("a"), line("b")]).unwrap();
        fs::rename(&path, &moved).unwrap();
        append(&path, &held, &[line("c")]).unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "a\nb\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "c\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::write(&path, "").unwrap();
        append(&path, &held, &[line("d")]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "d\n");
        fs::write(&path, "d\n{\"cut").unwrap();
        append(&path, &Mutex::new(None), &[line("e")]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "d\n{\"cut\ne\n");
        assert!(append(&folder, &Mutex::new(None), &[line("f")]).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
