//! `oom-agent run`: the daemon. Incidents are stored, then they become metrics, and whoever asks by HTTP is told.
//!
//! One thread. Nothing is locked: the loop here owns everything, and HTTP asks it. The sampler is the only thing that runs by
//! the clock; timers besides are for lines held back in a storm, for a disk that refuses, and for connections.
//!
//! # Layout
//! - [`RunArgs`]: its arguments. `config`: the same from a file.
//! - `daemon`: what is done with an incident and answered to a question.
//! - `counted`: what the kernel counted, and what was told.
//! - `recovery`: what happened while it did not run.
//! - `kube`: Kubernetes' API server, where there is one.
//! - `next`: who would be killed next.
//! - `outgoing`: what is sent to a collector.
//! - `notify`: what the service manager is told.
//! - `reload`: what a reload changes.
//! - `calm`: a storm is not a storm of log lines.
//! - `texts`: how many texts may wait for slow readers.

mod calm;
mod config;
mod counted;
mod daemon;
mod kube;
mod next;
mod notify;
mod outgoing;
mod recovery;
mod reload;
mod texts;

use crate::{
    kernel::{
        host::Host,
        load::{Ahead, Options},
    },
    live::{Before, Live},
    note::{self, LogFormat, LogLevel, log_to_stderr, note, warn},
    otlp::{Environment, OtlpArgs, Settings, Target},
    print, resident,
    sandbox::{Files, confine},
    startup::{NotPermitted, UseArgs, announce, duration},
    store::{Retention, STATE_DIR, Store},
    web::{self, Access, Patience, Server},
};
use anyhow::{Context as _, Result};
use clap::{ArgAction, ArgMatches, Args};
use config::Config;
use daemon::Daemon;
use kube::Kube;
use notify::Manager;
use outgoing::{Asks, Outgoing};
use recovery::Recovery;
use reload::Reload;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::yield_now,
};

/// Requests that wait for the daemon; others wait to be among them.
const QUESTIONS: usize = 16;

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
HTTP: / for people, /metrics for Prometheus, /healthz (it is alive), /readyz (it sees OOM kills, and how much of them),
/api/v1/incidents, /api/v1/incidents/ID, /api/v1/rank, /api/v1/events (JSON; see /api/v1/openapi.json).

Exit status: 0 ended by SIGTERM or SIGINT, 1 failed, 2 usage, 3 not permitted or not supported here.")]
pub struct RunArgs {
    /// A TOML file whose keys are the names of these flags; flags win. It is read again at SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what is in effect, as such a file, and end.
    #[arg(long)]
    pub print_config: bool,
    /// Where HTTP is answered. Port 0: one that is free; stderr says which.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9758")]
    pub listen: SocketAddr,
    /// TLS and passwords: the file that Prometheus' exporters share (`web.config.file`). Read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub web_config: Option<PathBuf>,
    /// A token that is needed for everything but /metrics, /healthz and /readyz: as Bearer, or as the password of Basic.
    #[arg(long, value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
    /// Where incidents are stored, for `oom-agent incidents`.
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,
    /// Incidents older than this are dropped: 90d, 12h.
    #[arg(long, value_name = "TIME", value_parser = age, default_value = "90d")]
    pub keep: Duration,
    /// The store is kept below so many MiB; the oldest incidents are dropped.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_048_576), default_value_t = 64)]
    pub keep_mib: u64,
    /// Kubernetes' API server, for workloads, labels and limits of pods and for Events on them: a kubeconfig, or off. Without
    /// it: in a pod that has a token of its service account, the cluster around it.
    #[arg(long, value_name = "FILE|off")]
    pub kube_api: Option<PathBuf>,
    /// A label of pods that incidents have too; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = kube::label)]
    pub kube_label: Vec<String>,
    /// Write no Events on pods and nodes.
    #[arg(long, action = ArgAction::Set, value_name = "true|false", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_possible_values = true)]
    pub no_kube_events: bool,
    /// How lines of the log on stderr are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// How much is logged on stderr.
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// What is used.
    #[command(flatten)]
    pub uses: UseArgs,
    /// Where incidents are sent.
    #[command(flatten)]
    pub otlp: OtlpArgs,
    /// Keep privileges, and access to all files and system calls, after the start.
    #[arg(long, help_heading = "Debugging", action = ArgAction::Set, value_name = "true|false", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value = "false", hide_possible_values = true)]
    pub no_sandbox: bool,
}

