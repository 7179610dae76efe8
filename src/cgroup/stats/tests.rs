//! The files' forms, by text that kernels have printed.

use super::read::{devices, keys, list, number, page_size};
use super::{BlkioEntry, Stats, v1, v2};

const USAGE_ALL: &str = "cpu user system \n0 1200 34\n1 0 7 \n";
const THROTTLE: &str = "\
8:0 Read 4096
8:0 Write 0
8:0 Sync 4096
8:0 Async 0
8:0 Discard 0
8:0 Total 4096
Total 4096
";
const IO_STAT: &str = "\
8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021
254:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0 cost.usage=5
";
const PRESSURE: &str = "\
some avg10=0.22 avg60=1.00 avg300=0.01 total=58761459
full avg10=0.00 avg60=0.13 avg300=0.00 total=7
";

fn entry(major: u64, minor: u64, op: &str, value: u64) -> BlkioEntry {
    let op = op.to_owned();
    BlkioEntry {
        major,
        minor,
        op,
        value,
    }
}

#[test]
fn cpu_time_of_v1_is_told_by_cpu() {
    let (kernel, user) = v1::by_cpu(USAGE_ALL).unwrap();
    assert_eq!((kernel, user), (vec![34, 7], vec![1200, 0]));
    assert!(v1::by_cpu("").unwrap().0.is_empty());
    let error = v1::by_cpu("cpu user system\n0 1\n")
        .unwrap_err()
        .to_string();
    let expected = "read cpuacct.usage_all: \"0 1\" is not what the kernel documents";
    assert_eq!(error, expected);
}

#[test]
fn lines_of_v1_devices_leave_the_sum_out() {
    let found = devices("f", THROTTLE).unwrap();
    assert_eq!(found.len(), 6);
    assert_eq!(found[0], entry(8, 0, "Read", 4096));
    assert_eq!(found[5], entry(8, 0, "Total", 4096));
    assert_eq!(
        devices("f", "8:16 12\nTotal 12\n").unwrap(),
        [entry(8, 16, "", 12)]
    );
    assert_eq!(devices("f", "Total 0\n").unwrap(), []);
    assert!(devices("f", "8 Read 4\n").is_err());
}

#[test]
fn io_of_v2_is_told_in_the_words_of_v1() {
    let (bytes, operations) = v2::io(IO_STAT).unwrap();
    let expected = [
        entry(8, 0, "Read", 90_430_464),
        entry(8, 0, "Write", 299_008_000),
        entry(254, 16, "Read", 1),
        entry(254, 16, "Write", 2),
    ];
    assert_eq!(bytes, expected);
    assert_eq!(operations[1], entry(8, 0, "Write", 1252));
    assert_eq!(operations.len(), 4);
}

#[test]
fn pressure_has_percents_and_microseconds() {
    let pressure = v2::stalls("cpu.pressure", PRESSURE).unwrap();
    assert_eq!(
        serde_json::to_string(&pressure).unwrap(),
        r#"{"some":{"avg10":0.22,"avg60":1.0,"avg300":0.01,"total":58761459},"full":{"avg10":0.0,"avg60":0.13,"avg300":0.0,"total":7}}"#
    );
    assert!(v2::stalls("cpu.pressure", "some avg10\n").is_err());
}

#[test]
fn keys_and_numbers_are_as_the_kernel_prints_them() {
    let stat = keys("cpu.stat", "usage_usec 7\nnr_periods 0\n").unwrap();
    assert_eq!((stat["usage_usec"], stat["nr_periods"]), (7, 0));
    assert_eq!(number("pids.max", "max").unwrap(), u64::MAX);
    assert!(number("pids.max", "").is_err() && keys("f", "a\n").is_err());
    assert_eq!(list("cpuset.cpus", "0-2,5\n").unwrap(), [0, 1, 2, 5]);
    assert!(list("cpuset.cpus", "\n").unwrap().is_empty());
    assert!(list("cpuset.cpus", "a").is_err());
}

#[test]
fn page_sizes_are_spelled_as_the_controller_does() {
    let of = |name: &str| page_size(name);
    assert_eq!(of("hugepages-2048kB"), Some("2MB".into()));
    assert_eq!(of("hugepages-1048576kB"), Some("1GB".into()));
    assert_eq!(of("hugepages-64kB"), Some("64KB".into()));
    assert_eq!(of("other"), None);
}

#[test]
fn nothing_counted_has_the_members_that_clients_expect() {
    let entry = r#"{"limit":0,"failcnt":0}"#;
    let expected = [
        r#"{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"#,
        r#""mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"#,
        r#""sched_load_balance":0,"sched_relax_domain_level":0},"memory":{"#,
        &format!(r#""usage":{entry},"swap":{entry},"kernel":{entry},"kernelTCP":{entry}}},"#),
        r#""pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}"#,
    ];
    assert_eq!(
        serde_json::to_string(&Stats::default()).unwrap(),
        expected.concat()
    );
}
