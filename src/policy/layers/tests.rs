//! What layers make of launches, and what is wrong with those that are refused.

use super::field::FIELDS;
use super::value::Kind;
use super::*;
use crate::domain::ids::{OrganizationId, RequestId};
use crate::domain::operation::OnFailure;
use crate::domain::request::Alternative;
use crate::domain::secret::Secret;
use crate::domain::spec::{
    ActionTimer, DataDisk, InstanceSpec, InternetAccessible, LaunchTemplate, Placement,
    TagSpecification, VirtualPrivateCloud,
};
use crate::pb::DESCRIPTOR;
use prost_reflect::{DescriptorPool, Kind as ProtoKind, MessageDescriptor};
use std::collections::BTreeSet;
use time::macros::utc_datetime;

const NOW: UtcDateTime = utc_datetime!(2026-11-28 22:30);
const HEAD: &str = "level = \"organization\"\norganization = \"acme\"\n";

fn file(name: &str, text: &str) -> RuleFile {
    RuleFile {
        name: format!("layers/{name}.toml"),
        text: text.to_owned(),
    }
}

fn layers(files: &[(&str, &str)]) -> Layers {
    let files = files.iter().map(|(name, text)| file(name, text));
    Layers::parse(&files.collect::<Vec<_>>()).unwrap()
}

fn wish(spec: InstanceSpec) -> Wish {
    Wish {
        request_id: RequestId::parse("r").unwrap(),
        account: None,
        region: Region::parse("ap-shanghai").unwrap(),
        spec,
        alternatives: Vec::new(),
        on_failure: OnFailure::Keep,
    }
}

fn principal() -> Principal {
    Principal {
        name: "spiffe://acme/ns/web/sa/deployer".to_owned(),
        organization: OrganizationId::parse("acme").unwrap(),
    }
}

fn apply(layers: &Layers, wish: &mut Wish) -> Applied {
    let (principal, account) = (principal(), AccountName::parse("main").unwrap());
    let launch = Launch {
        principal: &principal,
        account: &account,
        from: NOW,
    };
    layers.apply(launch, wish)
}

/// What the one layer of the organisation makes of `spec`: the changes as text, and what is unmet.
fn run(text: &str, spec: InstanceSpec) -> (Wish, Vec<String>, Vec<String>) {
    let layers = layers(&[("acme", &format!("{HEAD}{text}"))]);
    let mut wish = wish(spec);
    let Applied { changes, unmet } = apply(&layers, &mut wish);
    let changes = changes.iter();
    let changes = changes.map(|of| format!("{} {}>{}", of.field, of.before, of.after));
    let unmet = unmet.iter().map(|unmet| {
        let violation = &unmet.violation;
        assert_eq!(unmet.rule, "layer:acme");
        format!("{} {}", violation.field, violation.message)
    });
    (wish, changes.collect(), unmet.collect())
}

fn changes(text: &str, spec: InstanceSpec) -> Vec<String> {
    let (_, changes, unmet) = run(text, spec);
    assert_eq!(unmet, [""; 0], "{text}");
    changes
}

fn unmet(text: &str, spec: InstanceSpec) -> Vec<String> {
    let (_, changes, unmet) = run(text, spec);
    assert_eq!(changes, [""; 0], "{text}");
    unmet
}

/// The paths of all fields below a message that have a value of their own.
fn paths(message: &MessageDescriptor, above: &str, out: &mut BTreeSet<String>) {
    for field in message.fields() {
        let path = format!("{above}{}", field.name());
        if let ProtoKind::Message(inner) = field.kind() {
            paths(&inner, &format!("{path}."), out);
        } else {
            assert!(out.insert(path));
        }
    }
}

