//! Layers: what an organisation, an account, an environment, a team or a service has its launches
//! filled in with, before rules decide about them.

mod apply;
mod field;
mod read;
mod value;

use crate::domain::change::Change;
use crate::domain::ids::Principal;
use crate::domain::names::{AccountName, Region};
use crate::domain::request::Wish;
use crate::domain::violation::Violation;
use crate::policy::rules::{Flaw, RuleFile};
use field::Target;
use std::collections::BTreeMap;
use time::UtcDateTime;
use value::{Value, matches};

/// All layers, the most general first.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers(Vec<Layer>);

/// What is done to the launches that it is for.
#[derive(Clone, Debug)]
struct Layer {
    level: Level,
    /// What its file is called, without the ending.
    name: String,
    file: String,
    applies: Applies,
    entries: Vec<Entry>,
}

/// How special a layer is: where two say something else, the later one of these counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Organization,
    Account,
    Environment,
    Team,
    Service,
}

/// Which launches a layer is for: all that is named must fit.
#[derive(Clone, Debug)]
struct Applies {
    organization: String,
    /// Empty: any. So are the others.
    accounts: Vec<String>,
    regions: Vec<String>,
    /// In which `*` stands for any text.
    services: Vec<String>,
}

/// One line of a layer.
#[derive(Clone, Debug)]
struct Entry {
    target: Target,
    act: Act,
    line: usize,
}

/// What is done to a field.
#[derive(Clone, Debug)]
enum Act {
    /// Only when it is unset.
    Default(Value),
    /// Always.
    Set(Value),
    /// To a list, what is not in it yet.
    Append(Value),
    /// At most this.
    Cap(Value),
    Require(Demand),
}

/// What a field must be in the end.
#[derive(Clone, Debug)]
enum Demand {
    Present,
    Absent,
    Flag(bool),
    /// Like one of these patterns.
    Like(Vec<String>),
    /// One of these.
    Among(Vec<i64>),
    /// A list with each of these in it.
    Holding(Vec<String>),
}

/// What a launch does not keep of what a layer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unmet {
    /// The id that the layer has among rules: `layer:` and its name.
    pub(super) rule: String,
    pub(super) violation: Violation,
}

/// Who launches what where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch<'a> {
    pub(super) principal: &'a Principal,
    pub(super) account: &'a AccountName,
    /// What times of layers are counted from.
    pub(super) from: UtcDateTime,
}

/// What became of a wish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) changes: Vec<Change>,
    pub(super) unmet: Vec<Unmet>,
}

impl Level {
    const ALL: [Self; 5] = [
        Self::Organization,
        Self::Account,
        Self::Environment,
        Self::Team,
        Self::Service,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Account => "account",
            Self::Environment => "environment",
            Self::Team => "team",
            Self::Service => "service",
        }
    }
}

impl Applies {
    fn to(&self, principal: &Principal, account: &AccountName, region: &Region) -> bool {
        let any = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|known| known == name)
        };
        let mut services = self.services.iter();
        self.organization == principal.organization.as_str()
            && any(&self.accounts, account.as_str())
            && any(&self.regions, region.as_str())
            && (self.services.is_empty()
                || services.any(|pattern| matches(pattern, &principal.name)))
    }
}

impl Layer {
    /// For a person: who asks for it, and where that is written.
    fn origin(&self, entry: &Entry) -> String {
        let (level, name) = (self.level.as_str(), &self.name);
        format!("{level} layer {name}, {}:{}", self.file, entry.line)
    }

    fn rule(&self) -> String {
        format!("layer:{}", self.name)
    }
}

impl Layers {
    /// Reads `files`, which are all the layers there are.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(super) fn parse(files: &[RuleFile]) -> Result<Self, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let layers = files.iter();
        let layers = layers.filter_map(|file| read::layer(file, &mut flaws));
        let mut layers: Vec<_> = layers.collect();
        layers.sort_by(|a, b| (a.level, &a.name).cmp(&(b.level, &b.name)));
        if flaws.is_empty() {
            Ok(Self(layers))
        } else {
            Err(flaws)
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Changes `wish` as the layers say that are for it.
    pub(super) fn apply(&self, launch: Launch<'_>, wish: &mut Wish) -> Applied {
        let Launch {
            principal, account, ..
        } = launch;
        let layers = self.0.iter();
        let layers = layers.filter(|layer| layer.applies.to(principal, account, &wish.region));
        let mut applied = Applied::default();
        apply::all(&layers.collect::<Vec<_>>(), launch.from, wish, &mut applied);
        applied
    }
}

/// Of several entries about the same thing, the one of the most special layer; in the order of the layers.
fn strongest<'a>(
    layers: &[&'a Layer],
    wanted: impl Fn(&Entry) -> bool,
) -> Vec<(&'a Layer, &'a Entry)> {
    let mut found = BTreeMap::new();
    for (order, layer) in layers.iter().enumerate() {
        for entry in layer.entries.iter().filter(|entry| wanted(entry)) {
            found.insert(entry.target.name(), (order, *layer, entry));
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|(order, _, entry)| (*order, entry.line));
    let found = found.into_iter();
    found.map(|(_, layer, entry)| (layer, entry)).collect()
}

#[cfg(test)]
mod tests;
