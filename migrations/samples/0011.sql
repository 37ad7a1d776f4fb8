INSERT INTO quota_turns (organization, turns) VALUES ('acme', 1);

INSERT INTO reservations (operation_id, organization, account, principal, create_time, open, instances)
VALUES ('019b7d5e-0000-7000-8000-000000000013', 'acme', 'main', 'dev', 1767323045678, 1, 1);
