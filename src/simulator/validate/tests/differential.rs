//! The gateway's rules and the simulator's, written apart from one contract, judge the same
//! specifications. Where they differ, `docs/validation.md` says why.

use super::wishes::{Dice, specification};
use super::*;
use crate::cloud::body;
use crate::domain::ids::OperationId;
use crate::domain::names;
use crate::domain::rules::{self, Limits};
use crate::domain::spec::InstanceSpec;
use crate::domain::violation::Violation;
use std::collections::BTreeMap;

const SPECIFICATIONS: u64 = 100_000;
/// Draws so many instead.
const VARIABLE: &str = "CVM_GATEWAY_TEST_SPECIFICATIONS";
/// The two tables of differences.
const PAGE: &str = include_str!("../../../../docs/validation.md");

/// How often a difference was seen, and the first specification that showed it.
type Seen = BTreeMap<String, (u64, String)>;

/// The first column of the table under `heading`.
fn listed(heading: &str) -> BTreeSet<String> {
    let (_, section) = PAGE.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned())
        .collect()
}

/// What the gateway tells, without the places in lists and the numbers.
fn door(spec: &InstanceSpec, limits: &Limits) -> BTreeSet<String> {
    let region = names::Region::parse("ap-shanghai").unwrap();
    let told = rules::check(spec, &region, limits, NOW).0.into_iter();
    told.map(|Violation { field, message }| {
        let field = without_numbers(&field);
        if is_empty(spec, &field) {
            return format!("{field}: empty");
        }
        format!("{field}: {}", without_numbers(&message))
    })
    .collect()
}

/// The text with `#` for each number.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if shown.ends_with('#') => {}
            '0'..='9' => shown.push('#'),
            c => shown.push(c),
        }
    }
    shown.replace(" -#", " #").replace("[#]", "[]")
}

/// Whether the field is an empty text, which the simulator takes for none.
fn is_empty(spec: &InstanceSpec, field: &str) -> bool {
    let text = match field {
        "spec.cam_role_name" => &spec.cam_role_name,
        "spec.dedicated_cluster_id" => &spec.dedicated_cluster_id,
        "spec.host_name" => &spec.host_name,
        "spec.hpc_cluster_id" => &spec.hpc_cluster_id,
        "spec.data_disks[].snapshot_id" => {
            let mut ids = spec.data_disks.iter().map(|disk| &disk.snapshot_id);
            return ids.all(|id| id.as_deref() != Some("snap"));
        }
        _ => return false,
    };
    text.as_deref() == Some("")
}

/// What the simulator says to the very bytes that the gateway would send: the code, and of a code
/// that many rules share also the parameter.
fn cloud(catalog: &Catalog, spec: &InstanceSpec) -> Option<String> {
    let id = OperationId::parse("019b7d5e-0000-7000-8000-000000000001").unwrap();
    let body = body::run_instances(spec, id, 0).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let region = catalog.region("ap-shanghai").unwrap();
    let refusal = decode(&body)
        .and_then(|request| order(catalog, region, NOW, &request).map(|_order| ()))
        .err()?;
    let shared = [
        "InvalidParameterValue",
        "InvalidParameterValue.LimitExceeded",
        "InvalidParameterValue.Range",
        "InvalidParameterCombination",
        "MissingParameter",
    ];
    let parameter = refusal.message.split('`').nth(1).unwrap_or_default();
    let parameter = parameter
        .replace(|c: char| c.is_ascii_digit(), "")
        .replace("..", ".");
    let windows = spec.image_id.as_deref() == Some("img-9id7emv7");
    Some(match refusal.into_code() {
        code if shared.contains(&code) => format!("{code} {parameter}"),
        code @ ("InvalidParameterValue.IllegalHostName" | "InvalidPassword") if windows => {
            format!("{code} (Windows)")
        }
        code => code.to_owned(),
    })
}

fn note(seen: &mut Seen, key: &str, spec: &InstanceSpec) {
    let first = || (0, serde_json::to_string(spec).unwrap());
    seen.entry(key.to_owned()).or_insert_with(first).0 += 1;
}

fn unexplained(seen: &Seen, listed: &BTreeSet<String>) -> Vec<String> {
    let rows = seen.iter().filter(|(key, _)| !listed.contains(*key));
    rows.map(|(key, (times, spec))| {
        format!("{key} ({times} times): {}", &spec[..spec.len().min(900)])
    })
    .collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a person may ask for more")]
fn the_gateway_and_the_simulator_judge_alike() {
    let drawn = std::env::var(VARIABLE).map_or(SPECIFICATIONS, |text| text.parse().unwrap());
    let limits = Limits {
        instance_count_max: 500, // the simulator's bound
        ..Limits::default()
    };
    let catalog = Catalog::embedded();
    let (mut laxer, mut stricter) = (Seen::new(), Seen::new());
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..drawn {
        let spec = specification(&mut Dice::new(seed));
        match (door(&spec, &limits), cloud(&catalog, &spec)) {
            (fields, None) if fields.is_empty() => taken += 1,
            (fields, Some(code)) if fields.is_empty() => note(&mut laxer, &code, &spec),
            (fields, None) => fields
                .iter()
                .for_each(|field| note(&mut stricter, field, &spec)),
            (_, Some(_)) => refused += 1,
        }
    }
    let (cloud_only, gateway_only) = (
        listed("## What only the cloud refuses"),
        listed("## What only the gateway refuses"),
    );
    let mut wrong = unexplained(&laxer, &cloud_only);
    wrong.extend(unexplained(&stricter, &gateway_only));
    assert!(
        wrong.is_empty(),
        "{taken} taken, {refused} refused\n{}",
        wrong.join("\n")
    );
    // As many as make the agreement worth something.
    assert!(
        taken > drawn / 10 && refused > drawn / 10,
        "{taken} {refused}"
    );
    // And no explanation of what is not so.
    let seen: BTreeSet<String> = laxer.into_keys().chain(stricter.into_keys()).collect();
    let idle: Vec<_> = (cloud_only.union(&gateway_only))
        .filter(|row| !seen.contains(*row))
        .collect();
    assert!(
        drawn < SPECIFICATIONS || idle.is_empty(),
        "never seen: {idle:?}"
    );
}
