//! Plans: a launch that somebody looked at before, sealed, so that it is carried out as it was seen.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use std::fmt;
use time::UtcDateTime;

/// The first byte of every plan of this form.
const VERSION: u8 = 1;
/// What the seal is for: nothing else that the same key signs can be taken for a plan.
const PURPOSE: &[u8] = b"cvm-gateway plan";
const TIME_BYTES: usize = 8;
const SEAL_BYTES: usize = 32;
/// Keys are at least as long as the seal that they make.
const KEY_BYTES_MIN: usize = 32;

/// Seals plans, and knows its own again. Gateways that share it carry out each other's plans.
#[derive(Clone)]
pub struct PlanKey(SecretSlice<u8>);

/// A key that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is too short for a key; write at least {KEY_BYTES_MIN} random characters")]
pub struct ShortKey;

/// Why a plan is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is not the bytes of a plan.
    #[error("is no plan; send the bytes of PlanRunInstancesResponse.plan as they came")]
    Malformed,
    /// It is too old.
    #[error("the plan expired at {0}; make a new one with PlanRunInstances")]
    Expired(UtcDateTime),
    /// It is sealed for something else, or by someone else.
    #[error(
        "the plan is not one for this launch as it would be sent now: the request, the account or \
         the policy is another one, or a gateway with another key made the plan; make a new one \
         with PlanRunInstances"
    )]
    Another,
}

impl From<[u8; KEY_BYTES_MIN]> for PlanKey {
    fn from(key: [u8; KEY_BYTES_MIN]) -> Self {
        Self(key.to_vec().into())
    }
}

impl PlanKey {
    /// Takes a key in.
    ///
    /// # Errors
    /// [`ShortKey`] for less than 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self, ShortKey> {
        if key.len() < KEY_BYTES_MIN {
            return Err(ShortKey);
        }
        Ok(Self(key.to_vec().into()))
    }

    /// A plan for the launch with this digest, to be carried out until `expires`, a whole second.
    #[must_use]
    pub fn seal(&self, launch: &[u8; 32], expires: UtcDateTime) -> Vec<u8> {
        let time = expires.unix_timestamp().to_be_bytes();
        let mut plan = vec![VERSION];
        plan.extend(time);
        plan.extend(self.mac(launch, time).finalize().into_bytes());
        plan
    }

    /// Whether `plan` is one for the launch with this digest, at `now`.
    ///
    /// # Errors
    /// Why it is not.
    pub fn open(&self, plan: &[u8], launch: &[u8; 32], now: UtcDateTime) -> Result<(), PlanError> {
        let (time, seal) = parts(plan).ok_or(PlanError::Malformed)?;
        // The seal first: what a forger wrote as the time is nobody's business.
        let sealed = self.mac(launch, time).verify_slice(&seal);
        sealed.map_err(|_not_ours| PlanError::Another)?;
        let expires = UtcDateTime::from_unix_timestamp(i64::from_be_bytes(time));
        let expires = expires.map_err(|_no_time| PlanError::Malformed)?;
        if now >= expires {
            return Err(PlanError::Expired(expires));
        }
        Ok(())
    }

    fn mac(&self, launch: &[u8; 32], time: [u8; TIME_BYTES]) -> Hmac<Sha256> {
        // HMAC takes a key of any length, so there is always one.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.expose_secret())
            .unwrap_or_else(|_no_length_is_wrong| Hmac::<Sha256>::new(&Default::default()));
        for part in [PURPOSE, &[VERSION], &time, launch] {
            mac.update(part);
        }
        mac
    }
}

/// When a plan says that it expires, before anybody knows whether it is sealed so.
#[must_use]
pub fn claimed_expiry(plan: &[u8]) -> Option<UtcDateTime> {
    let (time, _) = parts(plan)?;
    UtcDateTime::from_unix_timestamp(i64::from_be_bytes(time)).ok()
}

/// The time and the seal.
fn parts(plan: &[u8]) -> Option<([u8; TIME_BYTES], [u8; SEAL_BYTES])> {
    let (version, rest) = plan.split_first()?;
    let (time, seal) = rest.split_at_checked(TIME_BYTES)?;
    let parts = (time.try_into().ok()?, seal.try_into().ok()?);
    (*version == VERSION).then_some(parts)
}

impl fmt::Debug for PlanKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlanKey([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    const NOW: UtcDateTime = utc_datetime!(2027-01-01 00:00:00);
    const SOON: UtcDateTime = utc_datetime!(2027-01-01 00:10:00);
    const LAUNCH: [u8; 32] = [7; 32];

    fn key(byte: u8) -> PlanKey {
        PlanKey::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_plan_is_known_again_until_it_expires() {
        let plan = key(1).seal(&LAUNCH, SOON);
        assert_eq!(plan.len(), 1 + TIME_BYTES + SEAL_BYTES);
        assert_eq!(key(1).open(&plan, &LAUNCH, NOW), Ok(()));
        let expired = Err(PlanError::Expired(SOON));
        assert_eq!(key(1).open(&plan, &LAUNCH, SOON), expired);
        let another = Err(PlanError::Another);
        assert_eq!(key(1).open(&plan, &[8; 32], NOW), another);
        assert_eq!(key(2).open(&plan, &LAUNCH, NOW), another);
        assert_eq!(key(2).open(&plan, &LAUNCH, SOON), another);
        assert_eq!(PlanKey::new(&[1; 31]).unwrap_err(), ShortKey);
        assert_eq!(format!("{:?}", key(1)), "PlanKey([secret])");
    }

    #[test]
    fn no_other_bytes_are_a_plan() {
        let plan = key(1).seal(&LAUNCH, SOON);
        for index in 0..plan.len() {
            let mut bent = plan.clone();
            bent[index] ^= 1;
            assert!(key(1).open(&bent, &LAUNCH, NOW).is_err(), "{index}");
            let cut = &plan[..index];
            assert_eq!(
                key(1).open(cut, &LAUNCH, NOW),
                Err(PlanError::Malformed),
                "{index}"
            );
        }
        let longer = [plan.as_slice(), &[0]].concat();
        assert_eq!(
            key(1).open(&longer, &LAUNCH, NOW),
            Err(PlanError::Malformed)
        );
    }
}
