//! What callgrind counted, function by function. Format: <https://valgrind.org/docs/manual/cl-format.html>.

use std::collections::HashMap;
use std::path::Path;

/// The instructions of a run.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) total: f64,
    /// By function, with all that it called.
    inclusive: HashMap<String, f64>,
}

impl Counts {
    pub(crate) fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let total = total.expect("callgrind counted nothing");
        Self {
            total: total.trim().parse().unwrap(),
            inclusive: inclusive(&text),
        }
    }

    /// Instructions of the function whose name has all of `words` in it, and of what it called; of several the one that
    /// took the most, for one contains the other. Nothing where there is none: it became part of its caller.
    pub(crate) fn of(&self, words: &[&str]) -> f64 {
        let named = self.inclusive.iter();
        let named = named.filter(|(name, _)| words.iter().all(|word| name.contains(word)));
        named.map(|(_, count)| *count).fold(0.0, f64::max)
    }
}

fn inclusive(text: &str) -> HashMap<String, f64> {
    let mut names = HashMap::new();
    let mut counts: HashMap<String, f64> = HashMap::new();
    let mut function = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = named(name, &mut names);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            named(name, &mut names);
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // A place in the source and a count: of the function itself, or of a call, which the line before tells.
            let count = line.split(' ').nth(1).and_then(|count| count.parse().ok());
            *counts.entry(function.clone()).or_default() += count.unwrap_or(0.0);
        }
    }
    counts
}

/// A name is written once, with a number that stands for it from then on.
fn named(text: &str, names: &mut HashMap<String, String>) -> String {
    let (number, name) = text.split_once(' ').unwrap_or((text, ""));
    if name.is_empty() {
        names.get(number).cloned().unwrap_or_default()
    } else {
        names.insert(number.to_owned(), name.to_owned());
        name.to_owned()
    }
}
