//! The reserve: a file beside a SQLite journal that holds space, and is given up when the disk is
//! full, so that what the cloud answered can be written down although nothing new is taken.

use crate::domain::causes::chain;
use crate::store::error::StoreError;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt;

/// Between two tries to make it anew: each writes and flushes all of it.
const REFILL_INTERVAL: Duration = Duration::from_secs(1);
/// Written at once.
const PIECE_BYTES: usize = 64 << 10;

/// Space that is held back.
pub(in crate::store) struct Reserve {
    path: PathBuf,
    bytes: u32,
    /// Whether the file holds its space.
    held: bool,
    /// When it was last tried to make it.
    tried: Duration,
}

/// Why nothing new is taken.
#[derive(Debug, thiserror::Error)]
#[error("the reserve at {} is in use, and only outcomes of earlier launches are recorded", .0.display())]
struct InUse(PathBuf);

impl Reserve {
    /// The reserve of `bytes` at `path`, as an earlier process left it.
    pub(in crate::store) fn new(path: PathBuf, bytes: u32) -> Self {
        let length = path.metadata().map(|file| file.len());
        Self {
            held: length.is_ok_and(|length| length == u64::from(bytes)),
            path,
            bytes,
            tried: Duration::ZERO,
        }
    }

    /// Why nothing new may be written, while that is so.
    pub(in crate::store) fn in_use(&self) -> Option<StoreError> {
        (!self.held).then(|| StoreError::Full {
            source: Arc::new(InUse(self.path.clone())),
        })
    }

    /// Gives the space up; whether there was any.
    pub(in crate::store) fn give_up(&mut self) -> bool {
        if !self.held {
            return false;
        }
        self.held = false;
        match std::fs::remove_file(&self.path) {
            Ok(()) => {
                tracing::error!(
                    reserve = %self.path.display(),
                    "the journal's disk is full; its reserve is in use, and new launches are \
                     refused until there is space again"
                );
                true
            }
            Err(error) => {
                tracing::error!(%error, "the reserve of the journal could not be given up");
                false
            }
        }
    }

    /// Makes the file unless it holds its space. When the disk has none, nothing stays behind.
    pub(in crate::store) async fn fill(&mut self) {
        if self.held {
            return;
        }
        match self.write().await {
            Ok(()) => {
                self.held = true;
                tracing::info!(reserve = %self.path.display(), "the journal has its reserve");
            }
            Err(error) => {
                tracing::warn!(
                    error = chain(&error, ": "),
                    "the reserve of the journal cannot be made; new launches are refused until it can"
                );
                // It may not have come so far as to make the file.
                if let Err(error) = fs::remove_file(&self.path).await
                    && error.kind() != ErrorKind::NotFound
                {
                    tracing::warn!(%error, "what was made of the reserve could not be removed");
                }
            }
        }
    }

    /// As [`Reserve::fill`], but not soon after the last time; `now` is time since some moment.
    pub(in crate::store) async fn refill(&mut self, now: Duration) {
        if !self.held && now.saturating_sub(self.tried) >= REFILL_INTERVAL {
            self.fill().await;
            self.tried = now;
        }
    }

    /// Really writes it, with what no file system can make smaller.
    async fn write(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)
            .await?;
        let mut noise = ChaCha8Rng::seed_from_u64(0);
        let mut left = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        while left > 0 {
            let mut piece = vec![0; left.min(PIECE_BYTES)];
            noise.fill_bytes(&mut piece);
            file.write_all(&piece).await?;
            left -= piece.len();
        }
        file.flush().await?;
        file.sync_all().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    #[tokio::test]
    async fn it_is_made_given_up_and_made_again() {
        let folder = folder();
        let path = folder.join("journal.db.reserve");
        let mut reserve = Reserve::new(path.clone(), 100_000);
        assert!(reserve.in_use().is_some() && !reserve.give_up());
        reserve.fill().await;
        assert_eq!(path.metadata().unwrap().len(), 100_000);
        assert!(reserve.in_use().is_none());
        assert!(Reserve::new(path.clone(), 100_000).in_use().is_none());
        assert!(Reserve::new(path.clone(), 100_001).in_use().is_some());

        assert!(reserve.give_up() && !path.exists() && !reserve.give_up());
        let full = reserve.in_use().unwrap();
        assert!(chain(&full, ": ").contains("only outcomes"), "{full:?}");
        reserve.refill(REFILL_INTERVAL / 2).await;
        assert!(!path.exists());
        reserve.refill(REFILL_INTERVAL).await;
        assert!(path.exists() && reserve.in_use().is_none());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn where_nothing_can_be_written_there_is_none() {
        let folder = folder();
        let mut reserve = Reserve::new(folder.join("missing").join("reserve"), 1);
        reserve.fill().await;
        assert!(reserve.in_use().is_some());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
