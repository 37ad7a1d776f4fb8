//! The body of RunInstances: what was granted, and the two marks by which its launch is found again.

use super::wire;
use crate::chaos;
use crate::domain::ids::OperationId;
use crate::domain::rules::RESERVED_TAG_PREFIX;
use crate::domain::secret::{self, SecretJson};
use crate::domain::spec::InstanceSpec;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use zeroize::Zeroizing;

/// Shorter secrets are not looked for in the cloud's words: they would be found by chance.
const SECRET_BYTES_MIN: usize = 4;
/// Of a longer secret, every part of this length is looked for: the cloud may quote it cut or
/// escaped.
const PART_BYTES: usize = 8;
/// The longest text for a person, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// The key of the tag that names the operation on every machine it launches.
#[must_use]
pub fn operation_tag_key() -> String {
    format!("{RESERVED_TAG_PREFIX}operation")
}

/// The JSON that is journalled, signed and sent, attempt after attempt, for the place `alternative`.
///
/// # Errors
/// When the specification cannot be serialised.
pub fn run_instances(
    spec: &InstanceSpec,
    id: OperationId,
    alternative: u32,
) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut body = SecretJson(serde_json::to_value(spec)?);
    if let Value::Object(members) = &mut body.0 {
        if spec.launch_template.is_some() {
            // A template may hold a count of its own, which nobody approved.
            members.entry("InstanceCount").or_insert_with(|| json!(1));
        }
        // By one of the cloud's pages it must be lower; where it is not, it says nothing.
        if spec.min_count == Some(spec.instance_count.unwrap_or(1)) {
            members.remove("MinCount");
        }
        members.insert(
            "ClientToken".to_owned(),
            json!(chaos::wrong!(
                "token-shared",
                id.client_token(alternative),
                "one-for-all".to_owned()
            )),
        );
        chaos::wrong!(
            "no-tag",
            add_tag(members, &operation_tag_key(), &id.to_string()),
            ()
        );
    }
    secret::json(&body.0)
}

/// A copy of a body for the HTTP client, which is wiped from memory once it was sent.
pub(super) fn wiped(body: &[u8]) -> Bytes {
    Bytes::from_owner(Zeroizing::new(body.to_vec()))
}

/// `text` without the secrets of `body`, which the cloud may quote, and cut to a fair length.
#[must_use]
pub fn hide_secrets(text: &str, body: &[u8]) -> String {
    let mut hidden = vec![false; text.len()];
    for secret in secrets(body) {
        let part = secret.len().min(PART_BYTES);
        let parts: HashSet<&[u8]> = secret.windows(part).collect();
        for (at, quoted) in text.as_bytes().windows(part).enumerate() {
            if parts.contains(quoted) {
                hidden
                    .iter_mut()
                    .skip(at)
                    .take(part)
                    .for_each(|byte| *byte = true);
            }
        }
    }
    let mut shown = String::new();
    let mut within = false;
    for (at, letter) in text.char_indices() {
        let secret = hidden
            .iter()
            .skip(at)
            .take(letter.len_utf8())
            .any(|byte| *byte);
        if secret && !within {
            shown.push_str("[secret]");
        } else if !secret && shown.len() + letter.len_utf8() <= TEXT_BYTES_MAX {
            shown.push(letter);
        }
        within = secret;
    }
    shown
}

/// Every text of `body` that must not be shown, user data also decoded.
fn secrets(body: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let SecretJson(parsed) = &SecretJson(serde_json::from_slice(body).unwrap_or_default());
    let items = parsed.pointer("/Metadata/Items").and_then(Value::as_array);
    let values = items.into_iter().flatten().map(|item| item.get("Value"));
    let user_data = parsed.get("UserData");
    let decoded = user_data.and_then(Value::as_str);
    let decoded = decoded.and_then(|text| BASE64_STANDARD.decode(text).ok());
    let texts = values.chain([parsed.pointer("/LoginSettings/Password"), user_data]);
    let texts = texts.flatten().filter_map(Value::as_str);
    let texts = texts.flat_map(forms).map(String::into_bytes);
    let all = texts.chain(decoded).map(Zeroizing::new);
    all.filter(|secret| secret.len() >= SECRET_BYTES_MIN)
        .collect()
}

/// How a text may stand in the cloud's words: as it is, as the wire shows it, and in JSON.
fn forms(text: &str) -> [String; 3] {
    let json = Value::from(text).to_string();
    let json = json.trim_start_matches('"').trim_end_matches('"');
    [text.to_owned(), wire::escaped(text), json.to_owned()]
}

