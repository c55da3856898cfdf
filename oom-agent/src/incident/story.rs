//! What an incident alone does not know: the kills before it on the same machine.

use super::diagnosis::diagnose;
use super::growth::Growth;
use super::model::Incident;

/// The incidents of one machine, in their order.
#[derive(Debug, Default)]
pub struct Story {}

impl Story {
    /// Adds what follows from the whole of an incident and from those before it. The last step in making one.
    pub fn complete(&mut self, incident: &mut Incident, growth: Option<Growth>) {
        incident.growth = growth;
        incident.diagnosis = diagnose(incident);
    }
}
