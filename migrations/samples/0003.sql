-- A launch that goes on, and its machine.
INSERT INTO operations
    (id, organization, request_id, request_hash, state, sequence, document, body,
     lease_owner, lease_epoch, lease_until, create_time, update_time)
VALUES
    ('019b7d5e-0000-7000-8000-000000000013', 'acme', 'r-13',
     '0000000000000000000000000000000000000000000000000000000000000000', 'LAUNCHED', 3,
     '{"id":"019b7d5e-0000-7000-8000-000000000013","organization":"acme","request_id":"r-13","principal":"dev","account":"main","region":"ap-shanghai","host":"cvm.tencentcloudapi.com","instance_count":1,"dry_run":false,"state":"LAUNCHED","sequence":3,"attempts":[{"number":1,"signed_at":1767323045678,"epoch":1,"result":"ACCEPTED","cloud_request_id":"q"}],"instances":[{"id":"ins-13","state":"PENDING"}],"failure":null,"transitions":[{"state":"ACCEPTED","time":1767323045678,"note":""}],"cloud_request_id":"q","create_time":1767323045678,"update_time":1767323045678}',
     'e30= W10=', 'replica-1', 1, 1767323075678, 1767323045678, 1767323045678);

INSERT INTO instances (instance_id, operation_id, organization, account, region, create_time)
VALUES ('ins-13', '019b7d5e-0000-7000-8000-000000000013', 'acme', 'main', 'ap-shanghai', 1767323045678);
