//! What must be sent for a specification: read off the message by reflection, so that no code of the
//! gateway's has a hand in it.

use prost_reflect::{DynamicMessage, ReflectMessage, Value as Set};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What the contract spells otherwise than the proto would make one expect.
const SPELLED: [(&str, &str); 3] = [
    ("ipv4_address_type", "IPv4AddressType"),
    ("ipv6_address_type", "IPv6AddressType"),
    ("anti_ddos_package_id", "AntiDDoSPackageId"),
];

/// What must be sent for a message: what is set in it, and nothing else.
pub(crate) fn asked(message: &DynamicMessage) -> Value {
    let mut out = Map::new();
    for field in message.descriptor().fields() {
        // A text that cannot be left out is sent, even if it is empty.
        let plain = !field.supports_presence() && !field.is_list();
        if plain || message.has_field(&field) {
            out.insert(spelled(field.name()), json(&message.get_field(&field)));
        }
    }
    Value::Object(out)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the specification has no other kinds"
)]
fn json(set: &Set) -> Value {
    match set {
        Set::Bool(flag) => json!(flag),
        Set::I64(number) => json!(number),
        Set::U64(number) => json!(number),
        Set::String(text) => json!(text),
        Set::Message(message) => asked(message),
        Set::List(values) => values.iter().map(json).collect(),
        other => panic!("{other:?} is nothing that the specification has"),
    }
}

/// A field of the proto as the contract spells it.
pub(crate) fn spelled(name: &str) -> String {
    if let Some((_, spelled)) = SPELLED.iter().find(|(of, _)| *of == name) {
        return (*spelled).to_owned();
    }
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

/// What the gateway adds to a launch: its token and its mark, and the count that a template may not
/// decide.
pub(crate) fn with_the_gateway_s_own(mut asked: Value, token: &Value, operation: &str) -> Value {
    let own = json!({"Key": "cvm-gateway:operation", "Value": operation});
    let members = asked.as_object_mut().unwrap();
    if members.contains_key("LaunchTemplate") {
        members.entry("InstanceCount").or_insert(json!(1));
    }
    let all = members.get("InstanceCount").cloned().unwrap_or(json!(1));
    if members.get("MinCount") == Some(&all) {
        members.remove("MinCount");
    }
    members.insert("ClientToken".to_owned(), token.clone());
    let tags = members.entry("TagSpecification").or_insert(json!([]));
    let tags = tags.as_array_mut().unwrap();
    let instance = |of: &&mut Value| of["ResourceType"] == "instance";
    if let Some(of) = tags.iter_mut().find(instance) {
        let tags = of.as_object_mut().unwrap().entry("Tags");
        let tags = tags.or_insert(json!([]));
        tags.as_array_mut().unwrap().push(own);
    } else {
        tags.push(json!({"ResourceType": "instance", "Tags": [own]}));
    }
    asked
}

/// Adds the paths of members that are there.
pub(crate) fn paths(value: &Value, path: &str, seen: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = format!("{path}.{name}");
                paths(member, &path, seen);
                seen.insert(path);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| paths(value, path, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
