//! `process.terminal` in the foreground: the container's own terminal, relayed to the caller's.
//! Not here: console sockets (`terminal_socket`) and hostile root filesystems (`terminal_attacks`).

use std::fs::File;
use std::io::Read;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Bundle, Call, Pty, eventually, installed, runtime, skip};

/// A bundle whose program has a terminal.
fn bundle(script: &str) -> Bundle {
    Bundle::new()
        .set("/process/terminal", true)
        .shell(script)
        .capabilities(&["CAP_KILL", "CAP_SETUID", "CAP_SETGID"])
}

/// What a script says on a terminal, to its end.
#[track_caller]
fn said(bundle: &Bundle, code: i32) -> String {
    said_by(bundle.launch("run", &[]), code)
}

#[track_caller]
fn said_by(call: Call, code: i32) -> String {
    let mut pty = Pty::new();
    let running = call.terminal(&pty.end).spawn();
    let text = pty.all_of(&running);
    assert_eq!(running.wait().code, code, "{text}");
    text.replace("\r\n", "\n")
}

const LOOK: &str = "tty; stty size; for fd in 0 1 2; do test -t $fd && echo $fd; done; \
    stat -c '%t:%T %a %u %F' /dev/pts/0 /dev/console; echo /dev/pts/*; \
    for fd in 0 1 2; do readlink /proc/self/fd/$fd; done; \
    cut -d ' ' -f 5-7 /proc/self/stat; echo through /dev/tty >/dev/tty; exit 3";

#[test]
fn terminal_of_run_is_one_of_the_containers_own() {
    let text = said(&bundle(LOOK), 3);
    let parts: Vec<&str> = text.lines().collect();
    assert_eq!(
        parts,
        [
            "/dev/pts/0",
            "33 77",
            "0",
            "1",
            "2",
            "88:0 620 0 character special file",
            "88:0 620 0 character special file",
            "/dev/pts/0 /dev/pts/ptmx",
            "/dev/pts/0",
            "/dev/pts/0",
            "/dev/pts/0",
            // The program's group, its session, and the device number of its controlling terminal.
            "1 1 34816",
            "through /dev/tty",
        ]
    );
}

#[test]
fn terminal_is_what_it_is_by_runc() {
    let Some(runc) = installed("runc") else {
        return skip("no runc to compare with");
    };
    assert_eq!(said(&bundle(LOOK), 3), said(&bundle(LOOK).by(runc), 3));
}

#[test]
fn terminal_belongs_to_the_user() {
    let bundle = bundle("stat -c '%u %a' /dev/pts/0 /dev/console; echo opened >/dev/pts/0")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(said(&bundle, 0), "1000 620\n1000 620\nopened\n");
}

#[test]
fn terminal_is_mapped_in_a_user_namespace() {
    let bundle = bundle("tty; stat -c '%u %a' /dev/console")
        .user_namespace()
        .no_mount("/sys/fs/cgroup")
        .set("/process/user", json!({"uid": 7, "gid": 7}));
    assert_eq!(said(&bundle, 0), "/dev/pts/0\n7 620\n");
}

#[test]
fn interrupt_key_stops_a_job_and_not_the_shell() {
    let mut pty = Pty::new();
    let bundle = bundle("").args(&["/bin/sh", "-i"]);
    let running = bundle.launch("run", &[]).terminal(&pty.end).spawn();
    pty.types("PS1='> '; echo re''ady\n");
    pty.says("ready");
    pty.types("echo wai''ting; sleep 100\n");
    pty.says("waiting");
    // The job may not be the terminal's yet.
    eventually("the job is interrupted", || {
        pty.types("\x03");
        pty.all().contains('>')
    });
    pty.types("echo status $?\n");
    pty.says("status 130");
    pty.types("sleep 100 &\njobs\n");
    pty.says("Running");
    pty.types("exit 7\n");
    assert_eq!(running.wait().code, 7);
}

#[test]
fn new_size_arrives() {
    let mut pty = Pty::new();
    let script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done";
    let bundle = bundle(script);
    let running = bundle.launch("run", &[]).terminal(&pty.end).spawn();
    pty.says("ready");
    pty.resize(11, 44);
    running.signal(Signal::WINCH);
    pty.says("11 44");
    bundle.kill("KILL").ok();
    assert_eq!(running.wait().code, 137);
}

#[test]
fn own_terminal_is_raw_while_the_program_runs_and_restored_after_it() {
    let mut pty = Pty::new();
    let before = pty.modes();
    let bundle = bundle("echo ready; read line; exit 0");
    let running = bundle.launch("run", &[]).terminal(&pty.end).spawn();
    pty.says("ready");
    eventually("raw", || pty.is_raw());
    pty.types("\n");
    assert_eq!(running.wait().code, 0);
    assert_eq!(pty.modes(), before);
}

