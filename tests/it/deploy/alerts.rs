//! The alerts and the dashboard name what there is, and each alert is shown to fire.

use super::promql::{Names, names};
use super::{at, read, said, tool, yaml};
use cvm_gateway::cloud::client::CallClass;
use cvm_gateway::cloud::limiter::{Action, Class};
use cvm_gateway::domain::ids::OrganizationId;
use cvm_gateway::domain::operation::StateName;
use cvm_gateway::metrics::{Key, Metrics};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const TESTS: &str = "deploy/prometheus/alerts.test.yaml";
const DASHBOARD: &str = "deploy/grafana/cvm-gateway.json";

#[test]
fn promtool_takes_the_alerts_and_each_fires_as_it_should() {
    let mut check = tool("CVM_GATEWAY_TEST_PROMTOOL");
    said(check.args(["check", "rules"]).arg(at(ALERTS)));
    let mut test = tool("CVM_GATEWAY_TEST_PROMTOOL");
    said(test.args(["test", "rules"]).arg(at(TESTS)));
    let tests = read(TESTS);
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let fires = format!("alertname=\"{name}\"");
        let firing = tests
            .lines()
            .filter(|line| line.contains(&fires) && line.contains("value: "));
        assert!(
            firing.count() > 0,
            "no test of {TESTS} shows that {name} fires"
        );
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(
            ["page", "ticket"].contains(&severity),
            "{name} is a {severity}"
        );
        for text in ["summary", "description"] {
            assert!(
                alert["annotations"][text].is_string(),
                "{name} has no {text}"
            );
        }
    }
}

#[test]
fn the_alerts_and_the_dashboard_name_what_there_is() {
    let mut known = Known::new();
    let mut findings = Vec::new();
    let rules = rules();
    for rule in &rules {
        let names = names(rule["expr"].as_str().unwrap());
        let place = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
        findings.extend(known.findings(place, &names));
        if let Some(record) = rule["record"].as_str() {
            known.metrics.insert(record.to_owned(), names.groupings);
        }
    }
    assert!(rules.len() > 40, "only {} rules were read", rules.len());
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut expressions = Vec::new();
    collect(&dashboard, "expr", &mut expressions);
    collect(&dashboard, "definition", &mut expressions);
    assert!(
        expressions.len() > 60,
        "only {} were read",
        expressions.len()
    );
    for expression in expressions {
        findings.extend(known.findings("the dashboard", &names(expression)));
    }
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn the_dashboard_tells_rates_from_numbers() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let (mut rates, mut findings) = (0, Vec::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            // A quantile is none of what it is made of, and seconds per second are a number.
            let other = ["histogram_quantile", "_seconds_total"];
            let is_rate =
                expression.contains("rate(") && !other.iter().any(|it| expression.contains(it));
            let unit = unit(panel, target["refId"].as_str().unwrap());
            let is_shown = unit.is_some_and(|unit| ["ops", "reqps", "mps"].contains(&unit));
            rates += usize::from(is_rate);
            if is_rate != is_shown && !expression.contains("_per_second") {
                findings.push(format!("{expression} has the unit {unit:?}"));
            }
        }
    }
    assert!(rates > 15, "only {rates} rates were found");
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// What a panel shows the series of a target in.
fn unit<'a>(panel: &'a Value, target: &str) -> Option<&'a str> {
    let config = &panel["fieldConfig"];
    let overrides = config["overrides"].as_array().into_iter().flatten();
    let own = overrides
        .filter(|own| own["matcher"]["options"] == target)
        .flat_map(|own| own["properties"].as_array().unwrap())
        .find(|property| property["id"] == "unit");
    own.map_or(&config["defaults"]["unit"], |own| &own["value"])
        .as_str()
}

/// What is made up is found, and so is what was renamed.
#[test]
fn names_that_there_are_not_are_found() {
    let known = Known::new();
    for (expression, finding) in [
        (
            "rate(cvm_gateway_launches_total[5m])",
            "there is no metric cvm_gateway_launches_total",
        ),
        (
            "cvm_gateway_operations_bucket",
            "there is no metric cvm_gateway_operations_bucket",
        ),
        (
            "cvm_gateway_launch_seconds",
            "there is no metric cvm_gateway_launch_seconds",
        ),
        (
            "max by (tenant) (cvm_gateway_operations)",
            "no metric of it has the label tenant",
        ),
        (
            r#"cvm_gateway_operations{status="SENT"}"#,
            "cvm_gateway_operations has no label status",
        ),
        (
            r#"cvm_gateway_operations{state="DONE"}"#,
            "state is never DONE",
        ),
        (
            r#"cvm_gateway_detection_lag_seconds_bucket{le="10"}"#,
            "le is not 10 since Prometheus 3",
        ),
        (
            r#"cvm_gateway_cloud_requests_total{class=~"ok|slow"}"#,
            "class is never slow",
        ),
    ] {
        let findings = known.findings("x", &names(expression));
        assert_eq!(findings, [format!("x: {finding}")], "{expression}");
    }
}

