//! Reads settings key by key from layers of TOML, and collects everything that is wrong on the way.

use super::problem::{Place, Problem};
use std::cell::RefCell;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Longer makes no sense for any wait, and keeps sums of times far from the calendar's end.
const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// At most so many single-character edits make a typing mistake.
const TYPO_EDITS_MAX: usize = 3;

/// One file, parsed.
#[derive(Debug)]
pub(super) struct Source<'a> {
    name: &'a str,
    text: &'a str,
    table: DeTable<'a>,
}

/// A table of settings: the user's over the built-in one. What was read is known, what is left
/// over is a mistake.
///
/// A method that finds a problem notes it and returns a placeholder, so that reading goes on and
/// finds the next one; [`super::Config`] is only made when no problem was noted.
pub(super) struct Section<'a> {
    path: String,
    /// Where it begins in the file that wins, or where it would belong.
    begin: Place,
    layers: Vec<Layer<'a>>,
    known: Vec<String>,
    problems: &'a Problems,
}

/// The problems found so far.
pub(super) type Problems = RefCell<Vec<Problem>>;

/// A table of one file.
struct Layer<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
}

impl<'a> Source<'a> {
    /// Parses `text`; noting a problem for each error of syntax.
    pub(super) fn parse(name: &'a str, text: &'a str, problems: &Problems) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            // Only the rule: the parser's full text quotes the line, which may hold a secret.
            problems.borrow_mut().push(Problem {
                place: Place::of(name, text, offset),
                message: format!("not TOML: {}", error.message()),
            });
        }
        Self {
            name,
            text,
            table: table.into_inner(),
        }
    }

    fn place(&self, offset: usize) -> Place {
        Place::of(self.name, self.text, offset)
    }
}

