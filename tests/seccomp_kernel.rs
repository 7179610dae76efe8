//! The evaluator of filters against the kernel: random filters, loaded by a process that then makes real calls with chosen
//! arguments. What came back, or what ended the process, is what the evaluator says.
//! What filters ought to answer is in `src/seccomp/tests`; here the two have to agree.
//!
//! The calls do nothing: they ignore their arguments, have no such descriptor, or do not exist. What the kernel answers to
//! them without a filter is asked first. The child of a process with threads may not allocate: it loads a program made
//! before, makes calls made before and writes numbers into shared memory.
#![allow(
    unsafe_code,
    reason = "the calls under test are made raw, by a process that cannot use the standard library"
)]

use std::cell::Cell;
use std::ptr;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use stockade::seccomp::bpf::{Data, evaluate, ret_words};
use stockade::seccomp::{Compiled, compile};
use stockade::sys::seccomp::install;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const X32: u64 = 0x4000_0000;
/// How many calls one child makes.
const CALLS: usize = 24;

/// One call; `int80` is the way in of 32-bit programs.
#[derive(Debug, Clone, Copy)]
struct Made {
    int80: bool,
    number: u64,
    args: [u64; 6],
}

/// What the child tells: how many calls it has begun, what came back, and the errno that a trap carried.
#[repr(C)]
struct Shared {
    begun: Cell<usize>,
    answers: [Cell<i64>; CALLS],
    trapped: Cell<i32>,
}

const NO_TRAP: i32 = -1;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answer(i64),
    Trap(i32),
    Kill,
}

thread_local! {
    static SHARED: Cell<*mut Shared> = const { Cell::new(ptr::null_mut()) };
}

fn shared() -> *mut Shared {
    if SHARED.get().is_null() {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping of zeros, which every bit pattern of Shared may be; it stays for the test's life.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED);
        SHARED.set(at.cast());
    }
    SHARED.get()
}

/// The value as the kernel returns it, errors below 0.
fn make(call: &Made) -> i64 {
    let [a, b, c, d, e, f] = call.args;
    let mut rax = call.number;
    if call.int80 {
        // SAFETY: rbx is swapped in and back, rbp is not given; the kernel keeps or zeroes what is declared. None of the
        // calls of this test reads or writes memory.
        unsafe {
            std::arch::asm!(
                "xchg rbx, {first}", "int 0x80", "xchg rbx, {first}",
                first = inout(reg) a => _, inout("rax") rax,
                in("rcx") b, in("rdx") c, in("rsi") d, in("rdi") e,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        return i64::from(rax as u32 as i32);
    }
    // SAFETY: as above; syscall changes rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall", inout("rax") rax, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            out("rcx") _, out("r11") _,
        );
    }
    rax as i64
}

/// Ends the process without a system call.
fn end() -> ! {
    // SAFETY: an instruction that is not one: SIGILL, which nobody handles.
    unsafe { std::arch::asm!("ud2", options(noreturn)) }
}

extern "C" fn on_trap(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a siginfo_t.
    let errno = unsafe { (*info).si_errno };
    // SAFETY: the mapping is there, made before the process was.
    let tells = unsafe { &*SHARED.get() };
    tells.trapped.set(errno);
    end()
}

/// What each call ends in under the filter, each from a process that has not been killed before.
fn in_kernel(filter: Option<&Compiled>, calls: &[Made]) -> Vec<End> {
    let mut ends: Vec<End> = Vec::new();
    while ends.len() < calls.len() {
        ends.extend(one_child(filter, &calls[ends.len()..]));
    }
    ends
}

/// As far as one child gets.
fn one_child(filter: Option<&Compiled>, calls: &[Made]) -> Vec<End> {
    let shared = shared();
    // SAFETY: no child is running; the mapping is this thread's.
    let tells = unsafe { &*shared };
    tells.begun.set(0);
    tells.trapped.set(NO_TRAP);
    // SAFETY: the child calls nothing that allocates or takes a lock.
    match unsafe { libc::fork() } {
        0 => child(filter, calls, tells),
        pid => {
            let mut status = 0;
            // SAFETY: status lives; the child ends by itself.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            told(tells, status, calls.len())
        }
    }
}

fn child(filter: Option<&Compiled>, calls: &[Made], tells: &Shared) -> ! {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a live value; no core file is wanted of so many children.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    for signal in [libc::SIGILL, libc::SIGSYS] {
        // SAFETY: all zeros is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        if signal == libc::SIGSYS {
            action.sa_flags = libc::SA_SIGINFO;
            action.sa_sigaction = on_trap as *const () as usize;
        }
        // SAFETY: a live value, and a handler that only writes to the mapping and ends.
        unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    }
    if let Some(filter) = filter {
        // SAFETY: takes no pointers.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        if install(&filter.program, 0).is_err() {
            end()
        }
    }
    for (at, call) in calls.iter().enumerate() {
        tells.begun.set(at + 1);
        tells.answers[at].set(make(call));
    }
    tells.begun.set(calls.len() + 1);
    end()
}

fn told(tells: &Shared, status: i32, calls: usize) -> Vec<End> {
    let begun = tells.begun.get();
    assert!(
        begun > 0,
        "the filter could not be loaded: status {status:#x}"
    );
    let mut ends: Vec<End> = tells.answers[..begun - 1]
        .iter()
        .map(|answer| End::Answer(answer.get()))
        .collect();
    let signal = libc::WTERMSIG(status);
    match tells.trapped.get() {
        NO_TRAP if signal == libc::SIGSYS => ends.push(End::Kill),
        NO_TRAP => assert_eq!((signal, begun), (libc::SIGILL, calls + 1)),
        errno => ends.push(End::Trap(errno)),
    }
    ends
}

