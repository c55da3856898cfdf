//! What the commands that follow the running kernel share: how much they use, whether they may, what they say first.

use crate::{
    identity::cri::Cri,
    incident::model::Level,
    kernel::{
        host::{
            Host, Known,
            privilege::{Capability, Need},
        },
        load::{HookStatus, Options},
    },
    live::Start,
    note::{note, warn},
};
use anyhow::Result;
use clap::{ArgAction, Args, ValueEnum};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// This process or this machine does not allow it: exit status 3.
#[derive(Debug)]
pub struct NotPermitted(pub String);

impl std::fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotPermitted {}

/// The most that is used of what the kernel allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MaxLevel {
    /// Everything.
    Full,
    /// BPF on tracepoints only, with the kernel's log.
    Tracepoint,
    /// The kernel's log only.
    Kmsg,
}

/// How often the use of memory is sampled; `None`: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleEvery(pub Option<Duration>);

/// What is used.
#[derive(Args, Clone, Debug)]
pub struct UseArgs {
    /// How this machine is called in incidents, if not by its own name: in a pod that is the pod's.
    #[arg(long, value_name = "NAME", env = "OOM_AGENT_NODE_NAME", value_parser = node_name)]
    pub node_name: Option<String>,
    /// How often to sample memory in use, for the growth before a kill: 10s, 1m, or off. Up to six times less often while
    /// nothing changes.
    #[arg(long, value_name = "TIME|off", value_parser = sample_every, default_value = "10s")]
    pub sample_every: SampleEvery,
    /// Ask the container runtime at this socket what its pods are called, or off. Without it: where containerd and CRI-O
    /// listen, if they do. Most names are known from /var/log/pods and /var/log/containers.
    #[arg(long, value_name = "PATH|off")]
    pub cri_socket: Option<PathBuf>,
    /// The highest level to use.
    #[arg(long, value_enum, default_value_t = MaxLevel::Full, help_heading = "Debugging")]
    pub max_level: MaxLevel,
    /// Use kprobes instead of trampolines (fentry, fexit).
    #[arg(long, help_heading = "Debugging", action = ArgAction::Set, value_name = "true|false", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value = "false", hide_possible_values = true)]
    pub no_trampolines: bool,
    /// Show on stderr what the BPF programs themselves say.
    #[arg(long, help_heading = "Debugging", action = ArgAction::Set, value_name = "true|false", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value = "false", hide_possible_values = true)]
    pub bpf_log: bool,
}

impl UseArgs {
    /// What this machine allows, under the name that was given to it.
    pub fn host(&self) -> Host {
        let mut host = Host::read(Path::new("/"));
        if let Some(name) = &self.node_name {
            host.node = Known::Value(name.clone());
        }
        host
    }

    /// For the loader.
    pub fn options(&self) -> Options {
        Options {
            max_level: match self.max_level {
                MaxLevel::Full => Level::Full,
                MaxLevel::Tracepoint => Level::Tracepoint,
                MaxLevel::Kmsg => Level::Kmsg,
            },
            trampolines: !self.no_trampolines,
            bpf_log: self.bpf_log,
            ..Options::default()
        }
    }

    /// The container runtime, if it may be asked.
    pub fn cri(&self) -> Option<Cri> {
        let socket = self.cri_socket.as_deref();
        (socket != Some(Path::new("off"))).then(|| Cri::new(Path::new("/"), socket))
    }

    /// Whether this process may do what it takes. `command`: its name, for the advice.
    ///
    /// # Errors
    /// [`NotPermitted`].
    pub fn permitted(&self, host: &Host, command: &str) -> Result<()> {
        let need = if self.max_level == MaxLevel::Kmsg { Need::KernelLog } else { Need::BpfTracing };
        let missing = host.missing_for(need).unwrap_or_default();
        if missing.is_empty() {
            return Ok(());
        }
        let names = |capabilities: &[Capability]| {
            capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
        };
        let log = host.missing_for(Need::KernelLog).unwrap_or_default();
        let more = if need == Need::BpfTracing && !log.is_empty() {
            format!(" Where only tracepoints can be used, {} is needed as well.", names(&log))
        } else {
            String::new()
        };
        let names = names(&missing);
        Err(NotPermitted(format!("not permitted: {names} missing.{more} Run it as root (sudo oom-agent {command}); `oom-agent doctor` says what else helps."))
            .into())
    }
}

/// One line on stderr, so that an operator knows that it works and what it sees.
pub fn announce(start: &Start, host: &Host, after: Duration, how_to_end: &str) {
    let kernel = host.kernel_release.value().map_or("?", String::as_str);
    note(&format!(
        "tracing OOM kills on Linux {kernel}: {}{} (ready after {} ms; {how_to_end})",
        sees(start.level),
        kinds(&start.hooks),
        after.as_millis()
    ));
    for warning in &start.warnings {
        warn(warning);
    }
    if start.level != Level::Full {
        note("`oom-agent doctor` says why not more");
    }
}

/// A level in words.
pub const fn sees(level: Level) -> &'static str {
    match level {
        Level::Full => "everything",
        Level::Tracepoint => "victims and reclaim by BPF, the rest by the kernel's log",
        Level::Kmsg | Level::Log => "only what the kernel's log says",
    }
}

fn kinds(hooks: &[HookStatus]) -> String {
    let mut kinds: Vec<_> = hooks.iter().filter_map(|hook| hook.used).collect();
    kinds.sort_unstable();
    kinds.dedup();
    match kinds[..] {
        [] => String::new(),
        _ => format!(", {}", kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and ")),
    }
}

/// A time as an argument.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration =
        text.parse().map_err(|_| "not a time such as 30s, 5m or 1h30m".to_owned())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than nothing".into()),
    }
}

/// A name as the kernel's own may be (`__NEW_UTS_LEN`) or a DNS name, which is what Kubernetes has.
fn node_name(text: &str) -> Result<String, String> {
    if (1..=253).contains(&text.len()) { Ok(text.to_owned()) } else { Err("must have 1 to 253 bytes".into()) }
}

fn sample_every(text: &str) -> Result<SampleEvery, String> {
    if text == "off" {
        return Ok(SampleEvery(None));
    }
    let every = duration(text).map_err(|error| format!("{error}; or off"))?;
    if (Duration::from_secs(1)..=Duration::from_hours(1)).contains(&every) {
        Ok(SampleEvery(Some(every)))
    } else {
        Err("must be between 1s and 1h, or off".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_positive() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        for wrong in ["0s", "-3s", "", "soon", "30"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_node_may_be_given_its_name() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            uses: UseArgs,
        }
        let host = |args: &[&str]| <Cli as clap::Parser>::try_parse_from(args).unwrap().uses.host();
        assert_eq!(host(&["x", "--node-name", "node-7"]).node, Known::Value("node-7".to_owned()));
        assert_eq!(host(&["x"]).node, Host::read(Path::new("/")).node);
        assert!(node_name("").is_err() && node_name(&"n".repeat(254)).is_err());
    }

    #[test]
    fn samples_are_not_too_close() {
        assert_eq!(sample_every("off"), Ok(SampleEvery(None)));
        assert_eq!(sample_every("10s"), Ok(SampleEvery(Some(Duration::from_secs(10)))));
        for wrong in ["0s", "999ms", "2h", "never", ""] {
            assert!(sample_every(wrong).is_err(), "{wrong}");
        }
    }
}
