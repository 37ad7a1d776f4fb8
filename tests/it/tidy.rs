//! Enforces the shape of the sources: which room may enter which, sizes, heads, and what stays in one place.

mod reader;

use reader::{blank, entered, functions, line, supers, tests_begin, words};
use std::collections::BTreeMap;
use std::path::Path;

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Names that only these rooms may say.
const HOMES: [(&str, &[&str]); 8] = [
    ("sqlx::", &["store"]),
    ("AssertSqlSafe", &["store"]),
    ("reqwest::", &["cloud", "identity"]),
    ("prometheus::", &["metrics"]),
    ("axum::", &["admin", "simulator", "gateway"]),
    (
        "tonic::",
        &["pb", "follow", "grpc", "gateway", "client", "main", "trace"],
    ),
    ("opentelemetry", &["trace"]),
    (
        "tonic_types::",
        &["pb", "follow", "grpc", "gateway", "client"],
    ),
];

/// Files and folders of `src/` that are functions of their arguments, and what would end that.
const PURE: [&str; 5] = [
    "domain",
    "policy",
    "cloud/tc3",
    "operations/machine",
    "simulator/world",
];
const IMPURE: [&str; 5] = ["async ", ".await", "tokio::", "std::fs::", "crate::clock"];

/// What is left over from work in progress. Split, so that this file may say it.
const LEFT_OVER: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("#[", "ignore"),
];

#[test]
fn sources_keep_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = Table::parse(&std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches"] {
        collect(root, &root.join(folder), &mut sources);
    }
    collect(root, &root.join("build.rs"), &mut sources);
    assert!(
        sources.len() > 4 && table.rooms.len() > 10,
        "nothing was read"
    );
    let findings: Vec<String> = table
        .findings()
        .into_iter()
        .chain(sources.iter().flat_map(|source| source.findings(&table)))
        .collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Which room may enter which: the rows of ARCHITECTURE.md, in their order.
struct Table {
    rooms: Vec<String>,
    entries: BTreeMap<String, Vec<String>>,
}

impl Table {
    fn parse(page: &str) -> Self {
        let mut table = Self {
            rooms: Vec::new(),
            entries: BTreeMap::new(),
        };
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [room, _, entries] = cells[..] else {
                panic!("a row of ARCHITECTURE.md has {} cells: {row}", cells.len());
            };
            let names = |cell: &str| -> Vec<String> {
                cell.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect()
            };
            let room = names(room).concat();
            table.entries.insert(room.clone(), names(entries));
            table.rooms.push(room);
        }
        table
    }

    /// A row names only rows above it, so that no two rooms can come to need each other.
    fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (row, room) in self.rooms.iter().enumerate() {
            for entry in &self.entries[room] {
                if !self.rooms[..row].contains(entry) {
                    findings.push(format!(
                        "ARCHITECTURE.md: `{room}` names `{entry}`, no row above it"
                    ));
                }
            }
        }
        findings
    }
}

/// The line, and what is wrong there.
type Finding = (usize, String);

/// One source file.
struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
    /// The text before its tests, without comments and literals; the lines are where they were.
    code: String,
}

