//! Memory of machines.

use super::build::{KIB, MIB};
use crate::incident::machine::{Slab, Zone};
use crate::incident::model::Incident;

const GIB: u64 = 1 << 30;

/// A zone with watermarks as the kernel sets them from `min`.
fn zone(node: u32, name: &str, size: u64, min: u64, free: u64) -> Zone {
    Zone {
        node,
        name: name.to_owned(),
        free_bytes: Some(free),
        min_bytes: Some(min),
        low_bytes: Some(min / 4 * 5),
        high_bytes: Some(min / 4 * 6),
        managed_bytes: Some(size - size / 50),
        present_bytes: Some(size),
        reserved_highatomic_bytes: Some(0),
        free_cma_bytes: Some(0),
        lowmem_reserve_pages: vec![0; 5],
        free_blocks: vec![],
        free_block_types: vec![],
    }
}

fn memory(incident: &mut Incident, counters: &[(&str, u64)]) {
    incident.memory = counters.iter().map(|(name, bytes)| (format!("{name}_bytes").into(), *bytes)).collect();
}

fn blocks(zone: &mut Zone, numbers: &[u64]) {
    zone.free_blocks = numbers.to_vec();
    zone.free_block_types =
        numbers.iter().map(|number| if *number > 0 { "UM".to_owned() } else { String::new() }).collect();
}

/// Enough free memory, but in single pages.
pub(super) fn of_16_gib(incident: &mut Incident) {
    let mut dma = zone(0, "DMA", 16 * MIB, 64 * KIB, 11 * MIB);
    dma.lowmem_reserve_pages = vec![0, 2900, 15_800, 15_800, 15_800];
    blocks(&mut dma, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
    let mut dma32 = zone(0, "DMA32", 3 * GIB, 12 * MIB, 58 * MIB);
    dma32.lowmem_reserve_pages = vec![0, 0, 12_900, 12_900, 12_900];
    blocks(&mut dma32, &[9000, 2000, 700, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut normal = zone(0, "Normal", 13 * GIB, 55 * MIB, 140 * MIB);
    blocks(&mut normal, &[30_000, 2_800, 100, 0, 0, 0, 0, 0, 0, 0, 0]);
    incident.zones = vec![dma, dma32, normal];
    incident.scope.mems_allowed = Some("0".into());
    memory(
        incident,
        &[
            ("active_anon", 9 * GIB),
            ("inactive_anon", 3 * GIB),
            ("active_file", 90 * MIB),
            ("inactive_file", 60 * MIB),
            ("slab_reclaimable", 110 * MIB),
            ("slab_unreclaimable", 400 * MIB),
            ("pagetables", 62 * MIB),
            ("shmem", 700 * MIB),
            ("file_mapped", 120 * MIB),
            ("free", 209 * MIB),
            ("ram", 16 * GIB + 16 * MIB),
            ("reserved", 328 * MIB),
            ("swap_total", 2 * GIB),
            ("swap_free", GIB),
        ],
    );
}

/// Two nodes of which the cpuset allows one.
pub(super) fn of_two_nodes(incident: &mut Incident) {
    incident.scope.mems_allowed = Some("1".into());
    if let Some(trigger) = &mut incident.trigger {
        trigger.gfp_flags = vec!["GFP_HIGHUSER_MOVABLE".into(), "__GFP_ZERO".into()];
    }
    let mut normal = zone(1, "Normal", GIB, 22 * MIB, 21 * MIB);
    blocks(&mut normal, &[5, 4, 3, 2, 1, 0, 0, 0, 0, 1, 4]);
    incident.zones = vec![normal];
    memory(
        incident,
        &[
            ("active_anon", 970 * MIB),
            ("free", 700 * MIB),
            ("ram", 2 * GIB),
            ("reserved", 40 * MIB),
            ("swap_total", 0),
            ("swap_free", 0),
        ],
    );
}

/// Sixteen nodes, all full.
pub(super) fn of_16_nodes(incident: &mut Incident) {
    if let Some(trigger) = &mut incident.trigger {
        trigger.gfp_flags = vec!["GFP_USER".into()];
    }
    incident.scope.mems_allowed = Some("0-15".into());
    incident.zones = (0..16).map(|node| zone(node, "Normal", 4 * GIB, 44 * MIB, 43 * MIB)).collect();
    incident.zones.insert(0, zone(0, "Movable", GIB, 11 * MIB, 800 * MIB));
    let slab = |name: &str, used, total| Slab { name: name.into(), used_bytes: used, total_bytes: total };
    incident.unreclaimable_slabs = vec![
        slab("kmalloc-64", 31 * GIB, 32 * GIB),
        slab("task_struct", 8 * MIB, 9 * MIB),
        slab("filp", 3 * GIB, 3 * GIB),
    ];
    memory(
        incident,
        &[
            ("active_anon", 3 * GIB),
            ("slab_unreclaimable", 36 * GIB),
            ("free", 1500 * MIB),
            ("ram", 65 * GIB),
            ("reserved", GIB),
            ("swap_total", 8 * GIB),
            ("swap_free", 20 * KIB),
        ],
    );
}

/// Names from a forged log.
pub(super) fn hostile(incident: &mut Incident) {
    incident.zones =
        vec![zone(7, "\u{1b}[2JNormal", GIB, MIB, MIB), zone(8, "\u{202e}", u64::MAX, u64::MAX / 2, 0)];
    let name = "\u{1b}[1;1Hkmalloc\nVictims   1 root".to_owned();
    incident.unreclaimable_slabs = vec![Slab { name, used_bytes: 0, total_bytes: u64::MAX }];
}
