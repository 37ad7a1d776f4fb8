-- Which operation a machine was last to be given back by: it saw the machine after the launch did.
ALTER TABLE instances ADD COLUMN termination_id TEXT REFERENCES operations (id);

-- Machines are listed by organisation, newest first.
CREATE INDEX instances_by_organization ON instances (organization, create_time, instance_id);
