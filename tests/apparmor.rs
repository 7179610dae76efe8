//! `profiles/apparmor/stockade-container`, loaded into the kernel under a name of the test's own.
//! Not here: how `process.apparmorProfile` is applied at all (`confinement_process`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::cell::Cell;
use crate::harness::{FOREVER, Inside, installed, raw_calls, skip};

/// The profile in the kernel; removed when dropped.
struct Loaded {
    name: String,
    file: PathBuf,
    parser: PathBuf,
    _directory: tempfile::TempDir,
}

impl Loaded {
    /// `None`, and the reason printed, on a host without AppArmor.
    fn new(test: &str) -> Option<Self> {
        let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        let parser = installed("apparmor_parser").filter(|_| modules.contains("apparmor"));
        let Some(parser) = parser else {
            skip("this host has no AppArmor, or no parser of its profiles");
            return None;
        };
        let name = format!("stockade-{test}-{}", std::process::id());
        let text = include_str!("../profiles/apparmor/stockade-container");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("profile");
        fs::write(&file, text.replace("stockade-container", &name)).unwrap();
        let loaded = Self {
            name,
            file,
            parser,
            _directory: directory,
        };
        assert!(loaded.parse("--replace"));
        Some(loaded)
    }

    fn parse(&self, flag: &str) -> bool {
        let mut parser = Command::new(&self.parser);
        parser.arg(flag).arg("--skip-cache").arg(&self.file);
        parser.status().unwrap().success()
    }

    /// A container with every capability and all of /proc and /sys, held by this profile alone.
    fn cell(&self) -> Cell {
        Cell::of(crate::harness::Bundle::new())
            .all_capabilities()
            .set("/process/apparmorProfile", json!(self.name))
            .set("/linux/readonlyPaths", json!([]))
            .set("/linux/maskedPaths", json!([]))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.parse("--remove");
    }
}

#[test]
fn apparmor_profile_lets_programs_work() {
    let Some(loaded) = Loaded::new("work") else {
        return;
    };
    let out = loaded.cell().sh(
        "cat /proc/self/attr/current; echo text > /tmp/a && mv /tmp/a /tmp/b && cat /tmp/b && chown 1:1 /tmp/b; \
            sleep 1000 & kill $! && wait $!; echo $?",
    );
    assert_eq!(out.ok(), format!("{} (enforce)\ntext\n143\n", loaded.name));
}

#[test]
fn apparmor_profile_denies_a_container_with_every_capability_mounts_and_the_hosts_settings() {
    let Some(loaded) = Loaded::new("deny") else {
        return;
    };
    let script = "mount -t tmpfs none /mnt && echo mounted; \
        for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/sysrq /proc/sys/vm/swappiness /proc/sysrq-trigger; do \
            (: >> $file) 2>/dev/null && echo $file; \
        done; echo end";
    // Without the profile all of it is open.
    let mut open = loaded.cell().set("/process/apparmorProfile", json!(""));
    let out = open.sh(script);
    assert!(out.stdout.starts_with("mounted\n/proc/sys"), "{out:?}");
    let out = loaded.cell().sh(script);
    assert_eq!(out.stdout, "end\n", "{out:?}");
    assert!(out.stderr.contains("ermission denied"), "{out:?}");
}

#[test]
fn apparmor_profile_denies_the_kernels_cryptography_by_sockets() {
    let Some(loaded) = Loaded::new("alg") else {
        return;
    };
    // socket(AF_ALG, SOCK_SEQPACKET, 0)
    let out = raw_calls(loaded.cell().bundle, "41 38 5 0").run();
    assert_eq!(out.stdout, "-13\n", "{out:?}");
}

#[test]
fn apparmor_profile_of_a_container_holds_its_later_processes() {
    let Some(loaded) = Loaded::new("exec") else {
        return;
    };
    let inside = Inside::of(loaded.cell().bundle.args(FOREVER));
    let out = inside.shell("cat /proc/self/attr/current; mount -t tmpfs none /mnt || echo refused");
    assert_eq!(
        out.stdout,
        format!("{} (enforce)\nrefused\n", loaded.name),
        "{out:?}"
    );
}

#[test]
fn apparmor_profile_that_a_profile_wants_is_for_a_config_that_names_none() {
    let Some(loaded) = Loaded::new("wanted") else {
        return;
    };
    let bundle = crate::harness::Bundle::new();
    let file = bundle.temp().join("own.toml");
    let text = format!(
        "name = \"own\"\ndescription = \"\"\n[apparmor]\nprofile = \"{}\"\n",
        loaded.name
    );
    fs::write(&file, text).unwrap();
    let bundle = bundle.profile(Some(file.to_str().unwrap()));
    let out = bundle.shell("cat /proc/self/attr/current").run();
    assert_eq!(out.ok(), format!("{} (enforce)\n", loaded.name));
}
