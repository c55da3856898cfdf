//! Candidates by call, until their call is told or turns out not to be worth telling.

use crate::incident::fact::Candidate;
use std::collections::BTreeMap;

/// Candidates kept at once, over all calls.
pub(super) const MAX_CANDIDATES: usize = 65_536;

/// What the kernel looked at in one call, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In the order of the scan.
    pub(super) candidates: Vec<Candidate>,
    /// More came than can be kept.
    pub(super) dropped: u64,
}

/// Scans of calls that are not complete.
#[derive(Debug, Default)]
pub(super) struct Scans {
    by_call: BTreeMap<u64, Scan>,
    kept: usize,
}

impl Scans {
    /// Takes a candidate. `told` says whether a call was announced: those give up their candidates last.
    pub(super) fn push(&mut self, candidate: Candidate, told: impl Fn(u64) -> bool) {
        let call = candidate.call;
        while self.kept >= MAX_CANDIDATES {
            // The kernel is at a later call already; what was not announced till now is most likely never.
            let Some(victim) = self.by_call.keys().copied().find(|&other| other < call && !told(other))
            else {
                self.by_call.entry(call).or_default().dropped += 1;
                return;
            };
            drop(self.take(victim));
        }
        self.by_call.entry(call).or_default().candidates.push(candidate);
        self.kept += 1;
    }

    /// Candidates that came for this call.
    pub(super) fn received(&self, call: u64) -> u64 {
        self.by_call.get(&call).map_or(0, |scan| scan.candidates.len() as u64)
    }

    /// Gives what came for this call.
    pub(super) fn take(&mut self, call: u64) -> Scan {
        let scan = self.by_call.remove(&call).unwrap_or_default();
        self.kept -= scan.candidates.len();
        scan
    }

    /// Forgets calls before this one that were not announced: the kernel announces in order, so they never will be.
    pub(super) fn forget_before(&mut self, call: u64, told: impl Fn(u64) -> bool) {
        let stale: Vec<u64> =
            self.by_call.range(..call).map(|(&call, _)| call).filter(|&c| !told(c)).collect();
        for call in stale {
            drop(self.take(call));
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.by_call.len().max(self.kept)
    }
}
