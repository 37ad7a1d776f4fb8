//! Launches machines through the gateway and follows them until they run, whatever happens to the connection.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example shows what it sees"
)]

use cvm_gateway::clock::Clock;
use cvm_gateway::follow::{Event, Follow, Told, is_over, is_resumable};
use cvm_gateway::pb::v1::cvm_gateway_service_client::CvmGatewayServiceClient;
use cvm_gateway::pb::v1::{InstanceSpec, Operation, Placement, RunInstancesRequest};
use std::collections::HashMap;
use std::error::Error;
use std::fs::{read, read_to_string};
use std::process::ExitCode;
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

/// What may be given, as `--name value` or `--name=value`.
const NAMES: [&str; 9] = [
    "server",
    "ca",
    "cert",
    "key",
    "token-file",
    "request-id",
    "type",
    "count",
    "timeout",
];

type Options = HashMap<String, String>;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("{what}");
            return Ok(ExitCode::from(2));
        }
    };
    let channel = connect(&options)?;
    let token_file = options.get("token-file").cloned();
    // One that cannot be read is told at once, not only by a call.
    bearer(Request::new(()), token_file.as_deref())?;
    let channel = InterceptedService::new(channel, move |call| bearer(call, token_file.as_deref()));
    let service = CvmGatewayServiceClient::new(channel);
    let clock = Clock::system();
    let wish = wish(&options)?;
    let request_id = wish.request_id.clone();
    // Before the first call: whatever ends this program, who has the id can go on.
    eprintln!("request_id {request_id}");
    let mut follow = Follow::launch(service, wish, clock.clone());
    // One deadline for everything. What was accepted goes on behind it.
    let seconds = options
        .get("timeout")
        .map_or(Ok(600.0), |text| text.parse())?;
    let limit = Duration::from_secs_f64(seconds);
    let deadline = clock.elapsed() + limit;
    let mut broke = false;
    let followed = async {
        while let Some(told) = follow.next().await? {
            show(&told, follow.pause());
            if let Told::Broke(status) = told {
                broke = true;
                // No call is made after the deadline, so this is why there is no success.
                if clock.elapsed() + follow.pause() >= deadline {
                    return Err(status);
                }
            }
        }
        Ok::<(), Status>(())
    };
    // Whether the launch may be under way all the same.
    let goes_on = match clock.timeout(limit, followed).await {
        None => {
            eprintln!("DEADLINE_EXCEEDED: after {seconds} s");
            true
        }
        Some(Err(status)) => {
            explain(&status);
            match follow.newest() {
                Some(operation) => !is_over(operation),
                // A call that broke may have been accepted, whatever the next one was told.
                None => broke || is_resumable(&status),
            }
        }
        Some(Ok(())) => return Ok(conclude(follow.newest())),
    };
    if goes_on {
        let again =
            format!("run this again with --request-id {request_id}, which never launches twice");
        eprintln!("the launch goes on if it was accepted: {again}");
    }
    Ok(ExitCode::FAILURE)
}

/// Refuses what it does not know: a launch without the request id that was meant for it would be another one.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::new();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let known = name.strip_prefix("--").filter(|it| NAMES.contains(it));
        let known = known.ok_or_else(|| format!("there is no argument {name}"))?;
        let value = value.or_else(|| arguments.next());
        let value = value.ok_or_else(|| format!("{name} has no value"))?;
        options.insert(known.to_owned(), value);
    }
    Ok(options)
}

