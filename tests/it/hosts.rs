//! The corpus of hosts: texts that try to make the gateway sign for another host, each with what must come
//! of it, at every door that such a text can come through.

use crate::refusals::told;
use crate::world::{World, client, config_text, run, wish};
use cvm_gateway::cloud::credentials::MachineRole;
use cvm_gateway::cloud::endpoint::{DOMAINS, Endpoint};
use cvm_gateway::config::Config;
use cvm_gateway::domain::names::Region;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use tonic::Code;

const CORPUS: &str = include_str!("../../testdata/corpus/hosts.jsonl");

/// A text, where it comes in, and what must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    r#where: Door,
    text: String,
    expect: Expectation,
    /// For who reads the corpus.
    #[serde(rename = "why")]
    _why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Door {
    Domain,
    Override,
    Region,
    Metadata,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Expectation {
    /// The host that is signed for and called.
    Host {
        host: String,
        /// Where regions are called at their own hosts.
        regional: Option<String>,
    },
    Refused(Refused),
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Refused {
    Refused,
}

fn cases() -> Vec<Case> {
    let lines = CORPUS.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A text as TOML can hold any.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        write!(quoted, "\\U{:08X}", u32::from(letter)).unwrap();
    }
    quoted + "\""
}

fn parsed(more: &str) -> Option<Config> {
    let text = format!(
        "[organizations.development]\ndefault_account = \"main\"\n\
         accounts.main = {{ secret_id = \"i\", secret_key = \"k\" }}\n{more}"
    );
    Config::parse("gw.toml", &text, Path::new("/")).ok()
}

fn shanghai() -> Region {
    Region::parse("ap-shanghai").unwrap()
}

/// The hosts that calls go to, and the one that STS is asked at; the URL and the signed host must be one.
fn hosts(endpoint: &Endpoint, region: &Region) -> Vec<String> {
    let addresses = [
        endpoint.address(region),
        endpoint.nearest(region),
        endpoint.sts(region),
    ];
    let host = |address: cvm_gateway::cloud::endpoint::Address| {
        let scheme = address.url.split("://").next().unwrap();
        assert_eq!(address.url, format!("{scheme}://{}/", address.host));
        address.host
    };
    addresses.map(host).to_vec()
}

/// What comes of a text at its door: the hosts, or nothing when it is refused.
fn come_of(case: &Case) -> Option<Vec<String>> {
    let text = quoted(&case.text);
    match case.r#where {
        Door::Domain => {
            // Not set is the default, which is what an empty text means.
            let by_config = parsed(&format!("[cloud.endpoint]\ndomain = {text}\n"));
            let endpoint = Endpoint::parse(&case.text, false, None).ok();
            assert_eq!(by_config.is_some(), endpoint.is_some(), "{case:?}");
            endpoint.map(|endpoint| hosts(&endpoint, &shanghai()))
        }
        Door::Override => {
            let by_config = parsed(&format!("[cloud.endpoint]\noverride = {text}\n"));
            let endpoint = Endpoint::parse(DOMAINS[0], true, Some(&case.text)).ok();
            let set = !case.text.is_empty();
            assert_eq!(by_config.is_some() && set, endpoint.is_some(), "{case:?}");
            let hosts = endpoint.map(|endpoint| hosts(&endpoint, &shanghai()));
            let one = |hosts: &Vec<String>| hosts.iter().all(|host| *host == hosts[0]);
            assert!(hosts.as_ref().is_none_or(one), "{case:?}");
            hosts
        }
        Door::Region => {
            let by_config = parsed(&format!("[cloud]\nregions = [{text}]\n"));
            let region = Region::parse(&case.text).ok();
            assert_eq!(by_config.is_some(), region.is_some(), "{case:?}");
            region.map(|region| {
                let endpoint = |regional| Endpoint::parse(DOMAINS[0], regional, None).unwrap();
                let own = endpoint(true).address(&region).host;
                vec![hosts(&endpoint(false), &region)[0].clone(), own]
            })
        }
        Door::Metadata => {
            let role = format!("accounts.machine.machine_role.endpoint = {text}\n");
            let by_config = parsed(&role);
            let url = MachineRole::endpoint(&case.text).ok();
            assert_eq!(by_config.is_some(), url.is_some(), "{case:?}");
            url.map(|url| vec![url.authority().to_owned()])
        }
    }
}

#[test]
fn no_text_makes_the_gateway_sign_for_another_host() {
    let cases = cases();
    let mut counted = BTreeMap::new();
    for case in &cases {
        *counted.entry(case.r#where).or_insert(0) += 1;
        match (come_of(case), &case.expect) {
            (None, Expectation::Refused(_)) => {}
            (Some(hosts), Expectation::Host { host, regional }) => {
                assert_eq!(hosts.first(), Some(host), "{case:?}");
                if let Some(regional) = regional {
                    assert_eq!(hosts.last(), Some(regional), "{case:?}");
                    assert!(
                        hosts
                            .iter()
                            .all(|host| host.ends_with(".tencentcloudapi.com"))
                    );
                }
            }
            (found, _) => panic!("{found:?} came of {case:?}"),
        }
    }
    assert!(cases.len() >= 150 && counted.len() == 4, "{counted:?}");
}

/// The same texts as the region of a request: what is no region is refused by its field, and nothing is
/// sent for it.
#[tokio::test(flavor = "multi_thread")]
async fn no_region_of_a_request_is_sent_that_is_none() {
    let world = World::new(100.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    let extra = "check_zones = false
[operations.sweep]
interval = \"0s\"
[cloud]
regions = []";
    let text = config_text(&world.folder.0, &endpoint, extra);
    let config = Config::parse("test.toml", &text, &world.folder.0).unwrap();
    let gateway = world.gateway_of(config).await;
    let mut client = client(&gateway).await;
    let mut sent = 0;
    for (number, case) in cases().into_iter().enumerate() {
        if case.r#where != Door::Region {
            continue;
        }
        let mut request = wish(&number.to_string(), 1);
        request.region.clone_from(&case.text);
        let spec = request.spec.as_mut().unwrap();
        spec.placement.as_mut().unwrap().zone = format!("{}-2", case.text);
        let seen = run(&mut client, request).await;
        if matches!(case.expect, Expectation::Refused(_)) {
            let status = seen.end.unwrap_err();
            let told = told(&status);
            assert_eq!(told.code, Code::InvalidArgument, "{case:?}: {told:?}");
            assert!(
                told.fields.iter().any(|field| field == "region"),
                "{case:?}: {told:?}"
            );
            assert!(seen.snapshots.is_empty(), "{case:?}");
        } else {
            sent += 1;
        }
        let regions = world.ledger().await.into_iter();
        let regions =
            regions.filter(|entry| entry["kind"] == "attempt" && entry["region"] == *case.text);
        let none = regions.count() == 0;
        assert_eq!(
            none,
            matches!(case.expect, Expectation::Refused(_)),
            "{case:?}"
        );
    }
    assert!(sent > 4);
    gateway.stop().await;
}
