//! `--console-socket`: the master end leaves for whoever listens.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

use crate::harness::{Bundle, Pty};

fn bundle(script: &str) -> Bundle {
    Bundle::new().set("/process/terminal", true).shell(script)
}

fn listen(bundle: &Bundle, name: &str) -> (UnixListener, PathBuf) {
    let path = bundle.temp().join(name);
    (UnixListener::bind(&path).unwrap(), path)
}

/// The one message, its descriptor, and the end after it.
pub(crate) fn receive(listener: &UnixListener) -> (String, Vec<OwnedFd>) {
    let (stream, _) = listener.accept().unwrap();
    let first = receive_once(&stream);
    assert_eq!(receive_once(&stream).0, "", "more than one message");
    first
}

fn receive_once(stream: &UnixStream) -> (String, Vec<OwnedFd>) {
    let mut bytes = [0; 100];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut bytes)];
    let length = recvmsg(stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)
        .unwrap()
        .bytes;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    (String::from_utf8_lossy(&bytes[..length]).into_owned(), fds)
}

#[test]
fn master_end_arrives_and_works() {
    for verb in ["create", "run"] {
        let bundle = bundle("stty size; tty; read word; echo got $word; read word")
            .set("/process/consoleSize", json!({"height": 12, "width": 34}));
        let (listener, path) = listen(&bundle, "console");
        let mut flags = vec!["--console-socket", path.to_str().unwrap()];
        flags.extend((verb == "run").then_some("--detach"));
        let call = bundle.launch(verb, &flags);
        let output = call.output();
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        let (name, mut fds) = receive(&listener);
        assert_eq!((name.as_str(), fds.len()), ("/dev/ptmx", 1));
        if verb == "create" {
            bundle.start().ok();
        }
        let mut pty = Pty::received(fds.remove(0));
        pty.says("12 34\r\n/dev/pts/0\r\n");
        pty.types("words\n");
        pty.says("got words");
        // Its terminal gone, the shell is told so (SIGHUP); it is the first process, so it also reads the end.
        drop(pty);
        bundle.becomes("stopped");
        bundle.delete().ok();
    }
}

#[test]
fn terminal_of_a_detached_container_needs_a_socket() {
    let bundle = bundle("true");
    let text = "error: process.terminal: cannot allocate tty if stockade will detach without setting console socket\n\
         try: pass --console-socket, or set process.terminal to false\n";
    assert_eq!(bundle.create().stderr, text);
    let output = bundle.launch("run", &["--detach"]).output();
    assert_eq!((output.code, output.stderr.as_str()), (1, text));
}

#[test]
fn socket_without_use_is_refused() {
    let text = "error: --console-socket: cannot use console socket if stockade will not detach or allocate tty\n\
         try: it goes with process.terminal, and with create or --detach\n";
    let with = bundle("true");
    let without = Bundle::new();
    for (bundle, verb) in [(&with, "run"), (&without, "create"), (&without, "run")] {
        let output = bundle
            .launch(verb, &["--console-socket", "/nonexistent"])
            .output();
        assert_eq!((output.code, output.stderr.as_str()), (1, text));
    }
}

#[test]
fn socket_that_cannot_be_reached_is_named() {
    let bundle = bundle("true");
    let path = |name: &str| bundle.temp().join(name);
    std::fs::write(path("file"), "").unwrap();
    drop(listen(&bundle, "deaf"));
    for (name, cause) in [
        ("missing", "No such file or directory (ENOENT)"),
        ("file", "it is not a socket"),
        ("deaf", "Connection refused (ECONNREFUSED)"),
    ] {
        let path = path(name);
        let flags = ["--console-socket", path.to_str().unwrap()];
        let output = bundle.launch("create", &flags).output();
        let text = format!(
            "error: connect to the console socket \"{}\": {cause}\n",
            path.display()
        );
        assert_eq!(output.stderr.to_lowercase(), text.to_lowercase());
    }
}

#[test]
fn socket_may_have_a_path_longer_than_an_address() {
    let bundle = bundle("sleep 100");
    let directory = bundle.outside(&"d".repeat(200));
    let link = bundle.temp().join("short");
    std::os::unix::fs::symlink(&directory, &link).unwrap();
    let listener = UnixListener::bind(link.join("console")).unwrap();
    let path = directory.join("console");
    let flags = ["--console-socket", path.to_str().unwrap()];
    bundle.launch("create", &flags).output().ok();
    assert_eq!(receive(&listener).0, "/dev/ptmx");
    bundle.delete_by_force().ok();
}

#[test]
fn listener_that_never_reads_holds_nobody_up() {
    let bundle = bundle("sleep 100");
    let (listener, path) = listen(&bundle, "console");
    let flags = ["--console-socket", path.to_str().unwrap()];
    bundle.launch("create", &flags).output().ok();
    bundle.delete_by_force().ok();
    drop(listener);
}

#[test]
fn listener_with_a_full_queue_is_given_up() {
    let bundle = bundle("true");
    let (listener, path) = listen(&bundle, "console");
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let began = Instant::now();
    let flags = ["--console-socket", path.to_str().unwrap()];
    let output = bundle.launch("create", &flags).output();
    output.refused(&[
        "connect to the console socket",
        "nobody accepts the connection",
    ]);
    assert!(began.elapsed() < Duration::from_secs(25));
}

#[test]
fn size_beyond_a_terminals_is_refused() {
    let bundle = bundle("true").set(
        "/process/consoleSize",
        json!({"height": 65536, "width": 80}),
    );
    let (_listener, path) = listen(&bundle, "console");
    let flags = ["--console-socket", path.to_str().unwrap()];
    let output = bundle.launch("create", &flags).output();
    output.refused(&["process.consoleSize.height: 65536 is more than a terminal's 65535"]);
}

#[test]
fn master_end_of_a_process_that_enters_arrives_and_works() {
    let bundle = Bundle::new().args(&["/bin/sleep", "1000"]);
    bundle.launch("run", &["--detach"]).output().ok();
    let (listener, path) = listen(&bundle, "console");
    let document = bundle.temp().join("process.json");
    let script = "stty size; tty; read word; echo got $word; read word";
    let process = json!({"terminal": true, "consoleSize": {"height": 12, "width": 34}, "cwd": "/",
        "args": ["/bin/sh", "-c", script], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    std::fs::write(&document, process.to_string()).unwrap();
    let flags = [
        "--process",
        document.to_str().unwrap(),
        "--console-socket",
        path.to_str().unwrap(),
    ];
    let call = bundle
        .call(&["exec"])
        .args(flags)
        .args(["--detach", bundle.id()]);
    let output = call.output();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let (name, mut fds) = receive(&listener);
    assert_eq!((name.as_str(), fds.len()), ("/dev/ptmx", 1));
    let mut pty = Pty::received(fds.remove(0));
    pty.says("12 34\r\n/dev/pts/0\r\n");
    pty.types("words\n");
    pty.says("got words");
    drop(pty);
    let call = bundle.call(&["exec", "--tty", "--detach", bundle.id(), "true"]);
    call.output().fails(
        255,
        &["cannot allocate tty if stockade will detach without setting console socket"],
    );
    let call = bundle.call(&["exec", "--console-socket", "/x", bundle.id(), "true"]);
    call.output().fails(255, &["cannot use console socket"]);
    bundle.delete_by_force().ok();
}
