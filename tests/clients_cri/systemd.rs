//! Pods whose cgroups systemd makes (`SystemdCgroup = true`): what the scope says while the container lives, and that it goes.
//! Where systemd does not run the test is skipped; `scripts/vm --systemd` has one.

use serde_json::{Value, json};

use super::{Driver, NOTHING, can_run, resources, served};
use crate::clients::{Node, REFUSES, same, soon};
use crate::systemd::{is_there, shown};

#[test]
fn containerd_through_systemd_runs_pods_with_stockade_as_with_runc() {
    if !is_there() || !can_run() {
        return;
    }
    let (place, handlers) = served(Driver::Systemd, &["stockade-none"]);
    let mut seen = Vec::new();
    for handler in handlers.iter().filter(|handler| handler.name != REFUSES) {
        let name = handler.name;
        let lived = lives(&Node::new(&place, name));
        seen.push(lived.unwrap_or_else(|why| panic!("{name}: {why}")));
    }
    let expected = [
        "ActiveState=active",
        "CPUQuotaPerSecUSec=500ms",
        "Delegate=yes",
        "MemoryMax=67108864",
        "Slice=stockade-tests.slice",
    ];
    assert_eq!(seen[0], expected, "runc");
    assert_eq!(seen[1], expected, "stockade");
}

const PROPERTIES: &str = "ActiveState,CPUQuotaPerSecUSec,Delegate,MemoryMax,Slice";

/// One container of one pod from its start to its removal; the properties of its scope.
fn lives(node: &Node) -> Result<Vec<String>, String> {
    let pod = node.pod(json!({"linux": {"cgroup_parent": "/stockade-tests.slice"}}))?;
    same(pod.run(NOTHING, "echo here")?.as_str(), "here")?;
    let limits =
        json!({"memory_limit_in_bytes": 67_108_864, "cpu_quota": 50000, "cpu_period": 100_000});
    let container = pod.sleeping(resources(limits))?;
    let scope = format!("cri-containerd-{}.scope", container.id());
    let properties = shown(&scope, PROPERTIES);
    same(container.limit(&["memory.max"])?.as_str(), "67108864")?;
    same(container.limit(&["cpu.max"])?.as_str(), "50000 100000")?;
    let said = container.exec(&["sh", "-c", "echo there; exit 7"])?;
    said.ends(7, "there")?;
    let is_positive = |value: &Value| value["value"].as_str().is_some_and(|text| text != "0");
    soon("numbers of use", || {
        container.stats().is_ok_and(|stats| {
            is_positive(&stats["cpu"]["usage_core_nano_seconds"])
                && is_positive(&stats["memory"]["working_set_bytes"])
        })
    })?;
    container.update(json!({"memory_limit_in_bytes": 33_554_432}))?;
    same(container.limit(&["memory.max"])?.as_str(), "33554432")?;
    same(
        shown(&scope, "MemoryMax"),
        vec!["MemoryMax=33554432".to_owned()],
    )?;
    container.stop(20)?;
    container.ends(3)?;
    container.remove()?;
    container.has_left_nothing()?;
    let gone = ["ActiveState=inactive", "LoadState=not-found"];
    soon("the scope is gone", || {
        shown(&scope, "ActiveState,LoadState") == gone
    })?;
    Ok(properties)
}
