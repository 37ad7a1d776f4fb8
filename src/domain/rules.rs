//! The rules of RunInstances that can be judged without the cloud. Source of each: the cloud's API
//! page of RunInstances (API 2017-03-12), unless it says otherwise.

use crate::domain::names::Region;
use crate::domain::request::Alternative;
use crate::domain::secret::Secret;
use crate::domain::spec::{InstanceSpec, LoginSettings, TagSpecification};
use crate::domain::violation::Violations;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Bounds that the organisation sets, because the cloud's own sources disagree or are wider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instances of one launch. The pages say 100 or 500.
    pub instance_count_max: u32,
    /// The regions that may be launched in. Empty: any.
    pub regions: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instance_count_max: 100,
            regions: Vec::new(),
        }
    }
}

/// Tag keys with this prefix are the gateway's.
pub const RESERVED_TAG_PREFIX: &str = "cvm-gateway:";
/// Decoded user data, in bytes.
const USER_DATA_BYTES_MAX: usize = 16 * 1024;
/// Display name, in characters, patterns included.
const INSTANCE_NAME_MAX: usize = 128;
/// Addresses that can be fixed in one launch.
const PRIVATE_IPS_MAX: usize = 20;
/// Disks besides the system disk.
const DATA_DISKS_MAX: usize = 21;
/// Places besides the first that one launch may be tried in.
const ALTERNATIVES_MAX: usize = 10;
/// What a password may contain besides letters and digits.
const PASSWORD_SPECIALS: &str = "()`~!@#$%^&*-+=|{}[]:;',.?/";

/// Every rule that `spec` breaks in `region`.
#[must_use]
pub fn check(spec: &InstanceSpec, region: &Region, limits: &Limits) -> Violations {
    let mut out = Violations::default();
    check_place(spec, region, limits, &mut out);
    check_counts(spec, limits, &mut out);
    check_billing(spec, &mut out);
    check_names(spec, &mut out);
    check_network(spec, &mut out);
    check_disks(spec, &mut out);
    if let Some(login) = &spec.login_settings {
        check_login(login, &mut out);
    }
    if let Some(user_data) = &spec.user_data {
        check_user_data(user_data, &mut out);
    }
    check_tags(&spec.tag_specification, &mut out);
    check_topology(spec, &mut out);
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
    let placed = spec.virtual_private_cloud.is_some();
    for (index, alternative) in alternatives.iter().enumerate() {
        let field = |name: &str| format!("alternatives[{index}]{name}");
        let empty = *alternative == Alternative::default();
        out.unless(!empty, &field(""), || {
            "must set a zone, an instance_type or a subnet_id".to_owned()
        });
        if let Some(zone) = &alternative.zone {
            out.unless(is_zone_of(zone, region), &field(".zone"), || {
                format!("must be a zone of the region {region}, such as {region}-1")
            });
        }
        let moved = alternative.zone.is_some() && alternative.subnet_id.is_none();
        out.unless(!(placed && moved), &field(".subnet_id"), || {
            "is required with a zone, for a subnet is in one zone only".to_owned()
        });
        let anchored = alternative.subnet_id.is_none() || placed;
        out.unless(anchored, &field(".subnet_id"), || {
            "needs spec.virtual_private_cloud, whose subnet it replaces".to_owned()
        });
    }
}

fn is_zone_of(zone: &str, region: &Region) -> bool {
    let rest = zone.strip_prefix(region.as_str());
    rest.is_some_and(|rest| rest.starts_with('-'))
}

fn check_place(spec: &InstanceSpec, region: &Region, limits: &Limits, out: &mut Violations) {
    let regions = &limits.regions;
    let known = regions.is_empty() || regions.iter().any(|known| known == region.as_str());
    out.unless(known, "region", || {
        format!(
            "{region} is not one of the regions that this gateway launches in: {}",
            regions.join(", ")
        )
    });
    let template = spec.launch_template.is_some();
    let unless_template = || "is required unless spec.launch_template is set".to_owned();
    out.unless(
        template || spec.placement.is_some(),
        "spec.placement",
        unless_template,
    );
    out.unless(
        template || spec.image_id.is_some(),
        "spec.image_id",
        unless_template,
    );
    let zone = spec
        .placement
        .as_ref()
        .map_or("", |placement| &placement.zone);
    out.unless(
        zone.is_empty() || is_zone_of(zone, region),
        "spec.placement.zone",
        || format!("must be a zone of the region {region}, such as {region}-1"),
    );
}

