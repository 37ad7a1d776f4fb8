//! The pages of a look-up by tag, and whether they are all that there is.

use super::Page;
use crate::cloud::{CloudError, Fault};
use crate::domain::instance::{InstanceDetail, InstanceId};
use std::collections::BTreeMap;

/// One launch makes at most 500 instances, which is 5 pages.
const PAGES_MAX: usize = 20;

/// The pages that have come so far. Instances that come or go between two of them shift the rows of the
/// later one, so that one is left out although there are as many as are announced. Who takes what was found
/// for all there is would launch again: such pages are an error, and who asked looks again.
#[derive(Debug, Default)]
pub struct FoundPages {
    found: BTreeMap<InstanceId, InstanceDetail>,
    /// How many the first page announced.
    total: Option<usize>,
    pages: usize,
}

impl FoundPages {
    /// Where the next page begins.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.found.len()
    }

    /// Takes the next page; whether nothing is left to ask for.
    ///
    /// # Errors
    /// [`Fault::MalformedAnswer`] when the pages hold less than they announce, or do not fit together, and
    /// [`Fault::AnswerTooLarge`] when they have no end.
    pub fn take(&mut self, page: Page<InstanceDetail>) -> Result<bool, CloudError> {
        self.pages += 1;
        let total = *self.total.get_or_insert(page.total);
        let empty = page.instances.is_empty();
        let expected = self.found.len() + page.instances.len();
        let by_id = page.instances.into_iter().map(|i| (i.id.clone(), i));
        self.found.extend(by_id);
        if page.total != total || self.found.len() != expected {
            let message = "instances came or went between the pages";
            return Err(Fault::MalformedAnswer.error(message));
        }
        if self.found.len() >= total {
            return Ok(true);
        }
        if empty {
            let message = "the pages hold fewer instances than TotalCount";
            return Err(Fault::MalformedAnswer.error(message));
        }
        if self.pages >= PAGES_MAX {
            let message = format!("more than {PAGES_MAX} pages carry the tag");
            return Err(Fault::AnswerTooLarge.error(message));
        }
        Ok(false)
    }

    /// What the pages hold, in the order of the ids.
    #[must_use]
    pub fn into_instances(self) -> Vec<InstanceDetail> {
        self.found.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::InstanceState;

    fn page(numbers: std::ops::Range<usize>, total: usize) -> Page<InstanceDetail> {
        let instance = |number| InstanceDetail {
            id: InstanceId::parse(&format!("ins-{number}")).unwrap(),
            state: InstanceState::Running,
            name: String::new(),
            zone: String::new(),
            instance_type: String::new(),
            private_ip_addresses: Vec::new(),
            public_ip_addresses: Vec::new(),
            latest_operation_error: String::new(),
        };
        Page {
            instances: numbers.map(instance).collect(),
            total,
        }
    }

    #[test]
    fn only_pages_that_fit_together_are_all_there_is() {
        let mut pages = FoundPages::default();
        assert_eq!(pages.take(page(0..100, 150)), Ok(false));
        assert_eq!(pages.offset(), 100);
        assert_eq!(pages.take(page(100..150, 150)), Ok(true));
        assert_eq!(pages.into_instances().len(), 150);
        // One went, so that number 100 is on no page; one came; one is there twice; there are fewer.
        for second in [
            page(101..150, 149),
            page(99..150, 151),
            page(99..149, 150),
            page(100..100, 150),
        ] {
            let mut pages = FoundPages::default();
            assert_eq!(pages.take(page(0..100, 150)), Ok(false));
            let error = pages.take(second).unwrap_err();
            assert_eq!(error.code, Fault::MalformedAnswer.as_str());
        }
    }
}
