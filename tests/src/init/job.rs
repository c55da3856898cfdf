//! What the host asks of a VM and what the VM hands back: the contract between `cargo xtask vm` and the guest's init.
//!
//! Both sides include this file, because `xtask` must build where the rest of the workspace cannot yet.

use serde::{Deserialize, Serialize};

/// Where the initramfs holds the [`Job`], as JSON.
pub const JOB: &str = "/job.json";
/// The serial number of the disk that takes the results, as a plain tar from its first byte on.
pub const RESULTS_SERIAL: &str = "results";
/// The serial number of the disk that is swap space, signed already.
pub const SWAP_SERIAL: &str = "swap";
/// The serial number of the disk with systemd.
pub const ROOT_SERIAL: &str = "root";
/// The serial number of one more disk.
pub const DISK_SERIAL: &str = "peers";
/// The name of the [`Report`] within the results.
pub const REPORT: &str = "report.json";

/// What a VM is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The program, looked up in `PATH`, and its arguments.
    pub command: Vec<String>,
    /// Kernel modules to load first, in this order: files, packed as the distribution packs them.
    pub modules: Vec<String>,
    /// Mount the memory controller as cgroup v1, at `/sys/fs/cgroup/memory`, instead of cgroup v2.
    pub cgroup_v1: bool,
    /// Use the disk of serial number [`SWAP_SERIAL`] as swap space.
    pub swap: bool,
    /// Start systemd from the disk of serial number [`ROOT_SERIAL`], and the command as a service of it. These files of the
    /// initramfs are copied there.
    pub systemd: Option<Vec<String>>,
    /// Pass what the command writes on to these serial ports, stdout and stderr, as it comes. It is kept in the results
    /// either way.
    pub stream: Option<[String; 2]>,
}

/// How the command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its exit status; 128 and the signal if one ended it; 127 if it could not be started.
    pub exit_code: i32,
    /// From its start to its end, in seconds.
    pub seconds: f64,
    /// From the kernel's first instruction to the command's start, in seconds.
    pub boot_seconds: f64,
}
