//! A request field that breaks a rule.

use std::fmt;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path in the request message, for example `spec.data_disks[0].disk_size`.
    pub field: String,
    /// The rule, the value's shape (never a secret) and the remedy.
    pub message: String,
}

/// The broken rules of one request: the first ones, as they must fit into the trailers of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

/// More are counted out: who mends these sees the next ones.
const VIOLATIONS_MAX: usize = 20;

impl Violations {
    /// The same, of a request that is the field `outer` of another one.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        for violation in &mut self.0 {
            violation.field = format!("{outer}.{}", violation.field);
        }
        self
    }

    /// Adds one, unless there are many already.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(Violation {
                field: field.into(),
                message: message.into(),
            });
        }
    }

    /// Adds those of a later check. What is said of a field, or of what it is part of, is not said
    /// again: a value that is missing breaks other rules, too.
    pub fn append(&mut self, others: Self) {
        let told: Vec<String> = self.0.iter().map(|told| told.field.clone()).collect();
        let is_told = |field: &str| {
            told.iter().any(|told| {
                let rest = field.strip_prefix(told.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
        };
        for violation in others.0 {
            if !is_told(&violation.field) {
                self.add(violation.field, violation.message);
            }
        }
    }

    /// Adds one if the rule does not `hold`.
    pub fn unless(&mut self, hold: bool, field: &str, message: impl FnOnce() -> String) {
        if !hold {
            self.add(field, message());
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", violation.field, violation.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_not_told_again() {
        let of = |fields: &[&str]| {
            let mut violations = Violations::default();
            for field in fields {
                violations.add(*field, "is wrong");
            }
            violations
        };
        let mut violations = of(&["spec.a", "spec.b[0]"]);
        violations.append(of(&[
            "spec.a",
            "spec.a.c",
            "spec.ab",
            "spec.b[0].d",
            "spec.b[1]",
            "spec.ab",
        ]));
        let fields: Vec<_> = violations.0.iter().map(|told| &told.field).collect();
        assert_eq!(
            fields,
            ["spec.a", "spec.b[0]", "spec.ab", "spec.b[1]", "spec.ab"]
        );
    }

    #[test]
    fn a_thousand_violations_are_told_as_the_first_ones() {
        let mut violations = Violations::default();
        for number in 0..1000 {
            violations.add(format!("field[{number}]"), "is wrong");
        }
        assert_eq!(violations.0.len(), VIOLATIONS_MAX);
        assert_eq!(violations.0[0].field, "field[0]");
    }
}
