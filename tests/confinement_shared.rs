//! Bind mounts that are shared with the host: what passes between the two sides, and what must not.
//! Not here: other propagation (`confinement_mounts`).

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::cell::Cell;

/// A cell that may mount, with the target shared with the host on /data.
fn sharing(options: &[&str]) -> Cell {
    let cell = Cell::new().set("/linux/rootfsPropagation", json!("rshared"));
    let source = cell.target();
    let capabilities = json!(["CAP_SYS_ADMIN"]);
    cell.mount(
        json!({"destination": "/data", "type": "bind", "source": source, "options": options}),
    )
    .set("/process/capabilities/bounding", capabilities.clone())
    .set("/process/capabilities/effective", capabilities.clone())
    .set("/process/capabilities/permitted", capabilities)
}

/// Runs a script in a mount namespace where the target is a shared mount with a directory `new`, then another one in that
/// namespace, and gives what both wrote.
fn output(cell: &mut Cell, script: &str, then: &str) -> String {
    let target = cell.target();
    let target = target.display();
    let prelude = format!(
        "mount -t tmpfs none {target}; mount --make-shared {target}; mkdir {target}/new
        \"$@\"; cd {target}; {then}; exit"
    );
    cell.sh_after(&prelude, script).ok().to_owned()
}

const MOUNTS: &str = "mount -t tmpfs none /data/new; touch /data/new/file";

#[test]
fn what_a_container_mounts_in_a_shared_mount_appears_on_the_host() {
    let mut cell = sharing(&["rbind", "rshared"]);
    assert_eq!(output(&mut cell, MOUNTS, "ls new"), "file\n");
}

#[test]
fn what_a_container_mounts_in_another_mount_stays_there() {
    for options in [&["rbind", "rslave"], &["rbind", "rprivate"]] {
        assert_eq!(output(&mut sharing(options), MOUNTS, "ls new"), "");
    }
    let mut cell = sharing(&["rbind", "rshared"]).set("/linux/rootfsPropagation", json!("rslave"));
    assert_eq!(output(&mut cell, MOUNTS, "ls new"), "");
}

#[test]
fn a_shared_mount_is_read_only_in_the_container_alone() {
    let mut cell = sharing(&["rbind", "rshared", "ro"]);
    let script = "touch /data/file 2>/dev/null || echo refused";
    assert_eq!(
        output(&mut cell, script, "touch file; ls file"),
        "refused\nfile\n"
    );
}

#[test]
fn mounting_inside_a_shared_mount_is_refused() {
    let mut cell = sharing(&["rbind", "rshared"])
        .mount(json!({"destination": "/data/new", "type": "tmpfs", "source": "none"}));
    cell.sh("true").refused(&[
        ".destination: \"/data/new\" is inside \"/data\", which is shared with the host, where it would be mounted too",
    ]);
    for list in ["maskedPaths", "readonlyPaths"] {
        let mut cell =
            sharing(&["rbind", "rshared"]).set(&format!("/linux/{list}"), json!(["/data/new"]));
        cell.sh("true").refused(&[&format!(
            "linux.{list}[0]: \"/data/new\" is inside \"/data\""
        )]);
    }
}

/// The one link leads a mount, the other a second shared mount, into the shared one.
#[test]
fn links_of_an_image_lead_no_mount_into_a_shared_one() {
    let mut cell = sharing(&["rbind", "rshared"]);
    let second = cell.bundle.outside("second");
    for (link, options) in [
        ("/one", ["rbind", "rprivate"]),
        ("/two", ["rbind", "rshared"]),
    ] {
        symlink("/data/new", cell.root(link)).unwrap();
        cell = cell.mount(
            json!({"destination": link, "type": "bind", "source": second, "options": options}),
        );
    }
    let said = output(
        &mut cell,
        "echo ran",
        "grep -c second /proc/self/mountinfo || true",
    );
    assert_eq!(said, "ran\n0\n");
}

/// Found by one path and by a link to it, the second mount would lie on the first, on the host too.
#[test]
fn links_of_an_image_make_no_shared_mount_lie_on_another() {
    let mut cell = sharing(&["rbind", "rshared"]);
    let second = cell.bundle.outside("second");
    symlink("/data", cell.root("/link")).unwrap();
    std::fs::create_dir(cell.root("/data")).unwrap();
    let options = ["rbind", "rshared"];
    cell = cell.mount(
        json!({"destination": "/link", "type": "bind", "source": second, "options": options}),
    );
    let target = cell.target();
    let target = target.display();
    let prelude = format!(
        "mount -t tmpfs none {target}; mount --make-shared {target}; mkdir {target}/new
        \"$@\"; grep -c {target} /proc/self/mountinfo; exit 1"
    );
    let refused = cell.sh_after(&prelude, "echo ran");
    refused.refused(&[
        "\"/link\": another mount that is shared with the host is there, and the host would see this one on it",
    ]);
}
