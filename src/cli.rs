//! The command line: reads the arguments, runs one command, and says how it ended.

mod args;
mod audit;
mod check;
mod connect;
mod doctor;
mod error;
mod healthcheck;
mod keys;
mod launch;
mod log;
mod manager;
mod operations;
mod plan;
mod policy;
mod serve;

use crate::clock::Clock;
use crate::config::{Config, DEFAULTS};
use crate::terminal::{self, Exit};
use args::{Arguments, Command, ConfigCommand};
use clap::Parser;
use error::CliError;
use std::error::Error;
use std::io;
use std::path::Path;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(help_or_error) => return show(&help_or_error),
    };
    match run(arguments.command) {
        Ok(exit) => exit,
        Err(error) => {
            let exit = error.exit();
            // As `head` does: who reads stdout has enough, and need not be told.
            if exit != Exit::Io || !is_broken_pipe(&error) {
                terminal::report(&error);
            }
            exit
        }
    }
}

/// Help and version go to stdout and are no failure; a wrong command line goes to stderr.
fn show(help_or_error: &clap::Error) -> Exit {
    let printed = help_or_error.print();
    match (help_or_error.use_stderr(), printed) {
        (true, _) => Exit::Usage,
        (false, Ok(())) => Exit::Ok,
        (false, Err(_)) => Exit::Io,
    }
}

fn run(command: Command) -> Result<Exit, CliError> {
    let clock = Clock::system();
    match command {
        Command::Serve(serve) => within(serve::serve(&serve.config, clock)),
        Command::Healthcheck(args) => within(healthcheck::healthcheck(args, clock)),
        Command::Doctor(args) => within(doctor::doctor(args, clock)),
        Command::Simulate(simulate) => within(serve::simulate(simulate, clock)),
        Command::Demo(demo) => within(launch::demo(&demo, clock)),
        Command::Run(run) => within(launch::run(*run, clock)),
        Command::Plan(plan) => within(plan::plan(*plan, clock)),
        Command::Watch(watch) => within(launch::watch(watch, clock)),
        Command::Operations(command) => within(operations::run(command, clock)),
        Command::Audit(command) => within(audit::run(command, clock)),
        Command::Policy(command) => policy::policy(command, &clock),
        Command::Keys(command) => within(keys::keys(command, clock)),
        Command::Config(ConfigCommand::Check { config }) => check(&config),
        Command::Config(ConfigCommand::Default) => {
            terminal::print(DEFAULTS.trim_end())?;
            Ok(Exit::Ok)
        }
    }
}

fn check(path: &Path) -> Result<Exit, CliError> {
    let config = Config::load(path)?;
    terminal::print(format!("ok            {}\n{config}", path.display()).trim_end())?;
    Ok(Exit::Ok)
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let io_error = error.downcast_ref::<io::Error>();
    io_error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        || error.source().is_some_and(is_broken_pipe)
}

/// Runs `work` to its end, and does not wait for anything that it left behind.
fn within(work: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let ended = runtime.block_on(work);
    runtime.shutdown_background();
    ended
}
