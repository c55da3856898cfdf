//! What led to the kill and what helps: a table of rules over a finished incident.
//!
//! A rule says only what follows from evidence in the incident, with its numbers, and how sure it is. Nothing in the
//! sentences is a name that a user chose: processes are named by what they are to the kill and by their process id.
//!
//! # Layout
//! - this file: the explanations, the table and its order.
//! - `view`: what several rules ask of an incident, asked once.
//! - `growth`, `limits`, `neighbours`, `unfreed`, `kernel_memory`, `machine`, `settings`, `kills`: the rules, by topic.

mod growth;
mod kernel_memory;
mod kills;
mod limits;
mod machine;
mod neighbours;
mod settings;
#[cfg(test)]
mod tests;
mod unfreed;
mod view;

use super::model::Incident;
use super::verdict::Confidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use view::View;

/// One explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// For machines.
    pub code: Code,
    /// How sure it is.
    pub confidence: Confidence,
    /// One sentence, without its full stop.
    pub title: String,
    /// What it follows from, with the numbers.
    pub because: Vec<String>,
    /// What helps, one or two sentences.
    pub advice: String,
    /// The section that explains it: `docs/oom-killer.md#...`.
    pub docs: String,
}

/// The explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Memory grew at a steady rate up to the limit.
    SteadyLeak,
    /// Memory grew to the limit within seconds.
    Burst,
    /// The limit is smaller than what is used all the time.
    LimitBelowWorkingSet,
    /// The pod's limit was full, the container has none.
    PodLimitOnly,
    /// Who asked, or died, is not who filled the memory.
    NoisyNeighbour,
    /// `oom_score_adj` decided: another held more.
    AdjDecided,
    /// What filled the memory does not go with a process.
    KillDidNotHelp,
    /// Swap was full.
    SwapExhausted,
    /// Locked, unevictable or pinned memory.
    NothingReclaimable,
    /// Free memory, but no block that is large enough.
    Fragmentation,
    /// Other nodes had free memory.
    NodesImbalanced,
    /// Kernel memory or page tables out of proportion.
    KernelMemory,
    /// Many small processes.
    ForkBomb,
    /// Nobody could be killed.
    EverythingExempt,
    /// `vm.oom_kill_allocating_task`.
    AllocatingTask,
    /// `vm.panic_on_oom`.
    PanicOnOom,
    /// A whole cgroup was killed where one process held nearly all.
    GroupKillLarge,
    /// A process of a container was killed, and the container goes on without it.
    ChildKilled,
    /// Killed again and again in the same place.
    RestartLoop,
    /// Many kills at once.
    Storm,
    /// An operator ordered it.
    Ordered,
    /// One process held most of it; how it came to that was not seen.
    LargeProcess,
    /// It cannot be told, and this is missing.
    NotEnoughEvidence,
}

/// What a row of the table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It says why there was no memory left.
    Cause,
    /// It says why it ended as it did.
    Circumstance,
    /// Asked only if no cause was found before.
    Fallback,
}

/// A rule and what it is about.
struct Row {
    code: Code,
    kind: Kind,
    /// The heading in docs/oom-killer.md.
    anchor: &'static str,
    rule: fn(&View<'_>) -> Option<Found>,
}

/// What a rule found.
#[derive(Debug)]
struct Found {
    confidence: Confidence,
    title: String,
    because: Vec<String>,
    advice: String,
}

impl Found {
    fn new(confidence: Confidence, title: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { confidence, title: title.into(), because: Vec::new(), advice: advice.into() }
    }

    fn because(mut self, part: String) -> Self {
        self.because.push(part);
        self
    }
}

const fn row(code: Code, kind: Kind, anchor: &'static str, rule: fn(&View<'_>) -> Option<Found>) -> Row {
    Row { code, kind, anchor, rule }
}

