//! A parsed wish: what a caller asks for, known to be well formed.

use crate::domain::ids::RequestId;
use crate::domain::names::{AccountName, Region};
use crate::domain::rules::{self, Limits};
use crate::domain::spec::InstanceSpec;
use crate::domain::violation::Violations;
use sha2::{Digest, Sha256};

/// What a caller asks for, as it was written down: each value is well formed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The caller's name of the wish.
    pub request_id: RequestId,
    /// The account that the caller chose, if it did.
    pub account: Option<AccountName>,
    /// Where to launch.
    pub region: Region,
    /// What to launch.
    pub spec: InstanceSpec,
}

impl Wish {
    /// SHA-256 over everything that the caller asked for, its request_id apart: the same wish
    /// gives the same fingerprint, whatever rules and policy made of it in the meantime.
    ///
    /// # Errors
    /// When the specification cannot be serialised.
    pub fn fingerprint(&self) -> Result<[u8; 32], serde_json::Error> {
        let account = self.account.as_ref().map(AccountName::as_str);
        let asked = (account, self.region.as_str(), &self.spec);
        Ok(Sha256::digest(serde_json::to_vec(&asked)?).into())
    }
}

/// A wish that keeps the rules. It can only be made by [`LaunchRequest::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchRequest(Wish);

impl LaunchRequest {
    /// Takes a wish, if it keeps every rule.
    ///
    /// # Errors
    /// The broken rules.
    pub fn parse(wish: Wish, limits: &Limits) -> Result<Self, Violations> {
        let violations = rules::check(&wish.spec, &wish.region, limits);
        if violations.0.is_empty() {
            Ok(Self(wish))
        } else {
            Err(violations)
        }
    }

    /// What is asked for.
    #[must_use]
    pub fn wish(&self) -> &Wish {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::spec::LaunchTemplate;

    fn wish(request_id: &str, account: Option<&str>, region: &str, name: &str) -> Wish {
        let spec = InstanceSpec {
            launch_template: Some(LaunchTemplate::default()),
            instance_name: Some(name.to_owned()),
            ..InstanceSpec::default()
        };
        Wish {
            request_id: RequestId::parse(request_id).unwrap(),
            account: account.map(|name| AccountName::parse(name).unwrap()),
            region: Region::parse(region).unwrap(),
            spec,
        }
    }

    #[test]
    fn the_fingerprint_covers_all_but_the_request_id() {
        let print = |wish: Wish| wish.fingerprint().unwrap();
        let base = print(wish("a", None, "ap-shanghai", "web"));
        assert_eq!(base, print(wish("b", None, "ap-shanghai", "web")));
        assert_ne!(base, print(wish("a", Some("main"), "ap-shanghai", "web")));
        assert_ne!(base, print(wish("a", None, "ap-beijing", "web")));
        assert_ne!(base, print(wish("a", None, "ap-shanghai", "db")));
    }
}
