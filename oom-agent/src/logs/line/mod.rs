//! One line of a log: what its writers put around the kernel's message, and the message.
//!
//! Writers wrap each other: a collector's line holds a syslog line, which holds a line of dmesg. So layers are peeled off
//! from the left, one by one, until none fits. A layer is taken if it is complete, and only where it may be: nothing is
//! peeled off what the kernel itself wrote.
//!
//! # Layout
//! - `layers`: a layer is a function from bytes to a `Head`; `layer` says which ones begin with which byte.
//! - [`mod@export`]: `journalctl -o export`, which has no lines.
//! - `dmesg`, `syslog`, `journal`, `container`, `json`, `colour`: layers by who writes them.
//! - `dates`, `text`: what they are made of. `control`: what was done to the message itself.

mod colour;
mod container;
mod control;
mod dates;
mod dmesg;
pub mod export;
mod journal;
mod json;
mod layers;
mod syslog;
#[cfg(test)]
mod tests;
pub(super) mod text;

use super::Stamp;
use crate::report::line::utf8;
use layers::{Body, Head, Inner, layer};
use std::borrow::Cow;

/// Layers around one message, at most.
const MOST_LAYERS: usize = 8;
/// What follows on the name of a process that users choose, at the beginning of a message of the kernel. No other
/// message begins with what users choose.
const INVOKED: &[u8] = b"invoked oom-killer: ";

/// A message of the kernel and what stands around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// Name of the machine, where the log has it.
    pub host: Option<Cow<'a, str>>,
    /// Id of its boot, where the log has it.
    pub boot_id: Option<Cow<'a, str>>,
    /// The log's own clock, nanoseconds since boot.
    pub boot_ns: Option<u64>,
    /// Date and time of day, of the writer that was nearest to the kernel. One without a year only if there is no other.
    pub stamp: Option<Stamp<'a>>,
    /// Thread that printed it (`CONFIG_PRINTK_CALLER`).
    pub context: Option<u32>,
    /// The log says that another program than the kernel wrote it.
    pub is_foreign: bool,
    /// Whether the message is all here.
    pub part: Part,
    /// The message; bytes that are not UTF-8 as `\xNN`. It has line feeds where the kernel's has.
    pub message: Cow<'a, str>,
}

/// How much of a message a line has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The message goes on in the next line of the same writer, without anything between (CRI's `P`, Docker).
    Begin,
    /// A further line of the message in the line before: what that one says about time, machine and writer is true for
    /// this one, of which only the rest of the message is known.
    Next,
    /// No message, which follows in one of the next lines: `dmesg --json` has one line for each field.
    Head,
}

impl Line<'_> {
    /// Keeps the line longer than its text.
    pub fn into_owned(self) -> Line<'static> {
        let Self { host, boot_id, boot_ns, stamp, context, is_foreign, part, message } = self;
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Line {
            host: host.map(owned),
            boot_id: boot_id.map(owned),
            boot_ns,
            stamp: stamp.map(Stamp::into_owned),
            context,
            is_foreign,
            part,
            message: Cow::Owned(message.into_owned()),
        }
    }
}

/// Peels the lines of one log, in their order.
#[derive(Clone, Debug, Default)]
pub struct Peeler {
    memory: Memory,
}

/// What is known of a log from its lines until now.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// The machine that a `journalctl -o short-monotonic` names, which else looks like dmesg.
    monotonic_host: Option<Box<[u8]>>,
    /// Bytes before the last message, for the blanks before its further lines.
    indent: usize,
    /// Another program wrote the last message.
    was_foreign: bool,
}

/// A line without a memory of those before it.
pub fn parse(line: &[u8]) -> Line<'_> {
    Peeler::default().peel(line)
}

impl Peeler {
    /// Takes what is around the message off the next line.
    pub fn peel<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        self.memory.peel(trim(line), Inner::Any, MOST_LAYERS)
    }
}

impl Memory {
    fn peel<'a>(&mut self, mut rest: &'a [u8], mut inner: Inner, most: usize) -> Line<'a> {
        let mut line = Line::default();
        // Bytes of this text's own writer before the message: what collectors add is on each line.
        let mut indent = 0;
        let mut left = most;
        while inner != Inner::Nothing && left > 0 {
            left -= 1;
            let Some(mut head) = layer(self, rest, inner) else { break };
            if matches!(head.body, Body::Rest(after) if after.starts_with(INVOKED)) {
                // It was the name of a process, which looks like a layer.
                break;
            }
            head.tell(&mut line);
            let Head { body, is_collector, .. } = head;
            inner = head.inner;
            match body {
                Body::Rest(after) => {
                    indent = if is_collector { 0 } else { indent + rest.len() - after.len() };
                    rest = after;
                }
                Body::Text(text) => {
                    let within = self.peel(trim(text.as_bytes()), inner, left).into_owned();
                    return merge(line, within);
                }
                Body::Message(message) => {
                    self.indent = 0;
                    self.was_foreign = line.is_foreign;
                    line.message = message;
                    return line;
                }
            }
        }
        if indent == 0 {
            if let Some(after) = self.next_line(rest) {
                line.part = Part::Next;
                line.is_foreign |= self.was_foreign;
                rest = after;
            }
        } else {
            self.indent = indent;
            self.was_foreign = line.is_foreign;
        }
        line.message = control::unescape(utf8(rest));
        line
    }

    /// What a further line of the last message has behind its blanks.
    fn next_line<'a>(&self, rest: &'a [u8]) -> Option<&'a [u8]> {
        // A message of the kernel's own may begin with some blanks; no stamp is that short.
        const LEAST: usize = 8;

        if self.indent < LEAST {
            return None;
        }
        let (blanks, after) = rest.split_at_checked(self.indent)?;
        blanks.iter().all(|byte| *byte == b' ').then_some(after)
    }
}

/// What an outer and an inner text say: the inner is nearer to the kernel.
fn merge<'a>(outer: Line<'a>, inner: Line<'a>) -> Line<'a> {
    let part = if outer.part == Part::Whole { inner.part } else { outer.part };
    Line {
        host: inner.host.or(outer.host),
        boot_id: inner.boot_id.or(outer.boot_id),
        boot_ns: inner.boot_ns.or(outer.boot_ns),
        stamp: better(outer.stamp, inner.stamp),
        context: inner.context.or(outer.context),
        is_foreign: inner.is_foreign || outer.is_foreign,
        part,
        message: inner.message,
    }
}

fn better<'a>(outer: Option<Stamp<'a>>, inner: Option<Stamp<'a>>) -> Option<Stamp<'a>> {
    match (outer, inner) {
        (Some(outer), Some(inner)) if outer.has_year() && !inner.has_year() => Some(outer),
        (outer, inner) => inner.or(outer),
    }
}

/// A line without its end, and without what a power cut or an editor leaves at its beginning.
fn trim(line: &[u8]) -> &[u8] {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let nuls = line.iter().take_while(|byte| **byte == 0).count();
    let line = &line[nuls..];
    let nuls = line.iter().rev().take_while(|byte| **byte == 0).count();
    let line = &line[..line.len() - nuls];
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}
