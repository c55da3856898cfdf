//! What a layer is, and which ones there are.

use super::super::Stamp;
use super::{Line, Memory, Part, better, colour, container, dmesg, journal, json, syslog};
use std::borrow::Cow;

/// What may be inside of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Inner {
    /// Anything: a collector takes lines of any log.
    Any,
    /// A line of dmesg.
    Dmesg,
    /// What printk itself puts before a message.
    Printk,
    /// The message.
    #[default]
    Nothing,
}

/// What a layer leaves.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// The rest of the bytes.
    Rest(&'a [u8]),
    /// A text that had to be decoded, with more layers in it.
    Text(String),
    /// The message.
    Message(Cow<'a, str>),
}

/// What a layer says about the message, and what it leaves.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) boot_id: Option<Cow<'a, str>>,
    pub(super) boot_ns: Option<u64>,
    pub(super) stamp: Option<Stamp<'a>>,
    pub(super) context: Option<u32>,
    pub(super) is_foreign: bool,
    pub(super) part: Part,
    /// It is put on each line, also on further lines of one message.
    pub(super) is_collector: bool,
    pub(super) inner: Inner,
    pub(super) body: Body<'a>,
}

impl<'a> Head<'a> {
    #[inline]
    pub(super) fn new(body: Body<'a>, inner: Inner) -> Self {
        Self {
            host: None,
            boot_id: None,
            boot_ns: None,
            stamp: None,
            context: None,
            is_foreign: false,
            part: Part::Whole,
            is_collector: false,
            inner,
            body,
        }
    }

    #[inline]
    pub(super) fn rest(rest: &'a [u8], inner: Inner) -> Self {
        Self::new(Body::Rest(rest), inner)
    }

    /// Moves what it says to the line.
    pub(super) fn tell(&mut self, line: &mut Line<'a>) {
        if let Some(host) = self.host.take() {
            line.host = Some(host);
        }
        if let Some(boot_id) = self.boot_id.take() {
            line.boot_id = Some(boot_id);
        }
        if let Some(stamp) = self.stamp.take() {
            line.stamp = better(line.stamp.take(), Some(stamp));
        }
        line.boot_ns = self.boot_ns.or(line.boot_ns);
        line.context = self.context.or(line.context);
        line.is_foreign |= self.is_foreign;
        if self.part != Part::Whole {
            line.part = self.part;
        }
    }
}

/// The outermost layer of a text.
pub(super) fn layer<'a>(memory: &mut Memory, text: &'a [u8], within: Inner) -> Option<Head<'a>> {
    match (text.first()?, within) {
        (b'[', Inner::Any) => dmesg::stamped(text)
            .map(|head| journal::monotonic(memory, head))
            .or_else(|| container::prefix(text))
            .or_else(|| journal::delta(text)),
        (b'[', Inner::Dmesg) => dmesg::stamped(text),
        (b'[', Inner::Printk) => dmesg::printk(text),
        (b'<', Inner::Any) => dmesg::raw(text).or_else(|| syslog::with_priority(text)),
        (b'0'..=b'9', Inner::Any) => dmesg::iso(text)
            .or_else(|| container::stamped(text))
            .or_else(|| syslog::iso(text))
            .or_else(|| journal::unix(text))
            .or_else(|| syslog::protocol_23(text))
            .or_else(|| dmesg::record(text)),
        (b'0'..=b'9', Inner::Dmesg) => dmesg::iso(text),
        (b'A'..=b'Z', Inner::Any) => {
            syslog::short(text).or_else(|| journal::weekday(text)).or_else(|| syslog::ctime(text))
        }
        (b'a'..=b'z', Inner::Any) => dmesg::decoded(text),
        (b'{', Inner::Any) => json::object(text),
        (b' ', Inner::Any) => json::dmesg(text),
        (b'\x1b', _) => colour::coloured(text, within),
        _ => None,
    }
}
