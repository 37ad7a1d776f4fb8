//! The chart for helm makes what the manifests for kustomize are, and refuses values that are none.

use super::kubernetes::{judge, judge_rule, judge_spread, kinds, of, reads_in_tke};
use super::{at, said, tool, yaml};
use crate::world::Folder;
use serde_json::{Value, json};
use std::process::Command;

const CHART: &str = "deploy/helm/cvm-gateway";
const CONFIG: &str = "config=deploy/kubernetes/overlays/tke/cvm-gateway.toml";
const ALERTS: &[&str] = &[
    "--set-file",
    "prometheusRule.rules=deploy/prometheus/alerts.yaml",
];
/// The oldest Kubernetes that the chart says it is for.
const OLDEST: &str = "--kube-version=1.30.0";
/// What the configuration of the overlay for TKE names.
const SECRETS: &str = r#"[
    {"name": "cvm-gateway-journal", "items": [{"key": "url", "path": "journal/url"}, {"key": "key", "path": "journal/key"}]},
    {"name": "cvm-gateway-tls", "items": [{"key": "tls.crt", "path": "tls/tls.crt"}, {"key": "tls.key", "path": "tls/tls.key"}]}
]"#;

#[test]
fn the_chart_is_sound_however_it_is_set() {
    let all = [
        "serviceMonitor.enabled=true",
        "autoscaling.enabled=true",
        "image.tag=1.2.3",
        "terminationGracePeriodSeconds=75",
        "startupSeconds=1800",
    ];
    let none = [
        "disruptionBudget.enabled=false",
        "networkPolicy.enabled=false",
        "replicas=1",
    ];
    for (sets, count) in [(&all[..], 9), (&[][..], 7), (&none[..], 5)] {
        let documents = rendered(sets);
        judge(&documents);
        judge_spread(&documents);
        assert_eq!(documents.len(), count, "{sets:?}: {:?}", kinds(&documents));
        let longer = sets.contains(&"terminationGracePeriodSeconds=75");
        let pod = &of(&documents, "Deployment")["spec"]["template"]["spec"];
        let grace = &pod["terminationGracePeriodSeconds"];
        assert_eq!(grace.as_u64(), Some(if longer { 75 } else { 35 }));
        let startup = &pod["containers"][0]["startupProbe"]["failureThreshold"];
        assert_eq!(startup.as_u64(), Some(if longer { 900 } else { 450 }));
        let said = reads_in_tke(&documents);
        assert!(said.contains("postgres://"), "{said}");
    }
}

#[test]
fn the_chart_takes_the_alerts_for_the_operator() {
    let usual = rendered(&[]);
    assert!(!kinds(&usual).contains(&"PrometheusRule"));
    let release = "prometheusRule.labels.release=kube-prometheus-stack";
    let documents = rendered_with(ALERTS, &[release]);
    judge(&documents);
    judge_rule(&documents);
    let labels = &of(&documents, "PrometheusRule")["metadata"]["labels"];
    assert_eq!(labels["release"], "kube-prometheus-stack");
}

/// Where maps would be merged with the defaults, so that namespaces needed both labels.
#[test]
fn namespaces_of_one_s_own_take_the_place_of_the_usual_ones() {
    let from = |sets: &[&str]| of(&rendered(sets), "NetworkPolicy")["spec"]["ingress"].clone();
    let usual = from(&[]);
    let label = "cvm-gateway/callers";
    assert_eq!(
        usual[0]["from"],
        json!([{"namespaceSelector": {"matchLabels": {label: "true"}}}])
    );
    let own = from(&[
        "networkPolicy.callers[0].matchLabels.team=web",
        "networkPolicy.callers[1].matchLabels.team=ci",
    ]);
    let team = |team: &str| json!({"namespaceSelector": {"matchLabels": {"team": team}}});
    assert_eq!(own[0]["from"], json!([team("web"), team("ci")]));
    assert_eq!(own[1], usual[1]);
    let nobody = from(&["networkPolicy.callers=null"]);
    assert_eq!(nobody, json!([usual[1]]), "an empty `from` is everybody");
}

