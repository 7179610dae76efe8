//! Docker and Podman, whose command lines are alike: their calls, and the checks that both get.
//! Not here: how each is set up, and what only one of them has (clients_docker.rs, clients_podman.rs).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{CONFIGURED, Check, IMAGE, Lane, Place, Said, Verdict, limit, same, soon};

/// One of the two with one runtime.
pub(crate) struct Engine {
    pub(crate) place: Arc<Place>,
    pub(crate) lane: Lane,
    /// `docker` or `podman`, as a path.
    pub(crate) program: &'static str,
    /// What comes before every verb.
    pub(crate) global: Vec<String>,
    /// What comes after `run` and `create`.
    pub(crate) creation: Vec<String>,
    /// For ids.
    pub(crate) next: AtomicU32,
}

/// A detached container; it goes when it is dropped.
pub(crate) struct Container<'a> {
    engine: &'a Engine,
    name: String,
}

impl Engine {
    /// Calls the client.
    pub(crate) fn call(&self, args: &[&str]) -> Said {
        let call = self.place.call(self.program).args(&self.global).args(args);
        Said(call.output())
    }

    /// A name for a container that no other one begins with.
    pub(crate) fn name(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}-x", self.lane.name)
    }

    fn creating(&self, verb: &str, flags: &[&str], image: &str, command: &[&str]) -> Said {
        let creation = self.creation.iter().map(String::as_str);
        let mut args = vec![verb];
        args.extend(creation);
        self.call(&[&args, flags, &[image], command].concat())
    }

    /// Runs these words to their end.
    pub(crate) fn command(&self, flags: &[&str], command: &[&str]) -> Said {
        let flags = [&["--rm"], flags].concat();
        self.creating("run", &flags, IMAGE, command)
    }

    /// Runs a shell script to its end.
    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Said {
        self.command(flags, &["sh", "-c", script])
    }

    /// Runs a shell script detached.
    pub(crate) fn start(&self, flags: &[&str], script: &str) -> Result<Container<'_>, String> {
        let container = Container {
            engine: self,
            name: self.name(),
        };
        let flags = [&["--detach", "--name", &container.name], flags].concat();
        let command = ["sh", "-c", script];
        self.creating("run", &flags, IMAGE, &command).ok()?;
        Ok(container)
    }

    /// A container that ends at once when it is asked to, if it has begun to listen.
    pub(crate) fn sleeping(&self, flags: &[&str]) -> Result<Container<'_>, String> {
        self.start(flags, "trap 'exit 3' TERM; while :; do sleep 0.1; done")
    }

    /// The same, and it listens: what comes before is lost to the first process of a pid namespace.
    pub(crate) fn listening(&self, flags: &[&str]) -> Result<Container<'_>, String> {
        let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done";
        let container = self.start(flags, script)?;
        soon("a line", || {
            container.call("logs", &[], &[]).text() == "ready"
        })?;
        Ok(container)
    }
}

impl Container<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `VERB FLAGS NAME ARGS`.
    pub(crate) fn call(&self, verb: &str, flags: &[&str], args: &[&str]) -> Said {
        self.engine
            .call(&[&[verb], flags, &[&self.name], args].concat())
    }

    pub(crate) fn exec(&self, flags: &[&str], command: &[&str]) -> Said {
        self.call("exec", flags, command)
    }

    /// A field of `inspect`, by its template.
    pub(crate) fn inspect(&self, template: &str) -> Result<String, String> {
        let template = format!("{{{{{template}}}}}");
        Ok(self
            .call("inspect", &["--format", &template], &[])
            .ok()?
            .text())
    }

    /// The value of a file in the container's cgroup.
    fn limit(&self, files: &[&str]) -> Result<String, String> {
        limit(&self.inspect(".Id")?, files)
    }

    fn becomes(&self, status: &str) -> Verdict {
        soon(&format!("the status {status}"), || {
            self.inspect(".State.Status").is_ok_and(|now| now == status)
        })
    }

    fn ended_with(&self, code: &str) -> Verdict {
        self.becomes("exited")?;
        same(self.inspect(".State.ExitCode")?.as_str(), code)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Some are gone already.
        self.call("rm", &["--force"], &[]);
    }
}

