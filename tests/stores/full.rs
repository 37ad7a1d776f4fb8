//! A full disk: nothing new is taken, what is under way is recorded, and space is all it needs.

use crate::faults::Layer;
use crate::process::{Process, client, until};
use crate::world::{Client, Seen, World, config_text, get, read, run, wish};
use cvm_gateway::clock::Clock;
use cvm_gateway::pb::v1 as pb;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::{Code, Status, Streaming};

/// Of the disk, at first: more than all needs.
const ROOMY: u64 = 64 << 20;
/// Of the reserve.
const RESERVE: u64 = 256 << 10;
/// A refusal must not wait for anything: what waits here, waits for ever.
const AT_ONCE: Duration = Duration::from_secs(60);
/// More than the log has room for.
const LAUNCHES_MAX: usize = 50;
/// How long machines start at [`SPEED`], and more.
const LAUNCHED_WITHIN: Duration = Duration::from_secs(60);
/// Some seconds from a launch to its running machines, for the disk to fill up in.
const SPEED: f64 = 8.0;

/// Leases are renewed each second, which finds out that there is space again.
const SETTINGS: &str = r#"
lease = "3s"
journal_retry_interval = "100ms"
[log]
format = "json"
filter = "trace"
"#;

/// A cloud, and a gateway on a small disk.
struct SmallDisk {
    world: World,
    layer: Layer,
    config: PathBuf,
    process: Process,
    client: Client,
    admin: SocketAddr,
}

impl SmallDisk {
    async fn new() -> Self {
        let world = World::new(SPEED).await;
        let endpoint = format!("http://{}", world.simulator.addr());
        let config = world.folder.0.join("gateway.toml");
        std::fs::write(&config, config_text(&world.folder.0, &endpoint, SETTINGS)).unwrap();
        let layer = Layer::new(&world.folder.0);
        layer.set_budget(ROOMY);
        let (process, client, admin) = start(&layer, &config, "first.log").await;
        Self {
            world,
            layer,
            config,
            process,
            client,
            admin,
        }
    }

    /// No byte is left.
    fn fill(&self) {
        self.layer.set_budget(self.layer.taken());
    }