/// What the evaluator says, where `unfiltered` is what the kernel answers by itself.
fn on_paper(filter: &Compiled, call: &Made, unfiltered: End) -> End {
    let answer = evaluate(&filter.program, &data(call)).unwrap();
    let number = answer & libc::SECCOMP_RET_DATA;
    match answer & libc::SECCOMP_RET_ACTION_FULL {
        libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG => unfiltered,
        libc::SECCOMP_RET_ERRNO => End::Answer(-i64::from(number)),
        // Nobody traces.
        libc::SECCOMP_RET_TRACE => End::Answer(-i64::from(libc::ENOSYS)),
        libc::SECCOMP_RET_TRAP => End::Trap(number.cast_signed()),
        libc::SECCOMP_RET_KILL_THREAD | libc::SECCOMP_RET_KILL_PROCESS => End::Kill,
        _ => panic!("{}", ret_words(answer)),
    }
}

fn data(call: &Made) -> Data {
    Data {
        nr: call.number as u32,
        arch: if call.int80 { I386 } else { X86_64 },
        instruction_pointer: 0,
        args: call.args,
    }
}

/// Names, numbers on x86_64 and i386, and whether the first argument must be a descriptor that is not there. The kernel reads
/// 32 bits of sched_get_priority_max's argument, of fchmod's 32 and 16, of ioctl's 32, 32 and 64, and none of the others'.
const NAMED: [(&str, u64, u64, bool); 8] = [
    ("getppid", 110, 64, false),
    ("getuid", 102, 24, false),
    ("getpgrp", 111, 65, false),
    ("sched_yield", 24, 158, false),
    ("sched_get_priority_max", 146, 159, false),
    ("ioctl", 16, 54, true),
    ("fchmod", 91, 94, true),
    ("lseek", 8, 19, true),
];

fn value() -> impl Strategy<Value = u64> {
    let edges = vec![
        0,
        1,
        2,
        7,
        0xffff,
        0x1_0000,
        0x1_0001,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
        1 << 32,
        (1 << 32) | 1,
        0xffff_ffff_0000_0000,
        u64::MAX - 1,
        u64::MAX,
    ];
    select(edges)
}

fn call() -> impl Strategy<Value = Made> {
    let known = select(NAMED.to_vec()).prop_map(|(_, native, i386, has_fd)| (native, i386, has_fd));
    let unknown = select(vec![387u64, 500, 600, 0xffff]).prop_map(|number| (number, number, false));
    let number = prop_oneof![6 => known, 1 => unknown];
    let entry = select(vec![0u8, 0, 0, 0, 1, 1, 2]);
    (number, entry, prop::array::uniform6(value())).prop_map(
        |((native, i386, has_fd), entry, mut args)| {
            if has_fd {
                // No descriptor, whatever is above it.
                args[0] |= 0xffff_ffff;
            }
            // It would be one.
            args[5] = 0;
            Made {
                int80: entry == 1,
                number: match entry {
                    1 => i386,
                    2 => native | X32,
                    _ => native,
                },
                args,
            }
        },
    )
}

fn action() -> impl Strategy<Value = Value> {
    let plain = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_TRAP",
    ];
    prop_oneof![
        3 => select(plain.to_vec()).prop_map(|word| json!({"action": word})),
        3 => (0..50u32).prop_map(|errno| json!({"action": "SCMP_ACT_ERRNO", "errnoRet": errno})),
        1 => (0..50u32).prop_map(|errno| json!({"action": "SCMP_ACT_TRACE", "errnoRet": errno})),
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    let ops = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let arg = (0..4u32, value(), value(), select(ops.to_vec())).prop_map(
        |(index, value, two, op)| json!({"index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{op}")}),
    );
    let names = prop::collection::vec(select(NAMED.map(|(name, ..)| name).to_vec()), 1..4);
    (names, action(), prop::collection::vec(arg, 0..3)).prop_map(|(names, mut rule, args)| {
        rule["names"] = json!(names);
        rule["args"] = json!(args);
        rule
    })
}

fn filter() -> impl Strategy<Value = Compiled> {
    let archs = prop::sample::subsequence(vec!["SCMP_ARCH_X86", "SCMP_ARCH_X32"], 0..=2);
    (action(), archs, prop::collection::vec(rule(), 0..10)).prop_filter_map("it contradicts itself", |(default, archs, rules)| {
        let mut filter = json!({"defaultAction": default["action"], "architectures": archs, "syscalls": rules});
        if let Some(errno) = default.get("errnoRet") {
            filter["defaultErrnoRet"] = errno.clone();
        }
        compile(&serde_json::from_value(filter).unwrap()).ok()
    })
}

#[test]
fn evaluator_answers_as_the_kernel_does_on_real_calls() {
    let seed: [u8; 32] = std::array::from_fn(|at| at as u8);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = (filter(), prop::collection::vec(call(), CALLS));
    let mut kinds = [0; 3];
    for _ in 0..400 {
        let (filter, calls) = strategy.new_tree(&mut runner).unwrap().current();
        let unfiltered = in_kernel(None, &calls);
        let ends = in_kernel(Some(&filter), &calls);
        for ((call, end), unfiltered) in calls.iter().zip(ends).zip(unfiltered) {
            assert_eq!(
                end,
                on_paper(&filter, call, unfiltered),
                "{call:x?} {:?}",
                filter.program
            );
            kinds[match end {
                End::Answer(_) => 0,
                End::Trap(_) => 1,
                End::Kill => 2,
            }] += 1;
        }
    }
    assert!(kinds.iter().all(|kind| *kind > 100), "{kinds:?}");
}
