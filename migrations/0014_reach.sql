-- The oldest schema whose programs can work with these tables. A program that finds a newer schema than its own goes on if its
-- own is not older than this: so gateways of two neighbouring versions share a journal, and going back one is possible. A
-- migration that only adds leaves it; one that changes or removes what older programs use sets it to its own number.
CREATE TABLE schema_reach (
    oldest BIGINT NOT NULL
);
INSERT INTO schema_reach (oldest) VALUES (14);
