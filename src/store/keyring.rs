//! The file of the keys that the journal is sealed with: made beside a SQLite journal, or named by
//! the configuration and shared by all gateways of a journal.

use crate::chaos;
use crate::domain::causes::chain;
use crate::domain::ids::OperationId;
use crate::store::SealedBody;
use crate::store::engine::Target;
use crate::store::error::StoreError;
use crate::store::seal::{BadKeys, Closed, Keys, is_sealed};
use arc_swap::{ArcSwap, ArcSwapOption};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A handful of lines.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// What all who are neither the owner nor of the group may do with a file.
const OTHERS: u32 = 0o007;

/// The keys in force. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::store) struct Keyring(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None for a journal in memory, whose key is gone with it.
    path: Option<PathBuf>,
    keys: ArcSwap<Keys>,
    /// Those in force before: what was sealed with them is still under way.
    before: ArcSwapOption<Keys>,
}

/// What was last seen of the file, so that what is wrong with it is told once.
#[derive(Debug, Default)]
pub(in crate::store) struct Looked(Option<[u8; 32]>);

impl Looked {
    /// Whether the file is not as it was; then that is what was seen last.
    pub(in crate::store) fn differs(&mut self, read: &Result<Keys, StoreError>) -> bool {
        let mut digest = Sha256::new();
        match read {
            Ok(keys) => keys.ids().for_each(|id| digest.update(id)),
            Err(error) => digest.update(chain(error, ": ")),
        }
        let now = Some(digest.finalize().into());
        std::mem::replace(&mut self.0, now) != now
    }
}

impl Keyring {
    /// The keys of the journal at `target`. `used` is what is sealed already: then its key exists,
    /// and a file that is not there is not made.
    ///
    /// # Errors
    /// [`StoreError::NoKeyFile`], [`StoreError::KeyFile`], [`StoreError::OtherKey`],
    /// [`StoreError::File`].
    pub(in crate::store) fn open(
        target: &Target,
        configured: Option<&Path>,
        used: Option<&str>,
    ) -> Result<Self, StoreError> {
        let keys = |path: PathBuf, keys: Keys| Ok(Self::new(Some(path), keys));
        if let Some(path) = configured {
            return keys(path.to_owned(), read(path)?);
        }
        let Some(path) = target.own_key_file() else {
            let memory = target.is_sqlite().then(fresh);
            return Ok(Self::of(memory.ok_or(StoreError::NoKeyFile)??));
        };
        match (read(&path), used) {
            (Err(StoreError::KeyFile { source, .. }), used)
                if source.kind() == ErrorKind::NotFound =>
            {
                if let Some(used) = used {
                    let key = used.split(':').nth(1).unwrap_or_default().to_owned();
                    return Err(StoreError::OtherKey { path, key });
                }
                make(&path)?;
                let made = read(&path)?;
                keys(path, made)
            }
            (read, _) => keys(path, read?),
        }
    }

    /// Keys without a file.
    pub(in crate::store) fn of(keys: Keys) -> Self {
        Self::new(None, keys)
    }

    fn new(path: Option<PathBuf>, keys: Keys) -> Self {
        Self(Arc::new(Inner {
            path,
            keys: ArcSwap::from_pointee(keys),
            before: ArcSwapOption::empty(),
        }))
    }

    pub(in crate::store) fn has_file(&self) -> bool {
        self.0.path.is_some()
    }

    /// The keys in the file as it is now; none without a file.
    pub(in crate::store) fn read(&self) -> Option<Result<Keys, StoreError>> {
        self.0.path.as_deref().map(read)
    }

    /// Puts other keys in force, if the key of `used` is among them, which the journal is sealed with.
    ///
    /// # Errors
    /// [`StoreError::OtherKey`].
    pub(in crate::store) fn take(&self, keys: Keys, used: Option<&str>) -> Result<(), StoreError> {
        let used = used.and_then(|sealed| sealed.split(':').nth(1));
        if let Some(missing) = used.filter(|used| keys.ids().all(|id| id != *used)) {
            return Err(self.other_key(missing.to_owned()));
        }
        self.replace(keys);
        Ok(())
    }

    fn replace(&self, keys: Keys) {
        if !keys.ids().eq(self.0.keys.load().ids()) {
            let before = self.0.keys.swap(Arc::new(keys));
            self.0.before.store(Some(before));
        }
    }

