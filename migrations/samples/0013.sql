-- Sealed with the key of the bytes 0 to 31.
INSERT INTO secrets (name, sealed) VALUES
    ('fingerprints', 'v1:32ebbb0b514c1729:AgICAgICAgICAgICEp1F7YErXnDSU/pusa7XZ0Ys2Xr5oRVj2PfksfyudnUEyMcjrFMdOE0JpC8YEr7Kr8uGAY73Z5Q2Z1675dz6JWUzlf4+JX1J3Et6lqcT5xE=');

INSERT INTO operations
    (id, organization, request_id, request_hash, state, sequence, document, body,
     lease_owner, lease_epoch, lease_until, create_time, update_time)
VALUES
    ('019b7d5e-0000-7000-8000-00000000001a', 'acme', 'r-26',
     'k1:0000000000000000000000000000000000000000000000000000000000000000', 'ACCEPTED', 1,
     '{"id":"019b7d5e-0000-7000-8000-00000000001a","organization":"acme","request_id":"r-26","principal":"dev","account":"main","region":"ap-shanghai","host":"cvm.tencentcloudapi.com","instance_count":1,"dry_run":false,"state":"ACCEPTED","sequence":1,"attempts":[],"instances":[],"failure":null,"transitions":[{"state":"ACCEPTED","time":1767323045678,"note":""}],"cloud_request_id":null,"create_time":1767323045678,"update_time":1767323045678}',
     'v1:32ebbb0b514c1729:AwMDAwMDAwMDAwMD8VsPNpp3vY/dfhcZLf8WsCca', 'replica-1', 1, 1767323075678, 1767323045678, 1767323045678);
