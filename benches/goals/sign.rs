//! P12: signing a request, against the hash that every signature needs, and against the official SDK.

use crate::program::python;
use crate::report::{Bound, Chapter, Figure, Goal, digits, table};
use crate::rounds::{figures, processor_seconds_per_unit, ratio, rounds};
use cvm_gateway::cloud::tc3;
use sha2::{Digest, Sha256};
use std::hint::black_box;

const ROUNDS: usize = 15;
/// The body of a RunInstances call with most of its parameters.
const BODY_BYTES: usize = 1_272;
const TIMES: u32 = 5_000;
const NAMES: [&str; 3] = ["SHA-256 of the body", "gateway", "official Python SDK"];

const P12: Goal = Goal {
    id: "P12",
    what: "a TC3 signature of 1,272 bytes: to their SHA-256",
    must: Bound::AtMost(1.6),
    best: Bound::AtMost(1.35),
};
const P12_SDK: Goal = Goal {
    id: "P12",
    what: "faster than the official Python SDK, times",
    must: Bound::AtLeast(8.0),
    best: Bound::AtLeast(20.0),
};

pub(crate) fn measure() -> Chapter {
    let rows = rounds::<3>(ROUNDS, |rival| match rival {
        0 => raw_sha256(),
        1 => tc3_signature(),
        _ => sdk(),
    });
    let row = |(rival, name): (usize, &&str)| {
        let nanos = digits(figures(&rows, rival).median * 1e9);
        vec![
            (*name).to_owned(),
            nanos,
            digits(ratio(&rows, rival, 0).median),
        ]
    };
    Chapter {
        title: "Signing",
        how: "One signature with the day's key and the action's form at hand, as the client makes it, in this process. The SDK's part is `_get_tc3_signature` alone.",
        figures: vec![
            Figure {
                goal: P12,
                measured: ratio(&rows, 1, 0),
                short: SHORT,
            },
            Figure {
                goal: P12_SDK,
                measured: ratio(&rows, 2, 1),
                short: SHORT,
            },
        ],
        parts: table(
            &["", "ns", "to the hash"],
            NAMES.iter().enumerate().map(row),
        ),
    }
}

const SHORT: &str = "26 blocks are hashed where the body alone is 21, which is 1.24 times; to wipe the states of the hashes takes a twentieth, and the texts the rest.";

fn raw_sha256() -> f64 {
    let body = [b'x'; BODY_BYTES];
    processor_seconds_per_unit(TIMES, || {
        black_box(Sha256::digest(black_box(&body)));
    })
}

fn tc3_signature() -> f64 {
    let body = [b'x'; BODY_BYTES];
    let at = time::macros::utc_datetime!(2026-01-01 00:00);
    let (id, secret) = (
        "AKIDfakeForLoopbackTestsOnly0000001",
        "fakeSecretKeyLoopbackTestsOnly001",
    );
    let key = tc3::DayKey::derive(id, secret, at);
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("host", "cvm.tencentcloudapi.com"),
        ("x-tc-action", "RunInstances"),
    ];
    let form = tc3::Form::new("POST", "", &headers);
    processor_seconds_per_unit(TIMES, || {
        black_box(form.sign(black_box(&body), &key, at));
    })
}

fn sdk() -> f64 {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/goals/sign.py");
    python(&[script, &TIMES.to_string()])
        .trim()
        .parse()
        .unwrap()
}
