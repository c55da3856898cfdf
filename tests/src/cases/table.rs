//! The cases.

use super::group::Hierarchy;
use super::machine::{Swap, booted_with, is_throwaway, may_lower_adj, memory_nodes};
use super::stage::{Machine, Stage};
use super::{
    again, enclosed, faults, hard, hard_input, least, memcg, rank, since_boot, strained, survive, suspend,
    totals, why, wide,
};
use anyhow::Result;

/// What a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Memory cgroups v1.
    V1,
    /// Memory cgroups v2.
    V2,
    /// A machine where nothing else lives.
    Throwaway,
    /// Two NUMA nodes.
    Nodes,
    /// A disk to swap to.
    Swap,
    /// `oom_score_adj` below 0.
    LowAdj,
    /// Suspend to idle, and an alarm that ends it.
    Sleep,
    /// A VM that is stopped again and again.
    Pauses,
}

impl Need {
    /// Why this machine does not have it.
    pub(crate) fn missing(self, machine: &Machine) -> Option<&'static str> {
        match self {
            Self::V1 => (machine.hierarchy != Hierarchy::V1).then_some("memory cgroups are v2 here"),
            Self::V2 => (machine.hierarchy != Hierarchy::V2).then_some("memory cgroups are v1 here"),
            Self::Throwaway => (!is_throwaway())
                .then_some("machine-wide: only with OOM_GUEST=1 in a machine booted with oom.guest=1"),
            Self::Nodes => {
                (!memory_nodes().is_ok_and(|nodes| nodes.len() > 1)).then_some("one NUMA node with memory")
            }
            Self::LowAdj => (!may_lower_adj())
                .then_some("oom_score_adj may not be lowered here: CAP_SYS_RESOURCE is missing"),
            Self::Sleep => (!suspend::can_sleep()).then_some("it cannot be suspended and wake up by itself"),
            Self::Pauses => {
                (!booted_with("oom.pauses=1")).then_some("only in a VM that is stopped now and then")
            }
            Self::Swap => Swap::disk().is_none().then_some("no disk with the serial number swap"),
        }
    }
}

/// A case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Need],
    /// It takes long, so it runs only if asked for, and has an agent of its own, so that it can measure it.
    pub(crate) heavy: bool,
    /// About the agent rather than the kernel, so it runs only if asked for.
    pub(crate) hard: bool,
    /// It waits more than it works, so it runs only if asked for: beside others that work.
    pub(crate) slow: bool,
    pub(crate) run: fn(&mut Stage<'_>) -> Result<()>,
}

const fn case(name: &'static str, needs: &'static [Need], run: fn(&mut Stage<'_>) -> Result<()>) -> Case {
    Case { name, needs, heavy: false, hard: false, slow: false, run }
}

const fn about_agent(
    name: &'static str,
    needs: &'static [Need],
    run: fn(&mut Stage<'_>) -> Result<()>,
) -> Case {
    Case { name, needs, heavy: false, hard: true, slow: false, run }
}

const fn slow(name: &'static str, needs: &'static [Need], run: fn(&mut Stage<'_>) -> Result<()>) -> Case {
    Case { name, needs, heavy: false, hard: false, slow: true, run }
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    case("memcg_v2", &[Need::V2, Need::LowAdj], memcg::adj),
    case("memcg_v1", &[Need::V1, Need::LowAdj], memcg::adj),
    case("nested", &[], memcg::nested),
    case("group_kill", &[Need::V2, Need::LowAdj], memcg::group_kill),
    case("no_table", &[], memcg::no_table),
    case("none_killable", &[Need::LowAdj], memcg::none_killable),
    case("headless", &[], memcg::headless),
    case("shared", &[], memcg::shared),
    case("shmem", &[], memcg::shmem),
    case("removed", &[], memcg::removed),
    case("rank_memcg", &[], rank::memcg),
    case("rank_global", &[Need::Throwaway], rank::global),
    case("swap_memcg", &[Need::Throwaway, Need::Swap], memcg::swap),
    case("sysrq", &[Need::Throwaway], wide::sysrq),
    case("global", &[Need::Throwaway], wide::global),
    case("allocating_task", &[Need::Throwaway], wide::allocating_task),
    case("swap_global", &[Need::Throwaway, Need::Swap], wide::swap),
    case("cpuset", &[Need::V2, Need::Throwaway, Need::Nodes], wide::cpuset),
    case("memory_policy", &[Need::Throwaway, Need::Nodes], wide::memory_policy),
    case("again", &[], again::again),
    case("burst", &[], memcg::burst),
    case("why_tmpfs", &[Need::Throwaway], why::tmpfs),
    case("why_mlock", &[], why::mlock),
    case("why_neighbour", &[], why::neighbour),
    case("why_fork_bomb", &[Need::LowAdj], why::fork_bomb),
    case("why_group", &[Need::V2], why::group),
    case("totals", &[Need::Throwaway], totals::totals),
    case("hundred", &[Need::V2, Need::Throwaway], faults::hundred),
    case("pid_reuse", &[Need::Throwaway], faults::pid_reuse),
    slow("why_leak", &[], why::leak),
    slow("why_burst", &[], why::burst),
    slow("stopped", &[Need::Throwaway], faults::stopped),
    Case { name: "burst1000", needs: &[], heavy: true, hard: false, slow: false, run: memcg::burst1000 },
    about_agent("idle", &[Need::Throwaway], hard::idle),
    about_agent("since_boot", &[Need::Throwaway], since_boot::since_boot),
    about_agent("daemon_killed", &[Need::Throwaway], survive::killed),
    about_agent("daemon_away", &[Need::Throwaway], survive::away),
    about_agent("daemon_counted", &[Need::V2, Need::Throwaway], survive::counted),
    about_agent("daemon_storm", &[Need::V2, Need::Throwaway, Need::LowAdj], survive::storm),
    about_agent("usage", &[], hard_input::usage),
    about_agent("privileges", &[Need::Throwaway], hard_input::privileges),
    about_agent("least_privilege", &[Need::Throwaway], least::privilege),
    about_agent("glob", &[], hard_input::glob),
    about_agent("two_agents", &[], hard::two_agents),
    about_agent("others_leave", &[Need::Throwaway], hard::others_leave),
    about_agent("btf", &[Need::Throwaway], hard::btf),
    about_agent("clock", &[Need::Throwaway], hard::clock),
    about_agent("many", &[Need::Throwaway], hard::many),
    about_agent("stdout_full", &[], hard::stdout_full),
    about_agent("stdout_closed", &[], hard_input::stdout_closed),
    about_agent("namespaces", &[Need::V2, Need::Throwaway], enclosed::namespaces),
    about_agent("log_wrapped", &[Need::Throwaway], strained::log_wrapped),
    case("slow_exit", &[Need::V2, Need::Throwaway], strained::slow_exit),
    about_agent("cpu_limit", &[Need::V2, Need::Throwaway], strained::slow),
    about_agent("suspended", &[Need::Throwaway, Need::Sleep], suspend::suspended),
    about_agent("paused", &[Need::Throwaway, Need::Pauses], suspend::paused),
    about_agent("ring_full", &[Need::Throwaway], hard::ring_full),
];
