//! Image layouts (image-spec image-layout.md), as a directory or in an archive: named files, blobs by descriptor.
//! Which blob means what is not here. Nothing outside the directory is opened, and nothing but regular files.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat2, statat};
use serde::{Deserialize, Serialize};

use super::archive::{Archive, Section, read_error};
use super::config::field_error;
use super::digest::{Digest, Hasher, Verified};
use super::manifest::{Descriptor, Document, Index, Manifest};
use crate::error::errno_words;
use crate::error::{Error, Result, quote};

/// The most bytes of a JSON document: what registries allow for a manifest.
pub const LONGEST_DOCUMENT: u64 = 4 << 20;

/// Where an image's files are.
#[derive(Debug)]
pub struct Blobs {
    path: String,
    place: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    /// A directory.
    Directory(OwnedFd),
    /// An archive of one.
    Archive(Archive),
    /// One file that is the only layer.
    File(Arc<File>),
}

/// A part of a file, not checked against anything.
#[derive(Debug)]
pub struct Stored(Section);

impl Stored {
    /// How many bytes are still to be read.
    pub fn left(&self) -> u64 {
        self.0.left()
    }
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Blobs {
    pub(super) fn new(path: &str, place: Place) -> Self {
        let path = path.to_owned();
        Self { path, place }
    }

    pub(super) fn into_place(self) -> Place {
        self.place
    }

    /// What the image is called in messages, not quoted.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name for messages of one of its files: `PATH: FILE`.
    pub fn name_of(&self, file: &str) -> String {
        format!("{}: {file}", self.path)
    }

    /// Whether there is a file of this name, of whatever kind.
    pub(super) fn has(&self, name: &str) -> bool {
        match &self.place {
            Place::Directory(dir) => statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok(),
            Place::Archive(archive) => archive.get(name).is_some(),
            Place::File(_) => false,
        }
    }

    pub(super) fn archive(&self) -> Option<&Archive> {
        match &self.place {
            Place::Archive(archive) => Some(archive),
            _ => None,
        }
    }

    /// The content of a file, not checked. `name` must not come from the image unless it was validated.
    ///
    /// # Errors
    /// It does not exist, is not a regular file, or leads out of the image.
    pub fn stored(&self, name: &str) -> Result<Stored> {
        match &self.place {
            Place::Directory(dir) => in_directory(dir, &self.path, name).map(Stored),
            Place::Archive(archive) => archive.section(name).map(Stored),
            Place::File(file) => {
                let length = file.metadata().map_err(|e| read_error(&self.path, &e))?;
                Ok(Stored(Section::new(Arc::clone(file), 0, length.len())))
            }
        }
    }

    /// All bytes of a small file, not checked.
    ///
    /// # Errors
    /// As [`Blobs::stored`], and longer than 4 MiB.
    pub fn document(&self, name: &str) -> Result<Vec<u8>> {
        let stored = self.stored(name)?;
        let file = self.name_of(name);
        let length = allowed(&file, stored.left())?;
        read_all(stored, &file, length)
    }

    /// All bytes of a small blob of which only the digest is known, checked.
    ///
    /// # Errors
    /// As [`Blobs::document`]; it has another digest.
    pub(super) fn named_by(&self, digest: &Digest) -> Result<Vec<u8>> {
        let bytes = self.document(&digest.blob_path())?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found != *digest {
            let file = quote(self.name_of(&format!("blob {digest}")));
            return Err(Error::new(file, format!("its digest is {found}")));
        }
        Ok(bytes)
    }

    /// A blob as a stream that ends well only if it is exactly what the descriptor says.
    ///
    /// # Errors
    /// As [`Blobs::stored`]; the file's length is not the descriptor's size.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Verified<Stored>> {
        let stored = self.stored(&descriptor.digest.blob_path())?;
        let file = self.name_of(&format!("blob {}", descriptor.digest));
        let (is, said) = (stored.left(), descriptor.size);
        if is != said {
            let cause = format!("has {is} bytes, its descriptor says {said}");
            return Err(Error::new(quote(file), cause));
        }
        let what = quote(file);
        Ok(Verified::new(stored, what, descriptor.digest.clone(), said))
    }

