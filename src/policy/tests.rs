//! What rules decide, and what is wrong with those that are refused.

use super::*;
use crate::domain::ids::RequestId;
use crate::domain::names::Region;
use crate::domain::operation::OnFailure;
use crate::domain::outlook::Cost;
use crate::domain::request::Alternative;
use crate::domain::rules::Limits;
use crate::domain::spec::{
    InstanceSpec, LaunchTemplate, NetworkInterface, Placement, SystemDisk, Tag, TagSpecification,
    VirtualPrivateCloud,
};
use rust_decimal::Decimal;
use time::macros::utc_datetime;

const NOW: UtcDateTime = utc_datetime!(2026-11-28 22:30);

fn account(name: &str) -> AccountName {
    AccountName::parse(name).unwrap()
}

fn policy(rules: Option<&str>) -> Policy {
    let acme = Organization {
        default_account: account("main"),
        accounts: vec![account("main"), account("lab")],
    };
    let rules = rules.map(|text| parse(text).unwrap());
    Policy::new([(OrganizationId::parse("acme").unwrap(), acme)].into()).with_rules(rules)
}

fn parse(text: &str) -> Result<Rules, Vec<Flaw>> {
    let [name, text] = ["a.cedar", text].map(str::to_owned);
    Rules::parse(&RuleFiles {
        rules: vec![RuleFile { name, text }],
        ..RuleFiles::default()
    })
}

fn caller(organization: &str) -> Principal {
    Principal {
        name: "spiffe://acme/web".to_owned(),
        organization: OrganizationId::parse(organization).unwrap(),
    }
}

fn spec() -> InstanceSpec {
    InstanceSpec {
        placement: Some(Placement {
            zone: "ap-shanghai-2".to_owned(),
            ..Placement::default()
        }),
        image_id: Some("img-8toqc6s3".to_owned()),
        instance_type: Some("S5.MEDIUM4".to_owned()),
        ..InstanceSpec::default()
    }
}

fn request(asked: Option<&str>, spec: InstanceSpec, others: Vec<Alternative>) -> Wish {
    Wish {
        request_id: RequestId::parse("r").unwrap(),
        account: asked.map(account),
        region: Region::parse("ap-shanghai").unwrap(),
        spec,
        alternatives: others,
        on_failure: OnFailure::Keep,
    }
}

fn proposal(policy: &Policy, caller: &Principal, wish: Wish) -> Result<Proposal, Denial> {
    match policy.propose(caller, wish, &Limits::default(), NOW, NOW) {
        Err(Refusal::Invalid(violations)) => panic!("{violations}"),
        Err(Refusal::Denied(denial)) => Err(denial),
        Ok(proposal) => Ok(proposal),
    }
}

fn authorize(policy: &Policy, caller: &Principal, wish: Wish) -> Result<Grant, Denial> {
    policy.authorize(proposal(policy, caller, wish)?, NOW)
}

/// What rules say of a launch with this specification.
fn judge(rules: &str, spec: InstanceSpec) -> Result<Grant, Denial> {
    let wish = request(None, spec, Vec::new());
    authorize(&policy(Some(rules)), &caller("acme"), wish)
}

#[test]
fn an_organisation_launches_with_its_own_accounts() {
    let rows = [
        (("acme", None), Ok("main")),
        (("acme", Some("lab")), Ok("lab")),
        (("acme", Some("other")), Err("account-of-own-organization")),
        (("umbrella", None), Err("organization-has-accounts")),
    ];
    for rules in [
        None,
        Some("@id(\"all\") permit(principal, action, resource);"),
    ] {
        for ((organization, asked), expected) in rows {
            let request = request(asked, spec(), Vec::new());
            let verdict = authorize(&policy(rules), &caller(organization), request);
            let verdict = verdict.map(|grant| grant.account().clone());
            let expected = expected.map(account).map_err(str::to_owned);
            let verdict = verdict.map_err(|denial| denial.rule());
            assert_eq!(verdict, expected, "{organization} {asked:?}");
        }
    }
}

#[test]
fn nothing_is_allowed_that_no_rule_permits() {
    let elsewhere = r#"
@id("beijing-only") permit(principal, action == Action::"RunInstances", resource)
when { context.region == "ap-beijing" && context.instance_count < 3 };
@id("somebody-else") permit(principal == Service::"other", action, resource);"#;
    let denial = judge(elsewhere, spec()).unwrap_err();
    assert_eq!(denial.rule(), "no-rule-permits");
    assert_eq!(
        denial.message,
        "no rule permits it; `beijing-only` needs when { context.region == \"ap-beijing\" }"
    );
    let nobody = "@id(\"a\") permit(principal == Service::\"other\", action, resource);";
    let denial = judge(nobody, spec()).unwrap_err();
    assert!(
        denial.message.contains("none speaks of this caller"),
        "{denial}"
    );
}

