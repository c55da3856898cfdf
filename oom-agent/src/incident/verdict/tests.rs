//! Each reason with an incident that has it, and one next to it that has not.

mod limit;

use super::*;
use crate::incident::machine::Zone;
use crate::incident::model::{Scope, Trigger};
use Code::{Fragmented, NoFreePages, NodesExcluded, Ordered, SwapFull};
use Confidence::{Certain, Likely, Possible};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A machine like that of the samples: 6.12.117-global.
fn machine(kind: ScopeKind) -> Incident {
    let dma = Zone {
        free_bytes: Some(1264 * KIB),
        lowmem_reserve_pages: vec![0, 314, 314, 314, 314],
        ..zone("DMA", 104)
    };
    let dma32 = Zone { free_bytes: Some(796 * KIB), present_bytes: Some(376 * MIB), ..zone("DMA32", 2216) };
    let memory = [
        ("ram", 392),
        ("reserved", 12),
        ("swap_total", 0),
        ("swap_free", 0),
        ("free", 2),
        ("active_anon", 300),
        ("inactive_anon", 40),
    ];
    Incident {
        scope: Scope { kind: Some(kind), mems_allowed: Some("0".into()), ..Scope::default() },
        trigger: Some(Trigger {
            order: Some(0),
            gfp_flags: vec!["GFP_HIGHUSER_MOVABLE".into()],
            ..Trigger::default()
        }),
        zones: vec![dma, dma32],
        memory: memory.map(|(name, mib)| (format!("{name}_bytes").into(), mib * MIB)).into(),
        ..Incident::default()
    }
}

/// A zone of node 0 with its watermarks as the kernel sets them.
fn zone(name: &str, min_kib: u64) -> Zone {
    Zone {
        node: 0,
        name: name.into(),
        min_bytes: Some(min_kib * KIB),
        low_bytes: Some(min_kib * KIB * 5 / 4),
        high_bytes: Some(min_kib * KIB * 3 / 2),
        present_bytes: Some(16 * MIB),
        reserved_highatomic_bytes: Some(0),
        free_cma_bytes: Some(0),
        lowmem_reserve_pages: vec![0; 5],
        ..Zone::default()
    }
}

fn flags(incident: &mut Incident, names: &[&str]) {
    incident.trigger.as_mut().unwrap().gfp_flags = names.iter().map(|&name| name.into()).collect();
}

fn order(incident: &mut Incident, order: i32) {
    incident.trigger.as_mut().unwrap().order = Some(order);
}

fn free(incident: &mut Incident, zone: usize, kib: u64) {
    incident.zones[zone].free_bytes = Some(kib * KIB);
}

fn codes(incident: &Incident) -> Vec<(Code, Confidence)> {
    verdict(incident).into_iter().map(|verdict| (verdict.code, verdict.confidence)).collect()
}

/// A change of the machine, and what follows.
type Case = (&'static str, fn(&mut Incident), &'static [(Code, Confidence)]);

fn check(kind: ScopeKind, cases: &[Case]) {
    for (name, change, expected) in cases {
        let mut incident = machine(kind);
        change(&mut incident);
        assert_eq!(codes(&incident), *expected, "{name}");
    }
}

#[test]
fn pages_are_missing_below_the_watermark_and_its_reserves() {
    check(
        ScopeKind::Global,
        &[
            ("as it was", |_| {}, &[(NoFreePages, Certain)]),
            ("at the watermark is not above it", |it| free(it, 1, 2216), &[(NoFreePages, Certain)]),
            ("between min and high", |it| free(it, 1, 2217), &[(NoFreePages, Likely)]),
            ("a little more than high", |it| free(it, 1, 4200), &[(NoFreePages, Possible)]),
            ("plenty", |it| free(it, 1, 50_000), &[]),
            ("DMA keeps 314 pages", |it| free(it, 0, 104 + 314 * 4), &[(NoFreePages, Certain)]),
            ("and not one more", |it| free(it, 0, 105 + 314 * 4), &[(NoFreePages, Likely)]),
            (
                "what is kept for high-order atomic ones may have been given up",
                |it| {
                    free(it, 1, 2616);
                    it.zones[1].reserved_highatomic_bytes = Some(400 * KIB);
                },
                &[(NoFreePages, Likely)],
            ),
            ("a zone whose watermark was not printed", |it| it.zones[1].min_bytes = None, &[]),
            ("a zone of a kind that is not known", |it| it.zones[1].name = "Fast".into(), &[]),
            ("no zones", |it| it.zones.clear(), &[]),
            ("no order", |it| it.trigger = None, &[]),
            ("a zone is missing", |it| drop(it.zones.remove(0)), &[(NoFreePages, Likely)]),
        ],
    );
}

