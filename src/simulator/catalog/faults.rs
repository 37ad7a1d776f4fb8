//! What TOML itself cannot see wrong in a catalogue: references that lead nowhere, names given twice.

use super::Catalog;
use std::collections::BTreeSet;
use std::fmt;
use toml::de::{DeTable, DeValue};

/// One fault and where it stands.
pub(super) struct Fault {
    list: &'static str,
    index: usize,
    key: &'static str,
    complaint: String,
}

impl Fault {
    fn unknown(list: &'static str, index: usize, key: &'static str, value: &str) -> Self {
        let complaint = format!("\"{value}\" is not in this catalogue");
        Self {
            list,
            index,
            key,
            complaint,
        }
    }

    fn twice(list: &'static str, index: usize, key: &'static str, value: &str) -> Self {
        let complaint = format!("\"{value}\" is given twice");
        Self {
            list,
            index,
            key,
            complaint,
        }
    }

    /// Where the key stands, in bytes from the start of the text.
    pub(super) fn offset_in(&self, text: &str) -> usize {
        let find = || {
            let document = DeTable::parse(text).ok()?;
            let DeValue::Array(list) = document.get_ref().get(self.list)?.get_ref() else {
                return None;
            };
            let entry = list.get(self.index)?.get_ref().as_table()?;
            Some(entry.get(self.key)?.span().start)
        };
        find().unwrap_or(0)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", self.list, self.key, self.complaint)
    }
}

impl Catalog {
    /// References that lead nowhere and names given twice.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (index, subnet) in self.subnets.iter().enumerate() {
            let home = self
                .vpc(&subnet.vpc)
                .and_then(|vpc| self.region(&vpc.region));
            if self.vpc(&subnet.vpc).is_none() {
                faults.push(Fault::unknown("subnets", index, "vpc", &subnet.vpc));
            } else if home.is_some_and(|region| region.zone(&subnet.zone).is_none()) {
                faults.push(Fault::unknown("subnets", index, "zone", &subnet.zone));
            } else if subnet.default
                && self.default_subnet(&subnet.zone).map(|s| &s.id) != Some(&subnet.id)
            {
                faults.push(Fault::twice("subnets", index, "default", &subnet.zone));
            }
        }
        for (index, vpc) in self.vpcs.iter().enumerate() {
            if self.region(&vpc.region).is_none() {
                faults.push(Fault::unknown("vpcs", index, "region", &vpc.region));
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if self.zone(&host.zone).is_none() {
                faults.push(Fault::unknown("hosts", index, "zone", &host.zone));
            }
        }
        for (index, kind) in self.instance_types.iter().enumerate() {
            for zone in kind.zones.iter().filter(|zone| self.zone(zone).is_none()) {
                faults.push(Fault::unknown("instance_types", index, "zones", zone));
            }
            for zone in kind
                .stock_in
                .keys()
                .filter(|zone| self.zone(zone).is_none())
            {
                faults.push(Fault::unknown("instance_types", index, "stock_in", zone));
            }
        }
        faults.extend(repeated(
            "keys",
            "secret_id",
            self.keys.iter().map(|it| &it.secret_id),
        ));
        faults.extend(repeated(
            "regions",
            "id",
            self.regions.iter().map(|it| &it.id),
        ));
        faults.extend(repeated(
            "images",
            "id",
            self.images.iter().map(|it| &it.id),
        ));
        faults.extend(repeated(
            "instance_types",
            "name",
            self.instance_types.iter().map(|it| &it.name),
        ));
        faults.extend(repeated("vpcs", "id", self.vpcs.iter().map(|it| &it.id)));
        faults.extend(repeated(
            "subnets",
            "id",
            self.subnets.iter().map(|it| &it.id),
        ));
        faults.extend(repeated("hosts", "id", self.hosts.iter().map(|it| &it.id)));
        faults
    }
}

fn repeated<'a>(
    list: &'static str,
    key: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    names
        .enumerate()
        .filter(|(_, name)| !seen.insert(*name))
        .map(|(index, name)| Fault::twice(list, index, key, name))
        .collect()
}
