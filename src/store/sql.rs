//! The statements. Each is one text for both engines, written with `?` for every parameter and
//! numbered `$1`, `$2` … before it is sent. Nothing but constants of this room ever becomes text.

pub(in crate::store) mod browse;
pub(in crate::store) mod orders;
pub(in crate::store) mod releases;
pub(in crate::store) mod text;

use crate::chaos;
use crate::domain::operation::StateName;
use crate::store::engine::Dialect;
use crate::store::sql::text::{kept, numbered, repeated};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::time::Duration;

pub(in crate::store) use crate::store::sql::text::pieces;

/// Rows of one page of the journal.
const RECORDS: u32 = 500;

/// States that the gateway has nothing to do for; the index `operations_by_lease` is over the
/// others, and the engines use it only for this very text.
macro_rules! at_rest {
    () => {
        "('SUCCEEDED', 'PARTIAL', 'FAILED', 'CANCELLED', 'NEEDS_OPERATOR')"
    };
}

use at_rest;

/// States in which an operation has its bodies.
macro_rules! not_final {
    () => {
        "('ACCEPTED', 'SENT', 'RECONCILING', 'LAUNCHED', 'TERMINATING', 'NEEDS_OPERATOR')"
    };
}

use not_final;

pub(in crate::store) const FIND_REQUEST: &str =
    "SELECT id, request_hash, document FROM operations WHERE organization = $1 AND request_id = $2";

pub(in crate::store) const FIND_SAVED: &str = "SELECT id FROM operations WHERE id = $1 AND lease_epoch = $2 AND sequence = $3 AND document = $4";

pub(in crate::store) const GET: &str =
    "SELECT id, document FROM operations WHERE organization = $1 AND id = $2";

pub(in crate::store) const BODY: &str = "SELECT id, body FROM operations WHERE id = $1";

pub(in crate::store) const SECRET: &str = "SELECT sealed FROM secrets WHERE name = $1";

pub(in crate::store) const KEEP_SECRET: &str =
    "INSERT INTO secrets (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

/// The operations whose bodies are not sealed with the key that writes: the parameter is what those
/// begin with, which is so many letters.
pub(in crate::store) const SEALED_OTHERWISE: &str = concat!(
    "SELECT id FROM operations WHERE body IS NOT NULL AND substr(body, 1, 20) <> $1 AND state IN ",
    not_final!()
);

/// Nothing when the body is another one by now, or purged.
pub(in crate::store) const SEAL: &str =
    "UPDATE operations SET body = $1 WHERE id = $2 AND body = $3 RETURNING id";

/// Nothing when another gateway sealed it meanwhile.
pub(in crate::store) const SEAL_SECRET: &str =
    "UPDATE secrets SET sealed = $1 WHERE name = $2 AND sealed = $3";

/// The ids of all keys that something is sealed with.
pub(in crate::store) const USED_KEYS: &str = "SELECT DISTINCT substr(body, 4, 16) AS used FROM operations WHERE body LIKE 'v1:%' \
     UNION SELECT substr(sealed, 4, 16) FROM secrets WHERE sealed LIKE 'v1:%'";

/// Reads the parts of an index that are about those states.
pub(in crate::store) fn counts(states: usize) -> SqlStr {
    numbered(&format!(
        "SELECT state, COUNT(*) AS operations FROM operations WHERE state IN ({}) GROUP BY state",
        repeated("?", states)
    ))
}

/// Ends the leases of the dead: they ran out, and nobody released them.
pub(in crate::store) const END_LEASES: &str = concat!(
    "UPDATE operations SET lease_until = 1 WHERE lease_until > 1 AND state NOT IN ",
    at_rest!()
);

pub(in crate::store) const CALM: &str = "UPDATE operations SET crashes = 0 \
     WHERE id = $1 AND lease_epoch = $2 AND crashes > 0 RETURNING id";

/// Takes back that a claim counted a crash: nobody stepped the operation.
pub(in crate::store) const UNREAD: &str = "UPDATE operations SET crashes = crashes - 1 \
     WHERE id = $1 AND lease_epoch = $2 AND crashes > 0 RETURNING id";

