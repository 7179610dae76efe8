//! Limits as they are seen to hold: tasks, time and the speed of a disk.
//! Not here: the files of control groups (`confinement_cgroups`), and the end of memory (`control_events`).

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::control::start;
use crate::control_events::stats;
use crate::harness::{Bundle, cgroups_named, eventually, skip};
use crate::systemd;

#[test]
fn fork_bomb_stops_at_the_limit_of_tasks() {
    let bomb = "b() { b | b & }; b 2>/dev/null; sleep 1000";
    let bundle = start(
        Bundle::new()
            .set("/linux/resources/pids", json!({"limit": 20}))
            .shell(&format!("({bomb}) & sleep 1000")),
    );
    let groups = cgroups_named(bundle.id());
    let events = groups.iter().map(|group| group.join("pids.events"));
    let events = events.filter(|file| file.exists()).collect::<Vec<_>>();
    eventually("a task more was refused", || {
        let texts = events.iter().map(|file| fs::read_to_string(file).unwrap());
        texts.into_iter().any(|text| !text.contains("max 0\n"))
    });
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let event = stats(&bundle);
        let current = event["data"]["pids"]["current"].as_u64().unwrap();
        assert!(current <= 20, "{current}");
        assert_eq!(event["data"]["pids"]["limit"], 20);
    }
    bundle.delete_by_force().ok();
    bundle.assert_clean();
}

#[test]
fn busy_loop_gets_the_time_of_its_quota() {
    let bundle = start(
        Bundle::new()
            .set(
                "/linux/resources/cpu",
                json!({"quota": 20_000, "period": 100_000}),
            )
            .shell("while :; do :; done"),
    );
    let quota = Duration::from_millis(20).as_nanos() as f64;
    let seen = || {
        let cpu = &stats(&bundle)["data"]["cpu"];
        let number = |pointer: &str| cpu.pointer(pointer).map_or(0.0, |n| n.as_f64().unwrap());
        [
            number("/usage/total"),
            number("/throttling/throttledPeriods"),
        ]
    };
    // Two looks at each end: the numbers of one are not of one moment, and there may be periods between them.
    let (begin, outer, inner) = (Instant::now(), seen(), seen());
    std::thread::sleep(Duration::from_secs(3));
    eventually("it is stopped for a while", || seen()[1] > inner[1] + 1.0);
    let (inner_end, outer_end) = (seen(), seen());
    let wall = begin.elapsed().as_nanos() as f64;
    // Never more than a fifth of the time. In a period in which it was stopped it had all of its quota, but for the first
    // one, which may have begun before; in others the machine was busy with other things.
    let used = inner_end[0] - inner[0];
    assert!(used / wall < 0.2 * 1.1, "{used} of {wall}");
    let (used, throttled) = (outer_end[0] - outer[0], inner_end[1] - inner[1] - 1.0);
    assert!(
        used > throttled * quota * 0.9,
        "{used} in {throttled} periods"
    );
    bundle.delete_by_force().ok();
}

/// `[MAJOR, MINOR]` of the disk that has this path, as the block layer counts: of the whole disk, not of a partition.
fn disk_of(path: &Path) -> Option<[i64; 2]> {
    let device = fs::metadata(path).unwrap().dev();
    let [major, minor] = [rustix::fs::major(device), rustix::fs::minor(device)];
    let entry = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let is_partition = entry.join("partition").exists();
    let disk = if is_partition {
        entry.parent()?
    } else {
        &entry
    };
    let text = fs::read_to_string(disk.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some([major.parse().ok()?, minor.parse().ok()?])
}

/// A container that writes 3 MiB to a disk that takes no more than 1 MiB a second of it, and the file and the limit as
/// `io.max` has it; says why there can be none.
fn slow_writer() -> Option<(Bundle, PathBuf, String)> {
    let mut bundle = Bundle::new();
    let Some([major, minor]) = disk_of(bundle.temp()) else {
        skip("the temporary directory is on no disk");
        return None;
    };
    let directory = bundle.outside("disk");
    let file = directory.join("x");
    let is_direct = File::options()
        .write(true)
        .create(true)
        .custom_flags(libc::O_DIRECT)
        .open(&file)
        .is_ok();
    if !is_direct {
        skip("the temporary directory takes no direct writes");
        return None;
    }
    bundle = bundle
        .bind(&directory, "/mnt", &["bind", "rw"])
        .set(
            "/linux/resources/blockIO",
            json!({"throttleWriteBpsDevice": [{"major": major, "minor": minor, "rate": 1 << 20}]}),
        )
        .shell("exec dd if=/dev/zero of=/mnt/x bs=256k count=12 oflag=direct");
    let limit = format!("{major}:{minor} rbps=max wbps=1048576 riops=max wiops=max\n");
    Some((bundle, file, limit))
}

/// It has written everything, and not sooner than the limit allows.
#[track_caller]
fn was_slow(file: &Path, begin: Instant) {
    let took = begin.elapsed();
    assert_eq!(fs::metadata(file).unwrap().len(), 3 << 20);
    assert!(took > Duration::from_millis(2700), "{took:?}");
}

#[test]
fn writer_gets_no_more_of_a_disk_than_its_limit() {
    let Some((bundle, file, _)) = slow_writer() else {
        return;
    };
    let begin = Instant::now();
    bundle.run().ok();
    was_slow(&file, begin);
}

#[test]
fn writer_in_a_scope_gets_no_more_of_a_disk_than_its_limit_also_after_a_reload_of_systemd() {
    if !systemd::is_there() {
        return;
    }
    let Some((bundle, file, limit)) = slow_writer() else {
        return;
    };
    systemd::through_systemd(&bundle, "create").output().ok();
    let scope = cgroups_named(bundle.id()).remove(0);
    let found = || fs::read_to_string(scope.join("io.max")).unwrap();
    assert_eq!(found(), limit);
    systemd::reload();
    assert_eq!(found(), limit);
    let begin = Instant::now();
    bundle.start().ok();
    bundle.becomes("stopped");
    was_slow(&file, begin);
    bundle.delete().ok();
}
