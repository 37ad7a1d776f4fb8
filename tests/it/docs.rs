//! What the documentation names must exist.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_tests_and_commands_of_the_reliability_page_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let mut functions = BTreeSet::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut functions);
    }
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap();
    let mut named = 0;
    for quoted in page.split('`').skip(1).step_by(2) {
        if let Some(command) = quoted.strip_prefix("make ") {
            let verb = command.split(' ').next().unwrap();
            let known = makefile.contains(&format!("\n{verb}:"));
            assert!(known, "the Makefile has no verb {verb}");
        } else if is_test(quoted) {
            named += 1;
            assert!(functions.contains(quoted), "there is no test {quoted}");
        }
    }
    assert!(named > 60, "only {named} tests are named");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("---"));
    let numbered = rows.filter(|row| row.split('|').nth(1).unwrap().trim().parse::<u32>().is_ok());
    assert_eq!(
        numbered.count(),
        40,
        "a row of the failure matrix is missing"
    );
}

/// Settings have fewer words than the names of tests.
fn is_test(quoted: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    quoted.chars().all(plain) && quoted.matches('_').count() >= 2 && quoted != "token_trust_window"
}

fn collect(folder: &Path, functions: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, functions);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for after in text.split("fn ").skip(1) {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                functions.insert(after[..end.unwrap_or(after.len())].to_owned());
            }
        }
    }
}
