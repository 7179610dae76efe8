//! The host's configuration, config.toml: the profile that applies without another choice, and which images are let in
//! (docs/images.md). Its words become an [`Policy`] and [`Limits`] here; what those do is `image`'s.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Doing, Error, Result, quote, quote_path};
use crate::image::layer::Limits;
use crate::image::signature::{Authority, By, PublicKey, SIGN, TrustedRoot};
use crate::image::{Digest, LONGEST_DOCUMENT, Policy, Rule};
use crate::profile::from_toml;

/// Where it is unless a flag says so.
const DEFAULT: &str = "/etc/stockade/config.toml";

/// What the file says.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// The profile's name or path.
    pub profile: Option<String>,
    /// What unpacking an image may cost.
    pub limits: Limits,
    images: Images,
    file: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    profile: Option<String>,
    #[serde(default)]
    images: Images,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Images {
    #[serde(default)]
    rule: Vec<WrittenRule>,
    #[serde(default)]
    authorities: BTreeMap<String, WrittenAuthority>,
    #[serde(default)]
    limits: BTreeMap<String, WrittenLimit>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenRule {
    names: Option<Vec<String>>,
    signed_by: Option<Vec<String>>,
    digests: Option<Vec<Digest>>,
    base_layers: Option<Vec<Vec<Digest>>>,
}

/// Either `key`, or the other three.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WrittenAuthority {
    key: Option<PathBuf>,
    trusted_root: Option<PathBuf>,
    identity: Option<String>,
    issuer: Option<String>,
    predicates: Option<Vec<String>>,
}

/// A number, or one with a unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum WrittenLimit {
    Number(u64),
    Text(String),
}

impl Configuration {
    /// Reads the file at `path`, which must exist, or the default one, which need not.
    ///
    /// # Errors
    /// It cannot be read, has a key that is not known, a value that is none, or a rule that decides nothing: the file and
    /// the field.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let file = path.unwrap_or(Path::new(DEFAULT));
        let text = match std::fs::read_to_string(file) {
            Err(cause) if path.is_none() && cause.kind() == ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            other => other.doing(|| format!("read {}", quote_path(file)))?,
        };
        Self::parse(&text, &file.to_string_lossy())
    }

    fn parse(text: &str, file: &str) -> Result<Self> {
        let Written { profile, images } = from_toml("read", file, text)?;
        let doing = || format!("read {}", quote(file));
        images.check().doing(doing)?;
        let limits = images.limits().doing(doing)?;
        let file = file.to_owned();
        Ok(Self {
            profile,
            limits,
            images,
            file,
        })
    }

    /// Which images are let in; reads the keys and trusted roots that rules need.
    ///
    /// # Errors
    /// One of them cannot be read or is none.
    pub fn policy(&self) -> Result<Policy> {
        let mut rules = Vec::new();
        for rule in &self.images.rule {
            let names = rule.signed_by.iter().flatten();
            let signed_by = names.map(|name| self.images.authority(name));
            rules.push(Rule {
                names: rule.names.clone().unwrap_or_default(),
                signed_by: signed_by.collect::<Result<_>>()?,
                digests: rule.digests.clone().unwrap_or_default(),
                base_layers: rule.base_layers.clone().unwrap_or_default(),
            });
        }
        Policy::new(rules).doing(|| format!("read {}", quote(&self.file)))
    }
}

/// An authority by a public key in PEM, called what the file is called.
///
/// # Errors
/// The file cannot be read, or holds no key of a kind that is known.
fn key_authority(file: &Path) -> Result<Authority> {
    let name = file.to_string_lossy().into_owned();
    let by = By::Key(read_key(file)?);
    let predicates = vec![SIGN.to_owned()];
    Ok(Authority {
        name,
        by,
        predicates,
    })
}

/// The policy, with a demand that each of these public keys has signed the image.
///
/// # Errors
/// A file cannot be read, or holds no key of a kind that is known.
pub fn signed_by_all(policy: Policy, keys: &[PathBuf]) -> Result<Policy> {
    let mut keys = keys.iter();
    keys.try_fold(policy, |policy, key| {
        Ok(policy.and_signed_by(key_authority(key)?))
    })
}

