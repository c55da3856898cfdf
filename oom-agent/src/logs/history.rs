//! The kills before each one in the same log.

use super::{Found, times};
use crate::identity::fill;
use crate::incident::story::Story;

/// The machines of one log. Each incident is told once in it.
#[derive(Debug, Default)]
pub(super) struct History {
    story: Story,
}

impl History {
    /// Adds to incidents whose cgroups they are about, and what those before them say. Dates go on over a restart of the machine; where there are none,
    /// a time since boot that goes back is another boot's.
    pub(super) fn complete(&mut self, found: &mut [Found]) {
        for Found { incident, wall } in found {
            fill::paths(incident);
            let time_ns = wall.as_ref().and_then(times::since_1970).or(incident.boottime_ns);
            self.story.complete_at(incident, time_ns, None);
        }
    }
}
