//! Wishes that break a rule of RunInstances, one by one.

use super::{Spoil, nothing_happened, told};
use crate::world::{World, client, wish};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cvm_gateway::pb::v1 as pb;
use tonic::Code;

/// A password that breaks every rule but that of its length.
const ILLEGAL_PASSWORD: &str = "päßwörterbuch";

/// What is wrong, the fields that are told, and a part of the message: the rule or the remedy.
type Row = (&'static str, Spoil, &'static [&'static str], &'static str);

const INVALID_WISHES: [Row; 32] = [
    (
        "no request_id",
        |wish| wish.request_id.clear(),
        &["request_id"],
        "1 to 64",
    ),
    (
        "long request_id",
        |wish| wish.request_id = "x".repeat(65),
        &["request_id"],
        "1 to 64",
    ),
    (
        "illegal request_id",
        |wish| wish.request_id = "a b".to_owned(),
        &["request_id"],
        "A-Z a-z 0-9",
    ),
    (
        "no region",
        |wish| wish.region.clear(),
        &["region"],
        "such as ap-shanghai",
    ),
    (
        "malformed region",
        |wish| wish.region = "ap-shanghai.evil.example".to_owned(),
        &["region"],
        "such as ap-shanghai",
    ),
    (
        "unknown region",
        |wish| {
            wish.region = "ap-atlantis".to_owned();
            place(wish).zone = "ap-atlantis-1".to_owned();
        },
        &["region"],
        "is not one of the regions that this gateway launches in: ap-guangzhou, ",
    ),
    (
        "malformed account",
        |wish| wish.account = Some("Main Account".to_owned()),
        &["account"],
        "1 to 64",
    ),
    ("no spec", |wish| wish.spec = None, &["spec"], "is required"),
    (
        "no placement",
        |wish| spec(wish).placement = None,
        &["spec.placement"],
        "is required unless spec.launch_template is set",
    ),
    (
        "no zone",
        |wish| place(wish).zone.clear(),
        &["spec.placement.zone"],
        "is required",
    ),
    (
        "zone elsewhere",
        |wish| place(wish).zone = "ap-beijing-6".to_owned(),
        &["spec.placement.zone"],
        "such as ap-shanghai-1",
    ),
    (
        "no image",
        |wish| spec(wish).image_id = None,
        &["spec.image_id"],
        "is required unless spec.launch_template is set",
    ),
    (
        "count 0",
        |wish| spec(wish).instance_count = Some(0),
        &["spec.instance_count"],
        "must be 1 to 100, not 0",
    ),
    (
        "count -1",
        |wish| spec(wish).instance_count = Some(-1),
        &["spec.instance_count"],
        "must be 1 to 100, not -1",
    ),
    (
        "count 101",
        |wish| spec(wish).instance_count = Some(101),
        &["spec.instance_count"],
        "must be 1 to 100, not 101",
    ),
    (
        "min_count over count",
        |wish| spec(wish).min_count = Some(3),
        &["spec.min_count"],
        "must be 1 to the instance_count 2, not 3",
    ),
    (
        "short password",
        |wish| password(wish, "pA5-pA5"),
        &["spec.login_settings.password"],
        "must be 8 to 30 characters",
    ),
    (
        "long password",
        |wish| password(wish, &"pA5-".repeat(8)),
        &["spec.login_settings.password"],
        "not 32",
    ),
    (
        "password of one class",
        |wish| password(wish, "onlylowercase"),
        &["spec.login_settings.password"],
        "must mix at least 2",
    ),
    (
        "illegal password",
        |wish| password(wish, ILLEGAL_PASSWORD),
        &["spec.login_settings.password"; 2],
        "must consist of",
    ),
    (
        "two ways to log in",
        |wish| {
            password(wish, "Sound-Passw0rd");
            login(wish).key_ids = vec!["skey-laptop01".to_owned()];
        },
        &["spec.login_settings"],
        "exclude each other: set one",
    ),
    (
        "user data that is no base64",
        |wish| spec(wish).user_data = Some("#!/bin/sh secret-script".to_owned()),
        &["spec.user_data"],
        "must be base64",
    ),
    (
        "long user data",
        |wish| spec(wish).user_data = Some(BASE64_STANDARD.encode([0; 16 * 1024 + 1])),
        &["spec.user_data"],
        "at most 16384 bytes, not 16385",
    ),
    (
        "reserved tag",
        |wish| tags(wish, &["cvm-gateway:operation"]),
        &["spec.tag_specification[0].tags[0].key"],
        "must not begin with cvm-gateway:",
    ),
    (
        "the same tag twice",
        |wish| tags(wish, &["team", "team"]),
        &["spec.tag_specification[0].tags[1].key"],
        "twice",
    ),
    (
        "22 data disks",
        |wish| disks(wish, &[50; 22]),
        &["spec.data_disks"],
        "must be at most 21, not 22",
    ),
    (
        "odd disk size",
        |wish| disks(wish, &[50, 55]),
        &["spec.data_disks[1].disk_size"],
        "must be a multiple of 10 GiB, not 55",
    ),
    (
        "no disk size",
        |wish| spec(wish).data_disks = vec![pb::DataDisk::default()],
        &["spec.data_disks[0].disk_size"],
        "is required",
    ),
    (
        "prepaid without a period",
        |wish| spec(wish).instance_charge_type = Some("PREPAID".to_owned()),
        &["spec.instance_charge_prepaid"],
        "is required when instance_charge_type is PREPAID",
    ),
    (
        "bad host name",
        |wish| spec(wish).host_name = Some("-web-".to_owned()),
        &["spec.host_name"],
        "must be 2 to 60 characters",
    ),
    (
        "long instance name",
        |wish| spec(wish).instance_name = Some("x".repeat(129)),
        &["spec.instance_name"],
        "must be at most 128 characters, not 129",
    ),
    (
        "everything at once",
        |wish| {
            wish.request_id.clear();
            wish.region = "nowhere".to_owned();
            place(wish).zone.clear();
        },
        &["request_id", "region", "spec.placement.zone"],
        "is required",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn invalid_wishes_are_refused_with_field_and_rule() {
    let world = World::new(100.0).await;
    let gateway = world.gateway("").await;
    let mut client = client(&gateway).await;
    for (name, spoil, fields, says) in INVALID_WISHES {
        let mut wish = wish("bad", 2);
        spoil(&mut wish);
        let secrets = secrets(&wish);
        let status = client.run_instances(wish).await.unwrap_err();
        let told = told(&status);
        assert_eq!(told.code, Code::InvalidArgument, "{name}");
        assert_eq!(told.reason, "INVALID_PARAMETER", "{name}");
        assert_eq!(told.fields, fields, "{name}");
        assert!(told.message.contains(says), "{name}: {}", told.message);
        for secret in secrets {
            assert!(!format!("{status:?}").contains(&secret), "{name}");
        }
    }
    nothing_happened(&world, &mut client).await;
    gateway.stop().await;
}

fn secrets(wish: &pb::RunInstancesRequest) -> Vec<String> {
    let spec = wish.spec.as_ref();
    let login = spec.and_then(|spec| spec.login_settings.as_ref());
    let password = login.and_then(|login| login.password.clone());
    let user_data = spec.and_then(|spec| spec.user_data.clone());
    password.into_iter().chain(user_data).collect()
}

fn spec(wish: &mut pb::RunInstancesRequest) -> &mut pb::InstanceSpec {
    wish.spec.as_mut().unwrap()
}

fn place(wish: &mut pb::RunInstancesRequest) -> &mut pb::Placement {
    spec(wish).placement.as_mut().unwrap()
}

fn login(wish: &mut pb::RunInstancesRequest) -> &mut pb::LoginSettings {
    spec(wish).login_settings.get_or_insert_default()
}

fn password(wish: &mut pb::RunInstancesRequest, password: &str) {
    login(wish).password = Some(password.to_owned());
}

fn tags(wish: &mut pb::RunInstancesRequest, keys: &[&str]) {
    let tags = keys.iter().map(|key| pb::Tag {
        key: (*key).to_owned(),
        value: "v".to_owned(),
    });
    spec(wish).tag_specification = vec![pb::TagSpecification {
        resource_type: "instance".to_owned(),
        tags: tags.collect(),
    }];
}

fn disks(wish: &mut pb::RunInstancesRequest, sizes: &[i64]) {
    let disk = |size: &i64| pb::DataDisk {
        disk_size: Some(*size),
        ..pb::DataDisk::default()
    };
    spec(wish).data_disks = sizes.iter().map(disk).collect();
}
