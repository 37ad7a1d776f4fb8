//! The examples of `clients/`, each in its language, against a gateway with TLS: through a connection that is cut, and where they
//! are refused.

mod cut;

use crate::admission::{pressed, turned_away};
use crate::canary::examine_output;
use crate::identity::pki::{Authority, uri};
use crate::identity::tokens::{ISSUER, Signer};
use crate::identity::{CALLERS, WEB, counts, put, write};
use crate::official_clients::program;
use crate::world::{Folder, Served, World, put_secret};
use cut::Cut;
use cvm_gateway::clock::Clock;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpSocket;
use tokio::process::Command;

/// How long an example may take, also on a machine that is busy with other tests.
const RUN_MAX: Duration = Duration::from_secs(120);

/// A language's example.
#[derive(Clone, Copy, Debug)]
enum Example {
    Python,
    Go,
    TypeScript,
    Java,
    Rust,
}

impl Example {
    /// The command that runs it, as its README says.
    fn command(self) -> Command {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let mut command = match self {
            Self::Python => {
                let mut command = Command::new(program("CVM_GATEWAY_TEST_PYTHON"));
                command.env("PYTHONPATH", clients.join("python/src"));
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command.arg(clients.join("python/examples/launch.py"));
                command
            }
            Self::Go => go("run"),
            Self::TypeScript => {
                let mut command = Command::new(program("CVM_GATEWAY_TEST_NODE"));
                command.arg(clients.join("typescript/dist/examples/launch.js"));
                command
            }
            Self::Java => {
                let mut command = Command::new(program("CVM_GATEWAY_TEST_JAVA"));
                command.current_dir(clients.parent().unwrap());
                let path = "target/tools/java/classes:target/tools/java/jars/*";
                command.args(["-XX:TieredStopAtLevel=1", "-cp", path, "Launch"]);
                command
            }
            Self::Rust => {
                let mut command = cargo("run");
                command.args(["--quiet", "--example", "launch", "--"]);
                command
            }
        };
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
            .env("no_proxy", "localhost")
            .env("NO_PROXY", "localhost");
        command
    }

    /// The same, at a server that `folder` has the authority of.
    fn at(self, server: SocketAddr, folder: &Path) -> Command {
        let server = match self {
            Self::TypeScript | Self::Rust => format!("https://localhost:{}", server.port()),
            Self::Python | Self::Go | Self::Java => format!("localhost:{}", server.port()),
        };
        let mut command = self.command();
        command
            .args(["--server", &server, "--ca"])
            .arg(folder.join("ca.pem"));
        command
    }
}

