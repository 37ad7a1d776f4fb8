//! The verdict on every error code of the cloud: a data table, so that judging is never code.

use super::{Effect, Retry};
use crate::chaos;
use crate::domain::reason::Reason;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Derived from the contract by `testdata/contract/make_codes.py`.
const TABLE: &str = include_str!("codes.tsv");

/// What an error code means to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the caller is told.
    pub reason: Reason,
    /// The request fields that the code blames, as contract paths, e.g. `Placement.Zone`.
    pub fields: Vec<&'static str>,
    /// When the call may be repeated.
    pub retry: Retry,
    /// Whether the call may have had an effect.
    pub effect: Effect,
}

/// Judges a code. One that the table does not list gets the reason of its family, and is ambiguous:
/// only a listed code proves that nothing was launched.
#[must_use]
pub fn classify(code: &str) -> Verdict {
    let major = code.split_once('.').map_or(code, |(major, _)| major);
    VERDICTS
        .get(code)
        .or_else(|| VERDICTS.get(format!("{major}.*").as_str()))
        .cloned()
        .unwrap_or(Verdict {
            reason: Reason::CloudInternal,
            fields: Vec::new(),
            retry: Retry::Token,
            effect: chaos::wrong!(
                "unknown-code-is-refusal",
                Effect::Ambiguous,
                Effect::Definite
            ),
        })
}

/// Whether the table lists the code itself, and not only its family.
#[must_use]
pub fn is_listed(code: &str) -> bool {
    VERDICTS.contains_key(code)
}

#[expect(
    clippy::expect_used,
    reason = "the table is compiled in, and a test reads every row of it"
)]
static VERDICTS: LazyLock<HashMap<&'static str, Verdict>> =
    LazyLock::new(|| read(TABLE).expect("codes.tsv is well-formed"));

