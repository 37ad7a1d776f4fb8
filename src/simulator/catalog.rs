//! What the fake cloud sells and what the fake account owns, read from one TOML file.

mod faults;
mod knobs;
pub(super) mod misbehaviour;
pub(super) mod prices;
pub(super) mod scenes;

use super::ledger::Keeping;
pub use knobs::{FaultSetting, KnobError};
use misbehaviour::Faults;
use prices::{Money, Prices};
use scenes::Scene;
use secrecy::SecretString;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The catalogue that a simulator without `--catalog` uses; also the file to copy and change.
pub const EMBEDDED: &str = include_str!("catalog.toml");

/// The contents of one fake cloud. Every reference between entries is known to resolve.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    #[serde(default = "default_signature_life_s")]
    pub(super) signature_life_s: u32,
    pub(super) limits: Limits,
    /// Calls per second for each action and key.
    pub(super) rates: BTreeMap<String, u32>,
    pub(super) networks: Networks,
    pub(super) account: Account,
    #[serde(default)]
    pub(super) faults: Faults,
    #[serde(default)]
    pub(super) ledger: Keeping,
    /// What the first calls meet with.
    #[serde(default)]
    pub(super) scenes: Vec<Scene>,
    #[serde(default)]
    pub(super) prices: Prices,
    pub(super) keys: Vec<KeyPair>,
    pub(super) regions: Vec<Region>,
    #[serde(default)]
    pub(super) disks: Vec<Disk>,
    pub(super) images: Vec<Image>,
    pub(super) instance_types: Vec<InstanceType>,
    #[serde(default)]
    pub(super) vpcs: Vec<Vpc>,
    #[serde(default)]
    pub(super) subnets: Vec<Subnet>,
    #[serde(default)]
    pub(super) hosts: Vec<Host>,
    #[serde(default)]
    pub(super) placement_groups: Vec<PlacementGroup>,
}

/// How many machines may be alive at once in each zone, by billing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) hourly_per_zone: u32,
    pub(super) prepaid_per_zone: u32,
    /// Cores, not machines: so the API counts them.
    pub(super) spot_per_zone: u32,
    /// Prepaid machines of one request.
    #[serde(default = "default_prepaid_once")]
    pub(super) prepaid_once: u32,
    /// Custom images.
    #[serde(default = "default_images")]
    pub(super) images: u32,
    #[serde(default = "default_placement_groups")]
    pub(super) placement_groups: u32,
}

/// Address pools that belong to no VPC.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Networks {
    /// Private addresses of machines outside any VPC.
    pub(super) classic: Cidr,
    /// Public addresses.
    pub(super) public: Cidr,
}

/// What the account owns besides machines.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    #[serde(default = "default_app_id")]
    pub(super) app_id: u64,
    pub(super) projects: BTreeSet<i64>,
    /// The first is what a request that names none gets.
    pub(super) security_groups: Vec<String>,
    /// SSH key pairs, `skey-…`.
    pub(super) login_keys: BTreeSet<String>,
    pub(super) cam_roles: BTreeSet<String>,
    /// The role whose keys the metadata service gives; none: it knows no role.
    pub(super) bound_role: Option<String>,
}

/// An API key pair; with a `token` it is a temporary one, good only beside that token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyPair {
    pub(super) secret_id: String,
    pub(super) secret_key: SecretString,
    pub(super) token: Option<SecretString>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Region {
    pub(super) id: String,
    pub(super) name: String,
    /// Whether MinCount may ask for a part of the machines.
    #[serde(default = "yes")]
    pub(super) partial_delivery: bool,
    pub(super) zones: Vec<Zone>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Zone {
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) name: String,
    #[serde(default = "yes")]
    pub(super) available: bool,
    #[serde(default)]
    pub(super) sold_out: bool,
}

