//! The chart for helm makes what the manifests for kustomize are, and refuses values that are none.

use super::kubernetes::{judge, kinds, of, reads_in_tke};
use super::{at, said, tool, yaml};
use crate::world::Folder;
use serde_json::Value;
use std::process::Command;

const CHART: &str = "deploy/helm/cvm-gateway";
const CONFIG: &str = "config=deploy/kubernetes/overlays/tke/cvm-gateway.toml";
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
    ];
    let none = [
        "disruptionBudget.enabled=false",
        "networkPolicy.enabled=false",
        "replicas=1",
    ];
    for (sets, count) in [(&all[..], 9), (&[][..], 7), (&none[..], 5)] {
        let documents = rendered(sets);
        judge(&documents);
        assert_eq!(documents.len(), count, "{sets:?}: {:?}", kinds(&documents));
        let longer = sets.contains(&"terminationGracePeriodSeconds=75");
        let pod = &of(&documents, "Deployment")["spec"]["template"]["spec"];
        let grace = &pod["terminationGracePeriodSeconds"];
        assert_eq!(grace.as_u64(), Some(if longer { 75 } else { 35 }));
        let said = reads_in_tke(&documents);
        assert!(said.contains("postgres://"), "{said}");
    }
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
        ("image.repository=", "repository"),
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
    let folder = Folder::new();
    let file = folder.0.join("rendered.yaml");
    let mut lint = tool("CVM_GATEWAY_TEST_HELM");
    said(with(lint.args(["lint", "--strict", CHART, OLDEST]), sets));
    std::fs::write(&file, said(&mut template(sets))).unwrap();
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