impl<'a> Section<'a> {
    /// Reads the settings of `layers`, the one that wins first, with `read`.
    pub(super) fn root<T>(
        layers: &'a [Source<'a>],
        problems: &'a Problems,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let tables = layers.iter().map(|source| Layer {
            source,
            table: &source.table,
        });
        let root = Self {
            path: String::new(),
            begin: Place::of(layers.first().map_or("", |layer| layer.name), "", 0),
            layers: tables.collect(),
            known: Vec::new(),
            problems,
        };
        root.finish(read)
    }

    /// Reads the table `key` with `read`.
    pub(super) fn table<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.known.push(key.to_owned());
        let path = self.path_of(key);
        let mut begin = None;
        let mut layers = Vec::new();
        for layer in &self.layers {
            let Some((at, value)) = layer.get(key) else {
                continue;
            };
            begin = begin.or_else(|| Some(layer.source.place(at)));
            if let DeValue::Table(table) = value.get_ref() {
                layers.push(Layer {
                    source: layer.source,
                    table,
                });
            } else {
                let rule = is_not(value.get_ref(), "a table");
                let place = layer.source.place(value.span().start);
                self.note(place, format!("{path}: {rule}; write [{path}]"));
            }
        }
        let table = Self {
            path,
            begin: begin.unwrap_or_else(|| self.begin.clone()),
            layers,
            known: Vec::new(),
            problems: self.problems,
        };
        table.finish(read)
    }

    /// Whether the key is there, with anything but an empty text.
    pub(super) fn is_set(&self, key: &str) -> bool {
        let found = self.layers.iter().find_map(|layer| layer.get(key));
        found.is_some_and(|(_, value)| value.get_ref().as_str() != Some(""))
    }

    /// The keys that lead here, as in `organizations.development`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The names of the tables in here that the user chose.
    pub(super) fn names(&self) -> Vec<String> {
        let keys = self.layers.iter().flat_map(|layer| layer.table.keys());
        let mut names: Vec<String> = keys.map(|key| key.get_ref().to_string()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Notes that the rule which `message` tells is broken by this table as a whole.
    pub(super) fn refuse(&self, message: impl Display) {
        let message = match self.path.as_str() {
            "" => message.to_string(),
            path => format!("{path}: {message}"),
        };
        self.note(self.begin.clone(), message);
    }

    /// Notes that `key` breaks `rule` together with other keys: where the file that wins sets it, or where
    /// its table begins.
    pub(super) fn refuse_key(&self, key: &str, rule: impl Display) {
        let own = self.layers.first();
        let place = own.and_then(|own| Some(own.source.place(own.get(key)?.1.span().start)));
        let place = place.unwrap_or_else(|| self.begin.clone());
        self.note(place, format!("{}: {rule}", self.path_of(key)));
    }

    /// The value of `key` as `parse` understands it; a rule that it breaks is noted.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key.to_owned());
        let found = self.layers.iter().find_map(|layer| {
            let (_, value) = layer.get(key)?;
            Some((layer.source.place(value.span().start), value.get_ref()))
        });
        let Some((place, value)) = found else {
            self.refuse(format_args!("`{key}` is missing"));
            return None;
        };
        match parse(value) {
            Ok(value) => Some(value),
            Err(rule) => {
                let path = self.path_of(key);
                // Some rooms' rules name their key themselves.
                let named = rule.starts_with(&path);
                let message = if named {
                    rule
                } else {
                    format!("{path}: {rule}")
                };
                self.note(place, message);
                None
            }
        }
    }

    /// A text as `parse` understands it.
    pub(super) fn text_as<T, E: Display>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.parsed(key, |value| match value.as_str() {
            Some(text) => parse(text).map_err(|rule| rule.to_string()),
            None => Err(format!("{}; put it in quotes", is_not(value, "text"))),
        })
    }

    /// A text that may be left out or empty, as `parse` understands it.
    pub(super) fn if_set<T, E: Display>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.is_set(key) {
            self.text_as(key, parse)
        } else {
            self.known.push(key.to_owned());
            None
        }
    }

    /// Knows a key that may be left out, where it is.
    pub(super) fn may_have(&mut self, key: &str) {
        self.known.push(key.to_owned());
    }

    /// Knows every key that is there: what reads only some leaves the others to a gateway.
    pub(super) fn may_have_any(&mut self) {
        self.known.extend(self.names());
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &str) -> bool {
        let flag = self.parsed(key, |value| {
            let rule = || format!("{}; write true or false", is_not(value, "a flag"));
            value.as_bool().ok_or_else(rule)
        });
        flag.unwrap_or_default()
    }

    /// A whole number within `range`.
    pub(super) fn count(&mut self, key: &str, range: RangeInclusive<u32>) -> u32 {
        let count = self.parsed(key, |value| {
            let number = value.as_integer().and_then(|number| {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
                u32::try_from(number).ok()
            });
            number
                .filter(|number| range.contains(number))
                .ok_or_else(|| {
                    let (min, max) = (range.start(), range.end());
                    format!("{} is not a whole number from {min} to {max}", shown(value))
                })
        });
        count.unwrap_or_default()
    }

    /// A duration above zero.
    pub(super) fn duration(&mut self, key: &str) -> Duration {
        self.duration_within(key, Duration::from_millis(1)..=DURATION_MAX)
    }

    /// A duration within `range`.
    pub(super) fn duration_within(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let duration = self.parsed(key, |value| {
            let text = value.as_str();
            let duration = text.and_then(|text| humantime::parse_duration(text).ok());
            let Some(duration) = duration else {
                let shown = shown(value);
                return Err(format!(
                    "{shown} is not a duration; write text like \"500ms\", \"15s\" or \"2m\""
                ));
            };
            if range.contains(&duration) {
                return Ok(duration);
            }
            let [min, max] = [range.start(), range.end()].map(|at| humantime::format_duration(*at));
            Err(format!(
                "{} is out of range; write {min} to {max}",
                shown(value)
            ))
        });
        duration.unwrap_or_default()
    }

    /// A number of bytes, at most `max`.
    pub(super) fn bytes(&mut self, key: &str, range: RangeInclusive<u32>) -> u32 {
        let max = *range.end();
        let bytes = self.parsed(key, |value| {
            let bytes = value.as_str().and_then(parse_bytes);
            bytes
                .filter(|bytes| range.contains(bytes))
                .ok_or_else(|| {
                    let shown = shown(value);
                    format!(
                        "{shown} is not a size; write text like \"16KiB\" or \"1MiB\", at most {max} bytes"
                    )
                })
        });
        bytes.unwrap_or_default()
    }

    /// An address to listen on. When there is a reason why other machines may not reach it, with the
    /// remedy, it must be a loopback one.
    pub(super) fn address(&mut self, key: &str, reason: Option<&str>) -> SocketAddr {
        let address = self.text_as(key, |text| address(text, reason));
        address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// One text or several, each as `parse` understands it; at least one.
    pub(super) fn text_or_texts<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let texts = self.parsed(key, |value| {
            let DeValue::Array(items) = value else {
                return one(value, &parse).map(|text| vec![text]);
            };
            if items.is_empty() {
                return Err("is empty; name one".to_owned());
            }
            let texts = items.iter().map(|item| one(item.get_ref(), &parse));
            texts.collect()
        });
        texts.unwrap_or_default()
    }

    /// Texts, each as `parse` understands it.
    pub(super) fn texts<T, E: Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let texts = self.parsed(key, |value| {
            let DeValue::Array(items) = value else {
                return Err(format!(
                    "{}; write [\"a\", \"b\"]",
                    is_not(value, "a list of texts")
                ));
            };
            items
                .iter()
                .map(|item| {
                    let text = item.get_ref().as_str();
                    let text = text.ok_or_else(|| is_not(item.get_ref(), "text"))?;
                    parse(text).map_err(|rule| format!("`{text}`: {rule}"))
                })
                .collect()
        });
        texts.unwrap_or_default()
    }

    fn finish<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let value = read(&mut self);
        for layer in &self.layers {
            for key in layer.table.keys() {
                if !self.known.iter().any(|known| known == key.get_ref()) {
                    let place = layer.source.place(key.span().start);
                    self.note(place, self.unknown(key.get_ref()));
                }
            }
        }
        value
    }

    fn unknown(&self, key: &str) -> String {
        let place = match self.path.as_str() {
            "" => String::new(),
            path => format!(" in [{path}]"),
        };
        let distances = self
            .known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(key, known), known));
        let nearest = distances
            .filter(|(edits, known)| *edits <= TYPO_EDITS_MAX && *edits < known.chars().count())
            .min();
        let remedy = match nearest {
            Some((_, known)) => format!("did you mean `{known}`?"),
            None if self.known.is_empty() => "nothing goes there".to_owned(),
            None => format!("known are {}", self.known.join(", ")),
        };
        format!("unknown key `{key}`{place}; {remedy}")
    }

    fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn note(&self, place: Place, message: String) {
        self.problems.borrow_mut().push(Problem { place, message });
    }
}

