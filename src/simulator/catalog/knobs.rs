//! What the command line lays over a catalogue: faults, scenes, and how the ledger is kept.

use super::misbehaviour::Faults;
use super::scenes::Scene;
use super::{Catalog, remedy};
use std::str::FromStr;
use toml::{Table, Value};

/// One fault, as `key=value` says it: `launch_failed_p=0.2`.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultSetting(Table);

/// A fault or a scene that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KnobError(String);

impl FromStr for FaultSetting {
    type Err = KnobError;

    fn from_str(text: &str) -> Result<Self, KnobError> {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            KnobError("a fault is KEY=VALUE, such as launch_failed_p=0.2".to_owned())
        })?;
        // A word may stand without its quotes.
        let quoted = || {
            format!("{key} = {}", Value::from(value.trim()))
                .parse()
                .ok()
        };
        let table = text.parse().ok().or_else(quoted);
        let table: Table =
            table.ok_or_else(|| KnobError(format!("`{}` is not a key of TOML", key.trim())))?;
        for name in table.keys() {
            let known = keys();
            if !known.contains(name) {
                let remedy = remedy(name, known.iter().map(String::as_str));
                return Err(KnobError(format!("there is no fault \"{name}\"; {remedy}")));
            }
        }
        let setting = Self(table);
        setting.laid_over(&Faults::default())?;
        Ok(setting)
    }
}

impl FaultSetting {
    fn laid_over(&self, faults: &Faults) -> Result<Faults, KnobError> {
        let broken = |error: &dyn std::fmt::Display| KnobError(error.to_string());
        let mut all = Table::try_from(faults).map_err(|error| broken(&error))?;
        lay(&self.0, &mut all);
        all.try_into().map_err(|error: toml::de::Error| {
            let keys = self.0.keys().cloned().collect::<Vec<_>>().join(", ");
            KnobError(format!("{keys}: {}", error.message().replace('\n', " ")))
        })
    }
}

/// Tables grow, everything else is replaced.
fn lay(over: &Table, under: &mut Table) {
    for (key, value) in over {
        match (value, under.get_mut(key)) {
            (Value::Table(value), Some(Value::Table(old))) => lay(value, old),
            _ => drop(under.insert(key.clone(), value.clone())),
        }
    }
}

/// The names of all faults.
pub(super) fn keys() -> Vec<String> {
    let faults = serde_json::to_value(Faults::default()).unwrap_or_default();
    let keys = faults.as_object().into_iter().flatten();
    keys.map(|(key, _)| key.clone()).collect()
}

impl Catalog {
    /// Misbehaves so, too.
    ///
    /// # Errors
    /// When a fault names what is not in the catalogue.
    pub fn with_fault(mut self, setting: &FaultSetting) -> Result<Self, KnobError> {
        self.faults = setting.laid_over(&self.faults)?;
        match self.faults.complaint(&self) {
            None => Ok(self),
            Some(complaint) => Err(KnobError(complaint)),
        }
    }

    /// Keeps bodies, queries and headers in the ledger as they came, secrets and all.
    #[must_use]
    pub fn keeping_secrets(mut self) -> Self {
        self.ledger.keep_secrets = true;
        self
    }

    /// Plays these scenes, a JSON list, instead of its own.
    ///
    /// # Errors
    /// The first mistake.
    pub fn with_scenes(mut self, json: &str) -> Result<Self, KnobError> {
        self.scenes = Scene::read(json.as_bytes()).map_err(KnobError)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(catalog: Catalog, text: &str) -> Catalog {
        let setting: FaultSetting = text.parse().unwrap();
        catalog.with_fault(&setting).unwrap()
    }

    #[test]
    fn flags_are_laid_over_the_faults_of_the_catalogue() {
        let mut catalog = Catalog::embedded();
        for text in [
            "launch_failed_p=0.2",
            "instance_lag_s=[0, 10]",
            "token_scope=region",
            "rates.RunInstances=3",
            "rates.DescribeZones=4",
            "refuse_p.RunInstances.'ResourceInsufficient.ZoneSoldOut'=1",
            "sold_out=['ap-shanghai-2']",
        ] {
            catalog = set(catalog, text);
        }
        let told = serde_json::to_value(&catalog.faults).unwrap();
        let expected = serde_json::json!({
            "launch_failed_p": 0.2,
            "instance_lag_s": [0.0, 10.0],
            "token_scope": "region",
            "rates": {"RunInstances": 3, "DescribeZones": 4},
            "refuse_p": {"RunInstances": {"ResourceInsufficient.ZoneSoldOut": 1.0}},
            "sold_out": ["ap-shanghai-2"],
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&told[key], value, "{key}");
        }
    }

    #[test]
    fn a_mistake_names_the_key_and_the_nearest_known_one() {
        let rows = [
            (
                "launch_faild_p=1",
                "there is no fault \"launch_faild_p\"; the nearest is \"launch_failed_p\"",
            ),
            ("launch_failed_p=2", "launch_failed_p: 2 is not a chance"),
            ("launch_failed_p", "a fault is KEY=VALUE"),
            (
                "token_scope=planet",
                "token_scope: unknown variant `planet`",
            ),
            ("rates.RunInstance=1", "the nearest is \"RunInstances\""),
            ("refuse_p.RunInstances.nope=1", "\"nope\" is no code"),
            ("a b=1", "`a b` is not a key of TOML"),
        ];
        for (text, complaint) in rows {
            let error = text.parse::<FaultSetting>().unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
        let strange: FaultSetting = "sold_out=['ap-shanghai-22']".parse().unwrap();
        let error = Catalog::embedded().with_fault(&strange).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the nearest is \"ap-shanghai-2\""),
            "{error}"
        );
    }
}
