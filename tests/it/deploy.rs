//! What is below deploy/ and in the pages about it fits the program.

mod alerts;
mod cam;
mod compose;
mod configuration;
mod helm;
mod kubernetes;
mod promql;
mod runbook;
mod systemd;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A path from the root of the repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(at(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A program that `make test` installs and names in a variable.
#[expect(
    clippy::disallowed_methods,
    reason = "`make test` says where its tools are"
)]
fn tool(variable: &str) -> Command {
    let program = std::env::var_os(variable);
    Command::new(program.unwrap_or_else(|| panic!("{variable} is not set: run `make test`")))
}

/// Runs it to a good end; what it says.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{command:?} says {said}");
    said
}

/// The documents of a file of YAML.
fn yaml(path: &str) -> Vec<Value> {
    let mut command = tool("CVM_GATEWAY_TEST_PYTHON");
    let command = command.arg(at("tests/python/yaml_to_json.py"));
    serde_json::from_str(&said(command.arg(at(path)))).unwrap()
}
