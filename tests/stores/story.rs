//! One story: a gateway starts on an empty disk, launches, and stops, and somewhere in it one call
//! of the store goes wrong. Afterwards everything must be as if it had gone right.

use crate::audited;
use crate::faults::{Fault, Kind, Layer, Report};
use crate::process::{Process, client, until};
use crate::world::{Client, World, config_text, read, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use tonic::{Code, Status};

/// What is asked for: the request ids and how many machines each.
const WISHES: [(&str, i64); 2] = [("one", 1), ("three", 3)];
/// What is asked for on an account that is not the caller's.
const FOREIGN: &str = "foreign";
/// How long a launch may take, with all retries of its caller.
const LAUNCHED_WITHIN: Duration = Duration::from_secs(30);
/// How long a process may take to end, once it must.
const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// A caller's wait before it repeats a refused request.
const RETRY: Duration = Duration::from_millis(50);
/// Most parts of a story: the faulty one, the one that recovers, and one more after a power cut.
const RUNS_MAX: usize = 3;

/// Quick, and with a reserve that is one write.
const SETTINGS: &str = r#"
first_look_up = "20ms"
look_up_interval = "20ms"
retry_backoff = "20ms"
lease = "3s"
journal_retry_interval = "100ms"
[log]
format = "json"
filter = "trace"
"#;

/// What the callers were promised: the name of each operation, by request id.
type Accepted = BTreeMap<&'static str, String>;

/// What is wrong after a story, in words.
pub(crate) type Violation = String;

/// One story with its own cloud, journal and disk.
struct Story {
    world: World,
    layer: Layer,
    config: PathBuf,
    fault: Fault,
    accepted: Accepted,
    /// The requests that were denied, and their callers heard so.
    denied: BTreeSet<String>,
    /// How many processes were started.
    runs: usize,
}

/// How a run of the gateway went.
struct Run {
    log: String,
    status: ExitStatus,
    /// Whether it was told to stop.
    told: bool,
    report: Report,
    /// How many calls of the store there were until it served.
    calls_of_start: u64,
}

/// How many calls of the store a story has that a fault can come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    /// Until it serves.
    pub(crate) start: u64,
    /// Until it ended.
    pub(crate) all: u64,
}

/// Plays the story with a fault; whether the fault came to happen.
pub(crate) async fn play(fault: Fault) -> Result<bool, Violation> {
    begin(fault).await.play().await
}

/// Plays the story without a fault, and counts the calls that a fault of this kind can come to.
pub(crate) async fn calls(kind: Kind) -> Result<Calls, Violation> {
    let never = Fault {
        kind,
        at: 0,
        seed: 0,
    };
    let mut story = begin(never).await;
    let run = story.run(Some(never)).await?;
    story.all_is_well(&run).await?;
    Ok(Calls {
        start: run.calls_of_start,
        all: run.report.counted,
    })
}

async fn begin(fault: Fault) -> Story {
    let world = World::new(1000.0).await;
    let endpoint = format!("http://{}", world.simulator.addr());
    // That its key is made and kept is a part of the story.
    std::fs::remove_file(world.folder.join("journal.db.key")).unwrap();
    let config = world.folder.0.join("gateway.toml");
    std::fs::write(&config, config_text(&world.folder.0, &endpoint, SETTINGS)).unwrap();
    let layer = Layer::new(&world.folder.0);
    Story {
        world,
        layer,
        config,
        fault,
        accepted: Accepted::new(),
        denied: BTreeSet::new(),
        runs: 0,
    }
}

impl Story {
    async fn play(&mut self) -> Result<bool, Violation> {
        let run = self.run(Some(self.fault)).await?;
        self.judge(&run)?;
        if !run.report.fired {
            return self.all_is_well(&run).await.map(|()| false);
        }
        if self.fault.kind == Kind::Power {
            self.layer.restore();
        }
        let run = self.run(None).await?;
        self.all_is_well(&run).await?;
        if self.fault.kind == Kind::Fsync {
            // What that process read may never have reached the disk. It must hold now.
            self.layer.restore();
            let run = self.run(None).await?;
            self.all_is_well(&run).await?;
        }
        Ok(true)
    }

