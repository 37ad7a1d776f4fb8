//! The commands that launch or follow: `run`, `watch` and `demo`.

use super::args::{DemoArgs, RunArgs, WatchArgs, WishArgs};
use super::connect::connect;
use super::error::CliError;
use super::log;
use crate::client::{ClientError, Format, Progress, read_request, table};
use crate::clock::Clock;
use crate::config::{Log, LogFormat, create_file, fresh_folder, read_text};
use crate::demo::{self, Demo};
use crate::pb::v1::{InstanceSpec, Operation, Placement, RunInstancesRequest};
use crate::terminal::{self, Exit};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// What a gateway takes at most, with room to spare.
pub(super) const REQUEST_BYTES_MAX: u64 = 16 << 20;

/// Launches, and follows to the end.
pub(super) async fn run(args: RunArgs, clock: Clock) -> Result<Exit, CliError> {
    let request = asked(args.file.as_deref(), args.wish, args.request_id)?;
    let format = args.output.format();
    let mut client = connect(args.server, clock.clone()).await?;
    // Whoever repeats a launch that was not answered has to name it, a program as well.
    terminal::note(format!("request_id {}", request.request_id));
    let mut progress = Progress::new(format, clock);
    let ended = client.run(request, &mut progress).await;
    progress.finish();
    conclude(ended, format)
}

/// Follows an operation to its end.
pub(super) async fn watch(args: WatchArgs, clock: Clock) -> Result<Exit, CliError> {
    let format = args.output.format();
    let mut client = connect(args.server, clock.clone()).await?;
    let mut progress = Progress::new(format, clock);
    let ended = client.watch(args.name, args.after, &mut progress).await;
    progress.finish();
    conclude(ended, format)
}

/// Launches in a cloud and a gateway of its own. Their log goes to a file, to keep the screen free.
pub(super) async fn demo(args: &DemoArgs, clock: Clock) -> Result<Exit, CliError> {
    let folder = fresh_folder("cvm-gateway-demo").map_err(CliError::Folder)?;
    let file = create_file(&folder.join(demo::LOG)).map_err(CliError::Folder)?;
    let settings = Log {
        format: LogFormat::Json,
        filter: "info".to_owned(),
        access: false,
    };
    log::start(&settings, Arc::new(file), false)?;
    let demo = Demo {
        count: args.count,
        speed: args.speed,
        folder,
        program: std::env::args()
            .next()
            .unwrap_or_else(|| "cvm-gateway".to_owned()),
    };
    demo::run(demo, clock).await?;
    Ok(Exit::Ok)
}

/// The request that the options or the file describe, with an id of its own if they name none.
pub(super) fn asked(
    file: Option<&Path>,
    wish: Option<WishArgs>,
    request_id: Option<String>,
) -> Result<RunInstancesRequest, CliError> {
    let mut request = match (file, wish) {
        (Some(path), _) => from_file(path)?,
        (None, Some(wish)) => from_options(wish),
        (None, None) => RunInstancesRequest::default(),
    };
    if let Some(request_id) = request_id {
        request.request_id = request_id;
    }
    if request.request_id.is_empty() {
        request.request_id = Uuid::new_v4().to_string();
    }
    Ok(request)
}

/// Shows the machines, also those of an operation that did not succeed.
fn conclude(ended: Result<Operation, ClientError>, format: Format) -> Result<Exit, CliError> {
    let operation = match &ended {
        Ok(operation) => Some(operation),
        Err(ClientError::Refused(refusal)) => refusal.ended.as_ref(),
        Err(_) => None,
    };
    let machines = operation.filter(|operation| ended.is_ok() || !operation.instances.is_empty());
    if let (Some(operation), Format::Text) = (machines, format) {
        terminal::print(table(operation))?;
    }
    ended?;
    Ok(Exit::Ok)
}

/// The text of a file; `-` is stdin.
pub(super) fn read_input(path: &Path, bytes_max: u64) -> Result<String, CliError> {
    // On every system that this runs on, stdin is a file too.
    let source = if path == Path::new("-") {
        Path::new("/dev/stdin")
    } else {
        path
    };
    read_text(source, bytes_max).map_err(CliError::input(path))
}

fn from_file(path: &Path) -> Result<RunInstancesRequest, CliError> {
    let text = read_input(path, REQUEST_BYTES_MAX)?;
    read_request(&text).map_err(|source| CliError::Request {
        path: path.to_owned(),
        source,
    })
}

fn from_options(wish: WishArgs) -> RunInstancesRequest {
    RunInstancesRequest {
        account: wish.account,
        region: wish.region,
        spec: Some(InstanceSpec {
            placement: Some(Placement {
                zone: wish.zone,
                ..Placement::default()
            }),
            image_id: Some(wish.image),
            instance_type: wish.instance_type,
            instance_count: Some(wish.count.into()),
            instance_name: wish.name,
            ..InstanceSpec::default()
        }),
        ..RunInstancesRequest::default()
    }
}