/// Go with its example.
fn go(verb: &str) -> Command {
    let mut command = Command::new(program("CVM_GATEWAY_TEST_GO"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/go"));
    command.env("CGO_ENABLED", "0");
    command.args([verb, "./examples/launch"]);
    command
}

/// Cargo with the crate as callers in Rust build it, without what the gateway needs.
fn cargo(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args([verb, "--offline", "--no-default-features"]);
    command.args(["--features", "client"]);
    command
}

/// A gateway with TLS in a world of machines that start `speed` times as fast as real ones.
pub(crate) async fn secured(speed: f64, identity: &str, signer: &Signer) -> (World, Served) {
    let world = World::new(speed).await;
    let gateway = secured_in(&world, identity, signer).await;
    (world, gateway)
}

/// A gateway with TLS in that world.
async fn secured_in(world: &World, identity: &str, signer: &Signer) -> Served {
    let [servers, callers] = ["servers", "callers"].map(Authority::new);
    write(&world.folder, &servers.server(), &callers.pem());
    put(&world.folder, "ca.pem", &servers.pem());
    let caller = callers.client(vec![uri(WEB)]);
    put(&world.folder, "caller.pem", &caller.certificate);
    put(&world.folder, "caller.key", &caller.key);
    put(&world.folder, "jwks.json", &signer.jwks());
    put(&world.folder, "denied.txt", "");
    world.gateway(identity).await
}

async fn output(mut command: Command) -> Output {
    let output = Clock::system().timeout(RUN_MAX, command.output()).await;
    let output = output.expect("the example does not end").unwrap();
    examine_output(&output);
    output
}

/// The first connection is cut, and the launch is then turned away by a gateway that has too much to do. The one in its place takes it.
/// Its stream is cut once the cloud has named the machines. The example goes on from the last snapshot that it saw, and the cloud has
/// launched once.
async fn goes_on(example: Example) {
    let crowded = format!("{}{CALLERS}", pressed());
    // A machine that runs would end the launch before its stream is cut.
    let (world, later) = World::still().await;
    let busy = secured_in(&world, &crowded, &Signer::new()).await;
    let cut = Cut::before(busy.grpc_addr()).await;
    let folder = &world.folder.0;
    let mut command = example.at(cut.addr(), folder);
    command.arg("--cert").arg(folder.join("caller.pem"));
    command.arg("--key").arg(folder.join("caller.key"));
    command.args(["--count", "3", "--request-id", "cut-in-the-middle"]);
    let run = read(command, |line| {
        if line.contains(" LAUNCHED ") && cut.count() == 0 {
            cut.now();
            later.comes();
        }
    });
    let both = async { tokio::join!(run, replaced(&world, busy)) };
    let both = Clock::system().timeout(RUN_MAX, Box::pin(both)).await;
    let ((status, printed, errors), gateway) = both.expect("the example does not end");
    let seen = format!("{}\n{errors}", printed.join("\n"));
    assert!(status.success(), "{seen}");
    assert!(cut.count() > 0, "{seen}");
    let (before, _) = errors.split_once("the stream broke").expect(&seen);
    assert!(before.contains("request_id cut-in-the-middle"), "{seen}");
    let (snapshots, machines): (Vec<_>, Vec<_>) = printed
        .iter()
        .partition(|line| line.contains(" operations/"));
    let sequences = snapshots
        .iter()
        .map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap());
    assert!(sequences.is_sorted_by(|a, b| a < b), "{seen}");
    assert!(snapshots.last().unwrap().contains(" SUCCEEDED "), "{seen}");
    let running = machines
        .iter()
        .map(|line| line.split_once(" RUNNING ").expect(&seen).0.to_owned());
    let mut running: Vec<String> = running.collect();
    running.sort();
    assert_eq!(running, world.machines().await, "{seen}");
    assert_eq!(running.len(), 3, "{seen}");
    for method in ["RunInstances", "WatchOperation"] {
        assert_eq!(begun(&gateway, method).await, 1.0, "{method}");
    }
    gateway.stop().await;
}

/// Runs an example to its end, and has `each` look at every line when it is printed. How it ended, the lines, and what it told beside.
async fn read(
    mut command: Command,
    mut each: impl FnMut(&str),
) -> (ExitStatus, Vec<String>, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut printed, mut errors) = (Vec::new(), String::new());
    while let Some(line) = lines.next_line().await.unwrap() {
        each(&line);
        printed.push(line);
    }
    let mut told = child.stderr.take().unwrap();
    told.read_to_string(&mut errors).await.unwrap();
    (child.wait().await.unwrap(), printed, errors)
}

/// The gateway that takes the place of one that has turned a launch away.
async fn replaced(world: &World, busy: Served) -> Served {
    turned_away(&busy).await;
    let addr = busy.grpc_addr();
    busy.stop().await;
    world.gateway_at(addr, CALLERS).await
}

/// How many calls of a method a gateway has had.
async fn begun(gateway: &Served, method: &str) -> f64 {
    let counts = counts(gateway).await;
    let begun = |name: &str| name.starts_with("grpc_server_started_total") && name.contains(method);
    let begun = counts.iter().filter(|(name, _)| begun(name));
    begun.map(|(_, count)| count).sum()
}

/// Which token, with what arguments, and what must be told.
type Refusal = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const REFUSALS: [Refusal; 5] = [
    (
        "strange",
        &[],
        &["UNAUTHENTICATED: ", "reason UNAUTHENTICATED"],
    ),
    (
        "token",
        &["--count", "2000"],
        &[
            "INVALID_ARGUMENT: ",
            "reason INVALID_PARAMETER",
            "field spec.instance_count: must be 1 to 100",
        ],
    ),
    (
        "token",
        &["--count", "6"],
        &[
            "RESOURCE_EXHAUSTED: ",
            "reason QUOTA_EXCEEDED",
            "quota team/instances: limit 5, used 0, asked 6",
        ],
    ),
    (
        "token",
        &["--count", "2", "--timeout", "10", "--request-id", "slow"],
        &[
            "DEADLINE_EXCEEDED: ",
            "the launch goes on if it was accepted: ",
            "--request-id slow",
        ],
    ),
    (
        "token",
        &["--count", "1", "--timeout", "10"],
        &[
            "RESOURCE_EXHAUSTED: ",
            "quota team/launches_per_minute: limit 1",
            "come back in ",
            "the launch goes on if it was accepted: ",
        ],
    ),
];

