//! Reads a folder of rules: `*.cedar` files, `layers/*.toml` and `tests/*.toml`, in the order of their names.

use super::RulesFolder;
use super::cases::{self, CasesRun};
use super::file::{paths_in, read_regular};
use super::problem::{Place, Problem, lines};
use super::section::Section;
use crate::domain::causes::chain;
use crate::domain::rules::Limits;
use crate::policy::{Flaw, RuleFile, RuleFiles, Rules};
use std::io;
use std::path::{Path, PathBuf};

/// Files of rules or of layers in a folder, at most, and what each may hold.
const FILES_MAX: usize = 500;
const CASE_FILES_MAX: usize = 200;
/// Names in a folder that are looked at; one with more is refused.
const ENTRIES_MAX: usize = 5_000;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The stack of the thread that reads rules; only what is used of it is taken from the system. An operator
/// takes up to 80 KiB of it in an unoptimised build, and a rule may have 500.
const STACK_BYTES: usize = 256 << 20;
/// All files together. A thousand rules are about 300 KiB.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The folder or a file of it cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder is no folder of rules.
    #[error("{folder} {rule}", folder = folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What is wrong with it.
        rule: String,
    },
    /// The rules were read, and this is wrong with them: everything.
    #[error("the rules are wrong:{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// The rules are sound, and do not decide these cases as they must.
    #[error("the rules do not decide their cases as they must:{}", lines(.0))]
    Undecided(Vec<Problem>),
}

/// The table `policy`: its rules, and where they come from again.
pub(super) fn settings(
    table: &mut Section<'_>,
    folder: &Path,
    limits: &Limits,
) -> (Option<Rules>, Option<RulesFolder>) {
    let reload_interval = table.duration("reload_interval");
    let found = table.if_set("directory", |path| {
        let path = folder.join(path);
        let told = |error: RulesError| chain(&error, ": ");
        let files = rule_files(&path).map_err(told)?;
        let rules = rules_of(&path, &files, limits).map_err(told)?;
        let folder = RulesFolder {
            path,
            limits: limits.clone(),
            reload_interval,
            files,
        };
        Ok::<_, String>((rules, folder))
    });
    found.unzip()
}

/// The rules in these files of `folder`, checked, and held against its cases.
///
/// # Errors
/// [`RulesError`]: everything that is wrong.
pub fn rules_of(folder: &Path, files: &RuleFiles, limits: &Limits) -> Result<Rules, RulesError> {
    let rules = parse(folder, files)?;
    let CasesRun { problems, .. } = cases::run_cases(folder, &files.cases, &rules, limits);
    if problems.is_empty() {
        Ok(rules)
    } else {
        Err(RulesError::Undecided(problems))
    }
}

/// Decides the cases in `folder`.
///
/// # Errors
/// When a file of cases cannot be read.
pub fn check_cases(folder: &Path, rules: &Rules, limits: &Limits) -> Result<CasesRun, RulesError> {
    let files = rule_files(folder)?;
    Ok(cases::run_cases(folder, &files.cases, rules, limits))
}

/// Reads and checks the rules in `folder`.
///
/// # Errors
/// [`RulesError`]: when something cannot be read, or with everything that is wrong in it.
pub fn read_rules(folder: &Path) -> Result<Rules, RulesError> {
    parse(folder, &rule_files(folder)?)
}

/// As [`Rules::parse`], with the stack that the deepest rules need.
fn parse_deep(files: &RuleFiles) -> Result<Rules, Vec<Flaw>> {
    let unread = |message: String| {
        vec![Flaw {
            file: String::new(),
            offset: 0,
            message,
        }]
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || Rules::parse(files));
        let thread = thread.map_err(|error| unread(format!("no thread to read it: {error}")))?;
        let ended = thread.join();
        ended.unwrap_or_else(|_panic| Err(unread("reading it failed; please report it".to_owned())))
    })
}

fn parse(folder: &Path, files: &RuleFiles) -> Result<Rules, RulesError> {
    parse_deep(files).map_err(|flaws| {
        let all = || files.rules.iter().chain(&files.layers);
        let problems = flaws.into_iter().map(|flaw| {
            let file = all().find(|file| file.name == flaw.file);
            let text = file.map_or("", |file| file.text.as_str());
            let name = folder.join(&flaw.file).display().to_string();
            Problem {
                place: Place::of(name.trim_end_matches('/'), text, flaw.offset),
                message: flaw.message,
            }
        });
        let mut problems: Vec<_> = problems.collect();
        problems.sort();
        RulesError::Invalid(problems)
    })
}

/// Everything that is in the folder of rules, as it is now.
///
/// # Errors
/// When something cannot be read, or is too much.
pub fn rule_files(folder: &Path) -> Result<RuleFiles, RulesError> {
    let rules = files_in(folder, "", "cedar", FILES_MAX)?;
    if rules.is_empty() {
        let rule = "holds no *.cedar file; without a rule nothing is permitted";
        return Err(RulesError::Folder {
            folder: folder.to_owned(),
            rule: rule.to_owned(),
        });
    }
    Ok(RuleFiles {
        rules,
        layers: files_in(folder, "layers/", "toml", FILES_MAX)?,
        cases: files_in(folder, "tests/", "toml", CASE_FILES_MAX)?,
    })
}

/// The files with that ending in the folder `part` of `folder`, in the order of their names; none when
/// there is no such folder.
fn files_in(
    folder: &Path,
    part: &str,
    ending: &str,
    files_max: usize,
) -> Result<Vec<RuleFile>, RulesError> {
    let unreadable = |path: &Path, source| RulesError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let within = folder.join(part);
    let wrong = |rule: String| RulesError::Folder {
        folder: within.clone(),
        rule,
    };
    let paths = match paths_in(&within, ending, ENTRIES_MAX) {
        Err(error) if !part.is_empty() && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        paths => paths.map_err(|source| unreadable(&within, source))?,
    };
    if paths.len() > files_max {
        return Err(wrong(format!(
            "holds more than {files_max} *.{ending} files"
        )));
    }
    let mut files = Vec::new();
    let mut bytes = 0;
    for path in paths {
        let text = read_regular(&path, FILE_BYTES_MAX);
        let text = text.map_err(|source| unreadable(&path, source))?;
        bytes += text.len();
        if bytes > TEXT_BYTES_MAX {
            let rule = format!("holds more than {TEXT_BYTES_MAX} bytes of *.{ending} files");
            return Err(wrong(rule));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.push(RuleFile {
            name: format!("{part}{name}"),
            text,
        });
    }
    Ok(files)
}
