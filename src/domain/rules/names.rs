//! Display names and host names, with the patterns that number them.

use super::{Limits, characters, is_digits, size};
use crate::domain::spec::InstanceSpec;
use crate::domain::violation::Violations;

/// Stands for the address of a machine, which nobody knows yet: none is longer.
const LONGEST_ADDRESS: &str = "255.255.255.255";
/// Digits that `F:` may pad to.
const WIDTH_MAX: usize = 8;

pub(super) fn check(spec: &InstanceSpec, limits: &Limits, out: &mut Violations) {
    let count = u64::try_from(spec.instance_count.unwrap_or(1)).unwrap_or(1);
    if let Some(name) = &spec.instance_name {
        check_instance_name(name, count, size(limits.instance_name_max), out);
    }
    if let Some(name) = &spec.host_name {
        check_host_name(name, count, size(limits.host_name_max), out);
    }
}

fn check_instance_name(name: &str, count: u64, max: usize, out: &mut Violations) {
    let field = "spec.instance_name";
    let length = characters(name);
    let last = characters(&expanded(name, count.saturating_sub(1), count, None));
    out.unless(length <= max, field, || {
        format!("must be at most {max} characters, not {length}")
    });
    out.unless(length > max || last <= max, field, || {
        format!("must be at most {max} characters when it is numbered, not {last}")
    });
}

/// The rule of Linux, which allows what the rule of Windows does (2 to 15 letters, digits and
/// hyphens, not all digits): the door does not know the image's platform.
fn check_host_name(name: &str, count: u64, max: usize, out: &mut Violations) {
    let ends = [0, count.saturating_sub(1)];
    let sound = |index: u64| {
        let name = expanded(name, index, count, Some(LONGEST_ADDRESS));
        (2..=max).contains(&name.len()) && name.split('.').all(is_label)
    };
    out.unless(ends.into_iter().all(sound), "spec.host_name", || {
        format!(
            "must be 2 to {max} characters when it is numbered, of letters, digits, . and -, \
             without . or - at an end or next to each other"
        )
    });
}

/// Letters, digits and single hyphens between them.
fn is_label(text: &str) -> bool {
    text.split('-')
        .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The name of machine `index` of `count`. `{R:x}` counts up from x, `{R:x,F:y}` with y digits at
/// least, `{IP}` is the address, if there may be one. Other braces are text. Without a pattern,
/// several machines are numbered from 1.
fn expanded(pattern: &str, index: u64, count: u64, address: Option<&str>) -> String {
    let mut pieces = pattern.split('{');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    let mut numbered = false;
    for piece in pieces {
        let sound = piece.split_once('}').and_then(|(inside, rest)| {
            let address = address.filter(|_| inside == "IP").map(str::to_owned);
            Some((number(inside, index).or(address)?, rest))
        });
        if let Some((value, rest)) = sound {
            name.push_str(&value);
            name.push_str(rest);
            numbered = true;
        } else {
            name.push('{');
            name.push_str(piece);
        }
    }
    if count > 1 && !numbered && !pattern.is_empty() {
        name.push_str(&index.saturating_add(1).to_string());
    }
    name
}

fn number(inside: &str, index: u64) -> Option<String> {
    let sequence = inside.strip_prefix("R:")?;
    let (first, width) = sequence.split_once(",F:").unwrap_or((sequence, "0"));
    let digits = |text: &str| is_digits(text).then(|| text.parse::<u64>().ok()).flatten();
    let width = usize::try_from(digits(width)?).ok()?;
    let number = digits(first)?.saturating_add(index);
    (width <= WIDTH_MAX).then(|| format!("{number:0width$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_number_names() {
        let rows = [
            ("web", 0, 1, "web"),
            ("web", 1, 2, "web2"),
            ("", 1, 2, ""),
            ("server_{R:3}", 0, 1, "server_3"),
            ("{R:9,F:3}-{R:1}", 1, 2, "010-2"),
            ("a{R:99,F:2}", 1, 2, "a100"),
            ("a{R:1,F:8}", 0, 1, "a00000001"),
            ("a{R:1,F:9}", 1, 2, "a{R:1,F:9}2"),
            ("a{R:}", 0, 1, "a{R:}"),
            ("a{R:+1}", 0, 1, "a{R:+1}"),
            ("a{R:1,F:}", 0, 1, "a{R:1,F:}"),
            ("a{{R:1}}", 0, 1, "a{1}"),
            ("a{R:1{R:2}", 0, 1, "a{R:12"),
            (
                "a{R:99999999999999999999}",
                0,
                1,
                "a{R:99999999999999999999}",
            ),
            ("ip-{IP}", 1, 2, "ip-10.0.0.18"),
        ];
        for (pattern, index, count, name) in rows {
            let given = expanded(pattern, index, count, Some("10.0.0.18"));
            assert_eq!(given, name, "{pattern}");
        }
        assert_eq!(expanded("ip-{IP}", 1, 2, None), "ip-{IP}2");
    }
}
