//! The goals, what was measured of them, and the page that tells it.

use crate::rounds::Spread;
use std::fmt::Write;
use std::process::Command;

/// Where the page is.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");
const PREFACE: &str = "# Benchmarks

Written by `make bench`; do not edit. Each figure is a ratio of two programs, or a count, of one run on one machine, in which client, gateway
and cloud share the cores. *Must* is what a release has to reach, *best* what physics would allow. `make bench GOALS=\"P5 P12\"` measures some
again. What one gateway does in a second is told by `make measure`, `make measure-trust` and `make measure-simulator`.
";

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) must: Bound,
    pub(crate) best: Bound,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing was asked for.
    Any,
}

/// A goal and what was measured of it.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) goal: Goal,
    pub(crate) measured: Spread,
    /// Why it stays short of what it must reach; told while it does.
    pub(crate) short: &'static str,
}

/// What was measured together.
#[derive(Debug)]
pub(crate) struct Chapter {
    pub(crate) title: &'static str,
    /// What was done, in Markdown.
    pub(crate) how: &'static str,
    pub(crate) figures: Vec<Figure>,
    /// A table of what the figures come from, in Markdown.
    pub(crate) parts: String,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    chapters: Vec<Chapter>,
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
            Self::Any => true,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("≤ {}", digits(bound)),
            Self::AtLeast(bound) => format!("≥ {}", digits(bound)),
            Self::Any => String::new(),
        }
    }
}

impl Figure {
    fn verdict(&self) -> &'static str {
        let Goal { must, best, .. } = self.goal;
        match self.measured.median {
            value if best.holds(value) => "best",
            value if must.holds(value) => "reached",
            _ => "**short**",
        }
    }

    fn row(&self) -> String {
        let (goal, measured) = (self.goal, self.measured);
        let spread = if measured.low < measured.high {
            format!(" ({} … {})", digits(measured.low), digits(measured.high))
        } else {
            String::new()
        };
        format!(
            "| {} | {} | {}{spread} | {} | {} | {} |\n",
            goal.id,
            goal.what,
            digits(measured.median),
            goal.must.text(),
            goal.best.text(),
            self.verdict()
        )
    }

    /// Why it is short, if it is.
    fn excuse(&self) -> Option<String> {
        let short = !self.goal.must.holds(self.measured.median);
        short.then(|| format!("{} is short: {}\n", self.goal.id, self.short))
    }
}

impl Chapter {
    fn text(&self) -> String {
        let mut text = format!("\n## {}\n\n{}\n\n{}", self.title, self.how, self.parts);
        for excuse in self.figures.iter().filter_map(Figure::excuse) {
            write!(text, "\n{excuse}").unwrap();
        }
        text
    }
}

impl Report {
    /// Adds a chapter, and shows it.
    pub(crate) fn add(&mut self, chapter: Chapter) {
        println!("{}", chapter.text());
        for figure in &chapter.figures {
            print!("{}", figure.row());
        }
        self.chapters.push(chapter);
    }

    pub(crate) fn write(&self) {
        let mut page = format!("{PREFACE}\n{}\n\n", machine());
        page += "| goal | | measured (middle half) | must | best | |\n|---|---|---|---|---|---|\n";
        page.extend(
            self.chapters
                .iter()
                .flat_map(|it| &it.figures)
                .map(Figure::row),
        );
        page.extend(self.chapters.iter().map(Chapter::text));
        std::fs::write(PAGE, page).unwrap();
        println!("\nwritten to {PAGE}");
    }
}

/// A number with three digits that count, or all of a whole one.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A table in Markdown.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).unwrap();
    }
    text
}

/// On what it was measured, and at which commit.
fn machine() -> String {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    format!(
        "Commit {}, {} × {}, Linux {}, {}.",
        said(&["git", "rev-parse", "--short", "HEAD"]),
        models.len(),
        models.first().unwrap_or(&"processor"),
        file("/proc/sys/kernel/osrelease").trim(),
        said(&["rustc", "--version"])
    )
}

fn said(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    output.unwrap_or_default()
}
