//! Temporary keys: hands them out for roles, and tells who a key is.

use super::life::iso_seconds;
use super::{Call, World};
use crate::simulator::catalog::KeyPair;
use crate::simulator::wire::{AssumeRole, AssumeRoleWithWebIdentity, Refusal};
use rand_chacha::rand_core::RngCore;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use time::{Duration, UtcDateTime};

/// Keys that are good at one time; more are refused.
const ISSUED_MAX: usize = 10_000;
/// Seconds that a key is good for when nothing is said, and at most (contract §13).
const LIFE_DEFAULT: i64 = 7200;
const LIFE_MAX: i64 = 43_200;
/// Clients renew keys with five minutes left; ours are new somewhat before that.
const RENEWED_BEFORE: Duration = Duration::minutes(10);
/// The account of every key.
const UIN: &str = "100000000001";

/// The temporary keys that were handed out.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Issued {
    keys: HashMap<String, Temporary>,
    bound: Option<Bound>,
}

/// What the metadata service gave last.
struct Bound {
    answer: Value,
    expires_at: UtcDateTime,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Temporary {
    key: KeyPair,
    expires_at: UtcDateTime,
    role: String,
    session: String,
}

impl Issued {
    pub(in crate::simulator) fn key(&self, secret_id: &str, now: UtcDateTime) -> Option<&KeyPair> {
        let temporary = self.keys.get(secret_id)?;
        (now < temporary.expires_at).then_some(&temporary.key)
    }

    /// Whether there was such a key.
    pub(in crate::simulator) fn knows(&self, secret_id: &str) -> bool {
        self.keys.contains_key(secret_id)
    }
}

impl World {
    pub(in crate::simulator) fn issued(&self) -> &Issued {
        &self.issued
    }

    pub(in crate::simulator) fn assume_role(
        &mut self,
        call: &Call<'_>,
        request: &AssumeRole,
    ) -> Result<Value, Refusal> {
        let (role, session) = (&request.role_arn, &request.role_session_name);
        self.issue(call, role, session, request.duration_seconds)
    }

    /// The token must look like a JWT; whose it is matters not.
    pub(in crate::simulator) fn assume_role_with_web_identity(
        &mut self,
        call: &Call<'_>,
        request: &AssumeRoleWithWebIdentity,
    ) -> Result<Value, Refusal> {
        let token = request.web_identity_token.expose_secret();
        let parts = token.split('.').filter(|part| !part.is_empty());
        if parts.count() != 3 {
            let message = "The web identity token is not a JWT.";
            return Err(Refusal::new(
                "InvalidParameter.WebIdentityTokenError",
                message,
            ));
        }
        let (role, session) = (&request.role_arn, &request.role_session_name);
        self.issue(call, role, session, request.duration_seconds)
    }

    pub(in crate::simulator) fn get_caller_identity(&self, call: &Call<'_>) -> Value {
        let role = self.issued.keys.get(call.secret_id);
        let (kind, arn, principal) = match role {
            None => (
                "CAMUser",
                format!("qcs::cam::uin/{UIN}:uin/{UIN}"),
                UIN.to_owned(),
            ),
            Some(Temporary { role, session, .. }) => (
                "CAMRole",
                format!("qcs::sts::uin/{UIN}:assumed-role/{role}/{session}"),
                format!("{UIN}:{session}"),
            ),
        };
        json!({
            "Arn": arn,
            "AccountId": UIN,
            "UserId": principal,
            "PrincipalId": principal,
            "Type": kind,
        })
    }

