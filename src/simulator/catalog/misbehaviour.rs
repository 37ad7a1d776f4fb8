//! What the fake cloud does wrong on purpose: the `[faults]` of a catalogue.

use super::Catalog;
use super::prices::Money;
use crate::simulator::action::Action;
use serde::{Deserialize, Serialize};
use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, BTreeSet};

/// Faults of the cloud itself. What is lost on the way to it is not its doing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::simulator) struct Faults {
    /// How long a ClientToken is known, in seconds; none: for ever.
    pub(in crate::simulator) token_memory_s: Option<Seconds>,
    /// From a launch to its ClientToken's being known: a twin that comes sooner launches, too.
    pub(in crate::simulator) token_lag_s: Seconds,
    /// Where a ClientToken is known.
    pub(in crate::simulator) token_scope: Scope,
    /// What becomes of a known ClientToken that comes with another request.
    pub(in crate::simulator) token_mismatch: Mismatch,
    /// What becomes of a known ClientToken whose machines are gone.
    pub(in crate::simulator) token_dead: Dead,
    /// From accepting a launch to its machines.
    pub(in crate::simulator) create_delay_s: Span,
    /// From a machine to its being shown.
    pub(in crate::simulator) instance_lag_s: Span,
    /// From a machine's being shown to its tags.
    pub(in crate::simulator) tag_lag_s: Span,
    /// How often a later page of DescribeInstances begins one machine too early or too late.
    pub(in crate::simulator) page_shift_p: Chance,
    /// Whether filters by a tag key that no machine was given are refused, in place of an empty list.
    pub(in crate::simulator) tag_key_not_found: bool,
    /// How often a launch with MinCount gets fewer machines than there are.
    pub(in crate::simulator) partial_p: Chance,
    /// How often a machine ends in LAUNCH_FAILED.
    pub(in crate::simulator) launch_failed_p: Chance,
    /// Action → how often it is refused with InternalError although nothing was done.
    pub(in crate::simulator) internal_error_p: BTreeMap<ActionName, Chance>,
    /// Action → code → how often it is refused so, and nothing was done.
    pub(in crate::simulator) refuse_p: BTreeMap<ActionName, BTreeMap<Code, Chance>>,
    /// Action → calls per second, instead of those of the catalogue.
    pub(in crate::simulator) rates: BTreeMap<ActionName, u32>,
    /// Zones and instance types of which nothing is left.
    pub(in crate::simulator) sold_out: BTreeSet<String>,
    /// What each zone may hold of each billing, instead of the catalogue's limits.
    pub(in crate::simulator) quota: Option<u32>,
    /// What the account has to pay with; none: there is always enough.
    pub(in crate::simulator) balance: Option<Money>,
    /// How far a signed time may lie from the clock, instead of what the catalogue says.
    pub(in crate::simulator) signature_life_s: Option<Seconds>,
    /// Key ids that are good no longer.
    pub(in crate::simulator) revoked_keys: BTreeSet<String>,
    /// The longest life of a temporary key, whatever is asked for.
    pub(in crate::simulator) key_life_s: Option<Seconds>,
}

/// Where a ClientToken is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::simulator) enum Scope {
    /// Everywhere.
    #[default]
    Account,
    Region,
    /// The host that is called, without its port.
    Endpoint,
}

/// What becomes of a known ClientToken whose machines are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::simulator) enum Dead {
    /// It is answered with their ids.
    #[default]
    Answer,
    /// It is refused.
    Refuse,
}

/// An action that there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(in crate::simulator) struct ActionName(String);

/// A code of the API's shape: `ResourceInsufficient.ZoneSoldOut`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(in crate::simulator) struct Code(String);

/// Longer codes are mistakes.
const CODE_MAX: usize = 128;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::simulator) enum Mismatch {
    /// It is answered as before, whatever it asks for.
    #[default]
    Answer,
    /// It is refused.
    Refuse,
    /// It launches.
    Launch,
}

/// Not negative.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(try_from = "f64")]
pub(in crate::simulator) struct Seconds(f64);

/// Between two numbers of seconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(try_from = "[f64; 2]", into = "[f64; 2]")]
pub(in crate::simulator) struct Span {
    least: f64,
    most: f64,
}

/// 0 never, 1 always.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(try_from = "f64")]
pub(in crate::simulator) struct Chance(f64);

/// The longest wait that means anything: a month.
const SECONDS_MAX: f64 = 30.0 * 86_400.0;

impl Faults {
    /// How far the signed time of a request may lie from the clock.
    pub(in crate::simulator) fn signature_life(&self, catalog: &Catalog) -> time::Duration {
        let changed = self.signature_life_s.map(Seconds::duration);
        changed.unwrap_or_else(|| catalog.signature_life())
    }