/// An example with a token, and what it says about each refusal, and about a launch that takes longer than it waits.
async fn tells_why(example: Example) {
    let quota =
        "[quotas.team]\norganization = \"development\"\ninstances = 5\nlaunches_per_minute = 1\n";
    let identity = CALLERS.replace("[\"mtls\"]", "[\"jwt\"]");
    let signer = Signer::new();
    let settings = format!("{quota}{identity}{ISSUER}");
    let (world, gateway) = secured(1.0, &settings, &signer).await;
    let folder = &world.folder.0;
    for (name, issuer) in [("token", &signer), ("strange", &Signer::new())] {
        let token = issuer.token("system:serviceaccount:web:api", 600);
        put_secret(&folder.join(name), &token);
    }
    for (token, arguments, expected) in REFUSALS {
        let mut command = example.at(gateway.grpc_addr(), folder);
        command
            .arg("--token-file")
            .arg(folder.join(token))
            .args(arguments);
        let output = output(command).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        for words in expected {
            assert!(
                plain(&told).contains(&plain(words)),
                "{arguments:?}: {told}"
            );
        }
    }
    assert_eq!(world.machines().await.len(), 2);
    gateway.stop().await;
}

/// An example where nobody listens: its last call comes too late to be made again, and what became of the ones before it
/// cannot be known. It has told its `request_id` by then, and tells how to go on.
async fn tells_how_to_go_on(example: Example) {
    let folder = Folder::new();
    put(&folder, "ca.pem", &Authority::new("servers").pem());
    // Bound, so that nobody else gets the port.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let run = |argument, value| {
        let mut command = example.at(nobody.local_addr().unwrap(), &folder);
        command.args([argument, value]);
        output(command)
    };
    let ended = run("--timeout", "2.5").await;
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    let (before, after) = told.split_once("the stream broke").expect(&told);
    let (_, id) = before.split_once("request_id ").expect(&told);
    assert!(plain(after).contains("\nunavailable: "), "{told}");
    let again = format!(
        "the launch goes on if it was accepted: run this again with --request-id {}, ",
        id.trim()
    );
    assert!(after.contains(&again), "{told}");
    let (why, _) = after.split_once("going on in").expect(&told);
    assert!(plain(why).contains("refused"), "{told}");
    // What never helps is not made again.
    let ended = run("--token-file", "no-such-token").await;
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("no-such-token"), "{told}");
    assert!(!told.contains("the stream broke"), "{told}");
}

/// An example whose token is not taken any more. First where its first connection is cut, so that it cannot know what became of its
/// call; then where it has seen its launch, whose stream is cut. It is refused when it goes on, and the launch may go on all the same.
async fn is_refused_on_the_way(example: Example) {
    let identity = CALLERS.replace("[\"mtls\"]", "[\"jwt\"]");
    let signer = Signer::new();
    let (world, _later) = World::still().await;
    let gateway = secured_in(&world, &format!("{identity}{ISSUER}"), &signer).await;
    let cut = Cut::before(gateway.grpc_addr()).await;
    let file = world.folder.0.join("token");
    let [taken, strange] =
        [&signer, &Signer::new()].map(|it| it.token("system:serviceaccount:web:api", 600));
    for (token, machines) in [(&strange, 0), (&taken, 1)] {
        put_secret(&file, token);
        let mut command = example.at(cut.addr(), &world.folder.0);
        command.arg("--token-file").arg(&file);
        command.args(["--request-id", "refused-on-the-way"]);
        let run = read(command, |line| {
            if line.contains(" LAUNCHED ") && cut.count() == 0 {
                put_secret(&file, &strange);
                cut.now();
            }
        });
        let ended = Clock::system().timeout(RUN_MAX, Box::pin(run)).await;
        let (status, printed, told) = ended.expect("the example does not end");
        assert_eq!(status.code(), Some(1), "{told}");
        assert_eq!(cut.count(), machines, "{printed:?}\n{told}");
        let (_, after) = told.split_once("the stream broke").expect(&told);
        assert!(plain(after).contains("\nunauthenticated: "), "{told}");
        let advice =
            "goes on if it was accepted: run this again with --request-id refused-on-the-way, ";
        assert!(after.contains(advice), "{told}");
        assert_eq!(world.machines().await.len(), machines, "{told}");
    }
    gateway.stop().await;
}