#[test]
fn own_terminal_is_restored_when_the_container_is_killed() {
    let mut pty = Pty::new();
    let before = pty.modes();
    let bundle = bundle("echo ready; sleep 100");
    let running = bundle.launch("run", &[]).terminal(&pty.end).spawn();
    pty.says("ready");
    eventually("raw", || pty.is_raw());
    bundle.kill("KILL").ok();
    assert_eq!(running.wait().code, 137);
    assert_eq!(pty.modes(), before);
}

#[test]
fn own_terminal_is_restored_when_stockade_is_told_to_end() {
    let mut pty = Pty::new();
    let before = pty.modes();
    let bundle = bundle("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    let running = bundle.launch("run", &[]).terminal(&pty.end).spawn();
    pty.says("ready");
    eventually("raw", || pty.is_raw());
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, 9);
    assert_eq!(pty.modes(), before);
}

#[test]
fn own_terminal_is_restored_when_the_program_cannot_start() {
    let pty = Pty::new();
    let before = pty.modes();
    let bundle = bundle("").args(&["/no/such/program"]);
    let output = bundle.launch("run", &[]).terminal(&pty.end).output();
    assert_eq!(output.code, 127);
    assert_eq!(pty.modes(), before);
}

#[test]
fn all_output_arrives_before_the_end() {
    let text = said(&bundle("seq 1 20000"), 0);
    let numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.into_iter().eq(1..=20000));
}

#[test]
fn input_longer_than_a_buffer_arrives() {
    let mut pty = Pty::new();
    let bundle = bundle("stty -echo; echo ready; wc -c");
    let running = bundle.launch("run", &[]).terminal(&pty.end).spawn();
    pty.says("ready");
    eventually("raw", || pty.is_raw());
    for _ in 0..200 {
        pty.types(&format!("{}\n", "x".repeat(99)));
    }
    pty.types("\x04");
    pty.says("20000");
    assert_eq!(running.wait().code, 0);
}

#[test]
fn end_of_piped_input_is_the_end_of_the_terminals() {
    let mut pty = Pty::new();
    let bundle = bundle("stty -echo; cat; echo over");
    let input = bundle.temp().join("input");
    std::fs::write(&input, "a line\nand a half").unwrap();
    let call = bundle.launch("run", &[]).terminal(&pty.end);
    let running = call.stdin(File::open(input).unwrap()).spawn();
    let text = pty.says("over");
    assert!(text.contains("a line\r\nand a halfover"), "{text:?}");
    assert_eq!(running.wait().code, 0);
}

#[test]
fn program_may_close_its_terminal_and_open_it_again() {
    let text = said(
        &bundle("exec <&- >&- 2>&-; sleep 0.3; echo again >/dev/tty"),
        0,
    );
    assert_eq!(text, "again\n");
}

#[test]
fn program_is_hung_up_when_nobody_reads_its_terminal() {
    let pty = Pty::new();
    let bundle = bundle("trap 'exit 5' HUP; while :; do echo more; sleep 0.05; done");
    let (mut reader, writer) = std::io::pipe().unwrap();
    let running = bundle
        .launch("run", &[])
        .terminal(&pty.end)
        .to(writer)
        .spawn();
    let mut first = [0; 4];
    reader.read_exact(&mut first).unwrap();
    drop(reader);
    assert_eq!(running.wait().code, 5);
}

