//! The packages of a target, and the checks themselves, as `--list` and `--explain` tell them.

use serde_json::{Value, json};

use super::usage;
use crate::audit::image::Package;
use crate::audit::{Check, table};
use crate::cmd::checks::CheckFormat;
use crate::cmd::output::{columns, pretty};
use crate::cmd::{ExitCode, print};
use crate::error::{Result, escape};

/// Every check.
pub(super) fn list(format: CheckFormat) -> Result<ExitCode> {
    let checks = table::checks();
    match format {
        CheckFormat::Json => print(&pretty(
            &checks.map(document).collect::<Vec<Value>>(),
            "  ",
        )?)?,
        CheckFormat::Text => {
            let mut rows = vec![["ID", "SEVERITY", "PRACTICE", "CHECK"].map(str::to_owned)];
            rows.extend(checks.map(|check| {
                [
                    check.id,
                    check.severity.word(),
                    check.practice.words(),
                    check.title,
                ]
                .map(str::to_owned)
            }));
            print(&columns(&rows))?;
        }
        _ => return Err(usage("list the checks", "the formats are text and json")),
    }
    Ok(ExitCode::Done)
}

/// What is installed.
pub(super) fn packages(packages: &[Package], format: CheckFormat) -> Result<ExitCode> {
    match format {
        CheckFormat::Json => print(&pretty(&packages, "  ")?)?,
        CheckFormat::Text => {
            let head = ["NAME", "VERSION", "SOURCE", "SOURCE VERSION", "KIND"];
            let mut rows = vec![head.map(str::to_owned)];
            rows.extend(packages.iter().map(|package| {
                [
                    &package.name,
                    &package.version,
                    &package.source,
                    &package.source_version,
                    package.kind,
                ]
                .map(escape)
            }));
            print(&columns(&rows))?;
        }
        _ => {
            return Err(usage("list the packages", "the formats are text and json"));
        }
    }
    Ok(ExitCode::Done)
}

/// One of them.
pub(super) fn explain(check: &'static Check, format: CheckFormat) -> Result<ExitCode> {
    match format {
        CheckFormat::Json => print(&pretty(&document(check), "  ")?)?,
        CheckFormat::Text => print(&told(check))?,
        _ => return Err(usage("explain a check", "the formats are text and json")),
    }
    Ok(ExitCode::Done)
}

fn told(check: &Check) -> String {
    let stages: Vec<&str> = check.stages.iter().map(|stage| stage.words()).collect();
    let closest = match check.closest {
        [] => String::new(),
        closest => format!("\nclosest:   {}", closest.join(", ")),
    };
    format!(
        "{}: {}\n\n{}\n\nseverity:  {}\npractice:  {}\nlooks at:  {}{closest}\nfix:       {}",
        check.id,
        check.title,
        check.why,
        check.severity,
        check.practice.words(),
        stages.join(", "),
        check.fix,
    )
}

fn document(check: &'static Check) -> Value {
    let stages: Vec<&str> = check.stages.iter().map(|stage| stage.words()).collect();
    json!({
        "id": check.id,
        "title": check.title,
        "why": check.why,
        "severity": check.severity,
        "practice": check.practice.words(),
        "looksAt": stages,
        "closest": check.closest,
        "fix": check.fix,
    })
}
