//! The compiler against a direct reading of the rules, over random profiles and calls, and its comparisons against those
//! of crate seccompiler.

use proptest::prelude::*;

use crate::names::syscalls::{Abi, Syscall, X32_BIT, all, named};
use crate::seccomp::bpf::{Data, evaluate, run, validate};
use crate::seccomp::{Host, action, compile_for};
use crate::spec::{Arch, Seccomp, SeccompAction, SeccompArg, SeccompOp, SyscallRule};

/// What the rules say about a call, read from the document one by one: slow, and without any of the compiler's steps.
fn direct(profile: &Seccomp, abis: &[Abi], call: &Data) -> u32 {
    let of_arch = |abi: &&Abi| abi.audit_arch() == call.arch && (**abi == Abi::X32) == is_x32(call);
    let Some(&abi) = abis.iter().find(of_arch) else {
        return libc::SECCOMP_RET_KILL_PROCESS;
    };
    let default = action::answer(profile.default_action, profile.default_errno_ret, "").unwrap();
    let mut newest = None;
    let mut sometimes: Vec<u32> = Vec::new();
    for rule in &profile.syscalls {
        let answer = action::answer(rule.action, rule.errno_ret, "").unwrap();
        for name in &rule.names {
            let syscall = named(name).unwrap();
            let number = syscall.number(abi);
            newest = newest.max(number.filter(|&n| abi.is_dated(n)));
            if number != Some(call.nr) || answer == default {
                continue;
            }
            if rule.args.is_empty() {
                return first_unconditional(profile, call.nr, abi, default);
            }
            if matches(rule, syscall, abi, call) {
                sometimes.push(answer);
            }
        }
    }
    let named_here = profile.syscalls.iter().any(|rule| {
        let other = action::answer(rule.action, rule.errno_ret, "").unwrap() != default;
        other
            && rule
                .names
                .iter()
                .any(|n| named(n).unwrap().number(abi) == Some(call.nr))
    });
    let denies = !matches!(
        profile.default_action,
        SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace
    );
    if denies && !named_here && abi.is_dated(call.nr) && newest.is_some_and(|n| call.nr > n) {
        return libc::SECCOMP_RET_ERRNO | 38;
    }
    let strictest = |answer: &u32| (answer & 0xffff_0000).cast_signed();
    sometimes
        .into_iter()
        .min_by_key(strictest)
        .unwrap_or(default)
}

fn is_x32(call: &Data) -> bool {
    call.arch == Abi::X8664.audit_arch() && call.nr >= X32_BIT && call.nr != u32::MAX
}

fn first_unconditional(profile: &Seccomp, nr: u32, abi: Abi, default: u32) -> u32 {
    let rules = profile.syscalls.iter().filter(|rule| rule.args.is_empty());
    let mut here = rules.filter(|rule| {
        rule.names
            .iter()
            .any(|n| named(n).unwrap().number(abi) == Some(nr))
    });
    here.find_map(|rule| {
        let answer = action::answer(rule.action, rule.errno_ret, "").unwrap();
        (answer != default).then_some(answer)
    })
    .unwrap()
}

fn matches(rule: &SyscallRule, syscall: Syscall, abi: Abi, call: &Data) -> bool {
    let compare = |arg: &SeccompArg| {
        let mut bits = syscall.argument_bits(arg.index as usize);
        if abi != Abi::X8664 && abi != Abi::Aarch64 {
            bits &= 0xffff_ffff;
        }
        holds(arg, bits, call.args[arg.index as usize])
    };
    let mut indices: Vec<u32> = rule.args.iter().map(|arg| arg.index).collect();
    indices.sort_unstable();
    indices.dedup();
    match indices.len() == rule.args.len() {
        true => rule.args.iter().all(compare),
        false => rule.args.iter().any(compare),
    }
}

fn holds(arg: &SeccompArg, bits: u64, register: u64) -> bool {
    let read = register & bits;
    let narrow = arg.value & bits;
    let negative = arg.value | bits == u64::MAX;
    let ordered = if negative {
        u128::from(narrow)
    } else {
        u128::from(arg.value)
    };
    match arg.op {
        SeccompOp::Equal => read == narrow,
        SeccompOp::NotEqual => read != narrow,
        SeccompOp::MaskedEqual => read & arg.value == arg.value_two & narrow,
        SeccompOp::GreaterThan => u128::from(read) > ordered,
        SeccompOp::GreaterEqual => u128::from(read) >= ordered,
        SeccompOp::LessThan => u128::from(read) < ordered,
        SeccompOp::LessEqual => u128::from(read) <= ordered,
    }
}

