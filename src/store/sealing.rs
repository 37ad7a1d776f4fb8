//! Proves at the start that the keys are the journal's, and seals what is under way with the one that
//! writes.

use crate::domain::ids::OperationId;
use crate::store::connection::{Connection, Row, Runner, query};
use crate::store::engine::Target;
use crate::store::error::StoreError;
use crate::store::keyring::Keyring;
use crate::store::seal::keyed;
use crate::store::{Settings, row, sql};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The secret that fingerprints of requests are made with: it stays when keys change, for the
/// fingerprints of requests that were made before must, too.
pub(in crate::store) const FINGERPRINTS: &str = "fingerprints";
/// What a fingerprint of this kind begins with. Those of before are hexadecimal alone.
const FORM: &str = "k1:";

/// The keys of a journal that is open. Clones share them.
#[derive(Clone)]
pub(in crate::store) struct Sealing {
    pub(in crate::store) keyring: Keyring,
    fingerprints: Arc<Zeroizing<Vec<u8>>>,
}

impl Sealing {
    /// Finds the keys, and makes what the journal does not have yet. Gives the open operations whose bodies are
    /// not sealed with the key that writes.
    ///
    /// # Errors
    /// As [`Keyring::open`] and for every statement.
    pub(in crate::store) async fn open(
        connection: &mut Connection,
        target: &Target,
        settings: &Settings,
    ) -> Result<(Self, Vec<OperationId>), StoreError> {
        let used = secret(&mut *connection).await?;
        let keyring = Keyring::open(target, settings.key_file.as_deref(), used.as_deref())?;
        let sealed = match used {
            Some(sealed) => sealed,
            None => make_secret(connection, &keyring).await?,
        };
        let fingerprints = keyring.open_secret(FINGERPRINTS, &sealed)?;
        let others = query(sql::SEALED_OTHERWISE).bind(keyring.mark());
        let others = others.fetch_all(&mut *connection).await?;
        let others = others.iter().map(row::id).collect::<Result<Vec<_>, _>>()?;
        for (id, body) in bodies(connection, &others).await? {
            keyring.knows_key_of(id, &body)?;
        }
        seal_secret_anew(connection, &keyring).await?;
        let fingerprints = Arc::new(fingerprints);
        Ok((
            Self {
                keyring,
                fingerprints,
            },
            others,
        ))
    }

    /// How the journal keeps the hash of a request. Not as it is: who guesses a password could try
    /// the guess on it.
    pub(in crate::store) fn fingerprint(&self, request_hash: &[u8; 32]) -> String {
        format!(
            "{FORM}{}",
            hex::encode(keyed(&self.fingerprints, request_hash))
        )
    }

    /// Whether the journal's `kept` is that of this request.
    pub(in crate::store) fn is_of(&self, kept: &str, request_hash: &[u8; 32]) -> bool {
        if kept.starts_with(FORM) {
            kept == self.fingerprint(request_hash)
        } else {
            kept == hex::encode(request_hash)
        }
    }
}

/// Seals the gateway's secret and the bodies of these operations with the key that writes; gives the rows of
/// those that were sealed with another one. What is damaged, or sealed with a key that is not there, stays
/// as it is: whoever steps the operation tells of it.
///
/// # Errors
/// [`StoreError::Unsealed`], and as for every statement.
pub(in crate::store) async fn seal_anew(
    connection: &mut Connection,
    keyring: &Keyring,
    ids: &[OperationId],
) -> Result<Vec<Row>, StoreError> {
    seal_secret_anew(connection, keyring).await?;
    let mut done = Vec::new();
    for (id, old) in bodies(connection, ids).await? {
        if let Some(new) = keyring.seal_anew(id, &old)? {
            let sealed = query(sql::SEAL).bind(new).bind(id.to_string());
            let sealed = sealed.bind(old.as_str()).fetch_all(&mut *connection);
            done.extend(sealed.await?);
        }
    }
    Ok(done)
}

async fn seal_secret_anew(
    connection: &mut Connection,
    keyring: &Keyring,
) -> Result<(), StoreError> {
    let Some(old) = secret(&mut *connection).await? else {
        return Ok(());
    };
    if let Some(new) = keyring.seal_secret_anew(FINGERPRINTS, &old)? {
        let sealed = query(sql::SEAL_SECRET).bind(new).bind(FINGERPRINTS);
        sealed.bind(old).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The sealed bodies of operations that have some.
async fn bodies(
    connection: &mut Connection,
    ids: &[OperationId],
) -> Result<Vec<(OperationId, Zeroizing<String>)>, StoreError> {
    let mut found = Vec::new();
    for piece in sql::pieces(ids) {
        let mut query = query(sql::bodies(piece.len()));
        for id in piece {
            query = query.bind(id.to_string());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let body = Zeroizing::new(row.try_get::<String>("body")?);
            found.push((row::id(&row)?, body));
        }
    }
    Ok(found)
}

/// What is sealed for the gateway itself, once there is something.
///
/// # Errors
/// As for every statement.
pub(in crate::store) async fn secret(
    on: impl Into<Runner<'_>>,
) -> Result<Option<String>, StoreError> {
    let found = query(sql::SECRET).bind(FINGERPRINTS);
    let found = found.fetch_optional(on).await?;
    Ok(found.map(|row| row.try_get("sealed")).transpose()?)
}

/// Of gateways that start at once, one makes it for all.
async fn make_secret(connection: &mut Connection, keyring: &Keyring) -> Result<String, StoreError> {
    query(sql::KEEP_SECRET)
        .bind(FINGERPRINTS)
        .bind(keyring.new_secret(FINGERPRINTS)?)
        .execute(&mut *connection)
        .await?;
    secret(connection).await?.ok_or(StoreError::Closed)
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").finish_non_exhaustive()
    }
}
