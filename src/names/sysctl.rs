//! Kernel parameters (sysctl(8)): the key `net.ipv4.ip_forward` and its file below `/proc/sys`.
//! Which keys a container may set is `spec`'s to say.

/// The path below `/proc/sys`, relative and without `.`, `..` or empty parts; `None` for a key that cannot be one.
///
/// By sysctl.d(5) the first separator decides: after a dot, dots separate and slashes stand for dots
/// (`net.ipv4.conf.eth0/1.forwarding`); after a slash the key is the path itself.
pub fn sysctl_file(key: &str) -> Option<String> {
    let path: String = match key.find(['.', '/']).map(|at| key.as_bytes()[at]) {
        Some(b'.') => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
        _ => key.to_owned(),
    };
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control() || c == ' ')
    };
    path.split('/').all(plain).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_keys_become_paths_below_proc_sys() {
        let table = [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            ("net/ipv4/ip_forward", Some("net/ipv4/ip_forward")),
            ("net.ipv4.conf.eth0/1.rp", Some("net/ipv4/conf/eth0.1/rp")),
            ("net/ipv4/conf/eth0.1/rp", Some("net/ipv4/conf/eth0.1/rp")),
            ("net", Some("net")),
            ("", None),
            ("/net/x", None),
            ("net..x", None),
            ("net/../kernel/x", None),
            ("net.//.kernel.x", None),
            ("net.x.", None),
            ("net.x\n", None),
            ("net.x y", None),
        ];
        for (key, path) in table {
            assert_eq!(sysctl_file(key).as_deref(), path, "{key:?}");
        }
    }
}
