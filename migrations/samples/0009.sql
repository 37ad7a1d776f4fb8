UPDATE instances SET termination_id = '019b7d5e-0000-7000-8000-000000000002' WHERE instance_id = 'ins-13';
