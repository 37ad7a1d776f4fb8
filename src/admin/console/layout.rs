//! What all pages of the console have in common: their frame, and how states, times and amounts look.

use crate::clock::Clock;
use crate::domain::millis::since;
use crate::domain::operation::StateName;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::time::Duration;
use time::UtcDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// As machines read it.
const MACHINE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// As people read it.
const PERSON: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
/// How many letters those are.
const PERSON_LETTERS: usize = 19;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The places that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Operations,
    Accounts,
    Denials,
    Gateway,
}

impl Tab {
    const ALL: [Self; 4] = [
        Self::Operations,
        Self::Accounts,
        Self::Denials,
        Self::Gateway,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Operations => "/console",
            Self::Accounts => "/console/accounts",
            Self::Denials => "/console/denials",
            Self::Gateway => "/console/gateway",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Operations => "Operations",
            Self::Accounts => "Accounts",
            Self::Denials => "Denials",
            Self::Gateway => "Gateway",
        }
    }
}

/// A whole page.
pub(super) fn page(tab: Tab, title: &str, clock: &Clock, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – cvm-gateway" }
                link rel="icon" href="/console/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/console/console.css";
                script src="/console/console.js" defer {}
            }
            body {
                a .skip href="#main" { "Skip to the content" }
                header .bar {
                    a .brand href="/console" { (mark()) span { "cvm-gateway" } }
                    nav aria-label="Console" {
                        ul { @for each in Tab::ALL { li { (tab_link(each, tab)) } } }
                    }
                    p .live {
                        button #live type="button" aria-pressed="true" hidden { "Live updates" }
                        span #live-status .quiet role="status" {}
                    }
                }
                main #main tabindex="-1" { (content) }
                footer { p { "As of " (time(clock.now())) ". Times are UTC. This page only reads." } }
            }
        }
    }
}

fn tab_link(tab: Tab, current: Tab) -> Markup {
    let current = (tab == current).then_some("page");
    html! { a href=(tab.path()) aria-current=[current] { (tab.name()) } }
}

/// The head of a page, with what belongs beside it.
pub(super) fn head(title: &str, beside: &Markup) -> Markup {
    html! { div .head { h1 { (title) } (beside) } }
}

/// A part of a page that is kept up to date, if the browser can.
pub(super) fn live(name: &str, title: &str, content: &Markup) -> Markup {
    html! {
        section id=(name) data-live=(name) aria-labelledby={ (name) "-title" } {
            h2 id={ (name) "-title" } { (title) }
            (content)
        }
    }
}

/// A table that can be scrolled where it does not fit; nothing but `empty` without rows.
pub(super) fn table(caption: &str, columns: &[&str], rows: &[Markup], empty: &str) -> Markup {
    if rows.is_empty() {
        return html! { p .empty { (empty) } };
    }
    html! {
        div .scroll role="region" aria-label=(caption) tabindex="0" {
            table {
                caption { (caption) }
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody { @for row in rows { tr { (row) } } }
            }
        }
    }
}

