//! A parsed wish: what a caller asks for, known to be well formed.

use crate::domain::ids::RequestId;
use crate::domain::names::{AccountName, Region};
use crate::domain::operation::OnFailure;
use crate::domain::outlook::Size;
use crate::domain::rules::{self, Limits};
use crate::domain::secret;
use crate::domain::spec::InstanceSpec;
use crate::domain::violation::Violations;
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::UtcDateTime;

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
    /// Where else to launch when the cloud has no stock, in this order.
    pub alternatives: Vec<Alternative>,
    /// What becomes of the instances that came up when others did not.
    pub on_failure: OnFailure,
}

/// What replaces the members of the same name in the specification; what is not set stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Alternative {
    pub zone: Option<String>,
    pub instance_type: Option<String>,
    pub subnet_id: Option<String>,
}

impl Alternative {
    /// `spec`, in this place.
    #[must_use]
    pub fn of(&self, spec: &InstanceSpec) -> InstanceSpec {
        let mut spec = spec.clone();
        if let Some(zone) = &self.zone {
            spec.placement.get_or_insert_default().zone.clone_from(zone);
        }
        if let Some(instance_type) = &self.instance_type {
            spec.instance_type = Some(instance_type.clone());
        }
        if let (Some(subnet_id), Some(network)) = (&self.subnet_id, &mut spec.virtual_private_cloud)
        {
            network.subnet_id.clone_from(subnet_id);
        }
        spec
    }
}

impl Wish {
    /// The specification for each place, in the order in which they are tried.
    #[must_use]
    pub fn specs(&self) -> Vec<InstanceSpec> {
        let others = self.alternatives.iter();
        let others = others.map(|alternative| alternative.of(&self.spec));
        std::iter::once(self.spec.clone()).chain(others).collect()
    }

    /// How many instances are asked for.
    #[must_use]
    pub fn instance_count(&self) -> u32 {
        let count = self.spec.instance_count;
        let count = count.and_then(|count| u32::try_from(count).ok());
        count.unwrap_or(1)
    }

    /// How many of them are enough, where not all must be delivered.
    #[must_use]
    pub fn min_count(&self) -> Option<u32> {
        let least = self.spec.min_count;
        let least = least.and_then(|least| u32::try_from(least).ok());
        least.filter(|least| *least < self.instance_count())
    }

    /// The zones that are named, each with the path of the field that names it.
    #[must_use]
    pub fn zones(&self) -> Vec<(String, String)> {
        let placement = self.spec.placement.as_ref();
        let first = placement.map(|placement| placement.zone.clone());
        let first = first.filter(|zone| !zone.is_empty());
        let first = first.map(|zone| ("spec.placement.zone".to_owned(), zone));
        let others = self.alternatives.iter().enumerate();
        let others = others.filter_map(|(index, alternative)| {
            let zone = alternative.zone.clone()?;
            Some((format!("alternatives[{index}].zone"), zone))
        });
        first.into_iter().chain(others).collect()
    }

    /// SHA-256 over everything that the caller asked for, its request_id apart: the same wish
    /// gives the same fingerprint, whatever rules and policy made of it in the meantime.
    ///
    /// # Errors
    /// When the specification cannot be serialised.
    pub fn fingerprint(&self) -> Result<[u8; 32], serde_json::Error> {
        let account = self.account.as_ref().map(AccountName::as_str);
        let asked = (account, self.region.as_str(), &self.spec);
        // A wish of the kind that earlier versions knew keeps the fingerprint that they gave it.
        let plain = self.alternatives.is_empty() && self.on_failure == OnFailure::Keep;
        let text = if plain {
            secret::json(&asked)?
        } else {
            secret::json(&(asked, &self.alternatives, self.on_failure))?
        };
        Ok(Sha256::digest(&*text).into())
    }
}

/// A wish that keeps the rules. It can only be made by [`LaunchRequest::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchRequest {
    wish: Wish,
    sizes: Vec<Option<Size>>,
}

