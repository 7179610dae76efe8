//! Random trees written by the tar crate come out as they went in; random damage does no harm.

use super::*;

use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Debug, Clone)]
enum What {
    File(Vec<u8>),
    Directory,
    Symlink(String),
    /// To one of the files before it, or nothing.
    HardLink(Index),
}

#[derive(Debug, Clone)]
struct Object {
    what: What,
    /// One of the directories before it.
    parent: Index,
    name: String,
    mode: u32,
    ids: (u32, u32),
    mtime: u64,
}

fn object() -> impl Strategy<Value = Object> {
    let what = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..2000).prop_map(What::File),
        3 => Just(What::Directory),
        1 => "[a-z./]{1,150}".prop_map(What::Symlink),
        1 => any::<Index>().prop_map(What::HardLink),
    ];
    let name = prop_oneof![9 => "[a-z]{1,8}", 1 => "[a-zé ]{100,120}"];
    let mode = prop_oneof![0u32..0o1000, Just(0o755), Just(0o1777)];
    let ids = (0u32..100_000, prop_oneof![0u32..1000, Just(3_000_000_000)]);
    (what, any::<Index>(), name, mode, ids, 0u64..4_000_000_000).prop_map(
        |(what, parent, name, mode, ids, mtime)| Object {
            what,
            parent,
            name,
            mode,
            ids,
            mtime,
        },
    )
}

/// What must be found: path, object, and for hard links which path they share their file with.
type Expected = Vec<(String, Object, Option<String>)>;

fn archive(objects: &[Object]) -> (Vec<u8>, Expected) {
    let mut builder = tar::Builder::new(Vec::new());
    let mut directories = vec![String::new()];
    let mut files: Vec<String> = Vec::new();
    let mut expected: Expected = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        let path = format!(
            "{}{}-{number}",
            object.parent.get(&directories),
            object.name
        );
        let mut header = Header::new_gnu();
        header.set_mode(object.mode);
        header.set_uid(u64::from(object.ids.0));
        header.set_gid(u64::from(object.ids.1));
        header.set_mtime(object.mtime);
        header.set_size(0);
        let mut shared = None;
        match &object.what {
            What::File(content) => {
                header.set_size(content.len() as u64);
                builder
                    .append_data(&mut header, &path, &content[..])
                    .unwrap();
                files.push(path.clone());
            }
            What::Directory => {
                header.set_entry_type(EntryType::Directory);
                builder.append_data(&mut header, &path, &[][..]).unwrap();
                directories.push(format!("{path}/"));
            }
            What::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                builder.append_link(&mut header, &path, target).unwrap();
            }
            What::HardLink(_) if files.is_empty() => continue,
            What::HardLink(index) => {
                let target = index.get(&files).clone();
                header.set_entry_type(EntryType::Link);
                builder.append_link(&mut header, &path, &target).unwrap();
                shared = Some(target);
            }
        }
        expected.push((path, object.clone(), shared));
    }
    (builder.into_inner().unwrap(), expected)
}

fn check(place: &Place, path: &str, object: &Object, shared: Option<&str>) {
    let stat = fs::symlink_metadata(place.path(path)).unwrap();
    if let Some(target) = shared {
        assert_eq!(
            stat.ino(),
            fs::symlink_metadata(place.path(target)).unwrap().ino()
        );
        return;
    }
    match &object.what {
        What::File(content) => assert_eq!(&fs::read(place.path(path)).unwrap(), content),
        What::Directory => assert!(stat.is_dir()),
        What::Symlink(target) => {
            assert_eq!(fs::read_link(place.path(path)).unwrap(), Path::new(target));
        }
        What::HardLink(_) => unreachable!(),
    }
    if !stat.is_symlink() {
        assert_eq!(stat.mode() & 0o7777, object.mode, "{path}");
    }
    assert_eq!((stat.uid(), stat.gid()), object.ids, "{path}");
    assert_eq!(stat.mtime().cast_unsigned(), object.mtime, "{path}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_come_out_as_they_went_in(objects in prop::collection::vec(object(), 0..30)) {
        if rustix::process::geteuid().is_root() {
            let place = Place::new();
            let (bytes, expected) = archive(&objects);
            let applied = place.apply_bytes(&bytes, &Options::for_caller(""), &Budget::default()).unwrap();
            prop_assert_eq!(applied.diff_id, sha256(&bytes));
            prop_assert_eq!(applied.entries, expected.len() as u64);
            for (path, object, shared) in &expected {
                check(&place, path, object, shared.as_deref());
            }
        }
    }

    #[test]
    fn damage_does_no_harm(
        objects in prop::collection::vec(object(), 1..8),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..8),
    ) {
        let place = Place::new();
        let (mut bytes, _) = archive(&objects);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            mend(&mut bytes, at - at % 512);
        }
        drop(place.apply_bytes(&bytes, &Options::for_caller(""), &Budget::default()));
        place.assert_outside_is_untouched();
    }
}

/// Corrects the checksum of what may be a header, so that the damage gets past it.
fn mend(bytes: &mut [u8], block: usize) {
    let mut header = Header::new_old();
    header
        .as_mut_bytes()
        .copy_from_slice(&bytes[block..block + 512]);
    header.set_cksum();
    bytes[block..block + 512].copy_from_slice(header.as_bytes());
}
