//! How full everything was, against the kernel's report and what the case itself set.

use super::{Findings, points, says};
use crate::truth::model::{Kill, Level, Truth, Victim};
use serde_json::Value;
use std::collections::BTreeMap;

/// A case in which cgroups go as soon as nobody is in them.
const REMOVED: &str = "hundred";
/// A limit from here on is none.
const NO_LIMIT: u64 = 1 << 62;

/// Compares. What the truth does not know is not compared.
pub(super) fn compare(truth: &Truth, kill: &Kill, incident: &Value, findings: &mut Findings) {
    let full = truth.sources.iter().any(|source| source == "kprobes");
    let mut check = Check { truth, pid: kill.decision.pid, incident, findings };
    match kill.scope.kind.as_str() {
        "memcg" => {
            reported(kill, &mut check);
            let Some(cgroup) = kill.scope.cgroup.as_deref() else { return };
            levels(cgroup, full, &mut check);
            children(cgroup, full, &mut check);
            break_down(kill, full, &mut check);
        }
        "global" | "sysrq" | "cpuset" | "memory_policy" => machine(full, &mut check),
        _ => {}
    }
}

struct Check<'a> {
    truth: &'a Truth,
    pid: u32,
    incident: &'a Value,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn fail(&mut self, what: &str) {
        self.findings.wrong(format!("kill of {}: {what}", self.pid));
    }

    fn number(&self, pointer: &str) -> Option<u64> {
        self.incident.pointer(pointer).and_then(Value::as_u64)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.incident.pointer(pointer).and_then(Value::as_str)
    }

    /// Who died of the kills before this one.
    fn earlier(&self) -> impl Iterator<Item = &Victim> {
        let before = self.truth.kills.iter().take_while(|kill| kill.decision.pid != self.pid);
        before.flat_map(|kill| &kill.victims)
    }

    /// Within 1 %, or what the CPUs may hold back.
    fn near(&mut self, pointer: &str, expected: u64) {
        let found = self.number(pointer);
        let off = points::tolerance_bytes(self.truth);
        // The kernel prints after it has decided: an earlier victim's memory may have come back in between.
        let full = self.number("/limits/memory_bytes");
        let later = pointer.ends_with("usage_bytes") && full.is_some_and(|limit| expected + off < limit);
        let close = |found: u64| {
            found.abs_diff(expected) <= (expected / 100).max(off) || (later && found >= expected)
        };
        self.findings.filled += 1;
        if let Some(found) = found.filter(|_| expected > 0 && !later) {
            let permille = found.abs_diff(expected).saturating_mul(1000).div_ceil(expected);
            self.findings.filled_off = self.findings.filled_off.max(permille);
        }
        if !found.is_some_and(close) {
            self.fail(&format!("{pointer} is {found:?}, not within 1 % of {expected}"));
        }
    }

    /// A limit is what it is.
    fn limit(&mut self, pointer: &str, expected: Option<u64>) {
        let found = self.number(pointer);
        self.findings.filled += 1;
        if found != expected {
            self.fail(&format!("{pointer} is {found:?}, not {expected:?}"));
        }
    }

    /// A limit of a cgroup. Where there is none, that is told (as the kernel counts it), and only what was not `read` is absent.
    fn bound(&mut self, pointer: &str, expected: Option<u64>, read: bool) {
        let none = |limit: u64| limit >= NO_LIMIT;
        match (expected.filter(|limit| !none(*limit)), self.number(pointer)) {
            (None, Some(found)) if none(found) => self.findings.filled += 1,
            (None, None) if !read => self.findings.filled += 1,
            (expected, _) => self.limit(pointer, expected.or(Some(NO_LIMIT))),
        }
    }

    /// The incident says that files were not read.
    fn without_files(&self) -> bool {
        says(self.incident, "Too many kills at once")
    }
}

