//! The pages of a look-up by tag, and whether they are all that there is.

use super::{Page, PageSize, Rows};
use crate::cloud::{CloudError, Fault};
use crate::domain::instance::{InstanceDetail, InstanceId};
use std::collections::BTreeMap;

/// One launch makes at most 500 instances; each page brings one of them at least.
const INSTANCES_MAX: usize = 2000;

/// The pages that have come so far. Instances that come or go between two of them shift the rows of the
/// later one, so that one is left out although there are as many as are announced. Who takes what was found
/// for all there is would launch again: such pages are an error, and who asked looks again.
#[derive(Debug, Default)]
pub struct FoundPages {
    found: BTreeMap<InstanceId, InstanceDetail>,
    /// How many the first page announced.
    total: Option<usize>,
    size: PageSize,
}

impl FoundPages {
    /// What the next page is asked for.
    #[must_use]
    pub fn next(&self) -> Rows {
        self.size.from(self.found.len())
    }

    /// Takes the next page; whether nothing is left to ask for. One that is too large is asked for anew, shorter.
    ///
    /// # Errors
    /// Why there is no page; [`Fault::MalformedAnswer`] when the pages hold less than they announce, or do not fit
    /// together, and [`Fault::AnswerTooLarge`] when they announce more than a launch makes.
    pub fn take(
        &mut self,
        page: Result<Page<InstanceDetail>, CloudError>,
    ) -> Result<bool, CloudError> {
        let Some(page) = self.size.fit(page, self.total.is_none())? else {
            return Ok(false);
        };
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
        if total > INSTANCES_MAX {
            let message = format!("more than {INSTANCES_MAX} instances carry the tag");
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
        assert_eq!(pages.take(Ok(page(0..100, 150))), Ok(false));
        assert_eq!(pages.next().offset, 100);
        assert_eq!(pages.take(Ok(page(100..150, 150))), Ok(true));
        assert_eq!(pages.into_instances().len(), 150);
        // One went, so that number 100 is on no page; one came; one is there twice; there are fewer.
        for second in [
            page(101..150, 149),
            page(99..150, 151),
            page(99..149, 150),
            page(100..100, 150),
        ] {
            let mut pages = FoundPages::default();
            assert_eq!(pages.take(Ok(page(0..100, 150))), Ok(false));
            let error = pages.take(Ok(second)).unwrap_err();
            assert_eq!(error.code, Fault::MalformedAnswer.as_str());
        }
    }

    #[test]
    fn pages_that_are_too_large_are_asked_for_in_parts() {
        let too_large = || Err(Fault::AnswerTooLarge.error("long"));
        let mut pages = FoundPages::default();
        let mut asked = Vec::new();
        loop {
            let Rows { offset, limit } = pages.next();
            asked.push((offset, limit));
            let answer = match limit {
                0..=40 => Ok(page(offset..(offset + limit).min(60), 60)),
                _ => too_large(),
            };
            if pages.take(answer).unwrap() {
                break;
            }
        }
        assert_eq!(asked, [(0, 100), (0, 50), (0, 25), (25, 25), (50, 25)]);
        assert_eq!(pages.into_instances().len(), 60);

        let mut pages = FoundPages::default();
        for limit in [100, 50, 25, 12, 6, 3] {
            assert_eq!(pages.next().limit, limit);
            assert_eq!(pages.take(too_large()), Ok(false));
        }
        assert_eq!(pages.next().limit, 1);
        assert_eq!(pages.take(Ok(page(0..1, 2))), Ok(false));
        let error = pages.take(too_large()).unwrap_err();
        assert_eq!(error.code, Fault::AnswerTooLarge.as_str(), "one is one");
    }
}
