//! The commands on the journal: a person lists, looks at, releases and exports operations.

use super::args::{ListArgs, OperationsCommand, ReleaseArgs};
use super::error::CliError;
use crate::client::align;
use crate::clock::Clock;
use crate::config::JournalConfig;
use crate::domain::causes::chain;
use crate::domain::ids::OperationId;
use crate::store::{Asked, Desk, Filter, Record, Release};
use crate::terminal::{self, Exit};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Operations that are read at once for an export.
const PAGE: usize = 500;

/// Runs one of them.
pub(super) async fn run(command: OperationsCommand, clock: Clock) -> Result<Exit, CliError> {
    match command {
        OperationsCommand::List(list) => self::list(list).await,
        OperationsCommand::Show(of) => show(&of.config, of.name).await,
        OperationsCommand::Release(release) => self::release(release, &clock).await,
        OperationsCommand::Export { config } => export(&config).await,
    }
}

async fn open(path: &Path) -> Result<(Desk, JournalConfig), CliError> {
    let config = JournalConfig::load(path)?;
    let desk = Desk::open(&config.journal).await?;
    Ok((desk, config))
}

async fn list(args: ListArgs) -> Result<Exit, CliError> {
    let (desk, config) = open(&args.config).await?;
    let filter = Filter {
        states: args.states,
        organization: args.organization,
        account: args.account,
        crashes_min: if args.parked { config.crashes_max } else { 0 },
    };
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let records = desk.list(&filter, None, limit).await?;
    desk.close().await;
    if args.json {
        for record in &records {
            terminal::print(Value::Object(value(record)))?;
        }
        return Ok(Exit::Ok);
    }
    let titles = [
        "OPERATION",
        "STATE",
        "ORGANIZATION",
        "ACCOUNT",
        "REQUEST",
        "UPDATED",
        "CRASHES",
        "WHY",
    ];
    let rows: Vec<_> = records.iter().map(line).collect();
    terminal::print(align(&titles, &rows))?;
    Ok(Exit::Ok)
}

async fn show(path: &Path, name: OperationId) -> Result<Exit, CliError> {
    let (desk, _) = open(path).await?;
    let record = desk.get(name).await?;
    let record = record.ok_or_else(|| CliError::NoOperation(name.resource_name()))?;
    let mut shown = value(&record);
    shown.insert("attempts".to_owned(), desk.attempts(name).await?.into());
    shown.insert("audit".to_owned(), desk.audit(name).await?.into());
    desk.close().await;
    terminal::print(format!("{:#}", Value::Object(shown)))?;
    Ok(Exit::Ok)
}

async fn release(args: ReleaseArgs, clock: &Clock) -> Result<Exit, CliError> {
    let (desk, config) = open(&args.config).await?;
    let release = Release {
        operation: args.name,
        principal: args.by,
        reason: args.reason,
        time: clock.now(),
    };
    let asked = desk.release(&release).await?;
    desk.close().await;
    match asked {
        Asked::Written => {
            let within = config.lease / 3;
            terminal::print(format!(
                "{} goes on: a running gateway takes it up within {within:?}, else the next one that starts",
                args.name.resource_name()
            ))?;
            Ok(Exit::Ok)
        }
        Asked::NotWaiting(state) => Err(CliError::NotWaiting {
            name: args.name.resource_name(),
            state,
        }),
        Asked::Unknown => Err(CliError::NoOperation(args.name.resource_name())),
    }
}

async fn export(path: &Path) -> Result<Exit, CliError> {
    let (desk, _) = open(path).await?;
    let mut before = None;
    loop {
        let records = desk.list(&Filter::default(), before, PAGE).await?;
        let Some(last) = records.last() else {
            break;
        };
        before = Some(last.id);
        for record in &records {
            terminal::print(tagged("operation", value(record).into()))?;
            for attempt in desk.attempts(record.id).await? {
                terminal::print(tagged("attempt", attempt))?;
            }
            for entry in desk.audit(record.id).await? {
                terminal::print(tagged("audit", entry))?;
            }
        }
    }
    desk.close().await;
    Ok(Exit::Ok)
}

fn tagged(kind: &str, value: Value) -> Value {
    json!({ "kind": kind, "value": value })
}

/// A row for people.
fn line(record: &Record) -> [String; 8] {
    let time = record.update_time.map(|time| time.to_string());
    let (account, why) = match &record.operation {
        Ok(operation) => {
            let failure = operation.failure.as_ref();
            let why = failure.map(|failure| failure.message.clone());
            (operation.account.as_str().to_owned(), why)
        }
        Err(error) => (String::new(), Some(chain(error, ": "))),
    };
    let crashes = Some(record.crashes).filter(|crashes| *crashes > 0);
    [
        record.id.resource_name(),
        record.state.clone(),
        record.organization.clone(),
        account,
        record.request_id.clone(),
        time.unwrap_or_default(),
        crashes
            .map(|crashes| crashes.to_string())
            .unwrap_or_default(),
        why.unwrap_or_default(),
    ]
}

/// A row for programs. The body is not in it.
fn value(record: &Record) -> Map<String, Value> {
    let operation = match &record.operation {
        Ok(operation) => serde_json::to_value(operation).unwrap_or_default(),
        Err(error) => json!({ "error": chain(error, ": ") }),
    };
    Map::from_iter([
        ("name".to_owned(), record.id.resource_name().into()),
        (
            "organization".to_owned(),
            record.organization.clone().into(),
        ),
        ("request_id".to_owned(), record.request_id.clone().into()),
        ("state".to_owned(), record.state.clone().into()),
        ("crashes".to_owned(), record.crashes.into()),
        (
            "lease".to_owned(),
            json!({
                "owner": record.lease_owner,
                "epoch": record.lease_epoch,
                "until": record.lease_until,
            }),
        ),
        ("operation".to_owned(), operation),
    ])
}
