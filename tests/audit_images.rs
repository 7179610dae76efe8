//! `audit` of images that other programs make: a clean one has no finding that matters, and one with what ought not to be in
//! it has just those.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::foreign_images::content::debian;
use crate::foreign_images::tools::Tools;
use crate::harness::{Bundle, Call, Output, installed, is_foreign, skip};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

/// What `audit` says of an image, at any severity.
fn audited(bundle: &Bundle, image: &Path) -> Output {
    let call = bundle.call(&["audit", "--format", "json", "--fail-on", "low"]);
    let call = call.env("TMPDIR", bundle.temp().to_str().unwrap());
    call.arg(image).limit(Duration::from_secs(300)).output()
}

/// `IMG-007 medium usr/bin/apt: …` for each check that failed.
fn failed(output: &Output) -> BTreeSet<String> {
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let line = |check: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, severity, got) = (
            text(&check["id"]),
            text(&check["severity"]),
            text(&check["got"]),
        );
        format!("{id} {severity} {}: {got}", text(&check["where"]["file"]))
    };
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["outcome"] == "fail")
        .map(line)
        .collect()
}

fn lines(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(ToString::to_string).collect()
}

fn write(root: &Path, path: &str, mode: u32, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The root filesystem of one program, which is busybox.
fn clean(root: &Path, busybox: &Path) {
    write(root, "bin/busybox", 0o755, &fs::read(busybox).unwrap());
    for applet in ["sh", "dpkg", "rpm", "wget"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    write(
        root,
        "etc/passwd",
        0o644,
        b"root:x:0:0::/root:\napp:x:1000:1000::/:\n",
    );
    write(root, "etc/group", 0o644, b"root:x:0:\napp:x:1000:\n");
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
}

/// What the image says of itself; a commit of umoci's forgets it.
fn configure(tools: &Tools, image: &str, env: &[&str]) {
    let settings = [
        "--config.entrypoint=/bin/busybox",
        "--config.cmd=true",
        "--config.user=app",
    ];
    let name = tools.name(image);
    tools.umoci(&[&["config", "--image", &name], &settings[..], env].concat());
}

/// What a build leaves, a key, and files that give more than they ought to.
fn add_a_build(root: &Path, busybox: &Path) {
    let program = fs::read(busybox).unwrap();
    write(root, "usr/bin/x86_64-linux-gnu-gcc-12", 0o755, &program);
    symlink("x86_64-linux-gnu-gcc-12", root.join("usr/bin/gcc")).unwrap();
    write(
        root,
        "usr/include/stdio.h",
        0o644,
        b"int puts(const char *);\n",
    );
    write(root, "srv/app/.git/HEAD", 0o644, b"ref: refs/heads/main\n");
    write(root, "srv/app/tls.key", 0o600, KEY.as_bytes());
    write(root, "srv/app/helper", 0o4755, &program);
    write(root, "srv/app/upload", 0o666, b"");
}

/// The checks that every unsigned image of busybox fails.
const UNSIGNED: &str = "IMG-003 low image: no key and no policy says who must have signed it, and no signature was looked at";
const BUSYBOX: &str = "IMG-009 low bin/busybox: busybox: a shell and network tools";

#[test]
fn clean_image_has_no_finding_that_matters_and_one_with_a_build_in_it_has_each() {
    let bundle = Bundle::new().profile(None);
    if is_foreign() {
        return skip("other runtimes have no audit");
    }
    let Some(tools) = Tools::new(&bundle, &["umoci"]) else {
        return;
    };
    let Some(busybox) = installed("busybox") else {
        return skip("busybox is not installed");
    };
    let root = tools.begin("image");
    clean(&root, &busybox);
    tools.commit("image");
    configure(&tools, "image", &[]);
    let out = audited(&bundle, &tools.layout("image"));
    out.exits(1);
    assert_eq!(failed(&out), lines(&[UNSIGNED, BUSYBOX]), "{out:#?}");

    add_a_build(&root, &busybox);
    tools.commit("image");
    fs::remove_file(root.join("srv/app/tls.key")).unwrap();
    tools.commit("image");
    let env = [
        "--config.env=DB_PASSWORD=x7Kq92LmPw4z",
        "--config.env=GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
    ];
    configure(&tools, "image", &env);
    let out = audited(&bundle, &tools.layout("image"));
    out.exits(1);
    let expected = lines(&[
        UNSIGNED,
        BUSYBOX,
        "IMG-008 medium usr/bin/x86_64-linux-gnu-gcc-12: gcc: \"/usr/bin/x86_64-linux-gnu-gcc-12\"",
        "IMG-008 medium usr/include/stdio.h: 1 header",
        "IMG-010 high srv/app/helper: whoever executes it becomes user 0",
        "IMG-013 medium srv/app/upload: everybody may write it: mode 0666",
        "IMG-016 critical srv/app/tls.key: a private key, removed by layer 2 and still in this one",
        "IMG-017 high the image's configuration: \"DB_PASSWORD\": a secret by its name",
        "IMG-018 medium srv/app/.git: a git repository with its history",
    ]);
    assert_eq!(failed(&out), expected, "{out:#?}");
    let left = fs::read_dir(bundle.temp())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().contains("stockade-audit"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn debian_has_its_package_managers_and_usual_programs_and_no_secret() {
    let bundle = Bundle::new().profile(None);
    if is_foreign() {
        return skip("other runtimes have no audit");
    }
    let archive = match debian() {
        Ok(archive) => archive,
        Err(reason) => return skip(&reason),
    };
    let out = audited(&bundle, &archive);
    out.exits(1);
    let ids = |severity: &str| -> BTreeSet<String> {
        let all = failed(&out).into_iter();
        let of = all.filter(|line| line.split(' ').nth(1) == Some(severity));
        of.map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("critical"), lines(&[]), "{out:#?}");
    assert_eq!(ids("high"), lines(&[]), "{out:#?}");
    assert_eq!(ids("medium"), lines(&["IMG-007"]), "{out:#?}");
}

/// dpkg-query(1) of the image's own database.
#[test]
fn packages_of_debian_are_those_that_dpkg_lists() {
    let bundle = Bundle::new().profile(None);
    if is_foreign() {
        return skip("other runtimes have no audit");
    }
    let Some(query) = installed("dpkg-query") else {
        return skip("dpkg-query is not installed");
    };
    let archive = match debian() {
        Ok(archive) => archive,
        Err(reason) => return skip(&reason),
    };
    let root = bundle.temp().join("debian");
    fs::create_dir(&root).unwrap();
    let call = Call::new("tar", bundle.temp()).arg("-xf").arg(&archive);
    let call = call.arg("-C").arg(&root).args(["./var/lib/dpkg"]);
    call.limit(Duration::from_secs(120)).output().ok();
    let list = |target: &Path| {
        let call = bundle.call(&["audit", "--packages", "--format", "json"]);
        let call = call
            .env("TMPDIR", bundle.temp().to_str().unwrap())
            .arg(target);
        let packages = call.limit(Duration::from_secs(300)).output().json();
        let line = |package: &Value| {
            let of = ["name", "version", "architecture", "source", "sourceVersion"];
            of.map(|member| package[member].as_str().unwrap().to_owned())
                .join(" ")
        };
        packages
            .as_array()
            .unwrap()
            .iter()
            .map(line)
            .collect::<BTreeSet<_>>()
    };
    let form = "-f=${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n";
    let call =
        Call::new(&query, bundle.temp()).arg(format!("--admindir={}/var/lib/dpkg", root.display()));
    let theirs = call.args(["-W", form]).output();
    let theirs: BTreeSet<String> = theirs.ok().lines().map(str::to_owned).collect();
    assert!(theirs.len() > 80, "{theirs:?}");
    assert_eq!(list(&root), theirs);
    assert_eq!(list(&archive), theirs);
    let call = bundle.call(&["audit", "--packages"]).arg(root.join("var"));
    call.output()
        .fails(3, &["it has no database of dpkg or apk"]);
}
