//! What a path holds, found by content: never by its name.
//! Whether what it holds is right is asked when it is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use tar::{EntryType, Header};

use super::archive::{Archive, MOST_ENTRIES, Section, Walk, has_right_checksum, read_error};
use super::digest::{Algorithm, Digest};
use super::layout::{Blobs, Place};
use super::manifest::Compression;
use crate::error::errno_words;
use crate::error::{Error, Result, quote};

/// How many entries that no program writes into an image's archive make a root filesystem of it.
const MOST_OTHERS: usize = 1024;

/// The forms of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A directory with `oci-layout`.
    Layout,
    /// An uncompressed tar of an image layout.
    OciArchive,
    /// What `docker save` writes: an uncompressed tar with `manifest.json`, since version 25 an image layout too.
    DockerArchive,
    /// A tar of a root filesystem, plain or compressed by gzip or zstd.
    RootTar,
    /// A root filesystem.
    Directory,
}

impl Form {
    /// What `path` holds.
    ///
    /// # Errors
    /// It cannot be read, or is none of the forms; an image archive that is compressed as a whole.
    pub fn detect(path: &Path) -> Result<Self> {
        Ok(open(path)?.0)
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layout => "image layout",
            Self::OciArchive => "image archive",
            Self::DockerArchive => "docker archive",
            Self::RootTar => "root filesystem archive",
            Self::Directory => "root filesystem",
        }
    }
}

/// The form, and the opened files; none of a root filesystem's directory.
pub(super) fn open(path: &Path) -> Result<(Form, Option<Blobs>)> {
    let name = path.to_string_lossy().into_owned();
    let mut options = File::options();
    // A FIFO or a device must not block the open.
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(|e| {
        let number = e.raw_os_error();
        let cause = number.map_or_else(|| e.to_string(), errno_words);
        Error::new(format!("open image {}", quote(&name)), cause)
    })?;
    let metadata = file.metadata().map_err(|e| read_error(&name, &e))?;
    if metadata.is_dir() {
        let blobs = Blobs::new(&name, Place::Directory(OwnedFd::from(file)));
        let is_layout = blobs.has("oci-layout");
        return Ok(match is_layout {
            true => (Form::Layout, Some(blobs)),
            false => (Form::Directory, None),
        });
    }
    if !metadata.is_file() {
        let cause = "neither a directory nor a regular file";
        return Err(Error::new(format!("open image {}", quote(&name)), cause));
    }
    let (form, place) = in_file(Arc::new(file), &name)?;
    Ok((form, Some(Blobs::new(&name, place))))
}

fn in_file(file: Arc<File>, name: &str) -> Result<(Form, Place)> {
    let mut start = [0; 6];
    let mut whole = Section::new(Arc::clone(&file), 0, start.len() as u64);
    let length = fill(&mut whole, &mut start).map_err(|e| read_error(name, &e))?;
    let compressed = match Compression::of_content(&start[..length]) {
        Compression::None => {
            refuse_other(&start[..length], name)?;
            return plain_tar(file, name);
        }
        compressed => compressed,
    };
    if is_image_inside(&file, compressed, name)? {
        let program = compressed.name();
        let cause = format!("an image archive inside {program}");
        let hint = format!("decompress it first: {program} -d");
        return Err(Error::new(format!("open image {}", quote(name)), cause).hint(hint));
    }
    Ok((Form::RootTar, Place::File(file)))
}

fn refuse_other(start: &[u8], name: &str) -> Result<()> {
    let kind = match start {
        [] => "is empty",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "is compressed by xz, not by gzip or zstd",
        [b'B', b'Z', b'h', ..] => "is compressed by bzip2, not by gzip or zstd",
        _ => return Ok(()),
    };
    Err(Error::new(format!("open image {}", quote(name)), kind))
}

fn plain_tar(file: Arc<File>, name: &str) -> Result<(Form, Place)> {
    let mut first = Header::new_old();
    let read = file.read_exact_at(first.as_mut_bytes(), 0);
    let is_empty = first.as_bytes().iter().all(|byte| *byte == 0);
    if read.is_err() || !is_empty && !has_right_checksum(&first) {
        let cause = "neither a directory nor a tar archive";
        return Err(Error::new(format!("open image {}", quote(name)), cause));
    }
    if !is_image(&file, name) {
        return Ok((Form::RootTar, Place::File(file)));
    }
    let archive = Archive::index(Arc::clone(&file), name)?;
    let blobs = Blobs::new(name, Place::Archive(archive));
    let form = match () {
        () if is_saved(&blobs) => Form::DockerArchive,
        () if blobs.has("oci-layout") => Form::OciArchive,
        () => return Ok((Form::RootTar, Place::File(file))),
    };
    Ok((form, blobs.into_place()))
}

