//! `update`: new limits for a container, by flags or as a `linux.resources` in JSON.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::values::limit;
use super::{ExitCode, Global};
use crate::container;
use crate::error::{Doing, Error, Result, quote_path};
use crate::spec::{self, BlockIo, Cpu, Memory, Pids, Resources};

/// More than any resources need.
const LARGEST_FILE: u64 = 4 << 20;

/// Arguments of `update`.
#[derive(Debug, Clone, Args)]
pub struct Update {
    /// Id of the container
    #[arg(value_name = "CONTAINER")]
    pub id: String,
    /// File with linux.resources as in config.json, or - for standard input; other flags are not read then
    #[arg(long, short, value_name = "FILE|-")]
    pub resources: Option<PathBuf>,
    /// Memory limit in bytes or as a size such as 64M; -1 is none
    #[arg(long, value_name = "SIZE", value_parser = limit, allow_hyphen_values = true)]
    pub memory: Option<i64>,
    /// Limit of memory and swap together; -1 is none
    #[arg(long, value_name = "SIZE", value_parser = limit, allow_hyphen_values = true)]
    pub memory_swap: Option<i64>,
    /// Memory that is left to it when memory is short
    #[arg(long, value_name = "SIZE", value_parser = limit, allow_hyphen_values = true)]
    pub memory_reservation: Option<i64>,
    /// Limit of the kernel's memory, which Linux no longer has
    #[arg(long, value_name = "SIZE", value_parser = limit, allow_hyphen_values = true, hide = true)]
    pub kernel_memory: Option<i64>,
    /// Limit of TCP buffers (cgroup v1)
    #[arg(long, value_name = "SIZE", value_parser = limit, allow_hyphen_values = true, hide = true)]
    pub kernel_memory_tcp: Option<i64>,
    /// CPU time in each period, in microseconds; -1 is no limit
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// Period of the quota, in microseconds
    #[arg(long, value_name = "TIME")]
    pub cpu_period: Option<u64>,
    /// CPU time that may be saved up for later periods, in microseconds
    #[arg(long, value_name = "TIME")]
    pub cpu_burst: Option<u64>,
    /// Relative weight among others, 2 to 262144
    #[arg(long, value_name = "NUMBER")]
    pub cpu_share: Option<u64>,
    /// Real-time CPU time in each period, in microseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// Period of that, in microseconds
    #[arg(long, value_name = "TIME")]
    pub cpu_rt_period: Option<u64>,
    /// 1 to run only when nobody else wants to, 0 not to
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,
    /// CPUs to use, such as 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Relative weight for block devices, 10 to 1000
    #[arg(long, value_name = "NUMBER")]
    pub blkio_weight: Option<u16>,
    /// How many processes and threads there may be; -1 is no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Refused: Intel RDT is not supported
    #[arg(long, hide = true)]
    pub l3_cache_schema: Option<String>,
    /// Refused: Intel RDT is not supported
    #[arg(long, hide = true)]
    pub mem_bw_schema: Option<String>,
}

/// Changes the limits.
///
/// # Errors
/// As [`container::update`], and for resources that cannot be read.
pub fn run(global: &Global, args: &Update) -> Result<ExitCode> {
    for (flag, schema) in [
        ("--l3-cache-schema", &args.l3_cache_schema),
        ("--mem-bw-schema", &args.mem_bw_schema),
    ] {
        if schema.as_ref().is_some_and(|schema| !schema.is_empty()) {
            return Err(Error::new(
                format!("use {flag}"),
                "Intel RDT is not supported",
            ));
        }
    }
    let entry = global.store()?.load(&args.id)?;
    let change = match &args.resources {
        Some(path) => read(path)?,
        None => args.by_flags(),
    };
    container::update(&entry, &change)?;
    Ok(ExitCode::Done)
}

fn read(path: &Path) -> Result<Resources> {
    let is_input = path == Path::new("-");
    let name = if is_input {
        "standard input".into()
    } else {
        path.to_string_lossy()
    };
    let doing = || format!("read resources from {}", quote_path(Path::new(&*name)));
    let mut text = Vec::new();
    let source: Box<dyn Read> = if is_input {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).doing(doing)?)
    };
    source
        .take(LARGEST_FILE)
        .read_to_end(&mut text)
        .doing(doing)?;
    spec::parse_resources(&text, &name)
}

impl Update {
    fn by_flags(&self) -> Resources {
        Resources {
            memory: Some(Memory {
                limit: self.memory,
                swap: self.memory_swap,
                reservation: self.memory_reservation,
                kernel: self.kernel_memory,
                kernel_tcp: self.kernel_memory_tcp,
                ..Memory::default()
            })
            .filter(|memory| *memory != Memory::default()),
            cpu: Some(Cpu {
                shares: self.cpu_share,
                quota: self.cpu_quota,
                burst: self.cpu_burst,
                period: self.cpu_period,
                realtime_runtime: self.cpu_rt_runtime,
                realtime_period: self.cpu_rt_period,
                cpus: self.cpuset_cpus.clone(),
                mems: self.cpuset_mems.clone(),
                idle: self.cpu_idle,
            })
            .filter(|cpu| *cpu != Cpu::default()),
            block_io: self.blkio_weight.map(|weight| BlockIo {
                weight: Some(weight),
                ..BlockIo::default()
            }),
            pids: self.pids_limit.map(|limit| Pids { limit: Some(limit) }),
            ..Resources::default()
        }
    }
}
