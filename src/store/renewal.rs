//! Takes in other keys while the journal is open: the file is looked at by its content, and what is under
//! way is sealed with the key that writes now.

use crate::domain::ids::OperationId;
use crate::store::connection::query;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::keyring::Looked;
use crate::store::leasing::Leasing;
use crate::store::{Engine, Store, row, sealing, sql};

/// Operations whose bodies are sealed anew in one transaction: others must not wait long for it.
pub(in crate::store) const PIECE: usize = 20;
/// Times that everything is looked through after a change: what another task or gateway sealed with the
/// key of before may be written only after the first.
const PASSES: u8 = 2;

/// The file of the keys of an open journal.
pub struct KeyFile {
    database: Database,
    looked: Looked,
    /// What sealed texts began with when it was last looked through, and how often it was.
    sealed: (String, u8),
}

/// What a look at the keys found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The id of the key that writes.
    pub key: String,
    /// Whether that is another one than at the last look.
    pub changed: bool,
    /// Operations whose bodies were sealed anew.
    pub sealed: usize,
}

impl Store {
    /// Its keys; none when they are not in a file.
    #[must_use]
    pub fn key_file(&self) -> Option<KeyFile> {
        match &self.0 {
            Engine::Database(database) => KeyFile::of(database),
            Engine::Model(_) => None,
        }
    }
}

impl KeyFile {
    fn of(database: &Database) -> Option<Self> {
        let keyring = &database.sealing.keyring;
        keyring.has_file().then(|| Self {
            database: database.clone(),
            looked: Looked::default(),
            sealed: (keyring.mark(), PASSES),
        })
    }

    /// Looks at the file. Keys that cannot be used change nothing, and are told once.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`], [`StoreError::BadKeys`], [`StoreError::OtherKey`] for what is wrong with the
    /// file; else what reading and writing may tell, and the next look goes on.
    pub async fn look(&mut self) -> Result<Renewed, StoreError> {
        self.read().await?;
        let keyring = &self.database.sealing.keyring;
        let mark = keyring.mark();
        let changed = self.sealed.0 != mark;
        if changed {
            self.sealed = (mark, 0);
        }
        let mut sealed = 0;
        if self.sealed.1 < PASSES {
            sealed = self.database.seal_anew().await?;
            self.sealed.1 += 1;
        }
        if self.sealed.1 == PASSES {
            keyring.forget();
        }
        Ok(Renewed {
            key: keyring.key(),
            changed,
            sealed,
        })
    }

    /// Puts the keys in the file in force, if it is not as it was.
    async fn read(&mut self) -> Result<(), StoreError> {
        let keyring = self.database.sealing.keyring.clone();
        let reading = keyring.clone();
        let read = tokio::task::spawn_blocking(move || reading.read()).await;
        let read = read.map_err(|_stopping| StoreError::Closed)?;
        let Some(read) = read.filter(|read| self.looked.differs(read)) else {
            return Ok(());
        };
        let keys = read?;
        match self.database.secret().await {
            Ok(used) => keyring.take(keys, used.as_deref()),
            Err(error) => {
                self.looked = Looked::default();
                Err(error)
            }
        }
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").finish_non_exhaustive()
    }
}

impl Database {
    /// What is sealed for the gateway itself.
    async fn secret(&self) -> Result<Option<String>, StoreError> {
        sealing::secret(&self.readers).await
    }

    /// Seals the secret and the bodies of open operations with the key that writes, but for those that
    /// another gateway's key is needed for; gives how many operations.
    async fn seal_anew(&self) -> Result<usize, StoreError> {
        let keyring = &self.sealing.keyring;
        let others = query(sql::SEALED_OTHERWISE).bind(keyring.mark());
        let others = others.fetch_all(&self.readers).await?;
        let ids = others.iter().map(row::id);
        let ids = ids.collect::<Result<Vec<OperationId>, _>>()?;
        let mut sealed = 0;
        // At least once, for the secret.
        for piece in ids.chunks(PIECE).chain(ids.is_empty().then_some(&[][..])) {
            let again = Leasing::SealAnew(keyring.clone(), piece.to_vec());
            sealed += self.lease(again).await?.len();
        }
        Ok(sealed)
    }
}
