INSERT INTO audit
    (operation_id, time, action, organization, principal, account, region, request_hash, detail)
VALUES
    ('019b7d5e-0000-7000-8000-000000000013', 1767323045678, 'LAUNCH', 'acme', 'dev', 'main', 'ap-shanghai',
     '0000000000000000000000000000000000000000000000000000000000000000',
     '{"host":"cvm.tencentcloudapi.com","policy":"organizations","rule":"account-of-own-organization"}');