    /// One process, from its start to its end, with callers that insist.
    async fn run(&mut self, fault: Option<Fault>) -> Result<Run, Violation> {
        assert!(self.runs < RUNS_MAX, "a story has an end");
        self.runs += 1;
        let log = self.world.folder.0.join(format!("run-{}.log", self.runs));
        self.layer.clear_report();
        let variables = self.layer.variables(fault, self.fault.kind.loses());
        let mut process = Process::start(&self.config, log, variables);
        let mut told = false;
        let mut calls_of_start = 0;
        if let Some((grpc, _)) = process.serving().await {
            calls_of_start = self.layer.report().counted;
            self.launch(&mut process, grpc).await?;
            // After a failed flush it must end by itself.
            let report = self.layer.report();
            let must_end = report.fired && self.fault.kind == Kind::Fsync;
            if !must_end || process.ended(ENDED_WITHIN).await.is_none() {
                told = process.is_running();
                process.terminate().await;
            }
        }
        let ended = process.ended(ENDED_WITHIN).await;
        let log = process.log();
        let status = ended.ok_or_else(|| format!("it does not end:\n{log}"))?;
        Ok(Run {
            log,
            status,
            told,
            report: self.layer.report(),
            calls_of_start,
        })
    }

    /// All callers at once, each until its launch succeeded or the process is gone.
    async fn launch(&mut self, process: &mut Process, grpc: SocketAddr) -> Result<(), Violation> {
        let [one, three] =
            WISHES.map(|(request_id, count)| Box::pin(insist(grpc, request_id, count)));
        let callers = async {
            let (denied, one, three) = tokio::join!(Box::pin(is_denied(grpc)), one, three);
            (denied, [one, three])
        };
        let gone = until(LAUNCHED_WITHIN, async || {
            (!process.is_running()).then_some(())
        });
        tokio::pin!(callers);
        let (denied, told) = tokio::select! {
            told = &mut callers => told,
            gone = gone => {
                let at_once = Clock::system().timeout(Duration::from_secs(60), callers).await;
                let Some(told) = at_once else {
                    let log = process.log();
                    let state = gone.map_or("no launch ends", |()| "a caller is not told of the end");
                    return Err(format!("{state}:\n{log}"));
                };
                told
            }
        };
        if denied? {
            self.denied.insert(FOREIGN.to_owned());
        }
        for ((request_id, _), told) in WISHES.into_iter().zip(told) {
            for name in told? {
                let known = self.accepted.entry(request_id).or_insert(name.clone());
                if *known != name {
                    return Err(format!("{request_id} was {known} and is now {name}"));
                }
            }
        }
        Ok(())
    }

    /// Whether a run with a fault ended as it may.
    fn judge(&self, run: &Run) -> Result<(), Violation> {
        let Run { log, status, .. } = run;
        let wrong = |what: &str| Err(format!("{what}; it ended with {status}:\n{log}"));
        if log.contains("panicked") {
            return wrong("it panicked");
        }
        if log.contains("please report") {
            return wrong("it found a defect");
        }
        if !run.report.fired {
            return Ok(());
        }
        let killed = status.signal() == Some(9);
        if killed != self.fault.kind.kills() {
            return wrong("a signal ended it, or did not");
        }
        if self.fault.kind == Kind::Fsync {
            if run.report.syncs_after > 0 {
                return wrong("a flush that failed was repeated");
            }
            if !run.told && status.success() {
                return wrong("a flush failed, and it did not end with an error");
            }
        }
        let told_why = log
            .lines()
            .any(|line| line.contains("\"level\":\"ERROR\"") || line.starts_with("error: "));
        if !killed && !status.success() && !told_why {
            return wrong("it does not say why it ended");
        }
        Ok(())
    }

