//! containerd with stockade as the runtime below its shim, as `ctr` drives it; runc does the same beside it.
//! Not here: the CRI plugin.

mod told;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clients::{
    self, CONFIGURED, Check, Excuse, IMAGE, Lane, Place, Said, Verdict, in_terminal, limit, same,
    soon,
};
use crate::harness::wait_for_exit;

#[test]
fn containerd_runs_containers_with_stockade_as_with_runc() {
    if !clients::are_installed(&["containerd", "containerd-shim-runc-v2", "ctr", "script"]) {
        return;
    }
    let place = Arc::new(served());
    let lanes = clients::lanes(
        &place,
        &["stockade-none", "stockade", "stockade-restricted"],
    );
    let lanes: Vec<_> = lanes
        .into_iter()
        .map(|lane| {
            let name = lane.name;
            let place = Arc::clone(&place);
            let next = AtomicU32::new(0);
            (name, Ctr { place, lane, next })
        })
        .collect();
    clients::hold("containerd", CHECKS, &lanes, EXCUSES);
    told::hold(&lanes);
    drop(lanes);
    let left = place.left_of(place.name(), &place.path().join("state"));
    assert!(left.is_empty(), "left of containers: {left:#?}");
}

/// A containerd of its own with the images in it.
fn served() -> Place {
    let mut place = Place::new("containerd");
    let config = format!(
        r#"version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{0}/grpc.sock"
[ttrpc]
address = "{0}/ttrpc.sock"
"#,
        place.text("")
    );
    fs::write(place.path().join("config.toml"), config.replace("//", "/")).unwrap();
    let daemon = place
        .call("containerd")
        .args(["--config", &place.text("config.toml")]);
    place.serve(daemon, |place| ctr(place, &["version"]));
    let archive = place.text("images.tar");
    ctr(&place, &["images", "import", &archive]).ok().unwrap();
    place
}

fn words(place: &Place, args: &[&str]) -> Vec<String> {
    let socket = place.text("grpc.sock");
    let global = ["--address", &socket, "--namespace", place.name()];
    let all = global.iter().chain(args);
    all.map(|word| (*word).to_owned()).collect()
}

fn ctr(place: &Place, args: &[&str]) -> Said {
    Said(place.call("ctr").args(words(place, args)).output())
}

/// `ctr` with one runtime.
struct Ctr {
    place: Arc<Place>,
    lane: Lane,
    next: AtomicU32,
}

/// A detached task; it goes when it is dropped.
struct Task<'a> {
    ctr: &'a Ctr,
    id: String,
}

impl Ctr {
    fn ctr(&self, args: &[&str]) -> Said {
        ctr(&self.place, args)
    }

    /// The image that this runtime is tried with: `restricted` takes no root user.
    fn image(&self) -> &'static str {
        if self.lane.name == "stockade-restricted" {
            CONFIGURED
        } else {
            IMAGE
        }
    }

    fn id(&self) -> String {
        // No id is the beginning of another one.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}-x", self.lane.name)
    }

    /// `run FLAGS IMAGE ID COMMAND` as words.
    fn running(&self, flags: &[&str], image: &str, id: &str, command: &[&str]) -> Vec<String> {
        let runtime = self.lane.runtime.to_str().unwrap();
        let run = ["run", "--runc-binary", runtime];
        let args = [&run, flags, &[image, id], command].concat();
        words(&self.place, &args)
    }

    /// Runs these words to their end.
    fn command(&self, flags: &[&str], command: &[&str]) -> Said {
        let flags = [&["--rm"], flags].concat();
        let words = self.running(&flags, self.image(), &self.id(), command);
        Said(self.place.call("ctr").args(words).output())
    }

    /// Runs a shell script to its end.
    fn run(&self, flags: &[&str], script: &str) -> Said {
        self.command(flags, &["sh", "-c", script])
    }

    fn run_configured(&self, script: &str) -> Said {
        let words = self.running(&["--rm"], CONFIGURED, &self.id(), &["sh", "-c", script]);
        Said(self.place.call("ctr").args(words).output())
    }

    /// Runs a shell script detached.
    fn start(&self, flags: &[&str], script: &str) -> Result<Task<'_>, String> {
        let task = Task {
            ctr: self,
            id: self.id(),
        };
        let flags = [&["--detach"], flags].concat();
        let words = self.running(&flags, self.image(), &task.id, &["sh", "-c", script]);
        Said(self.place.call("ctr").args(words).output()).ok()?;
        Ok(task)
    }

    fn sleeping(&self) -> Result<Task<'_>, String> {
        self.start(&[], "exec sleep 100")
    }
}

