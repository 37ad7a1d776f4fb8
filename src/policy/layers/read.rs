//! Reads a file of a layer: TOML, of which every key is known and every value fits its field.

use super::field::{Field, Target};
use super::value::{Kind, Value};
use super::{Act, Applies, Demand, Entry, Layer, Level};
use crate::domain::ids::OrganizationId;
use crate::domain::names::{AccountName, Region};
use crate::domain::secret::Secret;
use crate::policy::rules::{Flaw, RuleFile};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Lines of one layer, at most.
const ENTRIES_MAX: usize = 1_000;
/// Values of one list, and bytes of one text, at most.
const ITEMS_MAX: usize = 100;
const TEXT_BYTES_MAX: usize = 32 * 1024;
/// The furthest time after a decision: ten years.
const AFTER_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// At most so many single-character edits make a typing mistake.
const TYPO_EDITS_MAX: usize = 3;

const VERBS: [&str; 5] = ["default", "set", "append", "cap", "require"];
const SCOPE: [&str; 5] = ["level", "organization", "accounts", "regions", "services"];

/// The layer in `file`. What is wrong is added to `flaws`; with any of them it is of no use.
pub(super) fn layer(file: &RuleFile, flaws: &mut Vec<Flaw>) -> Option<Layer> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    let mut reader = Reader {
        file,
        flaws,
        entries: Vec::new(),
    };
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        // Only the rule: the parser's full text quotes the line, which may hold user data.
        reader.flaw(offset, format_args!("not TOML: {}", error.message()));
    }
    if !errors.is_empty() {
        return None;
    }
    reader.layer(table.get_ref())
}

struct Reader<'a> {
    file: &'a RuleFile,
    flaws: &'a mut Vec<Flaw>,
    entries: Vec<Entry>,
}

/// A value in the file.
type At<'a> = &'a Spanned<DeValue<'a>>;

