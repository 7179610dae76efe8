//! `verify`: every blob of an image against its digests, and its signatures where any are demanded. Nothing is unpacked.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::image::WhichImage;
use super::output::pretty;
use super::plan::Format;
use super::{ExitCode, Global, print};
use crate::configuration::{identity_authority, read_small, signed_by_all};
use crate::error::{Error, Result, quote, quote_path};
use crate::image::{self, Checked, Policy};

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Image: an image layout, an archive of one, or a docker save archive
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Which image there.
    #[command(flatten)]
    pub which: WhichImage,
    /// Public key in PEM that must have signed the image; every one that is given
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Authorities and logs of a sigstore instance, a trusted_root.json
    #[arg(long, value_name = "FILE", requires = "identity", requires = "issuer")]
    pub trusted_root: Option<PathBuf>,
    /// Whose certificate must have signed the image: an address or a URI
    #[arg(long, value_name = "NAME", requires = "trusted_root")]
    pub identity: Option<String>,
    /// Who must have vouched for the identity: the URL of an OpenID Connect issuer
    #[arg(long, value_name = "URL", requires = "trusted_root")]
    pub issuer: Option<String>,
    /// Sigstore bundle to look at besides those in the image
    #[arg(long, value_name = "FILE")]
    pub bundle: Vec<PathBuf>,
    /// Text or JSON
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What `--format json` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    image: String,
    checked: Vec<Line>,
    admitted: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    what: String,
    digest: Option<String>,
    size: u64,
    media_type: Option<String>,
    diff_id: Option<String>,
    uncompressed: Option<u64>,
}

/// Carries `verify` out: a line for everything that is right, and the first fault as the error.
///
/// # Errors
/// Whatever is wrong with the image, or cannot be checked.
pub fn run(global: &Global, arguments: &Verify) -> Result<ExitCode> {
    let is_json = arguments.format == Format::Json;
    let mut report = Report {
        image: arguments.image.to_string_lossy().into_owned(),
        ..Report::default()
    };
    let outcome = examine(global, arguments, |part| match part {
        Part::Checked(checked) if is_json => {
            report.checked.push(Line::of(&checked));
            Ok(())
        }
        Part::Checked(checked) => print(&Line::of(&checked).text()),
        Part::Admitted(line) if is_json => {
            report.admitted.push(line);
            Ok(())
        }
        Part::Admitted(line) => print(&line),
    });
    if is_json {
        report.fault = outcome.as_ref().err().map(ToString::to_string);
        print(&pretty(&report, "  ")?)?;
    }
    outcome.map(|()| ExitCode::Done)
}

enum Part {
    Checked(Checked),
    Admitted(String),
}

fn examine(
    global: &Global,
    arguments: &Verify,
    mut tell: impl FnMut(Part) -> Result<()>,
) -> Result<()> {
    let configuration = global.configuration()?;
    let policy = arguments.policy(configuration.policy()?)?;
    let mut bundles = Vec::new();
    for file in &arguments.bundle {
        bundles.push((file.to_string_lossy().into_owned(), read_small(file)?));
    }
    let image = arguments.which.open(&arguments.image)?;
    image::check(&image, &configuration.limits, |checked| {
        tell(Part::Checked(checked))
    })?;
    for line in policy.admit_with(&image, &bundles)? {
        tell(Part::Admitted(line))?;
    }
    if policy.is_empty() {
        if !bundles.is_empty() {
            let doing = format!("image {}", quote_path(&arguments.image));
            return Err(
                Error::new(doing, "a bundle needs somebody who must have signed it")
                    .hint("give --key, or --trusted-root with --identity and --issuer"),
            );
        }
        tell(Part::Admitted(
            "signatures: none demanded, none checked".to_owned(),
        ))?;
    }
    Ok(())
}

impl Verify {
    /// What the configuration demands, and what the flags demand besides.
    fn policy(&self, policy: Policy) -> Result<Policy> {
        let mut policy = signed_by_all(policy, &self.key)?;
        if let (Some(root), Some(identity), Some(issuer)) =
            (&self.trusted_root, &self.identity, &self.issuer)
        {
            if identity.is_empty() || issuer.is_empty() {
                return Err(Error::new(
                    "verify",
                    "--identity and --issuer must not be empty",
                ));
            }
            policy = policy.and_signed_by(identity_authority(root, identity, issuer)?);
        }
        Ok(policy)
    }
}

impl Line {
    fn of(checked: &Checked) -> Self {
        Self {
            what: checked.what.clone(),
            digest: checked.digest.as_ref().map(ToString::to_string),
            size: checked.size,
            media_type: checked.media_type.clone(),
            diff_id: checked.diff_id.as_ref().map(ToString::to_string),
            uncompressed: checked.uncompressed,
        }
    }

    /// `layer 0: sha256:…, 10 bytes, "media type", unpacks to sha256:…, 20 bytes`.
    fn text(&self) -> String {
        let mut parts = vec![
            self.digest
                .clone()
                .unwrap_or_else(|| "no digest".to_owned()),
            format!("{} bytes", self.size),
        ];
        parts.extend(self.media_type.as_ref().map(quote));
        if let (Some(diff_id), Some(length)) = (&self.diff_id, self.uncompressed) {
            parts.push(format!("unpacks to {diff_id}, {length} bytes"));
        }
        format!("{}: {}", self.what, parts.join(", "))
    }
}
