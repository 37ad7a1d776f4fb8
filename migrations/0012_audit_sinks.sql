-- How much of the audit was brought out of the journal, by the file that it is brought to.
CREATE TABLE audit_sinks (
    sink     TEXT   NOT NULL,
    chain    TEXT   NOT NULL,
    sequence BIGINT NOT NULL, -- of the last row that is durable there
    PRIMARY KEY (sink, chain)
);