    /// All bytes of a small blob, checked.
    ///
    /// # Errors
    /// As [`Blobs::blob`]; longer than 4 MiB, or not the descriptor's digest.
    pub fn small_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let file = self.name_of(&format!("blob {}", descriptor.digest));
        let length = allowed(&file, descriptor.size)?;
        let mut all = Vec::with_capacity(length);
        let mut blob = self.blob(descriptor)?;
        match blob.read_to_end(&mut all) {
            Ok(_) => Ok(all),
            Err(e) => Err(of_stream(&file, e)),
        }
    }

    /// The index or manifest that a descriptor names.
    ///
    /// # Errors
    /// As [`Blobs::small_blob`] and [`Document::parse`].
    pub fn parsed(&self, descriptor: &Descriptor) -> Result<Document> {
        let text = self.small_blob(descriptor)?;
        let file = self.name_of(&format!("blob {}", descriptor.digest));
        Document::parse(&text, &file, Some(&descriptor.media_type))
    }

    /// The manifest that a descriptor names.
    ///
    /// # Errors
    /// As [`Blobs::parsed`]; it is an index.
    pub fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        match self.parsed(descriptor)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => {
                let file = quote(self.name_of(&format!("blob {}", descriptor.digest)));
                Err(Error::new(file, "is an index, not a manifest"))
            }
        }
    }

    /// The layout's own index, after a look at the layout's version.
    ///
    /// # Errors
    /// `oci-layout` or `index.json` is missing or wrong.
    pub fn index(&self) -> Result<Index> {
        self.check_version()?;
        let text = self.document("index.json")?;
        let file = self.name_of("index.json");
        match Document::parse(&text, &file, None)? {
            Document::Index(index) => Ok(index),
            Document::Manifest(_) => Err(Error::new(quote(file), "is a manifest, not an index")),
        }
    }

    fn check_version(&self) -> Result<()> {
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Written {
            image_layout_version: Option<String>,
        }
        let text = self.document("oci-layout")?;
        let file = self.name_of("oci-layout");
        let (_, written) = crate::spec::typed::<Written>(&text, &file)?;
        match written.image_layout_version.as_deref() {
            Some("1.0.0") => Ok(()),
            other => {
                let cause = format!("{} is not \"1.0.0\"", quote(other.unwrap_or_default()));
                Err(field_error(&file, "imageLayoutVersion", cause))
            }
        }
    }
}

/// Links are followed inside the directory only: some build systems make layouts of them.
fn in_directory(dir: &OwnedFd, path: &str, name: &str) -> Result<Section> {
    let refuse = |cause: String| {
        let file = quote(format!("{path}: {name}"));
        Error::new(format!("read {file}"), cause)
    };
    // A FIFO or a device must not block the open.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let fd = openat2(dir, name, flags, Mode::empty(), resolve).map_err(|e| match e {
        rustix::io::Errno::XDEV => refuse("leads out of the image".to_owned()),
        e => refuse(errno_words(e.raw_os_error())),
    })?;
    let file = File::from(fd);
    let metadata = file.metadata().map_err(|e| refuse(e.to_string()))?;
    if !metadata.is_file() {
        return Err(refuse("not a regular file".to_owned()));
    }
    Ok(Section::new(Arc::new(file), 0, metadata.len()))
}

fn allowed(file: &str, length: u64) -> Result<usize> {
    if length > LONGEST_DOCUMENT {
        let cause = format!("has {length} bytes, {LONGEST_DOCUMENT} are allowed for a document");
        return Err(Error::new(quote(file), cause));
    }
    Ok(length as usize)
}

fn read_all(mut stored: Stored, file: &str, length: usize) -> Result<Vec<u8>> {
    let mut all = Vec::with_capacity(length);
    let read = stored.read_to_end(&mut all);
    read.map_err(|e| read_error(file, &e))?;
    Ok(all)
}

/// A [`Verified`] stream's errors say already what was read.
fn of_stream(file: &str, error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => read_error(file, &error),
    }
}
