//! What `docker compose` starts is what there is, and its configurations are sound.

use super::configuration::{KEY, check};
use super::{at, read, said, tool, yaml};
use crate::world::{Folder, put_secret};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

const FILE: &str = "deploy/compose.yaml";

#[test]
fn the_services_of_compose_read_sound_configurations() {
    let compose = yaml(FILE).remove(0);
    let services = compose["services"].as_object().unwrap();
    let key = std::fs::read_to_string(crate::postgres::key_file()).unwrap();
    let mut ports = Vec::new();
    for (name, service) in services
        .iter()
        .filter(|(name, _)| name.starts_with("gateway-"))
    {
        let folder = Folder::new();
        put_secret(&folder.0.join("journal.key"), &key);
        for (variable, value) in KEY {
            assert_eq!(service["environment"][variable], value, "{name}");
        }
        let text = read(&format!(
            "deploy/{}",
            mounted(service, "/etc/cvm-gateway/cvm-gateway.toml")
        ));
        let said = check(&text, "/var/lib/cvm-gateway", &folder.0, &KEY);
        assert!(said.contains("postgres://"), "{said}");
        let health = service["healthcheck"]["test"].as_array().unwrap();
        let admin = health
            .last()
            .unwrap()
            .as_str()
            .unwrap()
            .rsplit_once(':')
            .unwrap()
            .1;
        assert!(
            text.contains(&format!("\nlisten = \"0.0.0.0:{admin}\"")),
            "{name}: {admin}"
        );
        ports.push(format!("simulator:{admin}"));
    }
    assert_eq!(ports.len(), 2, "there are two gateways");
    let prometheus = yaml("deploy/compose/prometheus.yaml").remove(0);
    let job = &prometheus["scrape_configs"][0];
    assert_eq!(job["job_name"], "cvm-gateway");
    let targets = job["static_configs"][0]["targets"].as_array().unwrap();
    assert_eq!(
        targets,
        &ports.into_iter().map(Value::from).collect::<Vec<_>>()
    );
    assert_eq!(
        mounted(&services["prometheus"], "/etc/prometheus/alerts.yaml"),
        "prometheus/alerts.yaml"
    );
    let mut promtool = tool("CVM_GATEWAY_TEST_PROMTOOL");
    let promtool = promtool.args(["check", "config", "--syntax-only"]);
    said(promtool.arg(at("deploy/compose/prometheus.yaml")));
}

/// What docker compose makes of a file, as JSON.
fn loaded(file: &Path) -> Output {
    let mut command = tool("CVM_GATEWAY_TEST_GO");
    command.current_dir(at("tests/go/compose"));
    command.env("CGO_ENABLED", "0").args(["run", "."]).arg(file);
    command.output().unwrap()
}

#[test]
fn the_loader_of_compose_itself_reads_the_file() {
    let output = loaded(&at(FILE));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let project: Value = serde_json::from_slice(&output.stdout).unwrap();
    let services = project["services"].as_object().unwrap();
    assert_eq!(services.len(), 6, "{services:?}");
    for (name, waits_for) in [
        ("gateway-1", "service_healthy"),
        ("gateway-2", "service_healthy"),
        ("prometheus", "service_started"),
    ] {
        let mut conditions = services[name]["depends_on"].as_object().unwrap().values();
        assert!(
            conditions.any(|it| it["condition"] == waits_for),
            "{name}: {}",
            services[name]["depends_on"]
        );
    }
    // What is mounted is there, and nothing is reachable from other machines.
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume["source"].as_str().unwrap();
            assert!(
                volume["type"] != "bind" || Path::new(source).is_file(),
                "{name}: {source}"
            );
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
        }
    }
}

#[test]
fn the_loader_of_compose_refuses_mistakes() {
    for (right, wrong, said) in [
        ("read_only: true", "readonly: true", "readonly"),
        ("service:simulator", "service:simulatr", "simulatr"),
        (
            "condition: service_healthy",
            "condition: healthy",
            "condition",
        ),
    ] {
        let folder = Folder::new();
        let file = folder.0.join("compose.yaml");
        // With the key of the simulator in it.
        put_secret(&file, &read(FILE).replacen(right, wrong, 1));
        let output = loaded(&file);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{wrong}");
        assert!(errors.contains(said), "{wrong}: {errors}");
    }
}

/// The file below deploy/ that a service sees at a path.
fn mounted<'a>(service: &'a Value, path: &str) -> &'a str {
    let volumes = service["volumes"].as_array().unwrap().iter();
    let volumes = volumes.map(|volume| volume.as_str().unwrap());
    let at_path = volumes.filter_map(|volume| volume.strip_suffix(":ro")?.strip_suffix(path));
    let mut own = at_path.filter_map(|file| file.strip_prefix("./")?.strip_suffix(':'));
    own.next()
        .unwrap_or_else(|| panic!("nothing is mounted at {path}"))
}
