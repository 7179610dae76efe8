//! A running container and `exec` in it.
//! Not here: claims.

use std::fs;

use serde_json::{Value, json};

use super::{Bundle, Call, Output};

/// A program that does not end by itself.
pub(crate) const FOREVER: &[&str] = &["/bin/sleep", "1000"];

/// A running container, deleted when dropped.
pub(crate) struct Inside(pub(crate) Bundle);

impl Inside {
    #[track_caller]
    pub(crate) fn of(bundle: Bundle) -> Self {
        let inside = Self(bundle);
        inside.0.launch("run", &["--detach"]).output().ok();
        inside
    }

    #[track_caller]
    pub(crate) fn plain() -> Self {
        Self::of(Bundle::new().args(FOREVER))
    }

    pub(crate) fn call(&self, flags: &[&str], command: &[&str]) -> Call {
        self.0
            .call(&["exec"])
            .args(flags)
            .arg(self.0.id())
            .args(command)
    }

    #[track_caller]
    pub(crate) fn exec(&self, flags: &[&str], command: &[&str]) -> Output {
        self.call(flags, command).output()
    }

    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> Output {
        self.exec(&[], &["sh", "-c", script])
    }

    /// `exec --process` of this document.
    #[track_caller]
    pub(crate) fn process(&self, document: &Value) -> Output {
        let file = self.0.temp().join("process.json");
        fs::write(&file, document.to_string()).unwrap();
        self.exec(&["--process", file.to_str().unwrap()], &[])
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let deleted = self.0.delete_by_force();
        if !std::thread::panicking() {
            deleted.ok();
        }
    }
}

/// A process document of this command.
pub(crate) fn document(args: &[&str]) -> Value {
    json!({"user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/", "env": ["PATH=/bin"]})
}