#[test]
fn a_rule_that_forbids_wins_and_says_why() {
    let rules = r#"
@id("all") permit(principal, action, resource);
@id("no-s5") @reason("S5 is being given up; ask platform@") forbid(principal, action, resource)
when { context has instance_family && context.instance_family == "S5" };"#;
    // Reads know no family, so that rule is no rule of theirs.
    let rules = rules.replace(
        "forbid(principal, action,",
        "forbid(principal, action == Action::\"RunInstances\",",
    );
    let denial = judge(&rules, spec()).unwrap_err();
    assert_eq!(denial.rule(), "no-s5");
    assert_eq!(
        denial.message,
        "forbidden by the rule `no-s5`: S5 is being given up; ask platform@"
    );
    let other = InstanceSpec {
        instance_type: Some("S6.MEDIUM4".to_owned()),
        ..spec()
    };
    let grant = judge(&rules, other).unwrap();
    assert_eq!(grant.decision().rule, "all");
    assert!(grant.decision().policy.starts_with("sha256:"), "{grant:?}");
}

#[test]
fn a_rule_that_cannot_be_evaluated_denies() {
    let rules = r#"
@id("all") permit(principal, action, resource);
@id("sum") forbid(principal, action == Action::"RunInstances", resource)
when { context.instance_count * 9223372036854775807 > 5 };"#;
    let three = InstanceSpec {
        instance_count: Some(3),
        ..spec()
    };
    let denial = judge(rules, three).unwrap_err();
    assert_eq!(denial.rule(), "sum");
    assert!(denial.message.contains("cannot be evaluated"), "{denial}");
}

#[test]
fn every_place_of_a_launch_must_be_permitted() {
    let rules = r#"@id("two") permit(principal, action, resource is Account)
when { context has zone && context.zone == "ap-shanghai-2" };"#;
    let rules = rules.replace("action,", "action == Action::\"RunInstances\",");
    let elsewhere = vec![Alternative {
        zone: Some("ap-shanghai-3".to_owned()),
        ..Alternative::default()
    }];
    let policy = policy(Some(&rules));
    let request = request(None, spec(), elsewhere);
    let denial = authorize(&policy, &caller("acme"), request).unwrap_err();
    assert!(
        denial
            .message
            .starts_with("alternatives[0]: no rule permits"),
        "{denial}"
    );
}

#[test]
fn rules_on_trial_are_told_and_do_not_decide() {
    let rules = r#"
@id("all") permit(principal, action, resource);
@id("soon") @mode("shadow") forbid(principal, action == Action::"RunInstances", resource);"#;
    let grant = judge(rules, spec()).unwrap();
    let trial = Trial {
        allows: false,
        rules: vec!["soon".to_owned()],
    };
    assert_eq!(grant.trial(), Some(&trial));
    let rules = r#"@id("soon") @mode("shadow") permit(principal, action, resource);"#;
    let denial = judge(rules, spec()).unwrap_err();
    assert_eq!(denial.rule(), "no-rule-permits");
    assert!(denial.trial.unwrap().allows);
    let same = r#"
@id("all") permit(principal, action, resource);
@id("soon") @mode("shadow") permit(principal, action, resource);"#;
    assert_eq!(judge(same, spec()).unwrap().trial(), None);
}

