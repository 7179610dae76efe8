//! Published races, with a real racing thread and a bounded number of rounds.
//! Not here: the same inputs without a race (`escape_paths`).

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use crate::cell::Cell;

const ROUNDS: usize = 120;
const LIMIT: Duration = Duration::from_secs(8);

/// Exchanges two names until told to stop.
fn exchange(first: &Path, second: &Path, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let name = |path: &Path| CString::new(path.to_str().unwrap()).unwrap();
    let (first, second, stop) = (name(first), name(second), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut swaps = 0;
        while !stop.load(Ordering::Relaxed) {
            renameat_with(CWD, &first, CWD, &second, RenameFlags::EXCHANGE).unwrap();
            swaps += 1;
        }
        swaps
    })
}

#[test]
fn cve_2021_30465_swapped_mount_destination_never_mounts_on_the_host() {
    let mut cell = Cell::new();
    let target = cell.target();
    let volume = cell.bundle.path().join("volume");
    fs::create_dir_all(volume.join("dir")).unwrap();
    symlink(&target, volume.join("link")).unwrap();
    cell = cell
        .mount(
            json!({"destination": "/data", "type": "bind", "source": volume,
            "options": ["bind"]}),
        )
        .mount(json!({"destination": "/data/dir", "type": "tmpfs", "source": "tmpfs"}))
        .mount(json!({"destination": "/data/dir/made", "type": "tmpfs", "source": "tmpfs"}));

    let stop = Arc::new(AtomicBool::new(false));
    let racer = exchange(&volume.join("dir"), &volume.join("link"), &stop);
    let started = Instant::now();
    for _ in 0..ROUNDS {
        cell.sh("ls / | grep -q canary && echo ESCAPED; true");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(target.to_str().unwrap()),
            "mounted on the host"
        );
        if started.elapsed() > LIMIT {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(racer.join().unwrap() > 0, "nothing was swapped");
    cell.target_is_untouched();
}

#[test]
fn swapped_proc_is_masked_wherever_it_goes() {
    let mut cell = Cell::new();
    fs::create_dir(cell.root("decoy")).unwrap();
    // Paths enough that the swap falls between the mount and the last mask.
    let paths: Vec<String> = (0..200).map(|_| "/proc/timer_list".into()).collect();
    cell = cell.set("/linux/maskedPaths", json!(paths));
    let stop = Arc::new(AtomicBool::new(false));
    let racer = exchange(&cell.root("proc"), &cell.root("decoy"), &stop);
    let started = Instant::now();
    let mut looks = 0;
    for _ in 0..ROUNDS {
        // Which of the two is /proc changes all the time, for the container as well.
        let out = cell.sh("for i in 1 2 3 4 5 6 7 8; do for d in /proc /decoy; do
            [ -e $d/self/status ] && echo looked && head -c 1 $d/timer_list; done; done 2>/dev/null; true");
        let seen = out.stdout.lines().filter(|line| *line != "looked").count();
        assert_eq!(seen, 0, "not masked: {out:?}");
        looks += out.stdout.lines().count();
        if started.elapsed() > LIMIT {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(racer.join().unwrap() > 0, "nothing was swapped");
    assert!(looks > 0, "/proc was never seen");
}
