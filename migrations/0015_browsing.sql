-- What a person looks through, newest first. The index of before had the states alone; this one counts by state as well.
DROP INDEX operations_by_state;
CREATE INDEX operations_by_state ON operations (state, id);

-- Finds the calls that were not carried out, of which there are few; the condition is that of the query.
CREATE INDEX audit_rows_not_done ON audit_rows (time, chain, sequence) WHERE event IN ('denied', 'refused', 'suppressed');
