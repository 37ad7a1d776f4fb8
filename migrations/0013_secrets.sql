-- What the gateway itself must keep secret, sealed with the key that lies outside of the journal. Who has another key cannot
-- open it, and does not start. From here on operations.body is sealed, too: v1:KEY:BASE64, once for each place, with a space
-- between them. Bodies of before are base64 alone; a gateway seals those of open operations when it starts.
CREATE TABLE secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed TEXT NOT NULL
);
