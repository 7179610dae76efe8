//! Groups of system calls by what they are for: every call of the table is in exactly one. What a profile does with them is
//! in `profile::groups`.

/// The mark of a group's name in a list of calls.
pub const MARK: char = '@';

/// A group: its name with the mark, what it is in words, its calls sorted and parted by blanks.
type Row = (&'static str, &'static str, &'static str);

/// One group.
#[derive(Debug, Clone, Copy)]
pub struct Group(&'static Row);

impl Group {
    /// `@file`.
    pub fn name(self) -> &'static str {
        self.0.0
    }

    /// What its calls are for, in a few words.
    pub fn description(self) -> &'static str {
        self.0.1
    }

    /// The names of its calls, in order.
    pub fn calls(self) -> impl Iterator<Item = &'static str> {
        self.0.2.split_whitespace()
    }
}

/// Every group, in the order of the names.
pub fn groups() -> impl Iterator<Item = Group> {
    GROUPS.iter().map(Group)
}

/// The group of that name, with its mark.
pub fn group(name: &str) -> Option<Group> {
    groups().find(|group| group.name() == name)
}

#[rustfmt::skip]
static GROUPS: [Row; 25] = [
    ("@aio", "Asynchronous input and output of the old kind",
     "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit"),
    ("@basic", "What every program does: memory of its own, threads' locks, standard calls",
     "_llseek arch_prctl brk cacheflush clock_getres clock_getres_time64 clock_gettime clock_gettime64 close \
      close_range dup dup2 dup3 execve exit exit_group fcntl fcntl64 futex futex_requeue futex_time64 futex_wait \
      futex_waitv futex_wake get_robust_list get_thread_area get_tls getcpu getegid getegid32 geteuid geteuid32 \
      getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getrandom getresgid getresgid32 \
      getresuid getresuid32 getrlimit getrusage getsid gettid gettimeofday getuid getuid32 ioctl lseek \
      map_shadow_stack membarrier mmap mmap2 mprotect mseal munmap prctl pread64 preadv preadv2 pwrite64 pwritev \
      pwritev2 read readv restart_syscall rseq sched_yield set_robust_list set_thread_area set_tid_address set_tls \
      sysinfo time times ugetrlimit umask uname uretprobe write writev"),
    ("@clock", "Setting the clocks of the machine",
     "adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday stime"),
    ("@debug", "Looking into other processes and measuring them",
     "kcmp lookup_dcookie perf_event_open pidfd_getfd process_vm_readv process_vm_writev ptrace"),
    ("@file", "Opening, naming, changing and watching files",
     "access arm_fadvise64_64 arm_sync_file_range cachestat chdir chmod chown chown32 copy_file_range creat \
      faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 \
      fchownat fdatasync fgetxattr file_getattr file_setattr flistxattr flock fremovexattr fsetxattr fstat fstat64 \
      fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr \
      getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown lchown32 lgetxattr link \
      linkat listmount listxattr listxattrat llistxattr lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod \
      mknodat name_to_handle_at newfstatat open openat openat2 readahead readlink readlinkat removexattr \
      removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 \
      statfs statfs64 statmount statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs tee truncate \
      truncate64 unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice"),
    ("@identity", "Becoming another user or group",
     "capget capset setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid \
      setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32"),
    ("@io-event", "Waiting for descriptors",
     "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
      epoll_wait_old eventfd eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select"),
    ("@io-uring", "Rings of requests, each of which passes a filter by",
     "io_uring_enter io_uring_register io_uring_setup"),
    ("@ipc", "Pipes, queues, semaphores and shared memory",
     "ipc memfd_create mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend \
      mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 semctl semget semop semtimedop \
      semtimedop_time64 shmat shmctl shmdt shmget"),
    ("@keyring", "Keys that the kernel holds",
     "add_key keyctl request_key"),
    ("@memory", "Advice, locks, keys and the placing of memory",
     "get_mempolicy madvise mbind memfd_secret migrate_pages mincore mlock mlock2 mlockall move_pages mremap msync \
      munlock munlockall pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease remap_file_pages \
      set_mempolicy set_mempolicy_home_node userfaultfd"),
    ("@module", "Code for the kernel",
     "delete_module finit_module init_module"),
    ("@mount", "Mounts and the root",
     "chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root \
      umount umount2"),
    ("@namespace", "Making and joining namespaces",
     "setns unshare"),
    ("@network-io", "Sockets",
     "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 \
      recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair"),
    ("@obsolete", "What no kernel of today has, or no program of today needs",
     "_sysctl afs_syscall bdflush break breakpoint create_module ftime get_kernel_syms getpmsg gtty idle lock \
      modify_ldt mpx nfsservctl nice oldfstat oldlstat oldolduname oldstat olduname prof profil putpmsg \
      query_module readdir security sgetmask ssetmask stty sysfs tuxcall ulimit uselib usr26 usr32 ustat vm86 \
      vm86old vserver"),
    ("@privileged", "What takes a capability and has no group of its own",
     "acct bpf fanotify_init fanotify_mark lsm_set_self_attr open_by_handle_at quotactl quotactl_fd setdomainname \
      sethostname syslog vhangup"),
    ("@process", "Starting, waiting for and grouping processes",
     "clone clone3 execveat fork kill lsm_get_self_attr lsm_list_modules personality pidfd_open pidfd_send_signal \
      rt_sigqueueinfo rt_tgsigqueueinfo setpgid setsid tgkill tkill vfork wait4 waitid waitpid"),
    ("@raw-io", "Ports and busses of the machine",
     "ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write"),
    ("@reboot", "Stopping the machine, or starting another kernel",
     "kexec_file_load kexec_load reboot"),
    ("@resources", "Limits and priorities",
     "getpriority ioprio_get ioprio_set prlimit64 sched_get_priority_max sched_get_priority_min sched_getaffinity \
      sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 \
      sched_setaffinity sched_setattr sched_setparam sched_setscheduler setpriority setrlimit"),
    ("@sandbox", "Confining oneself",
     "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp"),
    ("@signal", "Handling signals",
     "pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait \
      rt_sigtimedwait_time64 sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn \
      sigsuspend"),
    ("@swap", "Swap areas",
     "swapoff swapon"),
    ("@timer", "Sleeping and timers",
     "alarm clock_nanosleep clock_nanosleep_time64 getitimer nanosleep setitimer timer_create timer_delete \
      timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime \
      timerfd_gettime64 timerfd_settime timerfd_settime64"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::syscalls;

    #[test]
    fn every_call_of_the_table_is_in_exactly_one_group() {
        let mut grouped: Vec<&str> = groups().flat_map(Group::calls).collect();
        grouped.sort_unstable();
        let all: Vec<&str> = syscalls::all().map(syscalls::Syscall::name).collect();
        assert_eq!(grouped, all);
    }

    #[test]
    fn groups_and_their_calls_are_in_order() {
        let names: Vec<&str> = groups().map(Group::name).collect();
        assert!(names.is_sorted() && names.iter().all(|name| name.starts_with(MARK)));
        assert!(groups().all(|group| group.calls().is_sorted()));
        assert_eq!(
            group("@swap").unwrap().calls().collect::<Vec<_>>(),
            ["swapoff", "swapon"]
        );
        assert!(group("swap").is_none());
    }
}
