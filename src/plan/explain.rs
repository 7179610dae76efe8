//! From a failure of the child, four numbers, to an error in words.
//! What a step is called is in `show`.

use super::show::{DENIES_EXECVE, LANDLOCK, parameter_words};
use super::{Call, Difference, Failure, Plan, Source, Step};
use crate::error::{Error, Kind, errno_words, quote};
use crate::names::{self, mount};

/// `SCHED_DEADLINE` (sched(7)).
const DEADLINE: u32 = libc::SCHED_DEADLINE as u32;

impl Plan {
    /// The error that a failure of the child means, with what only the plan knows: which option of a mount it was.
    pub fn explain(&self, failure: &Failure, said: Option<&str>) -> Error {
        let error = explain(failure, &self.subjects(), &self.program_name(), said);
        let step = self.steps().nth(failure.step as usize);
        match (step, Call::from_number(failure.call)) {
            (Some(step @ Step::Mount(mount)), Some(Call::Fsconfig)) => match &mount.source {
                Source::Filesystem(filesystem) => {
                    let option = parameter_words(filesystem)
                        .into_iter()
                        .nth(failure.detail as usize);
                    let cause = errno_words(failure.errno);
                    Error::new(
                        self.subject(step),
                        format!("option {}: {cause}", quote(option.unwrap_or_default())),
                    )
                }
                _ => error,
            },
            (Some(Step::Mount(mount)), Some(Call::MountSetattr))
                if failure.errno == libc::EPERM =>
            {
                let cleared = mount::attribute_words(
                    mount.attributes.mount.clear | mount.attributes.tree.clear,
                );
                if cleared.is_empty() {
                    return error;
                }
                error.hint(format!(
                    "in a user namespace the flags that a mount came with are locked: {} cannot be taken off",
                    cleared.join(", ")
                ))
            }
            (Some(Step::Terminal(_)), _) if failure.errno == Difference::NoDevpts as i32 => {
                error.hint("a terminal needs a mount of type devpts on /dev/pts")
            }
            (Some(step @ Step::Landlock), Some(Call::Openat2 | Call::LandlockAddRule)) => {
                self.explain_tree(step, failure).unwrap_or(error)
            }
            (Some(Step::Scheduler(scheduling)), _)
                if failure.errno == libc::EPERM && scheduling.policy == DEADLINE =>
            {
                error.hint(
                    "process scheduler can't be used together with AllowedCPUs: SCHED_DEADLINE needs every CPU, leave out linux.resources.cpu.cpus",
                )
            }
            (Some(Step::Label { field, .. }), _) if failure.errno == libc::ENOENT => {
                error.hint(format!("load the profile, or change process.{field}"))
            }
            _ => error,
        }
    }

    /// Which path of the Landlock rules it was.
    fn explain_tree(&self, step: &Step, failure: &Failure) -> Option<Error> {
        let trees = &self.landlock.as_ref()?.trees;
        let path = quote(trees.get(failure.detail as usize)?.path.to_bytes());
        let call = Call::from_number(failure.call)?.name();
        let cause = errno_words(failure.errno);
        let subject = self.subject(step);
        Some(Error::new(subject, format!("{path}: {call}: {cause}")))
    }
}

/// What callers of other runtimes look for when a hook fails; the subject is that of a hook's step.
fn known_words(subject: &str) -> String {
    let hook = subject
        .strip_prefix("run hooks.")
        .and_then(|hook| hook.split_once('['))
        .and_then(|(kind, rest)| Some((kind, rest.split_once(']')?.0)));
    hook.map_or_else(String::new, |(kind, index)| {
        format!("error running {kind} hook #{index}: ")
    })
}

