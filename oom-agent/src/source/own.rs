//! The agent's own process, as `/proc/self` tells of it.

use crate::kernel::host::read_file;
use rustix::process::{Resource, getrlimit};
use std::{fs::read_dir, path::Path};

/// What it uses. `None`: could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Own {
    /// Time on processors, in user space and in the kernel.
    pub cpu_seconds: Option<f64>,
    /// When it started, seconds since 1970, as the clock was set at boot.
    pub start_unix_seconds: Option<f64>,
    /// Memory that it has in RAM.
    pub resident_bytes: Option<u64>,
    /// Addresses that it has.
    pub virtual_bytes: Option<u64>,
    /// Files that it has open.
    pub open_files: Option<u64>,
    /// Files that it may have open. `None`: any number.
    pub most_files: Option<u64>,
}

/// Reads it, below `root` (`/` but in tests).
pub fn read(root: &Path) -> Own {
    let stat = read_file(root, "proc/self/stat").unwrap_or_default();
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1) as f64;
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second;
    // The command name, which may hold anything, ends with the last parenthesis; the next field is proc(5)'s third.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace().collect()).unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
    let ticks = field(14).zip(field(15)).and_then(|(user, system)| user.checked_add(system));
    let boot = boot_unix_seconds(root);
    let files = read_dir(root.join("proc/self/fd")).ok();
    Own {
        cpu_seconds: ticks.map(seconds),
        start_unix_seconds: boot.zip(field(22)).map(|(boot, start)| boot as f64 + seconds(start)),
        resident_bytes: field(24).and_then(|pages| pages.checked_mul(rustix::param::page_size() as u64)),
        virtual_bytes: field(23),
        // Without the one that the directory is read by.
        open_files: files.map(|files| (files.count() as u64).saturating_sub(1)),
        most_files: getrlimit(Resource::Nofile).current,
    }
}

/// `btime`: behind the counters of interrupts, which are many on a large machine.
fn boot_unix_seconds(root: &Path) -> Option<u64> {
    let stat = read_file(root, "proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn this_process() {
        let own = read(Path::new("/"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - 3600.0..=now + 5.0).contains(&own.start_unix_seconds.unwrap()), "{own:?} at {now}");
        let used: u64 = read_file(Path::new("/"), "proc/self/statm")
            .unwrap()
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse::<u64>().ok())
            .unwrap()
            * rustix::param::page_size() as u64;
        assert!(own.resident_bytes.unwrap().abs_diff(used) < 64 << 20, "{own:?}");
        assert!(own.virtual_bytes > own.resident_bytes);
        let open = own.open_files.unwrap();
        assert!((3..4096).contains(&open), "{open}");
        assert!(own.cpu_seconds.is_some_and(|seconds| (0.0..3600.0).contains(&seconds)));
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let own = Own { most_files: None, ..read(Path::new("/nowhere")) };
        assert_eq!(own, Own::default());
    }
}
