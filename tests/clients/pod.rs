//! Pods and their containers over the CRI, with one runtime handler, as a kubelet would make them.
//! Not here: the connection (cri.rs), containerd's configuration and the checks (clients_cri.rs).

#![expect(
    clippy::needless_pass_by_value,
    reason = "requests are written where they are made"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{CONFIGURED, Cri, IMAGE, Place, Verdict, limit, same, soon};

/// A node with one handler.
pub(crate) struct Node {
    pub(crate) place: Arc<Place>,
    pub(crate) handler: &'static str,
    pub(crate) cri: Arc<Cri>,
    next: AtomicU32,
    shared: Mutex<Option<Arc<Pod>>>,
}

/// A pod; it goes when it is dropped, with its containers.
pub(crate) struct Pod {
    cri: Arc<Cri>,
    place: Arc<Place>,
    id: String,
    config: Value,
    /// What a container gets that asks for nothing.
    user: Option<u32>,
    next: AtomicU32,
}

/// A container of a pod; it goes with the pod at the latest.
pub(crate) struct Container<'a> {
    pod: &'a Pod,
    id: String,
    log: PathBuf,
}

/// The end of a program that ExecSync ran.
pub(crate) struct Ran {
    pub(crate) code: i64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Node {
    pub(crate) fn new(place: &Arc<Place>, handler: &'static str) -> Self {
        let socket = place.path().join("grpc.sock");
        Self {
            cri: Arc::new(Cri::connect(&socket, place.path())),
            place: Arc::clone(place),
            handler,
            next: AtomicU32::new(0),
            shared: Mutex::new(None),
        }
    }

    /// A pod like the default one with these fields in its configuration.
    pub(crate) fn pod(&self, fields: Value) -> Result<Pod, String> {
        self.pod_of(self.handler, fields)
    }

    pub(crate) fn pod_of(&self, handler: &str, fields: Value) -> Result<Pod, String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}-x", self.handler);
        let logs = self.place.directory(&format!("logs/{name}"));
        let mut config = json!({
            "metadata": {"name": name, "uid": name, "namespace": "tests"},
            "hostname": "pod",
            "log_directory": logs,
            "linux": {
                "cgroup_parent": format!("/{}", self.place.name()),
                "security_context": {"namespace_options": {"pid": "CONTAINER"}},
            },
        });
        merge(&mut config, fields);
        let request = json!({"config": config, "runtime_handler": handler});
        let reply = self.cri.call("RunPodSandbox", request)?;
        Ok(Pod {
            cri: Arc::clone(&self.cri),
            place: Arc::clone(&self.place),
            id: text(&reply["pod_sandbox_id"]),
            config,
            // `restricted` takes no root user.
            user: (handler == "stockade-restricted").then_some(65534),
            next: AtomicU32::new(0),
        })
    }

    /// One pod for all checks that need none of their own.
    pub(crate) fn shared(&self) -> Result<Arc<Pod>, String> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pod) = &*shared {
            return Ok(Arc::clone(pod));
        }
        let pod = Arc::new(self.pod(json!({}))?);
        Ok(Arc::clone(shared.insert(pod)))
    }
}

impl Pod {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn call(&self, method: &str) -> Result<Value, String> {
        self.cri.call(method, json!({"pod_sandbox_id": self.id}))
    }

    pub(crate) fn status(&self) -> Result<Value, String> {
        Ok(self.call("PodSandboxStatus")?["status"].take())
    }

    pub(crate) fn stats(&self) -> Result<Value, String> {
        Ok(self.call("PodSandboxStats")?["stats"].take())
    }

    pub(crate) fn address(&self) -> Result<String, String> {
        Ok(text(&self.status()?["network"]["ip"]))
    }

    pub(crate) fn stop(&self) -> Verdict {
        self.call("StopPodSandbox").map(drop)
    }

    pub(crate) fn remove(&self) -> Verdict {
        self.call("RemovePodSandbox").map(drop)
    }

    /// A container of the default image that runs these words, with these fields in its configuration.
    pub(crate) fn create(&self, fields: Value, command: &[&str]) -> Result<Container<'_>, String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{number}-x");
        let mut config = json!({
            "metadata": {"name": name},
            "image": {"image": if self.user.is_some() { CONFIGURED } else { IMAGE }},
            "command": command,
            "log_path": format!("{name}.log"),
            // A kubelet says so unless the pod asks for the other.
            "linux": {"security_context": {"namespace_options": {"pid": "CONTAINER"}}},
        });
        merge(&mut config, fields);
        let request = json!({
            "pod_sandbox_id": self.id,
            "config": config,
            "sandbox_config": self.config,
        });
        let reply = self.cri.call("CreateContainer", request)?;
        let logs = PathBuf::from(text(&self.config["log_directory"]));
        Ok(Container {
            pod: self,
            id: text(&reply["container_id"]),
            log: logs.join(text(&config["log_path"])),
        })
    }

    /// The same, started, with a shell script.
    pub(crate) fn start(&self, fields: Value, script: &str) -> Result<Container<'_>, String> {
        let container = self.create(fields, &["sh", "-c", script])?;
        container.start()?;
        Ok(container)
    }

    /// The same; waits for the first line that the script writes.
    pub(crate) fn ready(&self, fields: Value, script: &str) -> Result<Container<'_>, String> {
        let container = self.start(fields, script)?;
        soon("a line", || {
            container.log().is_ok_and(|log| !log.is_empty())
        })?;
        Ok(container)
    }

    /// A container that ends at once when it is asked to.
    pub(crate) fn sleeping(&self, fields: Value) -> Result<Container<'_>, String> {
        let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done";
        self.ready(fields, script)
    }

    /// Runs a shell script to its end and gives what it wrote.
    pub(crate) fn run(&self, fields: Value, script: &str) -> Result<String, String> {
        let container = self.start(fields, script)?;
        container.ends(0)?;
        container.output()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.stop();
        let _ = self.remove();
    }
}

