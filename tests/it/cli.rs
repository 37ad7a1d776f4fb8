//! The program itself, as people and scripts call it: pages, messages, exit codes.

use crate::canary::{self, Folder};
use crate::identity::pki::{Authority, uri};
use crate::identity::tokens::Signer;
use crate::store::TOMORROW;
use crate::world::World;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A key pair of the simulator's own catalogue.
const ACCOUNT: &str = "
[organizations.development]
default_account = \"main\"
[organizations.development.accounts.main]
secret_id = \"AKIDfakeForLoopbackTestsOnly0000001\"
secret_key = \"fakeSecretKeyLoopbackTestsOnly001\"
";

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvm-gateway"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    // The pages show the simulator's own keys, which are public.
    let public = ["--help", "--print-catalog"];
    let mut program = program(arguments);
    if arguments.iter().any(|argument| public.contains(argument)) {
        program.output().unwrap()
    } else {
        canary::output(&mut program)
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs the program and holds it against its exit code and a part of what it says on stderr.
fn refuses(arguments: &[&str], code: i32, expected: &str) {
    let output = run(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(expected), "{arguments:?} says {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A program that runs until it is told to stop.
struct Running {
    child: Child,
}

impl Running {
    /// Starts it, and waits for the line that `find` finds something in; also gives the lines after it.
    fn start<R: Read>(
        mut command: Command,
        pipe: impl FnOnce(&mut Child) -> R,
        find: impl Fn(&str) -> Option<String>,
    ) -> (Self, String, impl Iterator<Item = String>) {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(pipe(&mut child)).lines().map(Result::unwrap);
        let mut lines = lines.inspect(|line| canary::examine("the log of a process", line));
        let found = lines.find_map(|line| find(&line));
        let found = found.expect("the program ended before it was ready");
        (Self { child }, found, lines)
    }

    fn simulator() -> (Self, String) {
        let command = program(&["simulate", "--listen", "127.0.0.1:0", "--speed", "30"]);
        let find = |line: &str| line.strip_prefix("CVM API at ").map(str::to_owned);
        let stdout = |child: &mut Child| child.stdout.take().unwrap();
        // The pipe is closed: a program must outlive who reads what it writes.
        let (simulator, address, _lines) = Self::start(command, stdout, find);
        (simulator, address)
    }

    fn gateway(config: &str) -> (Self, String) {
        let (gateway, address) = Self::listening(config, "grpc");
        (gateway, format!("http://{address}"))
    }

    /// A gateway, and the address of its `grpc` or `admin` door.
    fn listening(config: &str, door: &'static str) -> (Self, String) {
        Self::saying(config, move |log| {
            let address = log[door].as_str().filter(|_| log["message"] == "serving");
            address.map(str::to_owned)
        })
    }

    /// A gateway, and what `find` finds in its log.
    fn saying(
        config: &str,
        find: impl Fn(&serde_json::Value) -> Option<String> + Send + 'static,
    ) -> (Self, String) {
        let command = program(&["serve", "--config", config]);
        let stderr = |child: &mut Child| child.stderr.take().unwrap();
        let find = move |line: &str| find(&serde_json::from_str(line).ok()?);
        let (gateway, found, lines) = Self::start(command, stderr, find);
        std::thread::spawn(|| lines.for_each(drop));
        (gateway, found)
    }

    /// Tells it to stop, and returns its exit code.
    fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless its test fails.
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
        }
    }
}

#[test]
fn every_command_has_a_page_to_work_from() {
    for command in [
        &["serve"][..],
        &["simulate"],
        &["demo"],
        &["run"],
        &["watch"],
        &["healthcheck"],
        &["config", "check"],
        &["operations", "list"],
        &["operations", "show"],
        &["operations", "release"],
        &["operations", "export"],
    ] {
        let output = run(&[command, &["--help"]].concat());
        let page = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        for part in [
            "Usage: cvm-gateway",
            "Examples:",
            "[default: ",
            "Exit codes:",
        ] {
            assert!(page.contains(part), "{command:?} has no {part} in {page}");
        }
    }
    let page = run(&["--help"]);
    assert!(text(&page.stdout).contains("cvm-gateway demo"));
    let version = run(&["--version"]);
    let expected = format!("cvm-gateway {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&version.stdout), expected);
}

#[test]
fn a_wrong_command_line_is_usage() {
    refuses(&[], 64, "Usage:");
    refuses(&["sreve"], 64, "'serve'");
    refuses(&["serve", "--confg", "x"], 64, "'--config'");
    refuses(&["run"], 64, "--region");
    let exposed = ["simulate", "--listen", "0.0.0.0:0"];
    refuses(&exposed, 64, "0.0.0.0:0 is not a loopback address");
    refuses(
        &["simulate", "--speed", "fast"],
        64,
        "a speed is a number above 0",
    );
    let wish = ["--region", "r", "--zone", "z", "--image", "i"];
    let server = ["run", "--server", "ftp://gateway.example"];
    refuses(
        &[&server[..], &wish].concat(),
        64,
        "write --server https://HOST:PORT or http://HOST:PORT",
    );
}

#[test]
fn a_configuration_is_checked_before_anything_happens() {
    let folder = Folder::new();
    let missing = folder.join("none.toml");
    let missing = missing.to_str().unwrap();
    let misspelt = write(
        &folder,
        "misspelt.toml",
        "[grpc]\nheartbeet_interval = \"5s\"\n",
    );
    let directory = folder.to_str().unwrap();
    for command in [&["serve"][..], &["config", "check"]] {
        let with = |config| [command, &["--config", config]].concat();
        refuses(
            &with(missing),
            66,
            "name the configuration with --config FILE\n  because: No such file",
        );
        refuses(&with(directory), 66, "because: Is a directory");
        let expected = format!(
            "{misspelt}:2:1: unknown key `heartbeet_interval` in [grpc]; did you mean `heartbeat_interval`?"
        );
        refuses(&with(&misspelt), 78, &expected);
        refuses(
            &with(&misspelt),
            78,
            "no organisation `development`; add [organizations.development]",
        );
    }
    let sound = write(&folder, "sound.toml", ACCOUNT);
    let output = run(&["config", "check", "--config", &sound]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    assert!(
        shown.contains("organisation  development: main (default)"),
        "{shown}"
    );
    assert!(
        !shown.contains("fakeSecretKey") && !shown.contains("AKID"),
        "{shown}"
    );
}

#[test]
fn the_printed_defaults_are_a_configuration() {
    let folder = Folder::new();
    let output = run(&["config", "default"]);
    let defaults = text(&output.stdout);
    let sound = write(&folder, "all.toml", &format!("{defaults}{ACCOUNT}"));
    // The table [organizations] is in there already; its members may follow.
    let checked = run(&["config", "check", "--config", &sound]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}

#[test]
fn what_cannot_be_had_at_the_start_is_named() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let journal = folder.join("journal.db");
    let taken_port = write(
        &folder,
        "port.toml",
        &format!(
            "grpc.listen = \"{address}\"\nadmin.listen = \"127.0.0.1:0\"\n\
             journal.url = \"sqlite://{}\"\n{ACCOUNT}",
            journal.display()
        ),
    );
    let expected = format!("cannot listen on {address}, which is grpc.listen in the configuration");
    refuses(&["serve", "--config", &taken_port], 69, &expected);
    assert!(
        !journal.exists(),
        "a gateway without its port touched the journal"
    );
    refuses(
        &["simulate", "--listen", &address],
        69,
        "name another with --listen\n  because: Address",
    );

    let nowhere = folder.join("no/such/journal.db");
    let ports = "grpc.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n";
    let no_folder = format!(
        "{ports}journal.url = \"sqlite://{}\"\n{ACCOUNT}",
        nowhere.display()
    );
    let no_folder = write(&folder, "journal.toml", &no_folder);
    refuses(
        &["serve", "--config", &no_folder],
        73,
        "the journal cannot be opened",
    );

    let catalog = write(&folder, "catalog.toml", "keys = 1\n");
    refuses(
        &["simulate", "--catalog", &catalog],
        65,
        "catalogue line 1: ",
    );
    refuses(
        &["simulate", "--catalog", "none.toml"],
        66,
        "cannot read none.toml",
    );
}

#[test]
fn a_simulator_with_tls_tells_where_its_ca_is() {
    let folder = Folder::new();
    let authority = folder.join("ca.pem");
    let authority = authority.to_str().unwrap();
    let simulate = ["simulate", "--listen", "127.0.0.1:0", "--tls"];
    let command = program(&[&simulate[..], &["--tls-ca", authority]].concat());
    let find = |line: &str| line.strip_prefix("CVM API at ").map(str::to_owned);
    let (simulator, said, lines) =
        Running::start(command, |child| child.stdout.take().unwrap(), find);
    drop(lines);
    let (addresses, file) = said.split_once("; its CA is in ").unwrap();
    let (secure, plain) = addresses.split_once(" and ").unwrap();
    assert_eq!(secure.strip_prefix("https"), plain.strip_prefix("http"));
    assert_eq!(file, authority);
    let certificate = std::fs::read_to_string(file).unwrap();
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(simulator.stop(), Some(0));

    let given = |certificate| [&simulate[..], &["--tls-cert", certificate]].concat();
    refuses(&given(authority), 64, "--tls-key");
    let both = [&given(authority)[..], &["--tls-key", authority]].concat();
    refuses(&both, 65, "no TLS\n  because: the private key is not PEM");
    let none = [&given("none.pem")[..], &["--tls-key", authority]].concat();
    refuses(&none, 66, "cannot read none.pem");
    let nowhere = [&simulate[..], &["--tls-ca", "/no/such/ca.pem"]].concat();
    refuses(&nowhere, 73, "name another file with --tls-ca");
}

#[test]
fn the_printed_catalogue_is_the_one_in_the_program() {
    let output = run(&["simulate", "--print-catalog"]);
    assert_eq!(output.status.code(), Some(0));
    cvm_gateway::simulator::Catalog::parse(text(&output.stdout)).unwrap();
}

#[test]
fn a_request_that_cannot_be_read_reaches_no_gateway() {
    let folder = Folder::new();
    let wrong = write(&folder, "wrong.json", "{\"regoin\": \"ap-shanghai\"}");
    refuses(&["run", "--file", "none.json"], 66, "cannot read none.json");
    refuses(
        &["run", "--file", &wrong],
        65,
        "because: unrecognized field name 'regoin' at line 1",
    );
}

#[test]
fn a_gateway_that_does_not_answer_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = format!("http://{free}");
    let expected = format!("no gateway answers at {server}; start one with `cvm-gateway serve`");
    let operation = "operations/0198c0de-0000-7000-8000-000000000001";
    refuses(&["watch", operation, "--server", &server], 69, &expected);
}

#[test]
fn a_stdout_that_takes_nothing_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = program(&["config", "default"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(text(&output.stderr).contains("cannot write to stdout"));
}

/// A gateway at `grpc` that calls `cloud` and logs its start in JSON.
fn live_config(folder: &Path, grpc: &str, cloud: &str) -> String {
    format!(
        "grpc.listen = \"{grpc}\"\nadmin.listen = \"127.0.0.1:0\"\n\
         journal.url = \"sqlite://{}\"\nlog.format = \"json\"\nlog.filter = \"trace\"\n\
         cloud.endpoint.override = \"{cloud}\"\noperations.poll_interval = \"50ms\"\n{ACCOUNT}",
        folder.join("journal.db").display()
    )
}

/// What is added to a launch, the exit code, and what is said.
const ENDS: &[(&[&str], i32, &str)] = &[
    (
        &["--count", "0"],
        65,
        "INVALID_ARGUMENT (INVALID_PARAMETER): these fields of the request break rules\n  field spec.instance_count: must be",
    ),
    (
        &["--request-id", "a"],
        65,
        "ALREADY_EXISTS (REQUEST_ID_REUSED)",
    ),
    (
        &["--account", "other"],
        77,
        "PERMISSION_DENIED (POLICY_DENIED)",
    ),
    (
        &["--type", "SOLDOUT.SMALL1"],
        75,
        "RESOURCE_EXHAUSTED (CAPACITY)",
    ),
    (
        &["--type", "LAUNCHFAIL.SMALL1"],
        1,
        "UNKNOWN (LAUNCH_FAILED)",
    ),
];

#[test]
fn launches_are_followed_and_judged_by_their_end() {
    let folder = Folder::new();
    let (simulator, cloud) = Running::simulator();
    let config = live_config(&folder, "127.0.0.1:0", &cloud);
    let (gateway, server) = Running::gateway(&write(&folder, "gateway.toml", &config));
    let wish = [
        "run",
        "--server",
        &server,
        "--region",
        "ap-shanghai",
        "--zone",
        "ap-shanghai-2",
        "--image",
        "img-pmqg1cw7",
    ];
    let launch = |more: &[&str]| run(&[&wish[..], more].concat());

    let output = launch(&["--request-id", "a", "--count", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "request_id a\n");
    let shown = text(&output.stdout);
    for part in [
        " ACCEPTED\n",
        " SENT attempt 1\n",
        " SUCCEEDED\n",
        " RUNNING 10.",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    assert!(
        shown.lines().nth_back(2).unwrap().starts_with("INSTANCE "),
        "{shown}"
    );
    let name = shown
        .split(' ')
        .find(|word| word.starts_with("operations/"))
        .unwrap();

    let watched = run(&["watch", name, "--server", &server, "--output", "json"]);
    assert_eq!(watched.status.code(), Some(0));
    let last: serde_json::Value =
        serde_json::from_str(text(&watched.stdout).lines().last().unwrap()).unwrap();
    assert_eq!(last["operation"]["state"], "OPERATION_STATE_SUCCEEDED");
    assert_eq!(last["operation"]["instances"].as_array().unwrap().len(), 2);
    let end = last["operation"]["sequence"].as_str().unwrap();
    let nothing_new = run(&["watch", name, "--after", end, "--server", &server]);
    assert_eq!(nothing_new.status.code(), Some(0));

    for (more, code, expected) in ENDS {
        let output = launch(more);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{more:?}: {said}");
        assert!(
            said.contains(expected) && said.contains("\n  next: "),
            "{more:?}: {said}"
        );
    }

    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(simulator.stop(), Some(0));
}

/// Writes what a gateway and its caller prove themselves with: the paths of the gateway's authority, of
/// the caller's certificate, key and token, and of a token of nobody.
fn proofs(folder: &Path) -> [String; 5] {
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    let [signer, nobody] = [Signer::new(), Signer::new()];
    let (server, client) = (servers.server(), callers.client(vec![uri(SPIFFE_ID)]));
    let token = |signer: &Signer| signer.token("system:serviceaccount:web:api", 600) + "\n";
    let secret = |name: &str, text: &str| {
        canary::put_secret(&folder.join(name), text);
        folder.join(name).to_str().unwrap().to_owned()
    };
    for (name, text) in [
        ("server.pem", &server.certificate),
        ("server.key", &server.key),
        ("callers.pem", &callers.pem()),
        ("jwks.json", &signer.jwks()),
    ] {
        write(folder, name, text);
    }
    [
        write(folder, "servers.pem", &servers.pem()),
        write(folder, "client.pem", &client.certificate),
        write(folder, "client.key", &client.key),
        secret("token", &token(&signer)),
        secret("wrong-token", &token(&nobody)),
    ]
}

#[test]
fn a_secured_gateway_is_called_with_certificate_and_token() {
    let folder = Folder::new();
    let (simulator, cloud) = Running::simulator();
    let paths = proofs(&folder);
    let [ca, cert, key, token, wrong] = paths.each_ref().map(String::as_str);
    let config = live_config(&folder, "127.0.0.1:0", &cloud) + SECURED;
    let (gateway, address) = Running::gateway(&write(&folder, "gateway.toml", &config));
    let port = address.rsplit_once(':').unwrap().1;
    let address = format!("https://localhost:{port}");
    let wish = "--region ap-shanghai --zone ap-shanghai-2 --image img-pmqg1cw7";
    let ca = ["--tls-ca", ca];
    let certificate = ["--tls-cert", cert, "--tls-key", key];
    let [token, wrong] = [token, wrong].map(|path| ["--token-file", path]);
    let unknown = "UNAUTHENTICATED: the gateway does not know the caller";
    let unusable = "the files of --tls-ca, --tls-cert and --tls-key cannot be used";
    let rows: [(&[&[&str]], i32, &str); 7] = [
        (&[&ca, &certificate, &token], 0, ""),
        (&[&ca, &certificate], 77, unknown),
        (&[&ca, &token], 77, unknown),
        (&[&ca, &certificate, &wrong], 77, unknown),
        (&[&certificate, &token], 69, "no gateway answers at"),
        (&[&["--tls-ca", token[1]]], 65, unusable),
        (&[&["--token-file", "no/such"]], 66, "cannot read no/such"),
    ];
    for (proof, code, says) in rows {
        let mut arguments = vec!["run", "--server", &address];
        arguments.extend(wish.split(' ').chain(proof.concat()));
        let run = run(&arguments);
        let said = text(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{proof:?}: {said}");
        assert!(said.contains(says), "{proof:?}: {said}");
    }
    refuses(&["run", "--tls-cert", cert], 64, "--tls-key");
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(simulator.stop(), Some(0));
}

const SPIFFE_ID: &str = "spiffe://example.org/ns/web/sa/api";
/// What makes a gateway know its callers; it follows the table of an account.
const SECURED: &str = r#"
[grpc.tls]
certificate_file = "server.pem"
key_file = "server.key"
client_ca_file = "callers.pem"

[identity]
require = ["mtls", "jwt"]

[identity.issuers.cluster]
issuer = "https://cluster.example"
audiences = ["cvm-gateway"]
algorithms = ["ES256"]
jwks_file = "jwks.json"

[identity.callers.machines]
organization = "development"
spiffe_id = "spiffe://example.org/ns/web/sa/api"

[identity.callers.accounts]
organization = "development"
issuer = "cluster"
subject_prefix = "system:serviceaccount:web:"
"#;

#[test]
fn a_gateway_that_crashes_leaves_no_core_dump() {
    let folder = Folder::new();
    let (simulator, cloud) = Running::simulator();
    let config = live_config(&folder, "127.0.0.1:0", &cloud);
    let (gateway, _) = Running::gateway(&write(&folder, "gateway.toml", &config));
    let limits = format!("/proc/{}/limits", gateway.child.id());
    let limits = std::fs::read_to_string(limits).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    let words: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(simulator.stop(), Some(0));
}

#[test]
fn a_gateway_is_healthy_while_it_takes_launches() {
    let folder = Folder::new();
    let (simulator, cloud) = Running::simulator();
    let config = live_config(&folder, "127.0.0.1:0", &cloud);
    let config = write(&folder, "gateway.toml", &config);
    let (gateway, admin) = Running::listening(&config, "admin");
    let output = run(&["healthcheck", "--admin", &admin]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "ok\n")
    );
    assert_eq!(gateway.stop(), Some(0));
    refuses(
        &["healthcheck", "--admin", &admin],
        69,
        "no gateway answers at 127.0.0.1:",
    );
    let elsewhere = cloud.strip_prefix("http://").unwrap();
    let output = run(&["healthcheck", "--admin", elsewhere]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output.stdout));
    assert_eq!(simulator.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_is_followed_across_the_death_of_the_gateway() {
    let folder = Folder::new();
    // A machine that runs would end the launch before the gateway dies.
    let (world, later) = World::still().await;
    let cloud = format!("http://{}", world.simulator.addr());
    let config = |grpc: &str| {
        let config = live_config(&folder, grpc, &cloud);
        write(&folder, "gateway.toml", &config)
    };
    let (mut gateway, server) = Running::gateway(&config("127.0.0.1:0"));
    let wish = [
        "run",
        "--server",
        &server,
        "--region",
        "ap-shanghai",
        "--zone",
        "ap-shanghai-2",
        "--image",
        "img-pmqg1cw7",
    ];
    let mut command = program(&wish);
    let mut launch = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(launch.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.next().unwrap().ends_with(" ACCEPTED"));

    gateway.child.kill().unwrap();
    gateway.child.wait().unwrap();
    let (gateway, _) = Running::gateway(&config(server.strip_prefix("http://").unwrap()));
    world.launched(1).await;
    later.comes();

    let rest: Vec<String> = lines.collect();
    assert!(
        rest.iter().any(|line| line.ends_with(" SUCCEEDED")),
        "{rest:?}"
    );
    let output = launch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("the stream broke"));
    assert_eq!(gateway.stop(), Some(0));
}

/// What a gateway of the next release leaves behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_journal_says_whether_it_is_served() {
    let folder = Folder::new();
    let (simulator, cloud) = Running::simulator();
    let config = live_config(&folder, "127.0.0.1:0", &cloud);
    let config = write(&folder, "gateway.toml", &config);
    let (gateway, _) = Running::gateway(&config);
    assert_eq!(gateway.stop(), Some(0));
    let url = format!("sqlite://{}", folder.join("journal.db").display());
    let mut journal = crate::postgres::connect(&url).await;
    sqlx::query(TOMORROW).execute(&mut journal).await.unwrap();

    let warned = Arc::new(AtomicBool::new(false));
    let warns = Arc::clone(&warned);
    let (gateway, _) = Running::saying(&config, move |log| {
        let newer = log["level"] == "WARN" && log["schema"] == 9999;
        warns.fetch_or(newer, Ordering::Relaxed);
        let address = log["grpc"].as_str().filter(|_| log["message"] == "serving");
        address.map(str::to_owned)
    });
    assert!(warned.load(Ordering::Relaxed), "it says so");
    assert_eq!(gateway.stop(), Some(0));

    let too_old = "UPDATE schema_reach SET oldest = 9999";
    sqlx::query(too_old).execute(&mut journal).await.unwrap();
    let expected =
        "the journal has schema 9999, which is newer than this gateway; update the gateway";
    refuses(&["serve", "--config", &config], 78, expected);
    assert_eq!(simulator.stop(), Some(0));
}

#[test]
fn the_demonstration_works_without_a_terminal() {
    let folder = Folder::new();
    let output = program(&["demo", "--speed", "200", "--count", "2"])
        .env("TMPDIR", &folder.0)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for part in [
        " SUCCEEDED\n",
        "demo-2",
        "accepted → sent ",
        "accepted → succeeded ",
        "buf curl",
        "/metrics",
        "sqlite3 ",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let serve = shown
        .lines()
        .find(|line| line.contains(" serve --config "))
        .unwrap();
    let config = serve.split(' ').next_back().unwrap();
    let checked = run(&["config", "check", "--config", config]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}
