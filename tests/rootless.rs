//! Containers of a user without privileges whom newuidmap(1) and newgidmap(1) give ranges of ids.
//! Not here: `launch` and `unpack` (rootless_launch.rs), and Podman without root (clients_podman.rs).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Bundle, Call, Output, installed, is_foreign, patience, runtime, skip};

/// The id of a user that no machine has; its ranges are the thousand ids from 200000.
pub(crate) const USER: u32 = 54321;

/// In a mount namespace whose /etc knows the user and its ranges: `$1` is a directory for the files, `$2` what else to do
/// before the rest is run as the user. The mounts keep the flags of the host's, so that set-user-ID still counts.
const AS_USER: &str = r#"set -e; dir=$1; prelude=$2; shift 2
{ cat /etc/passwd; echo tester:x:54321:54321::/:/bin/sh; } >"$dir/passwd"
{ cat /etc/group; echo tester:x:54321:; } >"$dir/group"
echo tester:200000:1000 | tee "$dir/subuid" >"$dir/subgid"
for file in passwd group subuid subgid; do mount --bind "$dir/$file" "/etc/$file"; done
eval "$prelude"
exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@""#;

/// A bundle of this user, whose namespace has its own id as 0 and the ranges above; none where that cannot be tried.
pub(crate) fn ready() -> Option<Bundle> {
    if is_foreign() {
        skip("the error texts are stockade's");
        return None;
    }
    for path in [
        "/usr/bin/newuidmap",
        "/usr/bin/newgidmap",
        "/etc/subuid",
        "/etc/subgid",
    ] {
        if !Path::new(path).is_file() {
            skip(&format!("no {path}"));
            return None;
        }
    }
    if installed("setpriv").is_none() {
        skip("no setpriv");
        return None;
    }
    let bundle = Bundle::new()
        .no_mount("/sys")
        .no_mount("/sys/fs/cgroup")
        .remove("/linux/resources")
        .set("/linux/namespaces/-", json!({"type": "user"}))
        .set("/linux/uidMappings", maps(999))
        .set("/linux/gidMappings", maps(999));
    if !bundle.runs_without_root(|call| call.user(USER, USER).directory(Path::new("/"))) {
        return None;
    }
    fs::create_dir_all(bundle.state_dir()).unwrap();
    chown(bundle.state_dir(), Some(USER), Some(USER)).unwrap();
    bundle.outside("etc");
    Some(bundle)
}

/// The user's own id as 0, and above it this many of the others.
fn maps(size: u32) -> Value {
    json!([{"containerID": 0, "hostID": USER, "size": 1},
           {"containerID": 1, "hostID": 200_000, "size": size}])
}

/// These words as the user, after a prelude of the shell.
pub(crate) fn as_user(bundle: &Bundle, prelude: &str, words: Vec<PathBuf>) -> Call {
    Call::new("unshare", &bundle.temp().join("calls"))
        .args(["--mount", "sh", "-c", AS_USER, "sh"])
        .arg(bundle.temp().join("etc"))
        .arg(prelude)
        .args(words)
        .env("SECRET", "of the caller")
        .directory(Path::new("/"))
}

fn words(bundle: &Bundle, runtime: PathBuf, flags: &[&str], verb: &str) -> Vec<PathBuf> {
    bundle.write();
    let mut words = vec![runtime, "--root".into(), bundle.state_dir()];
    words.extend(flags.iter().map(PathBuf::from));
    words.extend([verb.into(), "--bundle".into(), bundle.path()]);
    words.push(bundle.id().into());
    words
}

#[track_caller]
fn run(bundle: &Bundle, prelude: &str) -> Output {
    let words = words(bundle, runtime(), &["--profile", "none"], "run");
    as_user(bundle, prelude, words).output()
}