impl<'a> Layer<'a> {
    /// Where the key stands, and its value.
    fn get(&self, key: &str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        let is_key = |(found, _): &(&Spanned<DeString<'a>>, _)| found.get_ref() == key;
        let (key, value) = self.table.iter().find(is_key)?;
        Some((key.span().start, value))
    }
}

/// A text as `parse` understands it.
fn one<T>(value: &DeValue<'_>, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    match value.as_str() {
        Some(text) => parse(text),
        None => Err(format!("{}; put it in quotes", is_not(value, "text"))),
    }
}

/// An address to listen on. When there is a `reason` why other machines may not reach it, with the remedy,
/// it must be a loopback one.
pub(super) fn address(text: &str, reason: Option<&str>) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_not_one| {
        format!("`{text}` is no address; write an IP address and a port like \"127.0.0.1:7080\"")
    })?;
    match reason.filter(|_| !address.ip().is_loopback()) {
        None => Ok(address),
        Some(reason) => Err(format!(
            "`{text}` can be reached from other machines, but {reason}, or listen on 127.0.0.1"
        )),
    }
}

/// How much text like `16KiB` is.
fn parse_bytes(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
}

/// The value as far as it helps to find the mistake. Keys that hold secrets never come here.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("`{text}`"),
        DeValue::Integer(number) => format!("`{number}`"),
        DeValue::Float(number) => format!("`{number}`"),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => kind(value).to_owned(),
    }
}

fn is_not(value: &DeValue<'_>, wanted: &str) -> String {
    format!("is {}, not {wanted}", kind(value))
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
