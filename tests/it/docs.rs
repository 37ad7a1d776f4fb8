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

/// Before 0.4.18 a flood of tiny frames costs as much as the peer likes.
#[test]
fn the_http2_library_bounds_floods() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let mut versions = Vec::new();
    for package in lock.split("[[package]]") {
        let Some(rest) = package
            .trim_start()
            .strip_prefix("name = \"h2\"\nversion = \"")
        else {
            continue;
        };
        let version = rest.split('"').next().unwrap();
        let parts = version.split('.').map(|part| part.parse::<u32>().unwrap());
        versions.push(parts.collect::<Vec<_>>());
    }
    assert_eq!(versions.len(), 1, "two kinds of HTTP/2: {versions:?}");
    assert!(versions[0] >= vec![0, 4, 18], "{versions:?}");
}

/// Each key of the simulator's faults and scenes has a row that names its test, and no row another.
#[test]
fn every_knob_of_the_simulator_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/simulator.md")).unwrap();
    let table = page.split("### Every knob and its test").nth(1).unwrap();
    let mut functions = BTreeSet::new();
    for folder in ["src/simulator", "tests/it/simulator"] {
        collect(&root.join(folder), &mut functions);
    }
    let (mut faults, mut scenes) = (BTreeSet::new(), BTreeSet::new());
    for row in table.lines().filter(|line| line.contains('`')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, how, test] = cells[..] else {
            panic!("a row has {} cells: {row}", cells.len());
        };
        let test = test.trim_matches('`');
        assert!(functions.contains(test), "there is no test {test}");
        match how.strip_prefix("scene ") {
            Some(key) => scenes.insert(key.trim_matches('`').to_owned()),
            None => faults.insert(how.trim_matches('`').to_owned()),
        };
    }
    let fields = |file: &str, head: &str, end: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let body = text
            .split(head)
            .nth(1)
            .unwrap()
            .split("\n}")
            .next()
            .unwrap();
        let lines = body.lines().map(str::trim);
        let lines = lines.filter(|line| !line.starts_with(['/', '#']) && line.contains(end));
        let names = lines.map(|line| line.split(end).next().unwrap());
        names
            .map(|name| name.rsplit(' ').next().unwrap().to_owned())
            .collect()
    };
    let own = "src/simulator/catalog/misbehaviour.rs";
    assert_eq!(faults, fields(own, "struct Faults {", ": "));
    let own = "src/simulator/catalog/scenes.rs";
    let mut known = fields(own, "struct Scene {", ": ");
    for which in ["action", "nth", "ending"] {
        assert!(
            known.remove(which),
            "{which} says which call, or is spelled out"
        );
    }
    let endings = fields(own, "enum Ending {", ",");
    let endings = endings
        .iter()
        .map(|name| snake(name.split('(').next().unwrap()));
    known.extend(endings.filter(|ending| ending != "answer"));
    assert_eq!(scenes, known);
}

/// `CutAfter` as `cut_after`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
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
