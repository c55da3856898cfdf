//! One process from /proc.

use crate::incident::fact::Task;
use crate::incident::model::Memory;
use crate::kernel::decode::name;
use crate::rank::facts::Process;
use crate::source::cgroupfs::bytes;
use oom_ebpf::PF_KTHREAD;
use std::{
    fs::read_dir,
    io::{self, ErrorKind},
    path::Path,
};

/// Threads that are looked at for the memory of a process whose first thread has exited.
const THREADS: usize = 4096;

/// Why there are no facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It ended.
    Vanished,
    /// It may not be looked at, or what is there is not understood.
    Unreadable,
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        let gone = error.kind() == ErrorKind::NotFound
            || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
        if gone { Self::Vanished } else { Self::Unreadable }
    }
}

/// A number in a file of its own.
fn number<T: std::str::FromStr>(path: &Path) -> Result<T, Missing> {
    let bytes = bytes(path)?;
    str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok()).ok_or(Missing::Unreadable)
}

/// Reads `dir`, the /proc/PID of `pid`. `first`: pid 1 is the machine's init, not a container's. `v2`: which of its
/// cgroups is asked for.
pub(super) fn read(dir: &Path, pid: u32, first: bool, v2: bool) -> Result<Process, Missing> {
    let stat = bytes(&dir.join("stat"))?;
    let stat = stat_fields(&stat).ok_or(Missing::Unreadable)?;
    let mut task = Task {
        pid,
        tid: pid,
        comm: stat.comm,
        init: first && pid == 1,
        kernel_thread: stat.flags & PF_KTHREAD != 0,
        ..Task::default()
    };
    let mut process = Process { start_ticks: stat.start_ticks, ..Process::default() };
    if task.kernel_thread {
        task.has_mm = Some(false);
        process.task = task;
        return Ok(process);
    }
    let status = bytes(&dir.join("status"))?;
    task.uid = field(&status, "Uid").and_then(|ids| ids.split_ascii_whitespace().next()?.parse().ok());
    if let Some(memory) = memory(&status) {
        task.memory = memory;
        task.has_mm = Some(true);
    } else if stat.threads > 1 {
        let (tid, memory) = of_other_threads(dir, pid)?;
        task.tid = tid;
        task.has_mm = Some(memory.is_some());
        task.memory = memory.unwrap_or_default();
    } else {
        task.has_mm = Some(false);
    }
    // Right after its memory: the kernel's points are compared with those of this memory.
    process.oom_score = optional(number(&dir.join("oom_score")))?;
    task.oom_score_adj = optional(number(&dir.join("oom_score_adj")))?;
    // An exited thread's reads `/` on v1 (`proc_cgroup_show`).
    let thread = if task.tid == pid { dir.to_owned() } else { dir.join(format!("task/{}", task.tid)) };
    let paths = optional(bytes(&thread.join("cgroup")).map_err(Missing::from))?;
    process.cgroup = paths.and_then(|text| cgroup(&text, v2));
    process.task = task;
    Ok(process)
}

/// The kernel's own score: points, rounded. 0: it cannot be killed, or it has least.
pub(super) fn oom_score(dir: &Path) -> Option<i64> {
    number(&dir.join("oom_score")).ok()
}

/// What cannot be read is unknown; who is gone is gone.
fn optional<T>(read: Result<T, Missing>) -> Result<Option<T>, Missing> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Missing::Unreadable) => Ok(None),
        Err(Missing::Vanished) => Err(Missing::Vanished),
    }
}

struct Stat {
    comm: String,
    flags: u32,
    threads: u64,
    start_ticks: u64,
}

/// `PID (comm) state ...` (`do_task_stat`): the command name may hold anything, parentheses as well.
fn stat_fields(stat: &[u8]) -> Option<Stat> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let comm = name(stat.get(open + 1..close)?);
    let rest: Vec<&str> = str::from_utf8(stat.get(close + 1..)?).ok()?.split_ascii_whitespace().collect();
    // Fields 9, 20 and 22 of proc(5); the first of `rest` is field 3.
    Some(Stat {
        comm,
        flags: rest.get(6)?.parse().ok()?,
        threads: rest.get(17)?.parse().ok()?,
        start_ticks: rest.get(19)?.parse().ok()?,
    })
}

