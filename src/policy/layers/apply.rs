//! What layers make of a launch: set, default, append, cap, and then what they require.

use super::field::Found;
use super::value::{Kind, Value, matches, time_text};
use super::{Act, Applied, Demand, Entry, Layer, Unmet, strongest};
use crate::domain::change::Change;
use crate::domain::request::Wish;
use crate::domain::violation::Violation;
use std::time::Duration;
use time::UtcDateTime;
use time::macros::format_description;

/// Numbers that are a ceiling in the caller's own words: less is what was asked for, too. With less
/// of any other a launch would not be what it was meant to be, so it is refused instead.
const CEILINGS: [&str; 1] = ["internet_accessible.internet_max_bandwidth_out"];

/// Applies `layers`, the most general first, to `wish`. Times are counted from `from`.
pub(super) fn all(layers: &[&Layer], from: UtcDateTime, wish: &mut Wish, applied: &mut Applied) {
    let mut run = Run {
        from,
        wish,
        applied,
    };
    let is_prefix = |entry: &Entry| entry.target.kind() == Kind::Prefix;
    let sets = |entry: &Entry| matches!(entry.act, Act::Set(_)) && !is_prefix(entry);
    let defaults = |entry: &Entry| matches!(entry.act, Act::Default(_));
    let strong = [
        strongest(layers, sets),
        strongest(layers, defaults),
        strongest(layers, is_prefix),
    ];
    for (layer, entry) in strong.concat() {
        run.give(layer, entry);
    }
    let [sets, ..] = &strong;
    for (layer, entry) in sets {
        run.find_hidden(layer, entry);
    }
    let entries = layers.iter().flat_map(|layer| {
        let entries = layer.entries.iter();
        entries.map(|entry| (*layer, entry))
    });
    let entries: Vec<_> = entries.collect();
    for (layer, entry) in &entries {
        if let Act::Append(value) = &entry.act {
            run.append(layer, entry, value);
        }
    }
    for (layer, entry) in &entries {
        if let Act::Cap(value) = &entry.act {
            run.cap(layer, entry, value);
        }
    }
    for (layer, entry) in &entries {
        if let Act::Require(demand) = &entry.act {
            run.require(layer, entry, demand);
        }
    }
}

struct Run<'a> {
    from: UtcDateTime,
    wish: &'a mut Wish,
    applied: &'a mut Applied,
}

impl Run<'_> {
    /// Sets a field, or only one that is unset. What it is part of is made where it is missing.
    fn give(&mut self, layer: &Layer, entry: &Entry) {
        let prefix = entry.target.kind() == Kind::Prefix;
        for found in entry.target.find(self.wish, true) {
            let before = found.slot.get();
            let value = match (&entry.act, &before) {
                (Act::Set(Value::Text(start)), before) if prefix => prefixed(start, before),
                (Act::Set(value), _) => Some(value.at(self.from)),
                // What an alternative says is never unset.
                (Act::Default(value), None) => Some(value.at(self.from)),
                (Act::Default(_) | Act::Append(_) | Act::Cap(_) | Act::Require(_), _) => None,
            };
            if value.is_some() && value != before {
                put(self.applied, layer, entry, found, value);
            }
        }
    }

    /// Refuses what was to be set of each in a list that only a launch template has, perhaps one that a layer gave.
    fn find_hidden(&mut self, layer: &Layer, entry: &Entry) {
        let template = self.wish.spec.launch_template.is_some();
        if template && entry.target.find(self.wish, false).is_empty() {
            let field = format!("spec.{}", entry.target.name());
            let rule = "must be set, for the launch template may hold something else".to_owned();
            refuse(self.applied, layer, entry, field, rule);
        }
    }

    /// Adds to a list what it lacks; a tag whose key is not there.
    fn append(&mut self, layer: &Layer, entry: &Entry, more: &Value) {
        for found in entry.target.find(self.wish, true) {
            let value = match (found.slot.get(), more) {
                (Some(Value::Texts(mut texts)), Value::Texts(more)) => {
                    let count = texts.len();
                    for text in more {
                        if !texts.contains(text) {
                            texts.push(text.clone());
                        }
                    }
                    (texts.len() > count).then_some(Value::Texts(texts))
                }
                (None, more) => Some(more.clone()),
                (Some(_), _) => None,
            };
            if value.is_some() {
                put(self.applied, layer, entry, found, value);
            }
        }
    }

    /// Lowers what is over the cap, if it may be; refuses the rest.
    fn cap(&mut self, layer: &Layer, entry: &Entry, cap: &Value) {
        let template = self.wish.spec.launch_template.is_some();
        let enough = enough(entry, cap, self.wish);
        let found = entry.target.find(self.wish, false);
        if found.is_empty() && template {
            let field = format!("spec.{}", entry.target.name());
            refuse(self.applied, layer, entry, field, unknown(cap));
        }
        for found in found {
            match found.slot.get() {
                None if template => {
                    refuse(self.applied, layer, entry, found.path, unknown(cap));
                }
                Some(value) if is_over(&value, cap, self.from) => {
                    if enough {
                        let cap = Some(cap.at(self.from));
                        put(self.applied, layer, entry, found, cap);
                    } else {
                        let rule = format!("must be at most {}", cap.json());
                        refuse(self.applied, layer, entry, found.path, rule);
                    }
                }
                Some(_) | None => {}
            }
        }
    }

    /// Holds the final values against what is required.
    fn require(&mut self, layer: &Layer, entry: &Entry, demand: &Demand) {
        let template = self.wish.spec.launch_template.is_some();
        let name = entry.target.name();
        let hidden = template && !name.starts_with("launch_template.");
        let found = entry.target.find(self.wish, false);
        // What alternatives name says nothing of the first place.
        let names_it = found.iter().any(|found| found.path.starts_with("spec."));
        // A list of messages may be empty, unless a template fills it.
        let asks_nobody = entry.target.is_each() && !template;
        if !names_it
            && !asks_nobody
            && let Some(rule) = demand.unmet(None, hidden)
        {
            refuse(self.applied, layer, entry, format!("spec.{name}"), rule);
        }
        for found in found {
            if let Some(rule) = demand.unmet(found.slot.get().as_ref(), hidden) {
                refuse(self.applied, layer, entry, found.path, rule);
            }
        }
    }
}

