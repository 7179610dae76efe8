//! What `stockade plan BUNDLE` prints, whole, as text and as JSON, in tests/golden/plan.
//! `UPDATE_GOLDEN=1 cargo test --test integration plan` writes the files anew; the diff is then to be reviewed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stockade::sys::landlock;

use crate::harness::{Bundle, is_foreign, skip};

/// The golden file of this name.
fn golden(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan");
    dir.join(format!("{name}.txt"))
}

/// Compares the text with the golden file, or writes it.
#[track_caller]
fn is_golden(name: &str, text: &str) {
    let file = golden(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: set UPDATE_GOLDEN=1", file.display()));
    assert_eq!(text, expected, "not as in {}", file.display());
}

/// The step that only a host with cgroup v1 takes.
const V1_STEP: &str = "enter the cgroups";

/// `PHASE NUMBER  WORDS` in each line, numbered as on a host without cgroup v1.
fn text_without_v1(text: &str) -> String {
    let mut next = 0;
    let mut lines = String::new();
    for line in text.lines().filter(|line| !line.ends_with(V1_STEP)) {
        let (phase, rest) = line.split_once(' ').unwrap();
        let number = rest.split_whitespace().next().unwrap();
        if number.parse::<u32>().is_ok() {
            let words = rest.trim_start().strip_prefix(number).unwrap();
            lines += &format!("{phase:6}{next:>4}{words}\n");
            next += 1;
        } else {
            lines += &format!("{line}\n");
        }
    }
    lines
}

/// The same for one JSON document.
fn json_without_v1(text: &str) -> String {
    let mut plan: Value = serde_json::from_str(text).expect("one JSON document");
    let steps = plan["steps"].as_array_mut().unwrap();
    steps.retain(|step| step["act"] != V1_STEP);
    let numbered = steps.iter_mut().filter(|step| !step["step"].is_null());
    for (next, step) in numbered.enumerate() {
        step["step"] = json!(next);
    }
    serde_json::to_string_pretty(&plan).unwrap() + "\n"
}

/// What is planned for the bundle, in both formats, with what differs from call to call replaced by words.
#[track_caller]
fn plan_is_golden(bundle: Bundle, name: &str) {
    if is_foreign() {
        return skip("other runtimes have no plan");
    }
    // What else is done for control groups depends on the host's version of them, but for one limit of one name.
    let bundle = bundle
        .no_mount("/sys/fs/cgroup")
        .set("/linux/cgroupsPath", "/golden");
    bundle.write();
    for (format, suffix) in [("text", ""), ("json", "-json")] {
        let call = bundle.call(&["plan", "--format", format]);
        let output = call.arg(bundle.path()).output();
        assert_eq!(output.stderr, "", "{output:?}");
        let text = output
            .ok()
            .replace(bundle.path().to_str().unwrap(), "BUNDLE")
            .replace(bundle.temp().to_str().unwrap(), "TEMP");
        let text = if format == "json" {
            json_without_v1(&text)
        } else {
            text_without_v1(&text)
        };
        is_golden(&format!("{name}{suffix}"), &text);
    }
    bundle.assert_clean();
}

#[test]
fn plan_of_a_plain_bundle_is_golden() {
    plan_is_golden(Bundle::new().args(&["/bin/sh", "-c", "exit 3"]), "plain");
}

#[test]
fn plan_of_a_bundle_with_limits_and_filter_is_golden() {
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    });
    let bundle = Bundle::new()
        .args(&["/bin/id", "-u"])
        .set("/root/readonly", true)
        .set(
            "/process/user",
            json!({"uid": 1000, "gid": 1000, "additionalGids": [10]}),
        )
        .set("/process/oomScoreAdj", 100)
        .set("/domainname", "example")
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .set("/linux/resources/pids", json!({"limit": 32}))
        .set("/linux/seccomp", filter)
        .mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "nodev", "size=1m"]);
    plan_is_golden(bundle, "limits");
}

#[test]
fn plan_of_a_bundle_with_a_user_namespace_and_hooks_is_golden() {
    let hook = json!([{"path": "/bin/true", "args": ["true"], "timeout": 5}]);
    let bundle = Bundle::new()
        .user_namespace()
        .set("/hooks/createRuntime", hook.clone())
        .set("/hooks/createContainer", hook.clone())
        .set("/hooks/startContainer", hook)
        .set(
            "/linux/devices",
            json!([
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438}
            ]),
        );
    plan_is_golden(bundle, "user-namespace");
}

#[test]
fn plan_under_landlock_rules_is_golden() {
    if landlock::abi() < landlock::NEWEST {
        return skip("this kernel lacks a part of Landlock");
    }
    let bundle = Bundle::new().args(&["/bin/true"]);
    let file = bundle.temp().join("walled.toml");
    let text = "name = \"walled\"\ndescription = \"x\"\n[landlock]\nread = [\"/\"]\nwrite = [\"/tmp\", \"/dev\"]\n\
                execute = [\"/bin\"]\nbind-tcp = [8080]\nconnect-tcp = []\nscope = [\"signal\"]\n";
    fs::write(&file, text).unwrap();
    plan_is_golden(bundle.profile(Some(file.to_str().unwrap())), "landlock");
}

#[test]
fn plan_of_a_broken_bundle_is_refused() {
    if is_foreign() {
        return skip("other runtimes have no plan");
    }
    let bundle = Bundle::new();
    let plan = |bundle: &Bundle| bundle.call(&["plan"]).arg(bundle.path()).output();
    plan(&bundle).refused(&["config.json"]);
    bundle.write_raw(b"{");
    plan(&bundle).refused(&["config.json"]);
}

#[test]
fn plan_makes_nothing() {
    if is_foreign() {
        return skip("other runtimes have no plan");
    }
    let bundle = Bundle::new();
    bundle.write();
    bundle.call(&["plan"]).arg(bundle.path()).output().ok();
    assert!(!bundle.state_dir().exists());
    bundle.assert_clean();
}
