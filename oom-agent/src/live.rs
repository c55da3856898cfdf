//! The running kernel's incidents: sources, assembler and clock put together.
//!
//! # Layout
//! - [`Live`]: from the attach on.
//! - [`Before`]: what the kernel's log tells of the time before.

mod past;
mod ready;
mod stamp;

pub use past::{Before, Read};

use crate::{
    clock,
    identity::{Labels, Namer, UnresolvedCounts, cri::Cri},
    incident::{
        assembler::{Assembler, Config, Totals},
        escalation as reclaim,
        fact::Fact,
        growth::history::Standing,
        model::{Incident, Level},
        story::Story,
    },
    kernel::{
        host::{self, Host},
        load::{self, Ahead, HookStatus, Logger, Options},
        rings::{Dropped, Rings},
    },
    kube::{Pods, stats::Watched},
    note::{note, warn},
    report::Event,
    source::{
        klog::Klog,
        kmsg::{From, Kmsg},
        sampler::Sampler,
        state::Watch,
    },
};
use anyhow::{Context as _, Result};
use ready::{kmsg_next, log_flush, rings_readable, sample_due};
use stamp::Stamp;
use std::{path::Path, time::Duration};
use tokio::{io::Interest, io::unix::AsyncFd};

/// At the full level BPF tells of kills, and the log is read at once when it does. Otherwise it wakes the agent no more
/// often than this, so that it does not overflow with what has nothing to do with OOM.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// So many records of the log are read before [`Live::next`] says so.
const READ_ON: u64 = 256;
/// So often BPF and the log are read in turns, where there is always more.
const ROUNDS: usize = 4;

/// Incidents of this machine, as they happen.
pub struct Live {
    rings: Option<Rings>,
    kmsg: Option<Kmsg>,
    /// In the place of it, where BPF says when to read.
    klog: Option<Klog>,
    events: Vec<Event>,
    logger: Option<AsyncFd<Logger>>,
    sampler: Option<Sampler>,
    assembler: Assembler,
    watch: Watch,
    namer: Namer,
    story: Story,
    stamp: Stamp,
    /// See [`Live::position`].
    position: Option<u64>,
    /// The last one that was said.
    said: u64,
    /// When the sources were last read, `CLOCK_BOOTTIME` in nanoseconds.
    read_ns: u64,
}

/// How it was started: what the operator is told.
pub struct Start {
    /// How much the kernel lets us see.
    pub level: Level,
    /// Every hook, empty without BPF.
    pub hooks: Vec<HookStatus>,
    /// What does not work and why, in sentences.
    pub warnings: Vec<String>,
    /// How the log from before was read, where that was wanted and could be done.
    pub read: Option<Read>,
}

