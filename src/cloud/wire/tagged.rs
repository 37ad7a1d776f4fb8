//! Lists of tagged instances: what is asked, what is read, and when the pages are complete.

use super::{Answer, Page, PageSize, Rows, body, instance_id, page, state, text};
use crate::cloud::{CloudError, Fault, Tagged};
use crate::domain::instance::InstanceId;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime};

/// 200,000 instances: more than the largest accounts have in a region.
const PAGES_MAX: usize = 2000;
/// How often the pages are gone over before they count as incomplete: those that are launched
/// meanwhile shift the others.
const PASSES_MAX: usize = 3;

/// The pages that have come so far. They may leave an instance out when others come or go between two of
/// them: whole regions are never still for so many pages, and who lists them takes nothing for gone that a
/// question by its id finds.
#[derive(Debug, Default)]
pub struct TaggedPages {
    /// By id: pages shift under a reader when instances come and go.
    found: BTreeMap<InstanceId, Tagged>,
    offset: usize,
    pages: usize,
    passes: usize,
    size: PageSize,
}

impl TaggedPages {
    /// What the next page is asked for.
    #[must_use]
    pub fn next(&self) -> Rows {
        self.size.from(self.offset)
    }

    /// Takes the next page; whether nothing is left to ask for. One that is too large is asked for anew, shorter;
    /// those after it may be longer again, for not all instances of a region are alike.
    ///
    /// # Errors
    /// Why there is no page; [`Fault::MalformedAnswer`] when the pages hold less than they announce, and
    /// [`Fault::AnswerTooLarge`] when they have no end.
    pub fn take(&mut self, page: Result<Page<Tagged>, CloudError>) -> Result<bool, CloudError> {
        let first = self.offset == 0 && self.passes == 0;
        let Some(page) = self.size.fit(page, first)? else {
            return Ok(false);
        };
        self.pages += 1;
        self.size.grow();
        self.offset += page.instances.len();
        let last = page.instances.is_empty() || self.offset >= page.total;
        let by_id = page.instances.into_iter().map(|i| (i.id.clone(), i));
        self.found.extend(by_id);
        if self.found.len() >= page.total {
            return Ok(true);
        }
        if self.pages >= PAGES_MAX {
            let message = format!("more than {PAGES_MAX} pages carry the tag");
            return Err(Fault::AnswerTooLarge.error(message));
        }
        if last {
            self.offset = 0;
            self.passes += 1;
        }
        if self.passes >= PASSES_MAX {
            let message = "the pages hold fewer instances than TotalCount";
            return Err(Fault::MalformedAnswer.error(message));
        }
        Ok(false)
    }

    /// What the pages hold, in the order of the ids.
    #[must_use]
    pub fn into_instances(self) -> Vec<Tagged> {
        self.found.into_values().collect()
    }
}

/// The body that asks for the instances with a tag of that key, those `rows`.
#[must_use]
pub fn by_tag_key(key: &str, rows: Rows) -> Vec<u8> {
    body(&json!({
        "Filters": [{ "Name": "tag-key", "Values": [key] }],
        "Offset": rows.offset,
        "Limit": rows.limit,
    }))
}

/// The members of a tagged instance; any may be null or missing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    instance_id: Option<String>,
    instance_state: Option<String>,
    created_time: Option<String>,
    tags: Option<Vec<Option<Tag>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: Option<String>,
    value: Option<String>,
}

/// Reads one page of the answer to `DescribeInstances`, of the instances with a tag of that key.
///
/// # Errors
/// The cloud's refusal, or [`Fault::MalformedAnswer`].
pub fn tagged_page(answer: &[u8], key: &str) -> Result<Answer<Page<Tagged>>, CloudError> {
    let read = |instance: Instance| instance.read(key);
    page(answer, read, |instance| &instance.id)
}

