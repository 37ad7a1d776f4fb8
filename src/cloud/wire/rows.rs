//! Which rows of a list a page is asked for, and how many fit into an answer.

use super::Page;
use crate::cloud::{CloudError, Fault, IDS_PER_CALL_MAX};

/// What a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Where it begins.
    pub offset: usize,
    /// How many it may hold.
    pub limit: usize,
}

/// How many rows pages are asked for: as many as a call may have, and fewer once an answer is too large. The cloud
/// shows the metadata that an instance was launched with, and that may be long.
#[derive(Debug)]
pub(super) struct PageSize(usize);

impl Default for PageSize {
    fn default() -> Self {
        Self(IDS_PER_CALL_MAX)
    }
}

impl PageSize {
    pub(super) const fn from(&self, offset: usize) -> Rows {
        Rows {
            offset,
            limit: self.0,
        }
    }

    /// The page; none when half as many rows must be asked for instead.
    pub(super) fn fit<T>(
        &mut self,
        page: Result<Page<T>, CloudError>,
    ) -> Result<Option<Page<T>>, CloudError> {
        match page {
            Err(error) if error.code == Fault::AnswerTooLarge.as_str() && self.0 > 1 => {
                self.0 /= 2;
                Ok(None)
            }
            page => page.map(Some),
        }
    }

    pub(super) fn grow(&mut self) {
        self.0 = (self.0 * 2).min(IDS_PER_CALL_MAX);
    }
}