fn rules() -> Vec<Value> {
    let groups = yaml(ALERTS).remove(0)["groups"].take();
    let groups = groups.as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// The rules that alert.
pub(super) fn alerts() -> Vec<Value> {
    let mut rules = rules();
    rules.retain(|rule| rule["alert"].is_string());
    assert!(rules.len() > 30, "only {} alerts were read", rules.len());
    rules
}

/// Every text of this key, however deep.
fn collect<'a>(value: &'a Value, key: &str, texts: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(text) if name == key => texts.push(text),
                    _ => collect(member, key, texts),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The metrics of a gateway and of Prometheus itself.
struct Known {
    /// The labels of each.
    metrics: BTreeMap<String, BTreeSet<String>>,
    /// The values of labels that have few.
    values: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    fn new() -> Self {
        let metrics = Metrics::new("0.0.0").unwrap();
        let mut known = Self {
            metrics: BTreeMap::new(),
            values: closed(),
        };
        for family in metrics.families() {
            if family.is_histogram {
                let (name, labels) = (&family.name, &family.labels);
                known.add(
                    &format!("{name}_bucket"),
                    labels.iter().map(String::as_str).chain(["le"]),
                );
                known.add(&format!("{name}_sum"), labels.iter().map(String::as_str));
                known.add(&format!("{name}_count"), labels.iter().map(String::as_str));
            } else {
                known.add(&family.name, family.labels.iter().map(String::as_str));
            }
        }
        for line in metrics
            .render()
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let (series, _) = line.rsplit_once(' ').unwrap();
            match series.split_once('{') {
                Some((_, labels)) => known.take_values(labels.trim_end_matches('}')),
                None => known.add(series, []),
            }
        }
        known.add("up", []);
        known.add("ALERTS", ["alertname", "alertstate", "severity"]);
        known
    }

    fn add<'a>(&mut self, name: &str, labels: impl IntoIterator<Item = &'a str>) {
        let labels = labels.into_iter().map(str::to_owned);
        self.metrics
            .entry(name.to_owned())
            .or_default()
            .extend(labels);
    }

    /// What is shown at zero is all that there can be.
    fn take_values(&mut self, labels: &str) {
        for pair in labels.split("\",") {
            let (label, value) = pair.split_once("=\"").unwrap();
            let value = value.trim_end_matches('"').to_owned();
            let values = self.values.entry(label.to_owned()).or_default();
            if label == "le" {
                values.insert(as_float(&value));
            }
            values.insert(value);
        }
    }

    fn findings(&self, place: &str, names: &Names) -> Vec<String> {
        let mut findings = Vec::new();
        let mut labels = BTreeSet::from(["job", "instance"].map(str::to_owned));
        for selector in &names.selectors {
            let metric = &selector.metric;
            let Some(own) = self.metrics.get(metric) else {
                // The argument of `label_values`, in the dashboard.
                if !labels.contains(metric) {
                    findings.push(format!("{place}: there is no metric {metric}"));
                }
                continue;
            };
            labels.extend(own.iter().cloned());
            for (label, values) in &selector.labels {
                if !own.contains(label) && !["job", "instance"].contains(&label.as_str()) {
                    findings.push(format!("{place}: {metric} has no label {label}"));
                }
                let as_text = |value: &&String| value.parse::<u64>().is_ok();
                let bounds = values.iter().filter(|_| label == "le").filter(as_text);
                let missed = bounds.filter(|bound| !values.contains(&as_float(bound)));
                findings.extend(
                    missed.map(|bound| format!("{place}: le is not {bound} since Prometheus 3")),
                );
                let closed = self.values.get(label).filter(|_| own.contains(label));
                let unknown = values
                    .iter()
                    .filter(|value| closed.is_some_and(|closed| !closed.contains(*value)));
                findings.extend(unknown.map(|value| format!("{place}: {label} is never {value}")));
            }
        }
        let strange = names.groupings.difference(&labels);
        findings
            .extend(strange.map(|label| format!("{place}: no metric of it has the label {label}")));
        findings
    }
}

/// A bound of a bucket as Prometheus 3 stores it, in a pattern.
fn as_float(bound: &str) -> String {
    format!("{bound}[.]0")
}

/// Values of labels whose series come with the first event.
fn closed() -> BTreeMap<String, BTreeSet<String>> {
    let calls = [
        CallClass::Ok,
        CallClass::Refused,
        CallClass::Throttled,
        CallClass::Auth,
        CallClass::Transport,
        CallClass::Timeout,
        CallClass::Malformed,
        CallClass::Internal,
    ];
    let organization = OrganizationId::parse("any").unwrap();
    let urgencies = [
        Class::Terminate,
        Class::Reconcile,
        Class::Poll,
        Class::Launch(organization),
        Class::Sweep,
    ];
    let classes = calls
        .iter()
        .map(|class| class.as_str())
        .chain(urgencies.iter().map(Class::as_str));
    let codes = (0..=16).map(crate::metrics::code_name);

    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    BTreeMap::from([
        ("class".to_owned(), classes.map(str::to_owned).collect()),
        (
            "state".to_owned(),
            names(&StateName::ALL.map(StateName::as_str)),
        ),
        ("action".to_owned(), names(&Action::ALL.map(Action::as_str))),
        ("result".to_owned(), names(&["ok", "failed"])),
        ("credential".to_owned(), names(&Key::ALL.map(Key::as_str))),
        ("grpc_code".to_owned(), codes.collect()),
        (
            "grpc_service".to_owned(),
            names(&["cvmgateway.v1.CvmGatewayService"]),
        ),
        ("grpc_type".to_owned(), names(&["unary", "server_stream"])),
        ("alertstate".to_owned(), names(&["firing", "pending"])),
        ("alertname".to_owned(), names(&["CvmGateway.*"])),
    ])
}
