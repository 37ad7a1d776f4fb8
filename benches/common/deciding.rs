//! A decision about a launch, by rules of which one names its caller.

use cvm_gateway::clock::Clock;
use cvm_gateway::domain::ids::{OrganizationId, Principal, RequestId};
use cvm_gateway::domain::names::{AccountName, Region};
use cvm_gateway::domain::operation::OnFailure;
use cvm_gateway::domain::request::Wish;
use cvm_gateway::domain::rules::Limits;
use cvm_gateway::domain::spec::{InstanceSpec, Placement};
use cvm_gateway::policy::{Organization, Policy, RuleFile, RuleFiles, Rules};
use std::hint::black_box;

/// The caller, whom one rule names.
pub(crate) const CALLER: &str = "spiffe://example.org/ns/team-1/sa/api";

/// A rule about one caller.
pub(crate) fn own_rule(number: usize) -> String {
    format!(
        "@id(\"own-{number}\")\n\
         permit(principal == Service::\"spiffe://example.org/ns/team-{number}/sa/api\",\n  \
         action in [Action::\"RunInstances\", Action::\"PlanRunInstances\"],\n  \
         resource == Account::\"main\")\n\
         when {{ context.region == \"ap-shanghai\" && context.instance_count <= 10 }};\n"
    )
}

pub(crate) fn file(text: String) -> RuleFiles {
    let name = "bench.cedar".to_owned();
    RuleFiles {
        rules: vec![RuleFile { name, text }],
        ..RuleFiles::default()
    }
}

pub(crate) fn policy(files: &RuleFiles) -> Policy {
    let account = AccountName::parse("main").unwrap();
    let organization = Organization {
        default_account: account.clone(),
        accounts: vec![account],
    };
    let organizations = [(OrganizationId::parse("development").unwrap(), organization)];
    Policy::new(organizations.into()).with_rules(Some(Rules::parse(files).unwrap()))
}

/// Decides about a launch of the caller, each time that it is called.
pub(crate) fn decider(policy: &Policy) -> impl Fn() {
    let principal = Principal {
        name: CALLER.to_owned(),
        organization: OrganizationId::parse("development").unwrap(),
    };
    let now = Clock::system().now();
    let proposal = policy.propose(&principal, judged(), &Limits::default(), now, now);
    let proposal = proposal.unwrap();
    move || black_box(policy.may_plan(black_box(&proposal), now)).unwrap()
}

fn judged() -> Wish {
    let spec = InstanceSpec {
        placement: Some(Placement {
            zone: "ap-shanghai-2".to_owned(),
            ..Placement::default()
        }),
        image_id: Some("img-8toqc6s3".to_owned()),
        instance_type: Some("S5.MEDIUM4".to_owned()),
        ..InstanceSpec::default()
    };
    Wish {
        request_id: RequestId::parse("bench").unwrap(),
        account: None,
        region: Region::parse("ap-shanghai").unwrap(),
        spec,
        alternatives: Vec::new(),
        on_failure: OnFailure::Keep,
    }
}
