//! `doctor`: prints what was found, and ends with a code that a script can go by.

use super::args::{DoctorArgs, DoctorFormat};
use super::error::CliError;
use crate::clock::Clock;
use crate::doctor::{Finding, Verdict, examine};
use crate::terminal::{self, Exit};
use serde_json::json;

pub(super) async fn doctor(args: DoctorArgs, clock: Clock) -> Result<Exit, CliError> {
    let findings = examine(&args.config, &clock).await?;
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
