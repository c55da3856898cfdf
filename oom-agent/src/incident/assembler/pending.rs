//! The facts of one incident, until it is complete or its time is up.

use super::Config;
use super::marked::{Marked, Process};
use crate::incident::escalation::Skipped;
use crate::incident::fact::{
    Call, Decision, End, Escalation, Exit, Files, MemoryBack, Reaper, Reaping, Task, Zones,
};
use crate::incident::model::Level;
use crate::report::{Killed, Outcome, Report};

/// Members of a group or processes with the same memory follow a victim within this time, where nothing says that the
/// call ended.
const LINGER_NS: u64 = 20_000_000;
/// The kernel may print a long report to a slow console in the middle of a call. It is given up after this time, where
/// nothing shows that it is over.
const OPEN_CALL_NS: u64 = 30_000_000_000;
/// So many victims of an incident are asked whether a line of the log that matters little is theirs.
const FIRST: usize = 64;
/// Records of the reaper in one incident: it tries each victim ten times (`MAX_OOM_REAP_RETRIES`).
const MAX_REAPER: usize = 1024;
/// Victims in one incident.
pub(super) const MAX_VICTIMS: usize = 65_536;

/// What the log told of an incident.
#[derive(Clone, Debug, Default)]
pub(super) struct Logged {
    /// The first line's time, on the log's clock.
    pub(super) time_ns: Option<u64>,
    /// That of the line that begins the report (`invoked oom-killer`), likewise.
    pub(super) invoked_ns: Option<u64>,
    pub(super) report: Option<Box<Report>>,
    /// `Killed process` lines that belong to no victim that BPF told of.
    pub(super) lines: Vec<(Option<u64>, Killed)>,
    /// All such lines, also those that say it again: the kernel counts a kill for each.
    pub(super) counted: u64,
    /// The last such line's time.
    pub(super) last_line_ns: Option<u64>,
    /// A group kill was announced.
    pub(super) group: bool,
    /// Lines are missing before the first one.
    pub(super) gap: bool,
    /// How many, where known.
    pub(super) lost: u64,
    /// Processes that were killed for sharing the last victim's memory (`Kill process PID (NAME) sharing same memory`).
    pub(super) sharing: Vec<(Option<u64>, u32, String)>,
    /// The chosen one was found without memory: nothing was killed.
    pub(super) exiting: bool,
    /// Victims whose memory the reaper took.
    pub(super) reaped: Vec<u32>,
    /// Victims that the reaper gave up.
    pub(super) not_reaped: Vec<u32>,
    /// Reports that were not printed since the one before.
    pub(super) suppressed: u64,
    /// What files said when this was told.
    pub(super) files: Option<Box<Files>>,
}

impl Logged {
    /// Takes over what was told before it was clear whose it is.
    pub(super) fn absorb(&mut self, other: Self) {
        let Self {
            time_ns,
            invoked_ns,
            report,
            lines,
            counted,
            last_line_ns,
            group,
            gap,
            lost,
            sharing,
            exiting,
            reaped,
            not_reaped,
            suppressed,
            files,
        } = other;
        self.time_ns = self.time_ns.or(time_ns);
        self.invoked_ns = self.invoked_ns.or(invoked_ns);
        self.report = self.report.take().or(report);
        self.lines.extend(lines);
        self.counted = self.counted.saturating_add(counted);
        self.last_line_ns = last_line_ns.or(self.last_line_ns);
        self.group |= group;
        self.gap |= gap;
        self.lost = self.lost.saturating_add(lost);
        self.sharing.extend(sharing);
        self.exiting |= exiting;
        self.reaped.extend(reaped);
        self.not_reaped.extend(not_reaped);
        self.suppressed = self.suppressed.saturating_add(suppressed);
        self.files = self.files.take().or(files);
    }
}

/// What pauses of the log did with an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    No,
    /// Waited for a line of it, once.
    Waited,
    /// Told it. It stays to take what belongs to it.
    Told,
}

/// When an incident is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing is missing.
    Now,
    /// At this time with what there is then. `late`: something is missing then.
    At { ns: u64, late: bool },
    /// Not before something else happens.
    Open,
}

/// Victims that were not seen to leave by then may have left unseen. Most leave within milliseconds.
const UNSEEN_NS: u64 = 2_000_000_000;

/// Looks at zones that are kept.
const LOOKS: usize = 8;

