//! `launch` and `unpack` by a user without root: with a range of ids files keep their owners, without one they are all the
//! user's, and the user can remove what is left in either way.
//! Not here: the OCI verbs with such maps (rootless.rs), and the store as such (store.rs).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::harness::{Bundle, Call, eventually, runtime};
use crate::layered::{Image, Layer, base};
use crate::rootless::{USER, as_user, ready};

/// As many ids as the tools of distributions give.
const RANGE: &str = "for file in subuid subgid; do echo tester:200000:65536 >/etc/$file; done;";
const NO_PROGRAM: &str = "mount --bind /dev/null /usr/bin/newuidmap;";
const OWNERS: &str = "cd /; busybox stat -c '%u:%g %n' bin web nobody";

/// An image of files with several owners.
fn image(bundle: &Bundle) -> Image {
    let layer = Layer::new().file_of("web", 101).file_of("nobody", 65534);
    Image::new(bundle, "image", &[base().end(), layer.end()])
}

/// A directory of the user's.
fn home(bundle: &Bundle) -> PathBuf {
    let home = bundle.outside("home");
    chown(&home, Some(USER), Some(USER)).unwrap();
    home
}

/// `stockade FLAGS` as the user, after a prelude of the shell.
fn call(bundle: &Bundle, prelude: &str, flags: &[&str]) -> Call {
    let words: Vec<PathBuf> = [runtime(), "--root".into(), bundle.state_dir()].into();
    as_user(bundle, prelude, words).args(flags).env(
        "STOCKADE_STORE",
        home(bundle).join("store").to_str().unwrap(),
    )
}

fn launch(bundle: &Bundle, prelude: &str, flags: &[&str], image: &Image, script: &str) -> Call {
    let flags = [&["--profile", "baseline", "launch"], flags].concat();
    call(bundle, prelude, &flags)
        .arg(&image.path)
        .args(["--", "/bin/busybox", "sh", "-c", script])
}

/// Everything below, with its owner on the host.
fn owners(directory: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        found.push((path.clone(), meta.uid()));
        if meta.is_dir() {
            owners(&path, found);
        }
    }
}

/// Whose a file of the image is on the host, in the store.
fn owner_in(store: &Path, name: &str) -> Vec<u32> {
    let mut found = Vec::new();
    owners(store, &mut found);
    found.retain(|(path, _)| path.ends_with(format!("fs/{name}")));
    found.into_iter().map(|(_, uid)| uid).collect()
}

#[test]
fn files_of_an_image_keep_their_owners_and_its_user_removes_them() {
    let Some(bundle) = ready() else { return };
    let image = image(&bundle);
    let expected = "0:0 bin\n101:101 web\n65534:65534 nobody\n";
    for flags in [&[][..], &["--map", "range"], &["--no-store"]] {
        let output = launch(&bundle, RANGE, flags, &image, OWNERS).output();
        assert_eq!(output.ok(), expected, "{flags:?}");
    }
    let store = home(&bundle).join("store");
    assert_eq!(owner_in(&store, "web"), [200_100]);
    assert_eq!(owner_in(&store, "nobody"), [265_533]);
    let list = call(&bundle, RANGE, &["image", "list", "-q"]).output();
    assert_eq!(list.ok().lines().count(), 1);
    let removed = call(&bundle, RANGE, &["image", "rm", list.ok().trim()]).output();
    assert!(removed.ok().contains("removed image"), "{removed:?}");
    let mut left = Vec::new();
    owners(&store, &mut left);
    left.retain(|(path, uid)| *uid != USER || path.ends_with("fs"));
    assert_eq!(left, []);
    bundle.assert_clean();
}

