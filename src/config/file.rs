//! Reads whole files up to a limit, and makes new ones.

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The paths in `folder` that end in `.` and `extension`, in the order of their names.
///
/// # Errors
/// When the folder cannot be read, or holds more than `entries_max` names.
pub(super) fn paths_in(
    folder: &Path,
    extension: &str,
    entries_max: usize,
) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.take(entries_max + 1);
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
    if paths.len() > entries_max {
        let message = format!("holds more than {entries_max} names");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    paths.retain(|path| path.extension().is_some_and(|ends| ends == extension));
    paths.sort();
    Ok(paths)
}

/// As [`read_text`], of a regular file only: to open a pipe is to wait until somebody writes into it.
///
/// # Errors
/// As of [`read_text`], and when it is something else.
pub(super) fn read_regular(path: &Path, bytes_max: u64) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        let message = "is no regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    read_text(path, bytes_max)
}

/// The text of the file at `path`, which may hold `bytes_max`.
///
/// # Errors
/// When it cannot be read, is larger, or is not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let file = File::open(path)?;
    // As large as it must be: one that grows leaves copies behind, and there may be keys in it.
    let length = file.metadata()?.len().min(bytes_max) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
        let message = format!("is larger than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes)
        .map_err(|_not_utf8| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8 text"))
}

/// What others may do with a file of keys: its group may read it, which is how Kubernetes mounts secrets
/// for who is not root.
const MODE_REFUSED: u32 = 0o027;

/// The text of a file of keys, without what editors add at its end.
///
/// # Errors
/// When it cannot be read, is larger, is not UTF-8, or others may read or change it.
pub(super) fn read_secret(path: &Path, bytes_max: u64) -> io::Result<SecretString> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    if metadata.is_file() && mode & MODE_REFUSED != 0 {
        let message = format!(
            "others may read or change it, its mode is {mode:03o}; chmod 600, or 640 for a group"
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    // Made as large as it may become: one that grows leaves copies behind.
    let capacity = usize::try_from(bytes_max).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() == capacity {
        let message = format!("is larger than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    let text = str::from_utf8(&bytes);
    let text =
        text.map_err(|_not_utf8| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8 text"))?;
    Ok(text.trim_end().into())
}

/// A variable of the environment; none when it is not there, is empty or is no text.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub(super) fn variable(name: &str) -> Option<SecretString> {
    let value = std::env::var(name).ok()?;
    (!value.is_empty()).then(|| value.into())
}

/// The lines of the file at `path`, one by one, each with at most `bytes_max` bytes of it.
///
/// # Errors
/// When it cannot be opened; the lines, when it cannot be read on.
pub fn lines_of(
    path: &Path,
    bytes_max: u64,
) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
    let mut reader = BufReader::new(File::open(path)?);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        let read = reader.by_ref().take(bytes_max).read_until(b'\n', &mut line);
        match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    }))
}

/// A path beside the configuration, or in the home of who runs the gateway.
pub(super) fn beside(folder: &Path, path: &str) -> PathBuf {
    let home = path.strip_prefix("~/").zip(variable("HOME"));
    match home {
        Some((rest, home)) => Path::new(home.expose_secret()).join(rest),
        None => folder.join(path),
    }
}

/// Makes a folder in the system's place for temporary ones, which only its owner may enter.
///
/// # Errors
/// When it cannot be made.
pub fn fresh_folder(name: &str) -> io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("{name}-{}", Uuid::new_v4().simple()));
    DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

/// Writes a file, in the place of one that is there.
///
/// # Errors
/// When it cannot be written.
pub fn write_text(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}

/// Makes a file that must not be there yet, which only its owner may read.
///
/// # Errors
/// When it cannot be made, or is there.
pub fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}
