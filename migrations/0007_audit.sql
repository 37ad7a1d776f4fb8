-- What was decided: a row in the transaction of the very act, so that nothing is done which is not written here. Rows are only added.
CREATE TABLE audit (
    operation_id TEXT   NOT NULL REFERENCES operations (id),
    time         BIGINT NOT NULL,
    action       TEXT   NOT NULL, -- LAUNCH, TERMINATE, CANCEL or RELEASE
    organization TEXT   NOT NULL,
    principal    TEXT   NOT NULL, -- who; of a release, the person who ran the command
    account      TEXT   NOT NULL,
    region       TEXT   NOT NULL,
    request_hash TEXT,            -- of LAUNCH and TERMINATE: SHA-256 of the request, in hex
    detail       TEXT   NOT NULL, -- JSON: what policy decided by, or why a person released it
    PRIMARY KEY (operation_id, time, action)
);

-- Reads it in order.
CREATE INDEX audit_by_time ON audit (time, operation_id);
