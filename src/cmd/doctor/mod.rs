//! `doctor`: what of this host stands in the way of containers, and how to mend it.
//! Not here: what is looked at (`kernel`, `groups`, `confinement`, `place`). Nothing is changed, and no container is made.

mod confinement;
mod groups;
mod kernel;
mod place;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::plan::Format;
use super::{ExitCode, Global, output, print};
use crate::cgroup::Layout;
use crate::container::default_root;
use crate::error::{Result, escape};
use crate::host::Facts;

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct Doctor {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// Something that some containers ask for will be refused.
    Warn,
    /// No container runs.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// A stable name, words joined by hyphens.
    id: &'static str,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn ok(id: &'static str, found: impl Into<String>) -> Self {
        Self {
            id,
            verdict: Verdict::Ok,
            found: found.into(),
            mend: None,
        }
    }

    fn warn(id: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            mend: Some(mend.into()),
            ..Self::ok(id, found)
        }
    }

    fn fail(id: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(id, found, mend)
        }
    }
}

/// What every check may look at.
struct Host {
    facts: Facts,
    layout: Layout,
    /// The state directory.
    root: PathBuf,
}

/// Every check, in the order of the report.
const CHECKS: &[fn(&Host) -> Finding] = &[
    kernel::calls,
    kernel::cgroups,
    groups::cgroup_directory,
    kernel::overlay,
    confinement::user_namespaces,
    confinement::more_ids,
    confinement::security_modules,
    confinement::seccomp,
    confinement::landlock,
    place::state_directory,
    place::binary,
    place::sealing,
    place::systemd,
    place::containerd,
    place::docker,
    place::podman,
    place::crio,
];

/// Prints the findings. The exit code is 1 if one of them is a failure.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(global: &Global, arguments: &Doctor) -> Result<ExitCode> {
    let findings = findings(global);
    match arguments.format {
        Format::Text => print(&text(&findings))?,
        Format::Json => {
            let document = json!({"findings": findings, "summary": summary(&findings)});
            print(&output::pretty(&document, "  ")?)?;
        }
    }
    let is_bad = findings.iter().any(|f| f.verdict == Verdict::Fail);
    Ok(if is_bad {
        ExitCode::Failed
    } else {
        ExitCode::Done
    })
}

fn findings(global: &Global) -> Vec<Finding> {
    let facts = match Facts::read() {
        Ok(facts) => facts,
        // Without its facts nothing else of the host is worth a look.
        Err(error) => {
            let mend = error
                .try_this()
                .unwrap_or("boot Linux 5.14 or newer")
                .to_owned();
            return vec![Finding::fail("kernel", error.to_string(), mend)];
        }
    };
    let (version, patch_level) = facts.kernel;
    let kernel = Finding::ok("kernel", format!("Linux {version}.{patch_level}"));
    let layout = match Layout::discover() {
        Ok(layout) => layout,
        Err(error) => {
            let cgroups = Finding::fail("cgroups", error.to_string(), "mount /proc");
            return vec![kernel, cgroups];
        }
    };
    let root = global.root.clone();
    let host = Host {
        root: root.unwrap_or_else(|| default_root(&facts)),
        facts,
        layout,
    };
    let checked = CHECKS.iter().map(|check| check(&host));
    std::iter::once(kernel).chain(checked).collect()
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|f| f.verdict == verdict).count()
}

fn summary(findings: &[Finding]) -> serde_json::Value {
    json!({
        "ok": count(findings, Verdict::Ok),
        "warn": count(findings, Verdict::Warn),
        "fail": count(findings, Verdict::Fail),
    })
}

fn text(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    for Finding {
        id,
        verdict,
        found,
        mend,
    } in findings
    {
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        lines.push(format!("{word:<5} {id:<18} {}", plain(found)));
        lines.extend(mend.iter().map(|mend| format!("{:25}mend: {mend}", "")));
    }
    let [ok, warn, fail] =
        [Verdict::Ok, Verdict::Warn, Verdict::Fail].map(|verdict| count(findings, verdict));
    lines.push(format!("{ok} ok, {warn} warnings, {fail} failures"));
    lines.join("\n")
}

/// Without control characters; quotes stay as they are.
fn plain(text: &str) -> String {
    escape(text).replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_what_to_mend() {
        let findings = [
            Finding::ok("kernel", "Linux 6.1"),
            Finding::fail("cgroups", "none is mounted", "mount -t cgroup2 none /x"),
        ];
        let expected = "ok    kernel             Linux 6.1\n\
            FAIL  cgroups            none is mounted\n\
            \u{20}                        mend: mount -t cgroup2 none /x\n\
            1 ok, 0 warnings, 1 failures";
        assert_eq!(text(&findings), expected);
    }

    #[test]
    fn this_host_can_be_looked_at() {
        let findings = findings(&Global::default());
        assert_eq!(findings.len(), CHECKS.len() + 1);
        let mut ids: Vec<_> = findings.iter().map(|finding| finding.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), findings.len());
        for finding in findings {
            let needs_mending = finding.verdict != Verdict::Ok;
            assert_eq!(needs_mending, finding.mend.is_some(), "{finding:?}");
        }
    }
}
