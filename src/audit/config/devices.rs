//! Devices: the rules of the cgroup, and the nodes that are made.

use super::Asked;
use super::namespaces::has_ids_of_host;
use crate::spec::DeviceRule;

/// Character devices through which memory and ports of the machine are read and written (drivers/char/mem.c).
const MEMORY: [(i64, &str); 3] = [(1, "/dev/mem"), (2, "/dev/kmem"), (4, "/dev/port")];

pub(in crate::audit) fn rules(asked: &mut Asked) {
    let Some(linux) = asked.scene.linux() else {
        return;
    };
    for (at, device) in linux
        .devices
        .iter()
        .enumerate()
        .filter(|(_, device)| device.kind == "b")
    {
        let message = format!("block device {}:{}", device.major, device.minor);
        asked.add(
            asked
                .finding(format!("/linux/devices/{at}"), message)
                .about(&device.path),
        );
    }
    let rules = linux
        .resources
        .as_ref()
        .map(|resources| resources.devices.as_slice())
        .unwrap_or_default();
    let deny = rules
        .iter()
        .rposition(|rule| !rule.allow && is_of_all(rule) && letters(rule).len() == 3);
    // In a user namespace of its own no node can be made, and the host's belong to somebody else.
    if deny.is_none() && has_ids_of_host(asked.scene) {
        asked.found(
            "/linux/resources/devices",
            "no rule denies all devices before others allow some",
        );
    }
    // What came before is denied again.
    let from = deny.map_or(0, |at| at + 1);
    for (at, rule) in rules
        .iter()
        .enumerate()
        .skip(from)
        .filter(|(_, rule)| rule.allow)
    {
        if let Some(what) = too_much(rule) {
            let finding = asked.finding(
                format!("/linux/resources/devices/{at}"),
                format!("{what} may be {}", acts(rule)),
            );
            asked.add(finding.about(what));
        }
    }
}

/// To make a node is harmless as long as it cannot be opened.
fn too_much(rule: &DeviceRule) -> Option<String> {
    if !letters(rule)
        .iter()
        .any(|letter| matches!(letter, 'r' | 'w'))
    {
        return None;
    }
    let number = |number: Option<i64>| number.filter(|number| *number >= 0);
    match (rule.kind.as_deref(), number(rule.major), number(rule.minor)) {
        (None | Some("a" | ""), None, _) => Some("every device".to_owned()),
        (Some("b"), None, _) => Some("every block device".to_owned()),
        (Some("c"), None, _) => Some("every character device".to_owned()),
        (Some("b"), Some(major), None) => Some(format!("every block device of major {major}")),
        (Some("b"), Some(major), Some(minor)) => Some(format!("block device {major}:{minor}")),
        (_, Some(1), None) => Some("every device of major 1, memory among them,".to_owned()),
        (_, Some(1), Some(minor)) => {
            let memory = MEMORY.iter().find(|(number, _)| *number == minor);
            memory.map(|(_, path)| (*path).to_owned())
        }
        _ => None,
    }
}

fn is_of_all(rule: &DeviceRule) -> bool {
    let is_any = |number: Option<i64>| number.is_none_or(|number| number < 0);
    matches!(rule.kind.as_deref(), None | Some("a" | ""))
        && is_any(rule.major)
        && is_any(rule.minor)
}

/// An `a` in a rule that denies can mean all.
fn letters(rule: &DeviceRule) -> Vec<char> {
    let access = rule.access.as_deref().unwrap_or_default();
    let all = !rule.allow && access.contains('a');
    let mut letters = vec!['r', 'w', 'm'];
    letters.retain(|letter| all || access.contains(*letter));
    letters
}

fn acts(rule: &DeviceRule) -> String {
    let words = letters(rule).into_iter().map(|letter| match letter {
        'r' => "read",
        'w' => "written",
        _ => "made",
    });
    words.collect::<Vec<_>>().join(" and ")
}