#[test]
fn layers_know_every_field_of_the_proto() {
    let pool = DescriptorPool::decode(DESCRIPTOR).unwrap();
    let spec = pool.get_message_by_name("cvmgateway.v1.InstanceSpec");
    let mut fields = BTreeSet::new();
    paths(&spec.unwrap(), "", &mut fields);
    // Tags are written by their key, and metadata not at all.
    fields.retain(|path| !path.starts_with("tag_specification.") && !path.starts_with("metadata."));
    fields.insert("instance_name_prefix".to_owned());
    let known: BTreeSet<_> = FIELDS.iter().map(|field| field.path.to_owned()).collect();
    assert_eq!(known, fields);
    assert_eq!(known.len(), FIELDS.len());
}

/// Each field is set to a value of its kind, and found there again.
#[test]
fn every_field_is_where_its_name_says() {
    for field in FIELDS {
        let target = Target::Field(field);
        let mut wish = wish(InstanceSpec {
            data_disks: vec![DataDisk::default()],
            network_interfaces: vec![Default::default()],
            ..InstanceSpec::default()
        });
        let value = match field.kind {
            Kind::Text | Kind::Time | Kind::Prefix => Value::Text("a value".to_owned()),
            Kind::Number => Value::Number(7),
            Kind::Flag => Value::Flag(true),
            Kind::Texts => Value::Texts(vec!["a value".to_owned()]),
            Kind::Secret => Value::Secret(Secret::new("a value".to_owned())),
        };
        for found in target.find(&mut wish, true) {
            assert_eq!(found.slot.get(), None, "{}", field.path);
            found.slot.put(value.clone());
        }
        let found = target.find(&mut wish, false);
        assert_eq!(found.len(), 1, "{}", field.path);
        assert_eq!(found[0].slot.get(), Some(value), "{}", field.path);
        let path = found[0].path.replace("[0]", "");
        let path = path.strip_prefix("spec.").unwrap();
        assert_eq!(path, field.path.trim_end_matches("_prefix"));
        // The cloud's body says the same, so no row of the table names another member.
        let body = serde_json::to_value(&wish.spec).unwrap().to_string();
        let member = path
            .rsplit('.')
            .next()
            .unwrap()
            .replace('_', "")
            .to_lowercase();
        assert!(
            body.to_lowercase().contains(&format!("\"{member}\":")),
            "{path}: {body}"
        );
    }
}

#[test]
fn default_fills_in_what_is_unset() {
    let text = "[default]\nimage_id = \"img-1\"\nsystem_disk.encrypt = true\ninstance_count = 2\nplacement.zone = \"ap-shanghai-2\"\n";
    let asked = InstanceSpec {
        image_id: Some("img-2".to_owned()),
        ..InstanceSpec::default()
    };
    let all = [
        "spec.system_disk.encrypt >true",
        "spec.instance_count >2",
        "spec.placement.zone >\"ap-shanghai-2\"",
    ];
    assert_eq!(changes(text, asked), all);
    let (wish, ..) = run(text, InstanceSpec::default());
    assert_eq!(wish.spec.image_id.as_deref(), Some("img-1"));
    assert_eq!(wish.spec.placement.unwrap().zone, "ap-shanghai-2");
}

#[test]
fn set_replaces_what_is_asked_for() {
    let text = "[set]\nsystem_disk.encrypt = true\ndata_disks.encrypt = true\nsecurity_group_ids = [\"sg-1\"]\nenhanced_service.monitor_service.enabled = true\n";
    let disk = |encrypt| DataDisk {
        disk_size: 50,
        encrypt,
        ..DataDisk::default()
    };
    let spec = InstanceSpec {
        data_disks: vec![disk(Some(true)), disk(None), disk(Some(false))],
        security_group_ids: vec!["sg-2".to_owned()],
        ..InstanceSpec::default()
    };
    let (wish, changes, _) = run(text, spec);
    assert_eq!(
        changes,
        [
            "spec.system_disk.encrypt >true",
            "spec.data_disks[1].encrypt >true",
            "spec.data_disks[2].encrypt false>true",
            "spec.security_group_ids [\"sg-2\"]>[\"sg-1\"]",
            "spec.enhanced_service.monitor_service.enabled >true",
        ]
    );
    assert!(
        wish.spec
            .data_disks
            .iter()
            .all(|disk| disk.encrypt == Some(true))
    );
    // Nothing is left to change.
    let again = run(text, wish.spec.clone());
    assert_eq!((again.0.spec, again.1), (wish.spec, Vec::new()));
}