/// One incident in the making.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// `None`: only the log tells of it.
    pub(super) call: Option<u64>,
    /// Arrival of the last fact that is not an exit.
    pub(super) touched_ns: u64,
    /// Arrival of the last fact.
    pub(super) latest_ns: u64,
    pub(super) entry: Option<Box<Call>>,
    pub(super) escalation: Option<Box<Escalation>>,
    pub(super) decision: Option<Box<Decision>>,
    pub(super) end: Option<End>,
    pub(super) victims: Vec<Marked>,
    /// Memory that was given back, in the order of the records.
    pub(super) backs: Vec<MemoryBack>,
    /// Zones after that, in the order of their reading; at most [`LOOKS`].
    pub(super) zones: Vec<Zones>,
    /// What the OOM reaper did with its victims.
    pub(super) reaper: Vec<Reaper>,
    /// When it was last known whether a program was skipped.
    asked_ns: u64,
    pub(super) logged: Logged,
    /// Records that the ring lost around it.
    pub(super) lost: u64,
    /// Facts that were dropped for want of space.
    pub(super) dropped: u64,
    /// The kernel has left this call, as far as its end was not seen: a later one told something, or records were lost.
    pub(super) left: bool,
    /// Nothing will follow in the log.
    pub(super) closed: bool,
    /// Its call was told of already.
    pub(super) again: bool,
    /// Whether a pause of the log has told of it.
    pub(super) shown: Shown,
}

impl Pending {
    pub(super) fn new(call: Option<u64>, now_ns: u64) -> Self {
        Self {
            call,
            touched_ns: now_ns,
            latest_ns: now_ns,
            entry: None,
            escalation: None,
            decision: None,
            end: None,
            victims: Vec::new(),
            backs: Vec::new(),
            zones: Vec::new(),
            reaper: Vec::new(),
            asked_ns: 0,
            logged: Logged::default(),
            lost: 0,
            dropped: 0,
            left: false,
            closed: false,
            again: false,
            shown: Shown::No,
        }
    }

    /// Zones were read. Of many, the first and the last count.
    pub(super) fn look(&mut self, zones: Zones) {
        self.zones.truncate(LOOKS - 1);
        self.zones.push(zones);
    }

    /// A fact that is not an exit came.
    pub(super) fn touch(&mut self, now_ns: u64) {
        self.touched_ns = now_ns;
        self.latest_ns = now_ns;
    }

    /// The kernel must have left this call.
    pub(super) fn leave(&mut self, now_ns: u64) {
        if !self.left && self.end.is_none() {
            self.touch(now_ns);
        }
        self.left = true;
    }

    /// The process that has exited is the one that made the call, so the call is over. Its end may be missed where
    /// another fexit program is attached or detached meanwhile: tasks inside can skip the programs of the trampoline that
    /// is replaced (`bpf_tramp_image_put`, kernel/bpf/trampoline.c).
    pub(super) fn is_of(&self, exit: &Exit) -> bool {
        self.entry.as_ref().is_some_and(|entry| {
            let trigger = &entry.trigger;
            trigger.pid == exit.pid && trigger.start_ns == exit.start_ns
        })
    }

    /// Adds a victim, or what is new of one that is known.
    pub(super) fn add(&mut self, mut victim: Marked) {
        let process = victim.process();
        victim.back = self.backs.iter().find(|back| back.mm == victim.task.mm).copied();
        if let Some(known) = self.victims.iter_mut().find(|known| known.process().is(process)) {
            known.merge(victim);
        } else if self.victims.len() < MAX_VICTIMS {
            self.victims.push(victim);
        } else {
            self.dropped += 1;
        }
    }

    /// Memory was given back. `true` if it was that of its victims: of the process that the record names, or, told of the
    /// same call, of another one with the same memory.
    pub(super) fn give_back(&mut self, back: &MemoryBack) -> bool {
        let process = Process { pid: back.pid, tid: back.pid, start_ns: back.start_ns };
        let named = |victim: &Marked| victim.task.mm == back.mm && victim.process().is(process);
        if self.call != Some(back.call) && !self.victims.iter().any(named) {
            return false;
        }
        for victim in self.victims.iter_mut().filter(|victim| victim.task.mm == back.mm) {
            victim.back.get_or_insert(*back);
        }
        if self.backs.len() < MAX_VICTIMS {
            self.backs.push(*back);
        }
        true
    }

    /// The OOM reaper came for one of its victims.
    pub(super) fn reap(&mut self, reaper: Reaper, now_ns: u64) -> bool {
        let mine = self.victims.iter().any(|victim| victim.process().tid == reaper.tid);
        if mine {
            self.latest_ns = now_ns;
        }
        if mine && self.reaper.len() < MAX_REAPER {
            self.reaper.push(reaper);
        }
        mine
    }

    /// The log's number names one of its victims.
    pub(super) fn victim_logged_as(&self, pid: u32) -> Option<&Marked> {
        self.victims.iter().find(|victim| victim.process().logged_as(pid))
    }

    /// The log's number names the chosen one.
    pub(super) fn chosen_logged_as(&self, pid: u32) -> Option<&Task> {
        let chosen = self.decision.as_ref().map(|decision| &decision.chosen);
        chosen.filter(|chosen| Process::of(chosen).logged_as(pid))
    }

    /// What the log says of this process, of which BPF has told only now.
    pub(super) fn take_lines(&mut self, process: Process) -> Vec<(Option<u64>, Killed)> {
        self.logged.lines.extract_if(.., |(_, line)| process.logged_as(line.pid)).collect()
    }