fn put(
    applied: &mut Applied,
    layer: &Layer,
    entry: &Entry,
    found: Found<'_>,
    value: Option<Value>,
) {
    let Some(value) = value else { return };
    let before = found.slot.get();
    // A tag that was not there is told as a whole.
    let after = match (&before, entry.target.tag()) {
        (None, Some(key)) => {
            let quoted = serde_json::json!(key);
            format!("{{\"key\":{quoted},\"value\":{}}}", value.json())
        }
        (_, _) => value.json(),
    };
    let verb = match entry.act {
        Act::Default(_) => "default",
        Act::Set(_) => "set",
        Act::Append(_) => "append",
        Act::Cap(_) => "cap",
        Act::Require(_) => "require",
    };
    applied.changes.push(Change {
        field: found.path,
        before: before.map_or_else(String::new, |before| before.json()),
        after,
        origin: format!("{verb} of the {}", layer.origin(entry)),
    });
    found.slot.put(value);
}

fn refuse(applied: &mut Applied, layer: &Layer, entry: &Entry, field: String, rule: String) {
    applied.unmet.push(Unmet {
        rule: layer.rule(),
        violation: Violation {
            field,
            message: format!("{rule}: {}", layer.origin(entry)),
        },
    });
}

/// `before`, or nothing, so that it begins with `start`; nothing when it does already.
fn prefixed(start: &str, before: &Option<Value>) -> Option<Value> {
    match before {
        Some(Value::Text(text)) if text.starts_with(start) => None,
        Some(Value::Text(text)) => Some(Value::Text(format!("{start}{text}"))),
        Some(_) => None,
        None => Some(Value::Text(
            start.trim_end_matches(['-', '_', '.']).to_owned(),
        )),
    }
}

/// Whether the caller has enough with what the cap leaves.
fn enough(entry: &Entry, cap: &Value, wish: &Wish) -> bool {
    let Value::Number(cap) = cap else {
        return true; // a machine that ends earlier
    };
    let name = entry.target.name();
    let at_least = wish.spec.min_count;
    CEILINGS.contains(&name.as_str())
        || name == "instance_count" && at_least.is_some_and(|count| count <= *cap)
}

fn is_over(value: &Value, cap: &Value, from: UtcDateTime) -> bool {
    match (value, cap) {
        (Value::Number(value), Value::Number(cap)) => value > cap,
        (Value::Text(time), Value::After(after)) => is_later(time, *after, from),
        (_, _) => false,
    }
}

/// Of what is no time the rules for requests tell.
fn is_later(text: &str, after: Duration, from: UtcDateTime) -> bool {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let cap = UtcDateTime::parse(&time_text(from, after), form);
    let time = UtcDateTime::parse(text, form);
    matches!((time, cap), (Ok(time), Ok(cap)) if time > cap)
}

fn unknown(cap: &Value) -> String {
    let cap = cap.json();
    format!("must be set, to at most {cap}, for the launch template may hold more")
}

impl Demand {
    /// What does not hold, for the caller. What is unset may be `hidden` in a launch template.
    fn unmet(&self, value: Option<&Value>, hidden: bool) -> Option<String> {
        if !self.holds(value) {
            return Some(self.rule());
        }
        let unknown = hidden && value.is_none() && matches!(self, Self::Absent);
        unknown.then(|| format!("{}, and the launch template may set it", self.rule()))
    }

    fn holds(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Present, value) => value.is_some(),
            (Self::Absent, value) => value.is_none(),
            (Self::Flag(wanted), Some(Value::Flag(flag))) => wanted == flag,
            (Self::Like(patterns), Some(Value::Text(text))) => {
                patterns.iter().any(|pattern| matches(pattern, text))
            }
            (Self::Among(numbers), Some(Value::Number(number))) => numbers.contains(number),
            (Self::Holding(wanted), Some(Value::Texts(texts))) => {
                wanted.iter().all(|text| texts.contains(text))
            }
            (Self::Flag(_) | Self::Like(_) | Self::Among(_) | Self::Holding(_), _) => false,
        }
    }

    /// What must hold, for the caller.
    fn rule(&self) -> String {
        match self {
            Self::Present => "must be set".to_owned(),
            Self::Absent => "must not be set".to_owned(),
            Self::Flag(flag) => format!("must be {flag}"),
            Self::Like(patterns) => match patterns.as_slice() {
                [only] => format!("must be {only}"),
                some => format!("must be one of {}", some.join(", ")),
            },
            Self::Among(numbers) => {
                let numbers = numbers.iter().map(i64::to_string);
                format!("must be one of {}", numbers.collect::<Vec<_>>().join(", "))
            }
            Self::Holding(texts) => format!("must hold {}", texts.join(", ")),
        }
    }
}