/// The rules in the order in which an operator should hear of them. Where several fit, these decide:
/// - What was no lack of memory comes first: an order, a setting, memory that nobody may be killed for, free memory in
///   the wrong form or place.
/// - Then what the memory was, if it is of a kind that a kill or reclaim does not free. It grew somehow, too, and that it
///   grew at once says less. Many small processes come before: their page tables and stacks are kernel memory as well.
/// - Then who filled it, if it is not who died: the curve is that one's.
/// - A steady curve comes before full swap and a group's kill: with a leak swap fills in any case and every limit is
///   reached. A burst comes after both: that is how memory comes to be full where nothing else is known.
/// - Then the circumstances: why this one, why so many, how often.
///
/// What is only possible comes after all that is sure or likely.
const TABLE: &[Row] = &[
    row(Code::Ordered, Kind::Cause, "sysrq-f", settings::ordered),
    row(Code::PanicOnOom, Kind::Circumstance, "panic_on_oom", settings::panic_on_oom),
    row(Code::EverythingExempt, Kind::Cause, "nobody-left-to-kill", settings::everything_exempt),
    row(Code::Fragmentation, Kind::Cause, "compaction", machine::fragmentation),
    row(Code::NodesImbalanced, Kind::Cause, "numa-and-cpusets", machine::nodes_imbalanced),
    row(Code::ForkBomb, Kind::Cause, "many-small-processes", machine::fork_bomb),
    row(Code::KillDidNotHelp, Kind::Cause, "tmpfs-and-shared-memory", unfreed::tmpfs),
    row(Code::KillDidNotHelp, Kind::Cause, "huge-pages", unfreed::huge_pages),
    row(Code::NothingReclaimable, Kind::Cause, "locked-and-unevictable-memory", unfreed::locked),
    row(Code::KernelMemory, Kind::Cause, "page-tables", kernel_memory::page_tables),
    row(Code::KernelMemory, Kind::Cause, "slab-and-other-kernel-memory", kernel_memory::other),
    row(Code::NoisyNeighbour, Kind::Cause, "badness", neighbours::innocent_victim),
    row(Code::SteadyLeak, Kind::Cause, "leak-burst-or-limit-too-small", growth::steady_leak),
    row(Code::NoisyNeighbour, Kind::Cause, "which-level-is-full", neighbours::shared_limit),
    row(Code::SwapExhausted, Kind::Cause, "swap", limits::swap_exhausted),
    row(Code::LimitBelowWorkingSet, Kind::Cause, "leak-burst-or-limit-too-small", limits::below_working_set),
    row(Code::GroupKillLarge, Kind::Circumstance, "group-kill", kills::group_kill_large),
    row(Code::Burst, Kind::Cause, "leak-burst-or-limit-too-small", growth::burst),
    row(Code::AdjDecided, Kind::Circumstance, "badness", neighbours::adj_decided),
    row(Code::AllocatingTask, Kind::Circumstance, "oom_kill_allocating_task", settings::allocating_task),
    row(Code::KillDidNotHelp, Kind::Cause, "which-level-is-full", unfreed::left_behind),
    row(Code::NothingReclaimable, Kind::Cause, "writeback", unfreed::file_cache),
    row(Code::LargeProcess, Kind::Fallback, "leak-burst-or-limit-too-small", growth::large_process),
    row(Code::PodLimitOnly, Kind::Circumstance, "which-level-is-full", limits::pod_limit_only),
    row(Code::ChildKilled, Kind::Circumstance, "group-kill", kills::child_killed),
    row(Code::Storm, Kind::Circumstance, "recovery", kills::storm),
    row(Code::RestartLoop, Kind::Circumstance, "recovery", kills::restart_loop),
    row(Code::KillDidNotHelp, Kind::Circumstance, "recovery", unfreed::little_given_back),
    row(Code::NotEnoughEvidence, Kind::Fallback, "what-to-look-at", growth::not_enough_evidence),
];

impl Code {
    /// Every one, once, in their own order.
    pub fn all() -> impl Iterator<Item = Self> {
        let codes: std::collections::BTreeSet<Self> = TABLE.iter().map(|row| row.code).collect();
        codes.into_iter()
    }

    /// In few words, for lists.
    pub fn words(self) -> &'static str {
        match self {
            Self::SteadyLeak => "steady leak",
            Self::Burst => "burst",
            Self::LimitBelowWorkingSet => "limit below the working set",
            Self::PodLimitOnly => "limit of the pod alone",
            Self::NoisyNeighbour => "noisy neighbour",
            Self::AdjDecided => "oom_score_adj decided",
            Self::KillDidNotHelp => "memory that a kill does not free",
            Self::SwapExhausted => "swap exhausted",
            Self::NothingReclaimable => "nothing reclaimable",
            Self::Fragmentation => "fragmentation",
            Self::NodesImbalanced => "nodes imbalanced",
            Self::KernelMemory => "kernel memory",
            Self::ForkBomb => "many small processes",
            Self::EverythingExempt => "nobody killable",
            Self::AllocatingTask => "oom_kill_allocating_task",
            Self::PanicOnOom => "panic_on_oom",
            Self::GroupKillLarge => "group kill for one process",
            Self::ChildKilled => "child killed",
            Self::RestartLoop => "restart loop",
            Self::Storm => "storm",
            Self::Ordered => "ordered",
            Self::LargeProcess => "one large process",
            Self::NotEnoughEvidence => "not enough evidence",
        }
    }
}

/// The explanations, most useful first. Never empty.
pub fn diagnose(incident: &Incident) -> Vec<Diagnosis> {
    let view = View::of(incident);
    let mut known = false;
    let mut found: Vec<Diagnosis> = Vec::new();
    for Row { code, kind, anchor, rule } in TABLE {
        if (*kind == Kind::Fallback && known) || found.iter().any(|other| other.code == *code) {
            continue;
        }
        let Some(Found { confidence, title, because, advice }) = rule(&view) else { continue };
        known |= *kind != Kind::Circumstance;
        let docs = format!("docs/oom-killer.md#{anchor}");
        found.push(Diagnosis { code: *code, confidence, title, because, advice, docs });
    }
    // Stable: those that are as sure stay in the order of the table.
    found.sort_by_key(|diagnosis| diagnosis.confidence == Confidence::Possible);
    found
}
