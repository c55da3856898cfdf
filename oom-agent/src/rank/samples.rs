//! Machines to rank: what tests build them from, and one of every kind.

use super::{
    answer::Answer,
    facts::{Bound, Facts, Level, Process, Unread},
    what_if::Change,
};
use crate::incident::{fact::Task, model::Memory};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
const PAGE: u64 = 4096;

/// A process with so many pages, a page of page tables more, started in the order of the pids.
pub(super) fn process(pid: u32, comm: &str, pages: u64, adj: i32) -> Process {
    let memory = Memory {
        anon_bytes: Some(pages * PAGE),
        file_bytes: Some(0),
        shmem_bytes: Some(0),
        rss_bytes: None,
        swap_bytes: Some(0),
        pgtables_bytes: Some(PAGE),
        total_vm_bytes: Some(pages * PAGE * 3),
    };
    let task = Task {
        pid,
        tid: pid,
        uid: Some(1000),
        comm: comm.into(),
        oom_score_adj: Some(adj),
        memory,
        has_mm: Some(true),
        ..Task::default()
    };
    Process { task, start_ticks: u64::from(pid), ..Process::default() }
}

pub(super) fn within(mut process: Process, cgroup: &str) -> Process {
    process.cgroup = Some(cgroup.into());
    process
}

pub(super) fn kernel_thread(pid: u32) -> Process {
    let mut process = process(pid, "kworker/0:1", 0, 0);
    process.task.kernel_thread = true;
    process.task.has_mm = Some(false);
    process.task.memory = Memory::default();
    process
}

/// A cgroup of v2 without swap.
pub(super) fn level(cgroup: &str, limit: Option<u64>, used: u64) -> Level {
    Level {
        cgroup: cgroup.into(),
        memory_max_bytes: Some(limit.map_or(Bound::NONE, Bound::Bytes)),
        usage_bytes: Some(used),
        swap_max_bytes: Some(Bound::Bytes(0)),
        oom_group: Some(false),
        ..Level::default()
    }
}

/// 4,000,000 pages and no swap: a step of `oom_score_adj` is 4,000 points.
pub(super) fn machine(processes: Vec<Process>) -> Facts {
    Facts {
        node: Some("node-7".into()),
        kernel_release: Some("6.12.117".into()),
        page_size: PAGE,
        ram_bytes: Some(4_000_000 * PAGE),
        swap_bytes: Some(0),
        available_bytes: Some(3 * GIB),
        swap_free_bytes: Some(0),
        swappiness: Some(60),
        oom_kill_allocating_task: Some(0),
        panic_on_oom: Some(0),
        processes,
        ..Facts::default()
    }
}

fn several() -> Vec<Process> {
    let mut init = process(1, "systemd", 3_000, 0);
    init.task.init = true;
    let mut zombie = process(900, "defunct", 0, 0);
    zombie.task.has_mm = Some(false);
    zombie.task.memory = Memory::default();
    let mut reaped = process(901, "reaped", 200_000, 0);
    reaped.oom_score = Some(0);
    let mut java = within(process(4711, "java", 126_464, 985), "/kubepods.slice/pod1/app");
    java.task.memory.file_bytes = Some(12 * MIB);
    java.oom_score = Some(1344);
    vec![
        init,
        kernel_thread(2),
        kernel_thread(3),
        java,
        within(process(4712, "envoy", 9_728, 985), "/kubepods.slice/pod1/proxy"),
        within(process(500, "postgres", 500_000, -900), "/system.slice/postgresql.service"),
        within(process(600, "sshd", 900, -1000), "/system.slice/ssh.service"),
        within(process(601, "bash", 1_200, 0), "/user.slice/user-1000.slice"),
        zombie,
        reaped,
    ]
}

/// A pod of two containers; the pod has a limit, the containers have none.
fn pod(group: bool) -> Facts {
    let mut facts = machine(several());
    facts.levels = vec![
        level("/kubepods.slice/pod1/app", None, 498 * MIB),
        level("/kubepods.slice/pod1", Some(600 * MIB), 540 * MIB),
        level("/kubepods.slice", Some(8 * GIB), 7 * GIB),
    ];
    if group {
        facts.oom_groups.insert("/kubepods.slice/pod1".into());
        facts.levels[1].oom_group = Some(true);
    }
    facts
}

fn hostile() -> Facts {
    let name = "a\u{202e}\x1b[2J|x y";
    let path = "/evil\x1b]0;x\x07 /\u{200b}pod";
    let mut facts =
        machine(vec![within(process(7, name, 5_000, 0), path), within(process(8, "", 5_000, 0), path)]);
    facts.levels = vec![level(path, Some(100 * MIB), 60 * MIB)];
    facts.node = Some("\x1b[31mnode".into());
    facts
}

/// One answer of every kind, with a name for its golden.
pub(crate) fn all() -> Vec<(&'static str, Answer)> {
    let ask = |facts: &Facts, cgroup, changes: &[Change]| {
        Answer::new(facts, Some("2026-11-20T10:15:03.214+01:00".into()), cgroup, changes).unwrap()
    };
    let alone = |facts: &Facts| ask(facts, None, &[]);
    let app = "/kubepods.slice/pod1/app";
    let mut partial = machine(several());
    partial.unread = Unread { unreadable: 12, vanished: 1 };
    partial.panic_on_oom = None;
    partial.processes[3].task.memory.swap_bytes = None;
    partial
        .hidden
        .push("/proc hides the processes of other users (hidepid): they are not among these".into());
    let mut waits = pod(false);
    waits.levels[1] = Level {
        swap_max_bytes: None,
        memsw_max_bytes: Some(Bound::Bytes(700 * MIB)),
        memsw_usage_bytes: Some(690 * MIB),
        oom_kill_disable: Some(true),
        ..waits.levels[1].clone()
    };
    let mut exempt =
        machine(several().into_iter().filter(|it| it.task.pid < 4 || it.task.pid == 600).collect());
    exempt.processes.push(kernel_thread(4));
    let panics = Facts { panic_on_oom: Some(1), ..machine(several()) };
    let asker = Facts { oom_kill_allocating_task: Some(1), ..machine(several()) };
    let empty = Facts { levels: vec![level("/empty", Some(MIB), 0)], ..machine(several()) };
    vec![
        ("machine", alone(&machine(several()))),
        ("pod", ask(&pod(true), Some(app), &[])),
        ("adj", ask(&machine(several()), None, &[Change::Adj { pid: 4711, adj: -500 }])),
        (
            "limit",
            ask(
                &pod(false),
                Some(app),
                &[Change::Limit { cgroup: app.into(), limit: Bound::Bytes(256 * MIB) }],
            ),
        ),
        ("partial", alone(&partial)),
        ("waits", ask(&waits, Some(app), &[])),
        ("exempt", alone(&exempt)),
        ("panics", alone(&panics)),
        ("asker", alone(&asker)),
        ("empty", ask(&empty, Some("/empty"), &[])),
        ("hostile", alone(&hostile())),
    ]
}