#[test]
fn only_zones_that_the_flags_allow_count() {
    check(
        ScopeKind::Global,
        &[
            (
                "DMA has no reserve against those who can take nothing else",
                |it| {
                    flags(it, &["GFP_KERNEL", "GFP_DMA"]);
                    free(it, 0, 8000);
                    free(it, 1, 0);
                },
                &[],
            ),
            (
                "free memory in Normal is of no use to DMA32",
                |it| {
                    flags(it, &["GFP_KERNEL", "GFP_DMA32"]);
                    it.zones.push(Zone {
                        free_bytes: Some(GIB),
                        present_bytes: Some(0),
                        ..zone("Normal", 4000)
                    });
                },
                &[(NoFreePages, Certain)],
            ),
            (
                "but to everybody else",
                |it| {
                    it.zones.push(Zone {
                        free_bytes: Some(GIB),
                        present_bytes: Some(0),
                        ..zone("Normal", 4000)
                    });
                },
                &[],
            ),
            (
                "free memory in Movable is of no use to the kernel",
                |it| {
                    flags(it, &["GFP_KERNEL", "__GFP_MOVABLE"]);
                    it.zones.push(Zone {
                        free_bytes: Some(GIB),
                        present_bytes: Some(0),
                        ..zone("Movable", 4000)
                    });
                },
                &[(NoFreePages, Certain)],
            ),
            (
                "nor is CMA",
                |it| {
                    flags(it, &["GFP_KERNEL"]);
                    free(it, 1, 100_000);
                    it.zones[1].free_cma_bytes = Some(99_000 * KIB);
                },
                &[(NoFreePages, Certain)],
            ),
            (
                "which movable pages can use",
                |it| {
                    free(it, 1, 100_000);
                    it.zones[1].free_cma_bytes = Some(99_000 * KIB);
                },
                &[],
            ),
            (
                "__GFP_HIGH may take half of what is kept",
                |it| {
                    flags(it, &["GFP_KERNEL", "__GFP_HIGH"]);
                    free(it, 1, 1109);
                },
                &[(NoFreePages, Likely)],
            ),
            (
                "device memory is nobody's",
                |it| {
                    it.zones.push(Zone {
                        present_bytes: Some(0),
                        free_bytes: Some(GIB),
                        ..zone("Device", 0)
                    });
                },
                &[(NoFreePages, Certain)],
            ),
            (
                "names of flags that are not known: likely those of most",
                |it| it.trigger.as_mut().unwrap().gfp_flags.clear(),
                &[(NoFreePages, Likely)],
            ),
            (
                "not if a zone has more than it keeps from anybody",
                |it| {
                    it.trigger.as_mut().unwrap().gfp_flags.clear();
                    free(it, 0, 10_000);
                },
                &[],
            ),
        ],
    );
}

const GIB: u64 = 1 << 30;

/// Blocks of DMA32: so many of each order, with the types.
fn blocks(incident: &mut Incident, blocks: &[(u64, &str)]) {
    free(incident, 1, 40_000);
    incident.zones[1].free_blocks = blocks.iter().map(|(number, _)| *number).collect();
    incident.zones[1].free_block_types = blocks.iter().map(|(_, types)| (*types).into()).collect();
}

#[test]
fn fragmented_is_enough_memory_in_too_small_pieces() {
    check(
        ScopeKind::Global,
        &[
            (
                "pieces of two pages, four are asked for",
                |it| {
                    order(it, 2);
                    blocks(it, &[(5000, "UM"), (2500, "U"), (0, ""), (0, "")]);
                },
                &[(Fragmented, Certain)],
            ),
            (
                "two are there",
                |it| {
                    order(it, 1);
                    blocks(it, &[(5000, "UM"), (2500, "U"), (0, ""), (0, "")]);
                },
                &[],
            ),
            ("one page is never fragmented", |it| blocks(it, &[(0, ""), (2500, "U")]), &[]),
            (
                "a larger one is kept for high-order atomic ones, or isolated",
                |it| {
                    order(it, 2);
                    blocks(it, &[(5000, "UM"), (2500, "U"), (0, ""), (1, "HI")]);
                },
                &[(Fragmented, Certain)],
            ),
            (
                "CMA is for movable pages",
                |it| {
                    order(it, 2);
                    flags(it, &["GFP_KERNEL"]);
                    blocks(it, &[(5000, "UM"), (0, ""), (1, "C")]);
                },
                &[(Fragmented, Certain)],
            ),
            (
                "these are",
                |it| {
                    order(it, 2);
                    blocks(it, &[(5000, "UM"), (0, ""), (1, "C")]);
                },
                &[],
            ),
            (
                "below the watermark it is not the pieces",
                |it| {
                    order(it, 2);
                    blocks(it, &[(5, "UM")]);
                    free(it, 1, 20);
                },
                &[(NoFreePages, Certain)],
            ),
            (
                "the buddy list was not printed",
                |it| {
                    order(it, 2);
                    free(it, 1, 40_000);
                },
                &[],
            ),
            (
                "an order that no kernel has",
                |it| {
                    order(it, i32::MAX);
                    blocks(it, &[(5000, "UM")]);
                },
                &[],
            ),
        ],
    );
}

