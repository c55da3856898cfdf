//! The disks of a VM: results come back as a plain tar on one, another is swap space.

use std::{
    fs::{self, File},
    io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};

use super::job::{REPORT, Report};

/// Room for results. The file is sparse.
const RESULTS_BYTES: u64 = 512 << 20;

/// Makes an empty disk for results.
pub(super) fn results(path: &Path) -> Result<()> {
    super::sparse(path, RESULTS_BYTES).map(drop)
}

/// Unpacks what the guest handed back. `None` if it came to no (whole) report.
pub(super) fn unpack(disk: &Path, into: &Path) -> Result<Option<Report>> {
    let report = into.join(REPORT);
    if report.exists() {
        // Of an earlier run with the same directory.
        fs::remove_file(&report).with_context(|| format!("removing {}", report.display()))?;
    }
    let mut file = File::open(disk).with_context(|| format!("opening {}", disk.display()))?;
    let mut first = [0; 1];
    file.read_exact(&mut first).with_context(|| format!("reading {}", disk.display()))?;
    if first == [0] {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0)).with_context(|| format!("reading {}", disk.display()))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    archive.set_preserve_mtime(false);
    if let Err(error) = archive.unpack(into) {
        eprintln!("note: the results in {} are damaged from some point on: {error}", disk.display());
    }
    let Ok(bytes) = fs::read(&report) else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).with_context(|| format!("reading {}", report.display())).map(Some)
}

/// Makes a disk of `mib` MiB that is signed as swap space (`union swap_header` of `include/linux/swap.h`).
pub(super) fn swap(path: &Path, mib: u32, page_bytes: u64) -> Result<()> {
    let bytes = u64::from(mib) << 20;
    let mut file = super::sparse(path, bytes)?;
    file.write_all(&swap_header(bytes, page_bytes))
        .with_context(|| format!("signing the swap space {}", path.display()))
}

fn swap_header(bytes: u64, page_bytes: u64) -> Vec<u8> {
    let mut page = vec![0; page_bytes as usize];
    // The first 1024 bytes are left for a boot block: version, last_page.
    page[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    page[1028..1032].copy_from_slice(&((bytes / page_bytes - 1) as u32).to_le_bytes());
    page[page_bytes as usize - 10..].copy_from_slice(b"SWAPSPACE2");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_header_counts_the_pages_behind_it() {
        for (page_bytes, last_page) in [(4096, [0xff, 0x3f]), (16_384, [0xff, 0x0f])] {
            let header = swap_header(64 << 20, page_bytes);
            assert_eq!(header[1024..1028], [1, 0, 0, 0]);
            assert_eq!(header[1028..1030], last_page);
            assert!(header.ends_with(b"SWAPSPACE2") && header.len() as u64 == page_bytes);
        }
    }

    #[test]
    fn a_disk_that_the_guest_never_wrote_holds_no_report() {
        let path = std::env::temp_dir().join(format!("xtask-results-{}", std::process::id()));
        results(&path).unwrap();
        assert_eq!(unpack(&path, Path::new("/nonexistent")).unwrap(), None);
        fs::remove_file(path).unwrap();
    }
}
