-- What a journal of this version may hold.
INSERT INTO budgets (key, next_slot) VALUES ('main cvm.tencentcloudapi.com RunInstances', 1767323045678);