/// Each fact that the schema names: a rule that asks for it, and a launch that has it.
#[test]
fn every_fact_of_a_launch_is_known() {
    let tags = vec![TagSpecification {
        resource_type: "instance".to_owned(),
        tags: vec![Tag {
            key: "team".to_owned(),
            value: "web".to_owned(),
        }],
    }];
    let encrypted = SystemDisk {
        disk_type: Some("CLOUD_BSSD".to_owned()),
        disk_size: Some(50),
        encrypt: Some(true),
        ..SystemDisk::default()
    };
    let full = || InstanceSpec {
        tag_specification: tags.clone(),
        system_disk: Some(encrypted.clone()),
        instance_count: Some(5),
        min_count: Some(2),
        ..spec()
    };
    let conditions = [
        "context.region == \"ap-shanghai\"",
        "context has zone && context.zone == \"ap-shanghai-2\"",
        "context has instance_type && context.instance_type like \"S5.*\"",
        "context has instance_family && context.instance_family == \"S5\"",
        "context.instance_count == 5 && context.min_count == 2",
        "context has instance_charge_type && context.instance_charge_type == \"POSTPAID_BY_HOUR\"",
        "context.prepaid_months == 0 && !context.launch_template && !context.dry_run",
        "context has image_id && context.image_id == \"img-8toqc6s3\"",
        "context has system_disk_type && context.system_disk_type == \"CLOUD_BSSD\"",
        "context has system_disk_size && context.system_disk_size <= 50",
        "context.data_disk_size == 0 && context.data_disk_types.isEmpty() && context.disks_encrypted",
        "!(context has vpc_id) && !(context has subnet_id) && !(context has project_id)",
        "context.security_group_ids.isEmpty() && context.key_ids.isEmpty()",
        "context.vpc_ids.isEmpty() && context.subnet_ids.isEmpty() && context.network_interface_ids.isEmpty()",
        "!context.public_ip && context.internet_max_bandwidth_out == 0",
        "!context.password && !context.user_data && !(context has cam_role_name)",
        "context.tags.contains({ key: \"team\", value: \"web\" }) && context.tag_keys.contains(\"team\")",
        "!context.disable_api_termination && !context.action_timer",
        "context.hour == 22 && context.weekday == 6",
        "context.now > datetime(\"2026-11-28\") && context.now < datetime(\"2026-11-29\")",
        "principal in Organization::\"acme\" && principal.name like \"spiffe://acme/*\"",
        "resource in Organization::\"acme\" && resource == Account::\"main\" && resource.name == \"main\"",
    ];
    for condition in conditions {
        let rule = |condition: &str| {
            format!(
                "@id(\"a\") permit(principal, action == Action::\"RunInstances\", resource) when {{ {condition} }};"
            )
        };
        let granted = judge(&rule(condition), full());
        assert!(granted.is_ok(), "{condition}: {granted:?}");
        let denied = judge(&rule(&format!("!({condition})")), full());
        assert!(denied.is_err(), "not {condition}");
    }
}

fn cloud(network: &str) -> VirtualPrivateCloud {
    VirtualPrivateCloud {
        vpc_id: format!("vpc-{network}"),
        subnet_id: format!("subnet-{network}"),
        ..VirtualPrivateCloud::default()
    }
}

fn interface(kind: &str, network: &str) -> NetworkInterface {
    NetworkInterface {
        interface_type: kind.to_owned(),
        vpc_id: format!("vpc-{network}"),
        subnet_id: format!("subnet-{network}"),
        private_ipv4_address_count: 1,
        ..NetworkInterface::default()
    }
}

fn holds(condition: &str, spec: InstanceSpec) -> bool {
    let rule = format!(
        "@id(\"a\") permit(principal, action == Action::\"RunInstances\", resource) when {{ {condition} }};"
    );
    judge(&rule, spec).is_ok()
}

/// Each rule names one fact alone, so what no rule mentions cannot be what tells it.
#[test]
fn rules_see_the_networks_of_every_interface() {
    let existing = NetworkInterface {
        network_interface_id: Some("eni-1".to_owned()),
        ..interface("SECONDARY", "prod")
    };
    let of_interfaces = InstanceSpec {
        network_interfaces: vec![interface("SECONDARY", "dev"), interface("PRIMARY", "prod")],
        ..spec()
    };
    let of_both = InstanceSpec {
        virtual_private_cloud: Some(cloud("dev")),
        network_interfaces: vec![interface("PRIMARY", "lab"), existing],
        ..spec()
    };
    for (condition, interfaces, both) in [
        (
            "context has vpc_id && context.vpc_id == \"vpc-prod\"",
            true,
            false,
        ),
        (
            "context has vpc_id && context.vpc_id == \"vpc-dev\"",
            false,
            false,
        ),
        ("context has vpc_id", true, false),
        (
            "context has subnet_id && [\"subnet-prod\"].contains(context.subnet_id)",
            true,
            false,
        ),
        (
            "context has subnet_id && [\"subnet-dev\"].contains(context.subnet_id)",
            false,
            false,
        ),
        (
            "context.vpc_ids == [\"vpc-dev\", \"vpc-prod\"]",
            true,
            false,
        ),
        (
            "context.vpc_ids == [\"vpc-dev\", \"vpc-lab\", \"vpc-prod\"]",
            false,
            true,
        ),
        ("context.vpc_ids == [\"vpc-dev\"]", false, false),
        ("context.subnet_ids.contains(\"subnet-prod\")", true, true),
        (
            "[\"subnet-dev\", \"subnet-prod\"].containsAll(context.subnet_ids)",
            true,
            false,
        ),
        ("context.network_interface_ids.isEmpty()", true, false),
        ("context.network_interface_ids == [\"eni-1\"]", false, true),
    ] {
        assert_eq!(
            holds(condition, of_interfaces.clone()),
            interfaces,
            "{condition}"
        );
        assert_eq!(holds(condition, of_both.clone()), both, "both: {condition}");
    }
}