/// Whether manifest.json is a list, as `docker save` writes it.
fn is_saved(blobs: &Blobs) -> bool {
    let first = |mut text: super::layout::Stored| {
        let mut start = [0; 64];
        let length = fill(&mut text, &mut start).ok()?;
        start[..length]
            .iter()
            .copied()
            .find(|byte| !byte.is_ascii_whitespace())
    };
    let manifest = blobs.stored("manifest.json").ok();
    manifest.and_then(first) == Some(b'[')
}

/// Whether the archive has a file of an image before anything of a root filesystem. An archive that cannot be walked is
/// left to the reader of root filesystems, which says why.
fn is_image(file: &File, name: &str) -> bool {
    let Ok(mut walk) = Walk::new(file, name) else {
        return false;
    };
    let mut others = 0;
    for _ in 0..MOST_ENTRIES {
        match walk.next() {
            Ok(Some((entry, _))) if is_of_image(&entry) => return true,
            Ok(Some((entry, _))) if !is_of_root(&entry) && others < MOST_OTHERS => {
                others += usize::from(!may_be_of_image(&entry));
            }
            _ => return false,
        }
    }
    false
}

fn is_of_image(entry: &str) -> bool {
    matches!(entry, "oci-layout" | "manifest.json")
}

/// What image archives hold besides: blobs, lists, and in old ones files and directories called by a digest.
fn may_be_of_image(entry: &str) -> bool {
    let top = entry.split('/').next().unwrap_or_default();
    let stem = top.split('.').next().unwrap_or_default();
    matches!(top, "blobs" | "index.json" | "repositories")
        || is_of_image(entry)
        || Digest::is_encoded(Algorithm::Sha256, stem)
}

fn is_of_root(entry: &str) -> bool {
    let top = entry.split('/').next().unwrap_or_default();
    matches!(
        top,
        "bin"
            | "boot"
            | "dev"
            | "etc"
            | "home"
            | "lib"
            | "lib64"
            | "media"
            | "mnt"
            | "opt"
            | "proc"
            | "root"
            | "run"
            | "sbin"
            | "srv"
            | "sys"
            | "tmp"
            | "usr"
            | "var"
    )
}

/// Whether the first entry of a compressed tar is one that image archives begin with.
fn is_image_inside(file: &Arc<File>, compressed: Compression, name: &str) -> Result<bool> {
    let length = file.metadata().map_err(|e| read_error(name, &e))?.len();
    let section = Section::new(Arc::clone(file), 0, length);
    let decoded: Option<Box<dyn Read>> = match compressed {
        Compression::Gzip => {
            let buffered = io::BufReader::new(section);
            Some(Box::new(flate2::bufread::MultiGzDecoder::new(buffered)))
        }
        _ => zstd::Decoder::new(section)
            .ok()
            .map(|decoder| Box::new(decoder) as _),
    };
    // Content that cannot be decoded is left to the layers' reader, which has its limits and says why.
    let first = decoded.and_then(|mut decoded| first_name(&mut decoded));
    Ok(first.is_some_and(|first| may_be_of_image(&first)))
}

/// The name in the first header that is not an extended one.
fn first_name(decoded: &mut dyn Read) -> Option<String> {
    const MOST_HEADERS: usize = 8;
    const LONGEST: u64 = 1 << 16;
    for _ in 0..MOST_HEADERS {
        let mut header = Header::new_old();
        decoded.read_exact(header.as_mut_bytes()).ok()?;
        if !has_right_checksum(&header) {
            return None;
        }
        let extended = [
            EntryType::XHeader,
            EntryType::XGlobalHeader,
            EntryType::GNULongName,
            EntryType::GNULongLink,
        ];
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let name = name
            .strip_prefix("./")
            .unwrap_or(&name)
            .trim_end_matches('/');
        if !extended.contains(&header.entry_type()) && !name.is_empty() {
            return Some(name.to_owned());
        }
        let size = header.entry_size().ok().filter(|size| *size <= LONGEST)?;
        let padded = size.div_ceil(512) * 512;
        io::copy(&mut decoded.take(padded), &mut io::sink()).ok()?;
    }
    None
}

/// As much as there is.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}
