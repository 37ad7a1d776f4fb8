//! The policy for the cloud's own access management allows what the gateway calls, and no more.

use super::read;
use cvm_gateway::cloud::limiter::Action;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn the_cloud_user_may_do_exactly_what_the_gateway_calls() {
    let policy: Value = serde_json::from_str(&read("deploy/cam-policy.json")).unwrap();
    assert_eq!(policy["version"], "2.0");
    let statements = policy["statement"].as_array().unwrap();
    let mut allowed = BTreeSet::new();
    for statement in statements {
        assert_eq!(statement["effect"], "allow", "{statement}");
        for action in statement["action"].as_array().unwrap() {
            assert!(
                allowed.insert(action.as_str().unwrap()),
                "{action} is there twice"
            );
        }
    }
    let called = Action::ALL.map(|action| format!("cvm:{}", action.as_str()));
    assert_eq!(allowed, called.iter().map(String::as_str).collect());
}
