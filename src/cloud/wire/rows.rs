//! Which rows of a list a page is asked for, and how many fit into an answer.

use super::Page;
use crate::cloud::{CloudError, Fault, IDS_PER_CALL_MAX};

/// The refusal of a filter by a tag whose key the account does not have yet: nothing carries it.
const TAG_KEY_NOT_FOUND: &str = "InvalidParameterValue.TagKeyNotFound";

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
pub(super) struct PageSize {
    rows: usize,
    /// Pages of that size that were read.
    read: usize,
}

/// Pages that are read before longer ones are tried again: one that is too long is read in vain.
const READ_BEFORE_LONGER: usize = 4;

impl Default for PageSize {
    fn default() -> Self {
        Self {
            rows: IDS_PER_CALL_MAX,
            read: 0,
        }
    }
}

impl PageSize {
    pub(super) const fn from(&self, offset: usize) -> Rows {
        Rows {
            offset,
            limit: self.rows,
        }
    }

    /// The page; none when half as many rows must be asked for instead. Where nothing carries the tag, the
    /// `first` page is empty; what was on it carries the tag, so that any later one must be there.
    pub(super) fn fit<T>(
        &mut self,
        page: Result<Page<T>, CloudError>,
        first: bool,
    ) -> Result<Option<Page<T>>, CloudError> {
        match page {
            Err(error) if error.code == TAG_KEY_NOT_FOUND && first => Ok(Some(Page {
                instances: Vec::new(),
                total: 0,
            })),
            Err(error) if error.code == Fault::AnswerTooLarge.as_str() && self.rows > 1 => {
                self.rows /= 2;
                self.read = 0;
                Ok(None)
            }
            page => page.map(Some),
        }
    }

    /// A page was read; after some of them those that follow may be longer.
    pub(super) fn grow(&mut self) {
        self.read += 1;
        if self.read >= READ_BEFORE_LONGER {
            self.rows = (self.rows * 2).min(IDS_PER_CALL_MAX);
            self.read = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::codes;
    use crate::cloud::wire::{FoundPages, TaggedPages};

    fn refused<T>(code: &str) -> Result<Page<T>, CloudError> {
        let verdict = codes::classify(code);
        Err(CloudError {
            effect: verdict.effect,
            reason: verdict.reason,
            retry: verdict.retry,
            code: code.to_owned(),
            message: "the tag key does not exist".to_owned(),
            fields: Vec::new(),
            request_id: None,
        })
    }

    #[test]
    fn what_no_tag_key_is_there_for_is_nowhere() {
        let mut pages = FoundPages::default();
        assert_eq!(pages.take(refused(TAG_KEY_NOT_FOUND)), Ok(true));
        assert_eq!(pages.into_instances(), []);
        let mut pages = TaggedPages::default();
        assert_eq!(pages.take(refused(TAG_KEY_NOT_FOUND)), Ok(true));
        assert_eq!(pages.into_instances(), []);
        for code in [
            "InvalidParameterValue",
            "ResourceNotFound",
            "TagKeyNotFound",
        ] {
            assert!(FoundPages::default().take(refused(code)).is_err(), "{code}");
            assert!(
                TaggedPages::default().take(refused(code)).is_err(),
                "{code}"
            );
        }
    }

    #[test]
    fn a_key_that_was_there_does_not_go_between_pages() {
        let page = br#"{"Response":{"TotalCount":2,"InstanceSet":[
            {"InstanceId":"ins-1","InstanceState":"RUNNING"}],"RequestId":"r"}}"#;
        let mut pages = FoundPages::default();
        let first = crate::cloud::wire::describe_page(page).unwrap().value;
        assert_eq!(pages.take(Ok(first)), Ok(false));
        assert!(pages.take(refused(TAG_KEY_NOT_FOUND)).is_err());
        let mut pages = TaggedPages::default();
        let first = crate::cloud::wire::tagged_page(page, "op").unwrap().value;
        assert_eq!(pages.take(Ok(first)), Ok(false));
        assert!(pages.take(refused(TAG_KEY_NOT_FOUND)).is_err());
    }
}
