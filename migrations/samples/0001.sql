-- What a journal of this version may hold; later migrations and binaries must still read it.
INSERT INTO operations
    (id, organization, request_id, request_hash, state, sequence, document, body,
     lease_owner, lease_epoch, lease_until, create_time, update_time)
VALUES
    ('019b7d5e-0000-7000-8000-000000000001', 'acme', 'r-1',
     '0000000000000000000000000000000000000000000000000000000000000000', 'RECONCILING', 3,
     '{"id":"019b7d5e-0000-7000-8000-000000000001","organization":"acme","request_id":"r-1","principal":"dev","account":"main","region":"ap-shanghai","host":"cvm.tencentcloudapi.com","instance_count":1,"dry_run":false,"state":{"RECONCILING":{"next_look_up":1767323045678,"empty_look_ups":1,"proofs":0,"refusal":null}},"sequence":3,"attempts":[{"number":1,"signed_at":1767323045678,"epoch":1,"result":{"AMBIGUOUS":"Timeout"},"cloud_request_id":null}],"instances":[],"failure":null,"transitions":[{"state":"ACCEPTED","time":1767323045678,"note":""}],"cloud_request_id":null,"create_time":1767323045678,"update_time":1767323045678}',
     'e30=', 'replica-1', 1, 1767323075678, 1767323045678, 1767323045678);

INSERT INTO attempts (operation_id, number, signed_at, epoch, result, detail, cloud_request_id)
VALUES ('019b7d5e-0000-7000-8000-000000000001', 1, 1767323045678, 1, 'AMBIGUOUS', 'Timeout', NULL);

INSERT INTO operations
    (id, organization, request_id, request_hash, state, sequence, document, body,
     lease_owner, lease_epoch, lease_until, create_time, update_time)
VALUES
    ('019b7d5e-0000-7000-8000-000000000012', 'acme', 'r-12',
     '0000000000000000000000000000000000000000000000000000000000000000', 'LAUNCHED', 3,
     '{"id":"019b7d5e-0000-7000-8000-000000000012","organization":"acme","request_id":"r-12","principal":"dev","account":"main","region":"ap-shanghai","host":"cvm.tencentcloudapi.com","instance_count":2,"dry_run":false,"state":"LAUNCHED","sequence":3,"attempts":[{"number":1,"signed_at":1767323045678,"epoch":1,"result":"ACCEPTED","cloud_request_id":"q"}],"instances":[{"id":"ins-11","state":"PENDING","name":"","instance_type":"","zone":"","private_ip_addresses":[],"public_ip_addresses":[],"failure_message":"","running_time":null,"missing_since":null},{"id":"ins-12","state":null}],"failure":null,"transitions":[{"state":"ACCEPTED","time":1767323045678,"note":""}],"cloud_request_id":"q","create_time":1767323045678,"update_time":1767323045678}',
     'e30=', 'replica-1', 1, 1767323075678, 1767323045678, 1767323045678);