/// The value of a line `Name:\tvalue`.
fn field<'a>(status: &'a [u8], wanted: &str) -> Option<&'a str> {
    let line = status
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(wanted.as_bytes())?.strip_prefix(b":"))?;
    str::from_utf8(line).ok().map(str::trim)
}

/// `None`: it has no memory (`proc_pid_status` leaves these lines out).
fn memory(status: &[u8]) -> Option<Memory> {
    field(status, "VmSize")?;
    let kib =
        |wanted| field(status, wanted)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024);
    Some(Memory {
        anon_bytes: kib("RssAnon"),
        file_bytes: kib("RssFile"),
        shmem_bytes: kib("RssShmem"),
        rss_bytes: None,
        swap_bytes: kib("VmSwap"),
        pgtables_bytes: kib("VmPTE"),
        total_vm_bytes: kib("VmSize"),
    })
}

/// The first thread that still has memory (`find_lock_task_mm`).
fn of_other_threads(dir: &Path, leader: u32) -> Result<(u32, Option<Memory>), Missing> {
    let mut tids: Vec<u32> = read_dir(dir.join("task"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|tid| *tid != leader)
        .take(THREADS)
        .collect();
    tids.sort_unstable();
    for tid in tids {
        let found = bytes(&dir.join(format!("task/{tid}/status"))).ok().and_then(|status| memory(&status));
        if found.is_some() {
            return Ok((tid, found));
        }
    }
    Ok((leader, None))
}

/// The path in `ID:CONTROLLERS:PATH` (`proc_cgroup_show`); a cgroup that was removed has a mark behind it.
fn cgroup(text: &[u8], v2: bool) -> Option<String> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut parts = line.splitn(3, |byte| *byte == b':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let wanted = if v2 {
            id == b"0" && controllers.is_empty()
        } else {
            controllers.split(|byte| *byte == b',').any(|controller| controller == b"memory")
        };
        wanted.then(|| name(path.strip_suffix(b" (deleted)").unwrap_or(path)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_names_may_look_like_the_fields_behind_them() {
        let rest = "S 1 1 1 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 7 0 4711 0 0\n";
        let stat = stat_fields(&[b"12 (we ird)[1] 5) R \xff\n) ", rest.as_bytes()].concat()).unwrap();
        assert_eq!(stat.comm, "we ird)[1] 5) R \\xff\n");
        assert_eq!((stat.flags & PF_KTHREAD, stat.threads, stat.start_ticks), (PF_KTHREAD, 7, 4711));
        for broken in ["", "12 (a", "12 (a) S 1", "12 )a( S"] {
            assert!(stat_fields(broken.as_bytes()).is_none(), "{broken}");
        }
    }

    #[test]
    fn memory_is_in_kb_and_its_absence_is_not_zero() {
        let status = b"Name:\tVmSize: 5\nUid:\t1000\t0\t0\t0\nVmSize:\t  100 kB\nRssAnon:\t 4 kB\nRssFile:\t8\nVmSwap:\t0 kB\n";
        let found = memory(status).unwrap();
        assert_eq!(
            (found.total_vm_bytes, found.anon_bytes, found.file_bytes),
            (Some(102_400), Some(4096), None)
        );
        assert_eq!((found.swap_bytes, found.pgtables_bytes), (Some(0), None));
        assert_eq!(memory(b"Name:\tdead\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn the_memory_cgroup_is_the_hierarchys_that_is_asked_for() {
        let text = b"12:pids:/p\n4:cpu,memory:/a:b c\n1:name=systemd:/s\n0::/u (deleted)\n";
        assert_eq!(cgroup(text, false).as_deref(), Some("/a:b c"));
        assert_eq!(cgroup(text, true).as_deref(), Some("/u"));
        assert_eq!(cgroup(b"0::/u\n", false), None);
        assert_eq!(cgroup(b"", true), None);
    }
}
