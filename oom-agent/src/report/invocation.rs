//! `NAME invoked oom-killer: ...` and the `CPU:` line that `dump_stack` prints after it (`mm/oom_kill.c:dump_header`,
//! `lib/dump_stack.c:dump_stack_print_info`).

use super::Invocation;
use super::scan::{COMM_BYTES, least_raw_len};

const INVOKED: &str = " invoked oom-killer: gfp_mask=";
/// No real line is longer. A cut line whose cgroup path imitates this one would be.
const LONGEST: usize = 768;

/// Bytes of a name of 15 bytes, each escaped.
const LONGEST_COMM: usize = 4 * COMM_BYTES;
/// The rest of the line, with numbers of one digit.
const SHORTEST: usize = INVOKED.len() + "1, order=1, oom_score_adj=1".len();

/// The place of ` invoked oom-killer: ` in a message, which may still be escaped. Asked of every line of a log, so most
/// are told from their ends.
pub(super) fn invoked_at(message: &[u8]) -> Option<usize> {
    if message.len() < SHORTEST || !message.last()?.is_ascii_digit() {
        return None;
    }
    let begins = |at: &usize| message[*at] == b' ' && message[*at..].starts_with(INVOKED.as_bytes());
    (0..=LONGEST_COMM.min(message.len() - SHORTEST)).find(begins)
}

/// The line that a report begins with.
///
/// It begins with text that a user chooses, so it has to be recognised first and as a whole.
pub(super) fn invoked(message: &str, cut: bool) -> Option<Invocation> {
    let at = invoked_at(message.as_bytes())?;
    let comm = &message[..at];
    if least_raw_len(comm) > COMM_BYTES || message.len() > LONGEST {
        return None;
    }
    let (rest, adj) = message[at + INVOKED.len()..].rsplit_once(", oom_score_adj=")?;
    let (rest, order) = rest.rsplit_once("order=")?;
    // RHEL 6 has another field here.
    let order = order.split_once(", ").map_or(order, |(order, _)| order);
    // 4.14 puts two blanks before the order.
    let rest = rest.trim_end_matches(' ').strip_suffix(',')?;
    // Kernels from 4.9 to 4.20 print the node mask between the flags and the order.
    let (rest, nodemask) =
        rest.split_once(", nodemask=").map_or((rest, None), |(flags, mask)| (flags, Some(mask)));
    let (mask, names) = rest.split_once('(').map_or((rest, None), |(mask, names)| (mask, Some(names)));
    let names = names.map_or(Some(""), |names| names.strip_suffix(')'))?;
    let adj: i32 = adj.parse().ok()?;
    Some(Invocation {
        comm: comm.to_owned(),
        gfp_mask: Some(mask_value(mask)?),
        gfp_flags: names.split('|').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        order: Some(order.parse().ok()?),
        oom_score_adj: Some(adj).filter(|_| !cut),
        nodemask: nodemask.map(str::to_owned),
        ..Invocation::default()
    })
}

/// `NAME cpuset=CPUSET mems_allowed=NODES` of the task that asked (`cpuset_print_current_mems_allowed`, up to 4.20), which
/// follows the line above.
pub(super) fn cpuset(message: &str, cut: bool, asked: &mut Invocation) -> bool {
    let Some(rest) = message.strip_prefix(&*asked.comm).and_then(|rest| rest.strip_prefix(" cpuset=")) else {
        return false;
    };
    let Some((cpuset, mems)) = rest.rsplit_once(" mems_allowed=") else { return false };
    if !mems.bytes().all(|byte| byte.is_ascii_digit() || byte == b',' || byte == b'-') {
        return false;
    }
    asked.cpuset = Some(cpuset.to_owned());
    asked.mems_allowed = Some(mems.to_owned()).filter(|_| !cut);
    true
}

fn mask_value(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// What the `CPU:` line says about the task that asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cpu<'a> {
    /// Its thread id.
    pub(super) tid: u32,
    /// The kernel's release.
    pub(super) release: Option<&'a str>,
}

