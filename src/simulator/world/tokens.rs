//! What the cloud remembers of ClientTokens: for how long, where, and from when on.

use super::Call;
use crate::simulator::catalog::misbehaviour::{Dead, Faults, Mismatch, Scope};
use crate::simulator::validate::invalid;
use crate::simulator::wire::{Refusal, RunInstances};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use time::UtcDateTime;

/// Launches, by where their token is known and the token.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<(String, String), Launch>);

/// Tells a request from any other by all that is in it, of which nothing is kept.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint([u8; 32]);

/// A launch that its ClientToken is answered with again.
#[derive(Debug)]
struct Launch {
    ids: Vec<String>,
    at: UtcDateTime,
    request: Fingerprint,
}

impl Tokens {
    /// What a known token is answered. `is_there` tells whether a machine is not gone.
    ///
    /// # Errors
    /// When the faults refuse a token that comes with another request, or whose machines are gone.
    pub(super) fn known(
        &self,
        faults: &Faults,
        call: &Call<'_>,
        token: &str,
        request: &RunInstances,
        is_there: impl Fn(&String) -> bool,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let Some(launch) = self.0.get(&key(faults, call, token)) else {
            return Ok(None);
        };
        if launch.is_new(faults, call.now) || launch.is_forgotten(faults, call.now) {
            return Ok(None);
        }
        if launch.request != Fingerprint::of(request) {
            match faults.token_mismatch {
                Mismatch::Answer => {}
                Mismatch::Refuse => {
                    return Err(invalid("ClientToken", "was used for another request"));
                }
                Mismatch::Launch => return Ok(None),
            }
        }
        if faults.token_dead == Dead::Refuse && !launch.ids.iter().any(is_there) {
            return Err(invalid("ClientToken", "is of instances that are gone"));
        }
        Ok(Some(launch.ids.clone()))
    }

    /// Of twins that both launched, the first is the one to be known.
    pub(super) fn learn(
        &mut self,
        faults: &Faults,
        call: &Call<'_>,
        token: &str,
        request: &RunInstances,
        ids: &[String],
    ) {
        let key = key(faults, call, token);
        let twin = self.0.get(&key);
        if twin.is_some_and(|twin| twin.is_new(faults, call.now)) {
            return;
        }
        let launch = Launch {
            ids: ids.to_vec(),
            at: call.now,
            request: Fingerprint::of(request),
        };
        self.0.insert(key, launch);
    }
}

impl Launch {
    fn is_new(&self, faults: &Faults, now: UtcDateTime) -> bool {
        now < self.at.saturating_add(faults.token_lag_s.duration())
    }

    fn is_forgotten(&self, faults: &Faults, now: UtcDateTime) -> bool {
        let memory = faults.token_memory_s;
        memory.is_some_and(|memory| now >= self.at.saturating_add(memory.duration()))
    }
}

impl Fingerprint {
    fn of(request: &RunInstances) -> Self {
        let login = request.login_settings.as_ref();
        let password = login.and_then(|login| login.password.as_ref());
        // It alone is not printed with the others.
        let password = password.map(ExposeSecret::expose_secret);
        Self(Sha256::digest(format!("{request:?}{password:?}")).into())
    }
}

fn key(faults: &Faults, call: &Call<'_>, token: &str) -> (String, String) {
    let place = match faults.token_scope {
        Scope::Account => "",
        Scope::Region => call.region,
        Scope::Endpoint => call.endpoint,
    };
    (place.to_owned(), token.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::simulator::world::tests::Fixture;
    use serde_json::json;

    #[test]
    fn a_request_with_another_secret_is_another_request() {
        let metadata = |value: &str| json!({"Metadata": {"Items": [{"Key": "k", "Value": value}]}});
        let password = |password: &str| json!({"LoginSettings": {"Password": password}});
        let rows = [
            (password("canary-One-1"), password("canary-Two-2")),
            (
                json!({"UserData": "Y2FuYXJ5MQ=="}),
                json!({"UserData": "Y2FuYXJ5Mg=="}),
            ),
            (metadata("canary-1"), metadata("canary-2")),
        ];
        for (mut first, mut other) in rows {
            let mut cloud = Fixture::faulty("token_mismatch = \"refuse\"");
            (first["ClientToken"], other["ClientToken"]) = (json!("t"), json!("t"));
            let ids = cloud.run(first.clone()).unwrap();
            let refused = cloud.run(other.clone());
            assert_eq!(refused, Err("InvalidParameterValue"), "{other}");
            assert_eq!(cloud.run(first.clone()), Ok(ids), "{first}");
            let kept = format!("{:?}", cloud.world().tokens);
            assert!(
                !kept.contains("canary") && !kept.contains("Y2FuYXJ5"),
                "{kept}"
            );
        }
    }
}
