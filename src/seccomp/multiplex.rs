//! The calls that 32-bit x86 also reaches through socketcall(2) and ipc(2).
//! What a rule for one of them means there is in `policy`.

/// The gate that also leads to a call on 32-bit x86, and the call's number there (linux/net.h, linux/ipc.h).
pub(super) fn multiplexed(name: &str) -> Option<(&'static str, u64)> {
    const SOCKET: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC: [(&str, u64); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if let Some(at) = SOCKET.iter().position(|&socket| socket == name) {
        return Some(("socketcall", at as u64 + 1));
    }
    let found = IPC.iter().find(|(ipc, _)| *ipc == name);
    found.map(|&(_, number)| ("ipc", number))
}