/// `CPU: 1 [UID: 0] PID: 124 Comm: NAME [Kdump: loaded] Not tainted RELEASE ...`, of the task `comm`. Before 3.10 it is
/// `Pid: 124, comm: NAME Not tainted RELEASE ...`.
pub(super) fn cpu<'a>(message: &'a str, cut: bool, comm: &str) -> Option<Cpu<'a>> {
    let (tid, rest) = match message.strip_prefix("CPU: ") {
        Some(rest) => {
            let (head, rest) = rest.split_once(" Comm: ")?;
            (head.split_once(" PID: ").or_else(|| head.split_once("PID: "))?.1, rest)
        }
        None => message.strip_prefix("Pid: ")?.split_once(", comm: ")?,
    };
    let tid = tid.parse().ok()?;
    // Another CPU may print such a line in between; this one is the right one if the name is.
    let rest = rest.strip_prefix(comm)?.strip_prefix(' ')?;
    let rest = rest.strip_prefix("Kdump: loaded ").unwrap_or(rest);
    let release = rest.strip_prefix("Not tainted ").or_else(|| rest.strip_prefix("Tainted: "));
    // Flags are capital letters, on RHEL with dashes between; a release begins with its version.
    let release =
        release.and_then(|rest| rest.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit())));
    Some(Cpu { tid, release: release.filter(|release| !cut || !message.ends_with(release)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comm(message: &str) -> Option<String> {
        invoked(message, false).map(|invocation| invocation.comm)
    }

    #[test]
    fn the_flags_are_taken_apart() {
        let message = "bighog invoked oom-killer: \
                       gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=-1, oom_score_adj=-1000";
        let expected = Invocation {
            comm: "bighog".into(),
            gfp_mask: Some(0x14_0dca),
            gfp_flags: vec!["GFP_HIGHUSER_MOVABLE".into(), "__GFP_COMP".into()],
            order: Some(-1),
            oom_score_adj: Some(-1000),
            ..Invocation::default()
        };
        assert_eq!(invoked(message, false), Some(expected));
    }

    #[test]
    fn older_and_unnamed_masks_are_read() {
        let old =
            "a invoked oom-killer: gfp_mask=0x14000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=0";
        let old = invoked(old, false).unwrap();
        assert_eq!((old.gfp_flags, old.nodemask.as_deref()), (vec!["GFP_KERNEL".into()], Some("(null)")));
        let gfp = |rest: &str| {
            let read = invoked(&format!("a invoked oom-killer: gfp_mask={rest}"), false).unwrap();
            (read.gfp_mask, read.gfp_flags.len(), read.order, read.oom_score_adj)
        };
        assert_eq!(gfp("0x0(), order=0, oom_score_adj=0"), (Some(0), 0, Some(0), Some(0)));
        // dump_header of 3.10 and 4.4, and of RHEL 6.
        assert_eq!(gfp("0xd0, order=2, oom_score_adj=-17"), (Some(0xd0), 0, Some(2), Some(-17)));
        assert_eq!(
            gfp("0x14000c0(GFP_KERNEL), nodemask=0-1,3,  order=1, oom_score_adj=936"),
            (Some(0x0140_00c0), 1, Some(1), Some(936))
        );
        assert_eq!(gfp("0xd0, order=0, oom_adj=0, oom_score_adj=3"), (Some(0xd0), 0, Some(0), Some(3)));
    }

    #[test]
    fn the_last_number_of_a_line_that_was_cut_is_not_believed() {
        let line = "a invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=10";
        let read = invoked(line, true).unwrap();
        assert_eq!((read.order, read.oom_score_adj), (Some(0), None));
        let release = |line| cpu(line, true, "a").unwrap().release;
        assert_eq!(release("CPU: 0 PID: 5 Comm: a Not tainted 3.10.0-1160.el7"), None);
        assert_eq!(release("CPU: 0 PID: 5 Comm: a Not tainted 3.10.0-1160.el7 "), Some("3.10.0-1160.el7"));
    }

    #[test]
    fn the_cpuset_of_the_task_that_asked_is_read() {
        let read = |line: &str, cut| {
            let mut asked = Invocation { comm: "a b".into(), ..Invocation::default() };
            cpuset(line, cut, &mut asked).then_some((asked.cpuset, asked.mems_allowed))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("a b cpuset=/ mems_allowed=0-1,3", false), Some((some("/"), some("0-1,3"))));
        assert_eq!(read("a b cpuset=x mems_allowed=1", true), Some((some("x"), None)));
        for line in ["a cpuset=/ mems_allowed=0", "a b cpuset=/", "a b cpuset=/ mems_allowed=x"] {
            assert_eq!(read(line, false), None, "{line}");
        }
    }

    #[test]
    fn a_name_may_look_like_another_line() {
        const REST: &str = " invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
        for name in ["oom-kill:", "Out of memory: ", "", " ", "a\nKilled proces", r"\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(comm(&format!("{name}{REST}")).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_cgroup_path_cannot_forge_it() {
        const FAKE: &str =
            "Tasks in /x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0";
        let line = format!("{FAKE} are going to be killed due to memory.oom.group set");
        assert_eq!(comm(&line), None);
        assert_eq!(comm(&format!("{FAKE}{}", "0".repeat(900))), None, "nor where the line was cut");
    }

    #[test]
    fn the_thread_and_the_release_are_read() {
        let release = |rest: &str| {
            let line = format!("CPU: 1 UID: 0 PID: 124 Comm: we ird)[1] {rest}");
            let cpu = cpu(&line, false, "we ird)[1]").unwrap();
            assert_eq!(cpu.tid, 124);
            cpu.release.map(str::to_owned)
        };
        assert_eq!(release("Not tainted 7.3.4-x #1 PREEMPT(lazy)  Debian").as_deref(), Some("7.3.4-x"));
        assert_eq!(release("Kdump: loaded Not tainted 6.1.0 #1").as_deref(), Some("6.1.0"));
        assert_eq!(release("Tainted: P        W  OE       6.1.0 #1").as_deref(), Some("6.1.0"));
        assert_eq!(release("").as_deref(), None);
        let rhel = "Kdump: loaded Tainted: G               ------------ T 3.10.0-957.el7.x86_64 #1";
        assert_eq!(release(rhel).as_deref(), Some("3.10.0-957.el7.x86_64"));
        let old = cpu("Pid: 2376, comm: mal-80 Not tainted 3.7.0+ #4", false, "mal-80");
        assert_eq!(old, Some(Cpu { tid: 2376, release: Some("3.7.0+") }), "show_regs_common before 3.10");
    }

    #[test]
    fn a_name_cannot_forge_the_release() {
        let line = "CPU: 1 PID: 124 Comm: x Not tainted 9 Tainted: G  W 6.1.0 #1";
        assert_eq!(cpu(line, false, "x Not tainted 9"), Some(Cpu { tid: 124, release: Some("6.1.0") }));
        assert_eq!(
            cpu("CPU: 0 PID: 5 Comm: other Not tainted 6.1.0", false, "hog"),
            None,
            "another task's line"
        );
    }
}
