//! `audit`: what of a bundle, a root filesystem, an image or a container keeps to the ten practices. Nothing is run and
//! nothing of the target is changed. What the checks are is `audit`'s.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::checks::{CheckFormat, tell};
use super::output::{columns, pretty};
use super::partial::Partial;
use super::{ExitCode, Global, print};
use crate::audit::config::Scene;
use crate::audit::image::Budget;
use crate::audit::{
    self, Accepted, Baseline, Check, Date, Judged, Subject, Waivers, Wanted, table,
};
use crate::configuration::{key_authority, read_small};
use crate::container::{State, timestamp, write_whole};
use crate::error::{Doing, Error, Kind, Result, quote, quote_path};
use crate::image::{Form, Image, Platform};
use crate::report::Severity;
use crate::spec::{Bundle, Config};

/// Arguments of `audit`.
#[derive(Debug, Clone, Args)]
pub struct Audit {
    /// Bundle, root filesystem, image layout, or an archive of an image
    #[arg(value_name = "TARGET", required_unless_present_any = ["container", "list", "explain"])]
    pub target: Option<PathBuf>,
    /// Container: its configuration as applied, and its root filesystem
    #[arg(long, value_name = "ID", conflicts_with = "target")]
    pub container: Option<String>,
    /// Which image, of several in one archive or layout
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the image was built for, such as linux/arm64 [default: this machine]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
    /// Public key in PEM that must have signed the image, besides what the configuration demands
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Most that IMG-006 lets an image have: bytes, objects, layers; may be repeated
    #[arg(long, value_name = "NAME=NUMBER", value_parser = budget)]
    pub budget: Vec<(String, u64)>,
    /// Make these checks alone
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = check)]
    pub only: Vec<&'static Check>,
    /// Leave these checks out
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = check)]
    pub skip: Vec<&'static Check>,
    /// Findings that somebody answers for, with a reason and until a day
    #[arg(long, value_name = "FILE")]
    pub waivers: Option<PathBuf>,
    /// Findings that were there before: only others count
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write what is found as the baseline; it counts as accepted from now on
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub write_baseline: Option<PathBuf>,
    /// Exit with 1 if something of this severity or above is found
    #[arg(long, value_enum, default_value = "medium", value_name = "SEVERITY")]
    pub fail_on: FailOn,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: CheckFormat,
    /// List the checks
    #[arg(long, conflicts_with_all = ["target", "container", "explain"])]
    pub list: bool,
    /// Say what a check looks for, why, and what to do
    #[arg(long, value_name = "ID", conflicts_with_all = ["target", "container"], value_parser = check)]
    pub explain: Option<&'static Check>,
}

/// The value of `--fail-on`; no other tool has critical findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Any.
    Low,
    /// What helps an attacker, or is hardly meant.
    Medium,
    /// A way out.
    High,
    /// The host, or a secret, is there for the taking.
    Critical,
    /// None.
    Never,
}

impl FailOn {
    fn least(self) -> Option<Severity> {
        match self {
            Self::Low => Some(Severity::Low),
            Self::Medium => Some(Severity::Medium),
            Self::High => Some(Severity::High),
            Self::Critical => Some(Severity::Critical),
            Self::Never => None,
        }
    }
}

/// A check of the table.
fn check(id: &str) -> std::result::Result<&'static Check, String> {
    table::check(id).ok_or_else(|| "`stockade audit --list` lists the checks".to_owned())
}

/// Carries `audit` out.
///
/// # Errors
/// A target, waivers or a baseline that cannot be read; a target that no wanted check looks at.
pub fn run(global: &Global, arguments: &Audit) -> Result<ExitCode> {
    if arguments.list {
        return list(arguments.format);
    }
    if let Some(check) = arguments.explain {
        return explain(check, arguments.format);
    }
    let mut subject = match (&arguments.container, &arguments.target) {
        (Some(id), _) => of_container(id, global.store()?.load(id)?.state()?),
        (None, Some(target)) => of_target(arguments, target)?,
        // The command line has one of them.
        (None, None) => return Err(usage("audit", "there is no target")),
    };
    let wanted = Wanted {
        only: ids(&arguments.only),
        skip: ids(&arguments.skip),
    };
    let waivers = match &arguments.waivers {
        Some(file) => Waivers::parse(&text(file)?, &file.to_string_lossy())?,
        None => Waivers::default(),
    };
    let baseline = match &arguments.baseline {
        Some(file) => Some(Baseline::parse(
            &read_small(file)?,
            &file.to_string_lossy(),
        )?),
        None => None,
    };
    let today = Date::parse(&timestamp(SystemTime::now())[..10]);
    let mut accepted = Accepted {
        waivers: &waivers,
        baseline: baseline.as_ref(),
        today: today.expect("a timestamp begins with a day"),
    };
    let scratch = hold(global, arguments, &mut subject)?;
    let findings = audit::audit(&subject, &wanted)?;
    drop(scratch);
    let written = Baseline::of(Judged::new(&findings, accepted).unwaived());
    if let Some(file) = &arguments.write_baseline {
        write_whole(file, &written.text()?).doing(|| format!("write {}", quote_path(file)))?;
        accepted.baseline = Some(&written);
    }
    let judged = Judged::new(&findings, accepted);
    let told = tell(
        &judged.checks(&subject.words),
        arguments.format,
        arguments.fail_on.least(),
    )?;
    Ok(match told {
        ExitCode::Done if judged.is_incomplete() => ExitCode::NotAudited,
        told => told,
    })
}

