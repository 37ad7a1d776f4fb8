//! The commands on the audit.

use super::args::{AuditCommand, ExportArgs, VerifyArgs};
use super::error::CliError;
use crate::clock::Clock;
use crate::config::{JournalConfig, create_file, lines_of};
use crate::store::{Anchor, Cursor, Desk, Expected, Line, Links, Verified};
use crate::terminal::{self, Exit};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A row is a request in JSON, some times as long as the message that it came in, and some words around it.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Rows that are read at once.
const PAGE: usize = 500;
/// How often new rows are looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Runs one of them.
pub(super) async fn run(command: AuditCommand, clock: Clock) -> Result<Exit, CliError> {
    match command {
        AuditCommand::Export(args) => export(args, &clock).await,
        AuditCommand::Verify(args) => verify(args).await,
    }
}

async fn open(path: &Path) -> Result<Desk, CliError> {
    let config = JournalConfig::load(path)?;
    Ok(Desk::open(&config.journal).await?)
}

async fn export(args: ExportArgs, clock: &Clock) -> Result<Exit, CliError> {
    let desk = open(&args.config).await?;
    let mut cursor = Cursor::default();
    let mut skipped = Skipped::default();
    loop {
        let lines = desk.follow(&mut cursor, PAGE).await?;
        for line in &lines {
            let old = args.since.is_some_and(|since| line.time < since);
            skipped.pass(line, old)?;
        }
        if lines.is_empty() {
            skipped.flush()?;
        }
        match (lines.is_empty(), args.follow) {
            (false, _) => {}
            (true, true) => clock.sleep(LOOK_INTERVAL).await,
            (true, false) => break,
        }
    }
    desk.close().await;
    Ok(Exit::Ok)
}

/// What of each chain is older than what is asked for. A chain begins with its first row that is not; before
/// that comes a line with the hash of the last one that is, so that an export can be verified by itself.
#[derive(Default)]
struct Skipped {
    last: BTreeMap<String, Anchor>,
    begun: BTreeSet<String>,
}

impl Skipped {
    fn pass(&mut self, line: &Line, old: bool) -> io::Result<()> {
        let chain = &line.anchor.chain;
        if !self.begun.contains(chain) {
            if old {
                self.last.insert(chain.clone(), line.anchor.clone());
                return Ok(());
            }
            if let Some(anchor) = self.last.remove(chain) {
                tell(&anchor)?;
            }
            self.begun.insert(chain.clone());
        }
        terminal::print(&line.text)
    }

    /// Tells the ends of chains that are older altogether.
    fn flush(&mut self) -> io::Result<()> {
        for (chain, anchor) in std::mem::take(&mut self.last) {
            tell(&anchor)?;
            self.begun.insert(chain);
        }
        Ok(())
    }
}

fn tell(anchor: &Anchor) -> io::Result<()> {
    terminal::print(serde_json::to_string(anchor)?)
}

/// Looks at files twice: which rows others name, and then at each row.
fn verify_files(paths: &[PathBuf], expected: Expected) -> Result<Verified, CliError> {
    let mut links = Links::default();
    for path in paths {
        for line in texts_of(path)? {
            links.note(&line?);
        }
    }
    let mut check = links.check(expected);
    let several = paths.len() > 1;
    let files = paths.iter().map(|path| {
        let name = several.then(|| path.display().to_string());
        Ok::<_, CliError>((name, texts_of(path)?))
    });
    check.read(files.collect::<Result<_, _>>()?)?;
    Ok(check.end())
}

fn texts_of(path: &Path) -> Result<impl Iterator<Item = Result<String, CliError>>, CliError> {
    let lines = lines_of(path, LINE_BYTES_MAX).map_err(CliError::input(path))?;
    Ok(lines.map(move |line| {
        let line = line.map_err(CliError::input(path))?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }))
}

async fn verify(args: VerifyArgs) -> Result<Exit, CliError> {
    let anchors = args.anchor.as_deref().map(anchors).transpose()?;
    let anchors = anchors.unwrap_or_default();
    let verified = if args.file.is_empty() {
        let desk = open(&args.config).await?;
        let verified = desk.verify(&anchors).await?;
        desk.close().await;
        verified
    } else {
        let partial = args.partial;
        verify_files(&args.file, Expected { anchors, partial })?
    };
    for finding in &verified.findings {
        terminal::print(finding)?;
    }
    let Verified { rows, ends, .. } = &verified;
    let (chains, wrong) = (ends.len(), verified.findings.len());
    terminal::print(match wrong {
        0 => format!("ok: {rows} rows in {chains} chains are as they were written"),
        _ => format!("{wrong} findings in {rows} rows of {chains} chains"),
    })?;
    if verified.unchained > 0 {
        terminal::print(format!(
            "{} rows of earlier versions are in no chain: nothing tells whether they were changed",
            verified.unchained
        ))?;
    }
    if wrong > 0 {
        return Ok(Exit::Failed);
    }
    args.save.map_or(Ok(()), |path| save(path, ends))?;
    Ok(Exit::Ok)
}

/// The last row of each chain that the file names, so that a whole export is an anchor, too.
fn anchors(path: &Path) -> Result<Vec<Anchor>, CliError> {
    let mut last: BTreeMap<String, Anchor> = BTreeMap::new();
    // A sink that a crash has stopped amid a line writes it again after that.
    let mut cut: Option<(usize, Vec<u8>)> = None;
    let none = |line| CliError::Anchor {
        path: path.to_owned(),
        line,
    };
    let lines = lines_of(path, LINE_BYTES_MAX).map_err(CliError::input(path))?;
    for (number, line) in (1..).zip(lines) {
        let line = line.map_err(CliError::input(path))?;
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        if let Some((number, _)) = cut.take_if(|(_, cut)| !line.starts_with(cut)) {
            return Err(none(number));
        }
        let Ok(anchor) = serde_json::from_slice::<Anchor>(line) else {
            cut = Some((number, line.to_vec()));
            continue;
        };
        cut = None;
        let later = |known: &Anchor| known.sequence < anchor.sequence;
        if last.get(&anchor.chain).is_none_or(later) {
            last.insert(anchor.chain.clone(), anchor);
        }
    }
    match cut {
        Some((number, _)) => Err(none(number)),
        None => Ok(last.into_values().collect()),
    }
}

fn save(path: PathBuf, ends: &[Anchor]) -> Result<(), CliError> {
    let lines = ends.iter().map(serde_json::to_string);
    let lines: Vec<String> = lines.filter_map(Result::ok).collect();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let written = create_file(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| CliError::Anchors { path, source })
}
