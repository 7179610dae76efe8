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
