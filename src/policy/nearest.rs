//! Why no rule permits: which of them speak of the caller and what it wishes, and the first of
//! their conditions that does not hold.

use cedar_policy::{Authorizer, Entities, Policy, PolicyId, PolicySet, Request};
use serde_json::{Value, json};
use std::sync::Arc;

/// Rules that are told, at most.
const NEAREST_MAX: usize = 3;
/// Characters of a condition that are told, at most.
const CONDITION_CHARS_MAX: usize = 200;

/// A rule that permits, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    id: String,
    /// The rule without its conditions.
    scope: PolicySet,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    /// As in the rule.
    text: String,
    /// A rule that permits when this condition alone holds.
    alone: PolicySet,
}

impl Permit {
    /// Takes a rule apart.
    ///
    /// # Errors
    /// When the library does not take back what it gave: never, as far as is known.
    pub(super) fn of(policy: &Policy) -> Result<Self, String> {
        let json = policy.to_json().map_err(|error| error.to_string())?;
        let conditions = json.get("conditions").and_then(Value::as_array);
        let mut parts = Vec::new();
        for condition in conditions.into_iter().flatten() {
            let kind = condition.get("kind").cloned().unwrap_or_default();
            let body = condition.get("body").cloned().unwrap_or_default();
            match kind.as_str() {
                // `when` holds when all that `&&` joins does; `unless` cannot be split so.
                Some("when") => split(body, &mut parts),
                _ => parts.push((kind, body)),
            }
        }
        let conditions = parts.into_iter().map(|(kind, body)| {
            let condition = json!([{ "kind": kind, "body": body }]);
            let alone = anybody(condition)?;
            Ok::<_, String>(Condition {
                text: text_of(&alone),
                alone: alone_of(alone)?,
            })
        });
        let mut scope = json.clone();
        if let Some(fields) = scope.as_object_mut() {
            fields.insert("conditions".to_owned(), json!([]));
        }
        let scope = Policy::from_json(Some(policy.id().clone()), scope);
        Ok(Self {
            id: policy.id().to_string(),
            scope: alone_of(scope.map_err(|error| error.to_string())?)?,
            conditions: conditions.collect::<Result<_, _>>()?,
        })
    }
}

/// The rules of `permits` that speak of the request, each with the first condition that fails.
pub(super) fn nearest<'a>(
    permits: impl Iterator<Item = &'a Arc<Permit>>,
    request: &Request,
    entities: &Entities,
) -> Vec<String> {
    let holds = |policies: &PolicySet| {
        let response = Authorizer::new().is_authorized(request, policies, entities);
        response.decision() == cedar_policy::Decision::Allow
    };
    let mut about: Vec<_> = permits.filter(|permit| holds(&permit.scope)).collect();
    about.sort_by(|a, b| a.id.cmp(&b.id));
    let about = about.into_iter();
    let failing = about.filter_map(|permit| {
        let mut conditions = permit.conditions.iter();
        let failing = conditions.find(|condition| !holds(&condition.alone))?;
        Some(format!("`{}` needs {}", permit.id, failing.text))
    });
    failing.take(NEAREST_MAX).collect()
}

/// Adds what `&&` joins, from left to right.
fn split(body: Value, parts: &mut Vec<(Value, Value)>) {
    let mut left_to_do = vec![body];
    while let Some(mut body) = left_to_do.pop() {
        match body.get_mut("&&").map(Value::take) {
            Some(mut both) => {
                let [left, right] =
                    ["left", "right"].map(|side| both.get_mut(side).map(Value::take));
                left_to_do.extend(right);
                left_to_do.extend(left);
            }
            None => parts.push((json!("when"), body)),
        }
    }
}

/// A rule that permits everybody everything under these conditions.
fn anybody(conditions: Value) -> Result<Policy, String> {
    let policy = json!({
        "effect": "permit",
        "principal": { "op": "All" },
        "action": { "op": "All" },
        "resource": { "op": "All" },
        "conditions": conditions,
    });
    Policy::from_json(Some(PolicyId::new("condition")), policy).map_err(|error| error.to_string())
}

fn alone_of(policy: Policy) -> Result<PolicySet, String> {
    PolicySet::from_policies([policy]).map_err(|error| error.to_string())
}

/// The condition of a rule that has only one, on one line.
fn text_of(policy: &Policy) -> String {
    let text = policy.to_cedar().unwrap_or_default();
    let begin = ["when", "unless"].iter().filter_map(|word| text.find(word));
    let condition = begin.min().and_then(|begin| text.get(begin..));
    let condition = condition.unwrap_or(&text).trim_end_matches(';');
    let words: Vec<&str> = condition.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(CONDITION_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
