//! `/proc/zoneinfo` (`zoneinfo_show_print`, mm/vmstat.c): free memory and watermarks of each zone.

use crate::{incident::machine::Zone, kernel::host::read_file};
use std::path::Path;

/// All zones. Empty: it cannot be read.
pub(super) fn read(root: &Path, page_size: u64) -> Vec<Zone> {
    // With thousands of CPUs, each of which has some lines in each zone, the last nodes may be cut off.
    let text = read_file(root, "proc/zoneinfo").unwrap_or_default();
    let bytes = |pages: &str| pages.parse::<u64>().ok().and_then(|pages| pages.checked_mul(page_size));
    let mut zones: Vec<Zone> = Vec::new();
    for line in text.lines() {
        if let Some((node, name)) = line.strip_prefix("Node ").and_then(|rest| rest.split_once(", zone ")) {
            let Ok(node) = node.parse() else { continue };
            zones.push(Zone { node, name: name.trim().to_owned(), ..Zone::default() });
            continue;
        }
        let Some(zone) = zones.last_mut() else { continue };
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("pages"), Some("free"), Some(pages)) => zone.free_bytes = bytes(pages),
            (Some("min"), Some(pages), None) => zone.min_bytes = bytes(pages),
            (Some("low"), Some(pages), None) => zone.low_bytes = bytes(pages),
            (Some("high"), Some(pages), None) => zone.high_bytes = bytes(pages),
            (Some("present"), Some(pages), None) => zone.present_bytes = bytes(pages),
            (Some("managed"), Some(pages), None) => zone.managed_bytes = bytes(pages),
            (Some("nr_free_cma"), Some(pages), None) => zone.free_cma_bytes = bytes(pages),
            (Some("protection:"), ..) => {
                let list = line.trim().trim_start_matches("protection: (").trim_end_matches(')');
                zone.lowmem_reserve_pages =
                    list.split(", ").map(str::parse).collect::<Result<_, _>>().unwrap_or_default();
            }
            _ => {}
        }
    }
    // Without what is kept from whom there is no telling who may use it.
    zones.retain(|zone| !zone.lowmem_reserve_pages.is_empty());
    zones
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::host::test_root::TestRoot;

    /// Linux 6.12, without its long middle; the last zone is cut off.
    const TEXT: &str = "\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 7
  pages free     2816
        boost    0
        min      31
        low      38
        high     45
        promo    52
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 1909, 1909, 1909, 1909)
      nr_free_pages 2816
      nr_free_cma  0
  pagesets
    cpu: 0
              count:    0
              high:     14
              low:      3
              min:      1
  vm stats threshold: 2
  node_unreclaimable:  0
Node 1, zone   Normal
  pages free     90
        min      100
        protection: (0, 0, 0, 0, 0)
Node 1, zone  Movable
  pages fr";

    #[test]
    fn zones_are_read() {
        let root = TestRoot::new().file("proc/zoneinfo", TEXT);
        let zones = read(root.path(), 4096);
        let dma = Zone {
            node: 0,
            name: "DMA".into(),
            free_bytes: Some(2816 << 12),
            min_bytes: Some(31 << 12),
            low_bytes: Some(38 << 12),
            high_bytes: Some(45 << 12),
            managed_bytes: Some(3840 << 12),
            present_bytes: Some(3998 << 12),
            free_cma_bytes: Some(0),
            lowmem_reserve_pages: vec![0, 1909, 1909, 1909, 1909],
            ..Zone::default()
        };
        assert_eq!(zones.first(), Some(&dma));
        assert_eq!((zones.len(), zones[1].node, zones[1].free_bytes), (2, 1, Some(90 << 12)));
        assert_eq!(read(Path::new("/nowhere"), 4096), []);
    }

    #[test]
    fn this_machine_has_some() {
        let zones = read(Path::new("/"), rustix::param::page_size() as u64);
        let free: u64 = zones.iter().filter_map(|zone| zone.free_bytes).sum();
        assert!(free > 0 && zones.iter().any(|zone| zone.min_bytes > Some(0)), "{zones:?}");
    }
}
