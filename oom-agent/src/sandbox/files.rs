//! Files and ports by Landlock: what was not named beforehand cannot be opened, whatever the agent is made to do.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags,
};
use std::path::{Path, PathBuf};

/// The newest version whose rights are known here. An older kernel is asked for what it has.
const KNOWN: ABI = ABI::V6;

/// What the agent reads for as long as it runs: processes, cgroups, the kernel's settings; and what time zones are
/// read from again and again (jiff) and SQLite takes its random numbers from.
const READ: [&str; 8] = [
    "/proc",
    "/sys",
    "/dev/kmsg",
    "/dev/urandom",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/usr/share/lib/zoneinfo",
    "/etc/zoneinfo",
];

/// What the agent lists, without reading what is in it: there the kubelet writes what pods and containers are called.
const LIST: [&str; 1] = ["/var/log"];

/// What the resolver reads of the system (`getaddrinfo`). Where one of them is a link, what it leads to may be replaced.
const RESOLVER: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/run/systemd/resolve",
];
/// Where name servers are asked by TCP, for long answers.
const DNS: u16 = 53;

/// What may be opened from here on.
#[derive(Clone, Debug)]
pub struct Files<'a> {
    /// Read and written: incidents. If it is not there, the directory that it will be made in, until the next start.
    pub state_dir: &'a Path,
    /// Read again when the configuration is.
    pub read: Vec<PathBuf>,
    /// TCP ports that it connects to.
    pub connect: Vec<u16>,
    /// Names have to be looked up.
    pub resolve: bool,
}

/// Which version of Landlock this kernel has.
///
/// # Errors
/// Why none.
pub fn landlock() -> Result<u8, String> {
    // `LANDLOCK_CREATE_RULESET_VERSION` (include/uapi/linux/landlock.h).
    const VERSION: libc::c_uint = 1;
    // SAFETY: it only answers with a number; without attributes their length is 0.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION)
    };
    u8::try_from(version).map_err(|_| match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EOPNOTSUPP) => "Landlock is switched off at boot (lsm=)".to_owned(),
        Some(libc::ENOSYS) => "this kernel has no Landlock".to_owned(),
        _ => format!("asking for Landlock: {}", std::io::Error::last_os_error()),
    })
}

/// Restricts this thread and those that it starts.
pub(super) fn restrict(files: &Files<'_>) -> Result<u8, String> {
    let abi = landlock()?;
    let RestrictionStatus { ruleset, .. } = rules(files).map_err(|error| error.to_string())?;
    match ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(abi),
        RulesetStatus::NotEnforced => Err("the kernel has not taken the rules".to_owned()),
    }
}

fn rules(files: &Files<'_>) -> Result<RestrictionStatus, RulesetError> {
    let Files { state_dir, read, connect, resolve } = files;
    let reading = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let mut writing = reading | make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile});
    let mut state = *state_dir;
    if let (false, Some(above)) = (state.exists(), state.parent()) {
        writing |= AccessFs::MakeDir;
        state = above;
    }
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        // It listens already, and connects to nobody else.
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    let zones = std::env::var_os("TZDIR").map(PathBuf::from);
    let resolver = RESOLVER.iter().filter(|_| *resolve);
    let reads =
        READ.iter().chain(resolver).map(Path::new).chain(read.iter().chain(&zones).map(PathBuf::as_path));
    let lists = LIST.iter().map(|path| (Path::new(path), AccessFs::ReadDir.into()));
    for (path, access) in reads.map(|path| (path, reading)).chain(lists).chain([(state, writing)]) {
        // What is not there needs no rule.
        if let Ok(open) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(open, fitting(path, access)))?;
        }
    }
    for port in connect.iter().chain(Some(&DNS).filter(|_| *resolve)) {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    rules.restrict_self()
}

/// Only directories have rights that are about what is in them.
fn fitting(path: &Path, access: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) }
}
