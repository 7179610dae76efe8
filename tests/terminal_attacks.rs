//! Root filesystems that would have the terminal be another one (CVE-2025-52565, CVE-2026-88264): what /dev/pts and
//! /dev/console are is looked at by descriptor.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::cell::Cell;
use crate::harness::{Output, Pty, is_foreign, skip};

/// Runs `true` with a terminal.
#[track_caller]
fn run(cell: &mut Cell) -> Output {
    let pty = Pty::new();
    cell.bundle.config["process"]["terminal"] = json!(true);
    cell.bundle.config["process"]["args"] = json!(["/bin/true"]);
    // The terminal's text is read by nobody; the error goes to a file.
    let call = cell.bundle.launch("run", &[]);
    call.stdin(pty.end.try_clone().unwrap()).output()
}

/// No tmpfs on /dev: what is there is the image's.
fn own_dev() -> Cell {
    let cell = Cell::without_dev();
    fs::create_dir_all(cell.root("dev/pts")).unwrap();
    cell
}

fn with_devpts(cell: Cell) -> Cell {
    cell.mount(
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
        "options": ["newinstance", "ptmxmode=0666", "mode=0620"]}),
    )
}

const NO_DEVPTS: &str = "error: make process.terminal: there is no devpts on \"/dev/pts\"\n\
     try: a terminal needs a mount of type devpts on /dev/pts\n";

#[test]
fn cve_2026_88264_console_that_is_a_link_is_refused() {
    if is_foreign() {
        return skip("the oracle has its own words");
    }
    let mut cell = with_devpts(own_dev());
    let outside = cell.target().join("made");
    symlink(&outside, cell.root("dev/console")).unwrap();
    let output = run(&mut cell);
    assert_eq!(
        output.stderr,
        "error: make process.terminal: \"/dev/console\" is neither a file nor a device\n"
    );
    assert!(!cell.root(outside.to_str().unwrap()).exists());
    cell.target_is_untouched();
}

#[test]
fn console_that_is_a_directory_is_refused() {
    let mut cell = with_devpts(own_dev());
    fs::create_dir(cell.root("dev/console")).unwrap();
    run(&mut cell).refused(&["\"/dev/console\" is neither a file nor a device"]);
}

#[test]
fn console_of_the_image_is_covered_and_stays_as_it_is() {
    let mut cell = with_devpts(own_dev());
    fs::write(cell.root("dev/console"), "the image's").unwrap();
    assert_eq!(run(&mut cell).code, 0);
    let text = fs::read_to_string(cell.root("dev/console")).unwrap();
    assert_eq!(text, "the image's");
}

#[test]
fn cve_2025_52565_pts_that_is_no_devpts_is_refused() {
    if is_foreign() {
        return skip("the oracle has its own words");
    }
    let mut cell = own_dev();
    fs::write(cell.root("dev/pts/ptmx"), "").unwrap();
    assert_eq!(run(&mut cell).stderr, NO_DEVPTS);
    // Opening this one would wait for ever.
    let mut cell = own_dev();
    let fifo = nix::sys::stat::Mode::from_bits_truncate(0o666);
    nix::unistd::mkfifo(&cell.root("dev/pts/ptmx"), fifo).unwrap();
    assert_eq!(run(&mut cell).stderr, NO_DEVPTS);
    let mut cell = own_dev();
    fs::remove_dir(cell.root("dev/pts")).unwrap();
    symlink("../etc", cell.root("dev/pts")).unwrap();
    assert_eq!(run(&mut cell).stderr, NO_DEVPTS);
    let mut cell = own_dev();
    fs::remove_dir(cell.root("dev/pts")).unwrap();
    assert_eq!(run(&mut cell).stderr, NO_DEVPTS);
}

#[test]
fn ptmx_of_the_image_is_not_used() {
    let mut cell = with_devpts(own_dev());
    symlink("/proc/self/fd/0", cell.root("dev/ptmx")).unwrap();
    assert_eq!(run(&mut cell).code, 0);
}

#[test]
fn mount_over_the_multiplexer_is_refused() {
    let cell = with_devpts(own_dev());
    let file = cell.target().join("canary");
    let mut cell = cell.mount(json!({"destination": "/dev/pts/ptmx", "type": "bind",
        "source": file, "options": ["bind"]}));
    run(&mut cell).refused(&["make process.terminal: openat2: invalid cross-device link (EXDEV)"]);
    cell.target_is_untouched();
}

#[test]
fn terminal_of_the_host_is_not_the_containers() {
    let mut cell = Cell::new();
    let mut pty = Pty::new();
    cell.bundle.config["process"]["terminal"] = json!(true);
    let script = "ls -l /proc/*/fd 2>/dev/null | grep -c 'pts/[1-9]'; cat /proc/mounts | grep -c ' /dev/console devpts'";
    cell.bundle.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    let running = cell.bundle.launch("run", &[]).terminal(&pty.end).spawn();
    let text = pty.all_of(&running);
    assert_eq!(running.wait().code, 0, "{text}");
    assert_eq!(text, "0\r\n1\r\n");
}