const OPS: [SeccompOp; 7] = [
    SeccompOp::NotEqual,
    SeccompOp::LessThan,
    SeccompOp::LessEqual,
    SeccompOp::Equal,
    SeccompOp::GreaterEqual,
    SeccompOp::GreaterThan,
    SeccompOp::MaskedEqual,
];

/// Few calls, so that rules meet, among them int-typed, long and multiplexed-free ones, and calls with arm-only numbers.
const NAMES: [&str; 12] = [
    "ioctl",
    "clone",
    "unshare",
    "personality",
    "chmod",
    "mount",
    "openat2",
    "clone3",
    "set_tls",
    "preadv2",
    "kcmp",
    "prctl",
];

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4u64,
        Just(0xffff_ffff),
        Just(u64::MAX),
        Just(1 << 32),
        Just((1 << 32) | 1),
        Just(0xffff_ffff_ffff_fff0),
        Just(0xffff),
        Just(0x1_0001),
        any::<u64>(),
    ]
}

fn arg() -> impl Strategy<Value = SeccompArg> {
    (0..4u32, value(), value(), prop::sample::select(&OPS[..])).prop_map(
        |(index, value, value_two, op)| SeccompArg {
            index,
            value,
            value_two,
            op,
        },
    )
}

fn action() -> impl Strategy<Value = (SeccompAction, Option<u32>)> {
    use SeccompAction as A;
    prop_oneof![
        prop::sample::select(vec![A::Kill, A::KillProcess, A::Trap, A::Allow, A::Log])
            .prop_map(|a| (a, None)),
        prop::option::of(0..5u32).prop_map(|errno| (A::Errno, errno)),
        prop::option::of(0..5u32).prop_map(|errno| (A::Trace, errno)),
    ]
}

fn rule() -> impl Strategy<Value = SyscallRule> {
    let names = prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4);
    let args = prop_oneof![Just(Vec::new()), prop::collection::vec(arg(), 1..4)];
    (names, action(), args).prop_map(|(names, (action, errno_ret), args)| SyscallRule {
        names: names.into_iter().map(str::to_owned).collect(),
        action,
        errno_ret,
        args,
    })
}

fn profile() -> impl Strategy<Value = Seccomp> {
    let archs =
        prop::sample::subsequence(vec![Arch::X8664, Arch::X86, Arch::X32, Arch::Arm], 0..=4);
    (action(), archs, prop::collection::vec(rule(), 0..12)).prop_map(
        |((default_action, default_errno_ret), architectures, syscalls)| Seccomp {
            default_action,
            default_errno_ret,
            architectures,
            flags: None,
            listener_path: None,
            listener_metadata: None,
            syscalls,
        },
    )
}

fn call() -> impl Strategy<Value = Data> {
    let number = prop_oneof![
        8 => (prop::sample::select(&NAMES[..]), prop::sample::select(&Abi::ALL[..]))
            .prop_filter_map("no number", |(name, abi)| Some((named(name)?.number(abi)?, abi))),
        2 => (0..600u32, prop::sample::select(&Abi::ALL[..]))
            .prop_map(|(n, abi)| (if abi == Abi::X32 { n | X32_BIT } else { n }, abi)),
        1 => (any::<u32>(), prop::sample::select(&Abi::ALL[..])),
    ];
    // Machines that no filter of ours knows: none, riscv64, s390x.
    let foreign = prop::option::weighted(
        0.05,
        prop::sample::select(vec![0, 0xc000_00f3, 0x8000_0016]),
    );
    (number, foreign, prop::array::uniform6(value())).prop_map(|((nr, abi), foreign, args)| Data {
        nr,
        arch: foreign.unwrap_or(abi.audit_arch()),
        instruction_pointer: 0,
        args,
    })
}

