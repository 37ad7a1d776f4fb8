-- What a journal of this version holds, once more.
INSERT INTO audit_rows (chain, sequence, time, event, operation_id, record, hash) VALUES
    ('019b7d5e-0000-7000-8000-000000000101', 1, 1767323046000, 'denied', NULL, '{}', '00');
