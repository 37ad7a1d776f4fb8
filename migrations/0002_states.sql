-- Operations may also be TERMINATING, which is work, and CANCELLED, which is at rest. The engines use a partial index only
-- for its very condition, so the one of before is made anew.
DROP INDEX operations_by_lease;
CREATE INDEX operations_by_lease ON operations (lease_until, id)
    WHERE state NOT IN ('SUCCEEDED', 'PARTIAL', 'FAILED', 'CANCELLED', 'NEEDS_OPERATOR');