impl Reader<'_> {
    fn layer(mut self, table: &DeTable<'_>) -> Option<Layer> {
        let before = self.flaws.len();
        let name = self.name();
        for (key, value) in table {
            let known = key.get_ref().as_ref();
            if VERBS.contains(&known) {
                self.verb(known, value);
            } else if !SCOPE.contains(&known) {
                let known = [&SCOPE[..], &VERBS[..]].concat();
                let message = format!(
                    "unknown key `{}`; known are {}",
                    key.get_ref(),
                    known.join(", ")
                );
                self.flaw(key.span().start, message);
            }
        }
        let level = self.level(table);
        let applies = self.applies(table, level);
        if self.entries.is_empty() && self.flaws.len() == before {
            self.flaw(
                0,
                "changes nothing; write [default], [set], [append], [cap] or [require]",
            );
        }
        if self.entries.len() > ENTRIES_MAX {
            self.flaw(0, format_args!("holds more than {ENTRIES_MAX} fields"));
        }
        Some(Layer {
            level: level?,
            name,
            file: self.file.name.clone(),
            applies: applies?,
            entries: self.entries,
        })
    }

    /// The file's name without folder and ending.
    fn name(&mut self) -> String {
        let name = self.file.name.rsplit('/').next().unwrap_or_default();
        let name = name.strip_suffix(".toml").unwrap_or(name);
        let sound = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 63 || !name.chars().all(sound) {
            let rule = "must be 1 to 63 characters of a-z A-Z 0-9 - _ .";
            self.flaw(
                0,
                format_args!("the name of the file, which is the layer's, {rule}"),
            );
        }
        name.to_owned()
    }

    fn level(&mut self, table: &DeTable<'_>) -> Option<Level> {
        let names = Level::ALL.map(Level::as_str).join(", ");
        let Some(value) = table.get("level") else {
            self.flaw(0, format_args!("`level` is missing; write one of {names}"));
            return None;
        };
        let text = value.get_ref().as_str();
        let mut levels = Level::ALL.into_iter();
        let level = levels.find(|level| Some(level.as_str()) == text);
        if level.is_none() {
            self.flaw(
                value.span().start,
                format_args!("level: must be one of {names}"),
            );
        }
        level
    }

    fn applies(&mut self, table: &DeTable<'_>, level: Option<Level>) -> Option<Applies> {
        let organization = self.organization(table);
        let accounts = self.names(table, "accounts", |name| {
            AccountName::parse(name)
                .map(drop)
                .map_err(|error| error.to_string())
        });
        let regions = self.names(table, "regions", |name| {
            Region::parse(name)
                .map(drop)
                .map_err(|error| error.to_string())
        });
        let services = self.names(table, "services", |_| Ok(()));
        let (accounts, regions, services) = (accounts?, regions?, services?);
        let narrow = !(accounts.is_empty() && regions.is_empty() && services.is_empty());
        let rule = match level? {
            Level::Organization if narrow => {
                "an organization layer is for all of it; for less write another level"
            }
            Level::Account if accounts.is_empty() => "an account layer needs `accounts`",
            Level::Environment if !narrow => {
                "an environment layer needs `accounts`, `regions` or `services`"
            }
            Level::Team | Level::Service if services.is_empty() => {
                "a layer of a team or a service needs `services`, the names of callers"
            }
            Level::Organization
            | Level::Account
            | Level::Environment
            | Level::Team
            | Level::Service => "",
        };
        if !rule.is_empty() {
            let at = table.get("level").map_or(0, |value| value.span().start);
            self.flaw(at, rule);
        }
        Some(Applies {
            organization: organization?,
            accounts,
            regions,
            services,
        })
    }

    fn organization(&mut self, table: &DeTable<'_>) -> Option<String> {
        let Some(value) = table.get("organization") else {
            self.flaw(
                0,
                "`organization` is missing; write whose launches it is for",
            );
            return None;
        };
        let text = self.text("organization", value)?;
        if let Err(error) = OrganizationId::parse(&text) {
            self.flaw(value.span().start, format_args!("organization: {error}"));
            return None;
        }
        Some(text)
    }

    /// A list of names that may be left out.
    fn names(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>> {
        let Some(value) = table.get(key) else {
            return Some(Vec::new());
        };
        let names = self.texts(key, value)?;
        let mut sound = true;
        for name in &names {
            if let Err(rule) = check(name) {
                self.flaw(value.span().start, format_args!("{key}: {rule}"));
                sound = false;
            }
        }
        sound.then_some(names)
    }

    fn verb(&mut self, verb: &str, value: At<'_>) {
        if let DeValue::Table(fields) = value.get_ref() {
            self.fields(verb, "", fields);
        } else {
            let is = kind(value.get_ref());
            let message = format!("{verb}: is {is}, not a table; write [{verb}]");
            self.flaw(value.span().start, message);
        }
    }

    /// Reads the fields of the message at `path`.
    fn fields(&mut self, verb: &str, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = match path {
                "" => key.get_ref().to_string(),
                path => format!("{path}.{}", key.get_ref()),
            };
            let at = key.span().start;
            match (Field::named(&path), value.get_ref()) {
                (Some(field), _) => self.entry(verb, Target::Field(field), at, value),
                (None, DeValue::Table(tags)) if path == "tags" => self.tags(verb, tags),
                (None, DeValue::Table(fields)) if Field::is_message(&path) => {
                    self.fields(verb, &path, fields);
                }
                (None, _) if path == "tags" || Field::is_message(&path) => {
                    let message =
                        format!("{verb}.{path}: is no field itself; write [{verb}.{path}]");
                    self.flaw(at, message);
                }
                (None, _) => {
                    let message =
                        format!("{verb}.{path}: is no field of InstanceSpec{}", hint(&path));
                    self.flaw(at, message);
                }
            }
        }
    }

    fn tags(&mut self, verb: &str, tags: &DeTable<'_>) {
        for (key, value) in tags {
            let name = key.get_ref().to_string();
            let blank = name.trim().is_empty() || name.chars().any(char::is_control);
            if blank || name.starts_with(crate::domain::rules::RESERVED_TAG_PREFIX) {
                self.flaw(
                    key.span().start,
                    format_args!("{verb}.tags: `{name}` is no key of a caller's tag"),
                );
            } else {
                self.entry(verb, Target::Tag(name), key.span().start, value);
            }
        }
    }

    fn entry(&mut self, verb: &str, target: Target, at: usize, value: At<'_>) {
        let path = format!("{verb}.{}", target.name());
        if let Some(rule) = unfit(verb, &target) {
            self.flaw(at, format_args!("{path}: {rule}"));
            return;
        }
        let kind = target.kind();
        let act = match verb {
            "require" => self.demand(&path, kind, value).map(Act::Require),
            "default" => self.value(&path, kind, value).map(Act::Default),
            "set" => self.value(&path, kind, value).map(Act::Set),
            "append" => self.value(&path, kind, value).map(Act::Append),
            _ => self.value(&path, kind, value).map(Act::Cap),
        };
        let line = self.file.text.get(..at).unwrap_or_default();
        let line = line.matches('\n').count() + 1;
        self.entries
            .extend(act.map(|act| Entry { target, act, line }));
    }

    fn demand(&mut self, path: &str, kind: Kind, value: At<'_>) -> Option<Demand> {
        match (kind, value.get_ref()) {
            (Kind::Flag, _) => self.flag(path, value).map(Demand::Flag),
            (_, DeValue::Boolean(true)) => Some(Demand::Present),
            (_, DeValue::Boolean(false)) => Some(Demand::Absent),
            (Kind::Text, DeValue::Array(_)) => self.texts(path, value).map(Demand::Like),
            (Kind::Text, _) => self.text(path, value).map(|text| Demand::Like(vec![text])),
            (Kind::Number, DeValue::Array(items)) => {
                let numbers = items.iter().map(|item| self.number(path, item));
                let numbers: Option<Vec<_>> = numbers.collect();
                self.some(path, value, numbers?).map(Demand::Among)
            }
            (Kind::Number, _) => self
                .number(path, value)
                .map(|number| Demand::Among(vec![number])),
            (Kind::Texts, _) => self.texts(path, value).map(Demand::Holding),
            (Kind::Secret | Kind::Time | Kind::Prefix, _) => {
                let rule = "write true when it must be set, false when it must not";
                self.flaw(value.span().start, format_args!("{path}: {rule}"));
                None
            }
        }
    }

    fn value(&mut self, path: &str, kind: Kind, value: At<'_>) -> Option<Value> {
        match kind {
            Kind::Text | Kind::Prefix => self.text(path, value).map(Value::Text),
            Kind::Number => self.number(path, value).map(Value::Number),
            Kind::Flag => self.flag(path, value).map(Value::Flag),
            Kind::Texts => self.texts(path, value).map(Value::Texts),
            Kind::Secret => self.text(path, value).map(Secret::new).map(Value::Secret),
            Kind::Time => self.after(path, value).map(Value::After),
        }
    }

    fn flag(&mut self, path: &str, value: At<'_>) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        self.typed(path, Kind::Flag, value, flag)
    }

    fn number(&mut self, path: &str, value: At<'_>) -> Option<i64> {
        let number = value.get_ref().as_integer().and_then(|number| {
            let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
            number.filter(|number| *number >= 0)
        });
        self.typed(path, Kind::Number, value, number)
    }

    fn text(&mut self, path: &str, value: At<'_>) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        let text = self.typed(path, Kind::Text, value, text)?;
        let control = |c: char| c.is_control() && c != '\n';
        if text.trim().is_empty() || text.chars().any(control) || text.len() > TEXT_BYTES_MAX {
            let rule = format!("must be 1 to {TEXT_BYTES_MAX} printable characters");
            self.flaw(value.span().start, format_args!("{path}: {rule}"));
            return None;
        }
        Some(text)
    }

    fn texts(&mut self, path: &str, value: At<'_>) -> Option<Vec<String>> {
        let items = value.get_ref().as_array();
        let items = self.typed(path, Kind::Texts, value, items)?;
        let texts = items.iter().map(|item| self.text(path, item));
        let texts: Option<Vec<_>> = texts.collect();
        let texts = self.some(path, value, texts?)?;
        let distinct: BTreeSet<_> = texts.iter().collect();
        if distinct.len() < texts.len() {
            self.flaw(
                value.span().start,
                format_args!("{path}: names something twice"),
            );
            return None;
        }
        Some(texts)
    }

    /// A list that is neither empty nor too long.
    fn some<T>(&mut self, path: &str, value: At<'_>, items: Vec<T>) -> Option<Vec<T>> {
        let sound = (1..=ITEMS_MAX).contains(&items.len());
        if !sound {
            let rule = format_args!("{path}: must hold 1 to {ITEMS_MAX} values");
            self.flaw(value.span().start, rule);
        }
        sound.then_some(items)
    }

    fn after(&mut self, path: &str, value: At<'_>) -> Option<Duration> {
        let text = value.get_ref().as_str();
        let after = text.and_then(|text| humantime::parse_duration(text).ok());
        let after = after.filter(|after| (1..=AFTER_MAX.as_secs()).contains(&after.as_secs()));
        self.typed(path, Kind::Time, value, after)
    }

    /// What was read of the value, or that it is of another type.
    fn typed<T>(&mut self, path: &str, wanted: Kind, value: At<'_>, read: Option<T>) -> Option<T> {
        if read.is_none() {
            let (is, wanted) = (kind(value.get_ref()), wanted.name());
            self.flaw(
                value.span().start,
                format_args!("{path}: is {is}; write {wanted}"),
            );
        }
        read
    }

    fn flaw(&mut self, offset: usize, message: impl Display) {
        self.flaws.push(Flaw {
            file: self.file.name.clone(),
            offset,
            message: message.to_string(),
        });
    }
}