impl Source {
    fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut code = blank(&text);
        if let Some(end) = tests_begin(&code) {
            code.truncate(end);
        }
        Self {
            path: path.into(),
            text,
            code,
        }
    }

    /// `cloud` of `src/cloud/tc3.rs`; the list of rooms, `lib.rs`, and files of tests are in none.
    fn room(&self) -> Option<&str> {
        let place = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let room = place.split('/').next()?;
        (room != "lib" && !place.ends_with("/tests")).then_some(room)
    }

    fn findings(&self, table: &Table) -> Vec<String> {
        let mut findings = self.general_findings();
        if let Some(room) = self.room() {
            findings.extend(self.size_findings());
            findings.extend(self.room_findings(room, table));
            findings.extend(self.name_findings(room));
        }
        findings
            .into_iter()
            .map(|(line, what)| format!("{}:{line}: {what}", self.path))
            .collect()
    }

    fn general_findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.text.starts_with("//! ") {
            findings.push((1, "no `//!` sentence that says the job".to_owned()));
        }
        if self.path.ends_with("/mod.rs") {
            findings.push((1, "write `room.rs` beside `room/`".to_owned()));
        }
        for word in LEFT_OVER {
            for (at, _) in self.text.match_indices(word) {
                findings.push((line(&self.text, at), format!("`{word}` is left over")));
            }
        }
        findings
    }

    fn size_findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let lines = self.code.lines().count();
        if lines > FILE_LINES_MAX {
            let what = format!("{lines} lines before the tests, at most {FILE_LINES_MAX}");
            findings.push((lines, what));
        }
        for (line, length) in functions(&self.code) {
            if length > FUNCTION_LINES_MAX {
                let what = format!("a function of {length} lines, at most {FUNCTION_LINES_MAX}");
                findings.push((line, what));
            }
        }
        for at in words(&self.code, "mod tests;") {
            let what = "tests without `#[cfg(test)]`".to_owned();
            findings.push((line(&self.code, at), what));
        }
        if !end_well(blank(&self.text).split_off(self.code.len()).trim_end()) {
            findings.push((lines + 1, "one `mod tests` ends a file".to_owned()));
        }
        findings
    }

    /// Other rooms that this one enters though its row does not say so.
    fn room_findings(&self, room: &str, table: &Table) -> Vec<Finding> {
        let Some(allowed) = table.entries.get(room) else {
            return vec![(1, format!("`{room}` is no room of ARCHITECTURE.md"))];
        };
        let depth = self.path.matches('/').count() - 1;
        let strange = entered(&self.code)
            .into_iter()
            .filter(|(_, entered)| entered != room && !allowed.contains(entered))
            .map(|(at, entered)| (at, format!("`{room}` may not enter `{entered}`")));
        let unnamed = supers(&self.code)
            .into_iter()
            .filter(|(_, chain)| *chain > depth)
            .map(|(at, _)| (at, "say `crate::` to leave a room".to_owned()));
        strange
            .chain(unnamed)
            .map(|(at, what)| (line(&self.code, at), what))
            .collect()
    }

    /// Names that this file may not say.
    fn name_findings(&self, room: &str) -> Vec<Finding> {
        let elsewhere = HOMES
            .iter()
            .filter(|(_, homes)| !homes.contains(&room))
            .map(|(name, homes)| (*name, format!("belongs to {}", homes.join(", "))));
        let impure = IMPURE
            .iter()
            .filter(|_| self.is_pure())
            .map(|name| (*name, "in a pure file".to_owned()));
        let mut findings = Vec::new();
        for (name, why) in elsewhere.chain(impure) {
            for at in words(&self.code, name) {
                findings.push((line(&self.code, at), format!("`{}` {why}", name.trim())));
            }
        }
        findings
    }

    fn is_pure(&self) -> bool {
        let place = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        PURE.iter().any(|pure| {
            place
                .strip_prefix(pure)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// Whether what begins with `#[cfg(test)]` is one module and nothing follows it: such a line in the
/// middle of a file would hide the rest from the rules.
fn end_well(tests: &str) -> bool {
    let items = tests.matches("\n}").count();
    let (inline, outline) = (tests.ends_with("\n}"), tests.ends_with("\nmod tests;"));
    let attributed = |line: &str| line.starts_with('#') || line.starts_with("mod ");
    tests.is_empty()
        || tests.lines().nth(1).is_some_and(attributed)
            && tests.contains("mod tests;") == outline
            && (outline && items == 0 || inline && items == 1)
}

/// Adds the Rust files at and below `path`.
fn collect(root: &Path, path: &Path, sources: &mut Vec<Source>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect(root, &entry.unwrap().path(), sources);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/");
        sources.push(Source::new(name, std::fs::read_to_string(path).unwrap()));
    }
}

const PLANTED_TABLE: &str = "\
| room | its one job | may enter |
|---|---|---|
| `domain` | nouns | – |
| `store` | journal | `domain` |
| `cloud` | Tencent | `domain` |
| `operations` | life | `store`, `cloud` |
";

/// Path, text, and what must be said of it.
const PLANTED: &[(&str, &str, &str)] = &[
    (
        "src/store.rs",
        "//! A.\n#[cfg(test)]\nmod tests;\nfn a() {\n}\n",
        ":2: one `mod tests` ends",
    ),
    (
        "src/store.rs",
        "//! A.\n#[cfg(test)]\nuse b::c;\n\nfn a() {\n}\n",
        ":2: one `mod tests` ends",
    ),
    ("src/store.rs", "//! A.\nmod tests;\n", ":2: tests without"),
    (
        "src/store.rs",
        "//! A.\n#[cfg(test)]\nmod tests;\nfn a() {\n}\nfn b() {\n}\n",
        ":2: one `mod tests` ends",
    ),
    (
        "src/cloud.rs",
        "//! A.\nuse crate::store::Store;\n",
        ":2: `cloud` may not enter `store`",
    ),
    (
        "src/cloud/tc3.rs",
        "//! A.\nfn a() { crate::operations::b() }\n",
        ":2: `cloud` may not enter `operations`",
    ),
    (
        "src/store.rs",
        "//! A.\nuse crate::{\n    domain::{Operation, State},\n    cloud,\n};\n",
        ":2: `store` may not enter `cloud`",
    ),
    (
        "src/store.rs",
        "//! A.\nuse cvm_gateway::cloud;\n",
        ":2: `store` may not enter `cloud`",
    ),
    ("src/utils.rs", "//! A.\n", ":1: `utils` is no room"),
    (
        "src/store.rs",
        "//! A.\nuse super::domain;\n",
        ":2: say `crate::`",
    ),
    (
        "src/cloud/tc3.rs",
        "//! A.\nuse super::super::store;\n",
        ":2: say `crate::`",
    ),
    (
        "src/cloud.rs",
        "//! A.\nuse sqlx::query;\n",
        ":2: `sqlx::` belongs to store",
    ),
    (
        "src/operations.rs",
        "//! A.\nfn a() -> tonic::Status { b() }\n",
        ":2: `tonic::` belongs to pb, follow, grpc",
    ),
    (
        "src/cloud/tc3.rs",
        "//! A.\n\nasync fn a() {}\n",
        ":3: `async` in a pure file",
    ),
    (
        "src/domain.rs",
        "//! A.\nfn a() { b().await }\n",
        ":2: `.await` in a pure file",
    ),
    ("src/domain.rs", "// A.\n", ":1: no `//!` sentence"),
    ("src/cloud/mod.rs", "//! A.\n", ":1: write `room.rs`"),
    (
        "tests/it/a.rs",
        concat!("//! A.\n// TO", "DO: later\n"),
        ":2: `",
    ),
    (
        "tests/it/a.rs",
        concat!("//! A.\n#[", "ignore]\nfn a() {}\n"),
        ":2: `",
    ),
    (
        "src/store.rs",
        "//! A.\n#[cfg(test)]\nmod tests {\n}\n\nfn a() {}\n",
        ":2: one `mod tests` ends",
    ),
    (
        "src/store.rs",
        "//! A.\n#[cfg(test)]\nmod tests {\n}\nfn a() {\n}\n",
        ":2: one `mod tests` ends",
    ),
    (
        "src/store.rs",
        "//! A.\nuse crate::domain::{self, b};\nuse crate::operations;\n",
        ":3: `store` may not enter `operations`",
    ),
    (
        "src/store.rs",
        "//! A.\nconst A: char = '\"';\nuse crate::cloud;\n",
        ":3: `store` may not enter `cloud`",
    ),
];

#[test]
fn every_planted_violation_is_found() {
    let table = Table::parse(PLANTED_TABLE);
    for (path, text, expected) in PLANTED {
        let findings = Source::new(*path, *text).findings(&table);
        let expected = format!("{path}{expected}");
        assert!(
            findings.len() == 1 && findings[0].starts_with(&expected),
            "expected {expected}, found {findings:?} in:\n{text}"
        );
    }
}

#[test]
fn long_files_and_functions_are_found() {
    let table = Table::parse(PLANTED_TABLE);
    let functions = [
        ("fn a() {\n", "}\n"),
        ("pub(crate) async fn a(\n    b: u8,\n) -> u8 {\n", "}\n"),
        ("impl A {\n    pub const fn a() {\n", "    }\n}\n"),
    ];
    for (head, foot) in functions {
        for (lines, long) in [(60, 0), (71, 1)] {
            let text = format!("//! A.\n{head}{}{foot}", "        b();\n".repeat(lines));
            assert_eq!(
                Source::new("src/store.rs", &text).findings(&table).len(),
                long,
                "{text}"
            );
        }
    }
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "    // B.\n".repeat(600)
    );
    for (lines, long) in [(499, 0), (500, 1)] {
        let text = format!("//! A.\n{}{tests}", "// B.\n".repeat(lines));
        assert_eq!(
            Source::new("src/store.rs", text).findings(&table).len(),
            long
        );
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    let table = Table::parse(PLANTED_TABLE);
    let allowed = [
        (
            "src/operations.rs",
            "//! A.\nuse crate::{cloud::Cloud, store::{self, Store}};\nuse crate::operations::driver;\n",
        ),
        ("src/cloud/tc3.rs", "//! A.\nuse super::client;\n"),
        (
            "src/cloud.rs",
            "//! Not crate::store.\n/* crate::store */\nconst A: &str = \"crate::store \\\" crate::store\";\n",
        ),
        (
            "src/cloud.rs",
            "//! A.\nconst A: &str = r#\"crate::\"store\"#;\nfn a<'a>(b: &'a str) -> char { '\\'' }\n",
        ),
        ("src/cloud.rs", "//! A.\nuse other_crate::store;\n"),
        (
            "src/cloud.rs",
            "//! A.\n\n#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\n",
        ),
        ("src/cloud.rs", "//! A.\n#[cfg(test)]\nmod tests;\n"),
        ("src/cloud/tests.rs", "//! A.\nuse crate::store::Store;\n"),
        ("src/lib.rs", "//! A.\npub mod store;\n"),
        (
            "tests/it/a.rs",
            "//! A.\nuse cvm_gateway::store;\nuse tonic::Code;\n",
        ),
    ];
    for (path, text) in allowed {
        assert_eq!(Source::new(path, text).findings(&table), [""; 0], "{text}");
    }
}

#[test]
fn a_row_may_not_name_a_row_below_it() {
    let table = Table::parse("| `a` | job | `b` |\n| `b` | job | `a` |\n");
    assert_eq!(
        table.findings(),
        ["ARCHITECTURE.md: `a` names `b`, no row above it"]
    );
}