/// An example is told what to do in either form, and calls nobody when there is anything that it does not know: a launch without the
/// `request_id` that was meant for it would be another one.
async fn reads_its_arguments(example: Example) {
    let folder = Folder::new();
    put(&folder, "ca.pem", &Authority::new("servers").pem());
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = example.at(nobody.local_addr().unwrap(), &folder.0);
        command.arg("--timeout=1").args(arguments);
        output(command)
    };
    let ended = run(&["--request-id=mine", "--type=S5.MEDIUM2", "--count", "1"]).await;
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("request_id mine\n"), "{told}");
    let called = "the launch goes on if it was accepted";
    assert!(told.contains(called), "{told}");
    let wrong: [(&[&str], &str); 3] = [
        (&["--request_id", "mine"], "request_id"),
        (&["--count", "1", "--request-id"], "request-id"),
        (&["--count", "1", "stray", "--request-id", "mine"], "stray"),
    ];
    for (arguments, named) in wrong {
        let ended = run(arguments).await;
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{told}");
        assert!(told.contains(named), "{arguments:?}: {told}");
        assert!(!told.contains(called), "{arguments:?}: {told}");
    }
}

/// Languages write the names of codes in ways of their own.
fn plain(text: &str) -> String {
    text.to_lowercase().replace('_', "")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_goes_on_when_its_connection_is_cut() {
    goes_on(Example::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_example_goes_on_when_its_connection_is_cut() {
    goes_on(Example::Go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_example_goes_on_when_its_connection_is_cut() {
    goes_on(Example::TypeScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_example_goes_on_when_its_connection_is_cut() {
    goes_on(Example::Java).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_tells_why_it_is_refused() {
    tells_why(Example::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_example_tells_why_it_is_refused() {
    tells_why(Example::Go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_example_tells_why_it_is_refused() {
    tells_why(Example::TypeScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_example_tells_why_it_is_refused() {
    tells_why(Example::Java).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_example_goes_on_when_its_connection_is_cut() {
    goes_on(Example::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_example_tells_why_it_is_refused() {
    tells_why(Example::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_tells_how_to_go_on() {
    tells_how_to_go_on(Example::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_example_tells_how_to_go_on() {
    tells_how_to_go_on(Example::Go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_example_tells_how_to_go_on() {
    tells_how_to_go_on(Example::TypeScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_example_tells_how_to_go_on() {
    tells_how_to_go_on(Example::Java).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_example_tells_how_to_go_on() {
    tells_how_to_go_on(Example::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_tells_how_to_go_on_where_it_is_refused_on_the_way() {
    is_refused_on_the_way(Example::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_example_tells_how_to_go_on_where_it_is_refused_on_the_way() {
    is_refused_on_the_way(Example::Go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_example_tells_how_to_go_on_where_it_is_refused_on_the_way() {
    is_refused_on_the_way(Example::TypeScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_example_tells_how_to_go_on_where_it_is_refused_on_the_way() {
    is_refused_on_the_way(Example::Java).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_example_tells_how_to_go_on_where_it_is_refused_on_the_way() {
    is_refused_on_the_way(Example::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_reads_its_arguments() {
    reads_its_arguments(Example::Python).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_example_reads_its_arguments() {
    reads_its_arguments(Example::Go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_example_reads_its_arguments() {
    reads_its_arguments(Example::TypeScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_example_reads_its_arguments() {
    reads_its_arguments(Example::Java).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_example_reads_its_arguments() {
    reads_its_arguments(Example::Rust).await;
}

#[tokio::test]
async fn the_go_example_ends_with_its_context() {
    let output = output(go("test")).await;
    assert!(output.status.success(), "{output:?}");
}

/// The crates that a build of ours links, by name.
async fn linked(mut command: Command) -> BTreeSet<String> {
    command.args(["--edges", "normal", "--prefix", "none"]);
    let output = output(command).await;
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn callers_in_rust_build_nothing_of_the_server() {
    let mut server = Command::new(env!("CARGO"));
    server.current_dir(env!("CARGO_MANIFEST_DIR"));
    server.args(["tree", "--offline"]);
    let (client, server) = (linked(cargo("tree")).await, linked(server).await);
    assert!(client.contains("tonic") && client.is_subset(&server));
    for of_the_server in [
        "axum",
        "cedar-policy",
        "clap",
        "prometheus",
        "prost-reflect",
        "rcgen",
        "reqwest",
        "serde",
        "sqlx",
        "tonic-health",
        "tonic-reflection",
        "tracing-subscriber",
    ] {
        assert!(server.contains(of_the_server), "{of_the_server} is gone");
        assert!(!client.contains(of_the_server), "{of_the_server}");
    }
}
