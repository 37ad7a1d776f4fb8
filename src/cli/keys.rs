//! The keys that the journal is sealed with.

use super::args::KeysCommand;
use super::error::CliError;
use crate::config::create_file;
use crate::store;
use crate::terminal::{self, Exit};
use std::io::Write;

pub(super) fn keys(command: &KeysCommand) -> Result<Exit, CliError> {
    match command {
        KeysCommand::New { file: None } => terminal::print(store::new_key()?.as_str())?,
        KeysCommand::New { file: Some(path) } => {
            let key = store::new_key()?;
            let made = create_file(path).map_err(|source| CliError::KeyFile {
                path: path.clone(),
                source,
            });
            writeln!(made?, "{}", key.as_str())?;
        }
    }
    Ok(Exit::Ok)
}