/// The kernel's report against the incident's own figures.
fn reported(kill: &Kill, check: &mut Check<'_>) {
    let Some(report) = &kill.report else { return };
    for (name, (usage, limit)) in &report.counters {
        let (used, most) = match name.as_str() {
            "memory" => ("usage_bytes", "memory_bytes"),
            _ => ("swap_usage_bytes", "swap_bytes"),
        };
        check.near(&format!("/limits/{used}"), *usage);
        check.bound(&format!("/limits/{most}"), Some(*limit), true);
        if check.incident.pointer("/state/cgroups/0").is_some() {
            let (used, most) = match name.as_str() {
                "memory" => ("usage_bytes", "max_bytes"),
                _ => ("swap_usage_bytes", "swap_max_bytes"),
            };
            check.near(&format!("/state/cgroups/0/{used}"), *usage);
            check.bound(&format!("/state/cgroups/0/{most}"), Some(*limit), true);
        }
    }
    for (name, bytes) in &report.stats {
        check.near(&format!("/memory/{name}"), *bytes);
    }
}

/// Every level's limits are those that the case set.
fn levels(cgroup: &str, full: bool, check: &mut Check<'_>) {
    let found = check.incident.pointer("/state/cgroups").and_then(Value::as_array).map_or(0, Vec::len);
    let mut path = cgroup;
    let mut wanted = vec![path];
    while let Some((up, _)) = path.rsplit_once('/').filter(|_| path != "/") {
        path = if up.is_empty() { "/" } else { up };
        wanted.push(path);
    }
    if full && found != wanted.len() {
        check.fail(&format!("state.cgroups has {found} levels, not {wanted:?}"));
        return;
    }
    let truth: BTreeMap<String, Level> = check.truth.levels.clone();
    let mut below = 0;
    for (index, path) in wanted.iter().enumerate().take(found) {
        let at = |name: &str| format!("/state/cgroups/{index}/{name}");
        if check.text(&at("cgroup")) != Some(path) {
            check.fail(&format!("level {index} of state.cgroups is not {path}"));
            return;
        }
        if full && check.text(&at("source")) != Some("kernel") {
            check.fail(&format!("state of {path} is not from the kernel"));
        }
        let Some(level) = truth.get(*path).filter(|level| !level.root) else { continue };
        if full || check.number(&at("cgroup_id")).is_some() {
            check.limit(&at("cgroup_id"), Some(level.id));
        }
        check.bound(&at("max_bytes"), level.max_bytes, full);
        // Of v1 the kernel has no such counters.
        if level.oom_group.is_some() {
            check.bound(&at("high_bytes"), level.high_bytes, full);
            check.bound(&at("swap_max_bytes"), level.swap_max_bytes, full);
            let group = check.incident.pointer(&at("oom_group")).and_then(Value::as_bool);
            // Below the full level it is in a file, and here the directory may be removed before it is read.
            let unread = check.truth.case == "removed" && index == 0 && !full && group.is_none();
            if group != level.oom_group && !unread {
                check.fail(&format!("oom_group of {path} is {group:?}, not {:?}", level.oom_group));
            }
        }
        let usage = check.number(&at("usage_bytes")).unwrap_or(0);
        let slack = points::tolerance_bytes(check.truth);
        // Files are read later, the report is of now: they may be of two states. Levels may be, too, on an overloaded machine
        // whose kernel preempts the task that asks between two of them, while a victim next to it gives its memory back.
        if full && !check.truth.why.overloads && usage + slack < below {
            check.fail(&format!("{path} uses {usage}, what is in it {below}"));
        }
        below = usage;
        if check.truth.enclosed {
            if check.text(&at("memory_source")).is_some() {
                check.fail(&format!("{path} has a break-down, and its files cannot be seen"));
            }
        } else if index > 0
            && full
            && !check.without_files()
            && check.text(&at("memory_source")) != Some("files")
        {
            check.fail(&format!("{path} has no break-down from its files"));
        }
    }
}

