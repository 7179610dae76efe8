//! `install`: the clients themselves accept what it writes, and what was there before is still there.
//! Not here: the merging case by case (src/cmd/install), and containers (clients_*.rs).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Call, Output, installed, is_foreign, runtime, skip};

/// A directory with a copy of the binary's name in it, for links that vanish with the test.
struct Desk {
    temp: TempDir,
}

/// `None` for a runtime that has no such verb.
fn desk() -> Option<Desk> {
    if is_foreign() {
        skip("other runtimes have no install");
        return None;
    }
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("bin")).unwrap();
    // A hard link, since a symbolic one is followed to where the tests must not write.
    let binary = temp.path().join("bin/stockade");
    fs::hard_link(runtime(), &binary)
        .or_else(|_| fs::copy(runtime(), &binary).map(drop))
        .unwrap();
    Some(Desk { temp })
}

impl Desk {
    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn call(&self, program: impl AsRef<Path>) -> Call {
        Call::new(program.as_ref(), self.temp.path())
    }

    fn stockade(&self, args: &[&str]) -> Output {
        self.call(self.path("bin/stockade")).args(args).output()
    }

    /// `install CLIENT --write --file FILE`.
    fn write(&self, client: &str, file: &Path) -> Output {
        self.stockade(&[
            "install",
            client,
            "--write",
            "--file",
            file.to_str().unwrap(),
        ])
    }

    fn handler(&self, name: &str) -> String {
        self.path("bin").join(name).to_str().unwrap().to_owned()
    }

    /// The claims about every file that is merged: links, a backup, and nothing the second time.
    fn written(&self, client: &str, file: &Path, old: &str, reload: &str) -> String {
        fs::write(file, old).unwrap();
        let said = self.write(client, file);
        let (bin, shown) = (self.path("bin").display().to_string(), file.display());
        let expected = format!(
            "made link \"{bin}/stockade-restricted\"\n\
             made link \"{bin}/stockade-paranoid\"\n\
             made link \"{bin}/stockade-none\"\n\
             \"{shown}\": added stockade, stockade-restricted, stockade-paranoid, stockade-none\n\
             what it was is in \"{shown}.before-stockade\"\n\
             to make it known: {reload}\n"
        );
        assert_eq!(said.ok(), expected);
        let backup = format!("{shown}.before-stockade");
        assert_eq!(fs::read_to_string(backup).unwrap(), old);
        let new = fs::read_to_string(file).unwrap();
        let again = self.write(client, file);
        assert_eq!(again.ok(), format!("\"{shown}\" has it already\n"));
        assert_eq!(fs::read_to_string(file).unwrap(), new);
        new
    }
}

#[test]
fn containerd_reads_what_was_merged() {
    let Some(desk) = desk() else { return };
    let file = desk.path("config.toml");
    let old = "version = 2\n# kept\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    sandbox_image = \"pause:1\"\n";
    let new = desk.written("containerd", &file, old, "systemctl restart containerd");
    assert!(new.starts_with(old), "{new}");
    let Some(containerd) = installed("containerd") else {
        return skip("containerd is not installed");
    };
    let call = desk.call(containerd).arg("--config").arg(&file);
    let dump = call.args(["config", "dump"]).output();
    let dump: toml::Table = dump.ok().parse().unwrap();
    let cri = &dump["plugins"]["io.containerd.grpc.v1.cri"];
    assert_eq!(cri["sandbox_image"].as_str(), Some("pause:1"));
    for name in ["stockade", "stockade-restricted", "stockade-none"] {
        let runtime = &cri["containerd"]["runtimes"][name];
        assert_eq!(
            runtime["runtime_type"].as_str(),
            Some("io.containerd.runc.v2")
        );
        let annotation = runtime["pod_annotations"][0].as_str();
        assert_eq!(annotation, Some("org.stockade.profile"));
        let binary = runtime["options"]["BinaryName"].as_str();
        assert_eq!(binary, Some(desk.handler(name).as_str()));
    }
}

#[test]
fn docker_reads_what_was_merged() {
    let Some(desk) = desk() else { return };
    let file = desk.path("daemon.json");
    let old = r#"{"log-driver": "json-file", "runtimes": {"other": {"path": "/opt/other"}}}"#;
    let new = desk.written("docker", &file, old, "systemctl reload docker");
    let new: Value = serde_json::from_str(&new).unwrap();
    let path = |name: &str| json!({"path": desk.handler(name)});
    let expected = json!({
        "log-driver": "json-file",
        "runtimes": {
            "other": {"path": "/opt/other"},
            "stockade": path("stockade"),
            "stockade-restricted": path("stockade-restricted"),
            "stockade-paranoid": path("stockade-paranoid"),
            "stockade-none": path("stockade-none"),
        },
    });
    assert_eq!(new, expected);
    let Some(dockerd) = installed("dockerd") else {
        return skip("dockerd is not installed");
    };
    let help = desk.call(&dockerd).arg("--help").output();
    if !help.stdout.contains("--validate") {
        // That a daemon uses such a file is a claim of clients_docker.rs.
        return skip("this dockerd cannot validate a file (Docker 23 and newer can)");
    }
    let call = desk.call(dockerd).args(["--validate", "--config-file"]);
    call.arg(&file).output().ok();
}

