//! Device rules as systemd takes them: devices by path or by major number, each with what may be done to it
//! (systemd.resource-control(5), "DeviceAllow").

use super::{ALL, Devices, MKNOD, READ, Rule, WRITE, parse};
use crate::error::Result;
use crate::spec::DeviceRule;

/// What the rules allow; `None` where they allow everything. systemd knows no rule that denies, and no minor number without
/// a major one: its list may allow more than the rules do, and the program beside it decides.
///
/// # Errors
/// For a malformed rule.
pub(in crate::cgroup) fn allowed(rules: &[DeviceRule]) -> Result<Option<Vec<(String, String)>>> {
    let mut list: Option<Vec<(String, u8)>> = Some(Vec::new());
    for rule in parse(rules)? {
        match &mut list {
            _ if rule.devices == Devices::EVERY && rule.access == ALL => {
                list = (!rule.allow).then(Vec::new);
            }
            Some(list) if rule.allow => add(list, &rule),
            _ => {}
        }
    }
    let letters = |access: u8| {
        let all = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
        let set = all.iter().filter(|(bit, _)| access & bit != 0);
        set.map(|(_, letter)| *letter).collect::<String>()
    };
    Ok(list.map(|list| {
        let pairs = list.into_iter();
        pairs
            .map(|(device, access)| (device, letters(access)))
            .collect()
    }))
}

/// Of two entries for a device systemd keeps the last, so that there must be one.
fn add(list: &mut Vec<(String, u8)>, rule: &Rule) {
    let kinds = [(rule.devices.block, "block"), (rule.devices.char, "char")];
    for (_, kind) in kinds.iter().filter(|(is_meant, _)| *is_meant) {
        let device = match (rule.devices.major, rule.devices.minor) {
            (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
            (Some(major), None) => format!("{kind}-{major}"),
            (None, _) => format!("{kind}-*"),
        };
        match list.iter_mut().find(|(listed, _)| *listed == device) {
            Some((_, access)) => *access |= rule.access,
            None => list.push((device, rule.access)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rules: &str) -> Option<Vec<String>> {
        let rules: Vec<DeviceRule> = serde_json::from_str(rules).unwrap();
        let list = allowed(&rules).unwrap()?;
        Some(
            list.into_iter()
                .map(|(device, access)| format!("{device} {access}"))
                .collect(),
        )
    }

    #[test]
    fn devices_are_named_by_path_or_major() {
        let rules = r#"[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"c","major":1,"minor":3,"access":"rw"},
            {"allow":true,"type":"c","major":136,"access":"rwm"},
            {"allow":true,"type":"b","access":"m"},
            {"allow":true,"type":"c","minor":7,"access":"r"},
            {"allow":true,"type":"c","major":1,"minor":3,"access":"m"},
            {"allow":true,"major":8,"minor":0,"access":"r"}]"#;
        let expected = [
            "/dev/char/1:3 rwm",
            "char-136 rwm",
            "block-* m",
            "char-* r",
            "/dev/block/8:0 r",
            "/dev/char/8:0 r",
        ];
        assert_eq!(lines(rules).unwrap(), expected);
    }

    #[test]
    fn the_list_is_never_narrower_than_the_rules() {
        let all = r#"{"allow":true,"type":"a","access":"rwm"}"#;
        assert_eq!(lines(&format!("[{all}]")), None);
        let one = r#"{"allow":false,"type":"c","major":1,"minor":3,"access":"rwm"}"#;
        assert_eq!(lines(&format!("[{all},{one}]")), None);
        assert_eq!(
            lines(&format!(r#"[{all},{{"allow":false}}]"#)),
            Some(Vec::new())
        );
        let again = r#"{"allow":true,"type":"c","major":1,"minor":3,"access":"r"}"#;
        assert_eq!(
            lines(&format!("[{again},{one}]")).unwrap(),
            ["/dev/char/1:3 r"]
        );
    }
}