    /// Whether everything that was asked for is there, once, and known.
    async fn all_is_well(&self, run: &Run) -> Result<(), Violation> {
        let Run { log, status, .. } = run;
        let wrong = |what: String| Err(format!("{what}\nthe last run ended with {status}:\n{log}"));
        if log.contains("panicked") || !status.success() {
            return wrong("it did not recover".to_owned());
        }
        if self.accepted.len() != WISHES.len() {
            return wrong(format!("not all was accepted: {:?}", self.accepted));
        }
        let asked: usize = WISHES
            .iter()
            .map(|(_, count)| usize::try_from(*count).unwrap())
            .sum();
        if self.denied.is_empty() {
            return wrong("what is to be denied was not".to_owned());
        }
        let journal = format!("sqlite://{}/journal.db", self.world.folder.0.display());
        let untold = audited::violations(&journal, &self.denied).await;
        if !untold.is_empty() {
            return wrong(untold.join("\n"));
        }
        let machines = self.world.machines().await;
        if machines.len() != asked {
            let ledger = self.world.ledger().await;
            let first = self.world.folder.0.join("run-1.log");
            let first = std::fs::read_to_string(first).unwrap();
            return wrong(format!(
                "{asked} machines were asked for, not {machines:?}; the ledger: {ledger:#?}\n\
                 the first run:\n{first}"
            ));
        }
        Ok(())
    }
}

/// The names that a caller was told, or what it was told wrong.
type Told = Result<Vec<String>, Violation>;

/// A caller that repeats its request until it has its machines, or nobody is there any more.
async fn insist(grpc: SocketAddr, request_id: &'static str, count: i64) -> Told {
    let mut names = Vec::new();
    while let Some(mut client) = client(grpc).await {
        match ask(&mut client, request_id, count, &mut names).await {
            Ok(true) => break,
            Ok(false) => Clock::system().sleep(RETRY).await,
            Err(violation) => return Err(violation),
        }
    }
    Ok(names)
}

/// Asks once; whether the launch succeeded.
async fn ask(
    client: &mut Client,
    request_id: &'static str,
    count: i64,
    names: &mut Vec<String>,
) -> Result<bool, Violation> {
    let refusal = match client.run_instances(wish(request_id, count)).await {
        Err(status) => status,
        Ok(stream) => {
            let seen = read(stream.into_inner()).await;
            names.extend(
                seen.snapshots
                    .iter()
                    .map(|operation| operation.name.clone()),
            );
            match seen.end {
                Err(status) => status,
                Ok(()) if seen.last().state() == pb::OperationState::Succeeded => {
                    return Ok(true);
                }
                Ok(()) => return Err(format!("{request_id} ended as {:?}", seen.last())),
            }
        }
    };
    if passes(&refusal) {
        Ok(false)
    } else {
        Err(format!("{request_id} was refused: {refusal:?}"))
    }
}

/// What may pass; the last of them is how a connection that is cut looks.
fn passes(refusal: &Status) -> bool {
    let passing = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::Unknown,
    ];
    passing.contains(&refusal.code()) && !refusal.message().is_empty()
}

/// A caller that asks for what is not its own, until it is denied or nobody is there any more.
async fn is_denied(grpc: SocketAddr) -> Result<bool, Violation> {
    while let Some(mut client) = client(grpc).await {
        let mut foreign = wish(FOREIGN, 1);
        foreign.account = Some(FOREIGN.to_owned());
        match Box::pin(client.run_instances(foreign)).await {
            Ok(_) => return Err("a launch on a foreign account was taken".to_owned()),
            Err(status) if status.code() == Code::PermissionDenied => return Ok(true),
            Err(status) if passes(&status) => Clock::system().sleep(RETRY).await,
            Err(status) => return Err(format!("{FOREIGN} was refused: {status:?}")),
        }
    }
    Ok(false)
}