fn check_counts(spec: &InstanceSpec, limits: &Limits, out: &mut Violations) {
    let max = i64::from(limits.instance_count_max);
    let count = spec.instance_count.unwrap_or(1);
    out.unless((1..=max).contains(&count), "spec.instance_count", || {
        format!("must be 1 to {max}, not {count}")
    });
    if let Some(min) = spec.min_count {
        out.unless((1..=count).contains(&min), "spec.min_count", || {
            format!("must be 1 to the instance_count {count}, not {min}")
        });
    }
    let groups = spec.disaster_recover_group_ids.len();
    out.unless(groups <= 1, "spec.disaster_recover_group_ids", || {
        format!("must be one placement group at most, not {groups}")
    });
}

fn check_billing(spec: &InstanceSpec, out: &mut Violations) {
    if spec.instance_charge_type.as_deref() == Some("PREPAID") {
        out.unless(
            spec.instance_charge_prepaid.is_some(),
            "spec.instance_charge_prepaid",
            || "is required when instance_charge_type is PREPAID".to_owned(),
        );
    }
    if let Some(prepaid) = &spec.instance_charge_prepaid {
        let period = prepaid.period;
        let offered = (1..=12).contains(&period) || [24, 36, 48, 60].contains(&period);
        out.unless(offered, "spec.instance_charge_prepaid.period", || {
            format!("must be 1 to 12, 24, 36, 48 or 60 months, not {period}")
        });
    }
    if let Some(options) = &spec.instance_market_options {
        let price = &options.spot_options.max_price;
        let decimal = price
            .parse::<f64>()
            .is_ok_and(|amount| amount.is_finite() && amount > 0.0);
        out.unless(
            price.is_empty() || decimal,
            "spec.instance_market_options.spot_options.max_price",
            || "must be a positive decimal number as text, such as \"0.12\"".to_owned(),
        );
    }
}

fn check_names(spec: &InstanceSpec, out: &mut Violations) {
    if let Some(name) = &spec.instance_name {
        let length = name.chars().count();
        out.unless(length <= INSTANCE_NAME_MAX, "spec.instance_name", || {
            format!("must be at most {INSTANCE_NAME_MAX} characters, not {length}")
        });
    }
    if let Some(name) = &spec.host_name {
        let doubled = ["..", "--", ".-", "-."]
            .iter()
            .any(|pair| name.contains(pair));
        let edges = name.starts_with(['.', '-']) || name.ends_with(['.', '-']);
        let length = (2..=60).contains(&name.chars().count());
        out.unless(!doubled && !edges && length, "spec.host_name", || {
            "must be 2 to 60 characters, without . or - at an end or next to each other".to_owned()
        });
    }
}

fn check_network(spec: &InstanceSpec, out: &mut Violations) {
    let Some(network) = &spec.virtual_private_cloud else {
        return;
    };
    let (vpc, subnet) = (network.vpc_id == "DEFAULT", network.subnet_id == "DEFAULT");
    out.unless(
        vpc == subnet,
        "spec.virtual_private_cloud.subnet_id",
        || "must be DEFAULT when, and only when, vpc_id is".to_owned(),
    );
    let addresses = network.private_ip_addresses.len();
    let count = usize::try_from(spec.instance_count.unwrap_or(1)).unwrap_or(0);
    let fits = addresses == 0 || (addresses == count && addresses <= PRIVATE_IPS_MAX);
    out.unless(
        fits,
        "spec.virtual_private_cloud.private_ip_addresses",
        || {
            format!(
                "must be as many as instance_count and at most {PRIVATE_IPS_MAX}, not {addresses}"
            )
        },
    );
}

fn check_disks(spec: &InstanceSpec, out: &mut Violations) {
    let disks = spec.data_disks.len();
    out.unless(disks <= DATA_DISKS_MAX, "spec.data_disks", || {
        format!("must be at most {DATA_DISKS_MAX}, not {disks}")
    });
    for (index, disk) in spec.data_disks.iter().enumerate() {
        let size = disk.disk_size;
        let field = format!("spec.data_disks[{index}].disk_size");
        out.unless(size >= 0 && size % 10 == 0, &field, || {
            format!("must be a multiple of 10 GiB, not {size}")
        });
    }
}

