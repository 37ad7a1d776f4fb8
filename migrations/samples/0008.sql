INSERT INTO brakes (operation_id, account, reason, time)
VALUES ('019b7d5e-0000-7000-8000-000000000013', 'main', '2 instances where 1 was asked for', 1767323045678);

INSERT INTO releases (operation_id, principal, reason, time)
VALUES ('019b7d5e-0000-7000-8000-000000000013', 'root', 'looked at', 1767323045678);
