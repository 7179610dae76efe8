//! Sources of bind mounts that are inside the root filesystem: by an earlier mount, or by a link of the image.
//! Not here: sources on the host (`confinement_mounts`).

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::cell::Cell;
use crate::harness::Bundle;

#[test]
fn source_inside_the_root_filesystem_is_what_an_earlier_mount_has_put_there() {
    for bundle in [Bundle::new(), Bundle::new().user_namespace()] {
        let cell = Cell::of(bundle.no_mount("/sys").no_mount("/sys/fs/cgroup"));
        let target = cell.target();
        let inside = cell.bundle.rootfs().join("mnt/first");
        let mut cell = cell
            .mount(json!({"destination": "/mnt/first", "source": target, "options": ["bind"]}))
            .mount(json!({"destination": "/mnt/second", "source": inside, "options": ["rbind"]}));
        assert_eq!(cell.sh("cat /mnt/second/canary").ok(), "untouched");
    }
}

#[test]
fn link_of_the_image_leads_no_source_inside_the_root_filesystem_out_of_it() {
    for cell in [Cell::new(), Cell::new().in_our_way()] {
        let target = cell.target();
        symlink(&target, cell.root("way")).unwrap();
        let inside = cell.bundle.rootfs().join("way/canary");
        let mut cell =
            cell.mount(json!({"destination": "/mnt/file", "source": inside, "options": ["bind"]}));
        let words = [
            "mount \"/way/canary\" of the root on \"/mnt/file\"",
            "open_tree: no such file or directory (ENOENT)",
        ];
        cell.sh("cat /mnt/file").refused(&words);
        cell.target_is_untouched();
    }
}

/// The runtime opens these on the host, where a link of the image leads anywhere.
#[test]
fn source_inside_the_root_filesystem_is_neither_shared_nor_idmapped() {
    for options in [["bind", "rshared"], ["bind", "idmap"]] {
        let bundle = Cell::new().bundle;
        let cell = Cell::of(bundle.set("/linux/rootfsPropagation", "rshared"));
        let target = cell.target();
        symlink(&target, cell.root("way")).unwrap();
        let inside = cell.bundle.rootfs().join("way");
        let ids = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
        let mut mount = json!({"destination": "/mnt", "source": inside, "options": options});
        if options.contains(&"idmap") {
            mount["uidMappings"] = ids.clone();
            mount["gidMappings"] = ids;
        }
        let mut cell = cell.mount(mount);
        cell.sh("ls /mnt").refused(&[
            "source",
            "inside the root filesystem",
            "neither shared nor idmapped",
        ]);
        cell.target_is_untouched();
    }
}

/// A destination with the path of the root filesystem is `/dev` too: no nodes are made on the host's.
#[test]
fn devices_bound_by_the_root_path_are_left_alone() {
    let cell = Cell::without_dev();
    let target = cell.target();
    let dev = cell.bundle.rootfs().join("dev");
    let mut cell = cell.mount(json!({"destination": dev, "source": target, "options": ["rbind"]}));
    assert_eq!(cell.sh("ls /dev").ok(), "canary\n");
    cell.target_is_untouched();
}