/// Why a verb says nothing of a field, if it does not.
fn unfit(verb: &str, target: &Target) -> Option<String> {
    let kind = target.kind();
    let is_tag = target.tag().is_some();
    let rule = match verb {
        _ if target.name() == "login_settings.password" && verb != "require" => {
            return Some("a password does not belong into a file of policy".to_owned());
        }
        "append" if !is_tag && kind != Kind::Texts => {
            "is no list; write it into [set] or [default]"
        }
        "cap" if !matches!(kind, Kind::Number | Kind::Time) => {
            "is no number; write it into [require]"
        }
        "default" | "require" if kind == Kind::Prefix => "write it into [set]",
        _ => return None,
    };
    Some(rule.to_owned())
}

/// What was meant.
fn hint(path: &str) -> String {
    let known = super::field::FIELDS.iter().map(|field| field.path);
    if let Some(rest) = path.strip_prefix("spec.") {
        return format!("; leave out `spec.`: {rest}");
    }
    if path == "tag_specification" {
        return "; write tags and its key".to_owned();
    }
    if path == "metadata" {
        return ": layers cannot speak of metadata".to_owned();
    }
    let near = known.map(|known| (strsim::damerau_levenshtein(known, path), known));
    match near.min() {
        Some((edits, known)) if edits <= TYPO_EDITS_MAX => format!("; do you mean {known}?"),
        Some(_) | None => String::new(),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a flag",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
