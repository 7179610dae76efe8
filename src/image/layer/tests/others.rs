//! Against other programs: archives by GNU tar, and trees by umoci.

use super::*;
use std::collections::{BTreeMap, HashMap};
use std::process::Command;

/// What is compared of an object; the first path of a file stands for its inode.
type Facts = (
    u32,
    u32,
    u32,
    i64,
    u64,
    Vec<u8>,
    String,
    BTreeMap<String, Vec<u8>>,
);

fn tree(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut all = BTreeMap::new();
    let mut inodes = HashMap::new();
    let mut to_see = vec![root.to_owned()];
    while let Some(dir) = to_see.pop() {
        for name in names(&dir) {
            let path = dir.join(name);
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = match stat.file_type() {
                kind if kind.is_dir() => {
                    to_see.push(path.clone());
                    Vec::new()
                }
                kind if kind.is_symlink() => bytes(&fs::read_link(&path).unwrap()).to_owned(),
                kind if kind.is_file() => fs::read(&path).unwrap(),
                _ => Vec::new(),
            };
            let below = path.strip_prefix(root).unwrap().to_owned();
            let first = inodes
                .entry(stat.ino())
                .or_insert_with(|| below.display().to_string());
            let facts = (
                stat.mode(),
                stat.uid(),
                stat.gid(),
                stat.mtime(),
                stat.rdev(),
                content,
                first.clone(),
                attributes(&path),
            );
            all.insert(below, facts);
        }
    }
    all
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = [0; 4096];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap_or(0);
    let names = list[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = [0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (
                String::from_utf8(name.to_owned()).unwrap(),
                value[..length].to_owned(),
            )
        })
        .collect()
}

fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (tree(one), tree(other));
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        other.keys().collect::<Vec<_>>()
    );
    for (path, facts) in &one {
        assert_eq!(facts, &other[path], "{}", path.display());
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn is_missing(program: &str) -> bool {
    let is_missing = Command::new(program).arg("--version").output().is_err();
    if is_missing || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs {program} and root");
        return true;
    }
    false
}

fn keep() -> Options {
    Options {
        privileges: Privileges::Keep,
        ..Options::for_caller("")
    }
}

fn everything(root: &Path) {
    let long = "l".repeat(120);
    fs::create_dir_all(root.join("d/e").join(&long)).unwrap();
    fs::write(root.join("d/e").join(&long).join("f"), "deep").unwrap();
    fs::write(root.join("d/set"), "s").unwrap();
    std::os::unix::fs::chown(root.join("d/set"), Some(3_000_000), Some(77)).unwrap();
    fs::set_permissions(root.join("d/set"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::hard_link(root.join("d/set"), root.join("link")).unwrap();
    std::os::unix::fs::symlink(format!("d/e/{long}/../f"), root.join("symlink")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let mut sparse = File::create(root.join("sparse")).unwrap();
    for at in 0..40u64 {
        use std::io::Seek;
        sparse.seek(io::SeekFrom::Start(at << 20)).unwrap();
        sparse.write_all(b"data").unwrap();
    }
    sparse.set_len(50 << 20).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(root.join("d"), "user.note", b"a\nb=c", flags).unwrap();
}

#[test]
fn archives_of_gnu_tar_come_out_as_it_unpacks_them() {
    if is_missing("tar") {
        return;
    }
    let source = Place::new();
    everything(&source.root());
    let formats: [&[&str]; 5] = [
        &["--format=gnu"],
        &["--format=gnu", "-S"],
        &["--format=pax", "--xattrs", "-S", "--sparse-version=1.0"],
        &["--format=pax", "--xattrs", "-S", "--sparse-version=0.1"],
        &["--format=pax", "--xattrs", "-S", "--sparse-version=0.0"],
    ];
    for format in formats {
        let file = source.dir.path().join("layer.tar");
        run(Command::new("tar")
            .args(format)
            .arg("-cf")
            .arg(&file)
            .arg("-C")
            .arg(source.root())
            .arg("."));
        let (ours, theirs) = (Place::new(), Place::new());
        let layer = fs::read(&file).unwrap();
        let applied = ours
            .apply_bytes(&layer, &keep(), &Budget::default())
            .unwrap();
        assert_eq!(applied.warnings, Vec::<String>::new());
        run(Command::new("tar")
            .args(["--xattrs", "-pxf"])
            .arg(&file)
            .arg("-C")
            .arg(theirs.root()));
        assert_same(&ours.root(), &theirs.root());
    }
}

#[test]
fn layers_come_out_as_umoci_unpacks_them() {
    if is_missing("umoci") {
        return;
    }
    let place = Place::new();
    let layers = [lower(), upper()];
    let image = format!("{}:t", place.dir.path().join("image").display());
    let umoci = |args: &[&str]| run(Command::new("umoci").args(args));
    umoci(&["init", "--layout", image.strip_suffix(":t").unwrap()]);
    umoci(&["new", "--image", &image]);
    for (number, layer) in layers.iter().enumerate() {
        let file = place.dir.path().join(format!("layer{number}.tar"));
        fs::write(&file, layer.end()).unwrap();
        umoci(&[
            "raw",
            "add-layer",
            "--image",
            &image,
            file.to_str().unwrap(),
        ]);
        place.apply_as(layer, &keep()).unwrap();
    }
    let bundle = place.dir.path().join("bundle");
    umoci(&["unpack", "--image", &image, bundle.to_str().unwrap()]);
    assert_same(&place.root(), &bundle.join("rootfs"));
}

fn lower() -> Layer {
    Layer::new()
        .dir("d")
        .file("d/old", "1")
        .dir("d/sub")
        .file("d/sub/old", "2")
        .file("f", "3")
        .hard_link("d/g", "f")
        .symlink("s", "d")
        .symlink("abs", "/d/sub")
        .dir("gone")
        .file("gone/x", "")
        .dir("opaque")
        .file("opaque/lower", "")
        .dir("type")
}

fn upper() -> Layer {
    Layer::new()
        .dir("d")
        .file("d/new", "4")
        .file("d/.wh.old", "")
        .file("s/through", "5")
        .file(".wh.gone", "")
        .file("abs/inside", "6")
        .dir("opaque")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/upper", "")
        .symlink("type", "f")
        .file("f", "rewritten")
        .pax(&[
            ("SCHILY.xattr.user.note", b"a\nb"),
            ("mtime", b"1234567890.5"),
        ])
        .entry(EntryType::Regular, "odd", b"x", |header| {
            header.set_uid(3_000_000_000);
            header.set_gid(7);
            header.set_mode(0o4711);
        })
        .entry(EntryType::Char, "null", b"", |header| {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        })
        .entry(EntryType::Fifo, "fifo", b"", |_| {})
}
