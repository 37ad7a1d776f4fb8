//! The flattened form of a request (`DataDisks.0.DiskSize=50`), as GET sends it, made into the JSON form.

use serde_json::{Map, Value};

/// Steps of one name; the deepest of the API has six.
const DEPTH_MAX: usize = 16;

/// Nests the pairs by the dots of their names; numbers count the items of a list, and gaps are closed up.
/// `None` when a name is nested too deep.
pub(super) fn nest(pairs: Vec<(String, String)>) -> Option<Value> {
    let mut root = Map::new();
    for (path, value) in pairs {
        if path.split('.').count() > DEPTH_MAX {
            return None;
        }
        insert(&mut root, &path, value);
    }
    Some(listed(Value::Object(root)))
}

fn insert(object: &mut Map<String, Value>, path: &str, value: String) {
    let Some((step, rest)) = path.split_once('.') else {
        object.insert(path.to_owned(), Value::String(value));
        return;
    };
    let inner = object
        .entry(step)
        .or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new()); // `A=1&A.B=2`: the later one stands
    }
    if let Value::Object(inner) = inner {
        insert(inner, rest, value);
    }
}

/// Objects whose every key is a number become lists in the order of those numbers.
fn listed(value: Value) -> Value {
    let Value::Object(members) = value else {
        return value;
    };
    let members = members.into_iter().map(|(key, value)| (key, listed(value)));
    let mut members: Vec<_> = members.collect();
    let number = |key: &str| key.parse::<u32>().ok();
    if members.is_empty() || members.iter().any(|(key, _)| number(key).is_none()) {
        return Value::Object(members.into_iter().collect());
    }
    members.sort_by_key(|(key, _)| number(key));
    members.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dots_nest_and_numbers_list() {
        let pairs = [
            ("Placement.Zone", "ap-shanghai-2"),
            ("DataDisks.1.DiskSize", "100"),
            ("DataDisks.0.DiskSize", "50"),
            ("Filters.0.Values.10", "b"),
            ("Filters.0.Values.9", "a"),
            ("InstanceCount", "1"),
        ];
        let pairs = pairs.map(|(path, value)| (path.to_owned(), value.to_owned()));
        let expected = json!({
            "Placement": {"Zone": "ap-shanghai-2"},
            "DataDisks": [{"DiskSize": "50"}, {"DiskSize": "100"}],
            "Filters": [{"Values": ["a", "b"]}],
            "InstanceCount": "1",
        });
        assert_eq!(nest(pairs.into()), Some(expected));
    }

    #[test]
    fn a_name_nested_too_deep_is_refused() {
        let path = "A.".repeat(10_000) + "A";
        assert_eq!(nest(vec![(path, String::new())]), None);
    }
}