#[test]
fn ports_of_one_s_own_take_the_place_of_the_usual_ones() {
    let to = |more: &[&str]| {
        let documents = rendered_with(more, &[]);
        of(&documents, "NetworkPolicy")["spec"]["egress"].clone()
    };
    let usual = to(&[]);
    let ports = |ports: &[u16]| {
        let ports = ports.iter().map(|port| json!({ "port": port }));
        json!({ "ports": ports.collect::<Vec<_>>() })
    };
    assert_eq!(usual[1], ports(&[443, 6443, 5432]));
    let own = to(&["--set-json", "networkPolicy.egressPorts=[443, 80]"]);
    assert_eq!(own, json!([usual[0], ports(&[443, 80])]));
    for none in ["[]", "null"] {
        let nothing = to(&["--set-json", &format!("networkPolicy.egressPorts={none}")]);
        assert_eq!(nothing, json!([usual[0]]), "empty `ports` are all of them");
    }
}

/// Prometheus refuses a target that it waits for longer than until the next scrape.
#[test]
fn no_scrape_waits_for_longer_than_its_interval() {
    let sets = ["serviceMonitor.enabled=true", "serviceMonitor.interval=5s"];
    let documents = rendered(&sets);
    let endpoints = &of(&documents, "ServiceMonitor")["spec"]["endpoints"];
    let own = json!({"port": "admin", "path": "/metrics", "interval": "5s"});
    assert_eq!(*endpoints, json!([own]));
}

#[test]
fn the_chart_takes_a_service_account_that_is_there() {
    let sets = ["serviceAccount.create=false", "serviceAccount.name=theirs"];
    let documents = rendered(&sets);
    judge(&documents);
    assert!(!kinds(&documents).contains(&"ServiceAccount"));
    let pod = &of(&documents, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "theirs");
    let subjects = &of(&documents, "ClusterRoleBinding")["subjects"];
    assert_eq!(subjects[0]["name"], "theirs");
    let none = rendered(&sets[..1]);
    let pod = &of(&none, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "default");
}

#[test]
fn values_that_are_none_are_refused() {
    for (set, told) in [
        ("replcias=3", "replcias"),
        ("replicas=0", "replicas"),
        (
            "terminationGracePeriodSeconds=5",
            "terminationGracePeriodSeconds",
        ),
        ("startupSeconds=5", "startupSeconds"),
        ("image.repository=", "repository"),
        ("networkPolicy.callers.team=web", "callers"),
    ] {
        let said = refused(&mut template(&[set]));
        assert!(said.contains(told), "{set}: {said}");
    }
    let mut without = tool("CVM_GATEWAY_TEST_HELM");
    let without = without
        .args(["template", CHART, OLDEST])
        .current_dir(at(""));
    let said = refused(without);
    assert!(said.contains("config is empty"), "{said}");
}

fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?} succeeds");
    String::from_utf8(output.stderr).unwrap()
}

fn rendered(sets: &[&str]) -> Vec<Value> {
    rendered_with(&[], sets)
}

/// Beside `sets`, with more arguments.
fn rendered_with(more: &[&str], sets: &[&str]) -> Vec<Value> {
    let folder = Folder::new();
    let file = folder.0.join("rendered.yaml");
    let mut lint = tool("CVM_GATEWAY_TEST_HELM");
    let lint = lint.args(["lint", "--strict", CHART, OLDEST]);
    said(with(lint, sets).args(more));
    std::fs::write(&file, said(template(sets).args(more))).unwrap();
    let mut documents = yaml(file.to_str().unwrap());
    documents.retain(|document| !document.is_null());
    documents
}

fn template(sets: &[&str]) -> Command {
    let mut command = tool("CVM_GATEWAY_TEST_HELM");
    command.args([
        "template",
        "cvm-gateway",
        CHART,
        OLDEST,
        "--namespace",
        "cvm-gateway",
    ]);
    with(&mut command, sets);
    command
}

fn with<'a>(command: &'a mut Command, sets: &[&str]) -> &'a mut Command {
    command.current_dir(at(""));
    command.args(["--set-file", CONFIG]);
    command.args([
        "--set-json",
        &format!("secrets={}", SECRETS.replace('\n', "")),
    ]);
    for set in sets {
        command.args(["--set", set]);
    }
    command
}
