//! What the corpus of requests (`grpc/tests.rs`) cannot say: the settings, and what is told of secrets.

use super::*;
use crate::domain::secret::Secret;
use crate::domain::spec::{
    InstanceChargePrepaid, LaunchTemplate, LoginSettings, Metadata, MetadataItem, NetworkInterface,
    Placement, VirtualPrivateCloud,
};
use time::macros::utc_datetime;

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

fn violations(limits: &Limits, change: impl FnOnce(&mut InstanceSpec)) -> Violations {
    let mut spec = minimal();
    change(&mut spec);
    let region = Region::parse("ap-shanghai").unwrap();
    check(&spec, &region, limits, utc_datetime!(2026-11-23 12:00))
}

fn broken(limits: &Limits, change: impl FnOnce(&mut InstanceSpec)) -> Vec<String> {
    let violations = violations(limits, change).0.into_iter();
    violations.map(|violation| violation.field).collect()
}

/// The fields that an alternative breaks.
fn misplaced(alternative: &Alternative, change: impl FnOnce(&mut InstanceSpec)) -> Vec<String> {
    let mut spec = minimal();
    change(&mut spec);
    let region = Region::parse("ap-shanghai").unwrap();
    let mut violations = Violations::default();
    let alternatives = std::slice::from_ref(alternative);
    check_alternatives(&spec, alternatives, &region, &mut violations);
    let violations = violations.0.into_iter();
    violations.map(|violation| violation.field).collect()
}

#[test]
fn an_alternative_leaves_no_place_that_the_launch_is_bound_to() {
    let place = |zone: Option<&str>, subnet_id: Option<&str>| Alternative {
        zone: zone.map(|zone| format!("ap-shanghai-{zone}")),
        subnet_id: subnet_id.map(str::to_owned),
        instance_type: Some("S6.SMALL2".to_owned()),
    };
    let network = |subnet_id: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| (*address).to_owned());
        Some(VirtualPrivateCloud {
            vpc_id: "vpc-1".to_owned(),
            subnet_id: subnet_id.to_owned(),
            private_ip_addresses: addresses.collect(),
            ..VirtualPrivateCloud::default()
        })
    };
    let free = |spec: &mut InstanceSpec| spec.virtual_private_cloud = network("subnet-1", &[]);
    let fixed = |spec: &mut InstanceSpec| {
        spec.virtual_private_cloud = network("subnet-1", &["10.0.0.4"]);
    };
    let (zone, subnet) = ("alternatives[0].zone", "alternatives[0].subnet_id");
    let none = [""; 0];
    assert_eq!(misplaced(&place(Some("4"), Some("subnet-2")), free), none);
    assert_eq!(misplaced(&place(None, None), fixed), none);
    assert_eq!(misplaced(&place(None, Some("subnet-1")), fixed), none);
    assert_eq!(misplaced(&place(Some("2"), Some("subnet-1")), fixed), none);
    assert_eq!(misplaced(&place(None, Some("subnet-2")), fixed), [subnet]);
    let elsewhere = place(Some("4"), Some("subnet-2"));
    assert_eq!(misplaced(&elsewhere, fixed), [zone, subnet]);

    let hosted = |spec: &mut InstanceSpec| {
        let placement = spec.placement.as_mut().unwrap();
        placement.host_ids = vec!["host-1".to_owned()];
    };
    let clustered = |spec: &mut InstanceSpec| spec.hpc_cluster_id = Some("hpc-1".to_owned());
    let templated = |spec: &mut InstanceSpec| {
        clustered(spec);
        spec.placement = None;
        spec.launch_template = Some(LaunchTemplate::default());
    };
    let kind = |zone: Option<&str>| Alternative {
        instance_type: zone.is_none().then(|| "S6.SMALL2".to_owned()),
        ..place(zone, None)
    };
    assert_eq!(misplaced(&kind(Some("4")), |_| ()), none);
    assert_eq!(misplaced(&kind(Some("4")), hosted), [zone]);
    assert_eq!(misplaced(&kind(Some("2")), hosted), none);
    assert_eq!(misplaced(&kind(Some("4")), clustered), [zone]);
    assert_eq!(misplaced(&kind(Some("2")), clustered), none);
    assert_eq!(misplaced(&kind(None), clustered), none);
    assert_eq!(misplaced(&kind(Some("2")), templated), [zone]);
}