    /// Asks for a machine and waits until the journal has it as launched; the rest of its stream.
    async fn launched(&mut self, request_id: &str) -> Streaming<pb::RunInstancesResponse> {
        let wish = wish(request_id, 1);
        let mut stream = self.client.run_instances(wish).await.unwrap().into_inner();
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if let Some(pb::run_instances_response::Event::Operation(operation)) = message.event
                && operation.state() == pb::OperationState::Launched
            {
                return stream;
            }
        }
    }

    /// A new launch, which must be refused at once.
    async fn refused(&mut self, request_id: &str) -> Status {
        let asking = self.client.run_instances(wish(request_id, 1));
        let answer = Clock::system().timeout(AT_ONCE, asking).await;
        answer
            .expect("a refusal waits")
            .expect_err("the disk is full")
    }

    /// What policy denies, which has a row in the audit: how it ends, at once.
    async fn denied(&mut self) -> Status {
        let mut foreign = wish("foreign", 1);
        foreign.account = Some("foreign".to_owned());
        let asking = self.client.run_instances(foreign);
        let answer = Clock::system().timeout(AT_ONCE, asking).await;
        answer.expect("a denial waits").expect_err("it is denied")
    }

    /// New launches until one is refused: a log that has just been put into the database is written
    /// from its start again, which takes no space, until it has its old length. How many were taken,
    /// and the refusal.
    async fn exhausted(&mut self) -> (usize, Status) {
        for taken in 0..LAUNCHES_MAX {
            let asking = self.client.run_instances(wish(&format!("more-{taken}"), 1));
            let answer = Clock::system().timeout(AT_ONCE, asking).await;
            match answer.expect("an answer waits") {
                Err(refusal) => return (taken, refusal),
                Ok(stream) => {
                    let seen = end(stream.into_inner()).await;
                    assert!(seen.end.is_ok(), "{:?}", seen.end);
                }
            }
        }
        panic!("{LAUNCHES_MAX} launches fit on a full disk")
    }

    async fn is_ready(&self) -> bool {
        let (head, _) = get(self.admin, "/readyz").await;
        head.starts_with("HTTP/1.1 200")
    }

    /// Waits until it takes launches again, by itself.
    async fn recovered(&mut self) {
        let ready = until(Duration::from_secs(30), async || {
            self.is_ready().await.then_some(())
        });
        let ready = ready.await;
        ready.unwrap_or_else(|| panic!("it does not recover:\n{}", self.process.log()));
    }

    fn reserve(&self) -> Option<u64> {
        let reserve = self.world.folder.0.join("journal.db.reserve");
        reserve.metadata().ok().map(|file| file.len())
    }

    async fn stop(mut self) {
        self.process.terminate().await;
        let ended = self.process.ended(Duration::from_secs(20)).await;
        let log = self.process.log();
        assert!(ended.is_some_and(|status| status.success()), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

async fn start(layer: &Layer, config: &Path, log: &str) -> (Process, Client, SocketAddr) {
    let log = config.with_file_name(log);
    let mut process = Process::start(config, log, layer.limited());
    let addresses = process.serving().await;
    let (grpc, admin) = addresses.unwrap_or_else(|| panic!("it ends:\n{}", process.log()));
    (process, client(grpc).await.unwrap(), admin)
}

/// Follows a launch to its end.
async fn end(stream: Streaming<pb::RunInstancesResponse>) -> Seen {
    let seen = Clock::system().timeout(LAUNCHED_WITHIN, read(stream)).await;
    seen.expect("the launch does not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_is_new_records_what_is_sent_and_recovers() {
    let mut disk = SmallDisk::new().await;
    assert_eq!(disk.reserve(), Some(RESERVE));
    assert!(disk.is_ready().await);
    assert_eq!(disk.denied().await.code(), Code::PermissionDenied);
    let sent = disk.launched("sent").await;

    disk.fill();
    let (taken, _refusal) = disk.exhausted().await;
    for request_id in ["new", "newer", "new"] {
        let refusal = disk.refused(request_id).await;
        assert_eq!(refusal.code(), Code::Unavailable);
        assert!(refusal.message().contains("disk is full"), "{refusal:?}");
    }
    let denied = disk.denied().await;
    assert_eq!(
        denied.code(),
        Code::Unavailable,
        "the reserve is not for it"
    );
    assert_eq!(disk.reserve(), None, "it is in use");
    assert!(!disk.is_ready().await);
    let again = disk.client.run_instances(wish("sent", 1)).await.unwrap();
    let (seen, again) = tokio::join!(end(sent), end(again.into_inner()));
    assert!(seen.end.is_ok(), "{:?}", seen.end);
    assert_eq!(again.last().name, seen.last().name);
    assert_eq!(seen.last().state(), pb::OperationState::Succeeded);
    assert!(disk.layer.report().refused > 0, "the disk was never full");
    disk.refused("still full").await;

    disk.layer.set_budget(ROOMY);
    disk.recovered().await;
    assert_eq!(disk.reserve(), Some(RESERVE), "it is held again");
    let seen = run(&mut disk.client, wish("new", 1)).await;
    assert!(seen.end.is_ok(), "{:?}", seen.end);
    assert_eq!(disk.world.machines().await.len(), 2 + taken);
    disk.stop().await;
}

/// A process that starts on a full disk goes on with what was sent, from the reserve of the last.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_on_a_full_disk_records_what_was_sent() {
    let mut disk = SmallDisk::new().await;
    let sent = disk.launched("sent").await;
    disk.process.kill().await;
    drop(sent);
    disk.fill();
    let restarted = start(&disk.layer, &disk.config, "second.log").await;
    (disk.process, disk.client, disk.admin) = restarted;
    let again = disk.client.run_instances(wish("sent", 1)).await.unwrap();
    let seen = end(again.into_inner()).await;
    assert!(seen.end.is_ok(), "{:?}", seen.end);
    assert!(disk.layer.report().refused > 0, "the disk was never full");
    // The log of the last process gave way to the new one's; that space is taken, too.
    disk.fill();
    let (taken, refusal) = disk.exhausted().await;
    assert!(refusal.message().contains("disk is full"), "{refusal:?}");

    disk.layer.set_budget(ROOMY);
    disk.recovered().await;
    let seen = run(&mut disk.client, wish("new", 1)).await;
    assert!(seen.end.is_ok(), "{:?}", seen.end);
    assert_eq!(disk.world.machines().await.len(), 2 + taken);
    disk.stop().await;
}