fn abis(profile: &Seccomp, host: Host) -> Vec<Abi> {
    let listed = |arch, abi| profile.architectures.contains(&arch).then_some(abi);
    match host {
        Host::X8664 => [
            Some(Abi::X8664),
            listed(Arch::X86, Abi::X86),
            listed(Arch::X32, Abi::X32),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Host::Aarch64 => [Some(Abi::Aarch64), listed(Arch::Arm, Abi::Arm)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// The call, and with each argument at the edges of what some rule compares it with: beside it, with other high bits, with its
/// halves changed for one another.
fn edges(profile: &Seccomp, call: Data) -> Vec<Data> {
    let args = profile.syscalls.iter().flat_map(|rule| &rule.args);
    let mut calls = vec![call];
    for arg in args {
        for value in [arg.value, arg.value_two] {
            let others = [
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value ^ 1 << 32,
                u64::from(value as u32),
                value.rotate_left(32),
            ];
            for value in [value].into_iter().chain(others) {
                let mut call = call;
                call.args[arg.index as usize] = value;
                calls.push(call);
            }
        }
    }
    calls
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn program_decides_as_the_rules_read(profile in profile(), calls in prop::collection::vec(call(), 1..40)) {
        for host in [Host::X8664, Host::Aarch64] {
            let Ok(filter) = compile_for(&profile, host) else { continue };
            let abis = abis(&profile, host);
            validate(&filter.program).unwrap();
            for call in calls.iter().flat_map(|call| edges(&profile, *call)) {
                let got = run(&filter.program, &call);
                prop_assert_eq!(got, direct(&profile, &abis, &call), "{:?} {:?}", host, call);
            }
        }
    }

    #[test]
    fn comparisons_are_those_of_seccompiler(args in prop::collection::vec(arg(), 1..4), call in call()) {
        let mut args = args;
        args.sort_by_key(|arg| arg.index);
        args.dedup_by_key(|arg| arg.index);
        let rule = SyscallRule {
            names: vec!["mount".into()],
            action: SeccompAction::Allow,
            errno_ret: None,
            args: args.clone(),
        };
        let profile = Seccomp {
            default_action: SeccompAction::Kill,
            default_errno_ret: None,
            architectures: Vec::new(),
            flags: None,
            listener_path: None,
            listener_metadata: None,
            syscalls: vec![rule],
        };
        let call = Data { nr: 165, arch: Abi::X8664.audit_arch(), ..call };
        let ours = evaluate(&compile_for(&profile, Host::X8664).unwrap().program, &call).unwrap();
        let theirs = evaluate(&seccompiler_program(&args), &call).unwrap();
        prop_assert_eq!(ours, theirs);
    }
}

/// The same rule by crate seccompiler: a match allows, anything else kills the thread. All of mount(2)'s first four
/// arguments are pointers or longs, so that both compare 64 bits.
fn seccompiler_program(args: &[SeccompArg]) -> Vec<libc::sock_filter> {
    use seccompiler::{SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompRule};
    let conditions = args.iter().map(|arg| {
        let (op, value) = match arg.op {
            SeccompOp::NotEqual => (Op::Ne, arg.value),
            SeccompOp::LessThan => (Op::Lt, arg.value),
            SeccompOp::LessEqual => (Op::Le, arg.value),
            SeccompOp::Equal => (Op::Eq, arg.value),
            SeccompOp::GreaterEqual => (Op::Ge, arg.value),
            SeccompOp::GreaterThan => (Op::Gt, arg.value),
            SeccompOp::MaskedEqual => (Op::MaskedEq(arg.value), arg.value_two),
        };
        SeccompCondition::new(arg.index as u8, Len::Qword, op, value).unwrap()
    });
    let rule = SeccompRule::new(conditions.collect()).unwrap();
    let body = seccompiler::BpfProgram::from(rule);
    let plain = body.into_iter().map(|i| libc::sock_filter {
        code: i.code,
        jt: i.jt,
        jf: i.jf,
        k: i.k,
    });
    let end = |k| libc::sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k,
    };
    // Its rules are chained by a pair of jumps each: a miss goes on one instruction behind the match, the way out of the
    // chain two behind.
    let miss = end(libc::SECCOMP_RET_KILL_THREAD);
    plain
        .chain([end(libc::SECCOMP_RET_ALLOW), miss, miss])
        .collect()
}

#[test]
fn every_listed_call_gets_its_own_answer() {
    let names: Vec<&str> = all().map(Syscall::name).collect();
    let rules = names.iter().enumerate().map(|(i, name)| SyscallRule {
        names: vec![(*name).to_owned()],
        action: SeccompAction::Errno,
        errno_ret: Some(i as u32 + 100),
        args: Vec::new(),
    });
    let profile = Seccomp {
        default_action: SeccompAction::Allow,
        default_errno_ret: None,
        architectures: vec![Arch::X86, Arch::X32],
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls: rules.collect(),
    };
    let filter = compile_for(&profile, Host::X8664).unwrap();
    for abi in [Abi::X8664, Abi::X86, Abi::X32] {
        for (i, call) in all().enumerate() {
            let Some(nr) = call.number(abi) else { continue };
            let data = Data {
                nr,
                arch: abi.audit_arch(),
                ..Data::default()
            };
            assert_eq!(
                evaluate(&filter.program, &data).unwrap(),
                0x0005_0000 + i as u32 + 100
            );
        }
    }
}