/// A channel that proves who calls, as far as it is told to.
fn connect(options: &Options) -> Result<Channel, Box<dyn Error>> {
    let server = options.get("server");
    let server = server.map_or("http://localhost:7080", String::as_str);
    // A connection that died in silence is noticed by the keepalive, not by the end of the deadline.
    let mut endpoint = Endpoint::from_shared(server.to_owned())?
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    let secure = server.starts_with("https:");
    if options.contains_key("token-file") && !secure {
        return Err("a token is sent over https only".into());
    }
    if secure {
        let mut tls = ClientTlsConfig::new();
        tls = match options.get("ca") {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
            None => tls.with_native_roots(),
        };
        if let (Some(cert), Some(key)) = (options.get("cert"), options.get("key")) {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        endpoint = endpoint.tls_config(tls)?;
    }
    Ok(endpoint.connect_lazy())
}

/// Adds the caller's token, read for each call anew: tokens of Kubernetes change every hour.
fn bearer(mut call: Request<()>, file: Option<&str>) -> Result<Request<()>, Status> {
    if let Some(file) = file {
        let unreadable = |error| Status::unauthenticated(format!("cannot read {file}: {error}"));
        let token = read_to_string(file).map_err(unreadable)?;
        let value = MetadataValue::try_from(format!("Bearer {}", token.trim()));
        let value = value.map_err(|error| Status::unauthenticated(error.to_string()))?;
        call.metadata_mut().insert("authorization", value);
    }
    Ok(call)
}

fn wish(options: &Options) -> Result<RunInstancesRequest, Box<dyn Error>> {
    let count = options.get("count").map_or(Ok(1), |text| text.parse())?;
    let model = options.get("type").map_or("S5.SMALL1", String::as_str);
    let request_id = options.get("request-id").cloned();
    let placement = Placement {
        zone: "ap-shanghai-2".to_owned(),
        ..Placement::default()
    };
    Ok(RunInstancesRequest {
        // The same one finds the same launch again.
        request_id: request_id.unwrap_or_else(|| Uuid::new_v4().to_string()),
        region: "ap-shanghai".to_owned(),
        spec: Some(InstanceSpec {
            placement: Some(placement),
            image_id: Some("img-pmqg1cw7".to_owned()),
            instance_type: Some(model.to_owned()),
            instance_count: Some(count),
            ..InstanceSpec::default()
        }),
        ..RunInstancesRequest::default()
    })
}

fn show(told: &Told, pause: Duration) {
    match told {
        Told::Event(Event::Operation(it)) => {
            let state = it.state().as_str_name();
            let state = state.trim_start_matches("OPERATION_STATE_");
            println!("{} {state} {}", it.sequence, it.name);
        }
        Told::Event(Event::Heartbeat(_)) => {}
        Told::Broke(status) => {
            let (what, seconds) = (what(status), pause.as_secs_f64());
            eprintln!("the stream broke ({what}); going on in {seconds} s");
        }
    }
}

/// The code, the message and the last cause, which often alone tells what is wrong with a connection.
fn what(status: &Status) -> String {
    let what = format!("{:?}: {}", status.code(), status.message());
    let mut last = status.source();
    while let Some(cause) = last.and_then(|it| it.source()) {
        last = Some(cause);
    }
    match last.map(ToString::to_string) {
        Some(cause) if !what.contains(&cause) => format!("{what}: {cause}"),
        Some(_) | None => what,
    }
}

/// Everything that the gateway says about an error, a line each.
fn explain(status: &Status) {
    eprintln!("{}", what(status));
    let details = status.get_error_details();
    if let Some(info) = details.error_info() {
        eprintln!("  reason {}", info.reason);
    }
    for it in details
        .bad_request()
        .into_iter()
        .flat_map(|it| &it.field_violations)
    {
        eprintln!("  field {}: {}", it.field, it.description);
    }
    for it in details
        .quota_failure()
        .into_iter()
        .flat_map(|it| &it.violations)
    {
        eprintln!("  quota {}: {}", it.subject, it.description);
    }
    if let Some(delay) = details.retry_info().and_then(|it| it.retry_delay) {
        eprintln!("  come back in {} s", delay.as_secs_f64());
    }
}

/// A stream that was resumed ends well at every end: the snapshot tells which one.
fn conclude(operation: Option<&Operation>) -> ExitCode {
    for it in operation.into_iter().flat_map(|it| &it.instances) {
        let addresses = it.private_ip_addresses.join(" ");
        println!("{} {} {addresses}", it.instance_id, it.instance_state);
    }
    match operation.and_then(|it| it.failure.as_ref()) {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::FAILURE
        }
    }
}