#[test]
fn a_user_with_ranges_has_the_ids_of_the_config_inside_and_its_own_outside() {
    let Some(bundle) = ready() else { return };
    let shared = bundle.outside("shared");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    let script = "id -u; id -g; cd /proc/self; cat uid_map gid_map setgroups; grep Groups status; : >/mnt/file";
    let user = json!({"uid": 5, "gid": 7, "additionalGids": [11, 9]});
    let bundle = bundle
        .bind(&shared, "/mnt", &["rw"])
        .set("/process/user", user)
        .shell(script);
    let output = run(&bundle, "");
    let found: Vec<_> = output.ok().split_whitespace().collect();
    let map = ["0", "54321", "1", "1", "200000", "999"];
    let ids = [
        &["5", "7"],
        &map[..],
        &map,
        &["allow", "Groups:", "9", "11"],
    ]
    .concat();
    assert_eq!(found, ids);
    assert_eq!(output.stderr, "");
    let file = fs::metadata(shared.join("file")).unwrap();
    assert_eq!((file.uid(), file.gid()), (200_004, 200_006));
    bundle.assert_clean();
}

#[test]
fn plan_says_that_the_programs_map_the_ids() {
    let Some(bundle) = ready() else { return };
    bundle.write();
    let call = bundle.call(&["plan"]).arg(bundle.path()).user(USER, USER);
    let output = call.directory(Path::new("/")).output();
    let map = "0 54321 1, 1 200000 999";
    let line = format!("map ids: users {map} by newuidmap, groups {map} by newgidmap");
    assert!(output.ok().contains(&line), "{output:?}");
}

#[test]
fn a_user_with_ranges_creates_enters_kills_and_deletes() {
    let Some(bundle) = ready() else { return };
    let bundle = bundle
        .set("/process/user", json!({"uid": 5, "gid": 7}))
        .shell("trap 'exit 0' TERM; while :; do sleep 0.02; done");
    let create = words(&bundle, runtime(), &["--profile", "none"], "create");
    as_user(&bundle, "", create).output().ok();
    let call = |verb: &[&str]| {
        let call = bundle.call(verb).user(USER, USER).directory(Path::new("/"));
        call.output()
    };
    call(&["start", bundle.id()]).ok();
    let exec = call(&[
        "exec",
        "--user",
        "3:4",
        bundle.id(),
        "/bin/sh",
        "-c",
        "id -u; id -g",
    ]);
    assert_eq!(exec.ok(), "3\n4\n");
    call(&["kill", bundle.id(), "KILL"]).ok();
    call(&["delete", "--force", bundle.id()]).ok();
    bundle.assert_clean();
}

#[test]
fn a_range_that_the_user_was_not_given_is_refused_in_the_words_of_newuidmap() {
    let Some(bundle) = ready() else { return };
    let bundle = bundle.set("/linux/uidMappings", maps(1001));
    let output = run(&bundle, "");
    let expected = concat!(
        r#"error: linux.uidMappings: run "/usr/bin/newuidmap": exited with 1: "#,
        r#""newuidmap: uid range [1-1002) -> [200000-201001) not allowed""#,
        "\ntry: /etc/subuid says which ids this user may map; stockade doctor says how to add some\n"
    );
    assert_eq!((output.code, &*output.stderr), (1, expected));
    bundle.assert_clean();
    let others = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    let bundle = bundle
        .set("/linux/uidMappings", maps(999))
        .set("/linux/gidMappings", others);
    run(&bundle, "").refused(&[
        "linux.gidMappings",
        "newgidmap",
        "not allowed",
        "/etc/subgid",
    ]);
    bundle.assert_clean();
}

#[test]
fn a_missing_newuidmap_is_named_with_what_to_install() {
    let Some(bundle) = ready() else { return };
    let output = run(&bundle, "mount --bind /dev/null /usr/bin/newuidmap");
    let expected = "error: linux.uidMappings: no newuidmap in /usr/bin, /bin, /usr/sbin, /sbin, /usr/local/bin, \
        /run/wrappers/bin\ntry: install uidmap (elsewhere shadow-utils or shadow), or map one's own id alone, in one line of \
        size 1\n";
    assert_eq!((output.code, &*output.stderr), (1, expected));
    bundle.assert_clean();
}

