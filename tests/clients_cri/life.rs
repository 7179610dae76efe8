//! What becomes of pods and containers: states, logs, exec, limits, stops, failures.
//! Not here: what they may do and see (confinement.rs).

use std::fs;

use serde_json::{Value, json};

use super::{NOTHING, refused, resources, says, security};
use crate::clients::{CONFIGURED, Check, Node, has_left_nothing, same, soon, text};

pub(super) const CHECKS: &[Check<Node>] = &[
    Check {
        claim: "a pod becomes ready with an address of its own",
        holds: |n| {
            let pod = n.pod(NOTHING)?;
            same(text(&pod.status()?["state"]).as_str(), "SANDBOX_READY")?;
            same(pod.address()?.starts_with("10.215."), true)
        },
    },
    Check {
        claim: "a pod that stops is not ready, and what is removed is gone",
        holds: |n| {
            let pod = n.pod(NOTHING)?;
            let id = pod.sleeping(NOTHING)?.id().to_owned();
            pod.stop()?;
            same(text(&pod.status()?["state"]).as_str(), "SANDBOX_NOTREADY")?;
            pod.stop()?;
            pod.remove()?;
            says(&refused(pod.status())?, "NOT_FOUND")?;
            has_left_nothing(&n.place, &id)?;
            has_left_nothing(&n.place, pod.id())
        },
    },
    Check {
        claim: "a container is created, runs and exits",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.create(NOTHING, &["sh", "-c", "sleep 1; exit 42"])?;
            container.is("CONTAINER_CREATED")?;
            container.start()?;
            container.is("CONTAINER_RUNNING")?;
            container.ends(42)?;
            same(text(&container.status()?["reason"]).as_str(), "Error")
        },
    },
    Check {
        claim: "an exit code of 0 is a completed container",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.start(NOTHING, "exit 0")?;
            container.ends(0)?;
            same(text(&container.status()?["reason"]).as_str(), "Completed")
        },
    },
    Check {
        claim: "the log keeps both streams apart",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.start(NOTHING, "echo out; sleep 0.3; echo err >&2")?;
            container.ends(0)?;
            let lines = || container.log().unwrap_or_default();
            soon("two lines", || lines().len() == 2)?;
            same(lines(), vec!["stdout F out".into(), "stderr F err".into()])
        },
    },
    Check {
        claim: "a lot of output arrives whole",
        holds: |n| {
            let pod = n.shared()?;
            // The end of a container that ends at once is lost now and then, with every runtime.
            let container = pod.start(NOTHING, "seq 100000; exec sleep 100")?;
            let lines = || container.log().map_or(0, |log| log.len());
            let verdict = soon("all lines", || lines() == 100_000);
            verdict.map_err(|error| format!("{error}, {} came", lines()))
        },
    },
    Check {
        claim: "a log that is moved away is opened again",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.start(NOTHING, "while :; do echo line; sleep 0.1; done")?;
            soon("a line", || {
                container.log().is_ok_and(|log| !log.is_empty())
            })?;
            let path = container.log_path();
            fs::rename(path, path.with_extension("old")).unwrap();
            container.call("ReopenContainerLog")?;
            soon("a new line", || {
                container.log().is_ok_and(|log| !log.is_empty())
            })
        },
    },
    Check {
        claim: "a container with a terminal has one",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.start(json!({"tty": true}), "tty; test -t 0 -a -t 1 -a -t 2")?;
            container.ends(0)?;
            same(container.output()?.trim(), "/dev/pts/0")
        },
    },
    Check {
        claim: "variables, working directory and host name are the asked ones",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"envs": [{"key": "A", "value": "b"}], "working_dir": "/etc"});
            let said = pod.run(fields, "echo $A $(pwd) $(hostname)")?;
            same(said.as_str(), "b /etc pod")
        },
    },
    Check {
        claim: "user and working directory of the image are used",
        holds: |n| {
            let pod = n.shared()?;
            let fields = json!({"image": {"image": CONFIGURED}});
            let said = pod.run(fields, "echo $(id -u):$(id -g) $(pwd)")?;
            same(said.as_str(), "65534:65534 /tmp")
        },
    },
    Check {
        claim: "exec gives output and exit code",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.sleeping(NOTHING)?;
            let ran = container.exec(&["sh", "-c", "echo out; echo err >&2; exit 7"])?;
            same(ran.stderr.as_str(), "err\n")?;
            ran.ends(7, "out")
        },
    },
    Check {
        claim: "exec has the container's user, variables and directory",
        holds: |n| {
            let pod = n.shared()?;
            let mut fields = security(json!({"run_as_user": {"value": 2000}}));
            fields["envs"] = json!([{"key": "A", "value": "b"}]);
            fields["working_dir"] = json!("/etc");
            let container = pod.sleeping(fields)?;
            let script = "echo $A $(pwd) $(id -u)";
            container.exec(&["sh", "-c", script])?.prints("b /etc 2000")
        },
    },
    Check {
        claim: "exec of a missing program says so",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.sleeping(NOTHING)?;
            let error = refused(container.exec(&["/nothing"]))?;
            says(&error, "OCI runtime exec failed")?;
            says(&error, "no such file or directory")?;
            container.exec(&["echo", "here"])?.prints("here")
        },
    },
    Check {
        claim: "exec ends in time, with what it started",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.sleeping(NOTHING)?;
            let error = refused(container.exec_within(1, &["tail", "-f", "/dev/null"]))?;
            says(&error, "DEADLINE_EXCEEDED")?;
            let script = "! grep -q ^tail$ /proc/[0-9]*/comm";
            soon("its end", || {
                let ran = container.exec(&["sh", "-c", script]);
                ran.is_ok_and(|ran| ran.code == 0)
            })
        },
    },
    Check {
        claim: "limits are in the cgroup",
        holds: |n| {
            let pod = n.shared()?;
            let limits = json!({
             "memory_limit_in_bytes": 67_108_864, "cpu_quota": 50000, "cpu_period": 100_000, "cpu_shares": 512,
            });
            let container = pod.sleeping(resources(limits))?;
            let memory = container.limit(&["memory.max", "memory.limit_in_bytes"])?;
            same(memory.as_str(), "67108864")?;
            let cpu = container.limit(&["cpu.max", "cpu.cfs_quota_us"])?;
            same(cpu.split(' ').next(), Some("50000"))?;
            let weight = container.limit(&["cpu.weight", "cpu.shares"])?;
            same(weight == "512" || weight == "20", true)
        },
    },
    Check {
        claim: "resources of a running container are updated",
        holds: |n| {
            let pod = n.shared()?;
            let limits = json!({"memory_limit_in_bytes": 67_108_864, "cpu_shares": 512});
            let container = pod.sleeping(resources(limits))?;
            container.update(json!({"memory_limit_in_bytes": 33_554_432, "cpu_shares": 1024, "cpu_quota": 20000, "cpu_period": 100_000}))?;
            let memory = container.limit(&["memory.max", "memory.limit_in_bytes"])?;
            same(memory.as_str(), "33554432")?;
            let cpu = container.limit(&["cpu.max", "cpu.cfs_quota_us"])?;
            same(cpu.split(' ').next(), Some("20000"))?;
            let weight = container.limit(&["cpu.weight", "cpu.shares"])?;
            same(weight == "1024" || weight == "39", true)?;
            container.exec(&["echo", "here"])?.prints("here")
        },
    },
    Check {
        claim: "resources of a created container are updated",
        holds: |n| {
            let pod = n.shared()?;
            let limits = json!({"memory_limit_in_bytes": 67_108_864});
            let container = pod.create(resources(limits), &["sh", "-c", "exit 4"])?;
            container.update(json!({"memory_limit_in_bytes": 33_554_432}))?;
            container.start()?;
            container.ends(4)
        },
    },
    Check {
        claim: "stats tell processor time and memory",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.sleeping(NOTHING)?;
            let is_positive =
                |value: &Value| value["value"].as_str().is_some_and(|text| text != "0");
            soon("both", || {
                container.stats().is_ok_and(|stats| {
                    is_positive(&stats["cpu"]["usage_core_nano_seconds"])
                        && is_positive(&stats["memory"]["working_set_bytes"])
                })
            })
        },
    },
    Check {
        claim: "stats of a pod count the processes of its containers",
        holds: |n| {
            let pod = n.pod(NOTHING)?;
            let _container = pod.start(NOTHING, "exec sleep 100")?;
            soon("one process", || {
                let stats = pod.stats();
                stats.is_ok_and(|stats| stats["linux"]["process"]["process_count"]["value"] == "1")
            })
        },
    },
    Check {
        claim: "stop asks by SIGTERM and waits",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.sleeping(NOTHING)?;
            container.stop(20)?;
            container.ends(3)
        },
    },
    Check {
        claim: "stop kills what does not end in time",
        holds: |n| {
            let pod = n.shared()?;
            let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
            let container = pod.ready(NOTHING, script)?;
            container.stop(1)?;
            container.ends(137)
        },
    },
    Check {
        claim: "a container that is removed is gone",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.sleeping(NOTHING)?;
            container.stop(0)?;
            container.remove()?;
            says(&refused(container.status())?, "NOT_FOUND")?;
            container.has_left_nothing()
        },
    },
    Check {
        claim: "a container that was never started is removed",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.create(NOTHING, &["true"])?;
            container.remove()?;
            container.has_left_nothing()
        },
    },
    Check {
        claim: "running out of memory is told",
        holds: |n| {
            let pod = n.shared()?;
            let script = "dd if=/dev/zero of=/dev/null bs=100M count=1";
            let container = pod.start(
                resources(json!({"memory_limit_in_bytes": 33_554_432})),
                &format!("sleep 0.5; exec {script}"),
            )?;
            container.ends(137)?;
            same(text(&container.status()?["reason"]).as_str(), "OOMKilled")
        },
    },
    Check {
        claim: "a program that does not exist is named, and the container has failed to start",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.create(NOTHING, &["/nothing"])?;
            let error = refused(container.start())?;
            says(&error, "/nothing")?;
            says(&error, "no such file or directory")?;
            container.ends(128)?;
            let status = container.status()?;
            same(text(&status["reason"]).as_str(), "StartError")?;
            says(&text(&status["message"]), "no such file or directory")
        },
    },
    Check {
        claim: "a program that is not executable is refused for that",
        holds: |n| {
            let pod = n.shared()?;
            let container = pod.create(NOTHING, &["/etc/passwd"])?;
            says(&refused(container.start())?, "permission denied")?;
            container.ends(128)
        },
    },
    Check {
        claim: "a container starts after one that could not",
        holds: |n| {
            let pod = n.pod(NOTHING)?;
            refused(pod.create(NOTHING, &["/nothing"])?.start())?;
            same(pod.run(NOTHING, "echo here")?.as_str(), "here")
        },
    },
    Check {
        claim: "a container of the same name is made again",
        holds: |n| {
            let pod = n.pod(NOTHING)?;
            let first = pod.start(json!({"metadata": {"name": "again"}}), "exit 1")?;
            first.ends(1)?;
            let again = json!({"metadata": {"name": "again", "attempt": 1}});
            same(pod.run(again, "echo here")?.as_str(), "here")
        },
    },
    Check {
        claim: "a handler that is not configured is named",
        holds: |n| {
            n.shared()?;
            let error = refused(n.pod_of("none-such", NOTHING))?;
            says(&error, "none-such")
        },
    },
];