#[test]
fn podman_reads_what_was_written() {
    let Some(desk) = desk() else { return };
    let file = desk.path("containers.conf.d/50-stockade.conf");
    desk.write("podman", &file).ok();
    let Some(podman) = installed("podman") else {
        return skip("podman is not installed");
    };
    for name in ["stockade", "stockade-restricted", "stockade-none"] {
        let call = desk
            .call(&podman)
            .env("CONTAINERS_CONF", file.to_str().unwrap());
        let place = |name: &str| desk.path(name).to_str().unwrap().to_owned();
        let call = call.args(["--root", &place("root"), "--runroot", &place("run")]);
        let call = call.args([
            "--storage-driver",
            "vfs",
            "--runtime",
            name,
            "info",
            "--format",
        ]);
        let said = call.arg("{{.Host.OCIRuntime.Path}}").output();
        assert_eq!(said.ok().trim(), desk.handler(name));
    }
}

#[test]
fn without_write_nothing_changes() {
    let Some(desk) = desk() else { return };
    let file = desk.path("none/config.toml");
    for client in ["containerd", "docker", "podman", "crio"] {
        let said = desk.stockade(&["install", client, "--file", file.to_str().unwrap()]);
        let first = format!("# for {}\n", file.display());
        let is_json = serde_json::from_str::<Value>(said.ok()).is_ok();
        assert!(said.stdout.starts_with(&first) != is_json, "{said:#?}");
        assert!(said.stdout.contains(&desk.handler("stockade-restricted")));
    }
    assert!(!file.parent().unwrap().exists());
    assert_eq!(fs::read_dir(desk.path("bin")).unwrap().count(), 1);
}

#[test]
fn one_profile_is_one_handler() {
    let Some(desk) = desk() else { return };
    let said = desk.stockade(&["install", "kubernetes", "--profile", "restricted"]);
    let expected = "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: stockade-restricted\n\
                    handler: stockade-restricted\n";
    assert_eq!(said.ok(), expected);
    let said = desk.stockade(&["install", "docker", "--profile", "mine"]);
    said.refused(&[
        "install profile \"mine\"",
        "no name of the binary stands for it",
    ]);
    let said = desk.stockade(&["install", "kubernetes", "--write"]);
    said.refused(&["write to kubernetes", "it has no configuration file"]);
}

#[test]
fn a_file_that_cannot_be_merged_stays_as_it_is() {
    let Some(desk) = desk() else { return };
    let file = desk.path("daemon.json");
    let old = r#"{"runtimes": {"stockade": {"path": "/opt/other"}}}"#;
    fs::write(&file, old).unwrap();
    let said = desk.write("docker", &file);
    let shown = format!("change \"{}\"", file.display());
    said.refused(&[
        &shown,
        "runtimes.stockade",
        "it is there and calls something else",
    ]);
    assert_eq!(fs::read_to_string(&file).unwrap(), old);
    assert_eq!(fs::read_dir(desk.path("bin")).unwrap().count(), 1);
    // Nor is a name that something else has taken.
    symlink("/bin/true", desk.path("bin/stockade-none")).unwrap();
    fs::write(&file, "{}").unwrap();
    let said = desk.write("docker", &file);
    said.refused(&["make link", "stockade-none"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
}

#[test]
fn doctor_reports_in_both_formats() {
    let Some(desk) = desk() else { return };
    let state = desk.path("state");
    let state = state.to_str().unwrap();
    let said = desk.stockade(&["--root", state, "doctor", "--format", "json"]);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let failures = report["summary"]["fail"].as_u64().unwrap();
    assert_eq!(said.code, i32::from(failures > 0), "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        let id = finding["id"].as_str().unwrap();
        let needs_mending = finding["verdict"] != "ok";
        assert_eq!(finding.get("mend").is_some(), needs_mending, "{id}");
    }
    let text = desk.stockade(&["--root", state, "doctor"]);
    assert_eq!(text.code, said.code);
    let last = text.stdout.lines().last().unwrap();
    let warnings = report["summary"]["warn"].as_u64().unwrap();
    let fine = report["summary"]["ok"].as_u64().unwrap();
    assert_eq!(
        last,
        format!("{fine} ok, {warnings} warnings, {failures} failures")
    );
    assert!(!Path::new(state).exists(), "doctor changes nothing");
}

#[test]
fn doctor_fails_where_no_state_can_be_kept() {
    let Some(desk) = desk() else { return };
    let said = desk.stockade(&["--root", "/dev/null/nothing", "doctor"]);
    assert_eq!(said.code, 1, "{said:#?}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with("FAIL  state-directory"));
    let at = at.unwrap_or_else(|| panic!("{said:#?}"));
    assert_eq!(
        lines[at..at + 2],
        [
            "FAIL  state-directory    \"/dev/null/nothing\" cannot be written to",
            "                         mend: set XDG_RUNTIME_DIR, or give a directory by --root",
        ]
    );
}
