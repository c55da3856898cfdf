//! One line of a log: what its writers put around the kernel's message, and the message.

use super::Wall;
use std::borrow::Cow;

/// A message of the kernel and what stands around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// Name of the machine, where the log has it.
    pub host: Option<Cow<'a, str>>,
    /// Id of its boot, where the log has it.
    pub boot_id: Option<Cow<'a, str>>,
    /// The log's own clock, nanoseconds since boot.
    pub boot_ns: Option<u64>,
    /// Date and time of day.
    pub wall: Option<Wall>,
    /// Thread that printed it (`CONFIG_PRINTK_CALLER`).
    pub context: Option<u32>,
    /// The log says that another program than the kernel wrote it.
    pub is_foreign: bool,
    /// The message; bytes that are not UTF-8 as `\xNN`.
    pub message: Cow<'a, str>,
}

/// Reads a line.
pub fn parse(line: &[u8]) -> Line<'_> {
    let report = crate::report::line::parse(line);
    Line { boot_ns: report.time_ns, context: report.context, message: report.message, ..Line::default() }
}
