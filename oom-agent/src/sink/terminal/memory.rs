//! What the memory was used for.

use super::Page;
use crate::incident::machine::Slab;
use crate::incident::model::Incident;
use crate::sink::text::{Line, Prose, Tone};
use crate::sink::{escape, units};
use std::cmp::Reverse;

/// Counters of a memory cgroup that do not overlap (`memory.stat`; `NAME_bytes` in the JSON).
const CGROUP: [&str; 11] = [
    "anon",
    "file",
    "slab",
    "slab_reclaimable",
    "slab_unreclaimable",
    "kernel_stack",
    "pagetables",
    "percpu",
    "sock",
    "vmalloc",
    "zswap",
];
/// Parts of them.
const CGROUP_PARTS: [&str; 2] = ["shmem", "unevictable"];

/// Counters of the machine that do not overlap (`Mem-Info:`). Its anonymous lists hold tmpfs too.
const MACHINE: [&str; 16] = [
    "active_anon",
    "inactive_anon",
    "isolated_anon",
    "active_file",
    "inactive_file",
    "isolated_file",
    "unevictable",
    "slab_reclaimable",
    "slab_unreclaimable",
    "kernel_misc_reclaimable",
    "pagetables",
    "sec_pagetables",
    "bounce",
    "hugetlb",
    "free",
    "free_pcp",
];
/// Parts of them.
const MACHINE_PARTS: [&str; 2] = ["shmem", "file_mapped"];

/// Slab caches below this share of the memory are not shown.
const BIG_SLAB: u64 = 100;
/// So many are.
const SLABS: usize = 5;

/// What the memory was used for: what is known of it and not zero, largest first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breakdown {
    /// It is the machine's, not a memory cgroup's.
    pub(crate) machine: bool,
    /// What was in use; of the machine what can be used.
    pub(crate) whole: Option<u64>,
    /// Counters that do not overlap.
    pub(crate) counters: Vec<(&'static str, u64)>,
    /// Parts of them.
    pub(crate) parts: Vec<(&'static str, u64)>,
}

impl Breakdown {
    /// Of an incident.
    pub(crate) fn of(incident: &Incident) -> Self {
        let machine = !incident.memory.contains_key("anon_bytes");
        let (counters, parts): (&[&'static str], &[&'static str]) =
            if machine { (&MACHINE, &MACHINE_PARTS) } else { (&CGROUP, &CGROUP_PARTS) };
        // The parts of slab say more than slab.
        let split = counter(incident, "slab_unreclaimable").is_some();
        let known = |names: &[&'static str]| {
            let names = names.iter().filter(|name| !(split && **name == "slab"));
            let known = names.filter_map(|name| Some((*name, counter(incident, name)?)));
            let mut known: Vec<_> = known.filter(|(_, bytes)| *bytes > 0).collect();
            known.sort_by_key(|(_, bytes)| Reverse(*bytes));
            known
        };
        let whole = if machine { usable(incident) } else { incident.limits.usage_bytes };
        Self { machine, whole, counters: known(counters), parts: known(parts) }
    }
}

/// The break-down, largest first, with shares.
pub(super) fn lines(incident: &Incident, page: &Page) -> Vec<Line> {
    let Breakdown { machine, whole, counters, parts } = Breakdown::of(incident);
    let mut prose = Prose::new();
    if let Some(whole) = whole.filter(|_| machine) {
        prose.say(Tone::Plain, &format!("of {}:", units::bytes(whole)));
    }
    let any = list(&mut prose, &counters, whole);
    let mut lines = if any { prose.wrap(page.prose()) } else { Vec::new() };
    let mut prose = Prose::new();
    prose.say(Tone::Plain, if any { "in these:" } else { "" });
    if list(&mut prose, &parts, None) {
        lines.extend(prose.wrap(page.prose()));
    }
    lines
}

/// Appends what is known; whether there was any.
fn list(prose: &mut Prose, known: &[(&str, u64)], whole: Option<u64>) -> bool {
    for (index, (name, bytes)) in known.iter().enumerate() {
        let comma = if index + 1 < known.len() { "," } else { "" };
        let text = format!("{name} {}{}{comma}", units::bytes(*bytes), share(*bytes, whole));
        prose.say(Tone::Plain, " ").atom(Tone::Plain, &text);
    }
    !known.is_empty()
}

/// ` (98%)`; nothing where it is less than one.
pub(crate) fn share(bytes: u64, whole: Option<u64>) -> String {
    let Some(whole) = whole.filter(|whole| *whole > 0 && bytes <= *whole) else { return String::new() };
    match u128::from(bytes) * 100 / u128::from(whole) {
        0 => String::new(),
        percent => format!(" ({percent}%)"),
    }
}

fn counter(incident: &Incident, name: &str) -> Option<u64> {
    incident.memory.get(&*format!("{name}_bytes")).copied()
}

/// The machine's memory less what never was the page allocator's.
fn usable(incident: &Incident) -> Option<u64> {
    counter(incident, "ram")?.checked_sub(counter(incident, "reserved")?)
}

/// The machine's swap.
pub(super) fn swap(incident: &Incident, _page: &Page) -> Vec<Line> {
    let Some(total) = counter(incident, "swap_total") else { return Vec::new() };
    let text = if total == 0 {
        "none".to_owned()
    } else {
        let free = units::maybe_bytes(counter(incident, "swap_free"));
        format!("{free} of {} free", units::bytes(total))
    };
    vec![Line::new(Tone::Plain, text)]
}

/// The largest slab caches that cannot be reclaimed. The kernel prints them where all of them together are larger than what
/// user space has (`should_dump_unreclaim_slab`).
pub(super) fn slabs(incident: &Incident, page: &Page) -> Vec<Line> {
    let whole = usable(incident);
    let mut big: Vec<&Slab> = incident
        .unreclaimable_slabs
        .iter()
        .filter(|slab| slab.total_bytes >= whole.map_or(1, |whole| whole / BIG_SLAB).max(1))
        .collect();
    big.sort_by_key(|slab| Reverse(slab.total_bytes));
    big.truncate(SLABS);
    let Some(last) = big.len().checked_sub(1) else { return Vec::new() };
    let mut prose = Prose::new();
    prose.say(Tone::Plain, "unreclaimable:");
    for (index, Slab { name, used_bytes, total_bytes }) in big.into_iter().enumerate() {
        let comma = if index < last { "," } else { "" };
        let used = if used_bytes < total_bytes {
            format!(", {} of it used", units::bytes(*used_bytes))
        } else {
            String::new()
        };
        let text = format!(
            "{} {}{}{used}{comma}",
            escape::name(name),
            units::bytes(*total_bytes),
            share(*total_bytes, whole)
        );
        prose.say(Tone::Plain, " ").say(Tone::Plain, &text);
    }
    prose.wrap(page.prose())
}
