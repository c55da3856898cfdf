//! Disks, found by their serial numbers, and the tar of results that one of them takes.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// The kernel probes disks while init already runs.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// The device of the `nvme` class that has this serial number.
pub(crate) fn disk(serial: &str) -> Result<PathBuf> {
    let start = Instant::now();
    loop {
        if let Some(disk) = find(Path::new("/sys/class/nvme"), serial) {
            let device = Path::new("/dev").join(format!("{disk}n1"));
            if device.exists() {
                return Ok(device);
            }
        }
        if start.elapsed() > PROBE_LIMIT {
            bail!("no NVMe disk of serial number {serial:?} came up within {} s", PROBE_LIMIT.as_secs());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn find(class: &Path, serial: &str) -> Option<String> {
    fs::read_dir(class).ok()?.flatten().find_map(|entry| {
        let found = fs::read_to_string(entry.path().join("serial")).ok()?;
        (found.trim() == serial).then(|| entry.file_name().to_string_lossy().into_owned())
    })
}

/// Writes `results` as a tar onto `device`.
pub(super) fn hand_back(results: &Path, device: &Path) -> Result<()> {
    let disk = OpenOptions::new()
        .write(true)
        .open(device)
        .with_context(|| format!("opening {}", device.display()))?;
    let disk =
        pack(results, disk).with_context(|| format!("writing the results onto {}", device.display()))?;
    disk.sync_all().with_context(|| format!("flushing {}", device.display()))
}

fn pack<W: Write>(results: &Path, into: W) -> io::Result<W> {
    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(1 << 20, into));
    tar.follow_symlinks(false);
    tar.append_dir_all("", results)?;
    tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("oom-guest-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_disk_is_known_by_its_padded_serial_number() {
        let class = scratch("class");
        for (name, serial) in [("nvme0", "swap                \n"), ("nvme1", "results             \n")] {
            fs::create_dir_all(class.join(name)).unwrap();
            fs::write(class.join(name).join("serial"), serial).unwrap();
        }
        assert_eq!(find(&class, "results").as_deref(), Some("nvme1"));
        assert_eq!(find(&class, "other"), None);
        fs::remove_dir_all(class).unwrap();
    }

    #[test]
    fn results_survive_the_way_through_a_disk_that_is_larger_than_they_are() {
        let results = scratch("results");
        fs::create_dir_all(results.join("deep")).unwrap();
        fs::write(results.join("deep/file"), "kept").unwrap();
        let mut disk = pack(&results, Vec::new()).unwrap();
        disk.extend([0xff; 4096]);
        let back = scratch("back");
        tar::Archive::new(&disk[..]).unpack(&back).unwrap();
        assert_eq!(fs::read_to_string(back.join("deep/file")).unwrap(), "kept");
        fs::remove_dir_all(results).unwrap();
        fs::remove_dir_all(back).unwrap();
    }
}
