-- What callers and operators ordered for operations that a gateway, perhaps another one, has in hand: it takes the order in
-- with its next step, and then takes the row away.
CREATE TABLE orders (
    operation_id TEXT   NOT NULL REFERENCES operations (id),
    verb         TEXT   NOT NULL, -- CANCEL or RELEASE
    principal    TEXT   NOT NULL, -- who ordered it
    time         BIGINT NOT NULL,
    PRIMARY KEY (operation_id, verb)
);
