//! Capabilities (capabilities(7)): `CAP_CHOWN` and its number.
//! What the running kernel and the runtime itself have is `host`'s.

/// Every capability that the kernel has had up to version 6.18, in the order of their numbers.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The number of a capability spelled as in capabilities(7), capitals and prefix included.
pub fn capability(name: &str) -> Option<u8> {
    (0u8..)
        .zip(CAPABILITIES)
        .find(|(_, known)| *known == name)
        .map(|(number, _)| number)
}

/// The name of a capability's number.
pub fn capability_name(number: u8) -> Option<&'static str> {
    CAPABILITIES.get(usize::from(number)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_those_of_the_caps_crate() {
        assert_eq!(caps::all().len(), CAPABILITIES.len());
        for known in caps::all() {
            assert_eq!(capability(&known.to_string()), Some(known.index()));
            assert_eq!(
                capability_name(known.index()).map(str::to_owned),
                Some(known.to_string())
            );
        }
        assert_eq!(capability("cap_chown"), None);
        assert_eq!(capability_name(41), None);
    }
}