    /// What in these faults is not of this catalogue.
    pub(in crate::simulator) fn complaint(&self, catalog: &Catalog) -> Option<String> {
        let sold =
            |name: &str| catalog.zone(name).is_some() || catalog.instance_type(name).is_some();
        let unknown = self.sold_out.iter().find(|name| !sold(name))?;
        let zones = catalog.regions.iter().flat_map(|region| &region.zones);
        let types = catalog.instance_types.iter().map(|kind| kind.name.as_str());
        let known = zones.map(|zone| zone.id.as_str()).chain(types);
        let remedy = super::remedy(unknown, known);
        Some(format!(
            "sold_out: \"{unknown}\" is neither a zone nor an instance type; {remedy}"
        ))
    }
}

impl Borrow<str> for ActionName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ActionName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if Action::parse(&name).is_ok() {
            return Ok(Self(name));
        }
        let remedy = super::remedy(&name, Action::names());
        Err(format!("there is no action \"{name}\"; {remedy}"))
    }
}

impl From<&Code> for Cow<'static, str> {
    fn from(code: &Code) -> Self {
        Self::Owned(code.0.clone())
    }
}

impl TryFrom<String> for Code {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let upper = code.starts_with(|first: char| first.is_ascii_uppercase());
        if upper && code.len() <= CODE_MAX && code.split('.').all(word) {
            return Ok(Self(code));
        }
        Err(format!(
            "\"{code}\" is no code like InternalError or ResourceInsufficient.ZoneSoldOut"
        ))
    }
}

impl Seconds {
    pub(in crate::simulator) fn duration(self) -> time::Duration {
        time::Duration::seconds_f64(self.0)
    }
}

impl Span {
    /// The point that `drawn`, from 0 up to 1, falls on.
    pub(in crate::simulator) fn at(self, drawn: f64) -> time::Duration {
        time::Duration::seconds_f64(self.least + (self.most - self.least) * drawn)
    }
}

impl Chance {
    pub(in crate::simulator) const ALWAYS: Self = Self(1.0);

    /// Whether nothing needs to be drawn.
    pub(in crate::simulator) fn is_never(self) -> bool {
        self.0 <= 0.0
    }

    /// Whether `drawn`, from 0 up to 1, is a hit.
    pub(in crate::simulator) fn hits(self, drawn: f64) -> bool {
        drawn < self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        let sound = (0.0..=SECONDS_MAX).contains(&seconds);
        sound
            .then_some(Self(seconds))
            .ok_or_else(|| format!("{seconds} is not 0 to {SECONDS_MAX} seconds"))
    }
}

impl TryFrom<[f64; 2]> for Span {
    type Error = String;

    fn try_from([least, most]: [f64; 2]) -> Result<Self, String> {
        let sound = 0.0 <= least && least <= most && most <= SECONDS_MAX;
        sound.then_some(Self { least, most }).ok_or_else(|| {
            format!("[{least}, {most}] is not [from, to] in 0 to {SECONDS_MAX} seconds")
        })
    }
}

impl From<Span> for [f64; 2] {
    fn from(Span { least, most }: Span) -> Self {
        [least, most]
    }
}

impl TryFrom<f64> for Chance {
    type Error = String;

    fn try_from(chance: f64) -> Result<Self, String> {
        let sound = (0.0..=1.0).contains(&chance);
        sound
            .then_some(Self(chance))
            .ok_or_else(|| format!("{chance} is not a chance from 0 (never) to 1 (always)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::catalog::{Catalog, EMBEDDED};

    #[test]
    fn the_embedded_catalogue_misbehaves_never() {
        let faults = Catalog::embedded().faults;
        assert!(faults.token_memory_s.is_none());
        assert_eq!(faults.token_mismatch, Mismatch::Answer);
        for span in [
            faults.create_delay_s,
            faults.instance_lag_s,
            faults.tag_lag_s,
        ] {
            assert!(span.at(0.999).is_zero());
        }
        assert!(!faults.partial_p.hits(0.0) && !faults.launch_failed_p.hits(0.0));
    }

    #[test]
    fn a_fault_that_cannot_be_is_refused() {
        let rows = [
            ("token_memory_s = -1.0", "-1 is not 0 to"),
            ("create_delay_s = [2.0, 1.0]", "[2, 1] is not [from, to]"),
            ("partial_p = 1.5", "1.5 is not a chance"),
            ("token_mismatch = \"shrug\"", "unknown variant"),
            ("tag_leg_s = [0.0, 1.0]", "unknown field"),
            ("sold_out = [\"S5.SMALL\"]", "the nearest is \"S5.SMALL1\""),
            (
                "rates = { RunInstance = 1 }",
                "the nearest is \"RunInstances\"",
            ),
            (
                "refuse_p = { RunInstances = { \"no code\" = 1.0 } }",
                "\"no code\" is no code",
            ),
            (
                "[[scenes]]\naction = \"RunInstances\"\nnth = 0",
                "`nth` and `times` count from 1",
            ),
        ];
        for (line, complaint) in rows {
            let text = EMBEDDED.replacen("[faults]", &format!("[faults]\n{line}"), 1);
            let error = Catalog::parse(&text).map(drop).unwrap_err();
            assert!(error.message.contains(complaint), "{error}");
            let at = text.find("[faults]").unwrap();
            assert!(error.line > text[..at].lines().count(), "{error}");
        }
    }
}
