-- Which operation launched a machine: who may give it back, and which machines nobody knows of.
-- A row is written with the snapshot that first names the machine, and never changed: the first
-- operation to name a machine is the one that it belongs to.
CREATE TABLE instances (
    instance_id  TEXT   NOT NULL PRIMARY KEY,
    operation_id TEXT   NOT NULL REFERENCES operations (id),
    organization TEXT   NOT NULL,
    account      TEXT   NOT NULL,
    region       TEXT   NOT NULL,
    create_time  BIGINT NOT NULL -- when the operation named it
);

-- What a new table must be filled with from the operations that are older than it: a row is taken
-- away in the transaction that has done it.
CREATE TABLE chores (
    name TEXT NOT NULL PRIMARY KEY
);

INSERT INTO chores (name) VALUES ('instances');
