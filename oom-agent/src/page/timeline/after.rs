//! From the entry into the OOM path until memory is back.

use crate::incident::model::{Incident, Role, Rule};
use crate::incident::recovery::Reaped;
use crate::sink::terminal::words;
use crate::units;

/// What is drawn of it.
#[derive(Debug, PartialEq)]
pub(super) struct After {
    /// How long it is.
    pub(super) ns: u64,
    /// In their order.
    pub(super) events: Vec<Event>,
    /// What should have been seen and was not.
    pub(super) unseen: Vec<&'static str>,
    /// How long the kernel was in its OOM path.
    pub(super) path_ns: Option<u64>,
    /// What was in use at the kill.
    pub(super) usage: Option<u64>,
    /// From when to when usage fell, and to what.
    pub(super) falls: Option<(u64, u64, u64)>,
}

/// Something that happened.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    /// After the entry into the OOM path.
    pub(super) ns: u64,
    pub(super) class: &'static str,
    /// In words. Escaped.
    pub(super) what: String,
}

impl After {
    /// `None`: nothing was seen.
    pub(super) fn of(incident: &Incident) -> Option<Self> {
        let rule = incident.decision.as_ref().map(|decision| decision.rule);
        // Where its entry is not seen, the time of an incident is that of the mark, which follows the signal.
        let kills = incident.victims.iter().filter_map(|victim| victim.killed_boottime_ns);
        let entered = kills.chain([incident.boottime_ns?]).min()?;
        let since = |at: Option<u64>| at?.checked_sub(entered);
        let mut events = Vec::new();
        let mut unseen = Vec::new();
        let mut add = |ns: Option<u64>, class, what: String| {
            events.extend(ns.map(|ns| Event { ns, class, what }));
        };
        let kill = incident.victims.iter().filter_map(|victim| since(victim.killed_boottime_ns)).min();
        let whose = words::main_victim(incident).map(|victim| words::who(&victim.comm, victim.pid));
        let others = incident.victims.len().saturating_sub(1) as u64;
        let whose = match (whose, others) {
            (Some(whose), 0) => whose,
            (Some(whose), more) => format!("{whose} and {} more", units::count(more)),
            (None, _) => "the victim".to_owned(),
        };
        add(kill, "kill", format!("SIGKILL to {whose}"));
        add(incident.oom_path_ns, "path", "the kernel leaves its OOM path".to_owned());
        let exits: Vec<u64> =
            incident.victims.iter().filter_map(|victim| since(victim.exited_boottime_ns)).collect();
        let exit = exits.iter().max().copied();
        let dead = exits.len();
        let exited = match (dead, incident.victims.len()) {
            (1, 1) => "exit".to_owned(),
            (dead, all) if dead == all => format!("the last of {all} exits"),
            (dead, all) => format!("the last of {dead} exits that were seen, of {all}"),
        };
        add(exit, "exit", exited);
        let recovery = incident.recovery.clone().unwrap_or_default();
        let from_kill = |ns: Option<u64>| kill?.checked_add(ns?);
        // The first of them: a group that hangs is reaped one by one.
        if let Some(Reaped { pid, after_ns, done, .. }) = recovery.reaper.first() {
            let what = if *done == Some(false) { "could not take" } else { "comes for" };
            add(from_kill(*after_ns), "reaper", format!("the reaper {what} the memory of {pid}"));
        }
        let back = from_kill(recovery.memory_back_ns);
        add(back, "back", "memory is back".to_owned());
        let below = from_kill(recovery.below_limit_ns).filter(|ns| Some(*ns) != back);
        add(below, "back", "below the limit again".to_owned());
        add(
            from_kill(recovery.above_watermark_ns),
            "back",
            "free memory above the watermarks again".to_owned(),
        );
        if events.is_empty() {
            return None;
        }
        let live = !words::log_alone(incident);
        let killed = !matches!(rule, Some(Rule::NoneKillable | Rule::Panic | Rule::AlreadyDying));
        for (missing, what) in [
            (killed && kill.is_none(), "the time of the kill"),
            (incident.oom_path_ns.is_none(), "time in the OOM path"),
            (
                killed && dead < incident.victims.iter().filter(|it| it.role != Role::AlreadyDying).count(),
                "exits that were not seen",
            ),
            (killed && back.is_none(), "when memory was back"),
        ] {
            if live && missing {
                unseen.push(what);
            }
        }
        events.sort_by_key(|event| event.ns);
        let last = events.last().map_or(0, |event| event.ns);
        let falls = kill.zip(back).zip(recovery.usage_after_bytes).map(|((kill, back), left)| {
            // An exit comes before the memory is back, on some kernels long before.
            (exit.filter(|exit| *exit < back).unwrap_or(kill), back, left)
        });
        Some(Self {
            // Room for what is left to be written beside the last event.
            ns: last.saturating_add(last / 3).max(1),
            events,
            unseen,
            path_ns: incident.oom_path_ns,
            usage: incident.limits.usage_bytes,
            falls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::recovery::Recovery;
    use crate::sink::samples;

    #[test]
    fn events_are_in_their_order_and_what_is_missing_is_said() {
        let mut incident = samples::memcg();
        let seen = After::of(&incident).unwrap();
        let told: Vec<_> = seen.events.iter().map(|it| (it.ns / 1_000, it.what.as_str())).collect();
        assert_eq!(
            told,
            [
                (5_000, "SIGKILL to java[81234]"),
                (6_240, "the kernel leaves its OOM path"),
                (46_000, "exit"),
                (49_000, "memory is back")
            ]
        );
        assert_eq!(seen.falls, Some((46_000_000, 49_000_000, 50 << 20)));
        assert!(seen.unseen.is_empty() && seen.ns > 49_000_000);

        incident.recovery = None;
        incident.victims[0].exited_boottime_ns = None;
        let seen = After::of(&incident).unwrap();
        assert_eq!(seen.unseen, ["exits that were not seen", "when memory was back"]);
        assert_eq!(seen.falls, None);
        let reaped =
            Reaped { pid: 81_234, after_ns: Some(2_010_000_000), duration_ns: None, done: Some(true) };
        incident.recovery = Some(Recovery { reaper: vec![reaped], ..Recovery::default() });
        let seen = After::of(&incident).unwrap();
        let last = seen.events.last().unwrap();
        assert_eq!((last.ns, &*last.what), (2_015_000_000, "the reaper comes for the memory of 81234"));
        incident.victims[0].killed_boottime_ns = incident.boottime_ns.map(|ns| ns - 1_000);
        assert_eq!(After::of(&incident).unwrap().events[0].ns, 0, "the kill is seen before the call");
        assert_eq!(After::of(&samples::none_killable()).unwrap().events.len(), 1);
        assert_eq!(After::of(&Incident::default()), None);
    }
}
