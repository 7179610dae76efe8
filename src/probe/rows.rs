//! The table of probes: what is tried, how grave it is where it is open, and why it matters.
//!
//! How each call is made without doing harm, and what it answers where nobody stops it, is in `sys::attempt`. FILTERED is
//! told from DENIED by a second filter behind the first (`acts`), so that an errno which both use says nothing and need not.

use super::look::{execution, identity, paths, surroundings};
use super::table::{How, Probe, Promised};
use super::wants;
use crate::report::Severity::{High, Low, Medium};
use crate::sys::attempt::*;

macro_rules! how {
    (calls $($call:ident)+) => { How::Calls(&[$((stringify!($call), $call)),+]) };
    (ids $($call:ident)+) => { How::Ids(&[$((stringify!($call), $call)),+]) };
    (needed $($call:ident)+) => { How::Needed(&[$((stringify!($call), $call)),+]) };
    (look $look:path) => { How::Look($look) };
}

macro_rules! promised {
    () => {
        Promised::ByFilters
    };
    (and $want:ident) => {
        Promised::ByFiltersAnd(wants::$want)
    };
    ($want:ident) => {
        Promised::By(wants::$want)
    };
}

macro_rules! rows {
    ($(group $group:literal: $($number:literal $severity:ident $id:literal $title:literal
        [$($how:tt)+] $(want($($want:tt)+))? $why:literal;)+)+) => {
        /// Every probe, by number.
        pub static ROWS: &[Probe] = &[$($(Probe {
            number: $number,
            id: $id,
            group: $group,
            severity: $severity,
            title: $title,
            why: $why,
            how: how!($($how)+),
            promised: promised!($($($want)+)?),
        },)+)+];
    };
}

