//! `doctor`: prints what was found, and ends with a code that a script can go by.

use super::args::{DoctorArgs, DoctorFormat};
use super::error::CliError;
use super::launch::{REQUEST_BYTES_MAX, read_input};
use crate::clock::Clock;
use crate::doctor::{Finding, Verdict, examine};
use crate::domain::request::Wish;
use crate::domain::rules::Limits;
use crate::grpc::wish_of_json;
use crate::terminal::{self, Exit};
use serde_json::json;
use std::path::Path;

pub(super) async fn doctor(args: DoctorArgs, clock: Clock) -> Result<Exit, CliError> {
    let wish = args.dry_run.as_deref().map(|path| wish(path, &clock));
    let findings = examine(&args.config, wish.transpose()?, &clock).await?;
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let worst = worst.unwrap_or(Verdict::Ok);
    match args.format {
        DoctorFormat::Text => terminal::print(text(&findings))?,
        DoctorFormat::Json => terminal::print(json!({ "verdict": worst, "checks": findings }))?,
    }
    Ok(match worst {
        Verdict::Ok | Verdict::Warn => Exit::Ok,
        Verdict::Fail => Exit::Failed,
    })
}

/// The launch that a file asks for. Whether it keeps the limits of the configuration is seen with that.
fn wish(path: &Path, clock: &Clock) -> Result<Wish, CliError> {
    let text = read_input(path, REQUEST_BYTES_MAX)?;
    let wish = wish_of_json(&text, &Limits::default(), clock.now());
    wish.map_err(|what| CliError::Unusable {
        path: path.to_owned(),
        what,
    })
}

fn text(findings: &[Finding]) -> String {
    let mut lines: Vec<String> = findings.iter().map(line).collect();
    let count = |verdict| {
        findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    };
    let (well, warned, failed) = (
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail),
    );
    lines.push(format!("{well} ok, {warned} to look at, {failed} wrong"));
    lines.join("\n")
}

fn line(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    };
    let Finding {
        check,
        subject,
        says,
        fix,
        ..
    } = finding;
    let seen = format!("{verdict:<5} {check:<14} {subject}: {says}");
    match fix.as_str() {
        "" => seen,
        fix => format!("{seen}\n{:<20} -> {fix}", ""),
    }
}