pub(in crate::store) const TAKE_CHORE: &str = "DELETE FROM chores WHERE name = $1 RETURNING name";

pub(in crate::store) const PAGE: &str =
    "SELECT id, document FROM operations WHERE id > $1 ORDER BY id LIMIT $2";

pub(in crate::store) const BRAKES: &str =
    "SELECT operation_id AS id, account, reason FROM brakes ORDER BY time, operation_id";

pub(in crate::store) const BRAKE: &str = "INSERT INTO brakes \
     (operation_id, account, reason, time) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (operation_id) DO NOTHING";

pub(in crate::store) const LIFT_BRAKE: &str = "DELETE FROM brakes WHERE operation_id = $1";

/// Later than every id that is ever made.
pub(in crate::store) const LAST_ID: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

pub(in crate::store) const SCHEMA: &str = "SELECT MAX(version) FROM _sqlx_migrations";

/// Since which schema programs can work with the tables.
pub(in crate::store) const REACH: &str = "SELECT oldest FROM schema_reach";

pub(in crate::store) const RECORD: &str = "SELECT id, organization, request_id, state, crashes, \
     lease_owner, lease_epoch, lease_until, update_time, document FROM operations WHERE id = $1";

pub(in crate::store) const ATTEMPTS: &str = "SELECT operation_id AS id, number, signed_at, epoch, \
     result, detail, cloud_request_id FROM attempts WHERE operation_id = $1 ORDER BY number";

/// Of the versions before there were chains.
pub(in crate::store) const OLD_AUDIT: &str = "SELECT operation_id AS id, time, action, organization, \
     principal, account, region, request_hash, detail FROM audit WHERE operation_id = $1 \
     ORDER BY time, action";

pub(in crate::store) const AUDIT: &str = "SELECT record, hash FROM audit_rows \
     WHERE operation_id = $1 ORDER BY time, chain, sequence";

pub(in crate::store) const PING: &str = "SELECT id FROM operations LIMIT 1";

pub(in crate::store) const PROBE: &str = "INSERT INTO probe (id, writes) VALUES (1, 1) \
     ON CONFLICT (id) DO UPDATE SET writes = probe.writes + 1";

/// Inserts operations; gives the ids of those whose request was not known yet.
pub(in crate::store) fn admit(dialect: &Dialect, rows: usize) -> SqlStr {
    dialect.admit.text(rows, || {
        let row = format!("(?, ?, ?, ?, ?, ?, ?, ?, ?, 1, {} + ?, ?, ?)", dialect.now);
        format!(
            "INSERT INTO operations (id, organization, request_id, request_hash, state, sequence, \
             document, body, lease_owner, lease_epoch, lease_until, create_time, update_time) \
             VALUES {} ON CONFLICT (organization, request_id) DO NOTHING RETURNING id",
            repeated(&row, rows)
        )
    })
}

/// Writes snapshots; gives the ids of those whose lease and sequence were as expected.
pub(in crate::store) fn save(rows: usize) -> SqlStr {
    let epoch = chaos::wrong!("epoch-unchecked", "=", ">=");
    let sequence = chaos::wrong!("sequence-unchecked", "=", "<>");
    let purged = chaos::wrong!("body-kept", 1, 2);
    kept!(
        rows,
        "UPDATE operations SET sequence = new.column3, state = new.column4, \
         document = new.column5, update_time = new.column6, \
         body = CASE WHEN new.column7 = {purged} THEN NULL ELSE operations.body END, \
         crashes = CASE WHEN new.column4 = 'NEEDS_OPERATOR' THEN crashes ELSE 0 END \
         FROM (VALUES {}) AS new WHERE operations.id = new.column1 \
         AND operations.lease_epoch {epoch} new.column2 AND operations.sequence {sequence} new.column3 - 1 \
         RETURNING id",
        repeated("(?, ?, ?, ?, ?, ?, ?)", rows)
    )
}

/// Writes attempts, or what became of them.
pub(in crate::store) fn attempt(rows: usize) -> SqlStr {
    kept!(
        rows,
        "INSERT INTO attempts \
         (operation_id, number, signed_at, epoch, result, detail, cloud_request_id) VALUES {} \
         ON CONFLICT (operation_id, number) DO UPDATE SET result = excluded.result, \
         detail = excluded.detail, cloud_request_id = excluded.cloud_request_id",
        repeated("(?, ?, ?, ?, ?, ?, ?)", rows)
    )
}

