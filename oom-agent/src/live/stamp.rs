//! What the sources do not know of an incident: where and when it was.

use crate::{
    clock,
    incident::{id::incident_id, model::Incident},
};

/// What the sources do not know of an incident.
pub(super) struct Stamp {
    pub(super) node: Option<String>,
    pub(super) boot_id: Option<String>,
    pub(super) kernel_release: Option<String>,
    pub(super) number: u64,
}

impl Stamp {
    /// An incident with all of it.
    pub(super) fn on(&mut self, mut incident: Incident) -> Incident {
        self.number += 1;
        let began = incident.boottime_ns.unwrap_or_else(clock::boottime_ns);
        if let Some((unix_ms, time)) = clock::wall(began) {
            let boot_id = self.boot_id.as_deref().unwrap_or_default();
            incident.id = incident_id(unix_ms, boot_id, began, self.number);
            incident.time = Some(time);
        }
        incident.node.clone_from(&self.node);
        incident.boot_id.clone_from(&self.boot_id);
        incident.kernel_release.clone_from(&self.kernel_release);
        incident
    }
}
