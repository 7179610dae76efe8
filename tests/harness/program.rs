//! The programs of `tests/programs` that are built once, with the C compiler that links this crate anyway: `call`, which
//! makes system calls by number and has no C library, so that a filter sees only its calls, and `pause`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Bundle;
use super::rootfs::copy_program;

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
    copy_program(built(), &copy);
    let args: Vec<&str> = ["/call"].into_iter().chain(arguments.split(' ')).collect();
    bundle.args(&args)
}

const CC: &str = "cc, which links Rust programs, is installed";

fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| compiled("call").expect(CC))
}

/// A program of `tests/programs`: from the directory `STOCKADE_TEST_PROGRAMS`, or built here if there is a C compiler.
pub(crate) fn compiled(name: &str) -> Option<PathBuf> {
    if let Some(programs) = std::env::var_os("STOCKADE_TEST_PROGRAMS") {
        return Some(Path::new(&programs).join(name));
    }
    let program =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/build");
    let status = Command::new(build).arg(name).arg(&program).status();
    status
        .is_ok_and(|status| status.success())
        .then_some(program)
}

/// What a pod's sandbox runs, as a static program.
pub(crate) fn pause() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| compiled("pause").expect(CC))
}
