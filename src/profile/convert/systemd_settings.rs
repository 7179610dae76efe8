//! What becomes of each setting of a unit of systemd in a profile. How they are read is in `systemd_read` and
//! `systemd_protect`.

use crate::profile::compare::Direction::{Different, Looser};

use super::Fate;
use super::systemd_protect::*;
use super::systemd_read::*;
use super::systemd_unit::Seen;

/// Which assignments of a setting count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Last,
    /// From the last empty one on, which is passed on as such.
    Each,
}

pub(super) struct Directive(
    pub(super) &'static str,
    pub(super) Counts,
    pub(super) Fate<Seen>,
);

use Counts::{Each, Last};
use Fate::{Lost, Reads};

const NO_EXEC: &str = "a profile has Landlock for what may be executed: write [landlock] execute";
const NO_NETWORK: &str = "a profile does not filter packets";
const NO_SOFT: &str = "a profile has no soft limits";
const NO_WEIGHTS: &str = "a profile does not weigh containers against each other";
const NO_CPUS: &str = "a profile does not choose CPUs";
const NO_LABEL: &str = "a profile does not choose labels of security modules";
const NO_MOUNTS: &str = "a profile adds no mounts";
const NO_USER_NAMESPACE: &str =
    "a profile cannot add a user namespace; require it with on-conflict = \"refuse\"";

/// Every setting that confines; what is not here is looked up in `APART`.
pub(super) const TABLE: &[Directive] = &[
    Directive("NoNewPrivileges", Last, Reads(no_new_privileges)),
    Directive("CapabilityBoundingSet", Each, Reads(bounding)),
    Directive("User", Last, Reads(user)),
    Directive("DynamicUser", Last, Reads(dynamic_user)),
    Directive(
        "Group",
        Last,
        Lost(Looser, "a profile does not choose groups"),
    ),
    Directive("SystemCallFilter", Each, Reads(filter)),
    Directive("SystemCallErrorNumber", Last, Reads(error_number)),
    Directive("SystemCallArchitectures", Each, Reads(architectures)),
    Directive(
        "SystemCallLog",
        Each,
        Lost(Different, "calls are not logged"),
    ),
    Directive("RestrictNamespaces", Each, Reads(namespaces)),
    Directive("RestrictAddressFamilies", Each, Reads(families)),
    Directive("RestrictRealtime", Last, Reads(realtime)),
    Directive("RestrictSUIDSGID", Last, Reads(set_id)),
    Directive("LockPersonality", Last, Reads(personality)),
    Directive("MemoryDenyWriteExecute", Last, Reads(write_execute)),
    Directive("PrivateNetwork", Last, Reads(private_network)),
    Directive("PrivateIPC", Last, Reads(private_ipc)),
    Directive("PrivatePIDs", Last, Reads(private_pids)),
    Directive("PrivateMounts", Last, Reads(private_mounts)),
    Directive("PrivateUsers", Last, Lost(Looser, NO_USER_NAMESPACE)),
    Directive("PrivateDevices", Last, Reads(private_devices)),
    Directive("PrivateTmp", Last, Lost(Looser, NO_MOUNTS)),
    Directive("ProtectHostname", Last, Reads(protect_hostname)),
    Directive("ProtectKernelTunables", Last, Reads(protect_tunables)),
    Directive("ProtectKernelModules", Last, Reads(protect_modules)),
    Directive("ProtectKernelLogs", Last, Reads(protect_logs)),
    Directive("ProtectClock", Last, Reads(protect_clock)),
    Directive("ProtectControlGroups", Last, Reads(protect_cgroups)),
    Directive("ProtectProc", Last, Reads(protect_proc)),
    Directive("ProcSubset", Last, Reads(proc_subset)),
    Directive("ProtectSystem", Last, Reads(protect_system)),
    Directive("ProtectHome", Last, Reads(protect_home)),
    Directive("ReadOnlyPaths", Each, Reads(readonly_paths)),
    Directive("InaccessiblePaths", Each, Reads(inaccessible_paths)),
    Directive("ReadWritePaths", Each, Reads(writable_paths)),
    Directive("ExecPaths", Each, Lost(Different, NO_EXEC)),
    Directive("NoExecPaths", Each, Lost(Looser, NO_EXEC)),
    Directive("TemporaryFileSystem", Each, Lost(Looser, NO_MOUNTS)),
    Directive("MountFlags", Last, Reads(mount_flags)),
    Directive(
        "RootDirectory",
        Last,
        Lost(Looser, "a profile does not choose the root"),
    ),
    Directive(
        "RootImage",
        Last,
        Lost(Looser, "a profile does not choose the root"),
    ),
    Directive("DevicePolicy", Last, Reads(device_policy)),
    Directive("DeviceAllow", Each, Reads(device_allow)),
    Directive("MemoryMax", Last, Reads(memory)),
    Directive("MemoryLimit", Last, Reads(memory)),
    Directive("MemorySwapMax", Last, Reads(swap)),
    Directive("MemoryZSwapMax", Last, Lost(Looser, NO_SOFT)),
    Directive("MemoryHigh", Last, Lost(Looser, NO_SOFT)),
    Directive("TasksMax", Last, Reads(tasks)),
    Directive("CPUQuota", Last, Reads(cpu_quota)),
    Directive("CPUWeight", Last, Lost(Looser, NO_WEIGHTS)),
    Directive("CPUShares", Last, Lost(Looser, NO_WEIGHTS)),
    Directive("IOWeight", Last, Lost(Looser, NO_WEIGHTS)),
    Directive("AllowedCPUs", Last, Lost(Looser, NO_CPUS)),
    Directive("AllowedMemoryNodes", Last, Lost(Looser, NO_CPUS)),
    Directive("CPUAffinity", Last, Lost(Looser, NO_CPUS)),
    Directive(
        "IOReadBandwidthMax",
        Each,
        Lost(Looser, "a profile has no rates of devices"),
    ),
    Directive(
        "IOWriteBandwidthMax",
        Each,
        Lost(Looser, "a profile has no rates of devices"),
    ),
    Directive(
        "IOReadIOPSMax",
        Each,
        Lost(Looser, "a profile has no rates of devices"),
    ),
    Directive(
        "IOWriteIOPSMax",
        Each,
        Lost(Looser, "a profile has no rates of devices"),
    ),
    Directive("IPAddressDeny", Each, Lost(Looser, NO_NETWORK)),
    Directive("IPAddressAllow", Each, Lost(Different, NO_NETWORK)),
    Directive(
        "SocketBindDeny",
        Each,
        Lost(
            Looser,
            "a profile has Landlock for ports: write [landlock] bind-tcp",
        ),
    ),
    Directive(
        "SocketBindAllow",
        Each,
        Lost(
            Different,
            "a profile has Landlock for ports: write [landlock] bind-tcp",
        ),
    ),
    Directive("RestrictNetworkInterfaces", Each, Lost(Looser, NO_NETWORK)),
    Directive(
        "RestrictFileSystems",
        Each,
        Lost(Looser, "a profile does not filter kinds of filesystems"),
    ),
    Directive("AppArmorProfile", Last, Lost(Looser, NO_LABEL)),
    Directive("SELinuxContext", Last, Lost(Looser, NO_LABEL)),
    Directive("SmackProcessLabel", Last, Lost(Looser, NO_LABEL)),
    Directive(
        "SecureBits",
        Last,
        Lost(Looser, "a profile sets no secure bits"),
    ),
    Directive(
        "KeyringMode",
        Last,
        Lost(Looser, "a profile does not choose keyrings"),
    ),
    Directive(
        "UMask",
        Last,
        Lost(Looser, "a profile sets no mask of files"),
    ),
    Directive(
        "RemoveIPC",
        Last,
        Lost(Looser, "objects of IPC end with their namespace"),
    ),
    Directive(
        "LimitCPU",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_CPU", value)),
    ),
    Directive(
        "LimitFSIZE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_FSIZE", value)),
    ),
    Directive(
        "LimitDATA",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_DATA", value)),
    ),
    Directive(
        "LimitSTACK",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_STACK", value)),
    ),
    Directive(
        "LimitCORE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_CORE", value)),
    ),
    Directive(
        "LimitRSS",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_RSS", value)),
    ),
    Directive(
        "LimitNOFILE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_NOFILE", value)),
    ),
    Directive(
        "LimitAS",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_AS", value)),
    ),
    Directive(
        "LimitNPROC",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_NPROC", value)),
    ),
    Directive(
        "LimitMEMLOCK",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_MEMLOCK", value)),
    ),
    Directive(
        "LimitLOCKS",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_LOCKS", value)),
    ),
    Directive(
        "LimitSIGPENDING",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_SIGPENDING", value)),
    ),
    Directive(
        "LimitMSGQUEUE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_MSGQUEUE", value)),
    ),
    Directive(
        "LimitNICE",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_NICE", value)),
    ),
    Directive(
        "LimitRTPRIO",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_RTPRIO", value)),
    ),
    Directive(
        "LimitRTTIME",
        Last,
        Reads(|unit, value| rlimit(unit, "RLIMIT_RTTIME", value)),
    ),
];

