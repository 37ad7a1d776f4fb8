//! Tags that the caller wants on its machines.

use super::{RESERVED_TAG_PREFIX, characters};
use crate::domain::spec::{Tag, TagSpecification};
use crate::domain::violation::Violations;
use std::collections::BTreeSet;

/// The cloud takes 50 on a machine, and one is the gateway's.
const TAGS_MAX: usize = 49;
/// The bounds of the cloud's identity service, the widest that its pages give.
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 256;

pub(super) fn check(specifications: &[TagSpecification], out: &mut Violations) {
    let count: usize = specifications.iter().map(|of| of.tags.len()).sum();
    out.unless(count <= TAGS_MAX, "spec.tag_specification", || {
        format!("must hold at most {TAGS_MAX} tags, not {count}")
    });
    for (index, specification) in specifications.iter().enumerate() {
        let field = format!("spec.tag_specification[{index}]");
        let kind = format!("{field}.resource_type");
        out.unless(specification.resource_type == "instance", &kind, || {
            "must be instance".to_owned()
        });
        out.unless(index == 0, &kind, || {
            "is there twice: put all its tags into one".to_owned()
        });
        let tags = format!("{field}.tags");
        out.unless(!specification.tags.is_empty(), &tags, || {
            "is required".to_owned()
        });
        check_tags(&specification.tags, &tags, out);
    }
}

fn check_tags(tags: &[Tag], field: &str, out: &mut Violations) {
    let mut keys = BTreeSet::new();
    for (index, Tag { key, value }) in tags.iter().enumerate() {
        let field = |name: &str| format!("{field}[{index}].{name}");
        let length = characters(key);
        let sound = (1..=KEY_MAX).contains(&length) && is_printable(key);
        out.unless(sound, &field("key"), || {
            format!("must be 1 to {KEY_MAX} printable characters")
        });
        let own = key.starts_with(RESERVED_TAG_PREFIX);
        out.unless(!own, &field("key"), || {
            format!("must not begin with {RESERVED_TAG_PREFIX}, which is the gateway's")
        });
        out.unless(keys.insert(key), &field("key"), || {
            "is there twice".to_owned()
        });
        let sound = characters(value) <= VALUE_MAX && is_printable(value);
        out.unless(sound, &field("value"), || {
            format!("must be at most {VALUE_MAX} printable characters")
        });
    }
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
