//! What `docker compose` starts is what there is, and its configurations are sound.

use super::configuration::{KEY, check};
use super::{at, read, said, tool, yaml};
use crate::world::{Folder, put_secret};
use serde_json::Value;

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

/// The file below deploy/ that a service sees at a path.
fn mounted<'a>(service: &'a Value, path: &str) -> &'a str {
    let volumes = service["volumes"].as_array().unwrap().iter();
    let volumes = volumes.map(|volume| volume.as_str().unwrap());
    let at_path = volumes.filter_map(|volume| volume.strip_suffix(":ro")?.strip_suffix(path));
    let mut own = at_path.filter_map(|file| file.strip_prefix("./")?.strip_suffix(':'));
    own.next()
        .unwrap_or_else(|| panic!("nothing is mounted at {path}"))
}