#[test]
fn a_user_of_the_image_is_that_user_inside_and_one_of_the_range_outside() {
    let Some(bundle) = ready() else { return };
    let image = image(&bundle);
    let shared = bundle.outside("shared");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    let bind = format!("{}:/mnt", shared.display());
    for (uid, outside) in [(101, 200_100), (65534, 265_533)] {
        let user = uid.to_string();
        let flags = ["--bind", &bind, "--user", &user];
        let script = "busybox id -u; : >/mnt/file-$(busybox id -u)";
        let output = launch(&bundle, RANGE, &flags, &image, script).output();
        assert_eq!(output.ok(), format!("{uid}\n"));
        let made = fs::metadata(shared.join(format!("file-{uid}"))).unwrap();
        assert_eq!(made.uid(), outside);
    }
    let restricted = call(&bundle, RANGE, &["launch", "--user", "101"]).arg(&image.path);
    let refused = restricted.output();
    let reason = "101 is refused by profile \"restricted\" (identity.minimum-uid)";
    assert_eq!(refused.code, 125);
    assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    bundle.assert_clean();
}

#[test]
fn without_newuidmap_all_files_are_the_users_and_a_range_is_refused() {
    let Some(bundle) = ready() else { return };
    let image = image(&bundle);
    let output = launch(&bundle, NO_PROGRAM, &["--user", "7:8"], &image, OWNERS).output();
    assert_eq!(output.ok(), "7:8 bin\n7:8 web\n7:8 nobody\n");
    assert_eq!(owner_in(&home(&bundle).join("store"), "web"), [USER]);
    let output = launch(&bundle, NO_PROGRAM, &["--map", "range"], &image, OWNERS).output();
    let expected = "error: map a range of ids: there is no newuidmap\n\
        try: install uidmap (elsewhere shadow-utils or shadow); or give every file to this user by --map single\n";
    assert_eq!((output.code, &*output.stderr), (125, expected));
    bundle.assert_clean();
}

#[test]
fn an_owner_outside_of_the_range_is_named() {
    let Some(bundle) = ready() else { return };
    let image = image(&bundle);
    let output = launch(&bundle, "", &["--map", "range"], &image, OWNERS).output();
    output.fails(125, &["the uid 65534 is in no mapped range"]);
    assert_eq!(owner_in(&home(&bundle).join("store"), "web"), [0; 0]);
    bundle.assert_clean();
}

#[test]
fn a_killed_launch_with_a_range_leaves_nothing() {
    let Some(bundle) = ready() else { return };
    let image = image(&bundle);
    let script = "echo ready; while :; do busybox sleep 0.02; done";
    let scratch = home(&bundle).join("store/ranges/scratch");
    let run = launch(&bundle, RANGE, &["--user", "101"], &image, script).spawn();
    run.says("ready");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 1);
    run.signal(Signal::KILL);
    run.wait();
    eventually("the keeper has cleaned up", || {
        fs::read_dir(&scratch).unwrap().count() == 0
    });
    eventually("nothing is left", || {
        fs::read_dir(bundle.state_dir()).unwrap().count() == 0
    });
    bundle.assert_clean();
}

#[test]
fn a_bundle_that_a_user_unpacked_runs_as_that_user() {
    let Some(bundle) = ready() else { return };
    let image = image(&bundle);
    for (map, owner) in [("single", USER), ("range", 200_100)] {
        let target = home(&bundle).join(map);
        let unpack = ["--profile", "baseline", "unpack", "--quiet", "--map", map];
        let unpack = call(&bundle, RANGE, &unpack).arg(&image.path).arg(&target);
        unpack.output().ok();
        assert_eq!(
            fs::metadata(target.join("rootfs/web")).unwrap().uid(),
            owner
        );
        let run = call(
            &bundle,
            RANGE,
            &["--profile", "baseline", "run", "--bundle"],
        );
        let output = run.arg(&target).arg(bundle.id()).output();
        assert_eq!(output.ok(), "1500\n", "{map}");
    }
    bundle.assert_clean();
}

#[test]
fn root_has_no_map_to_choose() {
    let bundle = Bundle::new().profile(None);
    let output = bundle.call(&["launch", "--map", "range"]).output();
    let expected =
        "error: --map: root has every id already\ntry: leave it out, or call as another user\n";
    assert_eq!((output.code, &*output.stderr), (125, expected));
}
