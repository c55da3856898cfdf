//! Which level of the hierarchy is full, and who filled it.

use super::{Page, whose};
use crate::incident::identity::Identity;
use crate::incident::model::{Incident, ScopeKind, limited};
use crate::incident::state::{CgroupState, MachineState, State};
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{path, units};

/// Children that are named.
const NAMED: usize = 4;
/// Columns of a name.
const NAME: usize = 40;
/// A level with less than this share of its limit left is full too, in per cent.
const FULL: u64 = 1;
/// Huge pages of less than this share of the memory are not worth a word, in per cent.
const HUGE: u64 = 3;

/// Lines below the limit that was hit; none where they would say nothing.
pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let Some(state) = &incident.state else { return Vec::new() };
    let memcg = incident.scope.kind == Some(ScopeKind::Memcg);
    let mut lines = Vec::new();
    if memcg {
        lines.extend(full(incident, state, page));
        lines.extend(above(state, page));
    } else {
        lines.extend(filled(state, &incident.scope.identity, page, "filled by"));
        lines.extend(state.machine.iter().flat_map(|machine| promised(machine, page)));
    }
    lines
}

/// The full one and its largest children.
fn full(incident: &Incident, state: &State, page: &Page) -> Vec<Line> {
    filled(state, &incident.scope.identity, page, "full here, filled by")
}

fn filled(state: &State, scope: &Identity, page: &Page, begin: &str) -> Vec<Line> {
    let used = |child: &&CgroupState| child.usage_bytes.is_some_and(|bytes| bytes > 0);
    let mut prose = Prose::new();
    for (index, child) in state.children.iter().filter(used).take(NAMED).enumerate() {
        prose.say(Tone::Plain, if index == 0 { begin } else { "," });
        let leaf = || path::shorten(path::leaf(&path::shown(&child.cgroup)), NAME);
        let name = whose::cell(&child.identity, scope).unwrap_or_else(leaf);
        prose.say(Tone::Plain, " ");
        prose.atom(Tone::Plain, &format!("{name} {}", units::maybe_bytes(child.usage_bytes)));
    }
    let shown = state.children.iter().filter(used).count().min(NAMED);
    if shown == 0 {
        return Vec::new();
    }
    match state.children_total.map(|total| total.saturating_sub(shown as u64)) {
        Some(0) => {}
        Some(more) => drop(prose.say(Tone::Plain, &format!(", and {more} more"))),
        None => drop(prose.say(Tone::Plain, ", and others")),
    }
    prose.wrap(page.prose())
}

/// Those above it that have a limit.
fn above(state: &State, page: &Page) -> Vec<Line> {
    let limited = state
        .cgroups
        .iter()
        .skip(1)
        .filter_map(|level| Some((level, level.usage_bytes?, limited(level.max_bytes)?)));
    let lines = limited.map(|(level, usage, max)| {
        let full = max.saturating_sub(usage) <= max / 100 * FULL;
        let begin = if full { "full too:" } else { "not full:" };
        let room = page.room().saturating_sub(begin.len() + 24);
        let name = path::shorten(&path::shown(&level.cgroup), room);
        let text = format!("{begin} {name} {} of {}", units::bytes(usage), units::bytes(max));
        Line::new(Tone::Plain, crate::sink::escape::cut(&text, page.room()))
    });
    lines.collect()
}

/// What was promised, where that counts, and what nobody else can have.
fn promised(machine: &MachineState, page: &Page) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut say =
        |text: String| lines.push(Line::new(Tone::Plain, crate::sink::escape::cut(&text, page.room())));
    if let (Some(2), Some(committed), Some(limit)) =
        (machine.overcommit_memory, machine.committed_bytes, machine.commit_limit_bytes)
    {
        let (committed, limit) = (units::bytes(committed), units::bytes(limit));
        say(format!("promised {committed} of {limit} that may be (vm.overcommit_memory 2)"));
    }
    if let (Some(huge), Some(total)) = (machine.hugetlb_bytes, machine.total_bytes)
        && huge > total / 100 * HUGE
    {
        let free = machine.hugetlb_free_bytes.map(|free| format!(", {} of it unused", units::bytes(free)));
        say(format!("{} set aside for huge pages{}", units::bytes(huge), free.unwrap_or_default()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::model::Scope;
    use crate::incident::state::Source;
    use crate::sink::terminal::Show;

    const MIB: u64 = 1 << 20;

    fn level(cgroup: &str, usage: u64, max: Option<u64>) -> CgroupState {
        CgroupState {
            usage_bytes: Some(usage * MIB),
            max_bytes: max.map(|max| max * MIB),
            ..CgroupState::new(cgroup, None, Source::Kernel)
        }
    }

    fn said(kind: ScopeKind, state: State) -> Vec<String> {
        let scope = Scope { kind: Some(kind), ..Scope::default() };
        let incident = Incident { scope, state: Some(state), ..Incident::default() };
        let page = Page { width: 80, candidates: Show::All, whole: false };
        let text = |line: Line| {
            let mut out = String::new();
            line.write(&mut out, false);
            out.trim_end().to_owned()
        };
        lines(&incident, &page).into_iter().map(text).collect()
    }

    #[test]
    fn the_full_level_is_named_with_who_filled_it() {
        let cgroups =
            vec![level("/k/pod", 512, Some(512)), level("/k", 700, Some(4096)), level("/", 0, None)];
        let children = vec![level("/k/pod/app", 498, None), level("/k/pod/e\u{1b}vil x", 12, Some(64))];
        let state = State { cgroups, children, children_total: Some(2), ..State::default() };
        assert_eq!(
            said(ScopeKind::Memcg, state.clone()),
            ["full here, filled by app 498 MiB, e\\x1bvil\\x20x 12 MiB", "not full: /k 700 MiB of 4 GiB",]
        );
        let full = State {
            cgroups: vec![level("/k/pod", 512, Some(512)), level("/k", 512, Some(512))],
            children_total: Some(9),
            ..state.clone()
        };
        assert_eq!(
            said(ScopeKind::Memcg, full),
            [
                "full here, filled by app 498 MiB, e\\x1bvil\\x20x 12 MiB, and 7 more",
                "full too: /k 512 MiB of 512 MiB",
            ]
        );
        assert_eq!(
            said(ScopeKind::Memcg, State { children: Vec::new(), cgroups: Vec::new(), ..state }),
            [""; 0]
        );
    }

    #[test]
    fn the_machine_says_what_nobody_can_have() {
        let machine = MachineState {
            total_bytes: Some(1000 * MIB),
            overcommit_memory: Some(2),
            committed_bytes: Some(900 * MIB),
            commit_limit_bytes: Some(950 * MIB),
            hugetlb_bytes: Some(200 * MIB),
            hugetlb_free_bytes: Some(100 * MIB),
            ..MachineState::default()
        };
        let children = vec![level("/kubepods.slice", 600, None)];
        let state = State { children, machine: Some(machine.clone()), ..State::default() };
        assert_eq!(
            said(ScopeKind::Global, state),
            [
                "filled by kubepods.slice 600 MiB, and others",
                "promised 900 MiB of 950 MiB that may be (vm.overcommit_memory 2)",
                "200 MiB set aside for huge pages, 100 MiB of it unused",
            ]
        );
        let quiet = MachineState { overcommit_memory: Some(0), hugetlb_bytes: Some(9 * MIB), ..machine };
        assert_eq!(said(ScopeKind::Global, State { machine: Some(quiet), ..State::default() }), [""; 0]);
    }
}
