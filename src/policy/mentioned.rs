//! The facts that rules speak of: what no rule speaks of need not be told to any.

use cedar_policy::Policy;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Which facts some rules may look at.
#[derive(Clone, Debug)]
pub(super) enum Mentioned {
    /// Perhaps each.
    All,
    /// No other ones.
    These(BTreeSet<String>),
}

impl Mentioned {
    /// Those that one of `policies` names. One that cannot be written as JSON, or that takes its context as a whole,
    /// may look at each.
    pub(super) fn by<'a>(mut policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut names = BTreeSet::new();
        let all_told = policies.all(|policy| {
            let json = policy.to_json();
            json.is_ok_and(|json| collect(&json, &mut names))
        });
        if all_told {
            Self::These(names)
        } else {
            Self::All
        }
    }

    /// Whether a rule may look at `fact`.
    pub(super) fn has(&self, fact: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(fact),
        }
    }
}

/// Adds the attributes that an expression names, whosever they are; false when the context stands in it by itself.
fn collect(expression: &Value, names: &mut BTreeSet<String>) -> bool {
    let mut left_to_do = vec![expression];
    while let Some(expression) = left_to_do.pop() {
        match expression {
            Value::Object(fields) if is_context(fields) => return false,
            Value::Object(fields) => {
                let parts = fields.iter().map(|(name, part)| match name.as_str() {
                    "." | "has" => whose(part, names),
                    _ => Some(part),
                });
                left_to_do.extend(parts.flatten());
            }
            Value::Array(parts) => left_to_do.extend(parts),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    true
}

/// Adds the attribute of an access; gives whose it is, but for the context, or all of what is no access.
fn whose<'a>(access: &'a Value, names: &mut BTreeSet<String>) -> Option<&'a Value> {
    let name = access.get("attr").and_then(Value::as_str);
    let (Some(left), Some(name)) = (access.get("left"), name) else {
        return Some(access);
    };
    names.insert(name.to_owned());
    let of_context = left.as_object().is_some_and(is_context);
    (!of_context).then_some(left)
}

fn is_context(fields: &Map<String, Value>) -> bool {
    fields.get("Var").and_then(Value::as_str) == Some("context")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn mentioned(conditions: &str) -> Mentioned {
        let policy = format!("permit(principal, action, resource) {conditions};");
        let policy = Policy::from_str(&policy).unwrap();
        Mentioned::by([policy].iter())
    }

    #[test]
    fn what_a_rule_names_is_mentioned() {
        for (conditions, names) in [
            ("", &[][..]),
            (
                "when { context.region == \"a\" && principal.name == \"b\" }",
                &["name", "region"],
            ),
            (
                "unless { context has zone && [context.zone].contains(\"z\") }",
                &["zone"],
            ),
            (
                "when { if context.tags.contains({key: \"k\", value: \"v\"}) then context.hour > 3 else !context.password }",
                &["hour", "password", "tags"],
            ),
            ("when { context.now.toTime() > duration(\"1h\") }", &["now"]),
            ("when { context[\"vpc_id\"] like \"*x\" }", &["vpc_id"]),
            (
                "when { \"context\" == \"region\" || {region: 1} has zone }",
                &["zone"],
            ),
        ] {
            let Mentioned::These(found) = mentioned(conditions) else {
                panic!("{conditions}")
            };
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            assert_eq!(found, names, "{conditions}");
        }
    }

    #[test]
    fn an_access_of_an_unknown_form_may_be_of_any_fact() {
        let access = serde_json::json!({"has": {"left": {"Var": "context"}, "attr": ["a", "b"]}});
        assert!(!collect(&access, &mut BTreeSet::new()));
    }

    #[test]
    fn who_takes_the_context_as_a_whole_may_look_at_each_fact() {
        for conditions in [
            "when { context == {region: \"a\"} }",
            "when { [context].isEmpty() }",
            "when { (if principal == resource then context else {zone: \"z\"}).zone == \"z\" }",
        ] {
            let mentioned = mentioned(conditions);
            assert!(matches!(mentioned, Mentioned::All), "{conditions}");
            assert!(mentioned.has("whatever"));
        }
    }
}
