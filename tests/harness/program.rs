//! The programs of `tests/programs` that are built once, with the C compiler that links this crate anyway: `call`, which
//! makes system calls by number and has no C library, so that a filter sees only its calls, and `pause`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::Bundle;

/// The bundle with the program in it, which makes these calls (`NUMBER ARGUMENT…` each) and prints each one's raw result.
pub(crate) fn calls(bundle: Bundle, calls: &[&[i64]]) -> Bundle {
    let words = calls.iter().map(|call| {
        call.iter()
            .map(i64::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    });
    raw_calls(bundle, &words.collect::<Vec<_>>().join(" , "))
}

/// The same with the program's arguments as they are: numbers, `=TEXT` for a pointer to text, `int80` or `x32` before a number.
pub(crate) fn raw_calls(bundle: Bundle, arguments: &str) -> Bundle {
    let copy = bundle.rootfs().join("call");
    fs::copy(built(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let args: Vec<&str> = ["/call"].into_iter().chain(arguments.split(' ')).collect();
    bundle.args(&args)
}

fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        compiled(
            "call",
            &["-nostdlib", "-fno-stack-protector", "-fno-builtin"],
        )
    })
}

/// What a pod's sandbox runs, as a static program.
pub(crate) fn pause() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| compiled("pause", &[]))
}

/// Compiles the program of this name with these flags.
fn compiled(name: &str, flags: &[&str]) -> PathBuf {
    let program =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let source = format!("{}/tests/programs/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("cc")
        .args(["-static", "-O1", "-Wall"])
        .args(flags)
        .arg("-o")
        .arg(&program)
        .arg(&source)
        .status()
        .expect("cc, which links Rust programs, is installed");
    assert!(status.success(), "cc cannot build {source}");
    program
}
