//! That the lists of planted names are complete, and each name stands in one place.

use cvm_gateway::chaos::{MUTANTS, POINTS};
use std::path::Path;

/// At least so many points and mistakes are planted.
const POINTS_MIN: usize = 45;
const MUTANTS_MIN: usize = 30;

/// The names that the sources plant with one of `macros`.
fn planted(macros: &[&str]) -> Vec<String> {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut names = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        } else if !is_ours(&path) {
            let text = std::fs::read_to_string(&path).unwrap();
            for begin in macros {
                let begin = format!("chaos::{begin}!(");
                let calls = text.split(&begin).skip(1);
                let literal = |call: &str| call.split('"').nth(1).unwrap().to_owned();
                names.extend(calls.map(literal));
            }
        }
    }
    names.sort();
    names
}

fn is_ours(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str() == "chaos" || part.as_os_str() == "chaos.rs")
}

#[test]
fn every_planted_name_is_listed_and_stands_in_one_place() {
    assert_eq!(planted(&["around", "at"]), POINTS, "src/chaos/names.rs");
    let mut mutants = planted(&["wrong"]);
    mutants.dedup(); // a mistake may need two places
    assert_eq!(mutants, MUTANTS, "src/chaos/names.rs");
    assert!(POINTS.len() >= POINTS_MIN && MUTANTS.len() >= MUTANTS_MIN);
}