impl Live {
    /// Attaches to everything that this kernel and these privileges allow, within a tokio runtime. `ahead`: what is begun
    /// already. `before`: what the kernel's log holds from before is told too, first. `sample_every`: how often the use of
    /// memory is sampled. `asked`: the container runtime, where it may be asked, and the pods of this node, where Kubernetes'
    /// API is watched.
    ///
    /// # Errors
    /// If neither BPF nor the kernel's log can be used.
    pub fn start(
        host: &Host,
        options: &Options,
        ahead: Ahead,
        before: Option<Before<'_>>,
        sample_every: Option<Duration>,
        asked: (Option<Cri>, Option<Pods>),
    ) -> Result<(Self, Start)> {
        let mut warnings = Vec::new();
        let mut stamp = Stamp {
            // What the kernel calls a machine that was given no name (`UTS_NODENAME`).
            node: host.node.value().filter(|node| *node != "(none)").cloned(),
            boot_id: host.boot_id.value().cloned(),
            kernel_release: host.kernel_release.value().cloned(),
            number: 0,
        };
        let mut story = Story::default();
        let mut namer = Namer::start(Path::new("/"), asked, clock::boottime_ns(), &mut warnings);
        let wants_past = before.is_some();
        // Before anything is attached: what comes in the meantime is in the log. What is read here BPF never sees.
        let from = if wants_past { From::Start } else { From::Now };
        let mut kmsg = Kmsg::open(from);
        let (mut read, mut held) = (None, Vec::new());
        let mut klog = if kmsg.is_ok() { None } else { Klog::open(from).ok() };
        if let Some(before) = before {
            let mut tell = |incident: Incident| {
                let mut incident = stamp.on(incident);
                namer.complete(&mut incident, clock::boottime_ns());
                story.complete(&mut incident, None);
                (before.tell)(incident);
            };
            let config = config(host, Level::Kmsg, &[], true);
            let done = match (&mut kmsg, &mut klog) {
                (Ok(source), _) => past::read(source, before.since, &config, &mut held, &mut tell).map(Some),
                (Err(_), Some(source)) => past::read_all(source, &config, &mut held, &mut tell).map(Some),
                (Err(_), None) => Ok(None),
            };
            match done {
                Ok(done) => read = done,
                Err(error) => warnings.push(format!("the log from before: {error:#}")),
            }
        }
        let sampler = sampler(host, sample_every)?;
        let loaded = match options.max_level {
            Level::Full | Level::Tracepoint => load::load(host.memory_cgroup_is_v2(), options, ahead),
            Level::Kmsg | Level::Log => {
                ahead.end();
                Err(anyhow::anyhow!("not wanted (--max-level kmsg)"))
            }
        };
        let mut loaded = match loaded {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                warnings.push(format!("no BPF: {error:#}"));
                None
            }
        };
        let level = loaded.as_ref().map_or(Level::Kmsg, |loaded| loaded.level);
        let kmsg = match kmsg {
            Ok(mut kmsg) => {
                if level == Level::Full {
                    kmsg.pause_between_reads(LOG_PAUSE)?;
                }
                Some(kmsg)
            }
            Err(error) => {
                let lacking = match level {
                    Level::Full => "no break-down of the memory",
                    Level::Tracepoint => "victims only",
                    Level::Kmsg | Level::Log => return Err(error.context(warnings.join("; "))),
                };
                let past = if wants_past { ", nothing from before" } else { "" };
                if klog.is_none() {
                    warnings.push(format!("{lacking}{past}: {error:#}"));
                }
                None
            }
        };
        let hooks = loaded.as_ref().map(|loaded| loaded.hooks.clone()).unwrap_or_default();
        if let Some(fields) = loaded.as_ref().map(|loaded| &loaded.missing_fields).filter(|it| !it.is_empty())
        {
            warnings.push(format!("this kernel has no {}", fields.join(", ")));
        }
        let config = config(host, level, &hooks, kmsg.is_some() || klog.is_some());
        let logger = loaded.as_mut().and_then(|loaded| loaded.logger.take()).map(register).transpose()?;
        let mut live = Self {
            rings: loaded.map(Rings::new).transpose()?,
            kmsg,
            klog,
            events: held,
            logger,
            sampler,
            watch: Watch::new(Path::new("/"), host.cgroups.value(), config.calls),
            assembler: Assembler::new(config),
            namer,
            story,
            stamp,
            position: None,
            said: 0,
            read_ns: 0,
        };
        live.take_log();
        live.said = live.position().unwrap_or(0);
        Ok((live, Start { level, hooks, warnings, read }))
    }

    /// The next incident. `None`: the log was read so far that [`Self::position`] is worth remembering. Cancel-safe: nothing
    /// that was read is lost.
    ///
    /// # Errors
    /// If a source breaks.
    pub async fn next(&mut self) -> Result<Option<Incident>> {
        loop {
            let now = clock::boottime_ns();
            if let Some(incident) = self.namer.ready(now) {
                return Ok(Some(self.complete(incident)));
            }
            if let Some(position) = self.position().filter(|position| position.abs_diff(self.said) >= READ_ON)
            {
                self.said = position;
                return Ok(None);
            }
            // What came in while nobody looked is not missing: only what was read last says what is due.
            if let Some(incident) = self.assembler.ready(self.read_ns) {
                self.namer.hold(self.stamp.on(incident), now);
                continue;
            }
            let until = |deadline: u64| Duration::from_nanos(deadline.saturating_sub(now));
            let read_on = self.klog.as_ref().and_then(Klog::due);
            let wait = self.assembler.deadline().map(until);
            let wait = wait.map(|wait| read_on.map_or(wait, |due| due.min(wait)));
            let wait = wait.into_iter().chain(self.namer.deadline(now).map(until)).min();
            let Self { rings, kmsg, events, logger, sampler, namer, .. } = &mut *self;
            tokio::select! {
                readable = rings_readable(rings) => {
                    readable?;
                    self.read_all(Ok(()))?;
                }
                read = kmsg_next(kmsg, events) => self.read_all(read)?,
                () = clock::after(wait) => self.read_all(Ok(()))?,
                flushed = log_flush(logger) => flushed?,
                due = sample_due(sampler) => self.sample(due),
                changed = namer.changed() => changed?,
            }
        }
    }

    /// Reads everything that is there. What is due then comes with [`Self::next`].
    pub fn catch_up(&mut self) {
        if let Err(error) = self.read_all(Ok(())) {
            warn(&format!("{error:#}"));
        }
    }

    /// What is pending, marked as such.
    pub fn finish(&mut self) -> Vec<Incident> {
        self.catch_up();
        if let Some(kmsg) = &mut self.kmsg {
            kmsg.finish(&mut self.events);
            self.take_log();
        }
        if let Some(klog) = &mut self.klog {
            klog.finish(&mut self.events);
            self.take_log();
        }
        let mut pending = self.namer.held();
        for incident in self.assembler.finish() {
            pending.push(self.stamp.on(incident));
        }
        pending.into_iter().map(|incident| self.complete(incident)).collect()
    }

    /// Adds what the sources do not know of an incident.
    fn complete(&mut self, mut incident: Incident) -> Incident {
        self.namer.complete(&mut incident, clock::boottime_ns());
        let growth = self.sampler.as_ref().and_then(|sampler| sampler.growth(&incident));
        self.story.complete(&mut incident, growth);
        incident
    }

    /// What a memory cgroup is called in the metrics.
    pub fn labels(&mut self, cgroup: &str) -> Labels {
        self.namer.labels(cgroup, clock::boottime_ns())
    }

    /// How often a name was not known since the start, by reason.
    pub fn unresolved(&self) -> UnresolvedCounts {
        self.namer.unresolved()
    }

    /// How the watch of this node's pods does, if there is one.
    pub fn watched(&self) -> Option<Watched> {
        self.namer.watched()
    }

    /// The number of a record of the kernel's log: every incident that those before it tell of is told. Whoever reads on
    /// from there misses none.
    pub fn position(&mut self) -> Option<u64> {
        if self.kmsg.is_none() {
            // The log by syslog(2) has no numbers: all of it is read again.
            return self.klog.is_some().then_some(0);
        }
        if self.is_idle() {
            let settled = self.kmsg.as_ref().and_then(Kmsg::settled_seq);
            self.position = settled.or(self.position);
        }
        self.position
    }

    /// Nothing is in the making.
    pub fn is_idle(&self) -> bool {
        self.events.is_empty() && self.assembler.is_idle() && self.namer.is_idle()
    }

    /// Samples the use of memory that often from here on. What was sampled before is forgotten.
    ///
    /// # Errors
    /// If there is no timer to be had.
    pub fn sample_every(&mut self, host: &Host, every: Option<Duration>) -> Result<()> {
        self.sampler = sampler(host, every)?;
        Ok(())
    }

    /// Counts since the start.
    pub fn totals(&self) -> Totals {
        self.assembler.totals()
    }

    /// Whether the kernel's log is read: it may break.
    pub const fn reads_log(&self) -> bool {
        self.kmsg.is_some() || self.klog.is_some()
    }

    /// Whether it is read by syslog(2), which takes privileges each time.
    pub const fn reads_whole_log(&self) -> bool {
        self.klog.is_some()
    }

    /// Whether BPF programs tell of kills.
    pub const fn has_bpf(&self) -> bool {
        self.rings.is_some()
    }

    /// Whether what BPF programs count can be read: it may need a privilege that is not there any more.
    pub fn reads_maps(&self) -> bool {
        self.rings.as_ref().is_none_or(Rings::reads_maps)
    }

    /// Records that found no room in the BPF rings since the start.
    pub fn dropped(&self) -> Dropped {
        self.rings.as_ref().map(Rings::dropped).unwrap_or_default()
    }

    /// Reclaim on the machine since the start. `None`: BPF does not tell of it.
    pub fn reclaim(&mut self) -> Option<reclaim::Totals> {
        self.rings.as_mut().and_then(|rings| rings.reclaim().ok())
    }

    /// How cgroups stand to their limits, by their paths, as of the last sample.
    pub fn standings(&self) -> impl Iterator<Item = (String, Standing)> {
        self.sampler.iter().flat_map(Sampler::standings)
    }

    /// Reads everything that is there, BPF first: what it saw of a kill is there when the log has its line. The log
    /// is read without waiting for its wake-up, which comes with the kernel's next tick (`wake_up_klogd`). And BPF again: much may
    /// have happened between the two, if this process was stopped there.
    fn read_all(&mut self, mut log: Result<()>) -> Result<()> {
        self.read_ns = clock::boottime_ns();
        for round in 0..ROUNDS {
            let more = self.drain()?;
            if round > 0 && !more {
                break;
            }
            self.read_log(std::mem::replace(&mut log, Ok(())));
            if self.events.is_empty() {
                break;
            }
        }
        self.take_log();
        // What an incident waits for in vain may have happened unseen.
        if self.assembler.asks(self.read_ns) {
            let skipped = self.rings.as_ref().and_then(Rings::skipped).unwrap_or_default();
            self.assembler.push(self.read_ns, Fact::Skipped(Box::new(skipped)));
        }
        self.assembler.afterwards().iter().for_each(|words| note(words));
        Ok(())
    }

    /// Reads what BPF tells. Whether that was anything.
    fn drain(&mut self) -> Result<bool> {
        let Self { rings, assembler, watch, .. } = self;
        let mut more = false;
        if let Some(rings) = rings {
            rings.drain(|fact| {
                more = true;
                watch.see(&fact);
                assembler.push(clock::boottime_ns(), fact);
            })?;
        }
        self.read_files();
        Ok(more)
    }

    /// Reads the log, and keeps what it says.
    fn read_log(&mut self, log: Result<()>) {
        let Self { assembler, kmsg, klog, events, .. } = self;
        // With nothing in the making there is nothing to read on.
        if let Some(source) = klog
            && assembler.deadline().is_some()
            && let Err(error) = source.read(events)
        {
            note(&format!("the kernel's log is not read any more: {error:#}"));
            *klog = None;
            assembler.without_log();
        }
        if let Some(source) = kmsg
            && let Err(error) = log.and_then(|()| source.read_available(events))
        {
            // Without the log incidents still stand; they say what they lack.
            warn(&format!("the kernel's log is not read any more: {error:#}"));
            *kmsg = None;
            assembler.without_log();
        }
    }

    /// Without samples incidents still stand.
    fn sample(&mut self, due: Result<()>) {
        let Some(sampler) = &mut self.sampler else { return };
        if let Err(error) = due.and_then(|()| sampler.sample(clock::boottime_ns())) {
            warn(&format!("the use of memory is not sampled any more: {error:#}"));
            self.sampler = None;
            return;
        }
        if let Some(rings) = &mut self.rings {
            rings.look(clock::boottime_ns());
        }
        if sampler.cgroups_came() {
            self.namer.cgroups_came(clock::boottime_ns());
        }
        if let Some(warning) = sampler.warning() {
            warn(&warning);
        }
    }

    fn take_log(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let suspended = clock::suspended_ns();
        for mut event in self.events.drain(..) {
            event.time_ns = event.time_ns.map(|time| time.saturating_add(suspended));
            let fact = Fact::Log(event);
            self.watch.see(&fact);
            self.assembler.push(clock::boottime_ns(), fact);
        }
        self.read_files();
    }

    /// What files say of the kills that are known by now: before their incidents are told.
    fn read_files(&mut self) {
        for files in self.watch.read(clock::boottime_ns) {
            self.assembler.push(clock::boottime_ns(), Fact::Files(Box::new(files)));
        }
        for zones in self.watch.zones(clock::boottime_ns) {
            self.assembler.push(clock::boottime_ns(), Fact::Zones(Box::new(zones)));
        }
    }
}

