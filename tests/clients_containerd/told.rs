//! What a user of containerd learns of a profile: a refusal with its way out, and where it says what was changed.
//! These are no checks that runc passes, too.

use std::fs;

use serde_json::{Value, json};

use super::{Ctr, Task};
use crate::clients::{CONFIGURED, IMAGE, Said, Verdict};

/// Every claim, by the lanes that they are about.
#[track_caller]
pub(super) fn hold(lanes: &[(&'static str, Ctr)]) {
    let lane = |wanted: &str| &lanes.iter().find(|(name, _)| *name == wanted).unwrap().1;
    let (baseline, restricted) = (lane("stockade"), lane("stockade-restricted"));
    for (claim, held) in [
        ("a refusal reaches the user", refusals(restricted)),
        ("state tells", state(baseline, &[], "baseline")),
        (
            "state tells",
            state(restricted, &["--privileged"], "restricted"),
        ),
        ("the log tells", log(baseline)),
    ] {
        assert_eq!(held, Ok(()), "{claim}");
    }
}

fn refusals(c: &Ctr) -> Verdict {
    let way =
        r#"use the handler "stockade" or --profile baseline: profile "baseline" accepts this)"#;
    let tmpfs = "type=tmpfs,src=tmpfs,dst=/mnt,options=size=50%";
    for (image, flags, cause) in [
        (
            IMAGE,
            vec!["--privileged"],
            r#"process.user.uid: 0 is refused by profile "restricted" (identity.non-root) ("#,
        ),
        (
            CONFIGURED,
            vec!["--mount", tmpfs],
            r#"size "50%" is refused by profile "restricted" (mounts.tmpfs) ("#,
        ),
    ] {
        let flags = [vec!["--rm"], flags].concat();
        let words = c.running(&flags, image, &c.id(), &["true"]);
        let said = Said(c.place.call("ctr").args(words).output()).fails()?;
        said.clone().says(&["OCI runtime create failed: "])?;
        said.clone().says(&[cause])?;
        said.says(&[way])?;
    }
    Ok(())
}

/// The annotations that `stockade state` has of a running task.
fn annotations(c: &Ctr, task: &Task<'_>) -> Result<Value, String> {
    let root = format!("/run/containerd/runc/{}", c.place.name());
    let call = c.place.call(&c.lane.runtime);
    let said = Said(call.args(["--root", &root, "state", &task.id]).output());
    let state: Value = serde_json::from_str(&said.ok()?.text()).map_err(|e| e.to_string())?;
    Ok(state["annotations"].clone())
}

fn state(c: &Ctr, flags: &[&str], profile: &str) -> Verdict {
    let task = c.start(flags, "exec sleep 100")?;
    let annotations = annotations(c, &task)?;
    let told = annotations["org.stockade.tightened"].as_str();
    let told: Vec<Value> = serde_json::from_str(told.unwrap_or("[]")).unwrap_or_default();
    let place = "/process/capabilities/bounding";
    let capabilities = told.iter().find(|one| one["pointer"] == place);
    let removed = capabilities.and_then(|one| one["removed"].as_array());
    let is_told = removed.is_some_and(|names| names.contains(&json!("CAP_MKNOD")));
    if annotations["org.stockade.profile"] == profile && is_told {
        Ok(())
    } else {
        Err(format!("{annotations:#}"))
    }
}

fn log(c: &Ctr) -> Verdict {
    let task = c.sleeping()?;
    let tasks = c.place.path().join("state/io.containerd.runtime.v2.task");
    let path = tasks.join(c.place.name()).join(&task.id).join("log.json");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let records = text.lines().map(serde_json::from_str::<Value>);
    let mut rules = records.filter_map(|record| Some(record.ok()?["rule"].as_str()?.to_owned()));
    if rules.any(|rule| rule == "capabilities.allow") {
        Ok(())
    } else {
        Err(text)
    }
}
