//! Fixtures of the checks of config.json: a hardened config is quiet, and one change makes a check fire.

use super::fixtures::Fixture;
use super::*;
use crate::audit::config::Scene;
use crate::spec::{Linux, Process, Resources, hardened_default};

pub(super) fn fixtures() -> Vec<Fixture> {
    vec![
        fires("CFG-004", |scene| process(scene).no_new_privileges = false),
        fires("CFG-011", |scene| {
            scene.config.root.as_mut().unwrap().readonly = false;
        }),
        fires("CFG-017", |scene| resources(scene).pids = None),
    ]
}

/// A config with which nothing is wrong, without a root filesystem.
pub(super) fn clean() -> Scene {
    Scene {
        config: hardened_default(None),
        document: "config.json".to_owned(),
        bundle: "/bundle".into(),
        root: None,
    }
}

/// Quiet on the clean config, and fires on what `change` makes of it.
fn fires(id: &'static str, change: fn(&mut Scene)) -> Fixture {
    pair(id, change, |_| {})
}

/// The same with a quiet config that comes close.
fn pair(id: &'static str, change: fn(&mut Scene), close: fn(&mut Scene)) -> Fixture {
    let audited = move |change: fn(&mut Scene)| {
        move || {
            let mut scene = clean();
            change(&mut scene);
            findings(id, scene)
        }
    };
    Fixture {
        id,
        fires: Box::new(audited(change)),
        quiet: Box::new(audited(close)),
    }
}

/// What one check finds in a config.
pub(super) fn findings(id: &str, scene: Scene) -> Findings {
    let subject = Subject {
        config: Some(scene),
        ..Subject::default()
    };
    let wanted = Wanted {
        only: vec![id.to_owned()],
        skip: Vec::new(),
    };
    audit(&subject, &wanted).unwrap()
}

fn process(scene: &mut Scene) -> &mut Process {
    scene.config.process.as_mut().unwrap()
}

fn linux(scene: &mut Scene) -> &mut Linux {
    scene.config.linux.as_mut().unwrap()
}

fn resources(scene: &mut Scene) -> &mut Resources {
    linux(scene).resources.as_mut().unwrap()
}
