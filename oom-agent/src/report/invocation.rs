//! `NAME invoked oom-killer: ...` and the `CPU:` line that `dump_stack` prints after it (`mm/oom_kill.c:dump_header`,
//! `lib/dump_stack.c:dump_stack_print_info`).

use super::Invocation;
use super::scan::{COMM_BYTES, cut, least_raw_len};
use memchr::memmem::Finder;
use std::sync::LazyLock;

const INVOKED: &str = " invoked oom-killer: gfp_mask=";
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(INVOKED));
/// No real line is longer. A cut line whose cgroup path imitates this one would be.
const LONGEST: usize = 768;

/// The line that a report begins with.
///
/// It is the only one that begins with text that a user chooses, so it has to be recognised first and as a whole.
pub(super) fn invoked(message: &str) -> Option<Invocation> {
    // Every message comes here. A name has at most 15 bytes, each of which may be escaped.
    let head = cut(message, 4 * COMM_BYTES + INVOKED.len());
    let at = FINDER.find(head.as_bytes())?;
    let comm = &message[..at];
    if least_raw_len(comm) > COMM_BYTES || message.len() > LONGEST {
        return None;
    }
    let (rest, adj) = message[at + INVOKED.len()..].rsplit_once(", oom_score_adj=")?;
    let (rest, order) = rest.rsplit_once(", order=")?;
    // Kernels before 4.18 print the node mask between the flags and the order.
    let rest = rest.split_once(", nodemask=").map_or(rest, |(flags, _)| flags);
    let (mask, names) = rest.split_once('(').map_or((rest, None), |(mask, names)| (mask, Some(names)));
    let names = names.map_or(Some(""), |names| names.strip_suffix(')'))?;
    Some(Invocation {
        comm: comm.to_owned(),
        tid: None,
        gfp_mask: Some(mask_value(mask)?),
        gfp_flags: names.split('|').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        order: Some(order.parse().ok()?),
        oom_score_adj: Some(adj.parse().ok()?),
        kernel_release: None,
    })
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

/// `CPU: 1 [UID: 0] PID: 124 Comm: NAME [Kdump: loaded] Not tainted RELEASE ...`, of the task `comm`.
pub(super) fn cpu<'a>(message: &'a str, comm: &str) -> Option<Cpu<'a>> {
    let rest = message.strip_prefix("CPU: ")?;
    let (head, rest) = rest.split_once(" Comm: ")?;
    let tid = head.split_once(" PID: ").or_else(|| head.split_once("PID: "))?.1.parse().ok()?;
    // Another CPU may print such a line in between; this one is the right one if the name is.
    let rest = rest.strip_prefix(comm)?.strip_prefix(' ')?;
    let rest = rest.strip_prefix("Kdump: loaded ").unwrap_or(rest);
    let release = rest.strip_prefix("Not tainted ").or_else(|| after_taint(rest));
    Some(Cpu { tid, release: release.and_then(|rest| rest.split(' ').find(|word| !word.is_empty())) })
}

/// `Tainted: G        W  OE     RELEASE`: the first word that is not made of flags.
fn after_taint(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix("Tainted: ")?;
    rest.split(' ').find(|word| !word.is_empty() && !word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comm(message: &str) -> Option<String> {
        invoked(message).map(|invocation| invocation.comm)
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
        assert_eq!(invoked(message), Some(expected));
    }

    #[test]
    fn older_and_unnamed_masks_are_read() {
        let old =
            "a invoked oom-killer: gfp_mask=0x14000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=0";
        assert_eq!(invoked(old).unwrap().gfp_flags, ["GFP_KERNEL"]);
        assert!(
            invoked("a invoked oom-killer: gfp_mask=0x0(), order=0, oom_score_adj=0")
                .unwrap()
                .gfp_flags
                .is_empty()
        );
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
            let cpu = cpu(&line, "we ird)[1]").unwrap();
            assert_eq!(cpu.tid, 124);
            cpu.release.map(str::to_owned)
        };
        assert_eq!(release("Not tainted 7.3.4-x #1 PREEMPT(lazy)  Debian").as_deref(), Some("7.3.4-x"));
        assert_eq!(release("Kdump: loaded Not tainted 6.1.0 #1").as_deref(), Some("6.1.0"));
        assert_eq!(release("Tainted: P        W  OE       6.1.0 #1").as_deref(), Some("6.1.0"));
        assert_eq!(release("").as_deref(), None);
    }

    #[test]
    fn a_name_cannot_forge_the_release() {
        let line = "CPU: 1 PID: 124 Comm: x Not tainted 9 Tainted: G  W 6.1.0 #1";
        assert_eq!(cpu(line, "x Not tainted 9"), Some(Cpu { tid: 124, release: Some("6.1.0") }));
        assert_eq!(cpu("CPU: 0 PID: 5 Comm: other Not tainted 6.1.0", "hog"), None, "another task's line");
    }
}
