INSERT INTO audit_sinks (sink, chain, sequence) VALUES ('audit.jsonl', '019b7d5e-0000-7000-8000-000000000100', 1);
