//! Reads a folder of rules: its `*.cedar` files, in the order of their names.

use super::RulesFolder;
use super::cases::{self, CasesRun};
use super::file::{paths_in, read_text};
use super::problem::{Place, Problem, lines};
use super::section::Section;
use crate::domain::causes::chain;
use crate::domain::rules::Limits;
use crate::policy::{RuleFile, Rules};
use std::io;
use std::path::{Path, PathBuf};

/// Files of rules in a folder, at most, and what each may hold.
const FILES_MAX: usize = 500;
const FILE_BYTES_MAX: u64 = 1 << 20;
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
        let rules = load_rules(&path, limits).map_err(|error| chain(&error, ": "))?;
        let folder = RulesFolder {
            path,
            limits: limits.clone(),
            reload_interval,
        };
        Ok::<_, String>((rules, folder))
    });
    found.unzip()
}

/// Reads the rules in `folder`, checks them, and holds them against its cases.
///
/// # Errors
/// [`RulesError`]: when something cannot be read, or with everything that is wrong in it.
fn load_rules(folder: &Path, limits: &Limits) -> Result<Rules, RulesError> {
    rules_of(folder, &rule_files(folder)?, limits)
}

/// The rules in these files of `folder`, checked, and held against its cases.
///
/// # Errors
/// [`RulesError`]: everything that is wrong.
pub fn rules_of(folder: &Path, files: &[RuleFile], limits: &Limits) -> Result<Rules, RulesError> {
    let rules = parse(folder, files)?;
    let CasesRun { problems, .. } = check_cases(folder, &rules, limits)?;
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
    let run = cases::run_cases(folder, rules, limits);
    run.map_err(|(path, source)| RulesError::Unreadable { path, source })
}

/// Reads and checks the rules in `folder`.
///
/// # Errors
/// [`RulesError`]: when something cannot be read, or with everything that is wrong in it.
pub fn read_rules(folder: &Path) -> Result<Rules, RulesError> {
    parse(folder, &rule_files(folder)?)
}

fn parse(folder: &Path, files: &[RuleFile]) -> Result<Rules, RulesError> {
    Rules::parse(files).map_err(|flaws| {
        let problems = flaws.into_iter().map(|flaw| {
            let file = files.iter().find(|file| file.name == flaw.file);
            let text = file.map_or("", |file| file.text.as_str());
            let name = match flaw.file.as_str() {
                "" => folder.display().to_string(),
                name => name.to_owned(),
            };
            Problem {
                place: Place::of(&name, text, flaw.offset),
                message: flaw.message,
            }
        });
        let mut problems: Vec<_> = problems.collect();
        problems.sort();
        RulesError::Invalid(problems)
    })
}

/// The files of rules in `folder`, as they are now.
///
/// # Errors
/// When something cannot be read, or is too much.
pub fn rule_files(folder: &Path) -> Result<Vec<RuleFile>, RulesError> {
    let wrong = |rule: String| RulesError::Folder {
        folder: folder.to_owned(),
        rule,
    };
    let unreadable = |path: &Path, source| RulesError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let paths = paths_in(folder, "cedar", FILES_MAX * 10);
    let paths = paths.map_err(|source| unreadable(folder, source))?;
    if paths.is_empty() {
        let rule = "holds no *.cedar file; without a rule nothing is permitted";
        return Err(wrong(rule.to_owned()));
    }
    if paths.len() > FILES_MAX {
        return Err(wrong(format!("holds more than {FILES_MAX} *.cedar files")));
    }
    let mut files = Vec::new();
    for path in paths {
        let text = read_text(&path, FILE_BYTES_MAX);
        files.push(RuleFile {
            text: text.map_err(|source| unreadable(&path, source))?,
            name: path.display().to_string(),
        });
    }
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if bytes > TEXT_BYTES_MAX {
        let rule = format!("holds {bytes} bytes of rules, more than {TEXT_BYTES_MAX}");
        return Err(wrong(rule));
    }
    Ok(files)
}