/// Children that the case made, by what they used before it provoked anything: nobody's memory shrank since, but that of
/// earlier victims. (Where one has let go of its mm and its pages are still being freed, the kernel may kill once more.)
fn children(cgroup: &str, full: bool, check: &mut Check<'_>) {
    let truth = check.truth.levels.clone();
    let earlier: Vec<String> = check.earlier().filter_map(|victim| victim.cgroup.clone()).collect();
    let prefix = format!("{}/", cgroup.trim_end_matches('/'));
    let mine =
        truth.iter().filter(|(path, _)| path.strip_prefix(&prefix).is_some_and(|it| !it.contains('/')));
    let listed =
        check.incident.pointer("/state/children").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut made = 0;
    for (path, level) in mine {
        made += 1;
        let at = listed.iter().position(|it| it.get("cgroup").and_then(Value::as_str) == Some(path));
        let Some(index) = at else {
            if full {
                check.fail(&format!("{path} is not among the children"));
            }
            continue;
        };
        let at = |name: &str| format!("/state/children/{index}/{name}");
        check.limit(&at("cgroup_id"), Some(level.id));
        check.bound(&at("max_bytes"), level.max_bytes, full);
        let (before, now) = (level.usage_bytes.unwrap_or(0), check.number(&at("usage_bytes")).unwrap_or(0));
        let slack = points::tolerance_bytes(check.truth);
        if earlier.iter().any(|cgroup| cgroup == path || cgroup.starts_with(&format!("{path}/"))) {
            continue;
        }
        check.findings.filled += 1;
        // Files are read when the victim may be gone.
        if full && now + slack < before / 100 * 99 {
            check.fail(&format!("{path} used {before} before, and {now} at the kill"));
        }
    }
    if full {
        let total = check.number("/state/children_total");
        let expected = truth.get(cgroup).map(|level| level.children);
        if expected.is_some() && total != expected {
            check.fail(&format!("state.children_total is {total:?}, not {expected:?}"));
        }
        let sum: u64 = listed.iter().filter_map(|it| it.get("usage_bytes")?.as_u64()).sum();
        let whole = check.number("/state/cgroups/0/usage_bytes").unwrap_or(0);
        let slack = points::tolerance_bytes(check.truth);
        if sum > whole + slack {
            check.fail(&format!("{made} children use {sum}, the whole only {whole}"));
        }
    }
}

/// The break-down is the report's; without one the files', or the incident says why not.
fn break_down(kill: &Kill, full: bool, check: &mut Check<'_>) {
    let source = check.text("/memory_source").map(str::to_owned);
    match (&kill.report, source.as_deref()) {
        (Some(_), Some("report")) => {}
        (Some(_), other) => check.fail(&format!("memory_source is {other:?}, though there was a report")),
        (None, Some("files")) => {
            check.findings.filled += 1;
            let anon = check.number("/memory/anon_bytes");
            let limit = check.number("/limits/memory_bytes").unwrap_or(0);
            if anon.is_none_or(|anon| anon > limit + limit / 100) {
                check.fail(&format!("files say that {anon:?} bytes are anonymous, the limit is {limit}"));
            }
        }
        (None, _) if !full || check.without_files() => {}
        // Who asks for its files finds nothing; that there was no report is said.
        (None, None) if check.truth.case == REMOVED => {}
        // The kernel adds it up while it changes, which is rare.
        (None, None) if says(check.incident, "more memory than was in use") => {
            check.findings.files_doubted += 1;
        }
        (None, other) => check.fail(&format!("memory_source is {other:?}, and nothing says why")),
    }
}

/// What does not change within a case.
fn machine(full: bool, check: &mut Check<'_>) {
    if check.incident.pointer("/state/machine").is_none() {
        if full && !check.without_files() {
            check.fail("state.machine is missing");
        }
        return;
    }
    let meminfo = check.truth.meminfo.clone();
    for (name, pointer) in [
        ("MemTotal", "total_bytes"),
        ("SwapTotal", "swap_total_bytes"),
        ("CommitLimit", "commit_limit_bytes"),
    ] {
        // Huge pages, which the case gives back when it is over, count for the limit.
        let huge = || check.number("/state/machine/hugetlb_bytes") == meminfo.get("Hugetlb").copied();
        if name == "CommitLimit" && !huge() {
            continue;
        }
        if let Some(bytes) = meminfo.get(name) {
            check.near(&format!("/state/machine/{pointer}"), *bytes);
        }
    }
    let available = check.number("/state/machine/available_bytes");
    if available.is_none() {
        check.fail("state.machine.available_bytes is missing");
    }
    if full && check.number("/state/children_total").is_none() {
        check.fail("the children of the root were not counted");
    }
}