    /// Records are lost, that of the chosen one's mark may be among them: the log says whether it was killed.
    fn awaits_chosen(&self, config: &Config) -> bool {
        let Logged { lines, exiting, .. } = &self.logged;
        let unmarked = self.decision.is_some() && self.victims.is_empty();
        config.log && self.lost > 0 && unmarked && lines.is_empty() && !exiting
    }

    /// The log's number names one of its first victims.
    pub(super) fn killed(&self, pid: u32) -> bool {
        self.victims.iter().take(FIRST).any(|victim| victim.process().logged_as(pid))
            || self.logged.lines.iter().take(FIRST).any(|(_, line)| line.pid == pid)
    }

    /// The report and its outcome say all. In a log that is read to its end the panic may still follow that nothing to
    /// kill leads to.
    fn ended_in_log(&self, config: &Config) -> bool {
        match self.logged.report.as_ref().map(|report| report.outcome) {
            Some(Outcome::Panic) => true,
            Some(Outcome::NoneKillable) => config.level != Level::Log,
            Some(Outcome::Kill | Outcome::Unknown) | None => false,
        }
    }

    /// The line that its report's process was killed is still to come.
    pub(super) fn awaits_line(&self) -> bool {
        let outcome = self.logged.report.as_ref().map(|report| report.outcome);
        let more = !self.closed && !self.logged.exiting && self.logged.lines.is_empty();
        more && outcome == Some(Outcome::Kill)
    }

    /// Victims whose exit or memory is still to come.
    fn leaving(&self, config: &Config) -> impl Iterator<Item = &Marked> {
        let Config { exits, memory_back, .. } = *config;
        self.victims.iter().filter(move |victim| {
            (exits && victim.exit_expected()) || (memory_back && victim.back_expected())
        })
    }

    /// Until when it is waited for them. `None`: there are none.
    fn exits_until(&self, config: &Config) -> Option<u64> {
        self.leaving(config).next()?;
        Some(if self.leaving(config).all(|victim| self.is_reaped(victim)) {
            // The kernel goes on without a victim whose memory the reaper took: it may hang for ever.
            self.latest_ns.saturating_add(config.wait_ns)
        } else {
            let wait = if self.skipped_since().exits > 0 { UNSEEN_NS } else { config.exit_wait_ns };
            self.touched_ns.saturating_add(wait)
        })
    }

    /// The kernel's reaper has taken its memory.
    pub(super) fn is_reaped(&self, victim: &Marked) -> bool {
        let tid = victim.process().tid;
        self.reaper.iter().any(|reaper| reaper.tid == tid && reaper.what == Reaping::Finished)
    }

    /// Runs of programs that the kernel has skipped since its entry, as far as that was asked for.
    pub(super) fn skipped_since(&self) -> Skipped {
        self.escalation.as_deref().map(|seen| seen.skipped_since).unwrap_or_default()
    }

    /// When it wants to know whether a program was skipped: what it waits for may have happened unseen.
    pub(super) fn asks_at(&self, config: &Config) -> Option<u64> {
        let at_ns = self.touched_ns.saturating_add(UNSEEN_NS);
        let waits = self.escalation.is_some() && self.leaving(config).next().is_some();
        (waits && self.asked_ns < at_ns).then_some(at_ns)
    }

    /// So many were skipped since the start.
    pub(super) fn count_skipped(&mut self, skipped: &Skipped, now_ns: u64) {
        self.asked_ns = now_ns;
        if let Some(seen) = &mut self.escalation {
            seen.skipped_since = skipped.since(&seen.skipped_until);
        }
    }

    /// When to tell of it. `received`: candidates of this call that came.
    pub(super) fn due(&self, config: &Config, received: u64) -> Due {
        let Config { wait_ns, .. } = *config;
        if self.call.is_none() {
            let from_log_only = !config.calls && !config.victims;
            return if self.ended_in_log(config) || (self.closed && from_log_only) {
                Due::Now
            } else if config.level == Level::Log {
                Due::Open
            } else {
                Due::At { ns: self.touched_ns.saturating_add(wait_ns), late: false }
            };
        }
        let exits = self.exits_until(config);
        // `wait`: for what is missing besides.
        let due = |wait: Option<u64>| {
            let missing = wait.map(|wait| self.touched_ns.saturating_add(wait));
            missing.max(exits).map_or(Due::Now, |ns| Due::At { ns, late: true })
        };
        if config.calls {
            return due(match &self.end {
                Some(end) => {
                    let scanned = received.saturating_add(end.candidates_lost) >= end.evaluated;
                    (!scanned || self.awaits_chosen(config)).then_some(wait_ns)
                }
                None if self.left => Some(wait_ns),
                None => Some(OPEN_CALL_NS.max(wait_ns)),
            });
        }
        let lines = self.victims.is_empty() || config.log && self.victims.iter().any(Marked::line_expected);
        if lines || exits.is_some() {
            return due(lines.then_some(wait_ns));
        }
        let company = self.logged.group || self.victims.iter().any(Marked::may_have_company);
        if company && !self.left {
            let ns = self.latest_ns.saturating_add(LINGER_NS.min(wait_ns));
            return Due::At { ns, late: false };
        }
        Due::Now
    }
}
