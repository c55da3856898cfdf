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
    next: &'static [&'static str],
    whole: fn(&str) -> bool,
}

const KINDS: [Kind; 5] = [
    Kind {
        begin: SUMMARY,
        next: &[",cpuset=", ",mems_allowed=", ",global_oom", ",oom_memcg=", ",task_memcg=", ",task=", "/"],
        whole: |line| line.rsplit_once(",uid=").is_some_and(|(_, uid)| super::scan::id(uid).is_some()),
    },
    Kind {
        begin: "Memory cgroup stats for ",
        next: &["/", ":"],
        // Before 5.2 the counters follow; one that was cut off is not waited for.
        whole: |line| line.ends_with(':') || line.contains(": cache:"),
    },
    // `Task in PATH killed as a result of limit of PATH` (up to 4.20).
    Kind {
        begin: "Task in ",
        next: &["/", " killed as a result of limit of ", " as a result of limit of "],
        whole: |line| line.contains(" killed as a result of limit of /"),
    },
    Kind { begin: "Memory limit reached of cgroup ", next: &["/"], whole: |line| line.contains(" cgroup /") },
    Kind {
        begin: "Tasks in ",
        next: &["/", " are going to be killed"],
        whole: |line| line.ends_with("memory.oom.group set"),
    },
];

fn kind(line: &str) -> Option<&'static Kind> {
    if !line.starts_with(['o', 'M', 'T']) {
        return None;
    }
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
        if self.held.is_empty() {
            return Some(Cow::Borrowed(message));
        }
        let Some(kind) = kind(&self.held) else { return Some(Cow::Borrowed(message)) };
        // The cpuset's bare name (`cpuset_print_current_mems_allowed`, kernel/cgroup/cpuset.c).
        let named = self.held.ends_with(",cpuset=") && !message.contains(' ');
        let continues = named || kind.next.iter().any(|next| message.starts_with(next));
        if !continues || self.held.len() + message.len() > LONGEST {
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
            joined(&[
                "oom-kill:constraint=A,nodemask=(null)",
                ",cpuset=/,mems_allowed=0",
                ",task=a,pid=1,uid=0"
            ]),
            ["oom-kill:constraint=A,nodemask=(null),cpuset=/,mems_allowed=0,task=a,pid=1,uid=0"]
        );
        let (begin, end) = ("oom-kill:constraint=A,cpuset=", ",mems_allowed=0,task=a,pid=1,uid=0");
        assert_eq!(joined(&[begin, "b", end]), [format!("{begin}b{end}")]);
        assert_eq!(joined(&[begin, "eth0: link up", "b", end]), ["eth0: link up", &format!("{begin}b{end}")]);
        assert_eq!(joined(&["Memory cgroup stats for ", "/a", ":"]), ["Memory cgroup stats for /a:"]);
        // mem_cgroup_print_oom_info of 4.x, and of 3.10.
        let whole = "Task in /a/b killed as a result of limit of /a";
        assert_eq!(joined(&["Task in ", "/a/b", " killed as a result of limit of ", "/a"]), [whole]);
        assert_eq!(joined(&["Task in /a/b killed", " as a result of limit of /a"]), [whole]);
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
