//! Connects to the gateway that the arguments name.

use super::args::ServerArgs;
use super::error::CliError;
use crate::client::{Client, ReadToken, Server};
use crate::clock::Clock;
use crate::config::read_text;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A large enterprise's certificates.
const PEM_BYTES_MAX: u64 = 4 << 20;
/// What headers have room for.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// A client of the gateway, which proves who calls as the arguments say.
pub(super) async fn connect(args: ServerArgs, clock: Clock) -> Result<Client, CliError> {
    let pem = |path: &PathBuf| read(path, PEM_BYTES_MAX);
    let certificate = args.tls_cert.as_ref().map(pem).transpose()?;
    let key = args.tls_key.as_ref().map(pem).transpose()?;
    let server = Server {
        url: args.server,
        ca_pem: args.tls_ca.as_ref().map(pem).transpose()?,
        identity: certificate.zip(key.map(SecretString::from)),
        token: args.token_file.map(token).transpose()?,
    };
    Ok(Client::connect(&server, clock).await?)
}

/// Reads the token for each call; now once, so that a file that is missing is told by its name.
fn token(path: PathBuf) -> Result<ReadToken, CliError> {
    read(&path, TOKEN_BYTES_MAX)?;
    Ok(Arc::new(move || {
        let text = read_text(&path, TOKEN_BYTES_MAX);
        let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()));
        Ok(text?.into())
    }))
}

fn read(path: &Path, bytes_max: u64) -> Result<String, CliError> {
    read_text(path, bytes_max).map_err(CliError::input(path))
}