fn check_login(login: &LoginSettings, out: &mut Violations) {
    let keep = login.keep_image_login.as_deref();
    out.unless(
        matches!(keep, None | Some("true" | "false")),
        "spec.login_settings.keep_image_login",
        || "must be \"true\" or \"false\", as text".to_owned(),
    );
    let ways = [
        login.password.is_some(),
        !login.key_ids.is_empty(),
        keep == Some("true"),
    ];
    let chosen = ways.into_iter().filter(|way| *way).count();
    out.unless(chosen <= 1, "spec.login_settings", || {
        "password, key_ids and keep_image_login exclude each other: set one".to_owned()
    });
    if let Some(password) = &login.password {
        check_password(password, out);
    }
}

/// The weaker rule, that of Linux: the door does not know the image's platform. The cloud judges
/// by the stronger one where the image is Windows.
fn check_password(password: &Secret, out: &mut Violations) {
    let field = "spec.login_settings.password";
    let text = password.expose();
    let length = text.chars().count();
    out.unless((8..=30).contains(&length), field, || {
        format!("must be 8 to 30 characters (Windows: 12 to 30), not {length}")
    });
    let classes: [fn(char) -> bool; 4] = [
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_uppercase(),
        |c| c.is_ascii_digit(),
        |c| PASSWORD_SPECIALS.contains(c),
    ];
    let used = classes
        .iter()
        .filter(|class| text.chars().any(class))
        .count();
    out.unless(used >= 2, field, || {
        format!(
            "must mix at least 2 (Windows: 3) of a-z, A-Z, 0-9 and {PASSWORD_SPECIALS}, not {used}"
        )
    });
    let legal = text.chars().all(|c| classes.iter().any(|class| class(c)));
    out.unless(legal, field, || {
        format!("must consist of a-z, A-Z, 0-9 and {PASSWORD_SPECIALS} only")
    });
}

fn check_user_data(user_data: &Secret, out: &mut Violations) {
    let field = "spec.user_data";
    match BASE64_STANDARD.decode(user_data.expose()) {
        Ok(bytes) => out.unless(bytes.len() <= USER_DATA_BYTES_MAX, field, || {
            format!(
                "must decode to at most {USER_DATA_BYTES_MAX} bytes, not {}",
                bytes.len()
            )
        }),
        Err(_not_base64) => out.add(field, "must be base64 (standard alphabet, padded)"),
    }
}

fn check_tags(specifications: &[TagSpecification], out: &mut Violations) {
    let mut kinds = std::collections::BTreeSet::new();
    for (index, specification) in specifications.iter().enumerate() {
        let field = format!("spec.tag_specification[{index}]");
        let (kind, tags) = (&specification.resource_type, &specification.tags);
        out.unless(
            kinds.insert(kind),
            &format!("{field}.resource_type"),
            || "is there twice: put all its tags into one".to_owned(),
        );
        out.unless(!tags.is_empty(), &format!("{field}.tags"), || {
            "is required".to_owned()
        });
        let mut keys = std::collections::BTreeSet::new();
        for (tag_index, tag) in specification.tags.iter().enumerate() {
            let field = format!("spec.tag_specification[{index}].tags[{tag_index}].key");
            out.unless(!tag.key.starts_with(RESERVED_TAG_PREFIX), &field, || {
                format!("must not begin with {RESERVED_TAG_PREFIX}, which is the gateway's")
            });
            out.unless(keys.insert(&tag.key), &field, || {
                "is there twice".to_owned()
            });
        }
    }
}