#[test]
fn a_bound_that_is_set_is_kept() {
    let limits = Limits {
        instance_count_max: 3,
        instance_name_max: 60,
        host_name_max: 30,
        prepaid_months_max: 36,
        user_data_bytes_max: 6,
        ..Limits::default()
    };
    let prepaid = |period| {
        let renew_flag = None;
        Some(InstanceChargePrepaid { period, renew_flag })
    };
    let script = |text: &str| Some(Secret::new(text.to_owned()));
    type Change<'a> = Box<dyn Fn(&mut InstanceSpec) + 'a>;
    let rows: [(&str, Change<'_>, Change<'_>); 5] = [
        (
            "spec.instance_count",
            Box::new(|spec| spec.instance_count = Some(3)),
            Box::new(|spec| spec.instance_count = Some(4)),
        ),
        (
            "spec.instance_name",
            Box::new(|spec| spec.instance_name = Some("x".repeat(60))),
            Box::new(|spec| spec.instance_name = Some("x".repeat(61))),
        ),
        (
            "spec.host_name",
            Box::new(|spec| spec.host_name = Some("x".repeat(30))),
            Box::new(|spec| spec.host_name = Some("x".repeat(31))),
        ),
        (
            "spec.instance_charge_prepaid.period",
            Box::new(|spec| spec.instance_charge_prepaid = prepaid(36)),
            Box::new(|spec| spec.instance_charge_prepaid = prepaid(48)),
        ),
        (
            "spec.user_data",
            Box::new(|spec| spec.user_data = script("MTIzNDU2")),
            Box::new(|spec| spec.user_data = script("MTIzNDU2Nw==")),
        ),
    ];
    for (field, inside, outside) in rows {
        assert_eq!(broken(&limits, inside), [""; 0], "{field}");
        assert_eq!(broken(&limits, &outside), [field]);
        assert_eq!(
            broken(&Limits::default(), outside),
            [""; 0],
            "{field} by default"
        );
    }
}

#[test]
fn only_the_regions_that_are_set_may_be_launched_in() {
    let limits = Limits {
        regions: vec!["ap-beijing".to_owned()],
        ..Limits::default()
    };
    let told = violations(&limits, |_| ());
    assert_eq!(told.0[0].field, "region");
    assert!(told.0[0].message.contains("ap-beijing"), "{told}");
}

#[test]
fn what_the_gateway_requires_must_be_set() {
    let limits = Limits {
        required: Required::ALL.to_vec(),
        ..Limits::default()
    };
    let names = Required::ALL.map(|required| format!("spec.{}", required.name()));
    assert_eq!(broken(&limits, |_| ()), names);
    assert_eq!(broken(&Limits::default(), |_| ()), [""; 0]);
    let keys = LoginSettings {
        key_ids: vec!["skey-1".to_owned()],
        ..LoginSettings::default()
    };
    let (vpc_id, subnet_id) = ("DEFAULT".to_owned(), "DEFAULT".to_owned());
    let set = |spec: &mut InstanceSpec| {
        spec.instance_type = Some("S5.SMALL1".to_owned());
        spec.login_settings = Some(keys.clone());
        spec.virtual_private_cloud = Some(VirtualPrivateCloud {
            vpc_id: vpc_id.clone(),
            subnet_id: subnet_id.clone(),
            ..VirtualPrivateCloud::default()
        });
    };
    assert_eq!(broken(&limits, set), [""; 0]);
    let interfaces = |spec: &mut InstanceSpec| {
        set(spec);
        spec.virtual_private_cloud = None;
        spec.network_interfaces = vec![NetworkInterface {
            interface_type: "PRIMARY".to_owned(),
            vpc_id: vpc_id.clone(),
            subnet_id: subnet_id.clone(),
            private_ipv4_address_count: 1,
            ..NetworkInterface::default()
        }];
    };
    assert_eq!(broken(&limits, interfaces), [""; 0]);
    let undecided = |spec: &mut InstanceSpec| {
        set(spec);
        spec.login_settings = Some(LoginSettings::default());
    };
    assert_eq!(broken(&limits, undecided), ["spec.login_settings"]);
    let template = |spec: &mut InstanceSpec| {
        spec.launch_template = Some(LaunchTemplate {
            launch_template_id: Some("lt-1".to_owned()),
            launch_template_version: None,
        });
    };
    assert_eq!(broken(&limits, template), [""; 0]);
}

#[test]
fn metadata_values_have_a_bound_of_their_own() {
    let metadata = |bytes| {
        let value = Secret::new("x".repeat(bytes));
        let key = "k".to_owned();
        let items = vec![MetadataItem { key, value }];
        broken(&Limits::default(), |spec| {
            spec.metadata = Some(Metadata { items });
        })
    };
    assert_eq!(metadata(256 * 1024), [""; 0]);
    assert_eq!(metadata(256 * 1024 + 1), ["spec.metadata.items[0].value"]);
}

#[test]
fn no_secret_is_told() {
    let secret = "hunter2\u{7}";
    let told = violations(&Limits::default(), |spec| {
        spec.login_settings = Some(LoginSettings {
            password: Some(Secret::new(secret.to_owned())),
            key_ids: vec![secret.to_owned()],
            keep_image_login: Some(secret.to_owned()),
        });
        spec.user_data = Some(Secret::new(secret.to_owned()));
        spec.metadata = Some(Metadata {
            items: vec![MetadataItem {
                key: secret.to_owned(),
                value: Secret::new(secret.repeat(100_000)),
            }],
        });
    });
    assert!(told.0.len() >= 7, "{told}");
    assert!(!format!("{told:?}").contains("hunter2"), "{told}");
}
