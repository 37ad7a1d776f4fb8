//! The commands about rules: all offline.

use super::args::{DiffArgs, ExplainArgs, PolicyCommand, TestArgs};
use super::error::CliError;
use super::launch::{REQUEST_BYTES_MAX, read_input};
use crate::client::changed;
use crate::clock::Clock;
use crate::config::{
    CasesRun, Replayed, ToldSize, check_cases, only_account, read_limits, read_rules, replay,
};
use crate::domain::change::Change;
use crate::domain::ids::Principal;
use crate::domain::rules::Limits;
use crate::grpc::wish_of_json;
use crate::policy::{Refusal, SCHEMA, Said};
use crate::terminal::{self, Exit};
use std::path::Path;

pub(super) fn policy(command: PolicyCommand, clock: &Clock) -> Result<Exit, CliError> {
    match command {
        PolicyCommand::Check { folder } => check(&folder),
        PolicyCommand::Schema => {
            terminal::print(SCHEMA.trim_end())?;
            Ok(Exit::Ok)
        }
        PolicyCommand::Explain(args) => explain(*args, clock),
        PolicyCommand::Test(args) => test(&args),
        PolicyCommand::Diff(args) => diff(&args),
    }
}

fn check(folder: &Path) -> Result<Exit, CliError> {
    let rules = read_rules(folder)?;
    let (count, layers, version) = (rules.len(), rules.layers(), rules.version());
    terminal::print(format!(
        "ok: {count} rules, {layers} layers, sha256:{version}"
    ))?;
    Ok(Exit::Ok)
}

fn test(args: &TestArgs) -> Result<Exit, CliError> {
    let rules = read_rules(&args.folder)?;
    let limits = limits(args.config.as_deref())?;
    let CasesRun { cases, problems } = check_cases(&args.folder, &rules, &limits)?;
    for problem in &problems {
        terminal::print(problem)?;
    }
    let wrong = problems.len();
    terminal::print(match (wrong, cases) {
        (0, 0) => "there are no cases; write some into tests/*.toml".to_owned(),
        (0, _) => format!("ok: {cases} cases are decided as they must be"),
        (_, _) => format!("{wrong} of {cases} cases are not decided as they must be"),
    })?;
    Ok(if problems.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// Those of a configuration, or the usual ones.
fn limits(config: Option<&Path>) -> Result<Limits, CliError> {
    match config {
        Some(path) => Ok(read_limits(path)?),
        None => Ok(Limits::default()),
    }
}

fn diff(args: &DiffArgs) -> Result<Exit, CliError> {
    let (old, new) = (read_rules(&args.old)?, read_rules(&args.new)?);
    let mut failed = Ok(());
    let replayed = replay(&args.replay, &args.account, &old, &new, |line| {
        if failed.is_ok() {
            failed = terminal::print(line);
        }
    });
    let replayed = replayed.map_err(CliError::input(&args.replay))?;
    failed?;
    let Replayed {
        decided,
        newly_refused,
        newly_allowed,
        changed,
        otherwise,
        others,
        unusable,
    } = replayed;
    terminal::print(format!(
        "{decided} decisions: {newly_refused} would be refused, {newly_allowed} would be allowed, \
         {changed} would be filled in otherwise; {others} other lines, {unusable} that cannot be used"
    ))?;
    if otherwise > 0 {
        terminal::note(format!(
            "{otherwise} were not decided as {} decides them: other rules were in force then",
            args.old.display()
        ));
    }
    Ok(match (unusable, replayed.differs()) {
        (0, false) => Exit::Ok,
        (0, true) => Exit::Failed,
        (_, _) => Exit::Data,
    })
}

fn explain(args: ExplainArgs, clock: &Clock) -> Result<Exit, CliError> {
    let rules = read_rules(&args.folder)?;
    let text = read_input(&args.file, REQUEST_BYTES_MAX)?;
    let now = args.at.unwrap_or_else(|| clock.now());
    let unusable = |what| CliError::Unusable {
        path: args.file.clone(),
        what,
    };
    let limits = limits(args.config.as_deref())?;
    let wish = wish_of_json(&text, &limits, now).map_err(unusable)?;
    let account = wish.account.clone().unwrap_or(args.account);
    let principal = Principal {
        name: args.principal,
        organization: args.organization,
    };
    let policy = only_account(&principal.organization, &account, &rules);
    let (verdict, changes) = match policy.propose(&principal, wish, &limits, now, now) {
        Err(Refusal::Invalid(violations)) => return Err(unusable(violations.to_string())),
        Err(Refusal::Denied(denial)) => (Err(denial), Vec::new()),
        Ok(proposal) => {
            let changes = proposal.changes().to_vec();
            // Offline nobody else knows how big models are: else those facts are absent.
            let places = 1 + proposal.wish().alternatives.len();
            let size = args.size.as_ref().map(ToldSize::size).transpose();
            let proposal = proposal.sized(vec![size.map_err(unusable)?; places]);
            (policy.authorize(proposal, now), changes)
        }
    };
    let exit = match &verdict {
        Ok(grant) => {
            terminal::print("allowed")?;
            show(grant.said())?;
            Exit::Ok
        }
        Err(denial) => {
            terminal::print(format!("denied: {}", denial.message))?;
            show(&denial.said)?;
            Exit::NoPermission
        }
    };
    for Change {
        field,
        before,
        after,
        origin,
    } in changes
    {
        terminal::print(changed(&field, &before, &after, &origin))?;
    }
    Ok(exit)
}

fn show(said: &[Said]) -> Result<(), CliError> {
    for Said {
        rule,
        permits,
        reason,
    } in said
    {
        let verb = if *permits { "permits" } else { "denies" };
        terminal::print(format!("  {verb}  {rule}  {reason}").trim_end())?;
    }
    Ok(())
}
