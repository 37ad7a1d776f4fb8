//! The key of a call, which may have to be waited for.

use super::{Call, HttpCloud};
use crate::cloud::credentials::Credential;
use crate::cloud::limiter::Permit;
use crate::cloud::{CloudError, Fault};
use std::pin::pin;
use std::sync::Arc;

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
        if call.caller.is_none() {
            Box::pin(permit.catch_up()).await;
        } else if permit.has_passed() {
            // Age and lease of what is called in a caller's name were judged before: it comes again.
            let message = format!("a key for account {account} came after the call's turn");
            return Err(Fault::CredentialUnavailable.error(message));
        }
        Ok(credential)
    }
}
