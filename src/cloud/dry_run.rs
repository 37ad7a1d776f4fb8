//! The cloud's own DryRun: it judges a launch and carries none out. Whatever is sent from here asks for that.

use super::body::hide_secrets;
use super::limiter::Permit;
use super::{Cloud, CloudError, Signing, Target};
use crate::domain::reason::Reason;
use crate::domain::secret::{self, SecretJson};
use serde_json::{Value, json};
use std::fmt;
use time::UtcDateTime;
use zeroize::Zeroizing;

/// The body of a launch with `DryRun` set: there is no other way to make one.
pub struct DryRun(Zeroizing<Vec<u8>>);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The launch would be let through.
    Passed,
    /// The cloud launched all the same. The machines have the tag of the body.
    Launched {
        /// The cloud's id of the call.
        request_id: String,
    },
}

impl fmt::Debug for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DryRun").finish_non_exhaustive()
    }
}

impl DryRun {
    /// Of the launch `body`: without its token, which is for a launch, and with its tag, by which one is
    /// found that the cloud makes all the same.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let mut body = SecretJson(serde_json::from_slice(body).unwrap_or_default());
        if let Value::Object(members) = &mut body.0 {
            members.remove("ClientToken");
            members.insert("DryRun".to_owned(), json!(true));
        } else {
            body.0 = json!({ "DryRun": true });
        }
        // What was JSON can be written as JSON.
        Self(secret::json(&body.0).unwrap_or_default())
    }

    /// Asks once, signed as of `at`.
    ///
    /// # Errors
    /// Why the launch would not be let through, without the secrets of the body; or no answer.
    pub async fn ask(
        &self,
        cloud: &(impl Cloud + ?Sized),
        permit: Permit,
        target: &Target,
        at: UtcDateTime,
    ) -> Result<Judged, CloudError> {
        let signing = Signing { at, caller: None };
        let answer = cloud.run_instances(permit, target, &self.0, signing).await;
        match answer {
            Ok(accepted) if accepted.instance_ids.is_empty() => Ok(Judged::Passed),
            Ok(accepted) => Ok(Judged::Launched {
                request_id: accepted.request_id,
            }),
            Err(error) if error.reason == Reason::DryRunPassed => Ok(Judged::Passed),
            Err(error) => {
                let message = hide_secrets(&error.message, &self.0);
                Err(CloudError { message, ..error })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_it_is_made_of_asks_for_a_dry_run() {
        for (body, sent) in [
            (
                r#"{"ImageId":"i","ClientToken":"t"}"#,
                r#"{"DryRun":true,"ImageId":"i"}"#,
            ),
            (r#"{"DryRun":false}"#, r#"{"DryRun":true}"#),
            ("[1]", r#"{"DryRun":true}"#),
            ("no JSON", r#"{"DryRun":true}"#),
        ] {
            let DryRun(made) = DryRun::of(body.as_bytes());
            let [made, sent]: [Value; 2] =
                [&made, sent.as_bytes()].map(|json| serde_json::from_slice(json).unwrap());
            assert_eq!(made, sent, "{body}");
        }
    }
}