/// Sets what an image is held to, and makes the directory that it is unpacked in.
fn hold(global: &Global, arguments: &Audit, subject: &mut Subject) -> Result<Option<Partial>> {
    if subject.image.is_none() {
        return Ok(None);
    }
    let configuration = global.configuration()?;
    let mut policy = configuration.policy()?;
    for key in &arguments.key {
        policy = policy.and_signed_by(key_authority(key)?);
    }
    subject.terms.policy = policy;
    subject.terms.limits = configuration.limits;
    for (name, most) in &arguments.budget {
        subject.terms.budget.set(name, *most);
    }
    // What is unpacked gets the modes that are meant.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let partial = Partial::temporary("audit")?;
    let root = partial.inside().join("rootfs");
    std::fs::create_dir(&root).doing(|| "make a root filesystem")?;
    subject.terms.scratch = Some(root);
    Ok(Some(partial))
}

/// The value of `--budget`.
fn budget(text: &str) -> std::result::Result<(String, u64), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("a budget is NAME=NUMBER, such as layers=10")?;
    let most = value
        .parse()
        .map_err(|_| format!("{} is no number", quote(value)))?;
    if !Budget::default().set(name, most) {
        return Err(format!("the budgets are {}", Budget::NAMES.join(", ")));
    }
    Ok((name.to_owned(), most))
}

/// What is applied, not what the bundle says by now.
fn of_container(id: &str, state: State) -> Subject {
    Subject {
        words: format!("container {}", quote(id)),
        root: Some(state.root.clone()).filter(|root| root.is_dir()),
        config: Some(Scene {
            document: format!("container {id}"),
            root: Some(state.root).filter(|root| root.is_dir()),
            config: state.config,
            bundle: state.bundle,
        }),
        ..Subject::default()
    }
}

/// A directory with `oci-layout` is an image, one with config.json a bundle, any other a root filesystem.
fn of_target(arguments: &Audit, target: &Path) -> Result<Subject> {
    let form = Form::detect(target)?;
    let words = |form: &str| format!("{form} {}", quote_path(target));
    if form != Form::Directory {
        let platform = arguments.platform.clone().unwrap_or_else(Platform::host);
        let image = Image::open_named(target, &platform, arguments.name.as_deref())?;
        return Ok(Subject {
            words: words(form.name()),
            image: Some(image),
            ..Subject::default()
        });
    }
    if arguments.name.is_some() || arguments.platform.is_some() {
        let doing = format!("audit {}", quote_path(target));
        return Err(usage(
            &doing,
            "--name and --platform are for images, and it is none",
        ));
    }
    // Whatever it is: one that cannot be read is no root filesystem's.
    if target.join("config.json").symlink_metadata().is_err() {
        return Ok(Subject {
            words: words(form.name()),
            root: Some(target.to_owned()),
            ..Subject::default()
        });
    }
    let bundle = Bundle::load(target)?;
    let root = root_of(&bundle.path, &bundle.config);
    Ok(Subject {
        words: words("bundle"),
        root: root.clone(),
        config: Some(Scene {
            config: bundle.config,
            document: bundle.file,
            bundle: bundle.path,
            root,
        }),
        ..Subject::default()
    })
}

/// The root filesystem, if there is one yet.
fn root_of(bundle: &Path, config: &Config) -> Option<PathBuf> {
    let root = bundle.join(&config.root.as_ref()?.path);
    root.is_dir().then_some(root)
}

fn ids(checks: &[&'static Check]) -> Vec<String> {
    checks.iter().map(|check| check.id.to_owned()).collect()
}

fn text(file: &Path) -> Result<String> {
    String::from_utf8(read_small(file)?).doing(|| format!("read {}", quote_path(file)))
}

fn usage(doing: &str, cause: &str) -> Error {
    Error::new(doing, cause).kind(Kind::Usage)
}

fn list(format: CheckFormat) -> Result<ExitCode> {
    let checks = table::checks();
    match format {
        CheckFormat::Json => print(&pretty(
            &checks.map(document).collect::<Vec<Value>>(),
            "  ",
        )?)?,
        CheckFormat::Text => {
            let mut rows = vec![["ID", "SEVERITY", "PRACTICE", "CHECK"].map(str::to_owned)];
            rows.extend(checks.map(|check| {
                [
                    check.id,
                    check.severity.word(),
                    check.practice.words(),
                    check.title,
                ]
                .map(str::to_owned)
            }));
            print(&columns(&rows))?;
        }
        _ => return Err(usage("list the checks", "the formats are text and json")),
    }
    Ok(ExitCode::Done)
}

fn explain(check: &'static Check, format: CheckFormat) -> Result<ExitCode> {
    match format {
        CheckFormat::Json => print(&pretty(&document(check), "  ")?)?,
        CheckFormat::Text => print(&told(check))?,
        _ => return Err(usage("explain a check", "the formats are text and json")),
    }
    Ok(ExitCode::Done)
}

fn told(check: &Check) -> String {
    let stages: Vec<&str> = check.stages.iter().map(|stage| stage.words()).collect();
    let closest = match check.closest {
        [] => String::new(),
        closest => format!("\nclosest:   {}", closest.join(", ")),
    };
    format!(
        "{}: {}\n\n{}\n\nseverity:  {}\npractice:  {}\nlooks at:  {}{closest}\nfix:       {}",
        check.id,
        check.title,
        check.why,
        check.severity,
        check.practice.words(),
        stages.join(", "),
        check.fix,
    )
}

fn document(check: &'static Check) -> Value {
    let stages: Vec<&str> = check.stages.iter().map(|stage| stage.words()).collect();
    json!({
        "id": check.id,
        "title": check.title,
        "why": check.why,
        "severity": check.severity,
        "practice": check.practice.words(),
        "looksAt": stages,
        "closest": check.closest,
        "fix": check.fix,
    })
}
