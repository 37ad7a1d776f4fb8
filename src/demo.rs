//! The demonstration: a simulator, a gateway and a client in one process, and how to go on by hand.

use crate::client::{Client, ClientError, Format, Progress, Server, align, between, table};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, create_file};
use crate::gateway::{Gateway, GatewayError};
use crate::pb::v1::{InstanceSpec, Operation, OperationState, Placement, RunInstancesRequest};
use crate::simulator::{Catalog, Settings, Simulator, Speed};
use crate::terminal;
use prost_types::Timestamp;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// The log of all that runs here, in the demonstration's folder.
pub const LOG: &str = "log.jsonl";
const CONFIG: &str = "cvm-gateway.toml";
const JOURNAL: &str = "journal.db";
const KEY: &str = "main.key";

/// Where `serve` and `simulate` listen when they are started by hand.
const GRPC_PORT: u16 = 7080;
const ADMIN_PORT: u16 = 7081;
const SIMULATOR_PORT: u16 = 8080;
/// The demonstration looks the same each time.
const SEED: u64 = 1;

/// What the demonstration does.
#[derive(Clone, Debug)]
pub struct Demo {
    /// How many instances it launches.
    pub count: u32,
    /// How many times faster than the real cloud they start.
    pub speed: Speed,
    /// A new folder, for the configuration, the journal and the log; it is left behind.
    pub folder: PathBuf,
    /// How this program was called, for the commands that are printed.
    pub program: String,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder cannot be written.
    #[error("cannot write to the demonstration's folder")]
    Folder(#[source] io::Error),
    /// The simulator did not start.
    #[error("the simulator cannot listen")]
    Simulator(#[source] io::Error),
    /// The configuration written here is wrong.
    #[error("the demonstration's own configuration is wrong; please report it")]
    Config(#[from] ConfigError),
    /// The gateway did not start.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The launch did not succeed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The results cannot be shown.
    #[error("cannot write to stdout")]
    Output(#[from] io::Error),
}

/// Where everything listens.
struct Ports {
    grpc: u16,
    admin: u16,
    simulator: u16,
}

/// Starts everything, launches, tells how it went, and stops everything.
///
/// # Errors
/// [`DemoError`].
pub async fn run(demo: Demo, clock: Clock) -> Result<(), DemoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let settings = Settings {
        catalog: Catalog::embedded(),
        speed: demo.speed,
        seed: SEED,
    };
    let simulator = listener.and_then(|on| Simulator::start(settings, on, clock.clone()));
    let simulator = simulator.map_err(DemoError::Simulator)?;
    let ports = Ports {
        grpc: 0,
        admin: 0,
        simulator: simulator.addr().port(),
    };
    let ended = match start(&demo.folder, &ports, clock.clone()).await {
        Ok(gateway) => {
            let launched = launch(&demo, &gateway, simulator.addr(), clock).await;
            gateway.stop().await;
            launched
        }
        Err(error) => Err(error),
    };
    simulator.stop().await;
    let operation = ended?;
    terminal::print(format!("\n{}", by_hand(&demo, &operation)))?;
    Ok(())
}

async fn start(folder: &Path, ports: &Ports, clock: Clock) -> Result<Gateway, DemoError> {
    let write = |name: &str, text: &str| {
        let mut file = create_file(&folder.join(name)).map_err(DemoError::Folder)?;
        file.write_all(text.as_bytes()).map_err(DemoError::Folder)
    };
    write(KEY, "fakeSecretKeyLoopbackTestsOnly001\n")?;
    let later = Ports {
        grpc: GRPC_PORT,
        admin: ADMIN_PORT,
        simulator: SIMULATOR_PORT,
    };
    write(CONFIG, &config_text(folder, &later))?;
    let config = Config::parse(CONFIG, &config_text(folder, ports), folder)?;
    Ok(Gateway::start(config, clock).await?)
}

async fn launch(
    demo: &Demo,
    gateway: &Gateway,
    simulator: SocketAddr,
    clock: Clock,
) -> Result<Operation, DemoError> {
    let server = format!("http://{}", gateway.grpc_addr());
    terminal::print(format!(
        "simulator of the cloud  http://{simulator}\n\
         gateway, gRPC           {server}\n\
         gateway, metrics        http://{}/metrics\n\
         journal                 {}\n",
        gateway.admin_addr(),
        demo.folder.join(JOURNAL).display()
    ))?;
    let mut client = Client::connect(&Server::plain(server), clock.clone()).await?;
    let mut progress = Progress::new(Format::Text, clock);
    let ended = client.run(request(demo.count), &mut progress).await;
    progress.finish();
    let operation = ended?;
    terminal::print(format!("\n{}\n\n{}", table(&operation), phases(&operation)))?;
    Ok(operation)
}

fn request(count: u32) -> RunInstancesRequest {
    RunInstancesRequest {
        request_id: "demo".to_owned(),
        region: "ap-shanghai".to_owned(),
        spec: Some(InstanceSpec {
            placement: Some(Placement {
                zone: "ap-shanghai-2".to_owned(),
                ..Placement::default()
            }),
            image_id: Some("img-pmqg1cw7".to_owned()),
            instance_type: Some("S5.MEDIUM4".to_owned()),
            instance_count: Some(count.into()),
            instance_name: Some("demo-{R:1}".to_owned()),
            ..InstanceSpec::default()
        }),
        ..RunInstancesRequest::default()
    }
}

/// A configuration like that of a user who tries things out.
fn config_text(folder: &Path, ports: &Ports) -> String {
    let Ports {
        grpc,
        admin,
        simulator,
    } = ports;
    let journal = format!("sqlite://{}", folder.join(JOURNAL).display());
    let journal = toml::Value::String(journal);
    format!(
        "# Made by `cvm-gateway demo`. `cvm-gateway config default` explains every key.\n\
         \n\
         [grpc]\n\
         listen = \"127.0.0.1:{grpc}\"\n\
         \n\
         [admin]\n\
         listen = \"127.0.0.1:{admin}\"\n\
         \n\
         [journal]\n\
         url = {journal}\n\
         \n\
         [cloud.endpoint]\n\
         # The simulator. Without this line the gateway calls the real cloud.\n\
         override = \"http://127.0.0.1:{simulator}\"\n\
         \n\
         [operations]\n\
         poll_interval = \"200ms\"\n\
         \n\
         [organizations.development]\n\
         default_account = \"main\"\n\
         \n\
         [organizations.development.accounts.main]\n\
         # A key of the simulator's catalogue; it opens nothing else.\n\
         secret_id = \"AKIDfakeForLoopbackTestsOnly0000001\"\n\
         secret_key_file = \"{KEY}\"\n"
    )
}

/// How long each phase took, as the journal has it.
fn phases(operation: &Operation) -> String {
    let mut rows = Vec::new();
    let pairs = operation
        .transitions
        .iter()
        .zip(operation.transitions.iter().skip(1));
    for (from, to) in pairs
        .clone()
        .filter(|(_, to)| to.state() != OperationState::Succeeded)
    {
        let phase = format!("{} → {}", state(from.state()), state(to.state()));
        rows.push([phase, took(from.time, to.time)]);
    }
    let launched =
        |(_, to): &(_, &crate::pb::v1::Transition)| to.state() == OperationState::Launched;
    let launched = pairs.clone().find(launched).and_then(|(_, to)| to.time);
    for instance in &operation.instances {
        let phase = format!("launched → {} running", instance.instance_id);
        rows.push([phase, took(launched, instance.running_time)]);
    }
    if let Some(last) = operation.transitions.last() {
        let phase = format!("accepted → {}", state(last.state()));
        rows.push([phase, took(operation.create_time, last.time)]);
    }
    align(&["PHASE", "TOOK"], &rows)
}

fn state(state: OperationState) -> String {
    state
        .as_str_name()
        .trim_start_matches("OPERATION_STATE_")
        .to_lowercase()
}

fn took(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    match between(from, to) {
        Some(took) => format!("{:>7.3} s", took.as_secs_f64()),
        None => "-".to_owned(),
    }
}

/// The commands to go on with.
fn by_hand(demo: &Demo, operation: &Operation) -> String {
    let program = &demo.program;
    let config = demo.folder.join(CONFIG);
    let config = config.display();
    let journal = demo.folder.join(JOURNAL);
    let name = &operation.name;
    format!(
        "All is stopped again. To go on by hand, in one terminal each:\n  \
           {program} simulate --speed 10 --seed 2\n  \
           {program} serve --config {config}\n\
         \n\
         Then, in a third one:\n  \
           {program} watch {name}\n  \
           {program} run --region ap-shanghai --zone ap-shanghai-2 --image img-pmqg1cw7 --count 5\n  \
           npx @bufbuild/buf curl --protocol grpc --http2-prior-knowledge -d '{{\"name\": \"{name}\"}}' \\\n    \
             http://127.0.0.1:{GRPC_PORT}/cvmgateway.v1.CvmGatewayService/GetOperation\n  \
           curl -s http://127.0.0.1:{ADMIN_PORT}/metrics | grep ^cvm_gateway\n  \
           curl -s http://127.0.0.1:{SIMULATOR_PORT}/_ledger\n  \
           sqlite3 {} 'SELECT id, state, sequence FROM operations'\n\
         \n\
         The configuration, the journal and the log of this run are in {}",
        journal.display(),
        demo.folder.display()
    )
}
