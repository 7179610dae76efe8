//! The report of a program about the sandbox that it runs in.
//!
//! It needs nothing but itself: no library, shell, /proc or /sys. Each section is gathered in its own file.

use std::io::Write;

use super::seen::{self, Seen};
use super::{acts, cgroup, descriptors, identity, limits, mounts, namespaces, writable};
use crate::error::Result;
use crate::report::{Appearance, Body, Fact, Format, Report, Section, write_json, write_text};

/// Writes to `out` what this process sees and which of a dozen forbidden acts were refused to it. True if all were;
/// an act that the processor architecture does not have does not count. Each act is tried in a forked process.
///
/// # Errors
/// A failure of `out`. What cannot be seen is told in the report.
pub fn report(out: &mut dyn Write, format: Format, appearance: Appearance) -> Result<bool> {
    let report = gathered();
    match format {
        Format::Text => write_text(out, &report, appearance)?,
        Format::Json => write_json(out, &report)?,
    }
    Ok(report.tally().failed.is_empty())
}

fn gathered() -> Report {
    // Read first, while nothing else is open.
    let open = descriptors::section();
    let status = seen::text("/proc/self/status");
    let status = || -> Seen<&str> { status.as_deref().map_err(Clone::clone) };
    let label =
        seen::text("/proc/self/attr/current").map(|label| label.trim_end_matches('\0').to_owned());
    let mounted = mounts::read();
    let mount_count = mounted.as_ref().map(Vec::len).map_err(Clone::clone);
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
        groups: vec![acts::attempted()],
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
        let all_refused = report(&mut text, Format::Text, Appearance::Plain).unwrap();
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
            "Forbidden acts, attempted",
            "Summary",
        ];
        for heading in headings {
            assert!(
                text.contains(&format!("\n\n{heading}\n")),
                "no {heading} in {text}"
            );
        }
        assert!(text.ends_with("forbidden acts were refused\n"));
        let mut json = Vec::new();
        assert_eq!(
            report(&mut json, Format::Json, Appearance::Plain).unwrap(),
            all_refused
        );
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["findings"].as_array().unwrap().len(), 12);
        assert_eq!(
            json["summary"]["forbidden"].as_u64().unwrap(),
            if cfg!(target_arch = "x86_64") { 12 } else { 11 }
        );
    }
}