/// Settings of `[Service]` that confine nothing; one that ends in `*` stands for all that begin so.
pub(super) const APART: &[&str] = &[
    "AmbientCapabilities",
    "BindPaths",
    "BindReadOnlyPaths",
    "BusName",
    "CacheDirectory*",
    "ConfigurationDirectory*",
    "Delegate",
    "Environment*",
    "Exec*",
    "ExitType",
    "FileDescriptor*",
    "FinalKillSignal",
    "GuessMainPID",
    "IgnoreSIGPIPE",
    "KillMode",
    "KillSignal",
    "Log*",
    "LoadCredential*",
    "ManagedOOM*",
    "Nice",
    "NonBlocking",
    "NotifyAccess",
    "OOMPolicy",
    "OOMScoreAdjust",
    "PAMName",
    "PIDFile",
    "PassEnvironment",
    "PermissionsStartOnly",
    "RemainAfterExit",
    "Restart*",
    "RootDirectoryStartOnly",
    "RuntimeDirectory*",
    "RuntimeMaxSec",
    "RuntimeRandomizedExtraSec",
    "SendSIGHUP",
    "SendSIGKILL",
    "SetCredential*",
    "Slice",
    "Sockets",
    "Standard*",
    "StartLimit*",
    "StateDirectory*",
    "SuccessExitStatus",
    "SupplementaryGroups",
    "Syslog*",
    "TTY*",
    "Timeout*",
    "TimerSlackNSec",
    "Type",
    "USBFunction*",
    "UnsetEnvironment",
    "UtmpIdentifier",
    "UtmpMode",
    "WatchdogSec",
    "WatchdogSignal",
    "WorkingDirectory",
    "LogsDirectory*",
    "MemoryAccounting",
    "TasksAccounting",
    "CPUAccounting",
    "IOAccounting",
    "IPAccounting",
    "MemoryMin",
    "MemoryLow",
    "IOScheduling*",
    "CPUScheduling*",
    "Personality",
    "RestartKillSignal",
    "SocketBind",
    "MountAPIVFS",
];
