//! Whether two incidents tell of the same kill: one as it was seen, one as the kernel's log still tells it later.

use super::model::{Incident, Trigger};

/// What BPF and the log say of one moment differs by this at most soon after boot: the log's clock drifts by -6 to +17 ms,
/// and between entry and the line that names the victim the report is printed.
const NEAR_NS: u64 = 1_000_000_000;
/// The log's clock (`local_clock`) is not corrected by NTP, `CLOCK_BOOTTIME` is: by 500 ppm at most (`MAXFREQ`), which is a
/// 2,000th of the time since boot.
const DRIFT: u64 = 2_000;
/// Equal incidents without a victim are told once in so long (`assembler::storm`).
const QUIET_NS: u64 = 5_000_000_000;

/// Whether `later`, read from the log, is `known`. `suspended_ns`: how long the machine was suspended since boot; the log's
/// times may be late by as much.
///
/// Of the same boot, and where both have the report of the log, of the same one: ids of processes are given out again, under a
/// fork bomb within a second. Else about the same time, and a process that died or was chosen in both. Far apart, that
/// process must have the same name too. Where no process is known, who asked must be the same.
pub fn is_same(known: &Incident, later: &Incident, suspended_ns: u64) -> bool {
    let (Some(one), Some(other)) = (span(known), span(later)) else { return false };
    if known.boot_id.is_none() || known.boot_id != later.boot_id {
        return false;
    }
    let apart = one.0.saturating_sub(other.1).max(other.0.saturating_sub(one.1));
    let (died, read) = (processes(known), processes(later));
    if died.is_empty() || read.is_empty() {
        return apart <= QUIET_NS.saturating_add(window_ns(later, suspended_ns))
            && known.scope.kind == later.scope.kind
            && asked(known).is_some()
            && asked(known) == asked(later);
    }
    // No two lines of the log have the same time: they are of two calls, which takes longer than its clock's microsecond.
    if let (Some(one), Some(other)) = (known.evidence.log_ns, later.evidence.log_ns) {
        return one == other;
    }
    let shared = |id: &&u32| read.contains(id);
    if apart <= NEAR_NS {
        return died.iter().any(|id| shared(&id));
    }
    apart <= window_ns(later, suspended_ns)
        && died.iter().filter(shared).any(|id| comm(known, *id) == comm(later, *id))
}

/// How far the times of the same incident may be apart.
pub fn window_ns(later: &Incident, suspended_ns: u64) -> u64 {
    let drift = later.boottime_ns.unwrap_or(0) / DRIFT;
    NEAR_NS.saturating_add(drift).saturating_add(suspended_ns)
}

