//! Kinds of namespace (namespaces(7)) by the specification's word: the clone flag and the file below `/proc/self/ns`.

const NAMESPACES: [(&str, u64, &str); 8] = [
    ("pid", 0x2000_0000, "pid"),
    ("network", 0x4000_0000, "net"),
    ("mount", 0x0002_0000, "mnt"),
    ("ipc", 0x0800_0000, "ipc"),
    ("uts", 0x0400_0000, "uts"),
    ("user", 0x1000_0000, "user"),
    ("cgroup", 0x0200_0000, "cgroup"),
    ("time", 0x0000_0080, "time"),
];

/// The `CLONE_NEW*` flag (clone(2)).
pub fn namespace_flag(word: &str) -> Option<u64> {
    NAMESPACES
        .iter()
        .find(|(known, ..)| *known == word)
        .map(|(_, flag, _)| *flag)
}

/// The name of the file below `/proc/PID/ns` (namespaces(7)): `mnt` for `mount`, `net` for `network`.
pub fn namespace_file(word: &str) -> Option<&'static str> {
    NAMESPACES
        .iter()
        .find(|(known, ..)| *known == word)
        .map(|(.., file)| *file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_flags_are_those_of_the_c_library() {
        let flags = [
            ("pid", libc::CLONE_NEWPID),
            ("network", libc::CLONE_NEWNET),
            ("mount", libc::CLONE_NEWNS),
            ("ipc", libc::CLONE_NEWIPC),
            ("uts", libc::CLONE_NEWUTS),
            ("user", libc::CLONE_NEWUSER),
            ("cgroup", libc::CLONE_NEWCGROUP),
            ("time", libc::CLONE_NEWTIME),
        ];
        for (word, flag) in flags {
            assert_eq!(namespace_flag(word), u64::try_from(flag).ok());
        }
        assert_eq!(namespace_flag("net"), None);
    }

    #[test]
    fn namespace_files_exist() {
        for (word, ..) in NAMESPACES {
            let file = namespace_file(word).unwrap();
            assert!(
                std::path::Path::new("/proc/self/ns")
                    .join(file)
                    .is_symlink()
            );
        }
    }
}
