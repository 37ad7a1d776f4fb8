-- Accounts on which nothing new is launched: the cloud showed more machines of an operation than it asked for. A row is written
-- with the snapshot that says so, and taken away when a person releases the operation.
CREATE TABLE brakes (
    operation_id TEXT   NOT NULL PRIMARY KEY REFERENCES operations (id),
    account      TEXT   NOT NULL,
    reason       TEXT   NOT NULL,
    time         BIGINT NOT NULL
);

-- Operations that a person wants to go on: written by the command, carried out and taken away by a running gateway.
CREATE TABLE releases (
    operation_id TEXT   NOT NULL PRIMARY KEY REFERENCES operations (id),
    principal    TEXT   NOT NULL, -- who ran the command
    reason       TEXT   NOT NULL,
    time         BIGINT NOT NULL
);