/// Names and values, but those that are empty.
pub(super) fn facts(facts: &[(&str, Option<Markup>)]) -> Markup {
    html! {
        dl .facts {
            @for (name, value) in facts {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// A text that is written as a machine writes it; nothing when it is empty.
pub(super) fn code(text: &str) -> Option<Markup> {
    (!text.is_empty()).then(|| html! { code { (text) } })
}

/// A text; nothing when it is empty.
pub(super) fn text(text: &str) -> Option<Markup> {
    (!text.is_empty()).then(|| html! { (text) })
}

/// What an empty cell shows.
pub(super) fn none() -> Markup {
    html! { span .quiet { "–" } }
}

/// A moment.
pub(super) fn time(at: UtcDateTime) -> Markup {
    let [machine, person] = [MACHINE, PERSON].map(|form| at.format(form).unwrap_or_default());
    html! { time datetime=(machine) { (person) } }
}

/// A moment as the audit writes it, in RFC 3339.
pub(super) fn stamp(written: &str) -> Markup {
    let seconds = written.get(..PERSON_LETTERS).unwrap_or(written);
    html! { time datetime=(written) { (seconds.replace('T', " ")) } }
}

/// How long ago a moment was, which the pointer shows.
pub(super) fn ago(at: UtcDateTime, now: UtcDateTime) -> Markup {
    let [machine, person] = [MACHINE, PERSON].map(|form| at.format(form).unwrap_or_default());
    let words = match (since(now, at), since(at, now)) {
        (Duration::ZERO, Duration::ZERO) => "now".to_owned(),
        (Duration::ZERO, ahead) => format!("in {}", words(ahead)),
        (passed, _) => format!("{} ago", words(passed)),
    };
    html! { time datetime=(machine) title={ (person) " UTC" } { (words) } }
}

/// A span of time in the units that matter.
pub(super) fn words(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..10 => format!("{seconds}.{} s", span.subsec_millis() / 100),
        seconds @ 10..MINUTE => format!("{seconds} s"),
        seconds @ MINUTE..HOUR => two((seconds / MINUTE, "min"), (seconds % MINUTE, "s")),
        seconds @ HOUR..DAY => two((seconds / HOUR, "h"), (seconds % HOUR / MINUTE, "min")),
        seconds => two((seconds / DAY, "d"), (seconds % DAY / HOUR, "h")),
    }
}

fn two(large: (u64, &str), small: (u64, &str)) -> String {
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        few => format!("{} {} {few} {}", large.0, large.1, small.1),
    }
}

/// How much of something is used, as a bar with its words.
pub(super) fn used(name: &str, used: f64, limit: f64, words: &str) -> Markup {
    let (high, full) = (limit * 0.8, used >= limit);
    html! {
        span .used {
            meter min="0" max=(limit) high=(high) optimum="0" value=(used) aria-label=(name) { (words) }
            span { (words) @if full { " " (tag("warn", "used up")) } }
        }
    }
}

/// A short word in a colour, which only repeats what the word says.
pub(super) fn tag(kind: &str, word: &str) -> Markup {
    html! { span class={ "tag " (kind) } { (word) } }
}

/// A state: its sign, its name and its colour.
pub(super) fn state(state: StateName) -> Markup {
    html! { span class={ "tag " (kind(state)) } { (sign(state)) (name(state)) } }
}

/// What a state is called.
pub(super) const fn name(state: StateName) -> &'static str {
    match state {
        StateName::Accepted => "Accepted",
        StateName::Sent => "Sent",
        StateName::Reconciling => "Reconciling",
        StateName::Launched => "Launched",
        StateName::Terminating => "Terminating",
        StateName::Succeeded => "Succeeded",
        StateName::Partial => "Partial",
        StateName::Failed => "Failed",
        StateName::Cancelled => "Cancelled",
        StateName::NeedsOperator => "Needs operator",
    }
}

/// The colour of a state.
pub(super) const fn kind(state: StateName) -> &'static str {
    match state {
        StateName::Accepted | StateName::Cancelled => "calm",
        StateName::Sent | StateName::Launched | StateName::Terminating => "busy",
        StateName::Succeeded => "good",
        StateName::Reconciling | StateName::Partial => "warn",
        StateName::Failed | StateName::NeedsOperator => "bad",
    }
}

/// The sign of a state: it can be told without its colour.
fn sign(state: StateName) -> Markup {
    let path = match state {
        StateName::Accepted => "M8 4.5V8l2.5 1.5",
        StateName::Sent => "M5 8h6M8.5 5.5 11 8l-2.5 2.5",
        StateName::Reconciling => "M6.3 6.4a1.8 1.8 0 1 1 2.5 1.7c-.6.3-.8.6-.8 1.2M8 11.2v.1",
        StateName::Launched => "M5.2 8v.1M8 8v.1M10.8 8v.1",
        StateName::Terminating => "M5 8h6",
        StateName::Succeeded => "M5.2 8.3 7.2 10.3 10.9 6",
        StateName::Partial => "M8 2v12M8 8h5.5M8 5h4.6M8 11h4.6",
        StateName::Failed => "M5.8 5.8 10.2 10.2M10.2 5.8 5.8 10.2",
        StateName::Cancelled => "M4 12 12 4",
        StateName::NeedsOperator => "M8 4.6v4.2M8 11.2v.1",
    };
    html! {
        svg viewBox="0 0 16 16" aria-hidden="true" focusable="false" {
            circle cx="8" cy="8" r="6.25" {}
            path d=(path) {}
        }
    }
}

/// The gateway's own sign.
fn mark() -> Markup {
    PreEscaped(include_str!("icon.svg").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn spans_are_told_in_the_units_that_matter() {
        for (millis, expected) in [
            (0, "0.0 s"),
            (1234, "1.2 s"),
            (9999, "9.9 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (7_260_000, "2 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(words(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn moments_are_told_both_ways() {
        let at = utc_datetime!(2026-01-02 03:04:05.678);
        let expected = "<time datetime=\"2026-01-02T03:04:05.678Z\">2026-01-02 03:04:05</time>";
        assert_eq!(time(at).into_string(), expected);
        assert_eq!(stamp("2026-01-02T03:04:05.678Z").into_string(), expected);
        let told = |now| ago(at, now).into_string();
        assert!(told(at).contains(">now<"));
        assert!(told(at + Duration::from_secs(90)).contains(">1 min 30 s ago<"));
        assert!(told(at - Duration::from_secs(30)).contains(">in 30 s<"));
    }

    #[test]
    fn every_text_is_escaped() {
        let hostile = "<script>alert(\"1\")</script>&'";
        let shown = [
            code(hostile).unwrap(),
            facts(&[("name", text(hostile))]),
            table(
                hostile,
                &[hostile],
                &[html! { td title=(hostile) { (hostile) } }],
                hostile,
            ),
            used(hostile, 1.0, 1.0, hostile),
        ];
        for markup in shown {
            let markup = markup.into_string();
            assert!(
                !markup.contains("<script") && markup.contains("&lt;script&gt;"),
                "{markup}"
            );
            assert!(!markup.contains("(\"1\")"), "{markup}");
        }
    }
}