#[test]
fn an_alternative_is_no_way_around() {
    let text = "[set]\ninstance_type = \"S5.SMALL1\"\n[require]\nplacement.zone = [\"ap-shanghai-2\", \"ap-shanghai-3\"]\nvirtual_private_cloud.subnet_id = \"subnet-1\"\n";
    let layers = layers(&[("acme", &format!("{HEAD}{text}"))]);
    let mut wish = wish(InstanceSpec {
        placement: Some(Placement {
            zone: "ap-shanghai-2".to_owned(),
            ..Placement::default()
        }),
        virtual_private_cloud: Some(VirtualPrivateCloud {
            subnet_id: "subnet-1".to_owned(),
            ..VirtualPrivateCloud::default()
        }),
        instance_type: Some("S5.SMALL1".to_owned()),
        ..InstanceSpec::default()
    });
    wish.alternatives = vec![
        Alternative {
            zone: Some("ap-shanghai-4".to_owned()),
            ..Alternative::default()
        },
        Alternative {
            instance_type: Some("S6.SMALL1".to_owned()),
            subnet_id: Some("subnet-2".to_owned()),
            ..Alternative::default()
        },
    ];
    let Applied { changes, unmet } = apply(&layers, &mut wish);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].field, "alternatives[1].instance_type");
    assert_eq!(
        wish.alternatives[1].instance_type.as_deref(),
        Some("S5.SMALL1")
    );
    let fields = unmet.iter().map(|unmet| unmet.violation.field.as_str());
    let expected = ["alternatives[0].zone", "alternatives[1].subnet_id"];
    assert_eq!(fields.collect::<Vec<_>>(), expected);
}

#[test]
fn append_adds_what_a_list_lacks() {
    let text = "[append]\nsecurity_group_ids = [\"sg-1\", \"sg-2\"]\ntags.owner = \"web\"\ntags.cost = \"42\"\n";
    let spec = InstanceSpec {
        security_group_ids: vec!["sg-2".to_owned()],
        tag_specification: vec![TagSpecification {
            resource_type: "instance".to_owned(),
            tags: vec![crate::domain::spec::Tag {
                key: "owner".to_owned(),
                value: "me".to_owned(),
            }],
        }],
        ..InstanceSpec::default()
    };
    let all = [
        "spec.security_group_ids [\"sg-2\"]>[\"sg-2\",\"sg-1\"]",
        "spec.tag_specification[0].tags[1] >{\"key\":\"cost\",\"value\":\"42\"}",
    ];
    assert_eq!(changes(text, spec.clone()), all);
    let replaced = "spec.tag_specification[0].tags[0].value \"me\">\"web\"";
    assert_eq!(changes("[set.tags]\nowner = \"web\"", spec), [replaced]);
    let (wish, ..) = run(text, InstanceSpec::default());
    assert_eq!(wish.spec.tag_specification[0].resource_type, "instance");
    assert_eq!(wish.spec.tag_specification[0].tags.len(), 2);
}

#[test]
fn what_is_set_in_each_of_a_list_is_not_left_to_a_template() {
    let template = InstanceSpec {
        launch_template: Some(LaunchTemplate::default()),
        ..InstanceSpec::default()
    };
    let set = "[set]\ndata_disks.encrypt = true";
    let refusal = "spec.data_disks.encrypt must be set, for the launch template may hold something else: \
                   organization layer acme, layers/acme.toml:4";
    assert_eq!(unmet(set, template.clone()), [refusal]);
    let named = InstanceSpec {
        data_disks: vec![DataDisk::default()],
        ..template.clone()
    };
    assert_eq!(changes(set, named), ["spec.data_disks[0].encrypt >true"]);
    assert_eq!(unmet(set, InstanceSpec::default()), [""; 0]);
    let default = "[default]\ndata_disks.encrypt = true";
    assert_eq!(unmet(default, template), [""; 0]);
    // Nor to one that a layer gives, which it does last.
    let given = "[default]\nlaunch_template.launch_template_id = \"lt-1a2b3c4d\"";
    let (_, _, told) = run(&format!("{set}\n{given}"), InstanceSpec::default());
    assert_eq!(told, [refusal]);
}

