//! Which images are let in, before anything of them is unpacked. An image is let in if one rule lets it in.
//!
//! A rule decides by what cannot be made up: digests, signatures, diffIDs. A name is a claim of whoever made the archive,
//! and so can only narrow a rule: `Rule::new` refuses one that has nothing but names.

use super::signature::{Authority, Signatures};
use super::{Digest, Image};
use crate::error::{Error, Result, quote, quote_path};

/// What is demanded of images.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    also: Vec<Authority>,
}

/// One way to be let in: everything that it names must hold.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// What the image must be called, each exactly or up to a `*` at its end; empty: anything, or nothing.
    pub names: Vec<String>,
    /// Each must have signed it.
    pub signed_by: Vec<Authority>,
    /// One of them must be its own, that of an index that led to it, or its configuration's; empty: any.
    pub digests: Vec<Digest>,
    /// diffIDs, lowest first; the image's must begin with those of one of these; empty: any.
    pub base_layers: Vec<Vec<Digest>>,
}

impl Policy {
    /// Of rules, tried in order; none lets every image in.
    ///
    /// # Errors
    /// A rule that decides nothing or has an empty base: its number and the cause.
    pub fn new(rules: Vec<Rule>) -> std::result::Result<Self, String> {
        for (i, rule) in rules.iter().enumerate() {
            rule.check()
                .map_err(|cause| format!("rule[{i}]: {cause}"))?;
        }
        let also = Vec::new();
        Ok(Self { rules, also })
    }

    /// Demands a signature by `authority` too, whatever the rules say.
    #[must_use]
    pub fn and_signed_by(mut self, authority: Authority) -> Self {
        self.also.push(authority);
        self
    }

    /// Whether every image is let in.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.also.is_empty()
    }

    /// Whether it says anything of who must have signed an image.
    pub fn names_signers(&self) -> bool {
        !self.also.is_empty() || self.rules.iter().any(|rule| !rule.signed_by.is_empty())
    }

    /// Says, one line each, what has let the image in; nothing if the policy is empty. The layers' content has not been
    /// read then: who unpacks compares it with the digests and diffIDs that were looked at here.
    ///
    /// # Errors
    /// It is not let in, or cannot be checked, which is the same.
    pub fn admit(&self, image: &Image) -> Result<Vec<String>> {
        self.admit_with(image, &[])
    }

    /// [`Policy::admit`] with sigstore bundles from elsewhere, each with its name.
    ///
    /// # Errors
    /// As [`Policy::admit`].
    pub fn admit_with(&self, image: &Image, bundles: &[(String, Vec<u8>)]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        if !self.also.is_empty() {
            let signatures = Signatures::find(image, bundles)?;
            for authority in &self.also {
                lines.push(signatures.by(authority)?);
            }
        }
        let mut causes = Vec::new();
        for rule in &self.rules {
            match rule.admit(image, bundles) {
                Ok(more) => {
                    lines.extend(more);
                    return Ok(lines);
                }
                Err(error) => causes.push(error),
            }
        }
        match causes.as_slice() {
            [] => Ok(lines),
            [one] => Err(one.clone()),
            all => {
                let list = all.iter().enumerate();
                let list: Vec<_> = list
                    .map(|(i, cause)| format!("rule[{i}]: {cause}"))
                    .collect();
                Err(refused(
                    image,
                    &format!("no rule lets it in: {}", list.join("; ")),
                ))
            }
        }
    }
}

impl Rule {
    fn check(&self) -> std::result::Result<(), &'static str> {
        if self.signed_by.is_empty() && self.digests.is_empty() && self.base_layers.is_empty() {
            return Err(
                "names neither signatures nor digests nor base layers, and whoever makes an image names it",
            );
        }
        if self.base_layers.iter().any(Vec::is_empty) {
            return Err("has a base without layers, which is every image's");
        }
        Ok(())
    }

    fn admit(&self, image: &Image, bundles: &[(String, Vec<u8>)]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        if !self.names.is_empty() {
            let name = image.names.iter().find(|name| self.is_named(name));
            let name =
                name.ok_or_else(|| refused(image, "it has none of the names that are let in"))?;
            lines.push(format!("called {}", quote(name)));
        }
        if !self.digests.is_empty() {
            let digests = [&image.digest, &image.config_digest];
            let mut own = digests.into_iter().flatten().chain(&image.through);
            let pinned = own.find(|digest| self.digests.contains(digest));
            let pinned = pinned.ok_or_else(|| refused(image, &unpinned(image)))?;
            lines.push(format!("pinned: {pinned}"));
        }
        if !self.base_layers.is_empty() {
            // What the configuration claims here is compared with the layers when they are unpacked.
            let diff_ids = &image.config.diff_ids;
            let base = self
                .base_layers
                .iter()
                .find(|base| diff_ids.starts_with(base));
            let base = base.ok_or_else(|| {
                refused(
                    image,
                    "it stands on none of the base layers that are let in",
                )
            })?;
            lines.push(format!("base: {} layers", base.len()));
        }
        if !self.signed_by.is_empty() {
            let signatures = Signatures::find(image, bundles)?;
            for authority in &self.signed_by {
                lines.push(signatures.by(authority)?);
            }
        }
        Ok(lines)
    }

    fn is_named(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            })
    }
}

fn unpinned(image: &Image) -> String {
    match image.digest.as_ref().or(image.config_digest.as_ref()) {
        Some(digest) => format!("its digest {digest} is not pinned"),
        None => format!("a {} has no digest that could be pinned", image.form.name()),
    }
}

fn refused(image: &Image, cause: &str) -> Error {
    Error::new(format!("let in image {}", quote_path(&image.path)), cause)
}
