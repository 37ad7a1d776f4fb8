//! The key of a call, which may have to be waited for.

use super::{Call, HttpCloud};
use crate::cloud::credentials::Credential;
use crate::cloud::limiter::Permit;
use crate::cloud::{CloudError, Fault};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a call in a caller's name waits for another turn: its age and its lease were judged before.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

impl HttpCloud {
    /// What signs the call. Who waited for a key has it at the same moment as all others who did, and the
    /// account's rate counts for them as well.
    pub(super) async fn credential(
        &self,
        permit: &mut Permit,
        call: &Call<'_>,
    ) -> Result<Arc<Credential>, CloudError> {
        let account = &call.target.account;
        let mut got = pin!(self.credentials.get(account, call.caller));
        tokio::select! {
            biased;
            got = &mut got => return got,
            () = std::future::ready(()) => {} // it must be waited for
        }
        let credential = got.await?;
        let caught_up = Box::pin(permit.catch_up());
        if call.caller.is_none() {
            caught_up.await;
            return Ok(credential);
        }
        let caught_up = self.clock.timeout(CATCH_UP_MAX, caught_up).await;
        caught_up.map(|()| credential).ok_or_else(|| {
            let message = format!("a key for account {account} came after the call's turn");
            Fault::CredentialUnavailable.error(message)
        })
    }
}