#[test]
fn a_cap_lowers_ceilings_and_refuses_the_rest() {
    let bandwidth = |mbit| InstanceSpec {
        internet_accessible: Some(InternetAccessible {
            internet_max_bandwidth_out: mbit,
            ..InternetAccessible::default()
        }),
        ..InstanceSpec::default()
    };
    let cap = "[cap]\ninternet_accessible.internet_max_bandwidth_out = 5";
    let lowered = "spec.internet_accessible.internet_max_bandwidth_out 10>5";
    assert_eq!(changes(cap, bandwidth(Some(10))), [lowered]);
    for within in [bandwidth(Some(5)), bandwidth(None), InstanceSpec::default()] {
        assert_eq!(changes(cap, within), [""; 0]);
    }
    let count = |count, at_least| InstanceSpec {
        instance_count: Some(count),
        min_count: at_least,
        ..InstanceSpec::default()
    };
    let cap = "[cap]\ninstance_count = 5";
    let refusal =
        "spec.instance_count must be at most 5: organization layer acme, layers/acme.toml:4";
    assert_eq!(unmet(cap, count(6, None)), [refusal]);
    assert_eq!(unmet(cap, count(6, Some(6))), [refusal]);
    assert_eq!(changes(cap, count(6, Some(5))), ["spec.instance_count 6>5"]);
    assert_eq!(changes(cap, count(5, None)), [""; 0]);
    let disks = InstanceSpec {
        data_disks: vec![
            DataDisk {
                disk_size: 10,
                ..DataDisk::default()
            },
            DataDisk {
                disk_size: 11,
                ..DataDisk::default()
            },
        ],
        ..InstanceSpec::default()
    };
    let told = unmet("[cap]\ndata_disks.disk_size = 10", disks);
    assert!(
        told[0].starts_with("spec.data_disks[1].disk_size must be at most 10"),
        "{told:?}"
    );
    let template = InstanceSpec {
        launch_template: Some(LaunchTemplate::default()),
        ..InstanceSpec::default()
    };
    for cap in [
        "system_disk.disk_size = 50",
        "data_disks.disk_size = 10",
        "instance_count = 5",
    ] {
        let told = unmet(&format!("[cap]\n{cap}"), template.clone());
        assert!(
            told[0].contains("the launch template may hold more"),
            "{told:?}"
        );
    }
}

#[test]
fn machines_end_in_time() {
    let timer = |time: &str| InstanceSpec {
        action_timer: Some(ActionTimer {
            timer_action: Some("TerminateInstances".to_owned()),
            action_time: Some(time.to_owned()),
        }),
        ..InstanceSpec::default()
    };
    let cap = "[cap]\naction_timer.action_time = \"2h\"";
    let lowered = "spec.action_timer.action_time \"2026-11-29T00:30:01Z\">\"2026-11-29T00:30:00Z\"";
    assert_eq!(changes(cap, timer("2026-11-29T00:30:01Z")), [lowered]);
    for left in ["2026-11-29T00:30:00Z", "no time", "2099-13-01T00:00:00Z"] {
        assert_eq!(changes(cap, timer(left)), [""; 0], "{left}");
    }
    let default =
        "[default.action_timer]\ntimer_action = \"TerminateInstances\"\naction_time = \"12h\"";
    let (wish, ..) = run(default, InstanceSpec::default());
    assert_eq!(wish.spec, timer("2026-11-29T10:30:00Z"));
}