/// A disk class and its sizes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disk {
    pub(super) class: String,
    pub(super) min_gib: i64,
    pub(super) max_gib: i64,
    #[serde(default)]
    pub(super) sold_out: bool,
    /// List price of a GiB for an hour, when the class has one of its own.
    pub(super) price: Option<Money>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) os: String,
    #[serde(default)]
    pub(super) windows: bool,
    /// The smallest system disk that holds it.
    #[serde(default = "default_image_size_gib")]
    pub(super) size_gib: i64,
    /// Custom, shared or imported: its own login may be kept.
    #[serde(default)]
    pub(super) custom: bool,
    #[serde(default = "yes")]
    pub(super) cloud_init: bool,
    /// Busy with another task, so that nothing can be launched from it.
    #[serde(default)]
    pub(super) busy: bool,
    #[serde(default)]
    pub(super) arm: bool,
    /// Every launch ends LAUNCH_FAILED with this text.
    pub(super) launch_fails: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceType {
    pub(super) name: String,
    pub(super) cpu: i64,
    pub(super) memory_gib: i64,
    /// Machines that each zone can hold.
    pub(super) stock: u32,
    /// Other stocks than `stock` for single zones.
    #[serde(default)]
    pub(super) stock_in: BTreeMap<String, u32>,
    /// The zones that sell it; none listed means all.
    #[serde(default)]
    pub(super) zones: BTreeSet<String>,
    /// List price per hour, when it is not that of its cores and memory.
    pub(super) price: Option<Money>,
    /// Market price per hour of a spot machine; without one there are none.
    pub(super) spot_price: Option<f64>,
    pub(super) gpu: Option<Gpu>,
    /// Sold with LOCAL_BASIC and LOCAL_SSD disks.
    #[serde(default)]
    pub(super) local_disks: bool,
    #[serde(default)]
    pub(super) jumbo_frames: bool,
    #[serde(default)]
    pub(super) arm: bool,
    /// Every launch ends LAUNCH_FAILED with this text.
    pub(super) launch_fails: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gpu {
    pub(super) count: f64,
    pub(super) model: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vpc {
    pub(super) id: String,
    pub(super) region: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subnet {
    pub(super) id: String,
    pub(super) vpc: String,
    pub(super) zone: String,
    pub(super) cidr: Cidr,
    /// Taken when a request says DEFAULT; at most one in each zone.
    #[serde(default)]
    pub(super) default: bool,
}

/// A dedicated host (CDH).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) id: String,
    pub(super) zone: String,
    pub(super) cpu: i64,
    pub(super) memory_gib: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlacementGroup {
    pub(super) id: String,
    pub(super) machines_max: u32,
}

/// An IPv4 network.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Cidr {
    base: u32,
    prefix: u32,
}

/// Why a catalogue was refused.
#[derive(Debug, thiserror::Error)]
#[error("catalogue line {line}: {message}")]
pub struct CatalogError {
    /// Counted from 1.
    pub line: usize,
    /// Names the key at fault.
    pub message: String,
}

impl Catalog {
    /// How far the signed time of a request may lie from the clock.
    pub(super) fn signature_life(&self) -> time::Duration {
        time::Duration::seconds(self.signature_life_s.into())
    }

    /// Reads a catalogue; every key must be known and every reference must resolve.
    ///
    /// # Errors
    /// The first fault, with its line and key.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let catalog: Self = toml::from_str(text).map_err(|error| CatalogError {
            line: line_at(text, error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', " "),
        })?;
        let misbehaviour = catalog.misbehaviour_complaint();
        match catalog.faults().into_iter().next() {
            None => misbehaviour.map_or(Ok(catalog), |(table, message)| {
                let line = line_at(text, text.find(table).unwrap_or(0));
                Err(CatalogError { line, message })
            }),
            Some(fault) => Err(CatalogError {
                line: line_at(text, fault.offset_in(text)),
                message: fault.to_string(),
            }),
        }
    }

    /// The table that cannot be, and why.
    fn misbehaviour_complaint(&self) -> Option<(&'static str, String)> {
        let faults = self.faults.complaint(self);
        let faults = faults.map(|complaint| ("[faults]", complaint));
        faults.or_else(|| scenes::complaint(&self.scenes).map(|it| ("[[scenes]]", it)))
    }

    /// The catalogue in the program itself: the 2020 page's examples run on it as written.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a constant of this program; a test parses it"
    )]
    pub fn embedded() -> Self {
        Self::parse(EMBEDDED).expect("the embedded catalogue parses")
    }

    /// The names of its regions.
    pub fn region_names(&self) -> impl Iterator<Item = String> {
        self.regions.iter().map(|region| region.id.clone())
    }

    pub(super) fn key(&self, secret_id: &str) -> Option<&KeyPair> {
        self.keys.iter().find(|key| key.secret_id == secret_id)
    }

    pub(super) fn region(&self, id: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.id == id)
    }

    fn zone(&self, id: &str) -> Option<&Zone> {
        self.regions.iter().find_map(|region| region.zone(id))
    }

    pub(super) fn image(&self, id: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.id == id)
    }

    pub(super) fn instance_type(&self, name: &str) -> Option<&InstanceType> {
        self.instance_types.iter().find(|kind| kind.name == name)
    }

    pub(super) fn disk(&self, class: &str) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.class == class)
    }

    pub(super) fn vpc(&self, id: &str) -> Option<&Vpc> {
        self.vpcs.iter().find(|vpc| vpc.id == id)
    }

    pub(super) fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == id)
    }

    pub(super) fn default_subnet(&self, zone: &str) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.default && subnet.zone == zone)
    }

    pub(super) fn host(&self, id: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.id == id)
    }

    pub(super) fn placement_group(&self, id: &str) -> Option<&PlacementGroup> {
        self.placement_groups.iter().find(|group| group.id == id)
    }
}

impl Region {
    pub(super) fn zone(&self, id: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.id == id)
    }
}

impl InstanceType {
    /// `S5` of `S5.SMALL1`.
    pub(super) fn family(&self) -> &str {
        let parts = self.name.split_once('.');
        parts.map_or(&self.name, |(family, _)| family)
    }