fn config(host: &Host, level: Level, hooks: &[HookStatus], log: bool) -> Config {
    let used = |target: &str| hooks.iter().any(|hook| hook.target == target && hook.used.is_some());
    let mut sources: Vec<String> =
        hooks.iter().filter_map(|hook| Some(format!("{}:{}", hook.used?.name(), hook.target))).collect();
    if log {
        sources.push("kmsg".into());
    }
    Config {
        sources,
        calls: level == Level::Full,
        kernel_points: used("oom_badness"),
        victims: used("mark_victim"),
        exits: used("sched_process_exit"),
        memory_back: level == Level::Full && used("exit_mmap"),
        log,
        page_size: rustix::param::page_size() as u64,
        total_swap_bytes: host.swap.value().map(|swap| swap.total_bytes),
        cpus: host::online_cpus(Path::new("/")).unwrap_or(1),
        ..Config::new(level)
    }
}

fn sampler(host: &Host, every: Option<Duration>) -> Result<Option<Sampler>> {
    let memory = host.cgroups.value().map(|cgroups| &cgroups.memory);
    every.map(|every| Sampler::start(Path::new("/"), memory, every)).transpose()
}

fn register(logger: Logger) -> Result<AsyncFd<Logger>> {
    // SAFETY: a logger keeps the one map that it was made of, and with it the descriptor, for its whole life. `Live` puts no
    // other in its place.
    let registered = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
    registered.map_err(std::io::Error::from).context("cannot wait for the log of the BPF programs")
}
