//! A connection to a containerd's CRI: requests and replies as JSON, which a program in Python carries over gRPC, because
//! Debian has no client of the CRI and a gRPC stack of our own would cost more than all tests.
//! Not here: pods and containers (pod.rs).

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// Debian's, which has the packages; another one may be in front of it in PATH.
const PYTHON: &str = "/usr/bin/python3";

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/cri.py");
const MESSAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Has Python what it takes?
pub(crate) fn has_grpc() -> bool {
    let import = ["-c", "import grpc, google.protobuf"];
    let status = Command::new(PYTHON)
        .args(import)
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// One connection; the calls of threads take turns.
pub(crate) struct Cri {
    ends: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    child: Child,
}

impl Cri {
    /// `scratch` is a directory for what protoc makes.
    pub(crate) fn connect(socket: &Path, scratch: &Path) -> Self {
        let mut child = Command::new(PYTHON)
            .args([PROGRAM.as_ref(), socket, &descriptors(scratch)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let ends = Mutex::new((input, output));
        Self { ends, child }
    }

    /// Makes a call; the error has gRPC's code in front of containerd's text.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "requests are written where they are made"
    )]
    pub(crate) fn call(&self, method: &str, request: Value) -> Result<Value, String> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = &mut *ends;
        writeln!(input, "{}", json!([method, request])).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error}: {line:?} to {method} {request}"));
        match answer[0].as_str() {
            Some("OK") => Ok(answer[1].take()),
            code => Err(format!(
                "{}: {}",
                code.unwrap(),
                answer[1].as_str().unwrap()
            )),
        }
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        // It waits for a next request.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn descriptors(scratch: &Path) -> PathBuf {
    let path = scratch.join("cri.descriptors");
    if !path.exists() {
        let status = Command::new("protoc")
            .arg(format!("--proto_path={MESSAGES}"))
            .arg(format!("--descriptor_set_out={}", path.display()))
            .arg("cri.proto")
            .status()
            .unwrap();
        assert!(status.success(), "protoc cannot read cri.proto");
    }
    path
}
