//! The program `stockade`: seals itself, carries one verb out, ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(stockade::cli::main(std::env::args_os()).number())
}
