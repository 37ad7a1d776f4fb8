//! What is sent to the cloud.

use std::fmt;
use zeroize::Zeroizing;

/// The body of a launch. It may hold a password and user data, so it cannot be printed, lies sealed
/// in the journal, and is wiped from memory.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBody(Zeroizing<Vec<u8>>);

impl SealedBody {
    /// Takes the bytes in.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for signing and sending.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for SealedBody {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SealedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} secret bytes]", self.0.len())
    }
}
