//! An error with everything that caused it, in one text.

use std::error::Error;

/// `error` and its causes, joined by `separator`. What a level merely repeats is left out, as some
/// libraries do.
#[must_use]
pub fn chain(error: &dyn Error, separator: &str) -> String {
    let mut last = error.to_string();
    let mut text = last.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !last.contains(&said) {
            text.push_str(separator);
            text.push_str(&said);
        }
        last = said;
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Level(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn causes_follow_the_error_without_repetition() {
        let inner = Level("refused", None);
        let repeated = Level("no route", Some(Box::new(inner)));
        let middle = Level("no route", Some(Box::new(repeated)));
        let error = Level("cannot connect", Some(Box::new(middle)));
        assert_eq!(chain(&error, ": "), "cannot connect: no route: refused");
    }
}