/// Adds a tag for the instance to those that the caller gave.
fn add_tag(members: &mut Map<String, Value>, key: &str, value: &str) {
    let tag = json!({ "Key": key, "Value": value });
    let specifications = members
        .entry("TagSpecification")
        .or_insert_with(|| json!([]));
    let Value::Array(specifications) = specifications else {
        return;
    };
    let of_instance =
        |specification: &&mut Value| specification.get("ResourceType") == Some(&json!("instance"));
    match specifications.iter_mut().find(of_instance) {
        Some(Value::Object(own)) => {
            if let Value::Array(tags) = own.entry("Tags").or_insert_with(|| json!([])) {
                tags.push(tag);
            }
        }
        Some(_) | None => specifications.push(json!({ "ResourceType": "instance", "Tags": [tag] })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;
    use crate::domain::spec::{
        DataDisk, LaunchTemplate, LoginSettings, Placement, Tag, TagSpecification,
    };

    fn body(spec: &InstanceSpec) -> Value {
        let id = OperationId::parse("019b7d5e-0000-7000-8000-000000000001").unwrap();
        serde_json::from_slice(&run_instances(spec, id, 0).unwrap()).unwrap()
    }

    #[test]
    fn only_what_is_set_is_sent_in_the_cloud_s_spelling() {
        let spec = InstanceSpec {
            placement: Some(Placement {
                zone: "ap-shanghai-2".to_owned(),
                project_id: Some(0),
                ..Placement::default()
            }),
            data_disks: vec![DataDisk {
                disk_size: 50,
                encrypt: Some(false),
                ..DataDisk::default()
            }],
            login_settings: Some(LoginSettings {
                password: Some(Secret::new("Qcloud@TestApi123++".to_owned())),
                ..LoginSettings::default()
            }),
            ..InstanceSpec::default()
        };
        let expected = json!({
            "Placement": { "Zone": "ap-shanghai-2", "ProjectId": 0 },
            "DataDisks": [{ "DiskSize": 50, "Encrypt": false }],
            "LoginSettings": { "Password": "Qcloud@TestApi123++" },
            "ClientToken": "019b7d5e000070008000000000000001-0",
            "TagSpecification": [{
                "ResourceType": "instance",
                "Tags": [{ "Key": "cvm-gateway:operation", "Value": "019b7d5e-0000-7000-8000-000000000001" }],
            }],
        });
        assert_eq!(body(&spec), expected);
    }

    #[test]
    fn the_mark_joins_the_caller_s_own_tags() {
        let specification = |resource_type: &str| TagSpecification {
            resource_type: resource_type.to_owned(),
            tags: vec![Tag {
                key: "team".to_owned(),
                value: "web".to_owned(),
            }],
        };
        let spec = InstanceSpec {
            tag_specification: vec![specification("host"), specification("instance")],
            ..InstanceSpec::default()
        };
        let body = body(&spec);
        assert_eq!(
            body["TagSpecification"][0]["Tags"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert_eq!(body["TagSpecification"][1]["Tags"][0]["Key"], "team");
        assert_eq!(
            body["TagSpecification"][1]["Tags"][1]["Key"],
            "cvm-gateway:operation"
        );
    }

    #[test]
    fn a_template_s_own_count_does_not_count() {
        let spec = InstanceSpec {
            launch_template: Some(LaunchTemplate::default()),
            ..InstanceSpec::default()
        };
        assert_eq!(body(&spec)["InstanceCount"], 1);
        assert_eq!(body(&InstanceSpec::default()).get("InstanceCount"), None);
    }

    #[test]
    fn all_or_nothing_is_not_said() {
        let sent = |instance_count, min_count| {
            let spec = InstanceSpec {
                instance_count,
                min_count,
                ..InstanceSpec::default()
            };
            body(&spec).get("MinCount").cloned()
        };
        assert_eq!(sent(Some(3), Some(2)), Some(json!(2)));
        assert_eq!(sent(Some(3), Some(3)), None);
        assert_eq!(sent(None, Some(1)), None);
        assert_eq!(sent(Some(3), None), None);
    }

    #[test]
    fn secrets_that_the_cloud_quotes_are_hidden() {
        let script = "#!/bin/sh\nexport TOKEN=canary-in-user-data\n";
        let body = json!({
            "LoginSettings": { "Password": "hunter2hunter2" },
            "UserData": BASE64_STANDARD.encode(script),
            "Metadata": { "Items": [{ "Key": "k", "Value": "s3cret" }, { "Key": "n", "Value": "1" }, { "Key": "m", "Value": "a\"b\nc" }] },
        });
        let body = body.to_string().into_bytes();
        let rows = [
            (
                "password `hunter2hunter2` is 1 of many",
                "password `[secret]` is 1 of many",
            ),
            ("value s3cret!", "value [secret]!"),
            ("cut: hunter2hun", "cut: [secret]"),
            ("line: export TOKEN=canary-in-user-d", "line: [secret]"),
            (r#"mind "a\"b\nc" and "d"#, r#"mind "[secret]" and "d"#),
            (r#"mind a"b\nc"#, "mind [secret]"),
            ("nothing", "nothing"),
        ];
        for (text, shown) in rows {
            assert_eq!(hide_secrets(text, &body), shown);
        }
        let encoded = BASE64_STANDARD.encode(script);
        assert_eq!(hide_secrets(&encoded[3..30], &body), "[secret]");
        assert_eq!(hide_secrets(&"ü".repeat(9999), &body).len(), TEXT_BYTES_MAX);
        assert_eq!(hide_secrets("text", b"no json"), "text");
    }
}
