//! The statements about releases: that a person wants an operation to go on.

use super::at_rest;
use crate::store::engine::Dialect;
use crate::store::sql::text::numbered;
use sqlx::SqlStr;

pub(in crate::store) const ASK_RELEASE: &str = "INSERT INTO releases \
     (operation_id, principal, reason, time) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (operation_id) DO NOTHING";

pub(in crate::store) const RELEASES: &str = "SELECT operation_id AS id, principal, reason, time \
     FROM releases ORDER BY time, operation_id LIMIT 100";

/// That very release: another one may be asked for once it is used up.
pub(in crate::store) const ASKED_RELEASE: &str =
    "SELECT operation_id AS id FROM releases WHERE operation_id = $1 AND time = $2";

pub(in crate::store) const FINISH_RELEASE: &str = "DELETE FROM releases WHERE operation_id = $1";

pub(in crate::store) const FORGET_CRASHES: &str = concat!(
    "UPDATE operations SET crashes = 0 WHERE id = $1 AND crashes > 0 AND state NOT IN ",
    at_rest!()
);

/// Keeps others from an operation until the commit; nothing when they keep us from it.
pub(in crate::store) fn hold(dialect: &Dialect) -> SqlStr {
    let skip_locked = dialect.skip_locked;
    numbered(&format!(
        "SELECT id FROM operations WHERE id = ? {skip_locked}"
    ))
}

/// Takes over an operation that waits for a person.
pub(in crate::store) fn take_released(dialect: &Dialect) -> SqlStr {
    numbered(&format!(
        "UPDATE operations SET lease_owner = ?, lease_epoch = lease_epoch + 1, \
         lease_until = {} + ?, crashes = 0 WHERE id = ? AND state = 'NEEDS_OPERATOR' \
         RETURNING id, lease_epoch, crashes, document",
        dialect.now
    ))
}