    /// The keys of the role that is bound to a machine, as its metadata service gives them: the same
    /// ones until little of their life is left.
    ///
    /// # Errors
    /// When the role does not exist, or too many keys were handed out.
    pub(in crate::simulator) fn bound_keys(
        &mut self,
        role: &str,
        now: UtcDateTime,
    ) -> Result<Value, Refusal> {
        let renewed_from = now.saturating_add(RENEWED_BEFORE);
        if let Some(keys) = &self.issued.bound
            && keys.expires_at > renewed_from
        {
            return Ok(keys.answer.clone());
        }
        let call = Call {
            now,
            secret_id: "",
            region: "",
            endpoint: "",
            request_id: "",
        };
        let arn = format!("qcs::cam::uin/{UIN}:roleName/{role}");
        let issued = self.issue(&call, &arn, "metadata", None)?;
        let member = |path: &str| issued.pointer(path).cloned().unwrap_or_default();
        let answer = json!({
            "TmpSecretId": member("/Credentials/TmpSecretId"),
            "TmpSecretKey": member("/Credentials/TmpSecretKey"),
            "Token": member("/Credentials/Token"),
            "ExpiredTime": member("/ExpiredTime"),
            "Expiration": member("/Expiration"),
            "Code": "Success",
        });
        self.issued.bound = Some(Bound {
            answer: answer.clone(),
            expires_at: now.saturating_add(self.key_life(LIFE_DEFAULT)),
        });
        Ok(answer)
    }

    /// Of a temporary key that is asked for so many seconds.
    fn key_life(&self, seconds: i64) -> Duration {
        let most = self.faults.settings().key_life_s;
        let asked = Duration::seconds(seconds);
        most.map_or(asked, |most| asked.min(most.duration()))
    }

    fn issue(
        &mut self,
        call: &Call<'_>,
        role_arn: &str,
        session: &str,
        seconds: Option<i64>,
    ) -> Result<Value, Refusal> {
        let role = self.role(role_arn)?;
        check_session(session)?;
        let seconds = seconds.unwrap_or(LIFE_DEFAULT);
        if !(1..=LIFE_MAX).contains(&seconds) {
            let message = format!("`DurationSeconds` must be 1 to {LIFE_MAX}.");
            return Err(Refusal::new("InvalidParameter.OverLimit", message));
        }
        // An hour later nobody needs to be told any more that a key has expired.
        let kept_from = call.now.saturating_sub(Duration::hours(1));
        self.issued.keys.retain(|_, key| key.expires_at > kept_from);
        if self.issued.keys.len() >= ISSUED_MAX {
            let message = "The simulator has handed out too many keys; restart it.";
            return Err(Refusal::new("ServiceUnavailable", message));
        }
        let secret_id = format!("AKID{}", self.letters(32));
        let (secret_key, token) = (self.letters(32), self.letters(120));
        let expires_at = call.now.saturating_add(self.key_life(seconds));
        let answer = json!({
            "Credentials": {"Token": token, "TmpSecretId": secret_id, "TmpSecretKey": secret_key},
            "ExpiredTime": expires_at.unix_timestamp(),
            "Expiration": iso_seconds(expires_at),
        });
        let key = KeyPair {
            secret_id: secret_id.clone(),
            secret_key: secret_key.into(),
            token: Some(token.into()),
        };
        let temporary = Temporary {
            key,
            expires_at,
            role,
            session: session.to_owned(),
        };
        self.issued.keys.insert(secret_id, temporary);
        Ok(answer)
    }

    /// The name in `qcs::cam::uin/100000000001:roleName/CvmAgent`, of a role that there is.
    fn role(&self, arn: &str) -> Result<String, Refusal> {
        let name = arn.strip_prefix("qcs::cam::uin/").and_then(|rest| {
            let (_, role) = rest.split_once(':')?;
            role.strip_prefix("roleName/")
        });
        let name = name.ok_or_else(|| {
            let message = format!("`{arn}` is no role like qcs::cam::uin/1:roleName/name.");
            Refusal::new("InvalidParameter.ParamError", message)
        })?;
        if self.catalog.account.cam_roles.contains(name) {
            return Ok(name.to_owned());
        }
        let message = format!("The role `{name}` does not exist.");
        Err(Refusal::new("ResourceNotFound.RoleNotFound", message))
    }

    fn letters(&mut self, count: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bytes = vec![0; count];
        self.keys.fill_bytes(&mut bytes);
        let letter = |byte: u8| LETTERS.get(usize::from(byte % 64)).copied().unwrap_or(b'A');
        bytes
            .into_iter()
            .map(|byte| char::from(letter(byte)))
            .collect()
    }
}

fn check_session(name: &str) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (2..=128).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    let message = "`RoleSessionName` must be 2 to 128 letters, digits and any of _+=,.@-.";
    Err(Refusal::new("InvalidParameter.ParamError", message))
}

