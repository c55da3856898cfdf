//! How many kills the kernel counted.

use super::Parts;
use crate::incident::counted::Within;
use crate::incident::model::Victim;

/// One for each line, if none is missing: no victim is without one, and no more were printed than can have been.
pub(super) fn kills(parts: &Parts<'_>, victims: &[Victim]) -> Option<u64> {
    let logged = &parts.pending.logged;
    let possible = Within::of_victims(victims);
    let whole = !logged.gap && parts.pending.dropped == 0 && !parts.pending.again;
    Some(logged.counted).filter(|counted| whole && (possible.least..=possible.most).contains(counted))
}
