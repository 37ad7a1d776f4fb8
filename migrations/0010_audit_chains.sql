-- What was decided and what came of it: a row in the transaction of the very act, so that nothing is done which is not written here.
-- Rows are only added. Each connection that writes has a chain of its own, so that no replica waits for another one.
CREATE TABLE audit_rows (
    chain        TEXT   NOT NULL,
    sequence     BIGINT NOT NULL, -- 1 for the row that begins the chain
    time         BIGINT NOT NULL,
    event        TEXT   NOT NULL,
    operation_id TEXT,
    record       TEXT   NOT NULL, -- JSON: what docs/audit.md says, all columns but the hash in it
    hash         TEXT   NOT NULL, -- SHA-256 over the hash of the row before and the record, in hex
    PRIMARY KEY (chain, sequence)
);

-- Finds the chains.
CREATE INDEX audit_rows_first ON audit_rows (chain) WHERE sequence = 1;

-- Finds the rows of an operation.
CREATE INDEX audit_rows_by_operation ON audit_rows (operation_id, time);

-- What was the last row of which chain when another one began: only helps to find the ends that no chain knows yet.
CREATE TABLE audit_links (
    chain    TEXT   NOT NULL,
    linked   TEXT   NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (linked, sequence, chain)
);