rows! {
group "Identity":
 1 High "root" "runs as user 0" [look identity::root] want(root)
   "User 0 owns the host's files and the kernel's settings wherever a confinement has a gap.";
 2 High "new-privileges" "may gain privileges by execve" [look identity::no_new_privs] want(no_new_privs)
   "Without no_new_privs a set-user-id program gives what was taken away.";
 3 High "capabilities" "holds capabilities" [look identity::capabilities] want(capabilities)
   "Each capability is a part of root's power, and some are all of it.";
 4 High "no-filter" "makes system calls unfiltered" [look identity::no_filter] want(filter)
   "Every bug in any system call of the kernel is then within reach.";

group "Namespaces and mounts":
 5 High "user-namespace" "unshare(CLONE_NEWUSER)" [calls UNSHARE_USER UNSHARE_USER_HIGH]
   "In a user namespace of its own a program has every capability, and with them the kernel's least tested code.";
 6 High "clone-user" "clone(CLONE_NEWUSER), with a high bit too" [calls CLONE_USER CLONE_USER_HIGH]
   "The same by clone, also where a filter compares 64 bits of what the kernel reads 32 of.";
 7 High "clone3" "clone3()" [calls CLONE3]
   "The flags of clone3 are in memory, where no filter sees a new user namespace.";
 8 High "other-namespaces" "unshare(CLONE_NEWNS, NEWNET, NEWCGROUP)" [calls UNSHARE_MOUNT UNSHARE_NET UNSHARE_CGROUP]
   "New namespaces are where a program may mount and set up networks.";
 9 Medium "setns" "setns()" [calls SETNS]
   "A descriptor of a namespace that leaks in is then a way out.";
10 High "mount" "mount()" [calls MOUNT]
   "A mount can undo what is masked and read-only.";
11 High "umount" "umount2()" [calls UMOUNT]
   "What a mount hides shows when it is unmounted.";
12 High "new-mounts" "fsopen(), fsconfig(), open_tree(), move_mount()" [calls FSOPEN FSCONFIG OPEN_TREE MOVE_MOUNT]
   "The new mount interface does all that mount does, and filters written before it do not know it.";
13 Medium "mount-flags" "mount_setattr()" [calls MOUNT_SETATTR]
   "It makes a read-only mount writable.";
14 High "pivot-root" "pivot_root()" [calls PIVOT_ROOT]
   "It changes what the root directory is.";
15 Medium "chroot" "chroot()" [calls CHROOT]
   "A process that may change its root leaves it by the directory that it kept open.";

group "The kernel's interfaces":
16 High "io-uring" "io_uring_setup()" [calls IO_URING]
   "io_uring makes calls past every filter, and has been the way of many kernel exploits.";
17 High "bpf" "bpf()" [calls BPF]
   "The verifier of BPF programs has let exploits through again and again.";
18 Medium "perf" "perf_event_open()" [calls PERF_EVENT]
   "It tells of other processes, and is a large interface with a long list of bugs.";
19 Medium "userfaultfd" "userfaultfd()" [calls USERFAULTFD]
   "It holds the kernel up in the middle of a copy, which makes races easy to win.";
20 Medium "keyrings" "keyctl()" [calls KEYCTL]
   "Keyrings are not in any namespace but the user's.";
21 Medium "new-keys" "add_key(), request_key()" [calls ADD_KEY REQUEST_KEY]
   "They fill the user's quota of keys, and request_key starts a program of the host.";
22 Medium "ptrace" "ptrace()" [calls PTRACE]
   "Another process of the container is then an open book.";
23 Medium "process-memory" "process_vm_readv(), process_vm_writev()" [calls PROCESS_VM_READV PROCESS_VM_WRITEV]
   "They read and write the memory of other processes.";
24 Medium "steal-descriptor" "pidfd_getfd()" [calls PIDFD_GETFD]
   "It takes an open file from another process.";
25 Low "kcmp" "kcmp()" [calls KCMP]
   "It tells how objects lie in the kernel's memory.";
26 High "open-by-handle" "open_by_handle_at()" [calls OPEN_BY_HANDLE]
   "A handle opens any file of a file system, whatever is mounted of it (the \"shocker\" exploit).";
27 Low "name-to-handle" "name_to_handle_at()" [calls NAME_TO_HANDLE]
   "It shows how handles are made.";
28 High "modules" "init_module(), finit_module(), delete_module()" [calls INIT_MODULE FINIT_MODULE DELETE_MODULE]
   "A module is code in the kernel.";
29 High "kexec" "kexec_load()" [calls KEXEC]
   "It replaces the kernel.";
30 Medium "reboot" "reboot()" [calls REBOOT]
   "It stops the host.";
31 Medium "kernel-log" "syslog()" [calls SYSLOG]
   "The kernel's log has addresses and what others do.";
32 Medium "host-settings" "settimeofday(), sethostname(), acct(), swapon(), quotactl() …"
   [calls SETTIMEOFDAY CLOCK_SETTIME SETHOSTNAME SETDOMAINNAME ACCT SWAPON QUOTACTL]
   "What they set holds for the whole host.";
33 Medium "ports" "iopl(), ioperm()" [calls IOPL IOPERM]
   "They give the hardware's ports to a program.";
34 Medium "personality" "personality(ADDR_NO_RANDOMIZE), with a high bit too" [calls PERSONALITY PERSONALITY_HIGH]
   "Without randomized addresses an exploit knows where things are.";
35 Low "modify-ldt" "modify_ldt()" [calls MODIFY_LDT]
   "16-bit segments are old code that nobody else uses.";
36 Low "page-placement" "mbind(), move_pages()" [calls MBIND MOVE_PAGES]
   "They tell and steer where pages lie in memory.";
37 Low "vmsplice" "vmsplice()" [calls VMSPLICE]
   "It puts pages of a process into a pipe, which has gone wrong in the kernel more than once.";
38 Low "secret-memory" "memfd_secret()" [calls MEMFD_SECRET]
   "Memory that even the kernel cannot look at is no friend of who watches over a program.";

group "Sockets and other entrances":
39 High "crypto-socket" "socket(AF_ALG)" [calls SOCKET_ALG]
   "The kernel's crypto interface is a large one with many bugs, the last of them CVE-2026-31431.";
40 High "crypto-socket-high" "socket(AF_ALG | 1<<32)" [calls SOCKET_ALG_HIGH]
   "The same where a filter compares 64 bits of what the kernel reads 32 of.";
41 High "vsock" "socket(AF_VSOCK), with a high bit too" [calls SOCKET_VSOCK SOCKET_VSOCK_HIGH]
   "It talks to the hypervisor, past every network namespace.";
42 High "socketcall" "socketcall() by int 0x80" [calls INT80_SOCKETCALL]
   "32-bit calls of a 64-bit program go past a filter that looks at one architecture alone.";
43 Medium "foreign-calls" "getpid() by int 0x80 and as x32" [calls INT80_GETPID X32_GETPID]
   "Other tables of calls have other numbers, and code that is seldom run.";
44 Medium "raw-sockets" "socket(AF_PACKET), raw ICMP" [calls SOCKET_PACKET SOCKET_RAW]
   "They forge what others on the network take for true.";
45 High "xfrm" "socket(NETLINK_XFRM)" [calls SOCKET_XFRM]
   "The configuration of IPsec has been the way of several exploits, CVE-2026-43284 among them.";
46 Medium "netfilter" "socket(NETLINK_NETFILTER)" [calls SOCKET_NETFILTER]
   "nftables has been the way of many exploits, CVE-2024-1086 among them.";
47 Medium "odd-sockets" "socket(AF_RXRPC, KEY, TIPC, BLUETOOTH, XDP)"
   [calls SOCKET_RXRPC SOCKET_KEY SOCKET_TIPC SOCKET_BLUETOOTH SOCKET_XDP]
   "Protocols that hardly any program needs, and whose modules the kernel loads at the asking.";
48 Low "sockets-work" "socket(AF_UNIX, AF_INET, NETLINK_ROUTE) works" [needed SOCKET_UNIX SOCKET_INET SOCKET_ROUTE]
   "Ordinary programs need these.";

group "Devices, terminals, execution":
49 High "device-nodes" "mknod() of a character or block device" [calls MKNOD_CHAR MKNODAT_BLOCK]
   "A device node is the device.";
50 Medium "terminal-input" "ioctl(TIOCSTI), with a high bit too; TIOCLINUX" [calls TIOCSTI TIOCSTI_HIGH TIOCLINUX]
   "It types for whoever has the terminal after the program.";
51 Low "write-and-execute" "mmap(PROT_WRITE | PROT_EXEC)" [calls MMAP_WRITE_EXEC] want(and written_memory)
   "Code that an exploit writes can be run at once; compilers that run what they make need it.";
52 Medium "run-from-memory" "executes a file in memory" [look execution::from_memory] want(memory_file)
   "A program that came over the network never touches a file system.";
53 Medium "run-from-tmp" "executes a file in /tmp" [look execution::from_tmp] want(tmp)
   "What was fetched can be run where everybody may write.";
54 Medium "run-from-shm" "executes a file in /dev/shm" [look execution::from_shm] want(shm)
   "What was fetched can be run where everybody may write.";

group "Files":
55 Medium "writable-root" "writes to the root directory" [look execution::root_writable] want(root_filesystem)
   "A program that is taken over stays so, when its own files can be changed.";
56 High "own-binary" "writes to /proc/self/exe" [look execution::own_binary] want(own_binary)
   "Where that is the runtime's own file, the host runs what the container wrote (CVE-2019-5736).";
57 High "descriptors" "has open descriptors above 2" [look identity::descriptors] want(closed)
   "A directory of the host that was left open is the host (CVE-2024-21626).";
58 High "kernel-settings" "writes core_pattern, modprobe, uevent_helper …" [look paths::settings] want(settings)
   "The kernel runs what they name, as root of the host.";
59 High "sysrq" "writes /proc/sysrq-trigger" [look paths::sysrq] want(sysrq)
   "One letter stops the host.";
60 High "cgroup-files" "writes release_agent, cgroup.procs, devices.allow" [look paths::cgroups] want(cgroups)
   "The host runs the release agent (CVE-2022-0492), and limits are what these files say.";
61 High "host-devices" "opens memory, /dev/kmsg, /dev/kvm, block devices" [look paths::devices] want(devices)
   "A disk or the memory of the host is the host.";
62 Low "kernel-facts" "reads kallsyms, config.gz, cmdline, debugfs …" [look paths::kernel] want(kernel)
   "They say where the kernel is in memory and how it was built.";
63 Low "host-activity" "reads keys, timer_list, interrupts, slabinfo …" [look paths::activity] want(activity)
   "They tell what others on the host do.";
64 Low "oom-score" "makes itself unkillable for the OOM killer" [look identity::oom_score] want(oom_score)
   "When memory runs out, the kernel then kills others.";

group "Surroundings":
65 High "change-of-user" "setuid(0), setgid(0), setgroups()" [ids SETUID SETGID SETGROUPS] want(and change_of_user)
   "It becomes whom it likes.";
66 Low "processes" "signals other processes" [look identity::processes] want(processes)
   "Processes of others can be stopped.";
67 Medium "null-and-core" "/dev/null is not the null device, or core files are written" [look surroundings::null_and_core]
   want(core_files)
   "A file in place of /dev/null keeps what it is given; a core file has the memory of a process.";
68 High "sockets-of-host" "reaches sockets of engines, dbus, systemd; abstract sockets" [look surroundings::sockets] want(sockets)
   "Who may talk to an engine is root of the host.";
69 Medium "cloud" "has a route to the cloud's metadata, or a Kubernetes token" [look surroundings::clouds] want(clouds)
   "They hand out the machine's credentials.";
70 High "host-mounts" "has mounts of the host, or shared ones" [look surroundings::mounts] want(mounts)
   "What is mounted from the host can be changed there; a shared mount carries mounts out.";
71 Medium "limits" "has no limit of memory, processes or CPU time" [look surroundings::limits] want(limits)
   "One program can then stop all others.";
72 Medium "set-user-id" "finds set-user-id programs that work" [look surroundings::set_user_id] want(set_user_id)
   "They run with the rights of their owner, and each is a way up.";
}