/// The error that a failure of the child means. `subjects` are the steps' words, `said` what a hook wrote, or the
/// interpreter that a script names.
pub fn explain(failure: &Failure, subjects: &[String], program: &str, said: Option<&str>) -> Error {
    let subject = subjects
        .get(failure.step as usize)
        .map_or("init", String::as_str);
    let cause =
        Difference::words(failure.errno).map_or_else(|| errno_words(failure.errno), str::to_owned);
    match Call::from_number(failure.call) {
        Some(Call::Access) => cannot_execute(program, failure.errno),
        Some(Call::Execve) if failure.errno == libc::ENOENT => no_interpreter(program, said),
        Some(Call::Execve)
            if failure.errno == libc::EACCES && subjects.iter().any(|act| act == LANDLOCK) =>
        {
            not_allowed(program)
        }
        Some(Call::Execve) if subjects.iter().any(|act| act.ends_with(DENIES_EXECVE)) => {
            denied(program, subjects, failure.errno)
        }
        Some(Call::Execve) => cannot_execute(program, failure.errno).during_exec(failure.errno),
        _ if failure.errno == Difference::HookFailed as i32 => {
            let how = if failure.detail < 256 {
                format!("exited with {}", failure.detail)
            } else {
                let signal = i32::try_from(failure.detail - 256).unwrap_or(0);
                format!("was killed by {}", names::signal_words(signal))
            };
            let said = said.map_or_else(String::new, |said| format!(": {}", quote(said)));
            Error::new(subject, format!("{}{how}{said}", known_words(subject)))
        }
        _ if failure.errno == Difference::HookTimeout as i32 => {
            Error::new(subject, format!("{}{cause}", known_words(subject)))
        }
        Some(call) if failure.errno > 0 => Error::new(subject, format!("{}: {cause}", call.name())),
        _ => Error::new(subject, cause),
    }
}

impl Error {
    /// What a failed execve(2) of a program that was found adds.
    fn during_exec(self, errno: i32) -> Self {
        match errno {
            libc::ENOEXEC => {
                self.hint("neither a program for this machine nor a script with a #! line")
            }
            libc::EPERM | libc::ENOSYS => {
                self.hint("if a seccomp profile denies execve, no program can start")
            }
            _ => self,
        }
    }
}

/// The program was found before, so what does not exist is what it names to run it.
fn no_interpreter(program: &str, interpreter: Option<&str>) -> Error {
    let missing = interpreter.map_or_else(
        || "the interpreter that it names is missing".to_owned(),
        |interpreter| format!("its interpreter {} is missing", quote(interpreter)),
    );
    let words = errno_words(libc::ENOENT);
    Error::new(
        format!("execute {}", quote(program)),
        format!("{missing}: {words}"),
    )
    .kind(Kind::NotFound)
}

/// The program was found executable before the rules held, so they are what refuses it, or what it names to run it.
fn not_allowed(program: &str) -> Error {
    cannot_execute(program, libc::EACCES).hint(
        "the profile's landlock.execute and landlock.read must allow the program and what runs it, \
         by paths without symbolic links: the interpreter of a #! line, and the dynamic linker",
    )
}

/// A filter denies execve(2) whatever program it is for: no other reason is looked at by the kernel.
fn denied(program: &str, subjects: &[String], errno: i32) -> Error {
    let filter = subjects.iter().find_map(|act| {
        let act = act.strip_suffix(DENIES_EXECVE)?;
        act.strip_prefix("install ")
    });
    let filter = filter.unwrap_or("the seccomp filter");
    let words = errno_words(errno);
    Error::new(
        format!("execute {}", quote(program)),
        format!("denied by {filter}: execve: {words}"),
    )
    .kind(Kind::NotExecutable)
    .hint("allow execve there: without it no program can start")
}

/// The texts in which clients look for the reason: `executable file not found`, `permission denied`.
fn cannot_execute(program: &str, errno: i32) -> Error {
    let program = quote(program);
    let words = errno_words(errno);
    match errno {
        libc::ENOENT => Error::new(
            format!("execute {program}"),
            format!("executable file not found in the container: {words}"),
        )
        .kind(Kind::NotFound),
        libc::EISDIR => Error::new(
            format!("execute {program}"),
            format!("permission denied: {words}"),
        )
        .kind(Kind::NotExecutable),
        _ => Error::new(format!("execute {program}"), words).kind(Kind::NotExecutable),
    }
}
