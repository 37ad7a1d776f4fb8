INSERT INTO audit_rows (chain, sequence, time, event, operation_id, record, hash) VALUES
    ('019b7d5e-0000-7000-8000-000000000100', 1, 1767323045678, 'chain', NULL,
     '{"chain":"019b7d5e-0000-7000-8000-000000000100","sequence":1,"time":"2026-01-02T03:04:05.678Z","event":"chain","links":[]}',
     'c7ac9fbfe19ada314a6fc23c5b3dfcd3c8bae6124baecc57f4462badfa83739d');
INSERT INTO audit_links (chain, linked, sequence) VALUES
    ('019b7d5e-0000-7000-8000-000000000101', '019b7d5e-0000-7000-8000-000000000102', 7);
