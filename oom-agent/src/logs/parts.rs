//! Messages that a line has only a part of.

use super::line::{Line, Part, Peeler};
use std::borrow::Cow;

/// Bytes of a message that are kept.
const MOST_MESSAGE: usize = 64 * 1024;

/// Lines to messages.
#[derive(Debug, Default)]
pub(super) struct Parts {
    peeler: Peeler,
    /// The last line that says whose it is.
    before: Vec<u8>,
    /// A message of which the end is still to come.
    begun: Option<Line<'static>>,
    /// What was said of a message that is still to come.
    head: Option<Line<'static>>,
}

impl Parts {
    /// The message that a line completes.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> Option<Line<'a>> {
        let line = self.peeler.peel(bytes);
        match line.part {
            Part::Whole => {
                self.before.clear();
                self.before.extend_from_slice(bytes);
                if let Some(mut begun) = self.begun.take() {
                    append(&mut begun, &line.message);
                    begun.part = Part::Whole;
                    return Some(begun);
                }
                Some(match self.head.take() {
                    Some(head) => below(head, line),
                    None => line,
                })
            }
            Part::Begin => {
                match &mut self.begun {
                    Some(begun) => append(begun, &line.message),
                    None => self.begun = Some(line.into_owned()),
                }
                None
            }
            Part::Next => {
                let before = self.peeler.clone().peel(&self.before).into_owned();
                Some(Line { message: line.message, part: Part::Whole, ..before })
            }
            Part::Head => {
                let line = line.into_owned();
                self.head = Some(match self.head.take() {
                    Some(head) => below(head, line),
                    None => line,
                });
                None
            }
        }
    }

    /// The next line belongs to what was said already.
    pub(super) fn waiting(&self) -> bool {
        self.begun.is_some() || self.head.is_some()
    }

    /// No line follows: a message without its end.
    pub(super) fn finish(&mut self) -> Option<Line<'static>> {
        let Self { begun, .. } = std::mem::take(self);
        begun.map(|begun| Line { part: Part::Whole, ..begun })
    }
}

fn append(begun: &mut Line<'_>, message: &str) {
    let room = MOST_MESSAGE.saturating_sub(begun.message.len());
    begun.message.to_mut().push_str(&message[..message.floor_char_boundary(room)]);
}

/// A message with what the lines before it say.
fn below<'a>(head: Line<'static>, line: Line<'a>) -> Line<'a> {
    let Line { host, boot_id, boot_ns, stamp, context, is_foreign, part, message } = line;
    Line {
        host: host.or(head.host),
        boot_id: boot_id.or(head.boot_id),
        boot_ns: boot_ns.or(head.boot_ns),
        stamp: stamp.or(head.stamp),
        context: context.or(head.context),
        is_foreign: is_foreign || head.is_foreign,
        part,
        message: if message.is_empty() { Cow::Owned(head.message.into_owned()) } else { message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(log: &str) -> Vec<(Option<u64>, String)> {
        let mut parts = Parts::default();
        let mut told: Vec<_> = log.lines().filter_map(|line| parts.take(line.as_bytes())).collect();
        told.extend(parts.finish());
        told.into_iter().map(|line| (line.boot_ns, line.message.into_owned())).collect()
    }

    #[test]
    fn partial_lines_of_a_container_are_joined() {
        let log = "2026-11-20T10:15:03.214Z stdout P [    7.000001] oom-kill:constraint=CONSTRAINT_NONE,node\n\
                   2026-11-20T10:15:03.214Z stdout P mask=(null)\n\
                   2026-11-20T10:15:03.214Z stdout F ,cpuset=/\n\
                   2026-11-20T10:15:03.215Z stdout F [    7.000002] x\n\
                   2026-11-20T10:15:03.215Z stdout P [    7.000003] y";
        let expected = [
            (Some(7_000_001_000), "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/".to_owned()),
            (Some(7_000_002_000), "x".to_owned()),
            (Some(7_000_003_000), "y".to_owned()),
        ];
        assert_eq!(messages(log), expected);
    }

    #[test]
    fn further_lines_are_their_first_ones() {
        let mut parts = Parts::default();
        let mut told = |line: &str| {
            let line = parts.take(line.as_bytes()).unwrap().into_owned();
            (line.host.unwrap(), line.stamp.unwrap().text, line.message)
        };
        let line = |message: &'static str| ("node-7".into(), "Nov 20 10:15:03".into(), message.into());
        assert_eq!(told("Nov 20 10:15:03 node-7 kernel: anon 1"), line("anon 1"));
        assert_eq!(told("                               file 2"), line("file 2"));
        assert_eq!(told("                               shmem 3"), line("shmem 3"));
    }
}
