-- What launches hold of the limits of their organisation: a row for each, written in the transaction of the launch. What is used of
-- a limit is the sum over the rows that it is about, so it cannot drift, and a limit of tomorrow counts the launches of today.
CREATE TABLE reservations (
    operation_id TEXT   NOT NULL PRIMARY KEY REFERENCES operations (id),
    organization TEXT   NOT NULL,
    account      TEXT   NOT NULL,
    principal    TEXT   NOT NULL,
    create_time  BIGINT NOT NULL,
    open         BIGINT NOT NULL,           -- 1 until the launch has come to an end
    instances    BIGINT NOT NULL,           -- what it asked for; after its end, those of its machines that are not gone
    vcpu         BIGINT NOT NULL DEFAULT 0, -- of each machine, as are gpu, hourly and monthly; 0 where nobody asked
    gpu          BIGINT NOT NULL DEFAULT 0,
    hourly       BIGINT NOT NULL DEFAULT 0, -- what it costs by the hour, in millionths
    monthly      BIGINT NOT NULL DEFAULT 0  -- what it costs in a month, in millionths
);

-- Sums what is held, without a look at the rows; the condition is that of the query.
CREATE INDEX reservations_in_use
    ON reservations (organization, account, principal, open, instances, vcpu, gpu, hourly, monthly) WHERE open + instances > 0;

-- Counts the launches of the last minute.
CREATE INDEX reservations_by_time ON reservations (organization, create_time);

-- Whose turn it is to judge: where several gateways share a journal, a row is written before the sum is read.
CREATE TABLE quota_turns (
    organization TEXT   NOT NULL PRIMARY KEY,
    turns        BIGINT NOT NULL
);

-- When a machine was seen to be gone; 0 while it lives.
ALTER TABLE instances ADD COLUMN gone_time BIGINT NOT NULL DEFAULT 0;

-- Counts the machines of an operation.
CREATE INDEX instances_by_operation ON instances (operation_id);

-- Finds the machines that should live in a place; the condition is that of the query.
CREATE INDEX instances_living ON instances (account, region, instance_id) WHERE gone_time = 0;

INSERT INTO chores (name) VALUES ('reservations');
