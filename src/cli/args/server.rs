//! The arguments of every command that calls a gateway: which one, and how to prove who calls.

use super::SERVER;
use clap::Args;
use std::path::PathBuf;

/// Which gateway, and how to prove who calls.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServerArgs {
    /// The gateway's address
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub(in crate::cli) server: String,
    /// Trusts the gateway by the certificates in this PEM file; only with https [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) tls_ca: Option<PathBuf>,
    /// Presents the certificate in this PEM file; only with https
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(in crate::cli) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(in crate::cli) tls_key: Option<PathBuf>,
    /// Presents the token in this file, which is read again for each call
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,
}