/// What is required, and what is said where it is not kept.
const REQUIRED: &[(&str, &str)] = &[
    (
        "instance_name = \"web-*\"",
        "spec.instance_name must be web-*",
    ),
    (
        "instance_name = [\"web-*\", \"ci-*\"]",
        "spec.instance_name must be one of web-*, ci-*",
    ),
    (
        "instance_name = false",
        "spec.instance_name must not be set",
    ),
    ("image_id = true", "spec.image_id must be set"),
    ("image_id = \"img-1\"", "spec.image_id must be img-1"),
    (
        "system_disk.encrypt = true",
        "spec.system_disk.encrypt must be true",
    ),
    (
        "disable_api_termination = true",
        "spec.disable_api_termination must be true",
    ),
    ("user_data = false", "spec.user_data must not be set"),
    (
        "login_settings.password = true",
        "spec.login_settings.password must be set",
    ),
    (
        "security_group_ids = [\"sg-1\", \"sg-2\"]",
        "spec.security_group_ids must hold sg-1, sg-2",
    ),
    (
        "partition_number = [1, 2]",
        "spec.partition_number must be one of 1, 2",
    ),
    ("tags.owner = true", "spec.tags.owner must be set"),
    (
        "action_timer.action_time = true",
        "spec.action_timer.action_time must be set",
    ),
];

#[test]
fn what_is_required_is_told_with_its_field() {
    let spec = || InstanceSpec {
        instance_name: Some("db-1".to_owned()),
        disable_api_termination: Some(false),
        user_data: Some(Secret::new("c2VjcmV0".to_owned())),
        security_group_ids: vec!["sg-1".to_owned()],
        partition_number: Some(3),
        ..InstanceSpec::default()
    };
    for &(text, expected) in REQUIRED {
        let told = unmet(&format!("[require]\n{text}"), spec());
        let at = ": organization layer acme, layers/acme.toml:4";
        assert_eq!(told, [format!("{expected}{at}")], "{text}");
    }
    for kept in [
        "instance_name = \"db-*\"",
        "instance_name = true",
        "image_id = false",
        "disable_api_termination = false",
        "user_data = true",
        "login_settings.password = false",
        "security_group_ids = [\"sg-1\"]",
        "security_group_ids = true",
        "partition_number = 3",
        "tags.owner = false",
        "data_disks.encrypt = true",
    ] {
        assert_eq!(
            unmet(&format!("[require]\n{kept}"), spec()),
            [""; 0],
            "{kept}"
        );
    }
    let template = InstanceSpec {
        launch_template: Some(LaunchTemplate::default()),
        ..InstanceSpec::default()
    };
    for hidden in [
        "data_disks.encrypt = true",
        "cam_role_name = false",
        "placement.zone = false",
        "placement.zone = true",
    ] {
        let told = unmet(&format!("[require]\n{hidden}"), template.clone());
        assert_eq!(told.len(), 1, "{hidden}");
    }
    let kept = "[require]\nlaunch_template.launch_template_id = false";
    assert_eq!(unmet(kept, template.clone()), [""; 0]);
}

/// The first place is tried first, wherever a launch template puts it.
#[test]
fn an_alternative_does_not_stand_for_the_first_place() {
    let text = "[require]\nplacement.zone = [\"ap-shanghai-2\"]";
    let mut wish = wish(InstanceSpec {
        launch_template: Some(LaunchTemplate::default()),
        ..InstanceSpec::default()
    });
    wish.alternatives = vec![Alternative {
        zone: Some("ap-shanghai-2".to_owned()),
        ..Alternative::default()
    }];
    let layers = layers(&[("acme", &format!("{HEAD}{text}"))]);
    let applied = apply(&layers, &mut wish);
    let fields = applied.unmet.iter().map(|unmet| &unmet.violation.field);
    assert_eq!(fields.collect::<Vec<_>>(), ["spec.placement.zone"]);
}