/// An authority by a certificate for `identity`, of which `issuer` has convinced an authority in the trusted root `file`.
///
/// # Errors
/// The file cannot be read, or is no trusted root.
pub fn identity_authority(file: &Path, identity: &str, issuer: &str) -> Result<Authority> {
    let root = TrustedRoot::parse(&read_small(file)?, &file.to_string_lossy())?;
    Ok(Authority {
        name: identity.to_owned(),
        by: By::Identity {
            root: Box::new(root),
            identity: identity.to_owned(),
            issuer: issuer.to_owned(),
        },
        predicates: vec![SIGN.to_owned()],
    })
}

/// All of a small file.
///
/// # Errors
/// It cannot be read, or is longer than a document of an image may be.
pub fn read_small(file: &Path) -> Result<Vec<u8>> {
    let doing = || format!("read {}", quote_path(file));
    let mut all = Vec::new();
    let opened = std::fs::File::open(file).doing(doing)?;
    opened
        .take(LONGEST_DOCUMENT + 1)
        .read_to_end(&mut all)
        .doing(doing)?;
    if all.len() as u64 > LONGEST_DOCUMENT {
        return Err(Error::new(
            doing(),
            format!("more than {LONGEST_DOCUMENT} bytes"),
        ));
    }
    Ok(all)
}

fn read_key(file: &Path) -> Result<PublicKey> {
    PublicKey::from_pem(&read_small(file)?).doing(|| format!("key {}", quote_path(file)))
}

impl Images {
    fn limits(&self) -> std::result::Result<Limits, String> {
        let mut limits = Limits::default();
        for (name, value) in &self.limits {
            let value = match value {
                WrittenLimit::Number(number) => &number.to_string(),
                WrittenLimit::Text(text) => text,
            };
            let set = limits.set(name, value);
            set.map_err(|error| format!("images.limits: {error}"))?;
        }
        Ok(limits)
    }