/// Its `virtual_private_cloud`, if it has one, stands before the PRIMARY interface of the request.
#[test]
fn a_launch_template_leaves_the_first_network_unknown() {
    let template = InstanceSpec {
        launch_template: Some(LaunchTemplate {
            launch_template_id: Some("lt-1a2b3c4d".to_owned()),
            ..LaunchTemplate::default()
        }),
        network_interfaces: vec![interface("PRIMARY", "dev")],
        ..spec()
    };
    for (condition, expected) in [
        ("context has vpc_id || context has subnet_id", false),
        (
            "context.launch_template && context.subnet_ids == [\"subnet-dev\"]",
            true,
        ),
    ] {
        assert_eq!(holds(condition, template.clone()), expected, "{condition}");
    }
    let named = InstanceSpec {
        virtual_private_cloud: Some(cloud("lab")),
        ..template
    };
    let condition = "context has vpc_id && context.vpc_id == \"vpc-lab\"";
    assert!(!holds(condition, named.clone()), "the interface differs");
    let alike = InstanceSpec {
        network_interfaces: vec![interface("PRIMARY", "lab")],
        ..named
    };
    assert!(holds(condition, alike));
}

#[test]
fn what_is_wrong_with_rules_is_told_with_its_place() {
    let run = "permit(principal, action == Action::\"RunInstances\", resource)";
    let rows = [
        ("permit(principal, action, resource);", "a rule needs an id"),
        (
            "@id(\"\") permit(principal, action, resource);",
            "a rule needs an id",
        ),
        (
            "@id(\"a b\") permit(principal, action, resource);",
            "a rule needs an id",
        ),
        (
            "@id(\"a\") @why(\"b\") permit(principal, action, resource);",
            "unknown annotation @why",
        ),
        (
            "@id(\"a\") @mode(\"trial\") permit(principal, action, resource);",
            "@mode must be",
        ),
        ("@id(\"a\") permit(principal, action, resource)", "no Cedar"),
        (
            "@id(\"a\") permit(principal == ?principal, action, resource);",
            "is a template",
        ),
        (
            "@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);",
            "another rule has the id `a`, in a.cedar",
        ),
        (
            &format!("@id(\"a\") {run} when {{ context.cpuu > 3 }};"),
            "attribute `cpuu`",
        ),
        (
            &format!("@id(\"a\") {run} when {{ context.zone == \"a\" }};"),
            "zone",
        ),
        (
            &format!("@id(\"a\") {run} when {{ context.instance_count == \"3\" }};"),
            "types",
        ),
        (
            "@id(\"a\") permit(principal, action == Action::\"RunInstance\", resource);",
            "RunInstance",
        ),
        (
            "@id(\"a\") permit(principal, action == Action::\"GetOperation\", resource is Account);",
            "unable to find an applicable action",
        ),
        (
            "@id(\"a\") permit(principal is User, action, resource);",
            "User",
        ),
    ];
    for (text, expected) in rows {
        let padded = format!("// A comment.\n\n{text}");
        let flaws = parse(&padded).unwrap_err();
        let found = flaws.iter().find(|flaw| flaw.message.contains(expected));
        let found = found.unwrap_or_else(|| panic!("{text}: {flaws:?}"));
        assert_eq!(found.file, "a.cedar", "{text}");
        assert!(found.offset >= 15, "{text}: {found:?}");
    }
}

#[test]
fn an_action_is_judged_by_its_own_rules() {
    let rules = r#"
@id("read") permit(principal, action in [Action::"GetOperation", Action::"ListOperations"], resource);
@id("run") permit(principal, action == Action::"RunInstances", resource);"#;
    let policy = policy(Some(rules));
    let caller = caller("acme");
    let allowed = Action::ALL.map(|action| match action {
        Action::RunInstances => {
            let request = request(None, spec(), Vec::new());
            authorize(&policy, &caller, request).is_ok()
        }
        Action::PlanRunInstances => {
            let request = request(None, spec(), Vec::new());
            let proposal = proposal(&policy, &caller, request).unwrap();
            policy.may_plan(&proposal, NOW).is_ok()
        }
        Action::TerminateInstances => {
            let instances = OwnedInstances {
                account: account("main"),
                region: Region::parse("ap-shanghai").unwrap(),
                ids: Vec::new(),
            };
            policy
                .authorize_termination(&caller, instances, NOW)
                .is_ok()
        }
        Action::CancelOperation => {
            let launch = UnderWay {
                account: &account("main"),
                region: &Region::parse("ap-shanghai").unwrap(),
                launched_by: "somebody",
            };
            policy.authorize_cancellation(&caller, launch, NOW).is_ok()
        }
        Action::WatchOperation
        | Action::GetOperation
        | Action::ListOperations
        | Action::ListInstances => policy.may(&caller, action).is_ok(),
    });
    let expected = Action::ALL.map(|action| {
        matches!(
            action,
            Action::RunInstances | Action::GetOperation | Action::ListOperations
        )
    });
    assert_eq!(allowed, expected);
}