/// Runs the command until its end. `matches`: those of [`RunArgs`]. `ahead`: what is begun already.
///
/// # Errors
/// [`Usage`](crate::explain::Usage) for a configuration that cannot be used, [`NotPermitted`] where privileges are missing or neither BPF nor the kernel's log can be used; anything else failed.
pub fn run(matches: &ArgMatches, ahead: Ahead) -> Result<()> {
    let config = Config::new(matches)?;
    if matches.get_flag("print_config") {
        // Whoever reads it may stop early.
        let otel = Environment(&|name| std::env::var(name).ok()).names();
        let _ = print::write(&config.print(&otel))?;
        return Ok(());
    }
    let args = &config.args;
    note::set(args.log_format, args.log_level);
    let otlp = Settings::new(&args.otlp, &Environment(&|name| std::env::var(name).ok()))?;
    let host = args.uses.host();
    args.uses.permitted(&host, "run")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let done = runtime.block_on(start(config, otlp, &host, ahead));
    // Without waiting for whoever is still connected.
    runtime.shutdown_background();
    done
}

async fn start(config: Config, otlp: Option<Settings>, host: &Host, ahead: Ahead) -> Result<()> {
    let began = Instant::now();
    let mut reload = Reload::new(config, host)?;
    let args = &reload.config.args;
    if args.uses.bpf_log {
        log_to_stderr();
    }
    // Before anything else: a signal during the start must end it cleanly too.
    let mut end = End {
        interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
    };
    let manager = Manager::find()?;
    let otlp = otlp.map(Target::open).transpose().context("incidents could not be sent")?;
    let access = Arc::new(Access::open(args.web_config.as_deref(), args.api_token_file.as_deref())?);
    // Then what a second agent fails at, before it has attached anything. Who connects now is answered after the start.
    let listener = web::listen(args.listen)?;
    let address = web::address(&listener)?;
    let queue = otlp.as_ref().map(|otlp| otlp.settings.queue);
    let (mut store, mut messages) = Store::open_with(&args.state_dir, retention(args), queue)
        .with_context(|| format!("cannot use the store in {}", args.state_dir.display()))?;
    let mut recovery = Recovery::new(&mut store, host);
    let since = recovery.as_ref().and_then(Recovery::since);
    let wanted = recovery.is_some();
    let mut tell = |incident| {
        if let Some(recovery) = &mut recovery {
            recovery.take(incident);
        }
    };
    let before = wanted.then_some(Before { since, tell: &mut tell });
    let kube = Kube::open(args, host, &mut messages)?;
    let names = (args.uses.cri(), kube.pods(args));
    // Threads would keep their privileges.
    let options = Options { alone: true, ..args.uses.options() };
    let (mut live, start) = Live::start(host, &options, ahead, before, args.uses.sample_every.0, names)
        .map_err(|error| NotPermitted(format!("not supported here: {error:#}")))?;
    let found = recovery.map(|recovery| recovery.finish(start.read));
    let mut daemon = Daemon::new(&start, host, store, kube.events(args))?;
    resident::settle();
    resident::reserve();
    let unprotected = [resident::lock(), resident::exempt()];
    daemon.confined = if args.no_sandbox {
        "not confined (no-sandbox)".to_owned()
    } else {
        let files = files(&reload.config, &access, &kube, otlp.as_ref().map(|otlp| &otlp.settings));
        let confined = confine(&files, live.reads_whole_log(), || live.reads_maps());
        messages.extend(confined.lacks());
        format!("confined: {confined}")
    };
    announce(&start, host, began.elapsed(), "SIGTERM ends");
    note(&daemon.confined);
    for message in messages.iter().chain(unprotected.iter().filter_map(|it| it.as_ref().err())) {
        warn(message);
    }
    if let Some(found) = &found {
        found.say();
    }
    daemon.begin(found, &mut live);
    let mut asks = None;
    if let Some(otlp) = otlp {
        let (outgoing, questions) = Outgoing::start(otlp, host)?;
        outgoing.announce();
        (daemon.outgoing, asks) = (Some(outgoing), Some(questions));
    }
    let scheme = if access.encrypts() { "https" } else { "http" };
    access.warnings(address).iter().for_each(|warning| warn(warning));
    note(&format!("listening on {scheme}://{address}: / for people, /metrics, /healthz, /readyz, /api/v1"));
    manager.ready(&daemon.status());
    let done =
        watch(&mut live, &mut daemon, &mut asks, (listener, access), &mut end, &mut reload, &manager).await;
    manager.stopping();
    let pending = live.finish();
    for incident in &pending {
        // Where to go on is only known after the last of them.
        daemon.incident(incident, None);
    }
    daemon.send_rest(&mut asks).await;
    daemon.farewell(began.elapsed(), &mut live);
    done
}

