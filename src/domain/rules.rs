//! The rules of RunInstances that can be judged without the cloud. Source of each: the cloud's API
//! page of RunInstances (API 2017-03-12), unless it says otherwise.
//!
//! What only the cloud knows is left to it: whether a thing exists, what a zone sells, what an
//! account may do, and the platform of an image.

mod billing;
mod disks;
mod guest;
mod login;
mod names;
mod network;
mod place;
mod tags;

pub use billing::share_of_host;

use crate::domain::names::Region;
use crate::domain::request::Alternative;
use crate::domain::spec::InstanceSpec;
use crate::domain::violation::Violations;
use time::UtcDateTime;

/// The larger of the two figures for instances of one launch that the cloud's pages give.
pub const INSTANCE_COUNT_MAX: u32 = 500;

/// Bounds that the organisation sets, because the cloud's own sources disagree or are wider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instances of one launch. The pages say 100 or 500.
    pub instance_count_max: u32,
    /// Characters of a display name. The pages say 60 or 128.
    pub instance_name_max: u32,
    /// Characters of a host name. The pages say 30 or 60.
    pub host_name_max: u32,
    /// Months of a prepaid instance. The pages end at 36 or at 60.
    pub prepaid_months_max: u32,
    /// Decoded bytes of user data. The pages say 16 KiB, and not whether before or after decoding.
    pub user_data_bytes_max: u32,
    /// What a specification must set, although the cloud has a default of its own for it.
    pub required: Vec<Required>,
    /// The regions that may be launched in. Empty: any.
    pub regions: Vec<String>,
}

impl Limits {
    /// As wide as they can be set.
    #[must_use]
    pub fn widest() -> Self {
        Self {
            instance_count_max: INSTANCE_COUNT_MAX,
            ..Self::default()
        }
    }
}

/// As wide as the cloud's pages have them, but for what one launch may cost.
impl Default for Limits {
    fn default() -> Self {
        Self {
            instance_count_max: 100,
            instance_name_max: 128,
            host_name_max: 60,
            prepaid_months_max: 60,
            user_data_bytes_max: 16 * 1024,
            required: Vec::new(),
            regions: Vec::new(),
        }
    }
}

/// A part of the specification that is left to the cloud when it is not set. The cloud's pages
/// disagree on what it then does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Otherwise S1.SMALL1, or what has stock.
    InstanceType,
    /// Otherwise the classic network, or the default one.
    VirtualPrivateCloud,
    /// Otherwise a password that is mailed, or none until it is reset.
    LoginSettings,
}

impl Required {
    /// Every one.
    pub const ALL: [Self; 3] = [
        Self::InstanceType,
        Self::VirtualPrivateCloud,
        Self::LoginSettings,
    ];

    /// The field of the specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InstanceType => "instance_type",
            Self::VirtualPrivateCloud => "virtual_private_cloud",
            Self::LoginSettings => "login_settings",
        }
    }

    /// Whether `spec` sets it, or what stands for it.
    fn is_in(self, spec: &InstanceSpec) -> bool {
        match self {
            Self::InstanceType => spec.instance_type.is_some(),
            Self::VirtualPrivateCloud => {
                spec.virtual_private_cloud.is_some() || !spec.network_interfaces.is_empty()
            }
            Self::LoginSettings => spec.login_settings.as_ref().is_some_and(login::chooses),
        }
    }
}

/// Tag keys with this prefix are the gateway's.
pub const RESERVED_TAG_PREFIX: &str = "cvm-gateway:";
/// Places besides the first that one launch may be tried in.
const ALTERNATIVES_MAX: usize = 10;
/// What a network or subnet is called that the cloud chooses.
const DEFAULT: &str = "DEFAULT";

/// Every rule that `spec` breaks in `region`, `now`.
#[must_use]
pub fn check(
    spec: &InstanceSpec,
    region: &Region,
    limits: &Limits,
    now: UtcDateTime,
) -> Violations {
    let mut out = Violations::default();
    let out_ref = &mut out;
    place::check(spec, region, limits, out_ref);
    place::check_counts(spec, limits, out_ref);
    billing::check(spec, limits, out_ref);
    names::check(spec, limits, out_ref);
    network::check(spec, out_ref);
    disks::check(spec, out_ref);
    if let Some(login) = &spec.login_settings {
        login::check(login, out_ref);
    }
    guest::check(spec, limits, now, out_ref);
    tags::check(&spec.tag_specification, out_ref);
    check_required(spec, limits, out_ref);
    out
}

/// Adds the rules that alternatives to `spec` break.
pub fn check_alternatives(
    spec: &InstanceSpec,
    alternatives: &[Alternative],
    region: &Region,
    out: &mut Violations,
) {
    let count = alternatives.len();
    out.unless(count <= ALTERNATIVES_MAX, "alternatives", || {
        format!("must be at most {ALTERNATIVES_MAX}, not {count}")
    });
    for (index, alternative) in alternatives.iter().enumerate() {
        let field = format!("alternatives[{index}]");
        let empty = *alternative == Alternative::default();
        out.unless(!empty, &field, || {
            "must set a zone, an instance_type or a subnet_id".to_owned()
        });
        place::check_alternative(spec, alternative, region, &field, out);
        if let Some(kind) = &alternative.instance_type {
            billing::check_type(spec, kind, &format!("{field}.instance_type"), out);
        }
    }
}

/// What a template may hold, it is not asked for here.
fn check_required(spec: &InstanceSpec, limits: &Limits, out: &mut Violations) {
    let template = spec.launch_template.is_some();
    for required in &limits.required {
        let set = template || required.is_in(spec);
        out.unless(set, &format!("spec.{}", required.name()), || {
            "is required by this gateway ([limits] required)".to_owned()
        });
    }
}

/// Adds that `value`, if set, is none of `words`.
fn check_word(value: Option<&str>, words: &[&str], field: &str, out: &mut Violations) {
    let known = value.is_none_or(|value| words.contains(&value));
    out.unless(known, field, || match words {
        [only] => format!("must be {only}"),
        _ => format!("must be one of {}", words.join(", ")),
    });
}

/// Adds that `id` is no id of that kind. Today's ids have 8 characters behind the hyphen; how many
/// are sound is the cloud's to say.
fn check_id(id: &str, kind: &str, field: &str, out: &mut Violations) {
    out.unless(is_id(id, kind), field, || {
        format!("must be an id such as {kind}-1a2b3c4d")
    });
}

/// The same for a list, and that nothing is in it twice.
fn check_ids(ids: &[String], kind: &str, field: &str, out: &mut Violations) {
    for (index, id) in ids.iter().enumerate() {
        check_id(id, kind, &format!("{field}[{index}]"), out);
    }
    check_unique(ids, field, out);
}

fn check_unique(values: &[String], field: &str, out: &mut Violations) {
    let mut seen = std::collections::BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        out.unless(seen.insert(value), &format!("{field}[{index}]"), || {
            "is there twice".to_owned()
        });
    }
}

/// `kind`, a hyphen and lower-case letters or digits.
fn is_id(text: &str, kind: &str) -> bool {
    let rest = text.strip_prefix(kind);
    let rest = rest.and_then(|rest| rest.strip_prefix('-'));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Characters, where the cloud counts them.
fn characters(text: &str) -> usize {
    text.chars().count()
}

fn size(bound: u32) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
