//! The manifests for Kubernetes fit its schemas, the strictest standard for pods, and the program.

use super::configuration::{KEY, check};
use super::{at, read, said, tool, yaml};
use crate::identity::pki::Authority;
use crate::world::{Folder, put_secret};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The oldest Kubernetes that has all that is used (`lifecycle.preStop.sleep`), and the newest whose
/// schemas are there.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];
const MOUNTED: &str = "/etc/cvm-gateway";

#[test]
fn the_overlay_for_tke_is_sound() {
    let documents = built("tke");
    judge(&documents);
    judge_spread(&documents);
    let kinds = kinds(&documents);
    for kind in [
        "ClusterRoleBinding",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    ] {
        assert!(kinds.contains(&kind), "there is no {kind}");
    }
    let said = reads_in_tke(&documents);
    assert!(said.contains("postgres://"), "{said}");
    // Without it, TKE gives the pod no role, and there are no variables of one.
    let annotations = &of(&documents, "ServiceAccount")["metadata"]["annotations"];
    let role = annotations["tke.cloud.tencent.com/role-arn"].as_str();
    assert!(role.unwrap().starts_with("qcs::cam::uin/"), "{role:?}");
}

/// As [`reads`], with what TKE gives a pod that has a role.
pub(super) fn reads_in_tke(documents: &[Value]) -> String {
    let roles = Folder::new();
    let token = roles.0.join("token");
    put_secret(&token, "token");
    let environment = [
        ("TKE_REGION", "ap-shanghai"),
        ("TKE_PROVIDER_ID", "OIDC"),
        (
            "TKE_ROLE_ARN",
            "qcs::cam::uin/100000000001:roleName/gateway",
        ),
        ("TKE_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
    ];
    reads(documents, &environment)
}

#[test]
fn the_overlay_with_the_simulator_is_sound() {
    let documents = built("simulator");
    judge(&documents);
    let said = reads(&documents, &KEY);
    assert!(said.contains("http://127.0.0.1:8080"), "{said}");
}

#[test]
fn who_installs_it_is_told_the_oldest_kubernetes() {
    let needs = format!("Kubernetes {} or newer", VERSIONS[0]);
    for place in [
        "deploy/kubernetes/overlays/simulator/kustomization.yaml",
        "deploy/kubernetes/overlays/tke/kustomization.yaml",
        "docs/deployment.md",
    ] {
        assert!(read(place).contains(&needs), "{place}");
    }
    let chart = yaml("deploy/helm/cvm-gateway/Chart.yaml").remove(0);
    assert_eq!(chart["kubeVersion"], format!(">= {}.0-0", VERSIONS[0]));
}

/// The command of the page, with what it would give to kubectl.
#[test]
fn the_alerts_are_wrapped_for_the_operator_as_the_page_says() {
    let page = read("docs/deployment.md");
    let mut commands = page.split("```sh\n").skip(1);
    let command = commands.find(|command| command.contains("kind: PrometheusRule"));
    let (command, _) = command.unwrap().split_once("\n```").unwrap();
    let shown = command.replace("| kubectl apply -f -", "| cat");
    assert_ne!(shown, command);
    let mut shell = Command::new("sh");
    let wrapped = said(shell.args(["-ec", &shown]).current_dir(at("")));
    let folder = Folder::new();
    let file = folder.0.join("rule.yaml");
    std::fs::write(&file, wrapped).unwrap();
    let documents = yaml(file.to_str().unwrap());
    fit(&documents);
    judge_rule(&documents);
}

/// The alerts of the operator are those of the file.
pub(super) fn judge_rule(documents: &[Value]) {
    let file = yaml("deploy/prometheus/alerts.yaml").remove(0);
    assert_eq!(of(documents, "PrometheusRule")["spec"], file);
}

/// What kustomize makes of an overlay.
fn built(overlay: &str) -> Vec<Value> {
    let folder = Folder::new();
    let mut kustomize = tool("CVM_GATEWAY_TEST_KUSTOMIZE");
    let overlay = at("deploy/kubernetes/overlays").join(overlay);
    let file = folder.0.join("built.yaml");
    // With the simulator, its key stands in there.
    put_secret(&file, &said(kustomize.arg(overlay)));
    yaml(file.to_str().unwrap())
}

pub(super) fn kinds(documents: &[Value]) -> Vec<&str> {
    let kinds = documents
        .iter()
        .map(|document| document["kind"].as_str().unwrap());
    kinds.collect()
}

pub(super) fn of<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let found = documents.iter().find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("there is no {kind}"))
}

/// What the schemas say.
fn fit(documents: &[Value]) {
    let folder = Folder::new();
    let file = folder.0.join("documents.json");
    put_secret(&file, &serde_json::to_string(documents).unwrap());
    let mut check = tool("CVM_GATEWAY_TEST_PYTHON");
    let check = check.arg(at("tests/python/kubernetes_check.py"));
    assert_eq!(said(check.arg(file).args(VERSIONS)).trim(), "");
}