#[test]
fn reader_that_does_not_read_keeps_no_signal_from_the_container() {
    let pty = Pty::new();
    let script = "trap 'exit 6' TERM; seq 1 100000 & echo >/listens; while :; do sleep 0.05; done";
    let bundle = bundle(script);
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let pipe = writer.try_clone().unwrap();
    let is_full = || {
        let mut fds = [PollFd::new(&pipe, PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 0
    };
    let call = bundle.launch("run", &[]).terminal(&pty.end);
    let running = call.to(writer).spawn();
    let is_running = || bundle.state().stdout.contains("running");
    eventually("the container listens and the pipe is full", || {
        bundle.rootfs().join("listens").exists() && is_full()
    });
    running.signal(Signal::TERM);
    eventually("the container ends", || !is_running());
    drop(reader);
    assert_eq!(running.wait().code, 6);
}

#[test]
fn without_a_terminal_the_error_says_what_to_do() {
    let output = bundle("true").launch("run", &[]).output();
    assert_eq!(output.code, 1);
    assert_eq!(
        output.stderr,
        "error: process.terminal: stockade has no terminal of its own to connect it to\n\
         try: run it from a terminal, set process.terminal to false, or use --detach with --console-socket\n"
    );
}

#[test]
fn launch_gives_a_terminal_where_there_is_one() {
    let bundle = Bundle::new();
    let script = "for fd in 0 1 2; do test -t $fd && echo $fd; done; tty";
    for flags in [&[][..], &["-t"], &["-it"], &["--tty=always"]] {
        let call = bundle.call(&["launch"]).args(flags);
        let call = call
            .arg(bundle.rootfs())
            .args(["--", "/bin/sh", "-c", script]);
        assert_eq!(said_by(call, 0), "0\n1\n2\n/dev/pts/0\n", "{flags:?}");
    }
}

#[test]
fn launch_gives_no_terminal_where_it_is_not_wanted() {
    let bundle = Bundle::new();
    let call = bundle.call(&["launch", "--tty=never"]);
    let call = call
        .arg(bundle.rootfs())
        .args(["--", "/bin/ls", "/dev/pts"]);
    assert_eq!(said_by(call, 0), "ptmx\n");
    let call = bundle.call(&["launch", "-t"]).arg(bundle.rootfs());
    let output = call.args(["--", "/bin/true"]).output();
    output.fails(
        125,
        &["process.terminal: stockade has no terminal of its own"],
    );
}

#[test]
fn interrupt_key_twice_ends_a_launch_that_could_not_be_interrupted() {
    let mut pty = Pty::new();
    let bundle = Bundle::new();
    let call = bundle.call(&["launch"]).arg(bundle.rootfs());
    let call = call.args(["--", "/bin/sleep", "100"]);
    let running = call.terminal(&pty.end).spawn();
    // The program runs by then.
    eventually("raw", || pty.is_raw());
    eventually("it ends", || {
        pty.types("\x03");
        pty.all();
        running.has_ended()
    });
    assert_eq!(running.wait().code, 137);
}

#[test]
fn launch_without_root_gives_a_terminal() {
    let bundle = Bundle::new();
    let state = bundle.outside("state-of-user");
    std::os::unix::fs::chown(&state, Some(1000), Some(1000)).unwrap();
    let call = bundle
        .bare_call()
        .arg("--root")
        .arg(&state)
        .user(1000, 1000);
    let script = "tty; stat -c %u /dev/console; test -w /dev/pts/0 && echo writable";
    let call = call.args(["launch", "-t"]).arg(bundle.rootfs());
    let call = call.args(["--", "/bin/sh", "-c", script]);
    let text = said_by(call, 0);
    assert!(text.ends_with("/dev/pts/0\n1000\nwritable\n"), "{text}");
}

#[test]
fn terminal_of_exec_is_one_of_the_containers_own() {
    let bundle = Bundle::new().args(&["/bin/sleep", "1000"]);
    bundle.launch("run", &["--detach"]).output().ok();
    let look = "tty; stty size; for fd in 0 1 2; do test -t $fd && echo $fd; done; \
        stat -c '%t:%T %a %u' /dev/pts/0; ls -1 /proc/$$/fd; echo through /dev/tty >/dev/tty; exit 3";
    let call = bundle.call(&["exec", "-t", "-u", "7", bundle.id(), "sh", "-c", look]);
    let text = said_by(call, 3);
    let expected = "/dev/pts/0\n33 77\n0\n1\n2\n88:0 620 7\n0\n1\n2\nthrough /dev/tty\n";
    assert_eq!(text, expected);
    // Keys reach it, its end is told, and the caller's terminal is as before.
    let mut pty = Pty::new();
    let before = pty.modes();
    let script = "echo ready; read word; echo got $word; exit 4";
    let running = bundle
        .call(&["exec", "-t", bundle.id(), "sh", "-c", script])
        .terminal(&pty.end)
        .spawn();
    pty.says("ready");
    eventually("raw", || pty.is_raw());
    pty.types("words\r");
    pty.says("got words");
    running.wait().exits(4);
    assert_eq!(pty.modes(), before);
    bundle.delete_by_force().ok();
}

#[test]
fn terminal_of_exec_comes_after_the_process_is_known_however_slow_the_one_in_between() {
    let Some(strace) = installed("strace") else {
        return skip("no strace to slow a process down with");
    };
    let bundle = Bundle::new().args(&["/bin/sleep", "1000"]);
    bundle.launch("run", &["--detach"]).output().ok();
    // Whoever clones goes on half a second later, and what it has cloned at once.
    let slow = ["-f", "-o", "/dev/null", "-e", "trace=clone3"];
    let call = Call::new(strace, bundle.temp())
        .args(slow)
        .args(["-e", "inject=clone3:delay_exit=500000"])
        .arg(runtime())
        .arg("--root")
        .arg(bundle.state_dir())
        .args(["exec", "-t", bundle.id(), "tty"]);
    assert_eq!(said_by(call, 0), "/dev/pts/0\n");
    bundle.delete_by_force().ok();
}

#[test]
fn exec_without_devpts_or_without_a_terminal_of_the_callers_is_refused() {
    let bundle = Bundle::new().args(&["/bin/sleep", "1000"]).edit(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/dev/pts");
    });
    bundle.launch("run", &["--detach"]).output().ok();
    let pty = Pty::new();
    let call = bundle.call(&["exec", "-t", bundle.id(), "true"]);
    assert_eq!(call.terminal(&pty.end).spawn().wait().code, 255);
    let output = bundle.call(&["exec", "-t", bundle.id(), "true"]).output();
    assert_eq!(output.code, 255, "{output:?}");
    bundle.delete_by_force().ok();
}