#[test]
fn a_newuidmap_that_hangs_is_killed_and_named() {
    let Some(bundle) = ready() else { return };
    let program = bundle.temp().join("hang");
    fs::write(&program, "#!/bin/sh\necho asking >&2\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let prelude = format!("mount --bind {} /usr/bin/newuidmap", program.display());
    let words = words(&bundle, runtime(), &["--profile", "none"], "run");
    let limit = patience(Duration::from_secs(60));
    let output = as_user(&bundle, &prelude, words).limit(limit).output();
    output.refused(&[
        "error: linux.uidMappings: run \"/usr/bin/newuidmap\": still running after 30 s, killed: \"asking\"",
        "try: it asks for users by nsswitch.conf(5)",
    ]);
    bundle.assert_clean();
}

#[test]
fn without_privileges_by_no_new_privs_the_hint_says_so() {
    let Some(bundle) = ready() else { return };
    let mut words = words(&bundle, runtime(), &["--profile", "none"], "run");
    words.splice(0..0, ["setpriv", "--no-new-privs"].map(PathBuf::from));
    as_user(&bundle, "", words)
        .output()
        .refused(&["run \"/usr/bin/newgidmap\"", "no_new_privs is set here"]);
}

#[test]
fn ones_own_id_alone_takes_neither_program() {
    let Some(bundle) = ready() else { return };
    let own = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    let bundle = bundle
        .set("/linux/uidMappings", own.clone())
        .set("/linux/gidMappings", own)
        .shell("id -u; cat /proc/self/setgroups");
    let prelude = "for id in u g; do mount --bind /dev/null /usr/bin/new${id}idmap; done";
    assert_eq!(run(&bundle, prelude).ok(), "0\ndeny\n");
}

#[test]
fn a_newuidmap_in_path_is_not_run() {
    let Some(bundle) = ready() else { return };
    let bundle = bundle.shell("id -u");
    let evil = bundle.outside("evil");
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o777)).unwrap();
    let prelude = format!(
        "cd {0}; for id in u g; do printf '#!/bin/sh\\n: >{0}/ran\\n' >new${{id}}idmap; done
        chmod 755 new*; PATH={0}:$PATH",
        evil.display()
    );
    assert_eq!(run(&bundle, &prelude).ok(), "0\n");
    assert!(evil.join("newuidmap").exists());
    assert!(!evil.join("ran").exists());
}

/// What newuidmap is given of ours, and what it says, are looked at by a script in its place.
#[track_caller]
fn run_with(bundle: &Bundle, script: &str) -> Output {
    let fake = bundle.temp().join("fake");
    fs::write(&fake, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    run(
        bundle,
        &format!("mount --bind {} /usr/bin/newuidmap", fake.display()),
    )
}

#[test]
fn newuidmap_gets_arguments_and_nothing_else() {
    let Some(bundle) = ready() else { return };
    let script = r#"pid=$1; shift; fds=$(cd /proc/$$/fd && echo *)
        echo "$(tr '\0' ' ' </proc/$$/environ)|$PWD|$*|$fds" >&2; kill -9 $$"#;
    let output = run_with(&bundle, script);
    // The shell reads the list through 3, and its script through 10 or 255.
    let error = output.error().replace("0 1 2 255 3", "0 1 10 2 3");
    let expected = concat!(
        r#"run "/usr/bin/newuidmap": killed by signal 9 (SIGKILL): "#,
        r#""|/|0 54321 1 1 200000 999|0 1 10 2 3""#
    );
    assert!(error.contains(expected), "{error}");
    bundle.assert_clean();
}

#[test]
fn a_newuidmap_that_maps_nothing_is_found_out() {
    let Some(bundle) = ready() else { return };
    let output = run_with(&bundle, "exit 0");
    let expected = "error: linux.uidMappings: newuidmap has left \"\"\n";
    assert_eq!((output.code, &*output.stderr), (1, expected));
    bundle.assert_clean();
}

#[test]
fn the_same_bundle_looks_the_same_by_runc() {
    let Some(bundle) = ready() else { return };
    let Some(runc) = installed("runc") else {
        return skip("no runc");
    };
    let bundle = bundle
        .set("/process/user", json!({"uid": 5, "gid": 7}))
        .shell("id -u; id -g; cd /proc/self; cat uid_map gid_map setgroups; grep Groups status");
    let own = run(&bundle, "");
    let theirs = as_user(&bundle, "", words(&bundle, runc, &[], "run")).output();
    assert_eq!(own.ok(), theirs.ok());
}
