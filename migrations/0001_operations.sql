-- The journal of launches. One text for SQLite and PostgreSQL: only TEXT and BIGINT.
-- Times are milliseconds since the UNIX epoch. Ids are time-ordered UUIDs, so keys append.
--
-- Never changed once a row is written: id, organization, request_id, request_hash, create_time;
-- body only ever becomes NULL. lease_epoch and sequence only grow.
CREATE TABLE operations (
    id           TEXT   NOT NULL PRIMARY KEY,
    organization TEXT   NOT NULL,
    request_id   TEXT   NOT NULL,
    request_hash TEXT   NOT NULL, -- SHA-256 of the request, in hex
    state        TEXT   NOT NULL, -- copied from the document, as are sequence and the times
    sequence     BIGINT NOT NULL,
    lease_owner  TEXT   NOT NULL, -- who may step the operation ...
    lease_epoch  BIGINT NOT NULL, -- ... under which number ...
    lease_until  BIGINT NOT NULL, -- ... and until when; 0 once it was released
    create_time  BIGINT NOT NULL,
    update_time  BIGINT NOT NULL,
    document     TEXT   NOT NULL, -- the whole operation, in JSON; large columns come last
    body         TEXT,            -- what is sent to the cloud, in base64; NULL once it is final
    UNIQUE (organization, request_id)
);

-- Lists an organisation's operations, newest first.
CREATE INDEX operations_by_organization ON operations (organization, id);

-- Counts by state without reading the rows.
CREATE INDEX operations_by_state ON operations (state);

-- Finds work that nobody does. The states are those that are at rest.
CREATE INDEX operations_by_lease ON operations (lease_until, id)
    WHERE state NOT IN ('SUCCEEDED', 'PARTIAL', 'FAILED', 'NEEDS_OPERATOR');

-- Every time that a launch was sent: written before its first byte leaves, completed by its answer.
-- Never changed once a row is written: operation_id, number, signed_at, epoch.
CREATE TABLE attempts (
    operation_id     TEXT   NOT NULL REFERENCES operations (id),
    number           BIGINT NOT NULL, -- 1 for the first
    signed_at        BIGINT NOT NULL,
    epoch            BIGINT NOT NULL, -- the lease under which it was sent
    result           TEXT   NOT NULL, -- PENDING, ACCEPTED, REFUSED, NOT_SENT or AMBIGUOUS
    detail           TEXT,            -- the cloud's code, or what happened
    cloud_request_id TEXT,
    PRIMARY KEY (operation_id, number)
);

-- One row, written to learn whether the disk takes writes again.
CREATE TABLE probe (
    id     BIGINT NOT NULL PRIMARY KEY,
    writes BIGINT NOT NULL
);
