//! The tables of the organisations: their accounts, and what those mean for other rooms.

use super::credentials::{self, Found};
use super::section::Section;
use crate::domain::ids::OrganizationId;
use crate::domain::names::AccountName;
use crate::policy::Organization;
use std::collections::BTreeMap;
use std::path::Path;

/// How much more than another one an organisation may count.
const WEIGHT_MAX: u32 = 1000;

pub(super) type Organizations = BTreeMap<OrganizationId, Organization>;

/// What the tables of the organisations hold for other rooms than the policy.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) keys: BTreeMap<AccountName, (OrganizationId, Found)>,
    /// Who the cloud knows each account as: its number, or else its key, as far as one is known.
    owners: BTreeMap<AccountName, String>,
    pub(super) weights: BTreeMap<OrganizationId, u32>,
}

impl Accounts {
    /// Each account with the first of those that the cloud counts as one.
    pub(super) fn counted_as(&self) -> BTreeMap<AccountName, AccountName> {
        let first = |owner: &String| {
            let same = self.owners.iter().find(|(_, other)| *other == owner);
            same.map(|(name, _)| name.clone())
        };
        let accounts = self.owners.iter();
        accounts
            .filter_map(|(name, owner)| Some((name.clone(), first(owner)?)))
            .collect()
    }
}

pub(super) fn organizations(table: &mut Section<'_>, folder: &Path) -> (Organizations, Accounts) {
    let (mut organizations, mut accounts) = (Organizations::new(), Accounts::default());
    for name in table.names() {
        let found = table.table(&name, |table| {
            let id = OrganizationId::parse(&name);
            let id = id.map_err(|rule| table.refuse(rule)).ok();
            if table.is_set("weight") {
                let weight = table.count("weight", 1..=WEIGHT_MAX);
                let weights = &mut accounts.weights;
                weights.extend(id.clone().map(|id| (id, weight)));
            }
            let organization = organization(table, folder, id.as_ref(), &mut accounts);
            Some((id?, organization?))
        });
        organizations.extend(found);
    }
    (organizations, accounts)
}

/// Adds its accounts to `all`.
fn organization(
    table: &mut Section<'_>,
    folder: &Path,
    id: Option<&OrganizationId>,
    all: &mut Accounts,
) -> Option<Organization> {
    let mut names = Vec::new();
    let mut accounts = Vec::new();
    table.table("accounts", |table| {
        names = table.names();
        for name in &names {
            let account = table.table(name, |table| account(table, folder, name, all));
            let Some((name, found)) = account else {
                continue;
            };
            accounts.push(name.clone());
            let keys = id.map(|id| (name, (id.clone(), found)));
            all.keys.extend(keys);
        }
        if names.is_empty() {
            let rule = "no account; add a table with `secret_id` and `secret_key_file`:";
            table.refuse(format_args!("{rule} [{}.NAME]", table.path()));
        }
    });
    let default_account = table.text_as("default_account", |text| {
        let known = names.iter().any(|name| name == text);
        let rule = || {
            format!(
                "no account `{text}` here; name one of: {}",
                names.join(", ")
            )
        };
        let name = known.then(|| AccountName::parse(text).ok());
        name.ok_or_else(rule)
    });
    Some(Organization {
        default_account: default_account??,
        accounts,
    })
}

/// The account `name`, whose owner is added to `all`: those of the organisations before it.
fn account(
    table: &mut Section<'_>,
    folder: &Path,
    name: &str,
    all: &mut Accounts,
) -> Option<(AccountName, Found)> {
    let uin = table.if_set("uin", |uin| {
        let sound = !uin.is_empty() && uin.bytes().all(|byte| byte.is_ascii_digit());
        let rule = "is no account number; write the digits that the cloud's console shows";
        sound.then(|| uin.to_owned()).ok_or(rule)
    });
    let found = credentials::found(table, folder);
    let name = AccountName::parse(name);
    let name = name.map_err(|rule| table.refuse(rule)).ok()?;
    if all.keys.contains_key(&name) {
        table.refuse("another organisation has an account of that name; choose a unique one");
    }
    let found = found?;
    let owner = uin.or_else(|| found.owner.clone());
    // Of whom nothing is known, each counts by itself.
    let owner = owner.unwrap_or_else(|| format!("account {name}"));
    all.owners.insert(name.clone(), owner);
    Some((name, found))
}
