//! Holds the audit against its hashes: what was changed, taken away, put elsewhere or cut off.

use crate::store::audit::millis_of;
use crate::store::chain::{Hash, hash};
use crate::store::connection::{Row, query};
use crate::store::desk::Desk;
use crate::store::error::StoreError;
use crate::store::{row, sql};
use serde::{Deserialize, Serialize};

/// Rows that are read at once.
const PAGE: i64 = 500;
/// Findings of one kind or one chain that are told one by one.
const TOLD_MAX: usize = 100;

/// A row that somebody remembers: it must still be there, and so must all before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub chain: String,
    pub sequence: i64,
    /// In hex.
    pub hash: String,
}

/// What a journal's audit is found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub rows: u64,
    /// Rows of versions before there were chains: nothing tells whether they are as they were.
    pub unchained: i64,
    /// What is wrong, for people; the first of each chain.
    pub findings: Vec<String>,
    /// The last row of each chain, the oldest chain first.
    pub ends: Vec<Anchor>,
}

/// What of a record is told by its columns, too.
#[derive(Default, Deserialize)]
struct Told {
    chain: String,
    sequence: i64,
    time: String,
    event: String,
    operation: Option<String>,
    #[serde(default)]
    links: Vec<Anchor>,
}

/// A walk along a chain.
struct Walk<'a> {
    chain: &'a str,
    sequence: i64,
    /// Of the last row; none when that is missing or has none.
    hash: Option<Hash>,
    /// In hex, as it stands there.
    text: String,
    links: Vec<Anchor>,
    findings: Vec<String>,
    rows: u64,
}

impl Desk {
    /// Reads the whole audit. A gateway may go on writing: what it adds meanwhile is not looked at.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn verify(&self, anchors: &[Anchor]) -> Result<Verified, StoreError> {
        let row = query(sql::UNCHAINED).fetch_one(&self.readers).await?;
        let mut verified = Verified {
            unchained: row.try_get("unchained")?,
            ..Verified::default()
        };
        let chains = query(sql::CHAINS).fetch_all(&self.readers).await?;
        let mut links = Vec::new();
        for chain in chains {
            let name: String = chain.try_get("chain")?;
            let walk = self.walk(&name, chain.try_get("sequence")?).await?;
            verified.rows += walk.rows;
            verified.ends.push(Anchor {
                chain: name.clone(),
                sequence: walk.sequence,
                hash: walk.text,
            });
            let by = format!("the chain {name}, which began later, names it");
            links.extend(walk.links.into_iter().map(|link| (link, by.clone())));
            verified.findings.extend(walk.findings);
        }
        let anchors = anchors.iter().cloned();
        links.extend(anchors.map(|anchor| (anchor, "the anchor names it".to_owned())));
        for (link, by) in &links {
            let found = self.missing(link).await?;
            verified
                .findings
                .extend(found.map(|what| format!("{what}, and {by}")));
        }
        verified.findings.extend(self.untold().await?);
        Ok(verified)
    }

    async fn walk<'a>(&self, chain: &'a str, last: i64) -> Result<Walk<'a>, StoreError> {
        let mut walk = Walk {
            chain,
            sequence: 0,
            hash: Some(Hash::default()),
            text: String::new(),
            links: Vec::new(),
            findings: Vec::new(),
            rows: 0,
        };
        loop {
            let page = query(sql::CHAIN)
                .bind(chain)
                .bind(walk.sequence)
                .bind(last)
                .bind(PAGE)
                .fetch_all(&self.readers)
                .await?;
            if page.is_empty() {
                return Ok(walk);
            }
            for row in &page {
                walk.step(row)?;
            }
        }
    }

    /// What is wrong with a row that is named elsewhere.
    async fn missing(&self, named: &Anchor) -> Result<Option<String>, StoreError> {
        let row = query(sql::CHAIN_HASH)
            .bind(named.chain.as_str())
            .bind(named.sequence)
            .fetch_optional(&self.readers)
            .await?;
        let hash: Option<String> = row.map(|row| row.try_get("hash")).transpose()?;
        let (chain, sequence) = (&named.chain, named.sequence);
        Ok(match hash {
            Some(hash) if hash == named.hash => None,
            Some(_) => Some(format!(
                "row {sequence} of chain {chain} is not what it was"
            )),
            None => Some(format!("row {sequence} of chain {chain} is missing")),
        })
    }

    /// The operations of which the audit has no begin, or no end though they have ended.
    async fn untold(&self) -> Result<Vec<String>, StoreError> {
        let limit = i64::try_from(TOLD_MAX).unwrap_or(i64::MAX);
        let rows = query(sql::UNTOLD).bind(limit);
        let rows = rows.fetch_all(&self.readers).await?;
        let told = |row| {
            let name = row::id(row)?.resource_name();
            Ok(format!("{name} is not in the audit, or its end is not"))
        };
        rows.iter().map(told).collect()
    }
}

impl Walk<'_> {
    fn step(&mut self, row: &Row) -> Result<(), StoreError> {
        let sequence: i64 = row.try_get("sequence")?;
        let record: &str = row.try_get("record")?;
        let text: &str = row.try_get("hash")?;
        self.rows += 1;
        let expected = self.sequence + 1;
        if sequence != expected {
            let last = sequence - 1;
            self.found(format!("rows {expected} to {last} are missing"));
            self.hash = None;
        }
        let stored = hex::decode(text).ok();
        let stored = stored.and_then(|hash| Hash::try_from(hash).ok());
        let same = |before: Hash| stored == Some(hash(&before, record));
        if !self.hash.is_none_or(same) {
            self.found(format!("row {sequence} was changed, or the row before it"));
        }
        self.check_columns(row, sequence, record)?;
        self.sequence = sequence;
        self.hash = stored;
        text.clone_into(&mut self.text);
        Ok(())
    }

    /// What the record says must be what finds it.
    fn check_columns(&mut self, row: &Row, sequence: i64, record: &str) -> Result<(), StoreError> {
        let told: Told = serde_json::from_str(record).unwrap_or_default();
        if told.chain != self.chain || told.sequence != sequence {
            self.found(format!("row {sequence} stands in the place of another one"));
        }
        let operation: Option<String> = row.try_get("operation_id")?;
        let same = told.event == row.try_get::<&str>("event")?
            && millis_of(&told.time) == Some(row.try_get("time")?)
            && told.operation == operation.map(|id| format!("operations/{id}"));
        if !same {
            self.found(format!(
                "row {sequence} is filed under another event, time or operation"
            ));
        }
        if sequence == 1 {
            self.links = told.links;
        }
        Ok(())
    }

    fn found(&mut self, what: String) {
        if self.findings.len() < TOLD_MAX {
            self.findings.push(format!("chain {}: {what}", self.chain));
        }
    }
}