impl Container<'_> {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn call(&self, method: &str) -> Result<Value, String> {
        self.request(method, json!({}))
    }

    fn request(&self, method: &str, mut request: Value) -> Result<Value, String> {
        request["container_id"] = json!(self.id);
        self.pod.cri.call(method, request)
    }

    pub(crate) fn start(&self) -> Verdict {
        self.call("StartContainer").map(drop)
    }

    /// Asks by SIGTERM and kills after so many seconds.
    pub(crate) fn stop(&self, timeout: u32) -> Verdict {
        self.request("StopContainer", json!({"timeout": timeout}))
            .map(drop)
    }

    pub(crate) fn remove(&self) -> Verdict {
        self.call("RemoveContainer").map(drop)
    }

    pub(crate) fn update(&self, resources: Value) -> Verdict {
        self.request("UpdateContainerResources", json!({"linux": resources}))
            .map(drop)
    }

    pub(crate) fn stats(&self) -> Result<Value, String> {
        Ok(self.call("ContainerStats")?["stats"].take())
    }

    pub(crate) fn status(&self) -> Result<Value, String> {
        Ok(self.call("ContainerStatus")?["status"].take())
    }

    pub(crate) fn is(&self, state: &str) -> Verdict {
        same(text(&self.status()?["state"]).as_str(), state)
    }

    /// Waits for its end, with this exit code.
    pub(crate) fn ends(&self, code: i64) -> Verdict {
        soon("its end", || self.is("CONTAINER_EXITED").is_ok())
            .map_err(|why| format!("{why}: {:?}, {:?}", self.status(), self.output()))?;
        let status = self.status()?;
        let found = status["exit_code"].as_i64().unwrap();
        if found == code {
            return Ok(());
        }
        let said = self.output().unwrap_or_default();
        Err(format!("exit code {code} was expected, {status}: {said:?}"))
    }

    pub(crate) fn exec(&self, command: &[&str]) -> Result<Ran, String> {
        self.exec_within(0, command)
    }

    pub(crate) fn exec_within(&self, seconds: u32, command: &[&str]) -> Result<Ran, String> {
        let request = json!({"cmd": command, "timeout": seconds});
        let reply = self.request("ExecSync", request)?;
        Ok(Ran {
            code: reply["exit_code"].as_i64().unwrap(),
            stdout: text(&reply["stdout"]),
            stderr: text(&reply["stderr"]),
        })
    }

    /// The lines of the log without their times: `STREAM TAG TEXT`.
    pub(crate) fn log(&self) -> Result<Vec<String>, String> {
        let log = fs::read_to_string(&self.log).map_err(|error| error.to_string())?;
        let lines = log.lines().map(|line| line.split_once(' '));
        lines
            .map(|line| line.map(|(_time, rest)| rest.to_owned()))
            .collect::<Option<_>>()
            .ok_or_else(|| format!("not a log: {log:?}"))
    }

    /// What it wrote to both streams, as it is.
    pub(crate) fn output(&self) -> Result<String, String> {
        let lines = self.log()?;
        let text = lines.iter().map(|line| line.splitn(3, ' ').last().unwrap());
        Ok(text.collect::<Vec<_>>().join("\n"))
    }

    /// The log file.
    pub(crate) fn log_path(&self) -> &PathBuf {
        &self.log
    }

    /// The value of a file in the container's cgroup.
    pub(crate) fn limit(&self, files: &[&str]) -> Result<String, String> {
        limit(&self.id, files)
    }

    /// Nothing is left of it on the host.
    pub(crate) fn has_left_nothing(&self) -> Verdict {
        has_left_nothing(&self.pod.place, &self.id)
    }
}

/// No cgroup, mount or process has this id any more.
pub(crate) fn has_left_nothing(place: &Place, id: &str) -> Verdict {
    let task = place.path().join("state/io.containerd.runtime.v2.task");
    same(place.left_of(id, &task.join("k8s.io").join(id)), vec![])
}

impl Ran {
    /// Ended with 0 and wrote this.
    pub(crate) fn prints(self, lines: &str) -> Verdict {
        self.ends(0, lines)
    }

    /// Ended with this code and wrote this.
    pub(crate) fn ends(self, code: i64, lines: &str) -> Verdict {
        if (self.code, self.stdout.trim()) == (code, lines) {
            return Ok(());
        }
        let Self {
            code: found,
            stdout,
            stderr,
        } = self;
        Err(format!(
            "exit code {code} and {lines:?} were expected: {found}, {stdout:?} and {stderr:?}"
        ))
    }
}

/// The text of a value that must be one.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Puts the members of the one object into the other, through all levels.
fn merge(into: &mut Value, fields: Value) {
    match fields {
        Value::Null => {}
        Value::Object(fields) if into.is_object() => {
            for (name, field) in fields {
                merge(&mut into[name], field);
            }
        }
        field => *into = field,
    }
}