/// Writes whose machines are, and gives the new rows; one that has an owner keeps it.
pub(in crate::store) fn name(rows: usize) -> SqlStr {
    kept!(
        rows,
        "INSERT INTO instances \
         (instance_id, operation_id, organization, account, region, create_time) VALUES {} \
         ON CONFLICT (instance_id) DO NOTHING \
         RETURNING instance_id, operation_id AS id, organization, account, region",
        repeated("(?, ?, ?, ?, ?, ?)", rows)
    )
}

/// Whose machines are.
pub(in crate::store) fn owners(rows: usize) -> SqlStr {
    kept!(
        rows,
        "SELECT instance_id, operation_id AS id, organization, account, region FROM instances \
         WHERE instance_id IN ({})",
        repeated("?", rows)
    )
}

/// A page of what an organisation launched. Empty text wants every account, every region.
pub(in crate::store) const LAUNCHED: &str = "SELECT instance_id, operation_id AS id, organization, \
     account, region, create_time, termination_id FROM instances WHERE organization = $1 \
     AND ($2 = '' OR account = $2) AND ($3 = '' OR region = $3) \
     AND (create_time < $4 OR (create_time = $4 AND instance_id < $5)) \
     ORDER BY create_time DESC, instance_id DESC LIMIT $6";

/// Machines that an operation is to give back.
pub(in crate::store) fn leave(rows: usize) -> SqlStr {
    kept!(
        rows,
        "UPDATE instances SET termination_id = ? WHERE organization = ? AND instance_id IN ({})",
        repeated("?", rows)
    )
}