impl Task<'_> {
    fn task(&self, verb: &str, flags: &[&str], args: &[&str]) -> Said {
        self.ctr
            .ctr(&[&["tasks", verb], flags, &[&self.id], args].concat())
    }

    fn exec(&self, flags: &[&str], command: &[&str]) -> Said {
        let id = self.ctr.id();
        self.task("exec", &[&["--exec-id", &id], flags].concat(), command)
    }

    /// The task's line of `ctr tasks list`: pid and status.
    fn listed(&self) -> Result<(u32, String), String> {
        let list = self.ctr.ctr(&["tasks", "list"]).ok()?.text();
        let mut lines = list
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|line| line[0] == self.id);
        let line = line.ok_or_else(|| format!("no {} in {list:?}", self.id))?;
        Ok((line[1].parse().unwrap_or(0), line[2].to_owned()))
    }

    fn becomes(&self, status: &str) -> Verdict {
        soon(&format!("the status {status}"), || {
            self.listed().is_ok_and(|(_, found)| found == status)
        })
    }

    /// Waits for the end of the process, and deletes the task, whose exit code is the answer.
    fn end(&self, code: i32) -> Verdict {
        self.becomes("STOPPED")?;
        // `ctr` itself ends with 0 and says so on standard error.
        let said = self.task("delete", &[], &[]).ok()?;
        said.says(&[&format!("exit code {code}\"")])
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        // Most are gone already.
        self.task("delete", &["--force"], &[]);
        self.ctr.ctr(&["containers", "delete", &self.id]);
    }
}