/// `None` when a row is malformed.
fn read(table: &'static str) -> Option<HashMap<&'static str, Verdict>> {
    table.lines().skip(1).map(read_row).collect()
}

fn read_row(line: &'static str) -> Option<(&'static str, Verdict)> {
    let mut columns = line.split('\t');
    let code = columns.next()?;
    let reason = Reason::parse(columns.next()?)?;
    let fields = columns.next()?.split(',').filter(|field| !field.is_empty());
    let verdict = Verdict {
        reason,
        fields: fields.collect(),
        retry: read_retry(columns.next()?)?,
        effect: read_effect(columns.next()?)?,
    };
    columns.next().is_none().then_some((code, verdict))
}

fn read_retry(name: &str) -> Option<Retry> {
    Some(match name {
        "no" => Retry::No,
        "later" => Retry::Later,
        "backoff" => Retry::Backoff,
        "token" => Retry::Token,
        "resign" => Retry::Resign,
        _ => return None,
    })
}

fn read_effect(name: &str) -> Option<Effect> {
    Some(match name {
        "definite" => Effect::Definite,
        "ambiguous" => chaos::wrong!("every-code-is-refusal", Effect::Ambiguous, Effect::Definite),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::{BTreeMap, BTreeSet};

    fn contract_entries() -> Vec<Value> {
        let text = include_str!("../../testdata/contract/cvm-contract.json");
        let contract: Value = serde_json::from_str(text).unwrap();
        ["error_codes", "common_error_codes"]
            .iter()
            .flat_map(|list| contract[list].as_array().unwrap().clone())
            .collect()
    }

    fn text<'a>(entry: &'a Value, member: &str) -> &'a str {
        entry[member].as_str().unwrap()
    }

    #[test]
    fn the_table_lists_the_codes_of_the_contract_and_no_other() {
        let entries = contract_entries();
        assert_eq!(entries.len(), 422 + 38);
        let expected: BTreeSet<&str> = entries.iter().map(|entry| text(entry, "code")).collect();
        let listed: Vec<&str> = TABLE
            .lines()
            .skip(1)
            .map(|line| line.split('\t').next().unwrap())
            .filter(|code| !code.ends_with(".*"))
            .collect();
        assert_eq!(listed.len(), expected.len(), "a code is listed twice");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
        assert!(read(TABLE).is_some(), "a row is malformed");
    }

    #[test]
    fn fields_and_retry_are_those_of_the_contract() {
        for entry in contract_entries() {
            let verdict = classify(text(&entry, "code"));
            let fields: Vec<&str> = entry["blames_fields"]
                .as_array()
                .unwrap()
                .iter()
                .map(|field| field.as_str().unwrap())
                .collect();
            assert_eq!(verdict.fields, fields, "{entry}");
            let retry = match text(&entry, "retry_class") {
                "no" => Retry::No,
                "later_or_alternative" => Retry::Later,
                "backoff" => Retry::Backoff,
                "same_client_token_only" => Retry::Token,
                "re_sign_or_refresh_credential_once" => Retry::Resign,
                class => panic!("the contract has a new retry class {class}"),
            };
            assert_eq!(verdict.retry, retry, "{entry}");
        }
    }

    /// The rule of `make_codes.py`, written again: a code proves that nothing was done when it
    /// belongs to a family of refusals, or when a person judged it to be one.
    #[test]
    fn ambiguous_unless_listed() {
        let families = [
            "AuthFailure",
            "Invalid",
            "LimitExceeded",
            "Missing",
            "RequestLimitExceeded",
            "ResourceInsufficient",
            "ResourceNotFound",
            "ResourcesSoldOut",
            "Unauthorized",
            "Unsupported",
        ];
        for entry in contract_entries() {
            let (code, retry) = (text(&entry, "code"), text(&entry, "retry_class"));
            let unclear = retry == "same_client_token_only"
                || ["FailedOperation", "ResponseSizeLimitExceeded"].contains(&code);
            let judged =
                text(&entry, "source") == "hand" && ["no", "later_or_alternative"].contains(&retry);
            let refusal = families.iter().any(|family| code.starts_with(family));
            let expected = if !unclear && (judged || refusal) {
                Effect::Definite
            } else {
                Effect::Ambiguous
            };
            assert_eq!(classify(code).effect, expected, "{code}");
        }
    }

    #[test]
    fn reasons_say_what_to_do() {
        for (code, reason) in [
            (
                "InvalidParameterValue.InsufficientOffering",
                Reason::Capacity,
            ),
            ("LimitExceeded.SpotQuota", Reason::Capacity),
            ("LimitExceeded.UserSpotQuota", Reason::QuotaExceeded),
            (
                "ResourceInsufficient.SpecifiedInstanceType",
                Reason::Capacity,
            ),
            (
                "ResourceInsufficient.InsufficientGroupQuota",
                Reason::QuotaExceeded,
            ),
            ("ResourceNotFound.NoDefaultCbs", Reason::Capacity),
            (
                "RequestLimitExceeded.IPLimitExceeded",
                Reason::CloudRateLimited,
            ),
            (
                "InvalidAccount.InsufficientBalance",
                Reason::InsufficientBalance,
            ),
            (
                "InvalidParameterValue.InsufficientPrice",
                Reason::MarketPrice,
            ),
            ("AuthFailure.SignatureExpire", Reason::GatewayCredential),
            (
                "AuthFailure.CamRoleNameAuthenticateFailed",
                Reason::PreconditionFailed,
            ),
            (
                "AuthFailure.UnauthorizedOperation",
                Reason::CloudPermissionDenied,
            ),
            (
                "UnauthorizedOperation.InvalidToken",
                Reason::GatewayCredential,
            ),
            ("UnknownParameter", Reason::GatewayDefect),
            ("InternalError.TradeUnknownError", Reason::CloudInternal),
            ("ServiceUnavailable", Reason::CloudUnavailable),
            ("DryRunOperation", Reason::DryRunPassed),
        ] {
            assert_eq!(classify(code).reason, reason, "{code}");
        }
    }

    #[test]
    fn the_page_of_errors_has_a_row_for_each() {
        let page = include_str!("../../docs/errors.md");
        for (code, verdict) in VERDICTS.iter() {
            let row = format!("| `{code}` | `{}` | ", verdict.reason.as_str());
            let rows = page.lines().filter(|line| line.starts_with(&row));
            assert_eq!(
                rows.count(),
                1,
                "{row}; run testdata/contract/make_codes.py"
            );
        }
    }

    /// A row of a code names its reason, and the row of the reason says what each of three is to do.
    #[test]
    fn the_page_of_errors_says_for_each_code_what_to_do() {
        let page = include_str!("../../docs/errors.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let row = |first: &str, cells: usize| {
            let mut fitting = rows
                .iter()
                .filter(|row| row[0].trim_matches('`') == first && row.len() == cells);
            let row = fitting.next().unwrap_or_else(|| panic!("no row {first}"));
            assert!(fitting.next().is_none(), "{first} has two rows");
            row
        };
        let mut of = BTreeMap::new();
        for entry in contract_entries() {
            let cells = row(text(&entry, "code"), 6);
            for index in [1, 2, 3, 5] {
                assert!(!cells[index].is_empty(), "{cells:?}");
            }
            let reason = row(cells[1].trim_matches('`'), 5);
            // The caller, the operator, support.
            assert!(reason[2..].iter().all(|cell| cell.len() > 5), "{reason:?}");
            let group = entry["run_instances"].as_str().unwrap_or("common");
            *of.entry(group.to_owned()).or_insert(0) += 1;
        }
        let groups = ["listed", "plausible", "common"].map(|group| of[group]);
        assert_eq!(groups, [170, 83, 38]);
    }

    #[test]
    fn unlisted_codes_have_the_reason_of_their_family_and_prove_nothing() {
        for (code, reason) in [
            (
                "InvalidParameterValue.MadeUpTomorrow",
                Reason::InvalidParameter,
            ),
            ("ResourcesSoldOut.MadeUpTomorrow", Reason::Capacity),
            ("ResourcesSoldOut", Reason::Capacity),
            ("AuthFailure.MadeUpTomorrow", Reason::GatewayCredential),
            ("InternalError.MadeUpTomorrow", Reason::CloudInternal),
            ("MadeUpTomorrow", Reason::CloudInternal),
            ("", Reason::CloudInternal),
        ] {
            let verdict = classify(code);
            assert_eq!(verdict.reason, reason, "{code}");
            assert_eq!(verdict.effect, Effect::Ambiguous, "{code}");
            assert_eq!(verdict.retry, Retry::Token, "{code}");
        }
    }
}
