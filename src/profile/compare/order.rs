//! How the values of each field are ordered, from what permits more to what permits less.

use serde_json::Value;

/// How the values of a field are ordered.
pub(super) enum Order {
    /// The most permissive first, which is also what an absent one means.
    Words(&'static [&'static str]),
    Number(Ordering),
    /// A list of demands: more of them permit less.
    Demands,
    /// A list of what is permitted: more of them permit more, and an absent one everything.
    Permits,
    /// A name of what confines: an absent one permits more, and two different ones tell nothing.
    Name,
    None,
}

#[derive(Clone, Copy)]
pub(super) enum Ordering {
    /// A limit; an absent one is none.
    AtMost,
    /// The least that is taken.
    AtLeast,
}

pub(super) fn order(field: &str) -> Order {
    let last = field.rsplit('.').next().unwrap_or_default();
    match field {
        "identity.non-root" | "namespaces.net-devices" | "process.terminal" => {
            Order::Words(&["allow", "warn", "refuse"])
        }
        "identity.additional-groups" => Order::Words(&["keep", "drop", "refuse"]),
        "identity.minimum-uid" => Order::Number(Ordering::AtLeast),
        "mounts.propagation" => Order::Words(&["", "shared", "slave", "private"]),
        "mounts.bind.device-nodes" => Order::Words(&["true", "false"]),
        "process.no-new-privileges"
        | "root.readonly"
        | "mounts.bind.readonly-recursive"
        | "mounts.kernel.proc-invisible"
        | "mounts.kernel.proc-only-pids"
        | "paths.mask-thermal-throttle"
        | "process.lock-securebits"
        | "memory.deny-write-execute"
        | "memory.memfd-noexec"
        | "limits.oom-group"
        | "devices.deny-all" => Order::Words(&["false", "true"]),
        "landlock.on-old-kernel" | "memory.on-old-kernel" => {
            Order::Words(&["best-effort", "refuse"])
        }
        "apparmor.when-missing" => Order::Words(&["ignore", "refuse"]),
        "apparmor.profile" => Order::Name,
        "limits.time" => Order::Number(Ordering::AtMost),
        "capabilities.allow"
        | "environment.allow"
        | "devices.allow"
        | "devices.nodes"
        | "landlock.read"
        | "landlock.write"
        | "landlock.execute"
        | "landlock.ioctl"
        | "landlock.bind-tcp"
        | "landlock.connect-tcp" => Order::Permits,
        "mounts.drop"
        | "mounts.kernel.readonly"
        | "mounts.bind.add"
        | "mounts.tmpfs.add"
        | "mounts.kernel.add"
        | "paths.mask"
        | "paths.readonly"
        | "landlock.scope"
        | "namespaces.require" => Order::Demands,
        _ if last == "on-conflict" => Order::Words(&["tighten", "refuse"]),
        _ if last == "default" || last == "maximum" => Order::Number(Ordering::AtMost),
        _ => Order::None,
    }
}

/// Whether the second permits less, and whether it permits more. All that the host has is more than any number, and less
/// than no limit.
pub(super) fn numbers(order: Ordering, a: &Value, b: &Value) -> (bool, bool) {
    let number = |value: &Value| match value {
        Value::Null => None,
        Value::String(_) => Some(u128::from(u64::MAX) + 1),
        value => value.as_u64().map(u128::from),
    };
    match order {
        Ordering::AtMost => {
            let number = |value| number(value).unwrap_or(u128::MAX);
            (number(b) < number(a), number(b) > number(a))
        }
        Ordering::AtLeast => (number(b) > number(a), number(b) < number(a)),
    }
}
