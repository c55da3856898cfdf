//! Lines that the kernel prints in pieces (`pr_cont`): they become several records where they grow too long for one or
//! where another CPU prints in between.

use super::kill::SUMMARY;
use std::borrow::Cow;

/// Three cgroup paths fit.
const LONGEST: usize = 16 * 1024;
/// Other lines that may come between two pieces.
const PATIENCE: u32 = 16;

/// A line of which the end is still to come.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    held: String,
    foreign: u32,
}

/// A line that is printed in pieces: how it begins, how its other pieces begin, and whether it is whole.
struct Kind {
    begin: &'static str,
    next: &'static [char],
    whole: fn(&str) -> bool,
}

const KINDS: [Kind; 3] = [
    Kind {
        begin: SUMMARY,
        next: &[',', '/'],
        whole: |line| line.rsplit_once(",uid=").is_some_and(|(_, uid)| super::scan::id(uid).is_some()),
    },
    Kind {
        begin: "Memory cgroup stats for ",
        next: &['/', ':'],
        whole: |line| line.ends_with(':') || line.ends_with("KB"),
    },
    Kind { begin: "Tasks in ", next: &['/', ' '], whole: |line| line.ends_with("memory.oom.group set") },
];

fn kind(line: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| line.starts_with(kind.begin))
}

impl Pieces {
    /// The line that `message` completes, or `None` if its end is still to come.
    pub(super) fn join<'a>(&mut self, message: &'a str) -> Option<Cow<'a, str>> {
        if let Some(kind) = kind(message) {
            // What was held is given up: its end never came.
            self.clear();
            if (kind.whole)(message) {
                return Some(Cow::Borrowed(message));
            }
            self.held.push_str(message);
            return None;
        }
        let Some(kind) = kind(&self.held) else { return Some(Cow::Borrowed(message)) };
        if !message.starts_with(kind.next) || self.held.len() + message.len() > LONGEST {
            self.foreign += 1;
            if self.foreign > PATIENCE {
                self.clear();
            }
            return Some(Cow::Borrowed(message));
        }
        self.held.push_str(message);
        if !(kind.whole)(&self.held) {
            return None;
        }
        self.foreign = 0;
        Some(Cow::Owned(std::mem::take(&mut self.held)))
    }

    /// Whether a line waits for its end.
    pub(super) fn waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives up what waits.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &[&str]) -> Vec<String> {
        let mut held = Pieces::default();
        pieces.iter().filter_map(|piece| held.join(piece).map(Cow::into_owned)).collect()
    }

    #[test]
    fn pieces_become_one_line() {
        assert_eq!(
            joined(&["oom-kill:constraint=A,nodemask=(null)", ",cpuset=/,mems_allowed=0", ",pid=1,uid=0"]),
            ["oom-kill:constraint=A,nodemask=(null),cpuset=/,mems_allowed=0,pid=1,uid=0"]
        );
        assert_eq!(joined(&["Memory cgroup stats for ", "/a", ":"]), ["Memory cgroup stats for /a:"]);
    }

    #[test]
    fn other_lines_may_come_in_between() {
        let end = " are going to be killed due to memory.oom.group set";
        assert_eq!(
            joined(&["Tasks in /g", "eth0: link up", end]),
            ["eth0: link up".to_owned(), format!("Tasks in /g{end}")]
        );
    }

    #[test]
    fn an_end_that_never_comes_is_not_waited_for() {
        let mut held = Pieces::default();
        assert_eq!(held.join("Tasks in /g"), None);
        for _ in 0..=PATIENCE {
            assert!(held.waiting());
            assert_eq!(held.join("x").as_deref(), Some("x"));
        }
        assert!(!held.waiting());
    }
}