#[test]
fn names_get_their_prefix_once() {
    let named = |name: Option<&str>| InstanceSpec {
        instance_name: name.map(str::to_owned),
        ..InstanceSpec::default()
    };
    let text = "[set]\ninstance_name_prefix = \"web-\"";
    assert_eq!(
        changes(text, named(Some("a"))),
        ["spec.instance_name \"a\">\"web-a\""]
    );
    assert_eq!(changes(text, named(Some("web-a"))), [""; 0]);
    assert_eq!(changes(text, named(None)), ["spec.instance_name >\"web\""]);
}

#[test]
fn secrets_are_told_by_their_shape() {
    let text = "[set]\nuser_data = \"aHVudGVyMjI=\"";
    let spec = InstanceSpec {
        user_data: Some(Secret::new("c2VjcmV0".to_owned())),
        ..InstanceSpec::default()
    };
    let (wish, changes, _) = run(text, spec);
    assert_eq!(
        changes,
        ["spec.user_data \"[secret of 8 bytes]\">\"[secret of 12 bytes]\""]
    );
    assert_eq!(wish.spec.user_data.unwrap().expose(), "aHVudGVyMjI=");
}

/// Layers of each level, some of which are for other launches.
const LEVELS: [(&str, &str, &str); 8] = [
    (
        "z-all",
        "organization",
        "[default]\nimage_id = \"img-1\"\n[set]\nhost_name = \"a\"\n[append]\nsecurity_group_ids = [\"sg-1\"]\n[cap]\ninternet_accessible.internet_max_bandwidth_out = 9",
    ),
    (
        "y-main",
        "account",
        "accounts = [\"main\"]\n[default]\nimage_id = \"img-2\"\n[append]\nsecurity_group_ids = [\"sg-2\"]",
    ),
    (
        "x-lab",
        "account",
        "accounts = [\"lab\"]\n[set]\nhost_name = \"lab\"",
    ),
    (
        "w-prod",
        "environment",
        "regions = [\"ap-shanghai\"]\n[set]\nhost_name = \"b\"\n[cap]\ninternet_accessible.internet_max_bandwidth_out = 5",
    ),
    (
        "v-abroad",
        "environment",
        "regions = [\"eu-frankfurt\"]\n[set]\nhost_name = \"abroad\"",
    ),
    (
        "u-web",
        "team",
        "services = [\"spiffe://acme/ns/web/*\"]\n[default]\nimage_id = \"img-3\"",
    ),
    (
        "t-data",
        "team",
        "services = [\"spiffe://acme/ns/data/*\"]\n[set]\nhost_name = \"data\"",
    ),
    (
        "s-deployer",
        "service",
        "services = [\"spiffe://acme/ns/web/sa/deployer\"]\n[set]\nhost_name = \"c\"",
    ),
];

/// Of two that set or default a field the more special one counts; caps and requirements add up.
#[test]
fn the_more_special_layer_counts() {
    let files = LEVELS.map(|(name, level, text)| {
        (
            name,
            format!("level = \"{level}\"\norganization = \"acme\"\n{text}"),
        )
    });
    let files = files.iter().map(|(name, text)| (*name, text.as_str()));
    let mut files: Vec<_> = files.collect();
    let theirs = "level = \"service\"\norganization = \"umbrella\"\nservices = [\"*\"]\n[set]\nhost_name = \"d\"";
    files.push(("theirs", theirs));
    let mut wish = wish(InstanceSpec {
        internet_accessible: Some(InternetAccessible {
            internet_max_bandwidth_out: Some(10),
            ..InternetAccessible::default()
        }),
        ..InstanceSpec::default()
    });
    let Applied { changes, unmet } = apply(&layers(&files), &mut wish);
    let told: Vec<_> = changes
        .iter()
        .map(|of| (of.after.as_str(), of.origin.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "\"c\"",
                "set of the service layer s-deployer, layers/s-deployer.toml:5"
            ),
            (
                "\"img-3\"",
                "default of the team layer u-web, layers/u-web.toml:5"
            ),
            (
                "[\"sg-1\"]",
                "append of the organization layer z-all, layers/z-all.toml:8"
            ),
            (
                "[\"sg-1\",\"sg-2\"]",
                "append of the account layer y-main, layers/y-main.toml:7"
            ),
            (
                "9",
                "cap of the organization layer z-all, layers/z-all.toml:10"
            ),
            (
                "5",
                "cap of the environment layer w-prod, layers/w-prod.toml:7"
            ),
        ]
    );
    assert_eq!(unmet, []);
}

