//! The files of a journal in SQLite: its own, which may be in memory, and those beside it.

use crate::store::error::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of a database in memory, of its own, so that the connections meet in it.
pub(in crate::store) fn memory_name() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("/cvm-gateway-{number}"))
}

/// A file of the same name with more at its end, in the same folder.
pub(in crate::store) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// Locks a file, and writes this process's id into it for whoever finds it locked.
///
/// # Errors
/// [`StoreError::Locked`], [`StoreError::File`].
pub(in crate::store) fn take_lock(lock: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::file(lock, source);
    let mut file = open_private(lock)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let lock = lock.to_owned();
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(failed)?;
            return Err(StoreError::Locked { lock, holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let told = file
        .set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()));
    if let Err(error) = told {
        // It only helps people, and the journal may have its reserve although the disk is full.
        tracing::warn!(%error, "the lock of the journal does not tell whose it is");
    }
    Ok(file)
}

/// Opens a file that nobody but its owner may read, and makes it unless it exists.
///
/// # Errors
/// [`StoreError::File`].
pub(in crate::store) fn open_private(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::file(path, source))
}