#[test]
fn rules_speak_of_what_the_cloud_tells_of_models() {
    let rules = r#"
        @id("small") permit(principal, action, resource == Account::"main")
        when { context has vcpu && context.vcpu <= 2 && context has memory && context.memory <= 4 };
        @id("no-gpu") forbid(principal, action, resource == Account::"main")
        when { context has gpu && context.gpu > 0 };
        @id("cheap") forbid(principal, action, resource == Account::"main")
        unless { context has price_per_hour && context.price_per_hour.lessThan(decimal("0.5")) };
    "#;
    let rules = launches_only(rules);
    let policy = policy(Some(&rules));
    assert!(policy.needs_sizes());
    let proposed = || {
        let wish = request(None, spec(), Vec::new());
        let proposal = policy.propose(&caller("acme"), wish, &Limits::default(), NOW, NOW);
        proposal.unwrap()
    };
    let size = |vcpu, gpu, hourly: &str| Size {
        vcpu,
        memory_gib: 4,
        gpu,
        cost: Some(Cost::Hourly(hourly.parse().unwrap())),
    };
    let prepaid = Size {
        cost: Some(Cost::Monthly(Decimal::ONE)),
        ..size(2, 0, "0")
    };
    for (size, rule) in [
        (Some(size(2, 0, "0.49")), "small"),
        (Some(size(4, 0, "0.49")), "no-rule-permits"),
        (Some(size(2, 1, "0.49")), "no-gpu"),
        (Some(size(2, 0, "0.49991")), "cheap"),
        (Some(prepaid), "cheap"),
        (None, "cheap"),
    ] {
        let proposal = proposed().sized(vec![size.clone()]);
        let said = match policy.authorize(proposal, NOW) {
            Ok(grant) => grant.decision().rule,
            Err(denial) => denial.rule(),
        };
        assert_eq!(said, rule, "{size:?}");
    }
    let denial = policy.authorize(proposed(), NOW).unwrap_err();
    assert_eq!(denial.rule(), "size-is-known");
}

#[test]
fn only_rules_that_need_sizes_have_them_asked_for() {
    for (condition, needs) in [
        ("context.instance_count <= 3", false),
        (
            r#"context has image_id && context.image_id == "vcpu""#,
            false,
        ),
        ("context has vcpu", true),
        (
            "if context has price_per_month then context.price_per_month.lessThan(decimal(\"1.0\")) else false",
            true,
        ),
    ] {
        let rule = format!(
            "@id(\"memory\") @reason(\"gpu\") permit(principal, action == Action::\"RunInstances\", resource) when {{ {condition} }};"
        );
        assert_eq!(parse(&rule).unwrap().needs_sizes(), needs, "{condition}");
    }
}

fn launches_only(rules: &str) -> String {
    rules.replace(
        "action, resource",
        "action == Action::\"RunInstances\", resource",
    )
}

#[test]
fn rules_decide_whose_launches_are_ended() {
    let rules = r#"
        @id("own") permit(principal, action == Action::"CancelOperation", resource == Account::"main")
        when { context.launched_by == principal.name };
        @id("abroad") forbid(principal, action == Action::"CancelOperation", resource)
        when { context.region != "ap-shanghai" };
    "#;
    let policy = policy(Some(rules));
    let caller = caller("acme");
    let said = |of: &str, region: &str, launched_by: &str| {
        let launch = UnderWay {
            account: &account(of),
            region: &Region::parse(region).unwrap(),
            launched_by,
        };
        match policy.authorize_cancellation(&caller, launch, NOW) {
            Ok(decision) => decision.rule,
            Err(denial) => denial.rule(),
        }
    };
    let own = caller.name.as_str();
    assert_eq!(said("main", "ap-shanghai", own), "own");
    assert_eq!(said("main", "ap-shanghai", "another"), "no-rule-permits");
    assert_eq!(said("other", "ap-shanghai", own), "no-rule-permits");
    assert_eq!(said("main", "ap-guangzhou", own), "abroad");
}
