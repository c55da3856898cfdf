//! System calls by seccomp: those that the agent never makes and that an intruder would like.
//!
//! A list of what is refused, not of what is allowed: that one would have to know what every libc and kernel will call,
//! and break the agent in the worst moment where it does not. A call that is refused fails with `EPERM`.

use libc::{c_long, sock_filter, sock_fprog};
use std::{io::Error, mem::offset_of};

/// Refused whatever their arguments.
const REFUSED: &[c_long] = &[
    // Other programs, other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_kcmp,
    // Another kernel, or more of this one.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_syslog,
    // Other file systems, other namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_mknodat,
    libc::SYS_unshare,
    libc::SYS_setns,
    // The machine's settings.
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_personality,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
];

/// Those that only this architecture has.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_mknod,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS_fork,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[libc::SYS_kexec_file_load];

/// What may be done with BPF: look up, update, delete, next key (`enum bpf_cmd`, include/uapi/linux/bpf.h). What is open
/// stays open; nothing new is loaded or attached.
const BPF_COMMANDS: [u32; 4] = [1, 2, 3, 4];

/// `AUDIT_ARCH_*` (include/uapi/linux/audit.h).
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Calls of the x32 ABI have this bit (`__X32_SYSCALL_BIT`). No other architecture has so many calls.
const X32: u32 = 0x4000_0000;

/// Refuses them, to all threads. How many. `log`: but not syslog(2), by which the kernel's log is read.
pub(super) fn refuse(log: bool) -> Result<usize, String> {
    let mut filter = filter(std::process::id(), log);
    let program = sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| "the filter is too long".to_owned())?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel copies a program of that many instructions, which lives until the call returns.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    match done {
        0 => Ok(refused(log).count()),
        -1 => Err(format!("seccomp: {}", Error::last_os_error())),
        thread => Err(format!("seccomp: the thread {thread} has another filter")),
    }
}

fn refused(log: bool) -> impl Iterator<Item = c_long> {
    REFUSED.iter().chain(REFUSED_HERE).copied().filter(move |call| !log || *call != libc::SYS_syslog)
}

/// The program: loads, comparisons that jump to one of the last two instructions, and those.
fn filter(pid: u32, log: bool) -> Vec<sock_filter> {
    let load =
        |offset: usize| (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32, To::Next, To::Next);
    let equal = |value: u32, yes: To, no: To| (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, yes, no);
    let number = load(offset_of!(libc::seccomp_data, nr));
    // The lower half, on machines that have it first.
    let argument = load(offset_of!(libc::seccomp_data, args));
    let mut steps = vec![
        load(offset_of!(libc::seccomp_data, arch)),
        equal(ARCHITECTURE, To::Next, To::Refuse),
        number,
        (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, X32, To::Refuse, To::Next),
    ];
    steps.extend(refused(log).map(|call| equal(call as u32, To::Refuse, To::Next)));
    steps.push(equal(libc::SYS_bpf as u32, To::Next, To::Skip(1 + BPF_COMMANDS.len())));
    steps.push(argument);
    let (last, commands) = (BPF_COMMANDS[BPF_COMMANDS.len() - 1], &BPF_COMMANDS[..BPF_COMMANDS.len() - 1]);
    steps.extend(commands.iter().map(|command| equal(*command, To::Allow, To::Next)));
    steps.push(equal(last, To::Allow, To::Refuse));
    // A panic ends the agent by a signal to itself.
    steps.push(equal(libc::SYS_tgkill as u32, To::Next, To::Allow));
    steps.push(argument);
    steps.push(equal(pid, To::Allow, To::Refuse));
    let length = steps.len();
    let mut program: Vec<_> = steps
        .into_iter()
        .enumerate()
        .map(|(at, (code, k, yes, no))| {
            let jump = |to: To| match to {
                To::Next => 0,
                To::Skip(steps) => steps as u8,
                To::Allow => (length - at - 1) as u8,
                To::Refuse => (length - at) as u8,
            };
            sock_filter { code: code as u16, jt: jump(yes), jf: jump(no), k }
        })
        .collect();
    for answer in [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32] {
        program.push(sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: answer });
    }
    program
}

/// Where a comparison leads.
#[derive(Clone, Copy)]
enum To {
    Next,
    Skip(usize),
    Allow,
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 4711;

    /// Runs the program as the kernel does. Whether the call is allowed.
    fn allows(architecture: u32, number: c_long, argument: u64) -> bool {
        allows_by(&filter(PID, false), architecture, number, argument)
    }

    fn allows_by(filter: &[sock_filter], architecture: u32, number: c_long, argument: u64) -> bool {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = filter[at];
            let code = u32::from(step.code);
            at += 1;
            if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS {
                loaded = match step.k {
                    0 => number as u32,
                    4 => architecture,
                    16 => argument as u32,
                    other => panic!("offset {other}"),
                };
            } else if code == libc::BPF_RET | libc::BPF_K {
                return match step.k {
                    libc::SECCOMP_RET_ALLOW => true,
                    answer => {
                        assert_eq!(answer, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
                        false
                    }
                };
            } else {
                let yes = if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K {
                    loaded == step.k
                } else {
                    assert_eq!(code, libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
                    loaded >= step.k
                };
                at += usize::from(if yes { step.jt } else { step.jf });
            }
        }
    }

    #[test]
    fn what_is_listed_is_refused_and_the_rest_is_not() {
        for call in REFUSED.iter().chain(REFUSED_HERE) {
            assert!(!allows(ARCHITECTURE, *call, 0), "{call}");
        }
        let needed = [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_epoll_pwait,
            libc::SYS_accept4,
            libc::SYS_fsync,
            libc::SYS_mmap,
            libc::SYS_clone3,
            libc::SYS_ioctl,
            libc::SYS_exit_group,
        ];
        for call in needed {
            assert!(allows(ARCHITECTURE, call, 0), "{call}");
        }
        // Jumps have eight bits.
        assert!(filter(PID, false).len() < 255);
    }

    #[test]
    fn maps_can_be_used_and_nothing_loaded() {
        for command in 0..64 {
            let expected = [1, 2, 3, 4].contains(&command);
            assert_eq!(allows(ARCHITECTURE, libc::SYS_bpf, command), expected, "{command}");
        }
    }

    #[test]
    fn signals_are_for_the_agent_itself() {
        assert!(allows(ARCHITECTURE, libc::SYS_tgkill, u64::from(PID)));
        assert!(!allows(ARCHITECTURE, libc::SYS_tgkill, 1));
    }

    #[test]
    fn other_ways_to_number_calls_are_no_way_around() {
        assert!(!allows(0x4000_0003, libc::SYS_read, 0), "i386");
        assert!(!allows(ARCHITECTURE, libc::SYS_execve | c_long::from(X32), 0), "x32");
        assert!(!allows(ARCHITECTURE, libc::SYS_read | c_long::from(X32), 0), "x32");
    }

    #[test]
    fn the_log_can_be_read_where_it_is_read_by_syslog() {
        assert!(!allows(ARCHITECTURE, libc::SYS_syslog, 3));
        assert!(allows_by(&filter(PID, true), ARCHITECTURE, libc::SYS_syslog, 3));
        assert!(!allows_by(&filter(PID, true), ARCHITECTURE, libc::SYS_ptrace, 0));
        assert_eq!(refused(true).count() + 1, refused(false).count());
    }
}
