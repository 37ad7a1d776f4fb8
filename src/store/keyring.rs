//! The file of the keys that the journal is sealed with: made beside a SQLite journal, or named by
//! the configuration and shared by all gateways of a journal.

use crate::domain::ids::OperationId;
use crate::store::SealedBody;
use crate::store::engine::Target;
use crate::store::error::StoreError;
use crate::store::seal::{Closed, Keys, is_sealed};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
        let keys = |path: PathBuf, keys: Keys| {
            let keys = ArcSwap::from_pointee(keys);
            let path = Some(path);
            Ok(Self(Arc::new(Inner { path, keys })))
        };
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
        Self(Arc::new(Inner {
            path: None,
            keys: ArcSwap::from_pointee(keys),
        }))
    }

    /// Reads the file again; what cannot be used does not replace the keys in force. Whether they
    /// are others now.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`].
    pub(in crate::store) fn reload(&self) -> Result<bool, StoreError> {
        let Some(path) = &self.0.path else {
            return Ok(false);
        };
        let keys = read(path)?;
        let changed = !keys.ids().eq(self.0.keys.load().ids());
        if changed {
            self.0.keys.store(Arc::new(keys));
        }
        Ok(changed)
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
        let sealed = sealed.map(|(place, body)| keys.seal(&body_of(id, place), body.as_bytes()));
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
        let of = body_of(id, place);
        let opened = match self.0.keys.load().open(&of, text) {
            // Perhaps the file has it by now.
            Err(Closed::OtherKey(_)) if self.reload().is_ok_and(|changed| changed) => {
                self.0.keys.load().open(&of, text)
            }
            opened => opened,
        };
        opened.map(SealedBody::from)
    }

    /// The same bodies under the key that writes.
    ///
    /// # Errors
    /// [`StoreError::OtherKey`], [`StoreError::Unsealed`]; none for what is damaged, which stays.
    pub(in crate::store) fn seal_anew(
        &self,
        id: OperationId,
        column: &str,
    ) -> Result<Option<String>, StoreError> {
        let bodies = (0_u32..).zip(column.split(' '));
        let bodies = bodies.map(|(place, text)| self.open_body(id, place, text));
        match bodies.collect::<Result<Vec<_>, _>>() {
            Ok(bodies) => self.seal_bodies(id, &bodies).map(Some),
            Err(Closed::OtherKey(key)) => Err(self.other_key(key)),
            Err(Closed::Malformed | Closed::Changed) => Ok(None),
        }
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
    let unreadable = |source| StoreError::key_file(path, source);
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & OTHERS != 0 {
        let rule = "everybody may use it; take that away with `chmod o= FILE`, or mount it with the mode 0400";
        return Err(StoreError::bad_keys(path, rule));
    }
    let mut text = Zeroizing::new(String::new());
    let mut file = file.take(FILE_BYTES_MAX);
    file.read_to_string(&mut text).map_err(unreadable)?;
    Keys::parse(&text).map_err(|rule| StoreError::bad_keys(path, &rule.to_string()))
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
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
