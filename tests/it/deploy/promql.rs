//! The names in an expression of PromQL: as much of its grammar as tells names from words.
//! Whether an expression is one is promtool's to say.

use std::collections::BTreeSet;

const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) selectors: Vec<Selector>,
    /// Labels that results are grouped or joined by.
    pub(super) groupings: BTreeSet<String>,
}

/// A metric, and the labels that choose series of it, each with the values that it is held against.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) metric: String,
    pub(super) labels: Vec<(String, Vec<String>)>,
}

pub(super) fn names(expression: &str) -> Names {
    let mut names = Names::default();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_alphabetic() || first == '_' || first == ':' {
            rest = word(rest, &mut names);
        } else if first.is_ascii_digit() || first == '$' {
            // A number, a duration, or a variable of the dashboard.
            rest = rest[1..].trim_start_matches(|c: char| is_name(c) || c == '.');
        } else if first == '"' || first == '\'' {
            rest = rest[1..].split_once(first).expect("a text has an end").1;
        } else {
            assert_ne!(first, '{', "no metric before its labels in {expression}");
            rest = &rest[first.len_utf8()..];
        }
        rest = rest.trim_start();
    }
    names
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Takes a word in, with the labels that follow it; what is left.
fn word<'a>(text: &'a str, names: &mut Names) -> &'a str {
    let (word, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
    let rest = rest.trim_start();
    if GROUPING.contains(&word) {
        let (labels, rest) = rest[1..].split_once(')').expect("labels in brackets");
        let labels = labels.split(',').map(|label| label.trim().to_owned());
        names
            .groupings
            .extend(labels.filter(|label| !label.is_empty()));
        return rest;
    }
    let begins_grouping =
        |word: &&str| rest.starts_with(*word) && !rest[word.len()..].starts_with(is_name);
    let is_function = rest.starts_with('(') || GROUPING.iter().any(begins_grouping);
    if is_function || OPERATORS.contains(&word) {
        return rest;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => matchers(inside),
        None => (Vec::new(), rest),
    };
    let metric = word.to_owned();
    names.selectors.push(Selector { metric, labels });
    rest
}

/// The labels up to the closing bracket, and what is after it.
fn matchers(mut rest: &str) -> (Vec<(String, Vec<String>)>, &str) {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        let (label, after) =
            rest.split_at(rest.find(|c| !is_name(c)).expect("a label has a value"));
        let (value, after) = after
            .split_once('"')
            .expect("a value in quotes")
            .1
            .split_once('"')
            .expect("its end");
        labels.push((
            label.to_owned(),
            value.split('|').map(str::to_owned).collect(),
        ));
        rest = after;
    }
}

#[test]
fn names_are_told_from_words() {
    let found = names(
        r#"histogram_quantile(0.9, sum by (le, a) (rate(x_bucket{class=~"b|c", d!="e"}[5m]))) > 10
           unless on (f) up == 0 or absent(y:z{}) and 1 - y:z offset 1h"#,
    );
    let selector = |metric: &str, labels: &[(&str, &[&str])]| Selector {
        metric: metric.to_owned(),
        labels: labels
            .iter()
            .map(|(label, values)| {
                let values = values.iter().map(|value| (*value).to_owned());
                ((*label).to_owned(), values.collect())
            })
            .collect(),
    };
    let groupings = ["a", "f", "le"].map(str::to_owned);
    assert_eq!(
        found,
        Names {
            selectors: vec![
                selector("x_bucket", &[("class", &["b", "c"]), ("d", &["e"])]),
                selector("up", &[]),
                selector("y:z", &[]),
                selector("y:z", &[]),
            ],
            groupings: groupings.into(),
        }
    );
}