    fn check(&self) -> std::result::Result<(), String> {
        for (i, rule) in self.rule.iter().enumerate() {
            rule.check(&self.authorities)
                .map_err(|cause| format!("images.rule[{i}]{cause}"))?;
        }
        for (name, authority) in &self.authorities {
            authority
                .check()
                .map_err(|cause| format!("images.authorities.{}: {cause}", quote(name)))?;
        }
        if !self.authorities.is_empty() && self.rule.is_empty() {
            return Err(
                "images.authorities: no images.rule demands a signature by any of them, and without a rule every image is let in"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn authority(&self, name: &str) -> Result<Authority> {
        let written = &self.authorities[name];
        let mut authority = match (&written.key, &written.trusted_root) {
            (Some(key), _) => key_authority(key)?,
            (None, root) => identity_authority(
                root.as_deref().unwrap_or(Path::new("")),
                written.identity.as_deref().unwrap_or_default(),
                written.issuer.as_deref().unwrap_or_default(),
            )?,
        };
        name.clone_into(&mut authority.name);
        if let Some(predicates) = &written.predicates {
            authority.predicates.clone_from(predicates);
        }
        Ok(authority)
    }
}

impl WrittenRule {
    fn check(
        &self,
        authorities: &BTreeMap<String, WrittenAuthority>,
    ) -> std::result::Result<(), String> {
        let lists = [
            ("names", self.names.as_ref().map(Vec::is_empty)),
            ("signed-by", self.signed_by.as_ref().map(Vec::is_empty)),
            ("digests", self.digests.as_ref().map(Vec::is_empty)),
            ("base-layers", self.base_layers.as_ref().map(Vec::is_empty)),
        ];
        for (field, is_empty) in lists {
            if is_empty == Some(true) {
                return Err(format!(
                    ".{field}: an empty list lets nothing in; leave it out to demand nothing"
                ));
            }
        }
        let mut names = self.signed_by.iter().flatten();
        if let Some(unknown) = names.find(|name| !authorities.contains_key(*name)) {
            return Err(format!(
                ".signed-by: no images.authorities has the name {}",
                quote(unknown)
            ));
        }
        if self.signed_by.is_none() && self.digests.is_none() && self.base_layers.is_none() {
            return Err(": needs signed-by, digests or base-layers: a name alone is what an image says of itself".to_owned());
        }
        if self.base_layers.iter().flatten().any(Vec::is_empty) {
            return Err(".base-layers: a base without layers is every image's".to_owned());
        }
        Ok(())
    }
}

impl WrittenAuthority {
    fn check(&self) -> std::result::Result<(), &'static str> {
        let is_filled = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        match (&self.key, &self.trusted_root, &self.identity, &self.issuer) {
            (Some(_), None, None, None) => Ok(()),
            (None, Some(_), identity, issuer) if is_filled(identity) && is_filled(issuer) => Ok(()),
            (None, Some(_), ..) => Err(
                "a trusted root needs an identity and an issuer: anyone can have a certificate of it",
            ),
            _ => Err("needs either key, or trusted-root, identity and issuer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Configuration::parse(text, "config.toml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn limits_are_numbers_or_sizes_and_the_others_stay() {
        let text = "[images.limits]\nbytes = \"8GiB\"\nfile-size = \"512MiB\"\ndepth = 20\n";
        let expected = Limits {
            bytes: 8 << 30,
            file_size: 512 << 20,
            depth: 20,
            ..Limits::default()
        };
        assert_eq!(Configuration::parse(text, "x").unwrap().limits, expected);
    }

    #[test]
    fn limits_that_there_are_not_are_refused_by_name() {
        let doing = "read \"config.toml\": images.limits: set the limit";
        assert_eq!(
            error("[images.limits]\nbytes = 0"),
            format!(
                "{doing} \"bytes\": \"0\" is no number of at least 1, with KiB, MiB, GiB or TiB after it or nothing"
            )
        );
        let unknown = error("[images.limits]\nsize = \"1GiB\"");
        let expected = format!("{doing} \"size\": the limits of images are bytes, ");
        assert!(unknown.starts_with(&expected), "{unknown}");
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_field() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let cases = [
            (
                "colour = 1",
                "line 1: colour: unknown field `colour`, expected `profile` or `images`",
            ),
            (
                "[[images.rule]]\nsigned-by = []",
                "images.rule[0].signed-by: an empty list lets nothing in; leave it out to demand nothing",
            ),
            (
                "[[images.rule]]\nsigned-by = [\"x\"]",
                "images.rule[0].signed-by: no images.authorities has the name \"x\"",
            ),
            (
                "[[images.rule]]\nnames = [\"x\"]",
                "images.rule[0]: needs signed-by, digests or base-layers: a name alone is what an image says of itself",
            ),
            (
                "[[images.rule]]\nbase-layers = [[]]",
                "images.rule[0].base-layers: a base without layers is every image's",
            ),
            (
                "[images.authorities.a]\nidentity = \"x\"",
                "images.authorities.\"a\": needs either key, or trusted-root, identity and issuer",
            ),
            (
                "[images.authorities.a]\nkey = \"x\"",
                "images.authorities: no images.rule demands a signature by any of them, and without a rule every image is let in",
            ),
            (
                "[images.authorities.a]\ntrusted-root = \"x\"\nissuer = \"y\"",
                "images.authorities.\"a\": a trusted root needs an identity and an issuer: anyone can have a certificate of it",
            ),
        ];
        for (text, cause) in cases {
            assert_eq!(error(text), format!("read \"config.toml\": {cause}"));
        }
        let right = format!("[[images.rule]]\ndigests = [\"{digest}\"]");
        assert!(
            !Configuration::parse(&right, "x")
                .unwrap()
                .policy()
                .unwrap()
                .is_empty()
        );
        assert!(
            Configuration::parse("", "x")
                .unwrap()
                .policy()
                .unwrap()
                .is_empty()
        );
    }
}
