//! The API's name patterns: `{R:x}`, `{R:x,F:y}` and, in host names, `{IP}`.

/// Widest zero padding that `F:` takes.
const WIDTH_MAX: usize = 8;

/// The display name of machine `index` of `count`; without a pattern, several machines get suffixes 1…n.
pub(super) fn instance_name(pattern: &str, index: u32, count: u32) -> String {
    expand(pattern, index, count, None)
}

/// The host name of machine `index` of `count`, whose private address is `address`.
pub(super) fn host_name(pattern: &str, index: u32, count: u32, address: &str) -> String {
    expand(pattern, index, count, Some(address))
}

fn expand(pattern: &str, index: u32, count: u32, address: Option<&str>) -> String {
    let mut name = String::with_capacity(pattern.len());
    let mut numbered = false;
    let mut rest = pattern;
    while let Some(start) = rest.find('{') {
        let (before, braced) = rest.split_at(start);
        name.push_str(before);
        let Some((inside, after)) = braced
            .strip_prefix('{')
            .and_then(|text| text.split_once('}'))
        else {
            rest = braced;
            break;
        };
        match (Sequence::parse(inside), address) {
            (Some(sequence), _) => {
                name.push_str(&sequence.number(index));
                numbered = true;
            }
            (None, Some(address)) if inside == "IP" => {
                name.push_str(address);
                numbered = true;
            }
            // A malformed pattern is literal text; a sound one may begin inside it.
            _ => {
                name.push('{');
                rest = braced.strip_prefix('{').unwrap_or_default();
                continue;
            }
        }
        rest = after;
    }
    name.push_str(rest);
    if count > 1 && !numbered && !pattern.is_empty() {
        name.push_str(&(index + 1).to_string());
    }
    name
}

/// `R:x` or `R:x,F:y`: counts up from x, padded to y digits.
struct Sequence {
    first: u64,
    width: usize,
}

impl Sequence {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("R:")?;
        let (first, width) = match text.split_once(",F:") {
            Some((first, width)) => (first, digits(width)?),
            None => (text, 0),
        };
        let width = usize::try_from(width)
            .ok()
            .filter(|width| *width <= WIDTH_MAX)?;
        let first = digits(first)?;
        Some(Self { first, width })
    }

    fn number(&self, index: u32) -> String {
        let number = self.first.saturating_add(u64::from(index));
        format!("{number:0width$}", width = self.width)
    }
}

fn digits(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_names() {
        let rows: [(&str, u32, &[&str]); 15] = [
            ("web", 1, &["web"]),
            ("server_", 2, &["server_1", "server_2"]),
            ("server_{R:3}", 1, &["server_3"]),
            ("server_{R:3}", 2, &["server_3", "server_4"]),
            ("{R:9,F:3}-{R:1}", 3, &["009-1", "010-2", "011-3"]),
            ("a{R:99,F:2}", 2, &["a99", "a100"]),
            ("a{R:1,F:0}", 1, &["a1"]),
            ("a{R:1,F:8}", 1, &["a00000001"]),
            ("a{R:1,F:9}", 1, &["a{R:1,F:9}"]),
            ("a{R:}", 2, &["a{R:}1", "a{R:}2"]),
            ("a{R:-1}", 1, &["a{R:-1}"]),
            ("a{{R:1}}", 1, &["a{1}"]),
            ("a{R:1", 1, &["a{R:1"]),
            ("ip-{IP}", 2, &["ip-{IP}1", "ip-{IP}2"]),
            ("", 2, &["", ""]),
        ];
        for (pattern, count, expected) in rows {
            let names: Vec<_> = (0..count)
                .map(|index| instance_name(pattern, index, count))
                .collect();
            assert_eq!(names, expected, "{pattern}");
        }
    }

    #[test]
    fn host_names_know_the_address() {
        assert_eq!(host_name("vm-{IP}", 0, 2, "10.0.0.18"), "vm-10.0.0.18");
        assert_eq!(
            host_name("vm{R:1}-{IP}", 1, 2, "10.0.0.18"),
            "vm2-10.0.0.18"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[{}RF:,IP0-9x测]{0,40}", index in 0..500_u32) {
            let name = instance_name(&pattern, index, 500);
            proptest::prop_assert!(name.len() <= pattern.len() + 500);
        }
    }
}