    /// Machines that `zone` can hold; `None` when it does not sell this type.
    pub(super) fn stock(&self, zone: &str) -> Option<u32> {
        let sold = self.zones.is_empty() || self.zones.contains(zone);
        sold.then(|| self.stock_in.get(zone).copied().unwrap_or(self.stock))
    }
}

impl Cidr {
    /// The addresses that machines can have: not the network, its gateway or the broadcast address.
    pub(super) fn usable(self) -> std::ops::Range<u32> {
        let first = self.base.saturating_add(2);
        first..self.base.saturating_add(self.size() - 1)
    }

    fn size(self) -> u32 {
        1 << (32 - self.prefix)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", std::net::Ipv4Addr::from(self.base), self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parse = || {
            let (base, prefix) = text.split_once('/')?;
            let base = u32::from(base.parse::<std::net::Ipv4Addr>().ok()?);
            let prefix = prefix.parse().ok().filter(|bits| (8..=29).contains(bits))?;
            let cidr = Self { base, prefix };
            base.is_multiple_of(cidr.size()).then_some(cidr)
        };
        parse().ok_or_else(|| format!("\"{text}\" is not a network like 10.0.0.0/20 (/8 to /29)"))
    }
}

/// What to do about a name that is none: the nearest of the known ones.
fn remedy<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let distances = known.map(|known| (strsim::damerau_levenshtein(name, known), known));
    match distances.min() {
        Some((_, nearest)) => format!("the nearest is \"{nearest}\""),
        None => "there is none".to_owned(),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}

fn yes() -> bool {
    true
}

/// Contract §1.
fn default_signature_life_s() -> u32 {
    300
}

fn default_image_size_gib() -> i64 {
    20
}

/// As many as one request may ask for.
fn default_prepaid_once() -> u32 {
    500
}

fn default_images() -> u32 {
    10
}

fn default_placement_groups() -> u32 {
    10
}

fn default_app_id() -> u64 {
    1_250_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_catalogue_holds_what_the_2020_page_names() {
        let catalog = Catalog::embedded();
        let shanghai = catalog.region("ap-shanghai").unwrap();
        assert!(shanghai.zone("ap-shanghai-2").unwrap().available);
        assert!(catalog.image("img-pmqg1cw7").is_some());
        assert!(catalog.image("img-dkwyg6sr").is_some());
        for name in ["S5.16XLARGE256", "S1.SMALL1"] {
            assert!(
                catalog
                    .instance_type(name)
                    .unwrap()
                    .stock("ap-shanghai-2")
                    .unwrap()
                    > 0
            );
        }
        let subnet = catalog.subnet("subnet-dcs9x3gz").unwrap();
        assert_eq!(
            (subnet.vpc.as_str(), subnet.zone.as_str()),
            ("vpc-1urkhbj4", "ap-shanghai-2")
        );
        assert!(
            subnet
                .cidr
                .usable()
                .contains(&u32::from(std::net::Ipv4Addr::new(10, 0, 0, 18)))
        );
        assert_eq!(catalog.host("host-q88gab4i").unwrap().zone, "ap-shanghai-2");
        assert!(
            catalog
                .key("AKIDfakeForLoopbackTestsOnly0000001")
                .unwrap()
                .token
                .is_none()
        );
    }

    #[test]
    fn every_zone_has_a_default_subnet() {
        let catalog = Catalog::embedded();
        for zone in catalog.regions.iter().flat_map(|region| &region.zones) {
            assert!(catalog.default_subnet(&zone.id).is_some(), "{}", zone.id);
        }
    }

    #[test]
    fn a_bad_catalogue_is_refused_with_line_and_key() {
        let line_of = |part: &str| {
            1 + EMBEDDED[..EMBEDDED.find(part).unwrap()]
                .matches('\n')
                .count()
        };
        let rows = [
            ("hourly_per_zone =", "hourly_per_zoen =", "hourly_per_zoen"),
            (
                "vpc = \"vpc-1urkhbj4\"",
                "vpc = \"vpc-missing1\"",
                "subnets.vpc: \"vpc-missing1\"",
            ),
            (
                "cidr = \"10.0.0.0/20\"",
                "cidr = \"10.0.0.1/20\"",
                "10.0.0.1/20",
            ),
            (
                "id = \"host-q88gab4i\", zone = \"ap-shanghai-2\"",
                "id = \"host-q88gab4i\", zone = \"mars-1\"",
                "hosts.zone: \"mars-1\"",
            ),
            (
                "name = \"S5.SMALL1\"",
                "name = \"S1.SMALL1\"",
                "instance_types.name: \"S1.SMALL1\" is given twice",
            ),
        ];
        for (good, bad, complaint) in rows {
            let parsed = Catalog::parse(&EMBEDDED.replacen(good, bad, 1));
            let error = parsed.map(drop).unwrap_err();
            assert_eq!(error.line, line_of(good), "{error}");
            assert!(error.message.contains(complaint), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", Catalog::embedded()).contains("fakeSecretKey"));
    }
}
