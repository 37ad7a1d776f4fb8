//! The chain of a connection: each row of the audit holds the hash of the one before, and the first
//! one names the ends of the other chains, so that nothing that others came after can be taken away.

use crate::chaos;
use crate::domain::ids::OperationId;
use crate::domain::millis;
use crate::store::audit::Entry;
use crate::store::connection::{Connection, query};
use crate::store::error::StoreError;
use crate::store::sql;
use serde_json::json;
use sha2::{Digest, Sha256};
use time::UtcDateTime;

/// The hash of a row, and before the first row.
pub(in crate::store) type Hash = [u8; 32];

/// How far a connection has come. It ends with the connection: whether an earlier one's last commit
/// went through, its own chain tells, and no other one depends on it.
#[derive(Clone, Default)]
pub(in crate::store) struct Chain(Option<End>);

#[derive(Clone)]
struct End {
    chain: String,
    sequence: i64,
    hash: Hash,
}

/// A row that is to be written.
struct Linked<'a> {
    sequence: i64,
    entry: &'a Entry,
    record: String,
    hash: String,
}

/// The hash of the row with this record, after a row of that hash.
pub(in crate::store) fn hash(before: &Hash, record: &str) -> Hash {
    let all = record.as_bytes();
    // The mistake: all that follows the name of the row is left out.
    let hashed = chaos::wrong!("hash-of-less", all, all.get(..64).unwrap_or(all));
    let hash = Sha256::new().chain_update(before).chain_update(hashed);
    hash.finalize().into()
}

impl Chain {
    /// Adds the rows. What it has then become counts once the transaction is committed.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn write(
        &mut self,
        connection: &mut Connection,
        entries: &[&Entry],
    ) -> Result<(), StoreError> {
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let end = match &mut self.0 {
            Some(end) => end,
            none => none.insert(End::begin(connection, first.time).await?),
        };
        let rows = entries.iter().map(|entry| end.add(entry));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        end.insert(connection, &rows).await
    }
}

impl End {
    async fn begin(connection: &mut Connection, time: i64) -> Result<Self, StoreError> {
        let began = millis::to_time(time).unwrap_or(UtcDateTime::UNIX_EPOCH);
        let mut end = Self {
            // So they sort by their begin.
            chain: OperationId::generate(began).to_string(),
            sequence: 0,
            hash: Hash::default(),
        };
        let mut links = Vec::new();
        for other in query(sql::UNLINKED).fetch_all(&mut *connection).await? {
            let chain: String = other.try_get("chain")?;
            let sequence: i64 = other.try_get("sequence")?;
            let hash: String = other.try_get("hash")?;
            query(sql::LINK)
                .bind(end.chain.as_str())
                .bind(chain.as_str())
                .bind(sequence)
                .execute(&mut *connection)
                .await?;
            links.push(json!({ "chain": chain, "sequence": sequence, "hash": hash }));
        }
        let first = Entry::chain(time, links);
        let row = end.add(&first)?;
        end.insert(connection, &[row]).await?;
        Ok(end)
    }

    fn add<'a>(&mut self, entry: &'a Entry) -> Result<Linked<'a>, StoreError> {
        let sequence = self.sequence + 1;
        let record = entry.record(&self.chain, sequence)?;
        self.sequence = sequence;
        self.hash = hash(&self.hash, &record);
        Ok(Linked {
            sequence,
            entry,
            record,
            hash: hex::encode(self.hash),
        })
    }

    async fn insert(
        &self,
        connection: &mut Connection,
        rows: &[Linked<'_>],
    ) -> Result<(), StoreError> {
        for piece in sql::pieces(rows) {
            let mut query = query(sql::audit(piece.len()));
            for row in piece {
                query = query
                    .bind(self.chain.as_str())
                    .bind(row.sequence)
                    .bind(row.entry.time)
                    .bind(row.entry.event)
                    .bind(row.entry.operation.map(|id| id.to_string()))
                    .bind(row.record.as_str())
                    .bind(row.hash.as_str());
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}
