//! The command `plan`.

use super::args::PlanArgs;
use super::connect::connect;
use super::error::CliError;
use super::launch::asked;
use crate::client::{Format, overview, write_plan, write_request};
use crate::clock::Clock;
use crate::config::create_file;
use crate::pb::v1::{PlanRunInstancesRequest, PlanRunInstancesResponse, RunInstancesRequest};
use crate::terminal::{self, Exit};
use std::io::Write;
use std::path::Path;

/// Says what a launch would do, and keeps its plan if that is asked for.
pub(super) async fn plan(args: PlanArgs, clock: Clock) -> Result<Exit, CliError> {
    let mut request = asked(args.file.as_deref(), args.wish, args.request_id)?;
    // That of a file that `--save` wrote: another one is made.
    request.plan = None;
    let mut client = connect(args.server, clock).await?;
    let plan = client
        .plan(PlanRunInstancesRequest {
            request: Some(request.clone()),
            cloud_dry_run: args.dry_run,
        })
        .await?;
    terminal::print(match args.output.format() {
        Format::Text => overview(&plan),
        Format::Json => write_plan(&plan).map_err(CliError::Json)?,
    })?;
    match &args.save {
        Some(path) if !plan.plan.is_empty() => save(path, request, &plan)?,
        Some(_) => terminal::note("nothing was saved: there is no plan for what would be refused"),
        None => {}
    }
    Ok(exit(&plan))
}

fn save(
    path: &Path,
    request: RunInstancesRequest,
    plan: &PlanRunInstancesResponse,
) -> Result<(), CliError> {
    let request = RunInstancesRequest {
        plan: Some(plan.plan.clone()),
        ..request
    };
    let text = write_request(&request).map_err(CliError::Json)?;
    let failed = |source| CliError::Save {
        path: path.to_owned(),
        source,
    };
    let mut file = create_file(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let until = plan
        .expire_time
        .map_or_else(String::new, |until| format!(" until {until}"));
    terminal::note(format!(
        "saved; carry it out{until} with: cvm-gateway run --file {}",
        path.display()
    ));
    Ok(())
}

fn exit(plan: &PlanRunInstancesResponse) -> Exit {
    match (plan.allowed, &plan.cloud_dry_run_failure) {
        (false, _) => Exit::NoPermission,
        (true, Some(_)) => Exit::Data,
        (true, None) => Exit::Ok,
    }
}
