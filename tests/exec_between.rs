//! The process in between, that enters a container for `exec` and clones what becomes the program.
//! Not here: what comes of that one (`exec`).

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Bundle, Call, eventually, installed, runtime, skip};

#[test]
fn exec_fails_where_the_process_in_between_is_killed_before_it_names_the_one_it_cloned() {
    let Some(strace) = installed("strace") else {
        return skip("no strace to slow a process down with");
    };
    let bundle = Bundle::new().args(&["/bin/sleep", "1000"]);
    bundle.launch("run", &["--detach"]).output().ok();
    for flags in [&[][..], &["--detach"]] {
        // Whoever clones goes on two seconds later, and what it has cloned at once.
        let running = Call::new(&strace, bundle.temp())
            .args(["-f", "-o", "/dev/null", "-e", "trace=clone3"])
            .args(["-e", "inject=clone3:delay_exit=2000000"])
            .arg(runtime())
            .arg("--root")
            .arg(bundle.state_dir())
            .arg("exec")
            .args(flags)
            .args([bundle.id(), "true"])
            .spawn();
        let mut entering = Vec::new();
        eventually("the process in between clones", || {
            let of_runtime = children(running.id()).into_iter().flat_map(children);
            entering = of_runtime.collect();
            entering.len() == 2
        });
        kill_process(
            Pid::from_raw(entering[0].cast_signed()).unwrap(),
            Signal::KILL,
        )
        .unwrap();
        let output = running.wait();
        // strace may wonder about the kill.
        let lines = output.stderr.lines();
        let said: Vec<&str> = lines.filter(|line| !line.contains("strace: ")).collect();
        let error = "error: enter the container: init was killed (SIGKILL)";
        assert_eq!(
            (output.code, said.first()),
            (255, Some(&error)),
            "{flags:?}"
        );
    }
    bundle.delete_by_force().ok();
}

/// The oldest first.
fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let text = text.unwrap_or_default();
    text.split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}