#[test]
fn full_swap_is_a_further_reason() {
    check(
        ScopeKind::Global,
        &[
            (
                "full",
                |it| it.memory.extend([("swap_total_bytes".into(), 96 * MIB)]),
                &[(NoFreePages, Certain), (SwapFull, Certain)],
            ),
            (
                "all but",
                |it| {
                    it.memory.insert("swap_total_bytes".into(), 96 * MIB);
                    it.memory.insert("swap_free_bytes".into(), 88 * KIB);
                },
                &[(NoFreePages, Certain), (SwapFull, Likely)],
            ),
            (
                "not full",
                |it| {
                    it.memory.insert("swap_total_bytes".into(), 96 * MIB);
                    it.memory.insert("swap_free_bytes".into(), 95 * MIB);
                },
                &[(NoFreePages, Certain)],
            ),
            (
                "its free part was not seen",
                |it| {
                    it.memory.insert("swap_total_bytes".into(), 96 * MIB);
                    it.memory.remove("swap_free_bytes");
                },
                &[(NoFreePages, Certain)],
            ),
        ],
    );
    let because = |it: &Incident| verdict(it)[0].because.join("; ");
    assert!(because(&machine(ScopeKind::Global)).contains("without swap 340 MiB of anonymous memory"));
    let mut cache = machine(ScopeKind::Global);
    cache.memory.insert("active_anon_bytes".into(), MIB);
    assert!(!because(&cache).contains("without swap"), "it is not what fills the memory");
}

#[test]
fn excluded_nodes_have_free_memory() {
    let elsewhere = |it: &mut Incident, free: u64| {
        it.memory.insert("ram_bytes".into(), 800 * MIB);
        it.memory.insert("free_bytes".into(), free);
    };
    for kind in [ScopeKind::Cpuset, ScopeKind::MemoryPolicy] {
        let mut incident = machine(kind);
        elsewhere(&mut incident, 260 * MIB);
        assert_eq!(codes(&incident), [(NoFreePages, Certain), (NodesExcluded, Likely)]);
        let told = &verdict(&incident)[1];
        assert_eq!(
            told.because,
            ["258 MiB of 408 MiB free on other nodes", "the allocation may only use node 0"]
        );

        elsewhere(&mut incident, 3 * MIB);
        assert_eq!(codes(&incident), [(NoFreePages, Certain)], "the others are as full");
        elsewhere(&mut incident, 260 * MIB);
        flags(&mut incident, &["GFP_KERNEL"]);
        assert_eq!(codes(&incident).len(), 2, "nothing is kept for higher zones: there are none");
        incident.zones[1].lowmem_reserve_pages[4] = 1000;
        assert_eq!(codes(&incident)[1..], [], "it may be in a higher zone of the same node");

        // Older kernels print all nodes.
        let mut incident = machine(kind);
        let other = Zone { node: 1, free_bytes: Some(200 * MIB), ..zone("Normal", 4000) };
        incident.zones.push(other);
        incident.scope.nodemask = Some("0,2".into());
        assert_eq!(codes(&incident), [(NoFreePages, Certain), (NodesExcluded, Certain)]);
        incident.zones[2].lowmem_reserve_pages = vec![0, 60_000];
        assert_eq!(
            codes(&incident),
            [(NoFreePages, Certain)],
            "it is kept from those who can use higher zones"
        );
        incident.zones[2].free_bytes = Some(5000 * KIB);
        assert_eq!(codes(&incident), [(NoFreePages, Certain)]);
    }
    let mut incident = machine(ScopeKind::Global);
    elsewhere(&mut incident, 260 * MIB);
    assert_eq!(codes(&incident), [(NoFreePages, Likely)], "nothing was excluded");

    // The kernel's own allocations may use nodes of a cpuset above, which the report does not show.
    for (kind, sure, parts) in [(ScopeKind::Cpuset, Likely, 1), (ScopeKind::MemoryPolicy, Certain, 2)] {
        let mut incident = machine(kind);
        elsewhere(&mut incident, 260 * MIB);
        flags(&mut incident, &["GFP_KERNEL"]);
        assert_eq!(codes(&incident), [(NoFreePages, sure), (NodesExcluded, Likely)]);
        assert_eq!(verdict(&incident)[1].because.len(), parts);
    }
}

#[test]
fn pages_may_be_larger() {
    let mut incident = machine(ScopeKind::Global);
    incident.page_size_bytes = Some(64 * KIB);
    free(&mut incident, 0, 104 + 314 * 64);
    assert_eq!(codes(&incident), [(NoFreePages, Certain)]);
    incident.page_size_bytes = Some(u64::MAX);
    assert_eq!(codes(&incident), [], "no such page: it is taken for 4 KiB");
}

#[test]
fn an_order_is_no_failure() {
    assert_eq!(codes(&machine(ScopeKind::Sysrq)), [(Ordered, Certain)]);
    let mut incident = machine(ScopeKind::Global);
    order(&mut incident, -1);
    assert_eq!(codes(&incident), [(Ordered, Certain)]);
    incident.scope.kind = None;
    order(&mut incident, 0);
    assert_eq!(codes(&incident), [(NoFreePages, Certain)], "a report with zones is not a memory cgroup's");
    incident.zones.clear();
    assert_eq!(codes(&incident), [], "which limit was hit is not known");
}