/// Process and thread ids of victims and of the chosen one, sorted. The log names a victim by its process, `mark_victim` by
/// a thread.
pub fn processes(incident: &Incident) -> Vec<u32> {
    let victims = incident.victims.iter().flat_map(|victim| [victim.pid, victim.tid]);
    let chosen = incident.decision.iter().flat_map(|decision| [decision.pid, decision.tid]).flatten();
    let mut ids: Vec<u32> = victims.chain(chosen).filter(|id| *id != 0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// From its begin to the last kill in it.
fn span(incident: &Incident) -> Option<(u64, u64)> {
    let begin = incident.boottime_ns?;
    let returned = begin.saturating_add(incident.oom_path_ns.unwrap_or(0));
    let killed = incident.victims.iter().filter_map(|victim| victim.killed_boottime_ns).max();
    Some((begin, returned.max(killed.unwrap_or(0))))
}

fn asked(incident: &Incident) -> Option<(u32, &str)> {
    let Trigger { pid, tid, comm, .. } = incident.trigger.as_ref()?;
    // The log has the thread only.
    Some(((*tid).or(*pid)?, comm))
}

fn comm(incident: &Incident, id: u32) -> Option<&str> {
    let victim = incident.victims.iter().find(|victim| victim.pid == id || victim.tid == id);
    victim.map(|victim| victim.comm.as_str()).or_else(|| incident.decision.as_ref()?.comm.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::samples;

    const MS: u64 = 1_000_000;
    const S: u64 = 1000 * MS;

    /// What the log says of an incident, with another clock.
    fn logged(incident: &Incident, late_ns: i64) -> Incident {
        let mut logged = incident.clone();
        logged.id = "another".into();
        logged.boottime_ns = logged.boottime_ns.and_then(|ns| ns.checked_add_signed(late_ns));
        (logged.oom_path_ns, logged.recovery_ns) = (None, None);
        for victim in &mut logged.victims {
            victim.killed_boottime_ns = None;
            victim.tid = victim.pid;
        }
        logged
    }

    #[test]
    fn the_log_tells_the_same_kill_with_another_clock() {
        let late = |ms: i64| ms * MS as i64;
        for (name, incident) in samples::all() {
            if incident.boot_id.is_none() || incident.boottime_ns.is_none() {
                continue;
            }
            if processes(&incident).is_empty() && asked(&incident).is_none() {
                continue;
            }
            for ms in [-6, 0, 17, 900] {
                let again = logged(&incident, late(ms));
                assert!(is_same(&incident, &again, 0), "{name} {ms}");
                assert!(is_same(&again, &incident, 0), "{name} {ms}");
            }
            let other_boot = Incident { boot_id: Some("other".into()), ..incident.clone() };
            assert!(!is_same(&incident, &other_boot, 0), "{name}");
        }
    }

    #[test]
    fn clocks_drift_with_the_time_since_boot() {
        let at =
            |seconds: u64| Incident { boottime_ns: Some(seconds * S), oom_path_ns: None, ..samples::memcg() };
        let victims_at = |seconds| {
            let mut incident = at(seconds);
            incident.victims[0].killed_boottime_ns = None;
            incident
        };
        let (early, days) = (victims_at(100), victims_at(100 * 86_400));
        assert!(!is_same(&early, &logged(&early, 60 * S as i64), 0), "no clock drifts that much in 100 s");
        assert!(is_same(&days, &logged(&days, 3600 * S as i64), 0), "in 100 days it may");
        assert!(!is_same(&days, &logged(&days, 7200 * S as i64), 0));
        assert!(is_same(&days, &logged(&days, 7200 * S as i64), 3600 * S), "it was suspended");
        let mut reused = logged(&days, 3600 * S as i64);
        reused.victims[0].comm = "other".into();
        assert!(!is_same(&days, &reused, 0), "the process id was given to another one");
    }

    #[test]
    fn of_two_reports_each_is_its_own_kill_whoever_has_the_process_id() {
        let with = |incident: &Incident, log_ns| {
            let mut incident = incident.clone();
            incident.evidence.log_ns = log_ns;
            incident
        };
        let one = samples::memcg();
        let (stamp, next) = (Some(8_123 * S), Some(8_123 * S + 400 * MS));
        let (first, second) = (with(&one, stamp), with(&logged(&one, 400 * MS as i64), next));
        assert!(!is_same(&first, &second, 0), "the process id was given out again within a second");
        assert!(is_same(&first, &with(&second, stamp), 0));
        assert!(is_same(&with(&one, None), &second, 0), "BPF alone saw it: the id decides");
        assert!(is_same(&first, &with(&second, None), 0), "the report was not printed: the id decides");
        // Equal ones without a victim are told once in a while, each with a report of its own.
        let mut none = with(&one, stamp);
        (none.victims, none.decision) = (Vec::new(), None);
        assert!(is_same(&none, &with(&none, next), 0));
    }

    #[test]
    fn other_kills_are_not_the_same() {
        let one = samples::memcg();
        let mut other = logged(&one, 0);
        other.victims[0].pid = 7;
        other.victims[0].tid = 7;
        other.decision = None;
        assert!(!is_same(&one, &other, 0));
        let unknown = Incident { boottime_ns: None, ..logged(&one, 0) };
        assert!(!is_same(&one, &unknown, 0), "unknown is not the same");
        let mut thread = logged(&one, 5 * MS as i64);
        thread.victims[0].pid = thread.victims[0].tid;
        assert!(is_same(&one, &thread, 0));
    }
}