/// Writes what launches hold, or what they hold no more.
pub(in crate::store) fn reserve(rows: usize) -> SqlStr {
    kept!(
        rows,
        "INSERT INTO reservations \
         (operation_id, organization, account, principal, create_time, open, instances, \
         vcpu, gpu, hourly, monthly) VALUES {} ON CONFLICT (operation_id) DO UPDATE SET \
         open = excluded.open, instances = excluded.instances, vcpu = excluded.vcpu, \
         gpu = excluded.gpu, hourly = excluded.hourly, monthly = excluded.monthly",
        repeated("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    )
}

/// The mistake of that name: machines that are gone are also taken off those that live.
#[cfg(feature = "chaos")]
const FREED_TWICE: &str = "2 * COUNT(*) - (SELECT COUNT(*) FROM instances AS launched \
     WHERE launched.operation_id = reservations.operation_id)";

/// Keeps others from counting the machines of launches until the commit; in one order, so that two
/// gateways never wait for each other.
pub(in crate::store) fn hold_counts(rows: usize) -> SqlStr {
    kept!(
        rows,
        "SELECT operation_id FROM reservations WHERE operation_id IN ({}) \
         ORDER BY operation_id FOR UPDATE",
        repeated("?", rows)
    )
}

/// Counts the machines anew of launches that have come to an end.
pub(in crate::store) fn recount(rows: usize) -> SqlStr {
    let living = chaos::wrong!("reservation-freed-twice", "COUNT(*)", FREED_TWICE);
    kept!(
        rows,
        "UPDATE reservations SET instances = (SELECT {living} FROM instances \
         WHERE instances.operation_id = reservations.operation_id AND instances.gone_time = 0) \
         WHERE open = 0 AND operation_id IN ({})",
        repeated("?", rows)
    )
}

/// Marks machines that are gone; gives the operations of those that were not.
pub(in crate::store) fn gone(rows: usize) -> SqlStr {
    kept!(
        rows,
        "UPDATE instances SET gone_time = ? WHERE gone_time = 0 AND instance_id IN ({}) \
         RETURNING operation_id AS id",
        repeated("?", rows)
    )
}

/// Machines of launches that have ended, and that live as far as is known.
pub(in crate::store) const LIVING: &str = "SELECT instance_id FROM instances \
     WHERE gone_time = 0 AND account = $1 AND region = $2 AND create_time < $3 AND instance_id > $4 \
     AND EXISTS (SELECT 1 FROM reservations \
     WHERE reservations.operation_id = instances.operation_id AND reservations.open = 0) \
     ORDER BY instance_id LIMIT $5";

/// Those of the machines that were seen to be gone before a time.
pub(in crate::store) fn thought_gone(rows: usize) -> SqlStr {
    kept!(
        rows,
        "SELECT instance_id FROM instances \
         WHERE gone_time > 0 AND gone_time < ? AND instance_id IN ({})",
        repeated("?", rows)
    )
}

/// Machines that were seen to be gone before a time, and live; gives their operations.
pub(in crate::store) fn returned(rows: usize) -> SqlStr {
    kept!(
        rows,
        "UPDATE instances SET gone_time = 0 \
         WHERE gone_time > 0 AND gone_time < ? AND instance_id IN ({}) RETURNING operation_id AS id",
        repeated("?", rows)
    )
}

/// The requests among these that are known.
pub(in crate::store) fn requested(rows: usize) -> SqlStr {
    kept!(
        rows,
        "SELECT organization, request_id FROM operations \
         JOIN (VALUES {}) AS new ON organization = new.column1 AND request_id = new.column2",
        repeated("(?, ?)", rows)
    )
}

/// Waits for the turn to judge an organisation's launches; it lasts until the commit.
pub(in crate::store) const QUOTA_TURN: &str = "INSERT INTO quota_turns (organization, turns) \
     VALUES ($1, 1) ON CONFLICT (organization) DO UPDATE SET turns = quota_turns.turns + 1";

/// What an organisation holds, by account and caller.
pub(in crate::store) const HELD: &str = "SELECT account, principal, \
     CAST(SUM(instances) AS BIGINT) AS instances, CAST(SUM(open) AS BIGINT) AS operations, \
     CAST(SUM(instances * vcpu) AS BIGINT) AS vcpu, CAST(SUM(instances * gpu) AS BIGINT) AS gpu, \
     CAST(SUM(instances * hourly) AS BIGINT) AS hourly, \
     CAST(SUM(instances * monthly) AS BIGINT) AS monthly \
     FROM reservations WHERE organization = $1 AND open + instances > 0 GROUP BY account, principal";

/// How many launches an organisation began since a time, by account, caller and second.
pub(in crate::store) const LAUNCHES: &str = "SELECT account, principal, \
     create_time / 1000 AS second, COUNT(*) AS launches FROM reservations \
     WHERE organization = $1 AND create_time > $2 GROUP BY account, principal, create_time / 1000";

/// Operations by their ids.
pub(in crate::store) fn known(rows: usize) -> SqlStr {
    kept!(
        rows,
        "SELECT id, document FROM operations WHERE id IN ({})",
        repeated("?", rows)
    )
}

/// Adds rows to the audit.
pub(in crate::store) fn audit(rows: usize) -> SqlStr {
    kept!(
        rows,
        "INSERT INTO audit_rows (chain, sequence, time, event, operation_id, record, hash) \
         VALUES {}",
        repeated("(?, ?, ?, ?, ?, ?, ?)", rows)
    )
}

/// The last rows of the chains, but those that another chain names already.
pub(in crate::store) const UNLINKED: &str = "SELECT tail.chain, tail.sequence, tail.hash FROM \
     (SELECT head.chain AS name, (SELECT MAX(sequence) FROM audit_rows WHERE chain = head.chain) \
     AS length FROM audit_rows AS head WHERE head.sequence = 1) AS chains \
     JOIN audit_rows AS tail ON tail.chain = chains.name AND tail.sequence = chains.length \
     WHERE NOT EXISTS (SELECT 1 FROM audit_links \
     WHERE linked = chains.name AND sequence = chains.length) ORDER BY tail.chain";

pub(in crate::store) const LINK: &str =
    "INSERT INTO audit_links (chain, linked, sequence) VALUES ($1, $2, $3)";

/// The chains that have begun and the last row of each, the oldest first: as fast as there are chains.
pub(in crate::store) const HEADS: &str = "SELECT head.chain, \
     (SELECT MAX(sequence) FROM audit_rows WHERE chain = head.chain) AS sequence \
     FROM audit_rows AS head WHERE head.sequence = 1 ORDER BY head.chain";

/// How far a sink is.
pub(in crate::store) const SINK: &str = "SELECT chain, sequence FROM audit_sinks WHERE sink = $1";

/// A sink never goes back: another gateway may be further.
pub(in crate::store) const DELIVERED: &str = "INSERT INTO audit_sinks (sink, chain, sequence) \
     VALUES ($1, $2, $3) ON CONFLICT (sink, chain) DO UPDATE SET sequence = excluded.sequence \
     WHERE audit_sinks.sequence < excluded.sequence";

/// All chains and the last row of each, the oldest first: also those that lack their first row.
pub(in crate::store) const CHAINS: &str = "SELECT chain, MAX(sequence) AS sequence FROM audit_rows \
     GROUP BY chain ORDER BY chain";

/// A page of a chain.
pub(in crate::store) const CHAIN: &str = "SELECT sequence, time, event, operation_id, record, hash \
     FROM audit_rows WHERE chain = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4";

pub(in crate::store) const CHAIN_HASH: &str =
    "SELECT hash FROM audit_rows WHERE chain = $1 AND sequence = $2";

/// What was written before there were chains.
pub(in crate::store) const UNCHAINED: &str = "SELECT COUNT(*) AS unchained FROM audit";

/// Operations that nothing is told of, or whose end is not; but those that are older than the chains.
pub(in crate::store) const UNTOLD: &str = concat!(
    "SELECT id FROM operations WHERE \
     create_time >= (SELECT MIN(time) FROM audit_rows WHERE sequence = 1) AND \
     NOT EXISTS (SELECT 1 FROM audit WHERE operation_id = id) AND (\
     NOT EXISTS (SELECT 1 FROM audit_rows WHERE operation_id = id AND event = 'intent') OR \
     NOT EXISTS (SELECT 1 FROM audit_rows WHERE operation_id = id AND event = 'outcome') \
     AND state IN ",
    at_rest!(),
    ") ORDER BY id LIMIT $1"
);
/// The bodies of operations.
pub(in crate::store) fn bodies(rows: usize) -> SqlStr {
    kept!(
        rows,
        "SELECT id, body FROM operations WHERE body IS NOT NULL AND id IN ({})",
        repeated("?", rows)
    )
}

/// The crashes of a row, once it is claimed.
const CRASHES: &str = "(crashes + CASE WHEN lease_until > 0 THEN 1 ELSE 0 END)";

/// Takes over the operations that nobody stepped for the longest time, and then those whose leases end
/// later than any that was given can. A lease that was not released is one more crash; only those are
/// taken that then have so many. In two parts, so that each is a range of the index.
pub(in crate::store) fn claim(dialect: &Dialect) -> SqlStr {
    let Dialect {
        now, skip_locked, ..
    } = dialect;
    let ended = chaos::wrong!("lease-ignored", "<=", "<> -1 OR 0 >");
    let part = |until: &str| {
        format!(
            "SELECT id FROM operations WHERE lease_until {until} \
             AND state NOT IN {} AND {CRASHES} BETWEEN ? AND ? \
             ORDER BY lease_until, id LIMIT ? {skip_locked}",
            at_rest!()
        )
    };
    numbered(&format!(
        "WITH ended AS MATERIALIZED ({}), late AS MATERIALIZED ({}) \
         UPDATE operations SET lease_owner = ?, lease_epoch = lease_epoch + 1, \
         crashes = {CRASHES}, lease_until = {now} + ? \
         WHERE id IN (SELECT id FROM ended UNION ALL SELECT id FROM late LIMIT ?) \
         RETURNING id, lease_epoch, crashes, document",
        part(&format!("{ended} {now}")),
        part(&format!("> {now} + ?"))
    ))
}

/// What [`renew`] says of a lease that it prolonged.
pub(in crate::store) const PROLONGED: &str = "prolonged";

/// Prolongs leases; gives those that the owner still has and that nobody else has locked.
pub(in crate::store) fn renew(dialect: &Dialect, rows: usize) -> SqlStr {
    let owner = chaos::wrong!("owner-unchecked", "=", ">=");
    let mut ids = repeated("?", rows);
    let skip_locked = dialect.skip_locked;
    if !skip_locked.is_empty() {
        ids = format!("SELECT id FROM operations WHERE id IN ({ids}) {skip_locked}");
    }
    numbered(&format!(
        "UPDATE operations SET lease_until = {} + ? WHERE lease_owner {owner} ? AND id IN ({ids}) \
         RETURNING id, '{PROLONGED}' AS lease",
        dialect.now
    ))
}

/// The owner's leases among these, whoever has them locked.
pub(in crate::store) fn kept(rows: usize) -> SqlStr {
    kept!(
        rows,
        "SELECT id, 'kept' AS lease FROM operations WHERE lease_owner = ? AND id IN ({})",
        repeated("?", rows)
    )
}

/// For how long the statements of a transaction wait for a lock; 0 would be for ever.
pub(in crate::store) fn lock_wait(wait: Duration) -> SqlStr {
    let wait = wait.as_millis().max(1);
    AssertSqlSafe(format!("SET LOCAL lock_timeout = {wait}")).into_sql_str()
}

/// The owner's leases that run out soon.
pub(in crate::store) fn owned(dialect: &Dialect) -> SqlStr {
    numbered(&format!(
        "SELECT id FROM operations WHERE lease_owner = ? AND lease_until > 0 \
         AND lease_until <= {} + ? AND state NOT IN {}",
        dialect.now,
        at_rest!()
    ))
}

/// Ends leases that the owner still has.
pub(in crate::store) fn release(rows: usize) -> SqlStr {
    kept!(
        rows,
        "UPDATE operations SET lease_until = 0 WHERE lease_owner = ? AND id IN ({}) RETURNING id",
        repeated("?", rows)
    )
}

/// A page of the journal, newest first.
pub(in crate::store) fn records() -> SqlStr {
    numbered(&format!(
        "SELECT id, organization, request_id, state, crashes, lease_owner, lease_epoch, \
         lease_until, update_time, document FROM operations WHERE id < ? AND crashes >= ? \
         AND (? = 1 OR organization = ?) AND state IN ({}) ORDER BY id DESC LIMIT {RECORDS}",
        repeated("?", StateName::ALL.len())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::Target;

    #[test]
    fn at_rest_is_what_the_domain_says() {
        let names: Vec<_> = StateName::ALL
            .into_iter()
            .filter(|state| state.is_at_rest())
            .map(|state| format!("'{}'", state.as_str()))
            .collect();
        assert_eq!(at_rest!(), format!("({})", names.join(", ")));
        assert!(include_str!("../../migrations/0002_states.sql").contains(at_rest!()));
    }

    #[test]
    fn not_final_is_what_the_domain_says() {
        let names: Vec<_> = StateName::ALL
            .into_iter()
            .filter(|state| !state.is_final())
            .map(|state| format!("'{}'", state.as_str()))
            .collect();
        assert_eq!(not_final!(), format!("({})", names.join(", ")));
    }

    /// Who claims must not read the leases of all that others have in hand.
    #[test]
    fn a_claim_reads_only_what_it_may_take() {
        let sqlite = rusqlite::Connection::open_in_memory().unwrap();
        let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = std::fs::read_dir(migrations).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.is_file());
        files.sort();
        for file in files {
            let sql = std::fs::read_to_string(file).unwrap();
            sqlite.execute_batch(&sql).unwrap();
        }
        let target = Target::parse("sqlite::memory:").unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {}", claim(target.dialect()).as_str());
        let mut explain = sqlite.prepare(&explain).unwrap();
        let steps = explain
            .raw_query()
            .mapped(|row| row.get::<_, String>("detail"));
        let steps = steps.collect::<Result<Vec<_>, _>>().unwrap();
        for range in ["lease_until<?", "lease_until>?"] {
            let range = format!("USING INDEX operations_by_lease ({range})");
            assert!(steps.iter().any(|step| step.contains(&range)), "{steps:?}");
        }
        assert!(
            !steps.iter().any(|step| step.contains("SCAN operations")),
            "{steps:?}"
        );
    }

    #[test]
    fn list_takes_every_state() {
        assert!(browse::LIST.contains(&format!("${})", 3 + StateName::ALL.len())));
    }
}