const CHECKS: &[Check<Ctr>] = &[
    Check {
        claim: "a program's output arrives",
        holds: |c| c.run(&[], "echo out; echo err >&2").ok()?.prints("out"),
    },
    Check {
        claim: "a program's exit code is the client's",
        holds: |c| c.run(&[], "echo here; exit 42").exits(42)?.prints("here"),
    },
    Check {
        claim: "standard input reaches the program",
        holds: |c| {
            let words = c.running(&["--rm"], c.image(), &c.id(), &["head", "-n", "1"]);
            let input = fs::File::open("/proc/sys/kernel/ostype").unwrap();
            let call = c.place.call("ctr").args(words).stdin(input);
            Said(call.output()).ok()?.prints("Linux")
        },
    },
    Check {
        claim: "a lot of output arrives whole",
        holds: |c| {
            let text = c.run(&[], "seq 100000").ok()?.text();
            same(text.lines().count(), 100_000)
        },
    },
    Check {
        claim: "variables of the environment are set",
        holds: |c| {
            let script = "echo $GREETING $PATH";
            c.run(&["--env", "GREETING=hello"], script)
                .ok()?
                .prints("hello /bin")
        },
    },
    Check {
        claim: "the working directory is the asked one",
        holds: |c| c.run(&["--cwd", "/etc"], "pwd").ok()?.prints("/etc"),
    },
    Check {
        claim: "user and working directory of the image are used",
        holds: |c| {
            let script = "echo $(id -u):$(id -g) $(pwd)";
            c.run_configured(script).ok()?.prints("65534:65534 /tmp")
        },
    },
    Check {
        claim: "a program gets a terminal",
        holds: |c| {
            let command = ["sh", "-c", "tty; test -t 0 -a -t 1 -a -t 2; exit $?"];
            let mut words = c.running(&["--rm", "--tty"], c.image(), &c.id(), &command);
            words.insert(0, "ctr".into());
            let call = c.place.call("script").args(in_terminal(&words));
            Said(call.output()).ok()?.prints("/dev/pts/0")
        },
    },
    Check {
        claim: "an exit code passes through a terminal",
        holds: |c| {
            let command = ["sh", "-c", "echo here; exit 9"];
            let mut words = c.running(&["--rm", "--tty"], c.image(), &c.id(), &command);
            words.insert(0, "ctr".into());
            let call = c.place.call("script").args(in_terminal(&words));
            Said(call.output()).exits(9)?.prints("here")
        },
    },
    Check {
        claim: "the memory limit is in the cgroup",
        holds: |c| {
            let task = c.start(&["--memory-limit", "67108864"], "exec sleep 100")?;
            let limit = limit(&task.id, &["memory.max", "memory.limit_in_bytes"])?;
            same(limit, "67108864".into())
        },
    },
    Check {
        claim: "the limit of processors is in the cgroup",
        holds: |c| {
            let task = c.start(&["--cpus", "0.5"], "exec sleep 100")?;
            let limit = limit(&task.id, &["cpu.max", "cpu.cfs_quota_us"])?;
            same(limit.split(' ').next(), Some("50000"))
        },
    },
    Check {
        claim: "the weight of processors is in the cgroup",
        holds: |c| {
            let task = c.start(&["--cpu-shares", "512"], "exec sleep 100")?;
            let weight = limit(&task.id, &["cpu.shares", "cpu.weight"])?;
            match weight.as_str() {
                "512" | "20" => Ok(()),
                other => Err(format!("weight {other}")),
            }
        },
    },
    Check {
        claim: "a read-only root cannot be written to",
        holds: |c| {
            let script = "echo 1 >/file || exit 3";
            c.run(&["--read-only"], script)
                .exits(3)?
                .says(&["Read-only file system"])
        },
    },
    Check {
        claim: "a root that is not read-only can be written to",
        holds: |c| c.run(&[], "echo 1 >/file && cat /file").ok()?.prints("1"),
    },
    Check {
        claim: "a bind mount is there",
        holds: |c| {
            let shared = c.place.directory("shared");
            fs::write(shared.join("file"), "shared").unwrap();
            let source = shared.to_str().unwrap();
            let mount = format!("type=bind,src={source},dst=/mnt,options=rbind:ro");
            c.run(&["--mount", &mount], "cat /mnt/file")
                .ok()?
                .prints("shared")
        },
    },
    Check {
        claim: "capabilities are those of the client's default, at most",
        holds: |c| {
            let text = c.run(&[], "grep CapEff /proc/self/status").ok()?.text();
            let set = text.rsplit('\t').next().unwrap_or_default();
            let set = u64::from_str_radix(set, 16).map_err(|e| format!("{text:?}: {e}"))?;
            same(set & !0xa804_25fb, 0)
        },
    },
    Check {
        claim: "the client's seccomp profile is in force",
        holds: |c| {
            let script = "grep Seccomp: /proc/self/status | cut -f 2";
            c.run(&["--seccomp"], script).ok()?.prints("2")
        },
    },
    Check {
        claim: "a detached task is listed with its process",
        holds: |c| {
            let task = c.sleeping()?;
            let (pid, status) = task.listed()?;
            same(status.as_str(), "RUNNING")?;
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            same(
                String::from_utf8_lossy(&command).as_ref(),
                "sleep\x00100\x00",
            )
        },
    },
    Check {
        claim: "exec runs a program in the container",
        holds: |c| {
            let task = c.start(&[], "echo mark >/dev/shm/mark; exec sleep 100")?;
            soon("the mark", || {
                task.exec(&[], &["test", "-e", "/dev/shm/mark"])
                    .ok()
                    .is_ok()
            })?;
            task.exec(&[], &["cat", "/dev/shm/mark"])
                .ok()?
                .prints("mark")
        },
    },
    Check {
        claim: "exec gives the program's exit code",
        holds: |c| {
            let task = c.sleeping()?;
            task.exec(&[], &["sh", "-c", "echo here; exit 7"])
                .exits(7)?
                .prints("here")
        },
    },
    Check {
        claim: "exec takes a user and a working directory",
        holds: |c| {
            let task = c.sleeping()?;
            let flags = ["--user", "65534:65534", "--cwd", "/etc"];
            let script = "echo $(id -u):$(id -g) $(pwd)";
            task.exec(&flags, &["sh", "-c", script])
                .ok()?
                .prints("65534:65534 /etc")
        },
    },
    Check {
        claim: "exec gives a terminal",
        holds: |c| {
            let task = c.sleeping()?;
            let exec = [
                "tasks",
                "exec",
                "--tty",
                "--exec-id",
                &c.id(),
                &task.id,
                "tty",
            ];
            let mut words = words(&c.place, &exec);
            words.insert(0, "ctr".into());
            let call = c.place.call("script").args(in_terminal(&words));
            Said(call.output()).ok()?.says(&["/dev/pts/0"])
        },
    },
    Check {
        claim: "exec of a missing program says so",
        holds: |c| {
            let task = c.sleeping()?;
            let said = task.exec(&[], &["/nothing"]).fails()?;
            said.clone().says(&["OCI runtime exec failed"])?;
            said.clone().says(&["\"/nothing\""])?;
            said.says(&["no such file or directory"])
        },
    },
    Check {
        claim: "exec works after an exec that failed",
        holds: |c| {
            let task = c.sleeping()?;
            task.exec(&[], &["/nothing"]).fails()?;
            task.exec(&[], &["echo", "here"]).ok()?.prints("here")
        },
    },
    Check {
        claim: "processes are listed",
        holds: |c| {
            let task = c.sleeping()?;
            let (pid, _) = task.listed()?;
            task.task("ps", &[], &[])
                .ok()?
                .says(&[&format!("\n{pid} ")])
        },
    },
    Check {
        claim: "pause freezes the task and resume lets it go on",
        holds: |c| {
            let task = c.sleeping()?;
            task.task("pause", &[], &[]).ok()?;
            same(task.listed()?.1.as_str(), "PAUSED")?;
            task.task("resume", &[], &[]).ok()?;
            same(task.listed()?.1.as_str(), "RUNNING")?;
            task.exec(&[], &["echo", "here"]).ok()?.prints("here")
        },
    },
    Check {
        claim: "a paused task can be killed",
        holds: |c| {
            let task = c.sleeping()?;
            task.task("pause", &[], &[]).ok()?;
            task.task("kill", &["--signal", "SIGKILL"], &[]).ok()?;
            task.task("resume", &[], &[]);
            task.end(137)
        },
    },
    Check {
        claim: "metrics tell memory and processes",
        holds: |c| {
            let task = c.start(&["--memory-limit", "67108864"], "exec sleep 100")?;
            let said = task.task("metrics", &[], &[]).ok()?;
            said.clone().says(&["pids.current"])?;
            said.says(&["67108864"])
        },
    },
    Check {
        claim: "a signal reaches the program",
        holds: |c| {
            let script = "trap 'exit 3' TERM; touch /dev/shm/ready; while :; do sleep 0.1; done";
            let task = c.start(&[], script)?;
            soon("the trap", || {
                task.exec(&[], &["test", "-e", "/dev/shm/ready"])
                    .ok()
                    .is_ok()
            })?;
            task.task("kill", &[], &[]).ok()?;
            task.end(3)
        },
    },
    Check {
        claim: "kill ends the task",
        holds: |c| {
            let task = c.sleeping()?;
            let (pid, _) = task.listed()?;
            task.task("kill", &["--signal", "SIGKILL"], &[]).ok()?;
            soon("its end", || wait_for_exit(pid, Duration::from_secs(1)))?;
            task.end(137)
        },
    },
    Check {
        claim: "kill of all processes ends the task",
        holds: |c| {
            let task = c.start(&[], "sleep 100 & exec sleep 100")?;
            task.task("kill", &["--all", "--signal", "SIGKILL"], &[])
                .ok()?;
            task.end(137)
        },
    },
    Check {
        claim: "kill of a task that ended says so",
        holds: |c| {
            let task = c.start(&[], "exit 0")?;
            task.becomes("STOPPED")?;
            let said = task.task("kill", &[], &[]).fails()?;
            said.says(&["process already finished", "not found"])
        },
    },
    Check {
        claim: "running out of memory ends the program by SIGKILL",
        holds: |c| {
            let script = "echo begins; exec dd if=/dev/zero of=/dev/null bs=100M count=1";
            let flags = ["--memory-limit", "33554432"];
            c.run(&flags, script).exits(137)?.prints("begins")
        },
    },
    Check {
        claim: "a task that runs is not deleted",
        holds: |c| {
            let task = c.sleeping()?;
            task.task("delete", &[], &[]).fails()?;
            same(task.listed()?.1.as_str(), "RUNNING")
        },
    },
    Check {
        claim: "deletion by force ends the task",
        holds: |c| {
            let task = c.sleeping()?;
            let (pid, _) = task.listed()?;
            task.task("delete", &["--force"], &[]);
            soon("its end", || wait_for_exit(pid, Duration::from_secs(1)))?;
            same(task.listed().is_err(), true)
        },
    },
    Check {
        claim: "a program that does not exist is named",
        holds: |c| {
            let said = c.command(&[], &["/nothing"]).fails()?;
            said.clone().says(&["OCI runtime create failed"])?;
            said.clone().says(&["\"/nothing\""])?;
            said.says(&["no such file or directory"])
        },
    },
    Check {
        claim: "a program that is not executable is refused for that",
        holds: |c| {
            let said = c.command(&[], &["/etc/passwd"]).fails()?;
            said.says(&["permission denied"])
        },
    },
    Check {
        claim: "a container leaves nothing",
        holds: |c| {
            let id = c.id();
            let words = c.running(&["--rm"], c.image(), &id, &["true"]);
            Said(c.place.call("ctr").args(words).output()).ok()?;
            let tasks = c.place.path().join("state/io.containerd.runtime.v2.task");
            let task = tasks.join(c.place.name()).join(&id);
            same(c.place.left_of(&id, &task), vec![])
        },
    },
];

const EXCUSES: &[Excuse] = &[Excuse {
    lane: "stockade-restricted",
    claim: "a root that is not read-only can be written to",
    why: "the profile makes it read-only",
}];