    /// Nothing is sealed any more with keys that are not in the file.
    pub(in crate::store) fn forget(&self) {
        self.0.before.store(None);
    }

    /// Opens what is sealed for `of`, with the keys in force, those of before, or what the file has by now.
    fn open_with_any(&self, of: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Closed> {
        let opened = self.0.keys.load().open(of, text);
        let Err(Closed::OtherKey(key)) = &opened else {
            return opened;
        };
        let before = self.0.before.load_full();
        if let Some(before) = before.filter(|before| before.ids().any(|id| id == key)) {
            return before.open(of, text);
        }
        let keys = self.0.path.as_deref().map(read);
        let keys = keys.and_then(Result::ok);
        match keys.filter(|keys| keys.ids().any(|id| id == key)) {
            Some(keys) => {
                self.replace(keys);
                self.0.keys.load().open(of, text)
            }
            None => opened,
        }
    }

    /// The id of the key that writes.
    pub(in crate::store) fn key(&self) -> String {
        let keys = self.0.keys.load();
        keys.ids().next().unwrap_or_default().to_owned()
    }

    /// What a text begins with that needs no sealing anew.
    pub(in crate::store) fn mark(&self) -> String {
        self.0.keys.load().mark()
    }

    /// Seals the bodies of an operation: each for its place, with a space between them.
    ///
    /// # Errors
    /// [`StoreError::Unsealed`].
    pub(in crate::store) fn seal_bodies(
        &self,
        id: OperationId,
        bodies: &[SealedBody],
    ) -> Result<String, StoreError> {
        let keys = self.0.keys.load();
        let sealed = (0_u32..).zip(bodies);
        let sealed = sealed.map(|(place, body)| {
            chaos::wrong!(
                "body-unsealed",
                keys.seal(&body_of(id, place), body.as_bytes()),
                Some(STANDARD.encode(body.as_bytes()))
            )
        });
        let sealed = sealed.collect::<Option<Vec<_>>>();
        Ok(sealed.ok_or(StoreError::Unsealed)?.join(" "))
    }

    /// One of the bodies that a column holds, sealed or of before that was done.
    ///
    /// # Errors
    /// [`Closed`].
    pub(in crate::store) fn open_body(
        &self,
        id: OperationId,
        place: u32,
        text: &str,
    ) -> Result<SealedBody, Closed> {
        if !is_sealed(text) {
            let bytes = STANDARD.decode(text).map_err(|_quotes| Closed::Malformed)?;
            return Ok(SealedBody::new(bytes));
        }
        let opened = self.open_with_any(&body_of(id, place), text);
        opened.map(SealedBody::from)
    }

    /// Whether there is a key for what is sealed; what is damaged needs none.
    ///
    /// # Errors
    /// [`StoreError::OtherKey`].
    pub(in crate::store) fn knows_key_of(
        &self,
        id: OperationId,
        column: &str,
    ) -> Result<(), StoreError> {
        let first = column.split(' ').next().unwrap_or_default();
        match self.open_body(id, 0, first) {
            Err(Closed::OtherKey(key)) => Err(self.other_key(key)),
            Ok(_) | Err(Closed::Malformed | Closed::Changed) => Ok(()),
        }
    }

    /// The same bodies under the key that writes; none for what cannot be opened, which stays.
    ///
    /// # Errors
    /// [`StoreError::Unsealed`].
    pub(in crate::store) fn seal_anew(
        &self,
        id: OperationId,
        column: &str,
    ) -> Result<Option<String>, StoreError> {
        let bodies = (0_u32..).zip(column.split(' '));
        let bodies = bodies.map(|(place, text)| self.open_body(id, place, text));
        match bodies.collect::<Result<Vec<_>, _>>() {
            Ok(bodies) => self.seal_bodies(id, &bodies).map(Some),
            Err(Closed::OtherKey(_) | Closed::Malformed | Closed::Changed) => Ok(None),
        }
    }

    /// A secret of the gateway itself under the key that writes; none when it is, or cannot be opened.
    ///
    /// # Errors
    /// [`StoreError::Unsealed`].
    pub(in crate::store) fn seal_secret_anew(
        &self,
        name: &str,
        sealed: &str,
    ) -> Result<Option<String>, StoreError> {
        if sealed.starts_with(&self.mark()) {
            return Ok(None);
        }
        let Ok(secret) = self.open_with_any(&secret_of(name), sealed) else {
            return Ok(None);
        };
        let sealed = self.seal_secret(name, &secret);
        sealed.map(Some).ok_or(StoreError::Unsealed)
    }

    /// Makes and seals a secret of the gateway itself.
    ///
    /// # Errors
    /// [`StoreError::Unsealed`].
    pub(in crate::store) fn new_secret(&self, name: &str) -> Result<String, StoreError> {
        let secret = Keys::generate();
        let sealed = secret.and_then(|secret| self.seal_secret(name, secret.as_bytes()));
        sealed.ok_or(StoreError::Unsealed)
    }

    fn seal_secret(&self, name: &str, secret: &[u8]) -> Option<String> {
        self.0.keys.load().seal(&secret_of(name), secret)
    }

    /// What [`Keyring::new_secret`] sealed: proves that these are the journal's keys.
    ///
    /// # Errors
    /// [`StoreError::OtherKey`], [`StoreError::Corrupt`].
    pub(in crate::store) fn open_secret(
        &self,
        name: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let opened = self.0.keys.load().open(&secret_of(name), sealed);
        opened.map_err(|closed| match closed {
            Closed::OtherKey(key) => self.other_key(key),
            Closed::Malformed | Closed::Changed => StoreError::Corrupt {
                table: "secrets",
                column: "sealed",
                id: name.to_owned(),
                source: Arc::new(closed),
            },
        })
    }

    fn other_key(&self, key: String) -> StoreError {
        StoreError::OtherKey {
            path: self.0.path.clone().unwrap_or_default(),
            key,
        }
    }
}

/// Whether the file at `path` holds keys for a journal.
///
/// # Errors
/// [`StoreError::KeyFile`], [`StoreError::BadKeys`].
pub fn check_key_file(path: &Path) -> Result<(), StoreError> {
    read(path).map(|_keys| ())
}

/// A new key, as a line of such a file.
///
/// # Errors
/// [`StoreError::Unsealed`].
pub fn new_key() -> Result<Zeroizing<String>, StoreError> {
    Keys::generate().ok_or(StoreError::Unsealed)
}

fn body_of(id: OperationId, place: u32) -> String {
    format!("body {id} {place}")
}

fn secret_of(name: &str) -> String {
    format!("secret {name}")
}

fn fresh() -> Result<Keys, StoreError> {
    let key = new_key()?;
    Keys::parse(&key).map_err(|_one_line| StoreError::Unsealed)
}

/// The keys in the file at `path`.
///
/// # Errors
/// [`StoreError::KeyFile`].
pub(in crate::store) fn read(path: &Path) -> Result<Keys, StoreError> {
    let text = read_text(path)?;
    Keys::parse(&text).map_err(|rule| StoreError::bad_keys(path, &rule))
}

/// What is in the file at `path`, if nobody else may use it.
///
/// # Errors
/// [`StoreError::KeyFile`], [`StoreError::BadKeys`].
pub(in crate::store) fn read_text(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let unreadable = |source| StoreError::key_file(path, source);
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(StoreError::bad_keys(path, &BadKeys::Open));
    }
    // Made as large as it may become: one that grows leaves copies behind.
    let capacity = usize::try_from(FILE_BYTES_MAX).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    let mut file = file.take(FILE_BYTES_MAX);
    file.read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Makes the file, with a new key in it. It is durable, whole, and its owner's alone, before
/// anything is sealed with it.
fn make(path: &Path) -> Result<(), StoreError> {
    let key = new_key()?;
    let text = Zeroizing::new(format!("{COMMENT}{}\n", *key));
    write(path, &text).map_err(|source| StoreError::file(path, source))
}

const COMMENT: &str = "# Keys of the journal: the first one seals, all open. Without them what is under way is lost. Keep a copy.\n";

/// Puts a file in the place of what is there: after a crash it is the one or the other.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(folder(path))?.sync_all()
}

/// The folder that a file is in.
pub(in crate::store) fn folder(file: &Path) -> &Path {
    let folder = file.parent();
    let named = folder.filter(|folder| *folder != Path::new(""));
    named.unwrap_or(Path::new("."))
}
