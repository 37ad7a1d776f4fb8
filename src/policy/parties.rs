//! Callers and accounts as rules see them. There are few, and each call is of one: they are made once.

use crate::domain::ids::Principal;
use crate::policy::verdict::{told, uid};
use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression, Schema};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Parties that are kept, at most; each takes about two kilobytes.
const KEPT_MAX: usize = 1_024;

/// Who calls, and what is called upon: an account, or else the caller's organisation.
#[derive(Debug)]
pub(super) struct Parties {
    pub(super) principal: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) entities: Entities,
    /// The caller and what it is in, and the same of the resource: what a rule's scope can name.
    pub(super) principals: Vec<EntityUid>,
    pub(super) resources: Vec<EntityUid>,
}

/// A caller by its organisation and name, and an account.
type Names = (String, String, Option<String>);

/// The parties of the calls before. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<Names, Arc<Parties>>>>);

impl Known {
    /// The parties of a call.
    ///
    /// # Errors
    /// When Cedar refuses a name: never, as far as is known.
    pub(super) fn parties(
        &self,
        principal: &Principal,
        account: Option<&str>,
    ) -> Result<Arc<Parties>, String> {
        let names = (
            principal.organization.to_string(),
            principal.name.clone(),
            account.map(str::to_owned),
        );
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parties) = known.get(&names) {
            return Ok(Arc::clone(parties));
        }
        let parties = Arc::new(Parties::of(principal, account)?);
        // Names come from callers: should there ever be so many, they are made anew.
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        known.insert(names, Arc::clone(&parties));
        Ok(parties)
    }
}

impl Parties {
    fn of(principal: &Principal, account: Option<&str>) -> Result<Self, String> {
        let Principal { name, organization } = principal;
        let organization = uid("Organization", organization.as_str())?;
        let principal = uid("Service", name)?;
        let mut entities = vec![
            Entity::with_uid(organization.clone()),
            member(principal.clone(), name, &organization)?,
        ];
        let mut resources = vec![organization.clone()];
        if let Some(account) = account {
            let resource = uid("Account", account)?;
            entities.push(member(resource.clone(), account, &organization)?);
            resources.insert(0, resource);
        }
        Ok(Self {
            resource: resources.first().unwrap_or(&organization).clone(),
            entities: Entities::from_entities(entities, None).map_err(told)?,
            principals: vec![principal.clone(), organization],
            resources,
            principal,
        })
    }

    /// Has Cedar see whether they fit the schema.
    ///
    /// # Errors
    /// What does not.
    pub(super) fn check(&self, schema: &Schema) -> Result<(), String> {
        let entities = self.entities.iter().cloned();
        let checked = Entities::from_entities(entities, Some(schema));
        checked.map(drop).map_err(told)
    }
}

fn member(uid: EntityUid, name: &str, organization: &EntityUid) -> Result<Entity, String> {
    let name = RestrictedExpression::new_string(name.to_owned());
    let attributes = HashMap::from([("name".to_owned(), name)]);
    let parents = HashSet::from([organization.clone()]);
    Entity::new(uid, attributes, parents).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::OrganizationId;

    fn caller(name: String) -> Principal {
        Principal {
            name,
            organization: OrganizationId::parse("acme").unwrap(),
        }
    }

    #[test]
    fn parties_are_made_once_and_told_apart() {
        let known = Known::default();
        let web = caller("web".to_owned());
        let first = known.parties(&web, Some("main")).unwrap();
        let again = known.clone().parties(&web, Some("main")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(first.resource, uid("Account", "main").unwrap());
        let alone = known.parties(&web, None).unwrap();
        assert_eq!(alone.resource, uid("Organization", "acme").unwrap());
        let other = known.parties(&caller("db".to_owned()), None).unwrap();
        assert_eq!(other.principal, uid("Service", "db").unwrap());
    }

    #[test]
    fn no_more_are_kept_than_that() {
        let known = Known::default();
        for number in 0..=KEPT_MAX {
            known.parties(&caller(format!("c{number}")), None).unwrap();
        }
        assert_eq!(known.0.lock().unwrap().len(), 1);
    }
}
