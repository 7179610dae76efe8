//! Fixtures of the checks of images and root filesystems: a clean image and a clean root are quiet, also with what comes
//! close to what a check looks for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;
use tar::EntryType;

use super::fixtures::Fixture;
use super::made::{KEY, Made, elf, signer};
use super::*;
use crate::image::{Image, Policy};

pub(super) fn fixtures() -> Vec<Fixture> {
    [of_the_whole(), of_layers(), of_programs(), of_roots()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_the_whole() -> Vec<Fixture> {
    vec![
        image(
            "IMG-001",
            |made| {
                made.damage = |layout| {
                    let image = Image::open(layout, &crate::image::Platform::host()).unwrap();
                    let path = layout.join(image.layers[0].digest.as_ref().unwrap().blob_path());
                    let mut layer = fs::read(&path).unwrap();
                    layer[700] ^= 1;
                    fs::write(&path, layer).unwrap();
                }
            },
            |_| {},
        ),
        image(
            "IMG-002",
            |made| made.name = "latest",
            |made| made.name = "1.2",
        ),
        Fixture {
            id: "IMG-003",
            fires: Box::new(|| of_made_under(signed(), Made::clean(), &["IMG-003"])),
            quiet: Box::new(|| {
                let made = Made {
                    is_signed: true,
                    ..Made::clean()
                };
                of_made_under(signed(), made, &["IMG-003"])
            }),
        },
        image(
            "IMG-005",
            |made| made.config["architecture"] = json!("arm64"),
            |_| {},
        ),
        image(
            "IMG-006",
            |made| (0..60).for_each(|_| made.layer()),
            |made| (0..10).for_each(|_| made.layer()),
        ),
        image(
            "IMG-017",
            |made| made.config["config"]["Env"] = json!(["DB_PASSWORD=x7Kq92LmPw4z"]),
            |made| {
                made.config["config"]["Env"] =
                    json!(["GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D"]);
            },
        ),
    ]
}

fn of_layers() -> Vec<Fixture> {
    vec![
        image(
            "IMG-010",
            |made| made.file("srv/helper", 0o4755, b"x"),
            |made| made.directory("srv/shared", 0o2755),
        ),
        image(
            "IMG-011",
            |made| made.capable("srv/helper"),
            |made| {
                made.capable("srv/helper");
                made.layer();
                made.file("srv/helper", 0o755, b"x");
            },
        ),
        image(
            "IMG-012",
            |made| made.fifo("run/initctl"),
            |made| made.file("run/initctl", 0o644, b""),
        ),
        image(
            "IMG-015",
            |made| made.file("srv/tls.pem", 0o600, KEY),
            |made| {
                made.file(
                    "srv/key.pem",
                    0o600,
                    b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
                );
            },
        ),
        image(
            "IMG-016",
            |made| {
                made.file("srv/key.pem", 0o600, KEY);
                made.layer();
                made.file("srv/.wh.key.pem", 0o600, b"");
            },
            |made| made.file("srv/key.pem", 0o600, KEY),
        ),
        image(
            "IMG-022",
            |made| made.file("../srv", 0o644, b""),
            |made| made.file("./srv", 0o644, b""),
        ),
    ]
}

fn of_programs() -> Vec<Fixture> {
    vec![
        root(
            "IMG-007",
            |root| file(root, "usr/bin/apt-get", 0o755, b"x"),
            |root| {
                file(root, "bin/busybox", 0o755, b"x");
                fs::hard_link(root.join("bin/busybox"), root.join("bin/dpkg")).unwrap();
                symlink("busybox", root.join("bin/rpm")).unwrap();
                file(root, "usr/share/apt-get", 0o755, b"x");
            },
        ),
        root(
            "IMG-008",
            |root| file(root, "usr/bin/x86_64-linux-gnu-gcc-12", 0o755, &elf(None)),
            |root| {
                file(root, "usr/bin/make", 0o755, b"#!/bin/app\n");
                file(root, "usr/share/x.a", 0o644, b"x");
            },
        ),
        root(
            "IMG-009",
            |root| file(root, "usr/bin/bash", 0o755, b"x"),
            |root| file(root, "etc/bash", 0o644, b"x"),
        ),
    ]
}

fn of_roots() -> Vec<Fixture> {
    vec![
        root(
            "IMG-013",
            |root| file(root, "srv/data", 0o666, b"x"),
            |root| {
                file(root, "tmp/x", 0o666, b"x");
                file(root, "run/lock/x", 0o644, b"x");
                set_mode(&root.join("run/lock"), 0o1777);
            },
        ),
        root(
            "IMG-014",
            |root| file(root, "etc/shadow", 0o600, b"root::1::::::\n"),
            |root| {
                file(
                    root,
                    "etc/shadow",
                    0o600,
                    b"root:*:1::::::\napp:!:1::::::\n",
                );
            },
        ),
        root(
            "IMG-018",
            |root| file(root, "srv/.git/HEAD", 0o644, b"ref: refs/heads/main\n"),
            |root| {
                file(root, "srv/.env.example", 0o644, b"A=b\n");
                file(root, "srv/core", 0o644, b"x");
                file(root, "root/.bash_history", 0o600, b"");
                file(root, "srv/.git/x", 0o644, b"x");
            },
        ),
        image(
            "IMG-020",
            |made| made.file("bin/app", 0o755, &elf(Some("/lib64/ld-none.so.2"))),
            |_| {},
        ),
        root(
            "IMG-021",
            |root| file(root, "var/lib/apt/lists/deb_Packages", 0o644, b"x"),
            |root| file(root, "var/lib/apt/lists/lock", 0o640, b""),
        ),
    ]
}

fn image(id: &'static str, change: fn(&mut Made), close: fn(&mut Made)) -> Fixture {
    let audited = move |change: fn(&mut Made)| {
        move || {
            let mut made = Made::clean();
            change(&mut made);
            of_made(made, &[id])
        }
    };
    Fixture {
        id,
        fires: Box::new(audited(change)),
        quiet: Box::new(audited(close)),
    }
}

fn root(id: &'static str, change: fn(&Path), close: fn(&Path)) -> Fixture {
    let audited = move |change: fn(&Path)| {
        move || {
            let place = tempfile::tempdir().unwrap();
            clean_root(place.path());
            change(place.path());
            of_root(place.path(), &[id])
        }
    };
    Fixture {
        id,
        fires: Box::new(audited(change)),
        quiet: Box::new(audited(close)),
    }
}

fn wanted(only: &[&str]) -> Wanted {
    Wanted {
        only: only.iter().map(ToString::to_string).collect(),
        skip: Vec::new(),
    }
}

/// Demands a signature.
fn signed() -> Policy {
    Policy::default().and_signed_by(signer())
}

fn of_made(made: Made, only: &[&str]) -> Findings {
    of_made_under(Policy::default(), made, only)
}

fn of_made_under(policy: Policy, made: Made, only: &[&str]) -> Findings {
    let place = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let subject = Subject {
        words: "image".to_owned(),
        image: Some(made.write(place.path())),
        terms: image::Terms {
            policy,
            scratch: Some(scratch.path().to_owned()),
            ..Default::default()
        },
        ..Subject::default()
    };
    audit(subject, &wanted(only)).unwrap()
}

fn of_root(root: &Path, only: &[&str]) -> Findings {
    let subject = Subject {
        words: "root".to_owned(),
        root: Some(root.to_owned()),
        ..Subject::default()
    };
    audit(subject, &wanted(only)).unwrap()
}

#[test]
fn an_empty_root_filesystem_answers_nothing() {
    let place = tempfile::tempdir().unwrap();
    let subject = Subject {
        words: "root".to_owned(),
        root: Some(place.path().to_owned()),
        ..Subject::default()
    };
    assert_eq!(
        audit(subject, &wanted(&[])).unwrap_err().to_string(),
        "audit root: none of the checks that are wanted looks at it"
    );
}

fn clean_root(root: &Path) {
    file(root, "bin/app", 0o755, &elf(None));
    file(
        root,
        "etc/passwd",
        0o644,
        b"root:x:0:0::/:\napp:x:1000:1000::/:\n",
    );
    file(root, "etc/group", 0o644, b"root:x:0:\n");
}

fn file(root: &Path, path: &str, mode: u32, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    set_mode(&path, mode);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Id, severity, place and words of each finding.
fn told(findings: &Findings) -> Vec<String> {
    assert_eq!(findings.unanswered, []);
    let line = |finding: &Finding| {
        format!(
            "{} {} {}: {}",
            finding.check.id,
            finding.severity,
            finding.place.stable(),
            finding.message
        )
    };
    findings.found.iter().map(line).collect()
}

#[test]
fn clean_image_and_clean_root_have_no_finding() {
    let made = Made {
        is_signed: true,
        ..Made::clean()
    };
    assert_eq!(told(&of_made_under(signed(), made, &[])), [] as [&str; 0]);
    let place = tempfile::tempdir().unwrap();
    clean_root(place.path());
    assert_eq!(told(&of_root(place.path(), &[])), [] as [&str; 0]);
}

#[test]
fn hostile_root_is_neither_followed_out_of_nor_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    clean_root(root);
    fs::remove_file(root.join("etc/passwd")).unwrap();
    symlink("/dev/zero", root.join("etc/passwd")).unwrap();
    symlink("/", root.join("host")).unwrap();
    symlink("..", root.join("loop")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    file(root, "dev/zero", 0o644, b"root::0:0::/:\n");
    let expected = [
        "IMG-012 high /fifo: FIFO",
        "IMG-014 high /etc/passwd: \"root\" needs no password",
    ];
    assert_eq!(told(&of_root(root, &[])), expected);
    fs::remove_file(root.join("dev/zero")).unwrap();
    fs::create_dir(root.join("dev/zero")).unwrap();
    let expected = ["IMG-014 high /etc/passwd: is no regular file"];
    assert_eq!(told(&of_root(root, &["IMG-014"])), expected);
}

#[test]
fn findings_of_the_root_filesystem_point_at_the_layer_that_brought_them() {
    let mut made = Made::clean();
    made.layer();
    made.file("usr/bin/apt-get", 0o755, b"x");
    let findings = of_made(made, &["IMG-007"]);
    let [finding] = &findings.found[..] else {
        panic!("{findings:?}");
    };
    assert!(matches!(&finding.place, Place::Layer { layer, path }
        if layer.starts_with("sha256:") && path == "/usr/bin/apt-get"));
}

#[test]
fn image_that_cannot_be_unpacked_is_told_by_what_is_wrong_with_it() {
    let mut made = Made::clean();
    made.entry("x", EntryType::new(b'Z'), 0o644, b"");
    let findings = of_made(made, &["IMG-001", "IMG-015", "IMG-022"]);
    let lines: Vec<_> = findings
        .found
        .iter()
        .map(|finding| (finding.check.id, &finding.message[..]))
        .collect();
    let [(check, message)] = lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(check, "IMG-022");
    assert!(message.ends_with("unknown entry type \"Z\""), "{message}");
    // What its layers hide nobody knows.
    let unanswered: Vec<_> = findings
        .unanswered
        .iter()
        .map(|(check, reason)| (check.id, &reason[..]))
        .collect();
    assert_eq!(unanswered, [("IMG-015", "its layers cannot be unpacked")]);
}

#[test]
fn bytecode_counts_as_stale_by_time_and_size_of_its_source() {
    use std::os::unix::fs::MetadataExt;
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    clean_root(root);
    file(root, "srv/a.py", 0o644, b"x = 1\n");
    let source = fs::metadata(root.join("srv/a.py")).unwrap();
    let compiled = |size: u32| {
        let time = u32::try_from(source.mtime()).unwrap();
        [
            &[0; 8][..],
            &time.to_le_bytes(),
            &size.to_le_bytes(),
            b"code",
        ]
        .concat()
    };
    let path = "srv/__pycache__/a.cpython-311.pyc";
    file(root, path, 0o644, &compiled(6));
    assert_eq!(told(&of_root(root, &["IMG-021"])), [] as [&str; 0]);
    file(root, path, 0o644, &compiled(7));
    let expected = format!(
        "IMG-021 low /{path}: compiled from another state of the source: 1 file, 20 bytes in all"
    );
    assert_eq!(told(&of_root(root, &["IMG-021"])), [expected]);
}

#[test]
fn what_a_developer_left_behind_is_told_by_what_it_is() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    clean_root(root);
    let core = [&elf(None)[..16], &[4, 0], &[0; 8]].concat();
    for (path, content) in [
        ("root/.bash_history", &b"mysql -psecret\n"[..]),
        ("root/.ssh/authorized_keys", b"ssh-ed25519 AAAA\n"),
        ("root/.ssh/known_hosts", b"x\n"),
        ("srv/.env", b"A=b\n"),
        ("srv/app.py~", b"x\n"),
        ("srv/core.17", &core),
    ] {
        file(root, path, 0o600, content);
    }
    let expected = [
        "IMG-018 medium /root/.bash_history: what somebody typed",
        "IMG-018 medium /root/.ssh/authorized_keys: \"authorized_keys\" in somebody's .ssh",
        "IMG-018 medium /srv/.env: settings of an environment, which often hold secrets",
        "IMG-018 medium /srv/app.py~: a copy that an editor made",
        "IMG-018 medium /srv/core.17: the memory of a program that was killed",
    ];
    assert_eq!(told(&of_root(root, &["IMG-018"])), expected);
}
