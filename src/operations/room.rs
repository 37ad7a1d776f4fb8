//! How many operations may be under way: of all organisations, and of one.

use super::{Inner, OperationError, Operations, Settings};
use crate::domain::ids::OrganizationId;
use crate::domain::operation::Kind;

impl Operations {
    /// Whether the organisation may launch one more, which [`Self::submit`] asks again: to refuse costs least
    /// before policy is asked.
    ///
    /// # Errors
    /// [`OperationError::TooMany`], [`OperationError::TooManyOfOrganization`].
    pub fn has_room(&self, organization: &OrganizationId) -> Result<(), OperationError> {
        self.0.room_for(Kind::Launch, organization)
    }
}

impl Inner {
    /// Refuses one more than may be in hand. Who has too many may give machines back all the same.
    pub(super) fn room_for(
        &self,
        kind: Kind,
        organization: &OrganizationId,
    ) -> Result<(), OperationError> {
        let Settings {
            open_operations_max: most,
            open_operations_per_organization_max: most_of_one,
            ..
        } = self.settings;
        if self.table.len() >= most {
            Err(OperationError::TooMany)
        } else if kind == Kind::Launch && self.table.len_of(organization) >= most_of_one {
            Err(OperationError::TooManyOfOrganization)
        } else {
            Ok(())
        }
    }
}
