//! `exec`: another process in a running container.

use std::path::PathBuf;

use clap::Args;

use super::create::preserved;
use super::{ExitCode, Global, values};
use crate::cgroup::Sub;
use crate::container::{self, Attachment, Execution, Overrides, Paused, Wanted};
use crate::error::{Error, Result};

/// Flags of `exec`.
#[derive(Debug, Clone, Args)]
pub struct Exec {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    /// Program and arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "process",
        conflicts_with = "process"
    )]
    pub command: Vec<String>,
    /// File that describes the process, in place of a command and flags
    // Not at odds with `tty`: Podman's conmon gives both, and the file says whether there is a terminal.
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["cwd", "env", "user",
        "additional_gids", "process_label", "apparmor", "no_new_privs", "cap"])]
    pub process: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// Set a variable
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = values::variable)]
    pub env: Vec<String>,
    /// Run it on a terminal
    #[arg(long, short)]
    pub tty: bool,
    /// User and group, by number or by name in the container
    #[arg(long, short, value_name = "USER[:GROUP]", value_parser = values::user)]
    pub user: Option<String>,
    /// One more group
    #[arg(long, short = 'g', value_name = "GID", value_parser = values::id)]
    pub additional_gids: Vec<u32>,
    /// Return as soon as the program runs
    #[arg(long, short)]
    pub detach: bool,
    /// File to write the process id to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "NAME")]
    pub apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub no_new_privs: Option<bool>,
    /// Add a capability, as far as the container's profile allows it
    #[arg(long, short, value_name = "CAP", value_parser = values::capability)]
    pub cap: Vec<String>,
    /// Pass descriptors 3 to N+2 on, after those of $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Enter a cgroup below the container's
    #[arg(long, value_name = "[CONTROLLER:]PATH", value_parser = Sub::parse)]
    pub cgroup: Vec<Sub>,
    /// Enter a paused container, too, and wait there
    #[arg(long)]
    pub ignore_paused: bool,
    /// Socket that gets the terminal's master end
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Socket that gets a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
}

/// Carries `exec` out; its exit code is the program's.
///
/// # Errors
/// Whatever keeps the program from running; nothing is left of it then.
pub fn run(global: &Global, arguments: &Exec) -> Result<ExitCode> {
    let request = Execution {
        wanted: arguments.wanted(),
        cgroups: arguments.sub_cgroups()?,
        console_socket: arguments.console_socket.clone(),
        pid_file: arguments.pid_file.clone(),
        pidfd_socket: arguments.pidfd_socket.clone(),
        preserve_fds: preserved(arguments.preserve_fds)?,
        attachment: if arguments.detach {
            Attachment::Detached
        } else {
            Attachment::Foreground
        },
        paused: if arguments.ignore_paused {
            Paused::Awaited
        } else {
            Paused::Refused
        },
        program: None,
        streams: None,
    };
    let entry = global.store()?.load(&arguments.id)?;
    let code = container::exec(&entry, &request)?;
    Ok(ExitCode::Program(u8::try_from(code).unwrap_or(u8::MAX)))
}

impl Exec {
    fn wanted(&self) -> Wanted {
        if let Some(file) = &self.process {
            return Wanted::Document(file.clone());
        }
        Wanted::Command(Box::new(Overrides {
            args: self.command.clone(),
            cwd: self.cwd.clone(),
            env: self.env.clone(),
            user: self.user.clone(),
            additional_gids: self.additional_gids.clone(),
            terminal: self.tty,
            process_label: self.process_label.clone(),
            apparmor: self.apparmor.clone(),
            no_new_privileges: self.no_new_privs,
            capabilities: self.cap.clone(),
        }))
    }

    /// Several cgroups are each for other controllers.
    fn sub_cgroups(&self) -> Result<Vec<Sub>> {
        let mut seen: Vec<&String> = Vec::new();
        let is_for_all = |sub: &Sub| sub.controllers.is_empty();
        if self.cgroup.len() > 1 && self.cgroup.iter().any(is_for_all) {
            let cause = "one without a controller is for all of them";
            return Err(Error::new("use --cgroup more than once", cause)
                .hint("name controllers: --cgroup CONTROLLER[,CONTROLLER]:PATH"));
        }
        for name in self.cgroup.iter().flat_map(|sub| &sub.controllers) {
            if seen.contains(&name) {
                let cause = format!("it names the controller {name} twice");
                return Err(Error::new("use --cgroup", cause));
            }
            seen.push(name);
        }
        Ok(self.cgroup.clone())
    }
}
