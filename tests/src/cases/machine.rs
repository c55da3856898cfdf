//! The machine: what may be done to it, and settings that are put back.

use crate::workload::sys;
use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, capabilities};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A machine-wide case may only run where nothing else lives: both the machine and its init have to say so.
pub(crate) fn is_throwaway() -> bool {
    std::env::var_os("OOM_GUEST").is_some_and(|value| value == "1") && booted_with("oom.guest=1")
}

/// Whether the kernel's command line has this word.
pub(crate) fn booted_with(word: &str) -> bool {
    let said = |text: &str| text.split_ascii_whitespace().any(|one| one == word);
    fs::read_to_string("/proc/cmdline").is_ok_and(|text| said(&text))
}

/// Whether a process of ours may have an `oom_score_adj` below 0.
pub(crate) fn may_lower_adj() -> bool {
    let resource = CapabilitySet::SYS_RESOURCE;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(resource))
}

/// A file's value that is put back when this is dropped.
#[derive(Debug)]
pub(crate) struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    /// Sets it.
    pub(crate) fn new(path: impl Into<PathBuf>, value: &str) -> Result<Self> {
        let path = path.into();
        let before = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let setting = Self { path, before: before.trim().to_owned() };
        fs::write(&setting.path, value)
            .with_context(|| format!("writing {value} to {}", setting.path.display()))?;
        Ok(setting)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.before) {
            eprintln!("cannot put back {} to {}: {error}", self.path.display(), self.before);
        }
    }
}

/// NUMA nodes that have memory.
pub(crate) fn memory_nodes() -> Result<Vec<u32>> {
    let path = "/sys/devices/system/node/has_memory";
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let range = |part: &str| -> Option<std::ops::RangeInclusive<u32>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    Ok(text.trim().split(',').filter_map(range).flatten().collect())
}

/// Takes a node's memory away as huge pages until `leave_mib` are free: filling it would take seconds under emulation.
pub(crate) fn ballast(node: u32, leave_mib: u64) -> Result<Setting> {
    let dir = PathBuf::from(format!("/sys/devices/system/node/node{node}"));
    let path = dir.join("meminfo");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let free = text.lines().find_map(|line| {
        line.split_once("MemFree:")?.1.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    let free_mib = free.with_context(|| format!("{} has no MemFree", path.display()))? >> 10;
    let pages = free_mib.saturating_sub(leave_mib) / 2;
    Setting::new(dir.join("hugepages/hugepages-2048kB/nr_hugepages"), &pages.to_string())
}

/// Swap on a disk whose serial number is `swap`, of a size of our choice.
#[derive(Debug)]
pub(crate) struct Swap(PathBuf);

impl Swap {
    /// The disk, where the machine has one.
    pub(crate) fn disk() -> Option<PathBuf> {
        fs::read_dir("/sys/class/nvme").ok()?.find_map(|entry| {
            let entry = entry.ok()?;
            let serial = fs::read_to_string(entry.path().join("serial")).ok()?;
            let device = Path::new("/dev").join(format!("{}n1", entry.file_name().to_str()?));
            (serial.trim() == "swap" && device.exists()).then_some(device)
        })
    }

    /// Writes a swap header for `mib` and starts swapping.
    pub(crate) fn new(disk: &Path, mib: u32) -> Result<Self> {
        let page = rustix::param::page_size();
        let last_page = mib * ((1 << 20) / page as u32) - 1;
        let mut header = vec![0; page];
        // `union swap_header` (include/linux/swap.h): version and last_page after 1024 bytes, magic at the page's end.
        for (offset, bytes) in [(1024, 1_u32.to_ne_bytes()), (1028, last_page.to_ne_bytes())] {
            if let Some(place) = header.get_mut(offset..offset + 4) {
                place.copy_from_slice(&bytes);
            }
        }
        header.truncate(page - 10);
        header.extend_from_slice(b"SWAPSPACE2");
        let mut file = fs::File::options()
            .write(true)
            .open(disk)
            .with_context(|| format!("opening {}", disk.display()))?;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&header))
            .and_then(|()| file.sync_all())
            .with_context(|| format!("writing a swap header to {}", disk.display()))?;
        drop(file);
        sys::swap_on(disk).with_context(|| format!("swapon({})", disk.display()))?;
        Ok(Self(disk.to_owned()))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if let Err(error) = sys::swap_off(&self.0) {
            eprintln!("swapoff({}): {error}", self.0.display());
        }
    }
}

/// A number of kB from `/proc/PID/status`.
pub(crate) fn status_kib(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let value = text.lines().find_map(|line| {
        line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.trim().parse().ok()
    });
    match value {
        Some(value) => Ok(value),
        None => bail!("{path} has no {name}"),
    }
}
