//! The arguments of `simulate`.

use crate::simulator::{FaultSetting, Speed};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Runs a simulator of the CVM API
///
/// Official SDKs, the official command line tool and the gateway talk to it as to the cloud: it checks
/// signatures, knows zones, types and images from its catalogue, and takes machines through their states.
/// It keeps everything in memory and costs nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cvm-gateway simulate                             on 127.0.0.1:8080, as slow as the cloud
  cvm-gateway simulate --speed 20                  machines start in a second or two
  cvm-gateway simulate --print-catalog > my.toml   change what it sells, then:
  cvm-gateway simulate --catalog my.toml
  cvm-gateway simulate --fault launch_failed_p=0.2 --fault 'instance_lag_s=[0, 10]'
  curl -s http://127.0.0.1:8080/_ledger            every call and machine so far
  curl -s http://127.0.0.1:8080/_ledger | cvm-gateway simulate --check cvm-gateway.db
                                                   what the journal of a gateway says otherwise
  cvm-gateway simulate --tls                       https as well; clients trust it by the file that it writes

To let a gateway call it, its configuration says:
  [cloud.endpoint]
  override = \"http://127.0.0.1:8080\"
  [organizations.development]
  default_account = \"main\"
  [organizations.development.accounts.main]
  secret_id = \"AKIDfakeForLoopbackTestsOnly0000001\"
  secret_key = \"fakeSecretKeyLoopbackTestsOnly001\"

Exit codes:
  0 stopped by a signal, or --check found nothing   1 --check found something   64 wrong option
  65 wrong catalogue, scenes or certificate   66 no such file   69 port in use
  73 the CA's file cannot be written   74 cannot write to stdout   77 the port is not allowed")]
pub(in crate::cli) struct SimulateArgs {
    /// IP address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(in crate::cli) listen: SocketAddr,
    /// What the cloud sells and the account owns, instead of the catalogue in the program
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) catalog: Option<PathBuf>,
    /// A fault of the cloud, named as in the catalogue; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(in crate::cli) fault: Vec<FaultSetting>,
    /// What the first calls meet with, a JSON list as /_control/scenes takes it
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) scenes: Option<PathBuf>,
    /// Keeps bodies, queries and headers in the ledger as they came, with passwords, user data and signatures
    #[arg(long)]
    pub(in crate::cli) ledger_keeps_secrets: bool,
    /// How many times faster than the real cloud machines start
    #[arg(long, value_name = "N", default_value = "1")]
    pub(in crate::cli) speed: Speed,
    /// Where the chances begin: the same seed and the same calls give the same ids and times
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,
    /// Answers https, too, on the same port
    #[arg(long)]
    pub(in crate::cli) tls: bool,
    /// Where the CA is written that signed the certificate, for clients to trust; new at each start
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls",
        default_value = "simulator-ca.pem"
    )]
    pub(in crate::cli) tls_ca: PathBuf,
    /// A certificate chain (PEM) instead of one that is made
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls",
        requires = "tls_key",
        conflicts_with = "tls_ca"
    )]
    pub(in crate::cli) tls_cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(in crate::cli) tls_key: Option<PathBuf>,
    /// Prints the catalogue in the program, and ends
    #[arg(long)]
    pub(in crate::cli) print_catalog: bool,
    /// Compares this journal of a gateway, a SQLite file or a URL, with a ledger, and ends
    #[arg(long, value_name = "JOURNAL")]
    pub(in crate::cli) check: Option<String>,
    /// The ledger to compare with, as /_ledger gives it; - is stdin
    #[arg(long, value_name = "FILE", requires = "check", default_value = "-")]
    pub(in crate::cli) ledger: PathBuf,
}
