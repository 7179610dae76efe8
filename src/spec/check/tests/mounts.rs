//! Rules of `mounts` and of id maps.

use serde_json::{Value, json};

use super::{accepted, refused, with};

#[test]
#[rustfmt::skip]
fn mount_rules_name_their_mount_and_option() {
    let bind = |options: Value| json!([{"destination": "/x", "source": "/y", "options": options}]);
    refused(vec![
        ("/mounts/0/destination", json!(""), "mounts[0].destination: is empty"),
        ("/mounts/0/type", json!(""), "mounts[0].type: is missing"),
        ("/mounts/0/type", json!("bind"), "mounts[0].type: \"bind\" is no filesystem"),
        ("/mounts/0/type", json!("none"), "mounts[0].type: \"none\" is no filesystem"),
        ("/mounts/0/options", json!(["ro", ""]), "mounts[0].options: \"\" is not a mount option"),
        ("/mounts", bind(json!(["bind", "mode=755"])), "mounts[0].options: \"mode\" has no effect on a bind mount"),
        ("/mounts", bind(json!(["rbind", "sync"])), "mounts[0].options: \"sync\" has no effect on a bind mount"),
        ("/mounts", bind(json!(["rbind", "tmpcopyup"])), "mounts[0].options: \"tmpcopyup\" is only for the type \"tmpfs\""),
        ("/mounts", json!([{"destination": "/x", "options": ["bind"]}]), "mounts[0].source: is missing, a bind mount needs one"),
        ("/mounts/0/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 1}]), "mounts[0].gidMappings: is missing beside uidMappings"),
        ("/mounts/0/gidMappings", json!([{"containerID": 0, "hostID": 0, "size": 1}]), "mounts[0].uidMappings: is missing beside gidMappings"),
    ]);
    accepted(vec![
        ("/mounts", bind(json!(["rbind", "rro", "noatime", "rslave", "idmap"]))),
        ("/mounts/0/options", json!(["size=64k", "mode=1777", "tmpcopyup", "lazytime"])),
    ]);
    let (_, warnings) = with(&[("/mounts/0/destination", json!("tmp"))]).unwrap();
    let warning = "\"f\": mounts[0].destination: \"tmp\" is relative, \"/\" is put before it";
    assert_eq!(warnings, [warning]);
    let error = with(&[("/mounts/0/type", json!("bind"))]).unwrap_err();
    assert_eq!(
        error.try_this(),
        Some("add \"bind\" or \"rbind\" to options")
    );
}

#[test]
fn idmapped_mount_needs_maps_or_a_user_namespace() {
    let changes = [
        ("/linux/namespaces", json!([{"type": "mount"}])),
        ("/linux/uidMappings", json!([])),
        ("/linux/gidMappings", json!([])),
        ("/mounts/0/options", json!(["idmap"])),
    ];
    assert_eq!(
        with(&changes).unwrap_err().to_string(),
        "\"f\": mounts[0].options: an idmapped mount needs uidMappings and gidMappings, or a user namespace"
    );
}

#[test]
#[rustfmt::skip]
fn id_maps_that_the_kernel_would_refuse_are_refused() {
    let map = |ranges: &[[u32; 3]]| {
        let range = |r: &[u32; 3]| json!({"containerID": r[0], "hostID": r[1], "size": r[2]});
        Value::from(ranges.iter().map(range).collect::<Vec<_>>())
    };
    let many: Vec<[u32; 3]> = (0..341).map(|i| [i, i, 1]).collect();
    refused(vec![
        ("/linux/uidMappings", json!([]), "linux.uidMappings: is missing, a new user namespace needs it"),
        ("/linux/gidMappings", json!([]), "linux.gidMappings: is missing, a new user namespace needs it"),
        ("/linux/uidMappings", map(&[[0, 0, 0]]), "linux.uidMappings[0].size: is 0"),
        ("/linux/uidMappings", map(&[[0, u32::MAX, 1]]), "linux.uidMappings[0].hostID: 4294967295 and 1 ids go beyond 4294967294"),
        ("/linux/gidMappings", map(&[[2, 0, u32::MAX]]), "linux.gidMappings[0].containerID: 2 and 4294967295 ids go beyond 4294967294"),
        ("/linux/uidMappings", map(&[[0, 1000, 10], [9, 2000, 1]]), "linux.uidMappings[1].containerID: overlaps that of uidMappings[0]"),
        ("/linux/uidMappings", map(&[[0, 1000, 10], [10, 1009, 1]]), "linux.uidMappings[1].hostID: overlaps that of uidMappings[0]"),
        ("/linux/uidMappings", map(&many), "linux.uidMappings: 341 ranges are more than the kernel's 340"),
        ("/linux/namespaces", json!([{"type": "mount"}]), "linux.uidMappings: needs a \"user\" namespace in linux.namespaces"),
    ]);
    accepted(vec![
        ("/linux/uidMappings", map(&[[0, 0, u32::MAX]])),
        ("/linux/uidMappings", map(&[[0, 1000, 1], [1, 100_000, 65536]])),
    ]);
}
