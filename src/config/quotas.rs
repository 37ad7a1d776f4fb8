//! How much organisations may have at once: the tables of `quotas`.

use super::section::Section;
use crate::domain::ids::OrganizationId;
use crate::domain::names::AccountName;
use crate::domain::quota::{Callers, Measure, Quota, money};
use crate::policy::Organization;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// A quota of more is none.
const COUNT_MAX: u32 = 100_000_000;
/// A name labels metrics and stands in refusals.
const NAME_CHARS_MAX: usize = 63;
/// Each costs a launch of its organisation a little.
const QUOTAS_MAX: usize = 200;

/// Every table; `organizations` are those that are sound, of all `names`.
pub(super) fn read(
    table: &mut Section<'_>,
    organizations: &BTreeMap<OrganizationId, Organization>,
    names: &[String],
) -> Vec<Quota> {
    let tables = table.names();
    if tables.len() > QUOTAS_MAX {
        table.refuse(format_args!("has more than {QUOTAS_MAX} tables"));
        return Vec::new();
    }
    let quotas = tables
        .into_iter()
        .filter_map(|name| table.table(&name, |table| quota(table, &name, organizations, names)));
    quotas.collect()
}

fn quota(
    table: &mut Section<'_>,
    name: &str,
    organizations: &BTreeMap<OrganizationId, Organization>,
    names: &[String],
) -> Option<Quota> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let sound = (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(allowed);
    if !sound {
        table.refuse("the name must be 1 to 63 characters of a-z 0-9 - _");
    }
    let organization = table.text_as("organization", |text| {
        let known = names.iter().any(|name| name == text);
        let id = known.then(|| OrganizationId::parse(text).ok());
        id.ok_or_else(|| format!("no organisation `{text}`; it has no table in [organizations]"))
    });
    let organization = organization.flatten();
    let own = organization.as_ref().and_then(|id| organizations.get(id));
    let account = table.if_set("account", |text| {
        let account = AccountName::parse(text).map_err(|rule| rule.to_string())?;
        match own {
            Some(own) if !own.accounts.contains(&account) => {
                Err(format!("no account `{text}` of that organisation"))
            }
            Some(_) | None => Ok(account),
        }
    });
    let callers = callers(table);
    let limits = limits(table);
    if limits.is_empty() {
        let measures = Measure::ALL.map(Measure::as_str).join(", ");
        table.refuse(format_args!("limits nothing; set one of {measures}"));
    }
    Some(Quota {
        name: name.to_owned(),
        organization: organization?,
        account,
        callers,
        limits,
    })
}

fn callers(table: &mut Section<'_>) -> Callers {
    let text = |text: &str| Ok::<_, String>(text.to_owned());
    let named = table.if_set("principal", text);
    let prefix = table.if_set("principal_prefix", text);
    match (named, prefix) {
        (Some(_), Some(_)) => {
            table.refuse("`principal` and `principal_prefix` exclude each other");
            Callers::Any
        }
        (Some(name), None) => Callers::Named(name),
        (None, Some(prefix)) => Callers::Beginning(prefix),
        (None, None) => Callers::Any,
    }
}

fn amount(text: &str) -> Result<i64, String> {
    let amount: Option<Decimal> = text.parse().ok();
    let sound = amount.filter(|amount| !amount.is_sign_negative());
    let sound = sound.filter(|amount| *amount <= Decimal::from(COUNT_MAX));
    let rule = || format!("`{text}` is no amount; write text like \"12.50\"");
    sound.map(money).ok_or_else(rule)
}

fn limits(table: &mut Section<'_>) -> BTreeMap<Measure, i64> {
    let mut limits = BTreeMap::new();
    for measure in Measure::ALL {
        let key = measure.as_str();
        if table.is_set(key) && measure.is_money() {
            let amount = table.text_as(key, amount);
            limits.insert(measure, amount.unwrap_or_default());
        } else if table.is_set(key) {
            limits.insert(measure, i64::from(table.count(key, 0..=COUNT_MAX)));
        } else {
            table.may_have(key);
        }
    }
    limits
}
