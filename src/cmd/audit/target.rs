//! What the target of an audit is: found by content, and said.

use std::path::{Path, PathBuf};

use super::{Audit, usage};
use crate::audit::Subject;
use crate::audit::config::{Host, Scene};
use crate::cmd::Global;
use crate::container::State;
use crate::error::{Result, quote, quote_path};
use crate::image::Form;
use crate::profile::{self, Facts, Profile, Tightened};
use crate::spec::{Bundle, Config};

/// What the command line names.
///
/// # Errors
/// It cannot be read, or is none of what can be audited.
pub(super) fn subject(global: &Global, arguments: &Audit) -> Result<Subject> {
    let profile = global.profile.as_deref();
    match (&arguments.container, &arguments.target) {
        (Some(id), _) => {
            if profile.is_some() {
                return Err(usage(
                    "audit",
                    "--profile is for bundles: a container has its own",
                ));
            }
            of_container(id, global.store()?.load(id)?.state()?)
        }
        (None, Some(target)) => of_target(arguments, profile, target),
        (None, None) => Err(usage("audit", "there is no target")),
    }
}

/// What is applied, not what the bundle says by now.
fn of_container(id: &str, state: State) -> Result<Subject> {
    let root = Some(state.root).filter(|root| root.is_dir());
    let own = usize::from(
        state
            .config
            .linux
            .as_ref()
            .is_some_and(|linux| linux.seccomp.is_some()),
    );
    let is_filtered = state.filters > own;
    let profile = Profile::builtin(&state.profile).filter(|_| is_filtered);
    let filter = match &profile {
        Some(profile) => tighten(&state.config, profile)?.filter,
        None => None,
    };
    let unknown_filter = (is_filtered && filter.is_none()).then_some(state.profile);
    Ok(Subject {
        words: format!("container {}", quote(id)),
        root: root.clone(),
        config: Some(Scene {
            document: format!("container {id}"),
            root,
            config: state.config,
            bundle: state.bundle,
            filters: filter.into_iter().collect(),
            unknown_filter,
            host: Host::read(),
        }),
        ..Subject::default()
    })
}

fn tighten(config: &Config, profile: &Profile) -> Result<Tightened> {
    let facts = Facts::read()?.with_joins(config).with_kernel(profile);
    profile::tighten(config, profile, &facts)
}

/// A directory with `oci-layout` is an image, one with config.json a bundle, any other a root filesystem.
fn of_target(arguments: &Audit, profile: Option<&str>, target: &Path) -> Result<Subject> {
    let form = Form::detect(target)?;
    let words = |form: &str| format!("{form} {}", quote_path(target));
    let is_bundle = form == Form::Directory && is_there(&target.join("config.json"));
    let doing = || format!("audit {}", quote_path(target));
    if profile.is_some() && !is_bundle {
        return Err(usage(&doing(), "--profile is for bundles, and it is none"));
    }
    if form != Form::Directory {
        let image = arguments.which.open(target)?;
        return Ok(Subject {
            words: words(form.name()),
            image: Some(image),
            ..Subject::default()
        });
    }
    if arguments.which.is_chosen() {
        return Err(usage(
            &doing(),
            "--name and --platform are for images, and it is none",
        ));
    }
    if !is_bundle {
        return Ok(Subject {
            words: words(form.name()),
            root: Some(target.to_owned()),
            ..Subject::default()
        });
    }
    of_bundle(target, profile)
}

/// As written, or as a profile leaves it.
fn of_bundle(target: &Path, profile: Option<&str>) -> Result<Subject> {
    let bundle = Bundle::load(target)?;
    let root = root_of(&bundle.path, &bundle.config);
    let mut words = format!("bundle {}", quote_path(target));
    let mut config = bundle.config;
    let mut filter = None;
    if let Some(name) = profile {
        let profile = Profile::load(name)?;
        words.push_str(&format!(", as profile {} leaves it", quote(&profile.name)));
        let tightened = tighten(&config, &profile)?;
        (config, filter) = (tightened.config, tightened.filter);
    }
    Ok(Subject {
        words,
        root: root.clone(),
        config: Some(Scene {
            config,
            document: bundle.file,
            bundle: bundle.path,
            root,
            filters: filter.into_iter().collect(),
            unknown_filter: None,
            host: Host::read(),
        }),
        ..Subject::default()
    })
}

/// Whatever it is: one that cannot be read is no root filesystem's.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The root filesystem, if there is one yet.
fn root_of(bundle: &Path, config: &Config) -> Option<PathBuf> {
    let root = bundle.join(&config.root.as_ref()?.path);
    root.is_dir().then_some(root)
}
