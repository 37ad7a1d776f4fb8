//! The options of the proto, judged by the official protovalidate, and the corpora that scripts write.

use cvm_gateway::pb::DESCRIPTOR;
use std::path::Path;
use std::process::Command;

/// What a Python that has the requirements prints when it runs `arguments`.
#[expect(
    clippy::disallowed_methods,
    reason = "`make test` says where Python and protovalidate are"
)]
fn python(arguments: &[&Path]) -> String {
    let python = std::env::var_os("CVM_GATEWAY_TEST_PYTHON").expect(
        "CVM_GATEWAY_TEST_PYTHON names no Python that has protovalidate: run `make test`, which installs one",
    );
    let output = Command::new(python).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// `grpc/tests.rs` judges the same requests by the gateway's rules: where both judge as the corpus
/// says, the options refuse nothing that the gateway takes.
#[test]
fn protovalidate_judges_every_request_of_the_corpus_as_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let descriptors = folder.join("validate-descriptor.bin");
    std::fs::write(&descriptors, DESCRIPTOR).unwrap();
    let requests = root.join("testdata/corpus/requests.jsonl");
    let lines = std::fs::read_to_string(&requests).unwrap();
    let known = lines.matches("\"options\":true").count();
    let script = root.join("tests/python/validate_check.py");
    let told = python(&[&script, &descriptors, &requests]);
    let all = lines.lines().count();
    assert_eq!(told, format!("ok {all} judged, {known} refused\n"));
    assert!(known >= 700, "the options know only {known} bad requests");
}

#[test]
fn the_corpus_of_requests_is_that_of_its_script() {
    is_of_its_script("requests");
}

#[test]
fn the_corpus_of_answers_is_that_of_its_script() {
    is_of_its_script("answers");
}

#[test]
fn the_corpus_of_policies_is_that_of_its_script() {
    is_of_its_script("policy");
}

fn is_of_its_script(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/corpus");
    let script = folder.join(format!("make_{name}.py"));
    let written = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
    let made = python(&[&script, Path::new("--print")]);
    assert!(made == written, "run {}", script.display());
}