fn check_topology(spec: &InstanceSpec, out: &mut Violations) {
    if let Some(topology) = &spec.cpu_topology {
        let both = topology.core_count.is_some() == topology.thread_per_core.is_some();
        out.unless(both, "spec.cpu_topology", || {
            "core_count and thread_per_core must be set both or neither".to_owned()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::spec::{
        CpuTopology, DataDisk, InstanceChargePrepaid, InstanceMarketOptions, Placement,
        SpotMarketOptions, Tag, VirtualPrivateCloud,
    };

    fn minimal() -> InstanceSpec {
        InstanceSpec {
            placement: Some(Placement {
                zone: "ap-shanghai-2".to_owned(),
                ..Placement::default()
            }),
            image_id: Some("img-pmqg1cw7".to_owned()),
            ..InstanceSpec::default()
        }
    }

    fn broken(change: impl FnOnce(&mut InstanceSpec)) -> Vec<String> {
        let mut spec = minimal();
        change(&mut spec);
        let region = Region::parse("ap-shanghai").unwrap();
        let limits = Limits {
            regions: vec!["ap-shanghai".to_owned()],
            ..Limits::default()
        };
        let violations = check(&spec, &region, &limits);
        violations
            .0
            .into_iter()
            .map(|violation| violation.field)
            .collect()
    }

    fn password(text: &str) -> Vec<String> {
        broken(|spec| {
            spec.login_settings = Some(LoginSettings {
                password: Some(Secret::new(text.to_owned())),
                ..LoginSettings::default()
            });
        })
    }

    fn user_data(text: &str) -> Vec<String> {
        broken(|spec| spec.user_data = Some(Secret::new(text.to_owned())))
    }

    #[test]
    fn a_minimal_specification_keeps_every_rule() {
        assert_eq!(broken(|_| ()), [""; 0]);
    }

    #[test]
    fn counts() {
        for (count, ok) in [
            (1, true),
            (100, true),
            (0, false),
            (-1, false),
            (101, false),
            (i64::MAX, false),
        ] {
            let fields = broken(|spec| spec.instance_count = Some(count));
            assert_eq!(fields.is_empty(), ok, "{count}");
        }
        let fields = broken(|spec| {
            spec.instance_count = Some(2);
            spec.min_count = Some(3);
        });
        assert_eq!(fields, ["spec.min_count"]);
    }

    #[test]
    fn places() {
        let zone = |zone: &str| {
            broken(|spec| {
                spec.placement = Some(Placement {
                    zone: zone.to_owned(),
                    ..Placement::default()
                })
            })
        };
        assert_eq!(zone("ap-beijing-1"), ["spec.placement.zone"]);
        assert_eq!(zone("ap-shanghai"), ["spec.placement.zone"]);
        assert_eq!(broken(|spec| spec.placement = None), ["spec.placement"]);
        assert_eq!(broken(|spec| spec.image_id = None), ["spec.image_id"]);
        let elsewhere = check(
            &minimal(),
            &Region::parse("ap-beijing").unwrap(),
            &Limits {
                regions: vec!["ap-shanghai".to_owned()],
                ..Limits::default()
            },
        );
        assert_eq!(elsewhere.0[0].field, "region");
        assert!(elsewhere.0[0].message.contains("ap-shanghai"));
    }

    #[test]
    fn passwords() {
        for text in [
            "Qcloud@TestApi123++",
            "abcdefg1",
            "ABC-----",
            "a1234567890123456789012345678b",
        ] {
            assert_eq!(password(text), [""; 0], "{text}");
        }
        for text in [
            "short1",
            "a123456789012345678901234567890",
            "aaaaaaaa",
            "12345678",
            "abc defg1",
            "pässword1",
        ] {
            assert!(!password(text).is_empty(), "{text}");
        }
        let spec = InstanceSpec {
            login_settings: Some(LoginSettings {
                password: Some(Secret::new("hunter2".to_owned())),
                ..LoginSettings::default()
            }),
            ..minimal()
        };
        let told = check(
            &spec,
            &Region::parse("ap-shanghai").unwrap(),
            &Limits::default(),
        );
        assert!(!told.to_string().contains("hunter2"), "{told}");
    }

    #[test]
    fn logins_exclude_each_other() {
        let fields = broken(|spec| {
            spec.login_settings = Some(LoginSettings {
                password: Some(Secret::new("Qcloud@TestApi123++".to_owned())),
                key_ids: vec!["skey-1".to_owned()],
                keep_image_login: None,
            });
        });
        assert_eq!(fields, ["spec.login_settings"]);
        let fields = broken(|spec| {
            spec.login_settings = Some(LoginSettings {
                keep_image_login: Some("yes".to_owned()),
                ..LoginSettings::default()
            });
        });
        assert_eq!(fields, ["spec.login_settings.keep_image_login"]);
    }

    #[test]
    fn user_data_is_base64_of_at_most_16_kib() {
        let encoded = |bytes: usize| BASE64_STANDARD.encode(vec![b'x'; bytes]);
        assert_eq!(user_data(&encoded(16 * 1024)), [""; 0]);
        assert_eq!(user_data(&encoded(16 * 1024 + 1)), ["spec.user_data"]);
        assert_eq!(user_data("#!/bin/sh"), ["spec.user_data"]);
    }

    #[test]
    fn names_and_billing() {
        let prepaid = |period| InstanceChargePrepaid {
            period,
            renew_flag: None,
        };
        let bid = |max_price: &str| InstanceMarketOptions {
            spot_options: SpotMarketOptions {
                max_price: max_price.to_owned(),
                spot_instance_type: None,
            },
            market_type: None,
        };
        let groups = vec!["ps-1".to_owned(), "ps-2".to_owned()];
        let half = CpuTopology {
            core_count: Some(2),
            thread_per_core: None,
        };
        let rows = [
            (
                "spec.disaster_recover_group_ids",
                broken(|s| s.disaster_recover_group_ids = groups),
            ),
            (
                "spec.instance_charge_prepaid",
                broken(|s| s.instance_charge_type = Some("PREPAID".to_owned())),
            ),
            (
                "spec.instance_charge_prepaid.period",
                broken(|s| s.instance_charge_prepaid = Some(prepaid(13))),
            ),
            (
                "spec.instance_market_options.spot_options.max_price",
                broken(|s| s.instance_market_options = Some(bid("cheap"))),
            ),
            (
                "spec.instance_name",
                broken(|s| s.instance_name = Some("x".repeat(129))),
            ),
            (
                "spec.host_name",
                broken(|s| s.host_name = Some("-web".to_owned())),
            ),
            (
                "spec.host_name",
                broken(|s| s.host_name = Some("we..b".to_owned())),
            ),
            ("spec.cpu_topology", broken(|s| s.cpu_topology = Some(half))),
        ];
        for (field, fields) in rows {
            assert_eq!(fields, [field]);
        }
    }

    #[test]
    fn networks_and_disks() {
        let network = |vpc: &str, subnet: &str, addresses: usize| VirtualPrivateCloud {
            vpc_id: vpc.to_owned(),
            subnet_id: subnet.to_owned(),
            private_ip_addresses: vec!["10.0.0.1".to_owned(); addresses],
            ..VirtualPrivateCloud::default()
        };
        let disk = |disk_size| DataDisk {
            disk_size,
            ..DataDisk::default()
        };
        let rows = [
            (
                "spec.virtual_private_cloud.subnet_id",
                broken(|s| s.virtual_private_cloud = Some(network("DEFAULT", "subnet-1", 0))),
            ),
            (
                "spec.virtual_private_cloud.private_ip_addresses",
                broken(|s| s.virtual_private_cloud = Some(network("vpc-1", "subnet-1", 2))),
            ),
            (
                "spec.data_disks",
                broken(|s| s.data_disks = vec![disk(0); 22]),
            ),
            (
                "spec.data_disks[0].disk_size",
                broken(|s| s.data_disks = vec![disk(15)]),
            ),
        ];
        for (field, fields) in rows {
            assert_eq!(fields, [field]);
        }
    }

    #[test]
    fn tags() {
        let tag = |key: &&str| Tag {
            key: (*key).to_owned(),
            value: String::new(),
        };
        let specification = |keys: &[&str]| TagSpecification {
            resource_type: "instance".to_owned(),
            tags: keys.iter().map(tag).collect(),
        };
        let tagged =
            |keys: &[&str]| broken(|spec| spec.tag_specification = vec![specification(keys)]);
        assert_eq!(tagged(&["a", "b"]), [""; 0]);
        assert_eq!(
            tagged(&["cvm-gateway:x"]),
            ["spec.tag_specification[0].tags[0].key"]
        );
        assert_eq!(
            tagged(&["a", "a"]),
            ["spec.tag_specification[0].tags[1].key"]
        );
        assert_eq!(tagged(&[]), ["spec.tag_specification[0].tags"]);
        let twice = vec![specification(&["a"]), specification(&["b"])];
        assert_eq!(
            broken(|spec| spec.tag_specification = twice),
            ["spec.tag_specification[1].resource_type"]
        );
    }
}
