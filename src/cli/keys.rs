//! The keys that the journal is sealed with.

use super::args::{KeysCommand, RotateArgs};
use super::error::CliError;
use crate::clock::Clock;
use crate::config::{JournalConfig, create_file};
use crate::store::{self, Desk};
use crate::terminal::{self, Exit};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

pub(super) async fn keys(command: KeysCommand, clock: Clock) -> Result<Exit, CliError> {
    match command {
        KeysCommand::New { file: None } => terminal::print(store::new_key()?.as_str())?,
        KeysCommand::New { file: Some(path) } => {
            let key = store::new_key()?;
            let made = create_file(&path).map_err(|source| CliError::KeyFile {
                path: path.clone(),
                source,
            });
            writeln!(made?, "{}", key.as_str())?;
        }
        KeysCommand::Rotate(rotate) => self::rotate(&rotate, &clock).await?,
    }
    Ok(Exit::Ok)
}

async fn rotate(args: &RotateArgs, clock: &Clock) -> Result<(), CliError> {
    let used = match args.drop_unused {
        true => Some(used(&args.config).await?),
        false => None,
    };
    let rotated = store::rotate_keys(&args.file, clock.now().date(), used.as_ref())?;
    let (new, kept) = (&rotated.new, rotated.kept.join(", "));
    terminal::print(format!("{new} seals from now on; {kept} only open"))?;
    if !rotated.dropped.is_empty() {
        let dropped = rotated.dropped.join(", ");
        terminal::print(format!(
            "{dropped} sealed nothing any more and were taken out"
        ))?;
    }
    Ok(())
}

/// The keys that something in the journal of a configuration is sealed with.
async fn used(config: &Path) -> Result<BTreeSet<String>, CliError> {
    let config = JournalConfig::load(config)?;
    let desk = Desk::open(&config.journal).await?;
    let used = desk.used_keys().await;
    desk.close().await;
    Ok(used?)
}
