//! The corpus of folders of rules: each is read as it says, by a gateway that runs; none ends it, and
//! the bad ones change nothing of what it decides.

use crate::policy::{denied, metric, until};
use crate::world::{Client, World, client, wish};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cvm_gateway::config::{rule_files, rules_of};
use cvm_gateway::domain::causes::chain;
use cvm_gateway::domain::rules::Limits;
use cvm_gateway::gateway::Gateway;
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const CORPUS: &str = include_str!("../../testdata/corpus/policy.jsonl");
/// What every folder begins with.
const RULES: &str = "@id(\"all\") permit(principal, action, resource);\n";
const LAYER: &str =
    "level = \"organization\"\norganization = \"acme\"\n[default]\nhost_name = \"aa\"\n";
const CASE: &str = "[[case]]\nname = \"launch\"\nprincipal = \"dev\"\norganization = \"acme\"\naccount = \"main\"\nexpect = \"allow\"\n[case.request]\nregion = \"ap-shanghai\"\nspec = { placement = { zone = \"ap-shanghai-2\" }, image_id = \"img-pmqg1cw7\", instance_type = \"S5.SMALL1\" }\n";
/// What the gateway begins with, and comes back to: it denies, so that a decision names its version.
const GOOD: &str = "@id(\"none\") forbid(principal, action, resource);\n";

const RELOADS: &str = "cvm_gateway_policy_reloads_total";
const FAILURES: &str = "cvm_gateway_policy_reload_failures_total";

fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn members<'a>(row: &'a Value, name: &str) -> Vec<(&'a str, &'a Value)> {
    let members = row[name].as_object().into_iter().flatten();
    members
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

fn names<'a>(row: &'a Value, name: &str) -> Vec<&'a str> {
    let names = row[name].as_array().into_iter().flatten();
    names.map(|name| name.as_str().unwrap()).collect()
}

/// Makes the folder that a row tells of.
fn make(row: &Value, folder: &Path) {
    let begin = [
        ("all.cedar", RULES),
        ("layers/a.toml", LAYER),
        ("tests/a.toml", CASE),
    ];
    let given = members(row, "files");
    let given = |name: &str| given.iter().any(|(given, _)| *given == name);
    for (name, text) in begin {
        if !given(name) {
            put(&folder.join(name), text.as_bytes());
        }
    }
    std::fs::create_dir_all(folder).unwrap();
    for (name, text) in members(row, "files") {
        if let Some(text) = text.as_str() {
            put(&folder.join(name), text.as_bytes());
        }
    }
    for (name, bytes) in members(row, "bytes") {
        put(
            &folder.join(name),
            &BASE64_STANDARD.decode(bytes.as_str().unwrap()).unwrap(),
        );
    }
    for (name, line) in members(row, "repeat") {
        let times = usize::try_from(line[1].as_u64().unwrap()).unwrap();
        put(
            &folder.join(name),
            line[0].as_str().unwrap().repeat(times).as_bytes(),
        );
    }
    for (name, line) in members(row, "copies") {
        for number in 0..line[1].as_u64().unwrap() {
            let name = name.replace("{}", &number.to_string());
            put(&folder.join(name), line[0].as_str().unwrap().as_bytes());
        }
    }
    for name in names(row, "folders") {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    for name in names(row, "pipes") {
        let made = Command::new("mkfifo").arg(folder.join(name)).status();
        assert!(made.unwrap().success());
    }
    for (name, target) in members(row, "links") {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target.as_str().unwrap(), path).unwrap();
    }
}

/// What is wrong with what is said of a row.
fn judge(row: &Value, folder: &Path) -> Option<String> {
    let limits = Limits::default();
    let read = rule_files(folder).and_then(|files| rules_of(folder, &files, &limits));
    let said = match &read {
        Ok(_) => "ok".to_owned(),
        Err(error) => chain(error, ": "),
    };
    let place = folder.display().to_string();
    let holds = |says: &str| said.contains(&says.replace("PLACE", &place));
    let as_it_says = match row["outcome"].as_str().unwrap() {
        "ok" => read.is_ok(),
        _ => {
            let too = row["says_too"].as_str().unwrap_or_default();
            read.is_err() && holds(row["says"].as_str().unwrap()) && holds(too)
        }
    };
    (!as_it_says).then(|| format!("{}: {said:.300}", row["name"]))
}

/// The rules are a link, as in a volume of Kubernetes, which leads elsewhere at once.
fn lead(world: &World, to: &Path) {
    let new = world.folder.0.join("new");
    symlink(to, &new).unwrap();
    std::fs::rename(new, world.folder.0.join("policy")).unwrap();
}

/// The version of the rules that decide.
async fn version(client: &mut Client) -> String {
    let refusal = client.run_instances(wish("a", 1)).await.unwrap_err();
    denied(&refusal);
    crate::refusals::told(&refusal).metadata["policy"].clone()
}

async fn counts(gateway: &Gateway) -> (u64, u64) {
    (
        metric(gateway, RELOADS).await,
        metric(gateway, FAILURES).await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_folder_of_the_corpus_is_read_as_it_says() {
    let world = World::new(100.0).await;
    let good = world.folder.0.join("good");
    put(&good.join("none.cedar"), GOOD.as_bytes());
    lead(&world, &good);
    let settings = "[policy]\ndirectory = \"policy\"\nreload_interval = \"2ms\"\n";
    let gateway = world.gateway(settings).await;
    let mut client = client(&gateway).await;
    let begun = version(&mut client).await;
    let (mut wrong, mut rows, mut bad) = (Vec::new(), 0, 0);
    for line in CORPUS.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let folder = world.folder.0.join("row");
        make(&row, &folder);
        wrong.extend(judge(&row, &folder));
        rows += 1;
        let before = counts(&gateway).await;
        lead(&world, &folder);
        if row["outcome"] == "ok" {
            let expected = (before.0 + 1, before.1);
            until(async || counts(&gateway).await == expected).await;
        } else {
            bad += 1;
            let expected = (before.0, before.1 + 1);
            until(async || counts(&gateway).await == expected).await;
            assert_eq!(version(&mut client).await, begun, "{}", row["name"]);
        }
        // The last good ones again, which a reload that failed never left.
        let before = counts(&gateway).await;
        lead(&world, &good);
        until(async || counts(&gateway).await.0 == before.0 + 1).await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
    assert_eq!(version(&mut client).await, begun);
    assert!(
        wrong.is_empty(),
        "{} of {rows}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(rows >= 300 && bad >= 250, "{rows} rows, {bad} of them bad");
    gateway.stop().await;
}
