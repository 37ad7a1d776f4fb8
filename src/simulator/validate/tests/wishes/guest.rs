//! What is inside and around the machine: names, login, user data, its end, tags.

use super::{Dice, Texts};
use crate::domain::secret::Secret;
use crate::domain::spec::{
    ActionTimer, CpuTopology, InstanceSpec, LoginSettings, Metadata, MetadataItem, Tag,
    TagSpecification,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub(super) fn names(dice: &mut Dice, spec: &mut InstanceSpec) {
    const NAMES: Texts<'_> = &["", "web", "web-{R:1}", "名 {R:1,F:8}", "{R:x}", "{"];
    const HOSTS: Texts<'_> = &[
        "web-1",
        "a",
        "1",
        "web.example",
        "vm-{IP}",
        "web{R:1}",
        "{R:9}",
        "{R:99,F:3}.a",
        "web{R:1",
        "-web",
        "we--b",
        "web_1",
        "",
        "{R:99999999999999999999}",
    ];
    spec.instance_name = match dice.hits(30) {
        true => Some("x".repeat(dice.pick(&[60, 61, 126, 127, 128, 129]))),
        false => dice.maybe(NAMES),
    };
    spec.host_name = match dice.hits(30) {
        true => Some("x".repeat(dice.pick(&[1, 2, 15, 16, 58, 59, 60, 61]))),
        false => dice.maybe(HOSTS),
    };
    if dice.hits(50) {
        spec.instance_count = Some(dice.pick(&[1, 2, 9, 10, 100]));
    }
}

pub(super) fn login(dice: &mut Dice, spec: &mut InstanceSpec) {
    const PASSWORDS: Texts<'_> = &[
        "Sound-Passw0rd",
        "abcdefg1",
        "abcdef1",
        "aA1-aA1-aA1-aA1-aA1-aA1-aA1-aA",
        "aA1-aA1-aA1-aA1-aA1-aA1-aA1-aA1",
        "onlylowercase",
        "pässw0rd-A",
        "under_sc0re-A",
        "",
    ];
    let some = dice.below(4);
    spec.login_settings = Some(LoginSettings {
        password: match some == 0 || dice.hits(15) {
            true => Some(Secret::new(dice.text(PASSWORDS))),
            false => None,
        },
        key_ids: match some == 1 || dice.hits(15) {
            true => dice.texts(
                2,
                &["skey-laptop01", "skey-deploy01", "skey-none0000", "key"],
            ),
            false => Vec::new(),
        },
        keep_image_login: match some == 2 || dice.hits(15) {
            true => dice.maybe(&["true", "false", "TRUE", "yes"]),
            false => None,
        },
    });
}

pub(super) fn guest(dice: &mut Dice, spec: &mut InstanceSpec) {
    let encoded = |bytes: usize| BASE64_STANDARD.encode(vec![b'x'; bytes]);
    spec.user_data = dice.hits(40).then(|| {
        let size = dice.pick(&[0, 1, 100, 16_384, 16_385]);
        let broken = dice.text(&["#!/bin/sh", "YQ=", "YQ==\n", "YR=="]);
        Secret::new(if dice.hits(70) { encoded(size) } else { broken })
    });
    spec.metadata = dice.hits(30).then(|| Metadata {
        items: (0..dice.below(3))
            .map(|_| MetadataItem {
                key: match dice.hits(50) {
                    true => dice.text(&["k", "a-b_C9", "", "a b", "a.b"]),
                    false => "k".repeat(dice.pick(&[1, 128, 129])),
                },
                value: Secret::new("v".repeat(match dice.hits(10) {
                    true => dice.pick(&[262_144, 262_145]),
                    false => dice.pick(&[0, 1]),
                })),
            })
            .collect(),
    });
    spec.cam_role_name = match dice.hits(30) {
        true => dice.maybe(&["CvmReadOnly", "CvmAgent", "Nobody", "a b", ""]),
        false => None,
    };
    spec.cpu_topology = dice.hits(30).then(|| CpuTopology {
        core_count: dice.number(&[1, 2, 64, 0, -1]),
        thread_per_core: dice.number(&[1, 2, 0, 3]),
    });
}

pub(super) fn timer(dice: &mut Dice, spec: &mut InstanceSpec) {
    const TIMES: Texts<'_> = &[
        "2026-11-23T12:05:00Z",
        "2026-11-23T12:04:59Z",
        "2030-01-31T23:59:59Z",
        "2030-02-30T00:00:00Z",
        "2030-01-31 23:59:59",
        "2030-01-31T23:59:59+08:00",
        "+2030-01-31T23:59:59Z",
        "",
    ];
    spec.action_timer = Some(ActionTimer {
        timer_action: dice.hits(90).then(|| {
            dice.text(&[
                "TerminateInstances",
                "TerminateInstances",
                "StopInstances",
                "",
            ])
        }),
        action_time: dice.maybe(TIMES),
    });
}

pub(super) fn tags(dice: &mut Dice, spec: &mut InstanceSpec) {
    let tag = |dice: &mut Dice| Tag {
        key: match dice.hits(70) {
            true => dice.text(&[
                "team",
                "Team",
                "a",
                "b",
                "",
                "a\tb",
                "cvm-gateway:x",
                "qcs:x",
                "项目",
            ]),
            false => "k".repeat(dice.pick(&[127, 128, 129])),
        },
        value: match dice.hits(70) {
            true => dice.text(&["web", "", "a\nb"]),
            false => "v".repeat(dice.pick(&[255, 256, 257])),
        },
    };
    let specification = |dice: &mut Dice| {
        let count = dice.pick(&[0, 1, 1, 2, 3]);
        let mut tags: Vec<Tag> = (0..count).map(|_| tag(dice)).collect();
        if dice.hits(10) {
            let many = dice.pick(&[48, 49, 50]);
            tags = (0..many)
                .map(|number| Tag {
                    key: format!("k{number}"),
                    value: String::new(),
                })
                .collect();
        }
        TagSpecification {
            resource_type: dice.text(&["instance", "instance", "instance", "host", ""]),
            tags,
        }
    };
    spec.tag_specification = (0..dice.pick(&[1, 1, 1, 2]))
        .map(|_| specification(dice))
        .collect();
}
