//! Rules that are looked up by their scopes, and told what they speak of, decide as all of them together that are
//! told everything.

use crate::domain::ids::{OrganizationId, Principal};
use crate::domain::names::Region;
use crate::domain::spec::InstanceSpec;
use crate::policy::action::Action;
use crate::policy::facts::{self, Second, Telling};
use crate::policy::mentioned::Mentioned;
use crate::policy::rules::{RuleFile, RuleFiles, Rules};
use crate::policy::verdict::{Posed, Question};
use cedar_policy::{Authorizer, Decision, PolicyId, PolicySet, Response};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::fmt::Write;
use std::str::FromStr;
use time::UtcDateTime;

const SEEDS: u64 = 150;

const WHOM: [&str; 8] = [
    "principal",
    "principal is Service",
    r#"principal == Service::"web""#,
    r#"principal == Service::"other""#,
    r#"principal in Organization::"acme""#,
    r#"principal in Organization::"umbrella""#,
    r#"principal is Service in Organization::"acme""#,
    r#"principal in Service::"web""#,
];
const WHAT: [&str; 7] = [
    "resource",
    "resource is Account",
    r#"resource == Account::"main""#,
    r#"resource == Account::"lab""#,
    r#"resource in Account::"main""#,
    r#"resource in Organization::"acme""#,
    r#"resource is Account in Organization::"umbrella""#,
];
/// They hold, do not hold, and cannot be evaluated.
const WHEN: [&str; 8] = [
    "",
    "",
    r#"when { context.hour == 0 && !(context has zone) }"#,
    r#"unless { context.tags.contains({key: "k", value: "v"}) || context.password }"#,
    r#"when { context has image_id || context.key_ids.isEmpty() }"#,
    r#"when { context.region == "ap-shanghai" }"#,
    r#"unless { context.region == "ap-shanghai" }"#,
    "when { context.instance_count + 9223372036854775807 > 0 }",
];

#[test]
fn slices_decide_as_all_rules_together() {
    let mut seen = [0; 4];
    for seed in 0..SEEDS {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let (enforced, shadow) = (
            rules(random, "e", ""),
            rules(random, "s", "@mode(\"shadow\")"),
        );
        let both = parse(&format!("{enforced}{shadow}"));
        let mut all_told = both.clone();
        all_told.mentioned = Mentioned::All;
        let posed = all_told.pose(question()).unwrap();
        let expected = all(&enforced, &posed);
        let tried = all(&format!("{enforced}{shadow}"), &posed);
        let verdict = both.decide(question());
        let (said, permitted) = match &verdict.outcome {
            Ok(said) => (said, true),
            Err((said, _)) => (said, false),
        };
        assert_eq!(permitted, allows(&expected), "seed {seed}: {enforced}");
        let said: Vec<&str> = said.iter().map(|said| said.rule.as_str()).collect();
        let decided = reasons(&expected);
        let failed = expected.diagnostics().errors().next().is_some();
        match said.as_slice() {
            ["no-rule-permits"] => assert!(decided.is_empty(), "seed {seed}"),
            [rule] if failed => assert!(enforced.contains(&format!("@id(\"{rule}\")"))),
            _ => assert_eq!(said, decided, "seed {seed}: {enforced}"),
        }
        let changed = allows(&tried) != permitted;
        let trial = verdict.trial;
        assert_eq!(trial.is_some(), changed, "seed {seed}: {enforced}{shadow}");
        if let Some(trial) = &trial {
            assert_eq!(
                trial.rules,
                reasons(&tried),
                "seed {seed}: {enforced}{shadow}"
            );
        }
        let kinds = [permitted, !permitted, failed, trial.is_some()];
        for (count, is) in seen.iter_mut().zip(kinds) {
            *count += u64::from(is);
        }
    }
    // Each way to end was met many times.
    assert!(seen.iter().all(|count| *count > SEEDS / 30), "{seen:?}");
}

/// Up to seven rules, most of which are about nobody here.
fn rules(random: &mut ChaCha8Rng, prefix: &str, mode: &str) -> String {
    let mut text = String::new();
    for number in 0..random.next_u32() % 8 {
        let effect = one_of(random, &["permit", "permit", "permit", "forbid"]);
        let (whom, what) = (one_of(random, &WHOM), one_of(random, &WHAT));
        let when = one_of(random, &WHEN);
        let action = r#"action == Action::"RunInstances""#;
        writeln!(
            text,
            "@id(\"{prefix}{number}\") {mode} {effect}({whom}, {action}, {what}) {when};"
        )
        .unwrap();
    }
    text
}

fn one_of<'a>(random: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    let index = u64::from(random.next_u32()) % u64::try_from(of.len()).unwrap();
    of[usize::try_from(index).unwrap()]
}

fn parse(text: &str) -> Rules {
    let [name, text] = ["a.cedar", text].map(str::to_owned);
    let files = RuleFiles {
        rules: vec![RuleFile { name, text }],
        ..RuleFiles::default()
    };
    Rules::parse(&files).unwrap()
}

fn question() -> Question<'static> {
    let spec = InstanceSpec::default();
    let region = Region::parse("ap-shanghai").unwrap();
    let principal = Principal {
        name: "web".to_owned(),
        organization: OrganizationId::parse("acme").unwrap(),
    };
    let telling = Telling {
        now: UtcDateTime::UNIX_EPOCH,
        second: &Second::default(),
        mentioned: &Mentioned::All,
    };
    Question {
        principal: Box::leak(Box::new(principal)),
        action: Action::RunInstances,
        account: Some("main"),
        facts: facts::launch(&region, &spec, None, telling),
    }
}

/// What Cedar itself says when it is given all rules.
fn all(text: &str, posed: &Posed) -> Response {
    let set = PolicySet::from_str(text).unwrap();
    let named = set.policies().map(|policy| {
        let id = policy.annotation("id").unwrap();
        policy.new_id(PolicyId::new(id))
    });
    let set = PolicySet::from_policies(named).unwrap();
    Authorizer::new().is_authorized(&posed.request, &set, &posed.parties.entities)
}

/// A rule that cannot be evaluated denies, which Cedar alone would not do.
fn allows(response: &Response) -> bool {
    let failed = response.diagnostics().errors().next().is_some();
    response.decision() == Decision::Allow && !failed
}

fn reasons(response: &Response) -> Vec<String> {
    let mut ids: Vec<String> = response
        .diagnostics()
        .reason()
        .map(PolicyId::to_string)
        .collect();
    ids.sort();
    ids
}