#[cfg(test)]
mod tests {
    use crate::simulator::world::tests::Fixture;
    use serde_json::{Value, json};

    #[test]
    fn a_role_is_assumed_for_a_while() {
        let mut cloud = Fixture::new();
        let role = "qcs::cam::uin/100000000001:roleName/CvmAgent";
        let body = json!({"RoleArn": role, "RoleSessionName": "ci@build", "DurationSeconds": 600});
        let answer = cloud.ask("AssumeRole", &body).unwrap();
        assert_eq!(answer["Expiration"], "2026-11-23T12:10:00Z");
        assert_eq!(answer["ExpiredTime"], 1_795_435_800);
        let id = answer["Credentials"]["TmpSecretId"].as_str().unwrap();
        assert_ne!(
            cloud.ask("AssumeRole", &body).unwrap(),
            answer,
            "keys differ"
        );
        let now = cloud.now();
        let good = |cloud: &Fixture, now| cloud.world().issued().key(id, now).is_some();
        assert!(good(&cloud, now + time::Duration::seconds(599)));
        assert!(!good(&cloud, now + time::Duration::seconds(600)));
        assert!(cloud.world().issued().knows(id));
        let secret = answer["Credentials"]["TmpSecretKey"].as_str().unwrap();
        assert!(!format!("{:?}", cloud.world()).contains(secret));
    }

    #[test]
    fn who_may_not_assume_what() {
        let mut cloud = Fixture::new();
        let role = |name: &str| format!("qcs::cam::uin/1:roleName/{name}");
        let rows = [
            (json!({}), "OK"),
            (
                json!({"RoleArn": "CvmAgent"}),
                "InvalidParameter.ParamError",
            ),
            (
                json!({"RoleArn": role("Nobody")}),
                "ResourceNotFound.RoleNotFound",
            ),
            (
                json!({"RoleSessionName": "a b"}),
                "InvalidParameter.ParamError",
            ),
            (
                json!({"RoleSessionName": "a"}),
                "InvalidParameter.ParamError",
            ),
            (
                json!({"DurationSeconds": 43_201}),
                "InvalidParameter.OverLimit",
            ),
            (json!({"DurationSeconds": 0}), "InvalidParameter.OverLimit"),
            (json!({"Duration": 1}), "UnknownParameter"),
        ];
        for (changes, expected) in rows {
            let mut body = json!({"RoleArn": role("CvmAgent"), "RoleSessionName": "ci"});
            let members = body.as_object_mut().unwrap();
            members.extend(changes.as_object().unwrap().clone());
            let verdict = cloud.ask("AssumeRole", &body).err().unwrap_or("OK");
            assert_eq!(verdict, expected, "{changes}");
            let web = |token: &str, body: &Value| {
                let mut body = body.clone();
                body["ProviderId"] = json!("OIDC");
                body["WebIdentityToken"] = json!(token);
                body
            };
            let by_token = cloud.ask("AssumeRoleWithWebIdentity", &web("a.b.c", &body));
            assert_eq!(by_token.err().unwrap_or("OK"), expected, "{changes}");
            let no_token = cloud.ask("AssumeRoleWithWebIdentity", &web("a.b", &body));
            let no_jwt = "InvalidParameter.WebIdentityTokenError";
            let wrong = if expected == "UnknownParameter" {
                expected
            } else {
                no_jwt
            };
            assert_eq!(no_token, Err(wrong));
        }
    }

    #[test]
    fn a_machine_keeps_its_keys_until_they_are_old() {
        let mut cloud = Fixture::new();
        let now = cloud.now();
        let mut keys = |minutes| {
            let at = now + time::Duration::minutes(minutes);
            cloud.world_mut().bound_keys("CvmAgent", at).unwrap()
        };
        let first = keys(0);
        assert_eq!(first["Code"], "Success");
        assert_eq!(keys(109), first);
        assert_ne!(keys(110), first);
        let mut another = Fixture::new();
        let refused = another.world_mut().bound_keys("Nobody", now).unwrap_err();
        assert_eq!(refused.code, "ResourceNotFound.RoleNotFound");
    }
}