/// Until a signal comes, or a source breaks.
async fn watch(
    live: &mut Live,
    daemon: &mut Daemon,
    asks: &mut Asks,
    (listener, access): (TcpListener, Arc<Access>),
    end: &mut End,
    reload: &mut Reload<'_>,
    manager: &Manager,
) -> Result<()> {
    let (sender, mut questions) = mpsc::channel(QUESTIONS);
    let server = Server::new(sender, daemon.news(), Arc::clone(&access), Patience::default())?;
    tokio::spawn(web::serve(listener, server.clone()));
    // This loop is what has to be alive, so nobody else says so.
    let mut alive = Instant::now();
    loop {
        tokio::select! {
            incident = live.next() => {
                match incident? {
                    Some(incident) if daemon.incident(&incident, live.position()) => {
                        manager.status(&daemon.status());
                    }
                    Some(_) => {}
                    None => daemon.read_on(live),
                }
                // In a storm the next one is there already: connections have their turn too.
                yield_now().await;
            }
            Some(ask) = questions.recv() => daemon.answer(ask, live, server.counts()),
            ask = outgoing::next(asks) => daemon.answer_sender(ask),
            () = manager.pulse(alive) => {
                manager.alive();
                alive = Instant::now();
            }
            () = daemon.held_back() => {
                daemon.say_held_back();
                manager.status(&daemon.status());
            }
            () = daemon.next.due() => daemon.next.step(),
            () = daemon.store_due() => daemon.retry_store(),
            () = reload.asked() => {
                manager.reloading();
                reload.reload(daemon, live, &access);
                manager.ready(&daemon.status());
            }
            () = end.signal() => return Ok(()),
        }
    }
}

fn retention(args: &RunArgs) -> Retention {
    Retention { max_age: args.keep, max_bytes: args.keep_mib << 20 }
}

/// What the daemon opens after its start.
fn files<'a>(config: &'a Config, access: &Access, kube: &Kube, otlp: Option<&Settings>) -> Files<'a> {
    // Files are replaced rather than written: whoever may read one may read its directory. Also where it is a link.
    let sent = otlp.into_iter().flat_map(Settings::files).map(PathBuf::as_path);
    let both = config.file().into_iter().chain(sent);
    let both = both.flat_map(|file| [file.canonicalize().ok(), Some(file.to_owned())]);
    let above = both.flatten().map(|file| Path::new(".").join(file.parent().unwrap_or(&file)));
    Files {
        state_dir: &config.args.state_dir,
        read: above.chain(access.directories()).chain(kube.reads()).collect(),
        connect: otlp.map(|otlp| otlp.endpoint.port).into_iter().chain(kube.ports()).collect(),
        resolve: otlp.is_some() || kube.resolves(),
    }
}

fn age(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    match days.map(|days| days.saturating_mul(86_400)) {
        Some(0) => Err("must be more than nothing".to_owned()),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => duration(text),
    }
}

/// What ends it.
struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    async fn signal(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// For tests with bytes that others may write.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz {
    /// A configuration file.
    pub(crate) fn config(text: &str) {
        super::config::try_file(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        assert_eq!(age("90d"), Ok(Duration::from_hours(90 * 24)));
        assert_eq!(age("12h"), Ok(Duration::from_hours(12)));
        for wrong in ["0d", "0s", "d", "", "-1d", "old"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
