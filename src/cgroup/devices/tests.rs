//! Tests of `devices`: the v1 list and the eBPF program against the meaning of the rules.

use proptest::prelude::*;

use super::*;

/// Runs a program as the kernel does, for the instructions that `device_program` uses.
fn run(program: &[Instruction], asked: (i32, u8, u32, u32)) -> bool {
    let (kind, access, major, minor) = asked;
    let memory = [
        (i64::from(kernel_access(access)) << 16) | i64::from(kind),
        major.into(),
        minor.into(),
    ];
    let mut registers = [0i64; 11];
    let mut next = 0usize;
    loop {
        let Instruction {
            code,
            registers: pair,
            offset,
            immediate,
        } = program[next];
        let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
        let constant = i64::from(immediate);
        next += 1;
        let mut jump = |is_taken: bool| next += if is_taken { offset as usize } else { 0 };
        match code {
            LOAD_WORD => registers[to] = memory[offset as usize / 4],
            MOVE => registers[to] = constant,
            MOVE_REGISTER => registers[to] = registers[from],
            AND => registers[to] &= constant,
            SHIFT_RIGHT => registers[to] = ((registers[to] as u64) >> constant) as i64,
            JUMP_EQUAL => jump(registers[to] == constant),
            JUMP_NOT_EQUAL => jump(registers[to] != constant),
            EXIT => return registers[0] == 1,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

/// The meaning: for each kind of access, the last rule that matches.
fn meaning(rules: &[DeviceRule], (kind, access, major, minor): (i32, u8, u32, u32)) -> bool {
    let rules = parse(rules).unwrap();
    let asked = Devices {
        block: kind == BLOCK_DEVICE,
        char: kind == CHAR_DEVICE,
        major: Some(major),
        minor: Some(minor),
    };
    [READ, WRITE, MKNOD]
        .iter()
        .filter(|bit| access & **bit != 0)
        .all(|bit| {
            let mut matching = rules
                .iter()
                .rev()
                .filter(|r| r.devices.contains(&asked) && r.access & bit != 0);
            matching.next().is_some_and(|rule| rule.allow)
        })
}

/// What the kernel answers from a v1 list: an exception must cover (or, to deny, meet) the whole of what is asked.
fn listed(
    writes: &[(&'static str, String)],
    (kind, access, major, minor): (i32, u8, u32, u32),
) -> bool {
    let allow = writes[0].0 == "devices.allow";
    [READ, WRITE, MKNOD]
        .iter()
        .filter(|bit| access & **bit != 0)
        .all(|bit| {
            let found = writes[1..].iter().any(|(_, line)| {
                let parts: Vec<&str> = line.split([' ', ':']).collect();
                let number = |text: &str, n: u32| text == "*" || text == n.to_string();
                let letter = ['r', 'w', 'm'][bit.trailing_zeros() as usize];
                parts[0] == if kind == BLOCK_DEVICE { "b" } else { "c" }
                    && number(parts[1], major)
                    && number(parts[2], minor)
                    && parts[3].contains(letter)
            });
            found != allow
        })
}

fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
    DeviceRule {
        allow,
        kind: Some(kind.into()),
        major: Some(major),
        minor: Some(minor),
        access: Some(access.into()),
    }
}

fn any_rule() -> impl Strategy<Value = DeviceRule> {
    let access = prop::sample::select(vec!["r", "w", "m", "rw", "rm", "wm", "rwm", ""]);
    let kind = prop::sample::select(vec!["a", "b", "c"]);
    (any::<bool>(), kind, -1..3i64, -1..3i64, access)
        .prop_map(|(allow, kind, major, minor, access)| rule(allow, kind, major, minor, access))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn program_and_list_mean_what_the_rules_mean(rules in prop::collection::vec(any_rule(), 0..8)) {
        let program = device_program(&rules).unwrap();
        let list = device_list(&rules);
        for kind in [BLOCK_DEVICE, CHAR_DEVICE] {
            for access in 1..=ALL {
                for (major, minor) in [(0, 0), (0, 1), (1, 0), (1, 2), (2, 2), (7, 1)] {
                    let asked = (kind, access, major, minor);
                    prop_assert_eq!(run(&program, asked), meaning(&rules, asked), "program {:?}", asked);
                    if let Ok(list) = &list {
                        prop_assert_eq!(listed(list, asked), meaning(&rules, asked), "list {:?}", asked);
                    }
                }
            }
        }
    }
}

#[test]
fn default_rules_are_this_v1_list() {
    let rules = device_rules(&[rule(false, "a", -1, -1, "rwm")], &[]);
    let list: Vec<String> = device_list(&rules)
        .unwrap()
        .into_iter()
        .map(|(file, line)| format!("{} {line}", file.trim_start_matches("devices.")))
        .collect();
    assert_eq!(
        list,
        [
            "deny a",
            "allow c *:* m",
            "allow b *:* m",
            "allow c 1:3 rwm",
            "allow c 1:8 rwm",
            "allow c 1:7 rwm",
            "allow c 5:0 rwm",
            "allow c 1:5 rwm",
            "allow c 1:9 rwm",
            "allow c 136:* rwm",
            "allow c 5:2 rwm",
        ]
    );
}

#[test]
fn no_rule_denies_everything() {
    assert_eq!(
        device_list(&[]).unwrap(),
        [("devices.deny", "a".to_owned())]
    );
    let program = device_program(&[]).unwrap();
    assert!(!run(&program, (CHAR_DEVICE, READ, 1, 3)));
}

#[test]
fn defaults_come_last_and_give_way_to_a_replaced_node() {
    let null = Device {
        path: "/dev/null".into(),
        kind: "c".into(),
        major: 9,
        minor: 9,
        ..Device::default()
    };
    let rules = device_rules(&[rule(false, "a", -1, -1, "rwm")], &[null]);
    assert!(!rules[0].allow);
    assert_eq!(rules.len(), DEFAULT.len());
    assert!(
        !rules
            .iter()
            .any(|rule| rule.major == Some(1) && rule.minor == Some(3))
    );
}

#[test]
fn disks_and_memory_stay_closed_by_default() {
    let program = device_program(&device_rules(&[], &[])).unwrap();
    assert!(!run(&program, (BLOCK_DEVICE, READ, 8, 0)), "sda");
    assert!(!run(&program, (CHAR_DEVICE, READ, 1, 1)), "mem");
    assert!(!run(&program, (CHAR_DEVICE, READ | WRITE, 10, 200)), "tun");
    assert!(run(&program, (CHAR_DEVICE, READ | WRITE, 1, 3)), "null");
    assert!(run(&program, (CHAR_DEVICE, READ | WRITE, 136, 7)), "pts");
}

#[test]
fn nothing_follows_a_rule_for_everything() {
    let rules = [
        rule(true, "c", 1, 3, "rwm"),
        rule(false, "a", -1, -1, "rwm"),
    ];
    let program = device_program(&rules).unwrap();
    assert_eq!(program.len(), 8);
    assert_eq!(program[7].code, EXIT);
}

#[test]
fn exception_that_v1_cannot_make_is_refused() {
    let rules = [rule(true, "c", 1, -1, "rwm"), rule(false, "c", 1, 3, "w")];
    assert_eq!(
        device_list(&rules).unwrap_err().to_string(),
        "linux.resources.devices[1]: cgroup v1 cannot make an exception of an earlier rule for more devices"
    );
}

#[test]
fn malformed_rules_are_named() {
    for (rule, message) in [
        (rule(true, "x", 1, 3, "r"), "type: \"x\" is no such thing"),
        (
            rule(true, "c", 4096, 3, "r"),
            "major: \"4096\" is no such thing",
        ),
        (
            rule(true, "c", 1, -2, "r"),
            "minor: \"-2\" is no such thing",
        ),
        (
            rule(true, "c", 1, 3, "rx"),
            "access: \"rx\" is no such thing",
        ),
    ] {
        let error = device_program(&[rule]).unwrap_err().to_string();
        assert_eq!(error, format!("linux.resources.devices[0].{message}"));
    }
}

#[test]
fn a_rule_that_denies_all_access_by_its_letter_denies_all_of_it() {
    let rule = |access: &str| DeviceRule {
        allow: false,
        kind: Some("c".to_owned()),
        major: Some(1),
        minor: Some(11),
        access: Some(access.to_owned()),
    };
    let parsed = parse(&[rule("rwa"), rule("a")]).unwrap();
    assert!(parsed.iter().all(|rule| rule.access == ALL));
}
