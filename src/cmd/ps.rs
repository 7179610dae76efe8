//! `ps`: the processes of a container, as ids or as the lines that ps(1) of the host has for them.

use std::process::{Command, Stdio};

use clap::Args;

use super::list::ListFormat;
use super::{ExitCode, Global, print};
use crate::container;
use crate::error::{Doing, Error, Result, quote};

/// Arguments of `ps`.
#[derive(Debug, Clone, Args)]
pub struct Ps {
    /// For people, or an array of process ids
    #[arg(long, short, value_enum, default_value_t)]
    pub format: ListFormat,
    /// Id of the container, then options of ps(1) [default: -ef]
    // One list, since whatever follows the id belongs to ps(1), even where it looks like a flag of ours.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CONTAINER [OPTIONS OF PS]"
    )]
    pub words: Vec<String>,
}

/// Prints the processes.
///
/// # Errors
/// As [`container::processes`], or ps(1) of the host fails.
pub fn run(global: &Global, args: &Ps) -> Result<ExitCode> {
    let (id, options) = args.words.split_first().expect("clap asks for one");
    let pids = container::processes(&global.store()?.load(id)?)?;
    match args.format {
        ListFormat::Json => print(&serde_json::to_string(&pids).doing(|| "format the list")?)?,
        ListFormat::Table => print(&rows(&host_ps(options)?, &pids)?)?,
    }
    Ok(ExitCode::Done)
}

/// What ps(1) of the host prints.
fn host_ps(options: &[String]) -> Result<String> {
    let options = match options {
        [first, rest @ ..] if first == "--" => rest,
        all => all,
    };
    let doing = || "run ps";
    let mut command = Command::new("ps");
    match options {
        [] => command.arg("-ef"),
        options => command.args(options),
    };
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| Error::new(doing(), cause).hint("install ps, or use --format json"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = said.lines().find(|line| !line.trim().is_empty());
    let said = said.map_or_else(String::new, |line| format!(": {}", quote(line.trim())));
    Err(Error::new(doing(), format!("{}{said}", output.status)))
}

/// The head line, and the lines whose process is one of `pids`.
fn rows(text: &str, pids: &[i32]) -> Result<String> {
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head
        .split_whitespace()
        .position(|title| title == "PID")
        .ok_or_else(|| Error::new("read what ps says", "it has no PID column"))?;
    let is_ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column);
        pid.and_then(|pid| pid.parse().ok())
            .is_some_and(|pid| pids.contains(&pid))
    };
    let shown: Vec<String> = std::iter::once(head)
        .chain(lines.filter(is_ours))
        .map(printable)
        .collect();
    Ok(shown.join("\n"))
}

/// The words of a process's command line are the container's, and a terminal must not act on them.
fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() && c != '\t'
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_the_pid_column_wherever_it_is() {
        let text = "UID        PID  PPID CMD\nroot        12     1 a 13\nroot        13     1 b\u{1b}[31m\n\n";
        let ours = "UID        PID  PPID CMD\nroot        13     1 b\\u{1b}[31m";
        assert_eq!(rows(text, &[13]).unwrap(), ours);
        assert_eq!(
            rows(" PID CMD\n  7 x\n", &[7, 8]).unwrap(),
            " PID CMD\n  7 x"
        );
        assert_eq!(rows(" PID CMD\n  7 x\n", &[]).unwrap(), " PID CMD");
    }

    #[test]
    fn table_without_a_pid_column_is_refused() {
        let error = rows("CMD\nx\n", &[1]).unwrap_err().to_string();
        assert_eq!(error, "read what ps says: it has no PID column");
        assert!(rows("", &[1]).is_err());
    }
}
