-- What a journal of this version may hold: a launch in several places that is being given back.
INSERT INTO operations
    (id, organization, request_id, request_hash, state, sequence, document, body,
     lease_owner, lease_epoch, lease_until, create_time, update_time)
VALUES
    ('019b7d5e-0000-7000-8000-000000000002', 'acme', 'r-2',
     '0000000000000000000000000000000000000000000000000000000000000000', 'TERMINATING', 3,
     '{"id":"019b7d5e-0000-7000-8000-000000000002","organization":"acme","request_id":"r-2","principal":"dev","account":"main","region":"ap-shanghai","host":"cvm.tencentcloudapi.com","instance_count":1,"dry_run":false,"state":{"TERMINATING":{"targets":["ins-1"],"calling":null,"calls":1,"call_at":1767323045678,"deadline":1767323945678,"end":"CANCELLED","refusal":null}},"sequence":3,"attempts":[{"number":1,"signed_at":1767323045678,"epoch":1,"result":{"AMBIGUOUS":"Timeout"},"cloud_request_id":null,"alternative":1}],"instances":[{"id":"ins-1","state":"NEW","name":"","instance_type":"","zone":"","private_ip_addresses":[],"public_ip_addresses":[],"failure_message":"","running_time":1767323045678,"missing_since":null}],"failure":null,"transitions":[{"state":"ACCEPTED","time":1767323045678,"note":""}],"cloud_request_id":null,"create_time":1767323045678,"update_time":1767323045678,"kind":"LAUNCH","places":[{"zone":"ap-shanghai-2","instance_type":"S5.SMALL1"},{"zone":"ap-shanghai-2","instance_type":"S5.SMALL1"}],"alternative":1,"sold_out":[0],"on_failure":"TERMINATE_ALL","cancellation":{"principal":"dev","time":1767323045678}}',
     'e30= e30=', 'replica-1', 1, 1767323075678, 1767323045678, 1767323045678);
