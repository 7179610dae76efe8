//! Somebody else who swaps a directory for a symlink to outside while a layer is unpacked.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags};

#[test]
fn swapped_directories_lead_nowhere_outside() {
    // [U21: CVE-2018-15664, CVE-2025-47290]
    let place = Place::new();
    let layer = (0..50).fold(Layer::new().dir("d"), |layer, number| {
        layer
            .dir("d/e")
            .file(format!("d/e/f{number}"), "x")
            .file(format!("d/f{number}"), "x")
            .hard_link("d/l", format!("d/f{number}"))
            .file("d/.wh.v", "")
            .file("d/e/.wh..wh..opq", "")
            .entry(EntryType::Directory, "d", b"", |header| {
                header.set_mode(0o777);
            })
    });
    let blob = layer.end();
    fs::create_dir(place.path("d")).unwrap();
    std::os::unix::fs::symlink(place.out(), place.path("swap")).unwrap();
    let is_over = AtomicBool::new(false);
    let (mut rounds, mut whole, mut swaps) = (0, 0, 0u64);
    thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let (one, other) = (place.path("d"), place.path("swap"));
            let mut swaps = 0;
            while !is_over.load(Ordering::Relaxed) {
                let flags = RenameFlags::EXCHANGE;
                swaps +=
                    u64::from(rustix::fs::renameat_with(CWD, &one, CWD, &other, flags).is_ok());
                if !fs::symlink_metadata(&other).is_ok_and(|stat| stat.is_symlink())
                    && !fs::symlink_metadata(&one).is_ok_and(|stat| stat.is_symlink())
                {
                    fs::remove_dir_all(&other).ok();
                    std::os::unix::fs::symlink(place.out(), &other).ok();
                }
            }
            swaps
        });
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            let options = Options::for_caller("");
            whole += u64::from(
                place
                    .apply_bytes(&blob, &options, &Budget::default())
                    .is_ok(),
            );
            rounds += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        swaps = swapping.join().unwrap();
    });
    eprintln!("{rounds} rounds, {whole} of them whole, {swaps} swaps");
    assert!(swaps > 1000, "{swaps}");
    place.assert_outside_is_untouched();
}
