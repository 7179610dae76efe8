//! Hooks: programs that run outside of the container, with the rights of the runtime.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Asked;
use crate::error::{quote, quote_path};
use crate::report::Severity;
use crate::spec::Hook;

pub(in crate::audit) fn hooks(asked: &mut Asked) {
    let Some(hooks) = &asked.scene.config.hooks else {
        return;
    };
    let outside = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, hooks) in outside {
        for (at, hook) in hooks.iter().enumerate() {
            let pointer = format!("/hooks/{kind}/{at}");
            place(asked, &pointer, hook);
            timeout(asked, &pointer, hook);
        }
    }
    // Their paths are the container's (config.md, "POSIX-platform Hooks").
    for (at, hook) in hooks.start_container.iter().enumerate() {
        timeout(asked, &format!("/hooks/startContainer/{at}"), hook);
    }
}

fn timeout(asked: &mut Asked, pointer: &str, hook: &Hook) {
    if hook.timeout.is_none() {
        let message = format!(
            "{} has no timeout: a hook that hangs holds the container up",
            quote(&hook.path)
        );
        let finding = asked
            .finding(format!("{pointer}/timeout"), message)
            .about(&hook.path);
        asked.add(finding.severity(Severity::Low));
    }
}

/// Who can change the program that is run.
fn place(asked: &mut Asked, pointer: &str, hook: &Hook) {
    let scene = asked.scene;
    let path = Path::new(&hook.path);
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let is_below =
        |above: &Path| real.starts_with(above.canonicalize().as_deref().unwrap_or(above));
    let name = quote(&hook.path);
    let found = if scene.root.as_deref().is_some_and(is_below) {
        Some((
            Severity::High,
            format!("{name} is in the root filesystem, and the container can replace it"),
        ))
    } else if is_below(&scene.bundle) {
        Some((
            Severity::Medium,
            format!("{name} is in the bundle, and not a program of the host"),
        ))
    } else {
        changed_by(&real).map(|who| (Severity::High, format!("{name}: {who}")))
    };
    if let Some((severity, message)) = found {
        let finding = asked
            .finding(format!("{pointer}/path"), message)
            .about(&hook.path);
        asked.add(finding.severity(severity));
    }
}

/// Who else than root can put another program there; a program that is not there yet is looked at by its directories.
fn changed_by(real: &Path) -> Option<String> {
    for path in real.ancestors() {
        let Ok(found) = fs::symlink_metadata(path) else {
            continue;
        };
        let is_sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        let by_others = found.mode() & 0o002 != 0 || found.mode() & 0o020 != 0 && found.gid() != 0;
        if by_others && !is_sticky {
            return Some(format!(
                "others than root can write to {}",
                quote_path(path)
            ));
        }
        if found.uid() != 0 && found.uid() != rustix::process::geteuid().as_raw() {
            return Some(format!(
                "{} belongs to user {}",
                quote_path(path),
                found.uid()
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_hook_that_others_can_replace_is_told_by_the_place_where_they_can() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().canonicalize().unwrap();
        let hook = dir.join("hook");
        fs::write(&hook, "").unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&hook, 0o755);
        assert_eq!(changed_by(&hook), None);
        mode(&hook, 0o757);
        assert_eq!(
            changed_by(&hook),
            Some(format!(
                "others than root can write to {}",
                quote_path(&hook)
            ))
        );
        mode(&hook, 0o755);
        mode(&dir, 0o777);
        assert_eq!(
            changed_by(&hook),
            Some(format!(
                "others than root can write to {}",
                quote_path(&dir)
            ))
        );
        mode(&dir, 0o1777);
        assert_eq!(changed_by(&hook), None);
        mode(&dir, 0o777);
        assert!(changed_by(&dir.join("none")).is_some());
    }
}