/// The schemas; then what they cannot say.
pub(super) fn judge(documents: &[Value]) {
    fit(documents);
    let deployment = of(documents, "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in pod["containers"].as_array().unwrap() {
        let rights = &container["securityContext"];
        assert_eq!(rights["readOnlyRootFilesystem"], true);
        assert_eq!(rights["allowPrivilegeEscalation"], false);
        assert_eq!(rights["capabilities"]["drop"][0], "ALL");
        assert!(container["resources"]["limits"]["memory"].is_string());
        // One without a tag is pulled from a registry that has none of that name.
        let image = container["image"].as_str().unwrap();
        assert!(image.contains(':'), "{image} has no tag");
    }
    let gateway = &pod["containers"][0];
    let (before, grace) = (
        &gateway["lifecycle"]["preStop"]["sleep"]["seconds"],
        &pod["terminationGracePeriodSeconds"],
    );
    let drain = 20 + 3 + before.as_u64().unwrap();
    assert!(
        grace.as_u64().unwrap() > drain,
        "it is killed while it drains"
    );
    let probe = ["periodSeconds", "failureThreshold"];
    let probe = probe.map(|name| gateway["startupProbe"][name].as_u64().unwrap());
    assert!(
        probe[0] * probe[1] >= start_max(),
        "it is killed while it brings its journal up to date"
    );
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let service = &of(documents, "Service")["spec"]["selector"];
    for chosen in [selector, service] {
        for (label, value) in chosen.as_object().unwrap() {
            assert_eq!(&labels[label], value, "no pod has the label {label}");
        }
    }
}

/// The seconds that a start may take under systemd: the journal is no smaller here.
fn start_max() -> u64 {
    let unit = read("deploy/systemd/cvm-gateway.service");
    let mut lines = unit.lines();
    let max = lines.find_map(|line| line.strip_prefix("TimeoutStartSec="));
    max.unwrap().parse().unwrap()
}

/// Two gateways on one machine, or in one zone, end together.
pub(super) fn judge_spread(documents: &[Value]) {
    let deployment = of(documents, "Deployment");
    let pod = &deployment["spec"]["template"];
    let constraints = pod["spec"]["topologySpreadConstraints"].as_array().unwrap();
    let keys: Vec<_> = constraints
        .iter()
        .map(|constraint| constraint["topologyKey"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    );
    for constraint in constraints {
        let chosen = &constraint["labelSelector"]["matchLabels"];
        for (label, value) in chosen.as_object().unwrap() {
            assert_eq!(&pod["metadata"]["labels"][label], value, "{label}");
        }
    }
}

/// What the gateway says about its configuration with what is mounted beside it, and nothing else.
fn reads(documents: &[Value], environment: &[(&str, &str)]) -> String {
    let folder = Folder::new();
    let pod = &of(documents, "Deployment")["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().unwrap();
    let config = volumes.iter().find(|volume| volume["name"] == "config");
    for source in config.unwrap()["projected"]["sources"].as_array().unwrap() {
        mount(&folder.0, source);
    }
    let text = of(documents, "ConfigMap")["data"]["cvm-gateway.toml"].as_str();
    let text = text.unwrap();
    let ports = pod["containers"][0]["ports"].as_array().unwrap();
    for (name, table) in [("grpc", "[grpc]"), ("admin", "[admin]")] {
        let port = ports.iter().find(|port| port["name"] == name).unwrap();
        let listens = format!("{table}\nlisten = \"0.0.0.0:{}\"\n", port["containerPort"]);
        assert!(
            text.contains(&listens),
            "{name} is not served at {}",
            port["containerPort"]
        );
    }
    check(text, MOUNTED, &folder.0, environment)
}

/// Puts something in the place of each file that a source of the volume brings.
fn mount(folder: &Path, source: &Value) {
    let token = source["serviceAccountToken"]["path"].as_str();
    let lists = ["secret", "configMap"].map(|kind| source[kind]["items"].as_array());
    let items = lists.into_iter().flatten().flatten();
    for path in items
        .map(|item| item["path"].as_str().unwrap())
        .chain(token)
    {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        put_secret(&file, &content(path));
    }
    // The rest of a pair was made with its first.
    if folder.join("tls").exists() {
        let issued = Authority::new("ca").server();
        put_secret(&folder.join("tls/tls.crt"), &issued.certificate);
        put_secret(&folder.join("tls/tls.key"), &issued.key);
    }
}

fn content(path: &str) -> String {
    match path {
        "journal/url" => "postgres://gateway:secret@db.example/gateway".to_owned(),
        "journal/key" => std::fs::read_to_string(crate::postgres::key_file()).unwrap(),
        "cluster/ca.crt" => Authority::new("cluster").pem(),
        "cloud/key" => "not-a-real-key-not-a-real-key-00".to_owned(),
        _ => "token".to_owned(),
    }
}