/// The checks for both.
pub(crate) const CHECKS: &[Check<Engine>] = &[
    Check {
        claim: "a program's output arrives",
        holds: |e| e.run(&[], "echo out; echo err >&2").ok()?.prints("out"),
    },
    Check {
        claim: "a program's exit code is the client's",
        holds: |e| e.run(&[], "echo here; exit 42").exits(42)?.prints("here"),
    },
    Check {
        claim: "a lot of output arrives whole",
        holds: |e| {
            let text = e.run(&[], "seq 100000").ok()?.text();
            same(text.lines().count(), 100_000)
        },
    },
    Check {
        claim: "variables, working directory, user and host name are the asked ones",
        holds: |e| {
            let flags = [
                "--env",
                "A=b",
                "--workdir",
                "/etc",
                "--user",
                "7:8",
                "--hostname",
                "h",
            ];
            let script = "echo $A $(pwd) $(id -u):$(id -g) $(hostname)";
            e.run(&flags, script).ok()?.prints("b /etc 7:8 h")
        },
    },
    Check {
        claim: "user and working directory of the image are used",
        holds: |e| {
            let command = ["sh", "-c", "echo $(id -u):$(id -g) $(pwd)"];
            let said = e.creating("run", &["--rm"], CONFIGURED, &command);
            said.ok()?.prints("65534:65534 /tmp")
        },
    },
    Check {
        claim: "a program gets a terminal",
        holds: |e| {
            let script = "test -t 0 -a -t 1 -a -t 2 && tty; exit 9";
            e.run(&["--tty"], script).exits(9)?.prints("/dev/pts/0")
        },
    },
    Check {
        claim: "limits are in the cgroup",
        holds: |e| {
            let flags = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "50"];
            let container = e.sleeping(&flags)?;
            let memory = container.limit(&["memory.max", "memory.limit_in_bytes"])?;
            same(memory.as_str(), "67108864")?;
            let cpu = container.limit(&["cpu.max", "cpu.cfs_quota_us"])?;
            same(cpu.split(' ').next(), Some("50000"))?;
            same(container.limit(&["pids.max"])?.as_str(), "50")
        },
    },
    Check {
        claim: "a read-only root cannot be written to, a tmpfs in it can",
        holds: |e| {
            let flags = ["--read-only", "--tmpfs", "/mnt"];
            let script = "echo 1 >/mnt/file && cat /mnt/file && echo 1 >/file || exit 3";
            let said = e.run(&flags, script).exits(3)?;
            said.clone().says(&["Read-only file system"])?;
            said.prints("1")
        },
    },
    Check {
        claim: "a bind mount is there, and a read-only one is",
        holds: |e| {
            let shared = e.place.directory("shared");
            std::fs::write(shared.join("file"), "shared").unwrap();
            let volume = format!("{}:/mnt:ro", shared.display());
            let script = "cat /mnt/file; echo 1 >/mnt/file || exit 3";
            e.run(&["--volume", &volume], script)
                .exits(3)?
                .prints("shared")
        },
    },
    Check {
        claim: "dropped capabilities are gone",
        holds: |e| {
            let script = "grep CapBnd /proc/self/status | cut -f 2";
            let said = e.run(&["--cap-drop", "ALL"], script).ok()?;
            said.prints("0000000000000000")
        },
    },
    Check {
        claim: "the client's seccomp profile is in force",
        holds: |e| {
            let script = "grep Seccomp: /proc/self/status | cut -f 2";
            e.run(&[], script).ok()?.prints("2")
        },
    },
    Check {
        claim: "an init of the client's reaps and forwards",
        holds: |e| {
            let container = e.listening(&["--init"])?;
            container.call("stop", &["--time", "5"], &[]).ok()?;
            container.ended_with("3")
        },
    },
    Check {
        claim: "a created container starts later",
        holds: |e| {
            let name = e.name();
            let container = Container {
                engine: e,
                name: name.clone(),
            };
            let command = ["sh", "-c", "exit 5"];
            e.creating("create", &["--name", &name], IMAGE, &command)
                .ok()?;
            same(container.inspect(".State.Status")?.as_str(), "created")?;
            container.call("start", &[], &[]).ok()?;
            container.ended_with("5")
        },
    },
    Check {
        claim: "a detached container runs, and its processes are listed",
        holds: |e| {
            let container = e.sleeping(&[])?;
            same(container.inspect(".State.Status")?.as_str(), "running")?;
            container
                .call("top", &[], &[])
                .ok()?
                .says(&["trap 'exit 3' TERM"])
        },
    },
    Check {
        claim: "logs keep both streams",
        holds: |e| {
            let container = e.start(&[], "echo out; echo err >&2")?;
            container.becomes("exited")?;
            let said = container.call("logs", &[], &[]).ok()?;
            same(said.0.stderr.trim(), "err")?;
            said.prints("out")
        },
    },
    Check {
        claim: "wait gives the exit code",
        holds: |e| {
            let container = e.start(&[], "sleep 0.3; exit 6")?;
            container.call("wait", &[], &[]).ok()?.prints("6")
        },
    },
    Check {
        claim: "exec runs a program in the container",
        holds: |e| {
            let container = e.sleeping(&["--env", "A=b"])?;
            let flags = ["--env", "C=d", "--workdir", "/etc", "--user", "7:8"];
            let script = "echo $A $C $(pwd) $(id -u):$(id -g); exit 7";
            let said = container.exec(&flags, &["sh", "-c", script]).exits(7)?;
            said.prints("b d /etc 7:8")
        },
    },
    Check {
        claim: "exec gives a terminal",
        holds: |e| {
            let container = e.sleeping(&[])?;
            container
                .exec(&["--tty"], &["tty"])
                .ok()?
                .prints("/dev/pts/0")
        },
    },
    Check {
        claim: "exec takes standard input",
        holds: |e| {
            let container = e.sleeping(&[])?;
            let input = std::fs::File::open("/proc/sys/kernel/ostype").unwrap();
            let call = e.place.call(e.program).args(&e.global);
            let call = call.args(["exec", "--interactive", container.name(), "cat"]);
            Said(call.stdin(input).output()).ok()?.prints("Linux")
        },
    },
    Check {
        claim: "exec of a missing program says so",
        holds: |e| {
            let container = e.sleeping(&[])?;
            let said = container.exec(&[], &["/nothing"]).fails()?;
            same((126..=127).contains(&said.0.code), true)?;
            said.clone().says(&["/nothing"])?;
            said.says(&["no such file or directory", "No such file or directory"])
        },
    },
    Check {
        claim: "pause freezes the container and unpause lets it go on",
        holds: |e| {
            let container = e.sleeping(&[])?;
            container.call("pause", &[], &[]).ok()?;
            same(container.inspect(".State.Status")?.as_str(), "paused")?;
            container.exec(&[], &["true"]).fails()?;
            container.call("unpause", &[], &[]).ok()?;
            container.exec(&[], &["echo", "here"]).ok()?.prints("here")
        },
    },
    Check {
        claim: "stats tell the number of processes and the memory's limit",
        holds: |e| {
            let container = e.start(&["--memory", "64m"], "sleep 100")?;
            let template = "{{.PIDs}} {{.MemUsage}}";
            let said = container.call("stats", &["--no-stream", "--format", template], &[]);
            let text = said.ok()?.text();
            same(text.starts_with("2 ") || text.starts_with("1 "), true)?;
            same(text.ends_with("64MiB") || text.ends_with("67.11MB"), true)
        },
    },
    Check {
        claim: "update changes a limit of a running container",
        holds: |e| {
            let container = e.sleeping(&["--cpu-shares", "1024"])?;
            container
                .call("update", &["--cpu-shares", "512"], &[])
                .ok()?;
            let weight = container.limit(&["cpu.shares", "cpu.weight"])?;
            same(weight == "512" || weight == "20", true)
        },
    },
    Check {
        claim: "kill by name and by number reaches the program",
        holds: |e| {
            let container = e.listening(&[])?;
            container.call("kill", &["--signal", "TERM"], &[]).ok()?;
            container.ended_with("3")?;
            let container = e.sleeping(&[])?;
            container.call("kill", &["--signal", "9"], &[]).ok()?;
            container.ended_with("137")
        },
    },
    Check {
        claim: "stop asks by SIGTERM and waits",
        holds: |e| {
            let container = e.listening(&[])?;
            container.call("stop", &["--time", "10"], &[]).ok()?;
            container.ended_with("3")
        },
    },
    Check {
        claim: "stop kills what does not end in time",
        holds: |e| {
            let container = e.start(&[], "trap '' TERM; while :; do sleep 0.1; done")?;
            container.call("stop", &["--time", "1"], &[]).ok()?;
            container.ended_with("137")
        },
    },
    Check {
        claim: "a container starts again",
        holds: |e| {
            let script = "echo again; trap 'exit 3' TERM; while :; do sleep 0.1; done";
            let container = e.start(&[], script)?;
            container.call("restart", &["--time", "5"], &[]).ok()?;
            soon("the second line", || {
                let said = container.call("logs", &[], &[]);
                said.text() == "again\nagain"
            })
        },
    },
    Check {
        claim: "running out of memory is told",
        holds: |e| {
            let flags = ["--memory", "32m", "--memory-swap", "32m"];
            let script = "exec dd if=/dev/zero of=/dev/null bs=100M count=1";
            let container = e.start(&flags, script)?;
            container.ended_with("137")?;
            same(container.inspect(".State.OOMKilled")?.as_str(), "true")
        },
    },
    Check {
        claim: "a container that runs is not removed, by force it is",
        holds: |e| {
            let container = e.sleeping(&[])?;
            container.call("rm", &[], &[]).fails()?;
            same(container.inspect(".State.Status")?.as_str(), "running")?;
            container.call("rm", &["--force"], &[]).ok()?;
            container.call("inspect", &[], &[]).fails().map(drop)
        },
    },
    Check {
        claim: "a program that does not exist is exit code 127 and named",
        holds: |e| {
            let said = e.command(&[], &["/nothing"]).exits(127)?;
            said.clone().says(&["/nothing"])?;
            said.says(&["no such file or directory", "No such file or directory"])
        },
    },
    Check {
        claim: "a program that is not executable is exit code 126",
        holds: |e| {
            let said = e.command(&[], &["/etc/passwd"]).exits(126)?;
            said.says(&["permission denied", "Permission denied"])
        },
    },
    Check {
        claim: "a container leaves nothing",
        holds: |e| {
            let container = e.sleeping(&[])?;
            let id = container.inspect(".Id")?;
            container.call("rm", &["--force"], &[]).ok()?;
            same(e.place.left_of(&id, &e.place.path().join(&id)), vec![])
        },
    },
];
