-- What a journal of this version holds, once more.
UPDATE schema_reach SET oldest = 14;
