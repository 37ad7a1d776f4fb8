-- What a journal of this version may hold; later migrations and binaries must still read it.
INSERT INTO orders (operation_id, verb, principal, time)
VALUES ('019b7d5e-0000-7000-8000-000000000001', 'CANCEL', 'dev', 1767323045678);
