//! The statements of who looks through the journal: each reads a bounded part of one index.

use super::at_rest;
use super::text::numbered;
use sqlx::SqlStr;

/// What a record is made of.
macro_rules! columns {
    () => {
        "id, organization, request_id, state, crashes, lease_owner, lease_epoch, lease_until, \
         update_time, document"
    };
}

/// The organisations that the journal knows: one step of the index for each.
macro_rules! organizations {
    () => {
        "WITH RECURSIVE known(name) AS (SELECT MIN(organization) FROM operations UNION ALL \
         SELECT (SELECT MIN(organization) FROM operations WHERE organization > known.name) \
         FROM known WHERE known.name IS NOT NULL) "
    };
}

/// As many states as there are; a shorter filter repeats its first.
pub(in crate::store) const LIST: &str = "SELECT id, document FROM operations \
     WHERE organization = $1 AND id < $2 AND id >= $3 \
     AND state IN ($4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ORDER BY id DESC LIMIT $14";

/// The last of so many and one more, if there are as many.
pub(in crate::store) const LOOK_ENDS: &str = "SELECT id FROM operations \
     WHERE organization = $1 AND id < $2 ORDER BY id DESC LIMIT 1 OFFSET $3";

/// Operations of any kind, newest first.
pub(in crate::store) const ALL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM operations WHERE id < $1 ORDER BY id DESC LIMIT $2"
);

/// Those in a state, newest first.
pub(in crate::store) const IN_STATE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM operations WHERE id < $1 AND state = $3 ORDER BY id DESC LIMIT $2"
);

/// Those of an organisation, newest first.
pub(in crate::store) const OF_ORGANIZATION: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM operations WHERE id < $1 AND organization = $3 ORDER BY id DESC LIMIT $2"
);

/// Those with a request_id, of whichever organisation.
pub(in crate::store) const BY_REQUEST: &str = concat!(
    organizations!(),
    "SELECT ",
    columns!(),
    " FROM known JOIN operations ON organization = known.name AND request_id = $1 \
     ORDER BY id DESC LIMIT $2"
);

/// Those that launched a machine, and that were last to give it back.
pub(in crate::store) const BY_INSTANCE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM operations WHERE id IN (SELECT operation_id FROM instances WHERE instance_id = $1 \
     UNION SELECT termination_id FROM instances WHERE instance_id = $1) ORDER BY id DESC LIMIT $2"
);

pub(in crate::store) const ORGANIZATIONS: &str = concat!(
    organizations!(),
    "SELECT name FROM known WHERE name IS NOT NULL LIMIT $1"
);

/// Which replicas hold how many of the operations whose leases run out first.
pub(in crate::store) const HOLDERS: &str = concat!(
    "SELECT lease_owner, COUNT(*) AS operations, MIN(lease_until) AS lease_until FROM \
     (SELECT lease_owner, lease_until FROM operations WHERE state NOT IN ",
    at_rest!(),
    " ORDER BY lease_until, id LIMIT $1) AS held GROUP BY lease_owner ORDER BY lease_owner"
);

/// A machine that lives as far as is known, in the next place after one: one step of the index.
pub(in crate::store) const LIVING_BEYOND: &str = "SELECT instance_id, operation_id AS id, organization, \
     account, region FROM instances WHERE gone_time = 0 AND (account, region) > ($1, $2) \
     ORDER BY account, region, instance_id LIMIT 1";

/// The calls that were not carried out, newest first; the condition is that of their index.
pub(in crate::store) fn not_done() -> SqlStr {
    numbered(
        "SELECT chain, sequence, time, record FROM audit_rows \
         WHERE event IN ('denied', 'refused', 'suppressed') \
         AND (time < ? OR (time = ? AND (chain < ? OR (chain = ? AND sequence < ?)))) \
         ORDER BY time DESC, chain DESC, sequence DESC LIMIT ?",
    )
}