impl LaunchRequest {
    /// Takes a wish, if it keeps every rule `now`.
    ///
    /// # Errors
    /// The broken rules.
    pub fn parse(wish: Wish, limits: &Limits, now: UtcDateTime) -> Result<Self, Violations> {
        let mut violations = rules::check(&wish.spec, &wish.region, limits, now);
        rules::check_alternatives(
            &wish.spec,
            &wish.alternatives,
            &wish.region,
            &mut violations,
        );
        if violations.0.is_empty() {
            Ok(Self {
                wish,
                sizes: Vec::new(),
            })
        } else {
            Err(violations)
        }
    }

    /// What is asked for.
    #[must_use]
    pub fn wish(&self) -> &Wish {
        &self.wish
    }

    /// The same request, with the size of the model in each of its places; none where that is left
    /// to a launch template or to the cloud.
    #[must_use]
    pub fn sized(self, sizes: Vec<Option<Size>>) -> Self {
        Self { sizes, ..self }
    }

    /// The size of the model in each place; empty when nobody asked.
    #[must_use]
    pub fn sizes(&self) -> &[Option<Size>] {
        &self.sizes
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
            alternatives: Vec::new(),
            on_failure: OnFailure::Keep,
        }
    }

    #[test]
    fn an_alternative_replaces_what_it_names() {
        let mut wish = wish("a", None, "ap-shanghai", "web");
        wish.spec.instance_type = Some("S5.SMALL1".to_owned());
        wish.spec.virtual_private_cloud = Some(crate::domain::spec::VirtualPrivateCloud {
            vpc_id: "vpc-1".to_owned(),
            subnet_id: "subnet-1".to_owned(),
            ..Default::default()
        });
        wish.alternatives = vec![
            Alternative {
                zone: Some("ap-shanghai-3".to_owned()),
                subnet_id: Some("subnet-3".to_owned()),
                ..Alternative::default()
            },
            Alternative {
                instance_type: Some("S6.SMALL2".to_owned()),
                ..Alternative::default()
            },
        ];
        let [first, second, third] = wish.specs().try_into().unwrap();
        assert_eq!(first, wish.spec);
        let network = |spec: &InstanceSpec| spec.virtual_private_cloud.clone().unwrap();
        assert_eq!(second.placement.unwrap().zone, "ap-shanghai-3");
        assert_eq!(network(&third).subnet_id, "subnet-1");
        assert_eq!(second.virtual_private_cloud.unwrap().subnet_id, "subnet-3");
        assert_eq!(third.instance_type.as_deref(), Some("S6.SMALL2"));
        assert_eq!(third.placement, None);
    }

    #[test]
    fn enough_is_what_is_asked_for_unless_the_wish_says_less() {
        let enough = |count, least| {
            let mut wish = wish("a", None, "ap-shanghai", "web");
            (wish.spec.instance_count, wish.spec.min_count) = (count, least);
            wish.min_count()
        };
        assert_eq!(enough(Some(3), Some(2)), Some(2));
        assert_eq!(enough(Some(3), Some(3)), None);
        assert_eq!(enough(Some(3), None), None);
        assert_eq!(enough(None, Some(1)), None);
    }

    #[test]
    fn the_fingerprint_covers_all_but_the_request_id() {
        let print = |wish: Wish| wish.fingerprint().unwrap();
        let base = print(wish("a", None, "ap-shanghai", "web"));
        assert_eq!(base, print(wish("b", None, "ap-shanghai", "web")));
        assert_ne!(base, print(wish("a", Some("main"), "ap-shanghai", "web")));
        assert_ne!(base, print(wish("a", None, "ap-beijing", "web")));
        assert_ne!(base, print(wish("a", None, "ap-shanghai", "db")));
        let mut elsewhere = wish("a", None, "ap-shanghai", "web");
        elsewhere.alternatives.push(Alternative::default());
        assert_ne!(base, print(elsewhere));
        let mut undone = wish("a", None, "ap-shanghai", "web");
        undone.on_failure = OnFailure::TerminateAll;
        assert_ne!(base, print(undone));
    }
}
