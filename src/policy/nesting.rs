//! How deep rules are nested. Reading and checking them recurses, so a file of a few kilobytes could use up
//! the stack, which ends the process.

/// Brackets within brackets, at most.
const DEPTH_MAX: usize = 100;
/// Operators of one rule, at most: each is nested in the one before it.
const OPERATORS_MAX: usize = 500;
/// Members and calls of one rule, at most.
const MEMBERS_MAX: usize = 1_000;

/// What is nested too deep in a text of rules, and where.
pub(super) fn too_deep(text: &str) -> Option<(usize, String)> {
    let (mut depth, mut operators, mut members) = (0_usize, 0_usize, 0_usize);
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        let next = bytes.peek().map(|(_, next)| *next);
        match byte {
            b'"' => {
                while let Some((_, within)) = bytes.next() {
                    match within {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'/' if next == Some(b'/') => {
                let comment = bytes.by_ref();
                let _end = comment.find(|(_, byte)| *byte == b'\n');
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => (operators, members) = (0, 0),
            b'&' | b'|' if next == Some(byte) => operators += 1,
            b'+' | b'-' | b'*' | b'!' => operators += 1,
            b'i' if text
                .get(at..at + 3)
                .is_some_and(|word| word.trim_end() == "if") =>
            {
                operators += 1;
            }
            b'.' => members += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Some((
                at,
                format!("more than {DEPTH_MAX} brackets within brackets"),
            ));
        }
        if operators > OPERATORS_MAX {
            let hint = "write values into a set, and several rules for one";
            return Some((
                at,
                format!("more than {OPERATORS_MAX} operators in a rule: {hint}"),
            ));
        }
        if members > MEMBERS_MAX {
            return Some((at, format!("more than {MEMBERS_MAX} members in a rule")));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nests_is_counted_in_each_rule() {
        let conditions = |count: usize| {
            let conditions = vec!["context.instance_count == 1"; count];
            format!(
                "permit(principal, action, resource) when {{ {} }};",
                conditions.join(" || ")
            )
        };
        let brackets =
            |count: usize| format!("when {{ {}1{} }};", "(".repeat(count), ")".repeat(count));
        for (text, expected) in [
            (brackets(99), None),
            (brackets(100), Some("brackets")),
            (conditions(501), None),
            (conditions(502), Some("operators")),
            (conditions(400).repeat(3), None),
            (format!("// {}\n", conditions(600)), None),
            (format!("@reason(\"\\\"{}\")", conditions(600)), None),
            (format!("when {{ [{}] }};", "\"a.b\", ".repeat(5000)), None),
            (
                format!("when {{ a{} }};", ".b".repeat(1001)),
                Some("members"),
            ),
            (
                format!("when {{ {}1 }};", "if a then b else ".repeat(501)),
                Some("operators"),
            ),
            ("\"never closed".to_owned(), None),
        ] {
            let found = too_deep(&text);
            match (&found, expected) {
                (None, None) => {}
                (Some((at, message)), Some(expected)) => {
                    assert!(message.contains(expected) && *at < text.len(), "{message}");
                }
                (_, _) => panic!("{found:?}, not {expected:?}: {text:.100}"),
            }
        }
    }
}
