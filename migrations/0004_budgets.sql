-- How often the cloud may be called: the gateways of one journal take their slots from here.
-- Only PostgreSQL has rows in it: a SQLite journal has one gateway.
CREATE TABLE budgets (
    key       TEXT   NOT NULL PRIMARY KEY, -- account, host and action
    next_slot BIGINT NOT NULL              -- the first that nobody has, in milliseconds
);