/// What is wrong, in which line, and what is said of it.
const WRONG: &[(&str, usize, &str)] = &[
    (
        "[set]\nimage = \"img-1\"",
        4,
        "set.image: is no field of InstanceSpec",
    ),
    ("[set]\nimage_idd = \"img-1\"", 4, "do you mean image_id?"),
    ("[set]\nspec.image_id = \"img-1\"", 4, "is no field"),
    (
        "[set]\nimage_id = 3",
        4,
        "set.image_id: is a number; write text",
    ),
    ("[set]\nimage_id = \" \"", 4, "printable"),
    (
        "[set]\ninstance_count = \"3\"",
        4,
        "is text; write a whole number",
    ),
    ("[set]\ninstance_count = -1", 4, "write a whole number"),
    ("[set]\ninstance_count = 1.5", 4, "write a whole number"),
    ("[set]\nsystem_disk = true", 4, "write [set.system_disk]"),
    (
        "[set]\nsystem_disk.encrypt = \"yes\"",
        4,
        "write true or false",
    ),
    ("[append]\nimage_id = \"img-1\"", 4, "is no list"),
    (
        "[append]\nsecurity_group_ids = \"sg-1\"",
        4,
        "write a list of texts",
    ),
    ("[append]\nsecurity_group_ids = []", 4, "1 to 100 values"),
    ("[append]\nsecurity_group_ids = [\"a\", \"a\"]", 4, "twice"),
    ("[cap]\nimage_id = \"img-1\"", 4, "is no number"),
    ("[cap]\naction_timer.action_time = 3", 4, "such as \"72h\""),
    (
        "[cap]\naction_timer.action_time = \"11y\"",
        4,
        "such as \"72h\"",
    ),
    ("[require]\nimage_id = 1", 4, "write text"),
    ("[require]\nuser_data = \"x\"", 4, "write true when"),
    (
        "[set]\nlogin_settings.password = \"x\"",
        4,
        "does not belong",
    ),
    (
        "[default]\ninstance_name_prefix = \"x\"",
        4,
        "write it into [set]",
    ),
    ("[set]\ntags = \"x\"", 4, "write [set.tags]"),
    (
        "[set]\ntags.\"cvm-gateway:x\" = \"x\"",
        4,
        "is no key of a caller's tag",
    ),
    (
        "[set]\ntag_specification.tags = \"x\"",
        4,
        "write tags and its key",
    ),
    ("[set]\nmetadata.items = 1", 4, "cannot speak of metadata"),
    ("set = 1", 3, "write [set]"),
    ("[sett]\nimage_id = \"img-1\"", 3, "unknown key `sett`"),
    (
        "accounts = [\"main\"]\n[set]\nimage_id = \"img-1\"",
        1,
        "for less write another level",
    ),
    ("", 1, "changes nothing"),
    (
        "[set]\nimage_id = \"img-1\"\nimage_id = \"img-1\"",
        5,
        "not TOML",
    ),
    ("[set", 3, "not TOML"),
];

#[test]
fn what_is_wrong_with_layers_is_told_with_its_place() {
    for &(text, line, expected) in WRONG {
        let text = format!("{HEAD}{text}");
        let flaws = Layers::parse(&[file("a", &text)]).unwrap_err();
        let found = flaws.iter().find(|flaw| flaw.message.contains(expected));
        let found = found.unwrap_or_else(|| panic!("{text}: {flaws:?}"));
        assert_eq!(found.file, "layers/a.toml", "{text}");
        let at = text[..found.offset].matches('\n').count() + 1;
        assert_eq!(at, line, "{text}: {found:?}");
    }
}
