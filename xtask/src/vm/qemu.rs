//! The virtual machine's command line.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Signal, set_parent_process_death_signal};

use super::{Request, job};
use crate::machine::Machine;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accel {
    /// The processor.
    Kvm,
    /// QEMU's emulation.
    Tcg,
    /// The same with clocks that count instructions, one a nanosecond.
    Counted,
}

impl Accel {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg | Self::Counted => "tcg",
        }
    }
}

/// The parts of one machine.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) accel: Accel,
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// The first serial port, the kernel's console, as a file.
    pub(super) console: &'a Path,
    pub(super) results: &'a Path,
    pub(super) swap: Option<&'a Path>,
    pub(super) root: Option<&'a Path>,
}

impl Parts<'_> {
    /// The command, with standard output and error piped: they are two more serial ports of the guest.
    pub(super) fn command(&self, request: &Request) -> Command {
        let Self { accel, kernel, initramfs, console, results, swap, root } = self;
        let Request { machine, memory_mib, cpus, numa, append, disk, .. } = request;
        let mut command = base(*machine, *accel);
        // A socket of its own for each processor: one that spans two nodes makes the kernel warn (`topology_sane`).
        command
            .args(["-m", &format!("{memory_mib}M"), "-smp", &format!("{cpus},sockets={cpus}")])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", &arguments(*machine, append)])
            .args([
                "-chardev",
                &format!("file,id=console,path={}", escaped(console)),
                "-serial",
                "chardev:console",
            ])
            .args(["-chardev", "file,id=stdout,path=/dev/fd/1", "-chardev", "file,id=stderr,path=/dev/fd/2"])
            .args(match machine {
                Machine::Amd64 => &["-serial", "chardev:stdout", "-serial", "chardev:stderr"][..],
                Machine::Arm64 => &["-device", "pci-serial-2x,chardev1=stdout,chardev2=stderr"],
            });
        nvme(&mut command, results, job::RESULTS_SERIAL, "off");
        if let Some(swap) = swap {
            nvme(&mut command, swap, job::SWAP_SERIAL, "off");
        }
        for (disk, serial) in [(root.as_deref(), job::ROOT_SERIAL), (disk.as_deref(), job::DISK_SERIAL)] {
            if let Some(disk) = disk {
                nvme(&mut command, disk, serial, "on");
            }
        }
        if *numa {
            for (node, memory, cpus) in nodes(*memory_mib, *cpus) {
                command
                    .args(["-object", &format!("memory-backend-ram,id=node{node},size={memory}M")])
                    .args(["-numa", &format!("node,nodeid={node},memdev=node{node},cpus={cpus}")]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The console, no noise on it, a panic is the machine's end, and no self-tests of ciphers (0.4 s under emulation).
const KERNEL_ARGUMENTS: &str = "quiet panic=-1 cryptomgr.notests";
/// Room for long kernel logs, unless another size is asked for: the kernel takes the largest of those that it is told.
const LOG: &str = "log_buf_len=";

fn arguments(machine: Machine, append: &str) -> String {
    let console = match machine {
        Machine::Amd64 => "ttyS0",
        Machine::Arm64 => "ttyAMA0",
    };
    let log = if append.contains(LOG) { String::new() } else { format!("{LOG}4M ") };
    format!("console={console} {KERNEL_ARGUMENTS} {log}{append}")
}

/// QEMU for `machine`.
pub(crate) const fn program(machine: Machine) -> &'static str {
    match machine {
        Machine::Amd64 => "qemu-system-x86_64",
        Machine::Arm64 => "qemu-system-aarch64",
    }
}

/// The guest's devices for what the command writes: standard output, standard error.
pub(super) const fn ports(machine: Machine) -> [&'static str; 2] {
    match machine {
        // The first one is the console.
        Machine::Amd64 => ["/dev/ttyS1", "/dev/ttyS2"],
        // The console is of another kind.
        Machine::Arm64 => ["/dev/ttyS0", "/dev/ttyS1"],
    }
}

/// What every machine has, or rather has not.
pub(super) fn base(machine: Machine, accel: Accel) -> Command {
    let mut command = Command::new(program(machine));
    // With all that QEMU can do, arm64 signs its pointers, which is slow to emulate. This one is in the clouds.
    let (board, emulated) = match machine {
        Machine::Amd64 => ("pc", "max"),
        Machine::Arm64 => ("virt", "neoverse-n1"),
    };
    match accel {
        Accel::Kvm => command.args(["-accel", "kvm", "-cpu", "host"]),
        Accel::Tcg => command.args(["-accel", "tcg,thread=multi", "-cpu", emulated]),
        Accel::Counted => {
            command.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-cpu", emulated])
        }
    };
    // SAFETY: between fork and exec only prctl(2) is called, which is async-signal-safe.
    unsafe {
        // However xtask ends, no machine is left running behind it.
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    command.args(["-M", board, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command
}

fn nvme(command: &mut Command, file: &Path, serial: &str, snapshot: &str) {
    let options = format!("if=none,id={serial},format=raw,cache=unsafe,snapshot={snapshot},file=");
    command
        .args(["-drive", &format!("{options}{}", escaped(file))])
        .args(["-device", &format!("nvme,drive={serial},serial={serial}")]);
}

/// Two nodes that share `memory_mib` and `cpus`: number, memory in MiB, processors as QEMU writes a range.
fn nodes(memory_mib: u32, cpus: u32) -> [(u32, u32, String); 2] {
    let half = cpus.div_ceil(2);
    let range = |from: u32, to: u32| if from < to { format!("{from}-{}", to - 1) } else { String::new() };
    let second = range(half, cpus);
    let first_memory = memory_mib / 2;
    [(0, first_memory, range(0, half)), (1, memory_mib - first_memory, second)]
}

/// QEMU's options are lists of words between commas; a comma in a path is doubled.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numa_nodes_share_everything_between_them() {
        assert_eq!(nodes(1024, 2), [(0, 512, "0-0".to_owned()), (1, 512, "1-1".to_owned())]);
        assert_eq!(nodes(1001, 3), [(0, 500, "0-1".to_owned()), (1, 501, "2-2".to_owned())]);
    }

    #[test]
    fn a_path_with_a_comma_stays_one_word() {
        assert_eq!(escaped(Path::new("/a,b/c")), "/a,,b/c");
    }
}
