-- How often a process died with the operation in hand, since the last step of it that was completed: what ends every process
-- that steps it must not be stepped for ever. It is counted by the claim, so before the work.
ALTER TABLE operations ADD COLUMN crashes BIGINT NOT NULL DEFAULT 0;