impl Instance {
    fn read(self, key: &str) -> Result<Tagged, &'static str> {
        let mut tags = self.tags.into_iter().flatten().flatten();
        let tag = tags.find(|tag| tag.key.as_deref() == Some(key));
        let created = self.created_time.as_deref();
        let created = created.and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok());
        Ok(Tagged {
            id: instance_id(&self.instance_id.unwrap_or_default())?,
            state: state(self.instance_state)?,
            value: text(tag.and_then(|tag| tag.value)),
            created: created.map(UtcDateTime::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::InstanceState;
    use time::macros::utc_datetime;

    fn page(numbers: std::ops::Range<usize>, total: usize) -> Page<Tagged> {
        let instance = |number| Tagged {
            id: InstanceId::parse(&format!("ins-{number}")).unwrap(),
            state: InstanceState::Running,
            value: String::new(),
            created: None,
        };
        Page {
            instances: numbers.map(instance).collect(),
            total,
        }
    }

    #[test]
    fn a_tagged_instance_is_read() {
        let answer = br#"{"Response":{"TotalCount":2,"InstanceSet":[
            {"InstanceId":"ins-1","InstanceState":"RUNNING","CreatedTime":"2026-01-02T03:04:05+08:00",
             "Tags":[null,{"Key":"team","Value":"web"},{"Key":"op","Value":"o-1"}]},
            {"InstanceId":"ins-2","InstanceState":"PENDING","CreatedTime":"soon","Tags":null}],
            "RequestId":"r"}}"#;
        let page = tagged_page(answer, "op").unwrap().value;
        assert_eq!(page.total, 2);
        let [first, second] = page.instances.try_into().unwrap();
        assert_eq!(first.value, "o-1");
        assert_eq!(first.created, Some(utc_datetime!(2026-01-01 19:04:05)));
        assert_eq!((second.value.as_str(), second.created), ("", None));
        let no_total = br#"{"Response":{"InstanceSet":[],"RequestId":"r"}}"#;
        assert!(tagged_page(no_total, "op").is_err());
    }

    #[test]
    fn a_hundred_thousand_instances_are_a_thousand_pages() {
        let mut pages = TaggedPages::default();
        let mut asked = 0;
        loop {
            let from = pages.next().offset;
            asked += 1;
            if pages.take(Ok(page(from..from + 100, 100_000))).unwrap() {
                break;
            }
        }
        assert_eq!((asked, pages.into_instances().len()), (1000, 100_000));
    }

    #[test]
    fn pages_that_shifted_are_gone_over_again() {
        let mut pages = TaggedPages::default();
        assert!(!pages.take(Ok(page(10..110, 150))).unwrap());
        // Ten were launched meanwhile, and come first.
        assert!(!pages.take(Ok(page(100..160, 160))).unwrap());
        assert_eq!(pages.next().offset, 0);
        assert!(pages.take(Ok(page(0..100, 160))).unwrap());
        assert_eq!(pages.into_instances().len(), 160);
    }

    #[test]
    fn incomplete_and_endless_pages_are_errors() {
        let mut pages = TaggedPages::default();
        for _ in 0..2 {
            assert_eq!(pages.take(Ok(page(0..2, 3))), Ok(false));
            assert_eq!(pages.take(Ok(page(2..2, 3))), Ok(false));
        }
        assert_eq!(pages.take(Ok(page(0..2, 3))), Ok(false));
        let error = pages.take(Ok(page(2..2, 3))).unwrap_err();
        assert_eq!(error.code, Fault::MalformedAnswer.as_str());

        let mut pages = TaggedPages::default();
        let error =
            (0..).find_map(|number| pages.take(Ok(page(number..number + 100, 999_999))).err());
        assert_eq!(error.unwrap().code, Fault::AnswerTooLarge.as_str());
    }

    #[test]
    fn a_few_long_instances_do_not_make_every_page_short() {
        let mut pages = TaggedPages::default();
        let mut limits = Vec::new();
        loop {
            let Rows { offset, limit } = pages.next();
            limits.push(limit);
            let rows = offset..(offset + limit).min(400);
            // Ten of them fit into an answer.
            let long = rows.clone().filter(|row| *row < 20).count();
            let answer = match long {
                0..=10 => Ok(page(rows, 400)),
                _ => Err(Fault::AnswerTooLarge.error("long")),
            };
            if pages.take(answer).unwrap() {
                break;
            }
        }
        let expected = [
            100, 50, 25, 12, 6, 6, 6, 6, 12, 12, 12, 12, 24, 24, 24, 24, 48, 48, 48, 48, 96,
        ];
        assert_eq!(limits, expected);
        assert_eq!(pages.into_instances().len(), 400);
    }
}
