//! Where a log may tell of OOM: the search that all other lines are skipped with.

use aho_corasick::packed::{Config, Searcher};

/// What every line has that can begin something, in any quoting: no byte that JSON escapes is in them. Lines that only
/// mean something after another one need not be found, since what follows a find is read line by line.
///
/// They begin with bytes that are rare in logs, which is what makes the search fast.
const NEEDLES: [&str; 15] = [
    // `invoked oom-killer` and `oom-kill:constraint=` (since 4.19).
    "oom-kill",
    // `Out of memory: `, `Memory cgroup out of memory: `, `Out of memory and no killable processes`, and the panic.
    "ut of memory",
    // out_of_memory() when nothing is left to kill: `Kernel panic - not syncing: System is deadlocked on memory`.
    "deadlocked on memory",
    // Before 5.1 without a word before it.
    "Killed process ",
    // mem_cgroup_print_oom_group().
    "memory.oom.group set",
    // Reports that are cut off at their beginning: mem_cgroup_print_oom_meminfo() and dump_tasks(). `Task in PATH killed as
    // a result of limit of` (before 4.19) comes before the lines with a failcnt.
    "killed as a result of limit of ",
    "Memory limit reached of cgroup ",
    "kB, failcnt ",
    "cgroup stats for ",
    "Tasks state (memory",
    " tgid total_vm ",
    // How many reports the rate limit suppressed.
    "oom_kill_process: ",
    // journald's JSON has an array of numbers where a message is not plain text. Other writers of JSON put blanks
    // between.
    "\"MESSAGE\":[",
    "\"MESSAGE\": [",
    "\"MESSAGE\" : [",
];

/// Finds the needles.
#[derive(Debug)]
pub(super) struct Finder(Option<Searcher>);

impl Finder {
    pub(super) fn new() -> Self {
        Self(Config::new().builder().extend(NEEDLES).build())
    }

    /// The first place of a needle. Without vector instructions it is the first byte, so that every line is read.
    pub(super) fn find(&self, text: &[u8]) -> Option<usize> {
        match &self.0 {
            Some(searcher) => searcher.find(text).map(|found| found.start()),
            None => Some(0).filter(|_| !text.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::parser::Parser;

    /// Every line that a parser wants when nothing is open is found, unless it says nothing without one before it.
    #[test]
    fn what_can_begin_something_is_found() {
        let finder = Finder::new();
        for line in [
            "a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
            "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null)",
            "Killed process 1 (a) total-vm:4kB, anon-rss:4kB, file-rss:4kB",
            "Out of memory: Kill process 1 (a) score 9 or sacrifice child",
            "Out of memory (oom_kill_allocating_task): Killed process 1 (a)",
            "Memory cgroup out of memory: Killed process 1 (a)",
            "Out of memory and no killable processes...",
            "Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled",
            "Kernel panic - not syncing: System is deadlocked on memory",
            "Tasks in /a are going to be killed due to memory.oom.group set",
            "memory: usage 4kB, limit 4kB, failcnt 1",
            "memory+swap: usage 4kB, limit 4kB, failcnt 1",
            "swap: usage 4kB, limit 4kB, failcnt 1",
            "kmem: usage 4kB, limit 4kB, failcnt 1",
            "Memory cgroup stats for /a:",
            "Tasks state (memory values in pages):",
            "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
            "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name",
        ] {
            assert!(Parser::new().wants(line.as_bytes()), "{line}");
            assert!(finder.find(format!("a: {line}").as_bytes()).is_some(), "{line}");
        }
        for array in
            [r#"{"MESSAGE":[104,105]}"#, r#"{"MESSAGE": [104, 105]}"#, r#"{ "MESSAGE" : [ 104, 105 ] }"#]
        {
            assert!(finder.find(array.as_bytes()).is_some(), "{array}");
        }
        assert_eq!(finder.find(b"kernel: eth0: link up"), None);
        assert_eq!(finder.find(b""), None);
    }

    #[test]
    fn quoting_does_not_hide_a_needle() {
        for needle in NEEDLES.iter().filter(|needle| !needle.contains("MESSAGE")) {
            assert_eq!(serde_json::to_string(needle).unwrap(), format!("\"{needle}\""));
            assert!(!needle.contains('/'), "some writers escape it");
        }
    }
}
