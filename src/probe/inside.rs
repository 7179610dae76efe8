//! The report of a program about the sandbox that it runs in.
//!
//! It needs nothing but itself: no library, shell, /proc or /sys. Each section is gathered in its own file.

use std::io::Write;

use super::seen::{self, Seen};
use super::{Promise, cgroup, checks, descriptors, identity, limits, mounts, namespaces, writable};
use crate::error::Result;
use crate::report::{
    Appearance, Body, Fact, Format, Report, Section, Severity, write_json, write_text,
};

/// Writes to `out` what this process sees, and the probes with how they stand to the promise. True if it is kept.
///
/// # Errors
/// A failure of `out`. What cannot be seen is told in the report.
pub fn report(
    out: &mut dyn Write,
    promise: &Promise,
    format: Format,
    appearance: Appearance,
) -> Result<bool> {
    let report = gathered(promise);
    match format {
        Format::Text => write_text(out, &report, appearance)?,
        Format::Json => write_json(out, &report)?,
    }
    let is_kept = report.checks.bad(Severity::Low).next().is_none();
    Ok(is_kept)
}

fn gathered(promise: &Promise) -> Report {
    // Read first, while nothing else is open.
    let open = descriptors::section();
    let status = seen::text("/proc/self/status");
    let status = || -> Seen<&str> { status.as_deref().map_err(Clone::clone) };
    let label =
        seen::text("/proc/self/attr/current").map(|label| label.trim_end_matches('\0').to_owned());
    let mounted = mounts::read();
    let mount_count = mounted.as_ref().map(Vec::len).map_err(Clone::clone);
    let answers = super::answers(|_| true);
    Report {
        title: "What a program sees in this sandbox".to_owned(),
        sections: vec![
            identity::identity(),
            identity::capabilities(status()),
            identity::confinement(status(), label),
            namespaces::section(&mount_count),
            limits::section(),
            cgroup::section(&mounted),
            mounts::section(&mounted),
            writable::section(&mounted),
            environment(),
            open,
        ],
        checks: checks("this sandbox", &answers, promise),
    }
}

fn environment() -> Section {
    let facts = std::env::vars_os()
        .map(|(name, value)| Fact::one(name.to_string_lossy(), value.to_string_lossy()));
    let mut facts: Vec<Fact> = facts.collect();
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    seen::section("Environment", "environment", Ok(Body::Facts(facts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_of_this_host_has_every_section_in_both_formats() {
        let mut text = Vec::new();
        let promise = Promise::default();
        let kept = report(&mut text, &promise, Format::Text, Appearance::Plain).unwrap();
        let text = String::from_utf8(text).unwrap();
        let headings = [
            "Identity",
            "Capabilities",
            "Confinement",
            "Namespaces",
            "Limits",
            "Control group",
            "Mounts",
            "Writable",
            "Environment",
            "Open descriptors",
            "The kernel's interfaces",
            "Summary",
        ];
        for heading in headings {
            assert!(
                text.contains(&format!("\n\n{heading}\n")),
                "no {heading} in {text}"
            );
        }
        let mut json = Vec::new();
        assert_eq!(
            report(&mut json, &promise, Format::Json, Appearance::Plain).unwrap(),
            kept
        );
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["checks"].as_array().map(Vec::len), Some(72));
        assert_eq!(json["summary"]["checks"], 72);
    }
}
