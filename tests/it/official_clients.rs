//! The official clients, unmodified, against the simulator.

use cvm_gateway::clock::Clock;
use cvm_gateway::simulator::{Catalog, Identity, Settings, Simulator, Speed};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::net::TcpListener;

/// A simulator of its own for each test, over http and https.
struct Cloud {
    simulator: Simulator,
    authority: PathBuf,
}

impl Cloud {
    async fn start(name: &str) -> Self {
        let settings = Settings {
            catalog: Catalog::embedded(),
            speed: Speed::new(100.0).unwrap(),
            seed: 7,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let clock = Clock::system();
        let local = [Ipv4Addr::LOCALHOST.into()];
        let (identity, pem) = Identity::own(clock.now(), &local, []).unwrap();
        let authority = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-ca.pem"));
        std::fs::write(&authority, pem).unwrap();
        let simulator = Simulator::start_tls(settings, listener, clock, identity).unwrap();
        Self {
            simulator,
            authority,
        }
    }

    fn endpoint(&self) -> String {
        self.simulator.addr().to_string()
    }

    /// What the command prints; it must succeed.
    async fn run(&self, mut command: Command) -> String {
        command.env("NO_PROXY", "127.0.0.1");
        command.stdin(Stdio::null());
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let (lines, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{lines}{errors}");
        lines.into_owned()
    }

    /// Runs a program that prints `ok <case>` for each of `cases` or more of them.
    async fn drive(self, cases: usize, mut command: Command) {
        command.args(["--endpoint", &self.endpoint()]);
        let lines = self.run(command).await;
        assert!(lines.lines().all(|line| line.starts_with("ok ")), "{lines}");
        assert!(lines.lines().count() >= cases, "too few cases: {lines}");
        self.simulator.stop().await;
    }
}

/// Where `make test` has put a program.
#[expect(
    clippy::disallowed_methods,
    reason = "`make test` says where the clients are"
)]
pub(crate) fn program(variable: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set: run `make test`, which installs what it names")
    })
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn python() -> Command {
    Command::new(program("CVM_GATEWAY_TEST_PYTHON"))
}

fn node() -> Command {
    let mut command = Command::new(program("CVM_GATEWAY_TEST_NODE"));
    command.current_dir(tests().join("node"));
    command
}

/// Builds what is not built yet and runs it, with the libraries of that folder.
fn go(folder: &str) -> Command {
    let mut command = Command::new(program("CVM_GATEWAY_TEST_GO"));
    command.current_dir(tests().join("go").join(folder));
    command.env("CGO_ENABLED", "0").arg("run");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_works_against_the_simulator() {
    let cloud = Cloud::start("python").await;
    let mut command = python();
    command.arg(tests().join("python/sdk_check.py"));
    command.arg("--ca").arg(&cloud.authority);
    cloud.drive(55, command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_command_line_works_against_the_simulator() {
    let cloud = Cloud::start("tccli").await;
    let mut command = python();
    command.arg(tests().join("python/tccli_check.py"));
    command.arg("--ca").arg(&cloud.authority);
    cloud.drive(4, command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_node_sdk_works_against_the_simulator() {
    let cloud = Cloud::start("node").await;
    let mut command = node();
    command.arg("sdk_check.js");
    command.env("NODE_EXTRA_CA_CERTS", &cloud.authority);
    cloud.drive(19, command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_go_sdk_works_against_the_simulator() {
    let cloud = Cloud::start("go-sdk").await;
    let mut command = go("sdk");
    command.args([".", "--ca"]).arg(&cloud.authority);
    cloud.drive(23, command).await;
}

/// The newest core of the SDK, which is also what the Terraform provider calls with.
#[tokio::test(flavor = "multi_thread")]
async fn the_core_of_the_go_sdk_and_the_calls_of_terraform_work_against_the_simulator() {
    let cloud = Cloud::start("go-core").await;
    let mut command = go("core");
    command.args([".", "--ca"]).arg(&cloud.authority);
    cloud.drive(33, command).await;
}

/// What people copy from docs/simulator.md launches three machines, as it stands there but for the port.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_page_launch_three_machines() {
    for example in ["python", "js", "go", "sh"] {
        let cloud = Cloud::start("page").await;
        let printed = cloud.run(copied(example, &cloud.endpoint())).await;
        let words = printed.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let ids: BTreeSet<_> = words.filter(|word| word.starts_with("ins-")).collect();
        assert_eq!(ids.len(), 3, "{example} printed {printed}");
        cloud.simulator.stop().await;
    }
}

/// The page's example in a language, ready to run.
fn copied(language: &str, endpoint: &str) -> Command {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/simulator.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut blocks = page.split("\n```").filter_map(|block| {
        let block = block.strip_prefix(language)?;
        (block.starts_with('\n') && block.contains("RunInstances")).then_some(block)
    });
    let block = blocks.next().unwrap();
    assert!(block.contains("127.0.0.1:8080"), "{block}");
    let block = block.replace("127.0.0.1:8080", endpoint);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).unwrap();
    match language {
        "python" => arguments(python(), ["-c", &block]),
        "js" => arguments(node(), ["-e", &block]),
        "go" => {
            let file = folder.join("example.go");
            std::fs::write(&file, block).unwrap();
            arguments(go("sdk"), [file])
        }
        _ => {
            let script = format!("set -e\n{block}");
            let mut bash = arguments(Command::new("bash"), ["-c", &script]);
            // tccli keeps what it is told beside Python and at home.
            let python = PathBuf::from(program("CVM_GATEWAY_TEST_PYTHON"));
            let path = format!("{}:/usr/bin:/bin", python.parent().unwrap().display());
            bash.env("PATH", path).env("HOME", folder);
            bash
        }
    }
}

fn arguments(mut command: Command, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
    command.args(arguments);
    command
}
