//! What the kernel counts of BPF programs while `kernel.bpf_stats_enabled` is 1.

use super::measured::Stats;
use crate::workload::sys;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Of all programs that are loaded, by name (15 characters of it).
pub(super) fn stats() -> Result<BTreeMap<String, Stats>> {
    let mut all: BTreeMap<String, Stats> = BTreeMap::new();
    let mut id = 0;
    while let Some(next) = sys::next_bpf_program(id).context("BPF_PROG_GET_NEXT_ID")? {
        id = next;
        let Ok(info) = sys::bpf_program(id) else { continue };
        let sum = all.entry(info.name).or_default();
        sum.run_time_ns += info.run_time_ns;
        sum.run_cnt += info.run_cnt;
    }
    Ok(all)
}
