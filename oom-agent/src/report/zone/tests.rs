use super::*;

/// What a report has after these lines, and which of them were not understood.
fn read(lines: &[&'static str]) -> (Report, Vec<&'static str>) {
    let mut report = Report::default();
    let mut zones = Zones::default();
    let unknown = lines.iter().filter(|line| !zones.line(line, false, &mut report)).copied().collect();
    (report, unknown)
}

fn blocks(list: &str) -> Option<(Vec<u64>, String)> {
    buddy(list, &mut None).map(|(blocks, types)| (blocks, types.join(",")))
}

/// `show_free_areas` of 7.2.
#[test]
fn a_zone_has_its_watermarks_and_its_blocks() {
    let (report, unknown) = read(&[
        "Node 1 DMA32 free:2148kB boost:2048kB min:4240kB low:4788kB high:5336kB reserved_highatomic:4kB \
         free_highatomic:0kB active_anon:261388kB writepending:0kB zspages:0kB present:376668kB managed:341960kB \
         mlocked:0kB bounce:0kB free_pcp:8kB local_pcp:4kB free_cma:16kB",
        "lowmem_reserve[]: 0 317 317",
        "Node 1 DMA32: 3*4kB (UME) 0*8kB 1*16kB (H) = 28kB",
    ]);
    let expected = Zone {
        node: 1,
        name: "DMA32".into(),
        free_bytes: Some(2148 * 1024),
        min_bytes: Some(4240 * 1024),
        low_bytes: Some(4788 * 1024),
        high_bytes: Some(5336 * 1024),
        managed_bytes: Some(341_960 * 1024),
        present_bytes: Some(376_668 * 1024),
        reserved_highatomic_bytes: Some(4096),
        free_cma_bytes: Some(16 * 1024),
        lowmem_reserve_pages: vec![0, 317, 317],
        free_blocks: vec![3, 0, 1],
        free_block_types: vec!["UME".into(), String::new(), "H".into()],
    };
    assert_eq!((report.zones, report.page_size, unknown), (vec![expected], Some(4096), vec![]));
}

/// `show_free_areas` of 3.10 on a machine without NUMA: no node, no `reserved_highatomic`.
#[test]
fn older_kernels_say_less() {
    let (report, unknown) = read(&[
        "DMA per-cpu:",
        "DMA free:15908kB min:64kB low:80kB high:96kB active_anon:0kB isolated(anon):0kB present:15992kB \
         managed:15908kB free_cma:0kB writeback_tmp:0kB pages_scanned:0 all_unreclaimable? yes",
        "lowmem_reserve[]: 0 2763 15913 15913",
        "DMA: 1*4kB (R) 0*8kB 1*16kB (RC) = 20kB",
        "HighMem: 1*4kB 0*8kB = 4kB",
    ]);
    assert_eq!(unknown, [""; 0]);
    let [dma, high] = &report.zones[..] else { panic!("{report:?}") };
    assert_eq!((dma.node, &*dma.name, dma.free_bytes), (0, "DMA", Some(15908 * 1024)));
    assert_eq!((dma.present_bytes, dma.reserved_highatomic_bytes), (Some(15992 * 1024), None));
    assert_eq!(dma.lowmem_reserve_pages, [0, 2763, 15913, 15913]);
    assert_eq!(dma.free_block_types, ["R", "", "RC"]);
    assert_eq!((&high.free_blocks[..], high.free_block_types.len(), high.free_bytes), (&[1, 0][..], 0, None));
}

#[test]
fn the_first_zone_of_a_name_is_kept() {
    let (report, _) = read(&[
        "Node 0 DMA free:4kB min:4kB",
        "Node 0 DMA free:8kB min:8kB",
        "lowmem_reserve[]: 1",
        "Node 0 DMA: 1*4kB = 4kB",
        "Node 0 DMA: 2*4kB = 8kB",
    ]);
    let [zone] = &report.zones[..] else { panic!("{report:?}") };
    assert_eq!((zone.free_bytes, zone.min_bytes), (Some(4096), Some(4096)));
    assert_eq!((&zone.free_blocks[..], &zone.lowmem_reserve_pages[..]), (&[1][..], &[][..]));
}

#[test]
fn a_list_of_blocks_has_to_add_up() {
    assert_eq!(blocks("2*4kB (UM) 1*8kB = 16kB"), Some((vec![2, 1], "UM,".into())));
    assert_eq!(blocks("0*64kB 3*128kB = 384kB"), Some((vec![0, 3], String::new())));
    for list in [
        "",
        "= 0kB",
        "2*4kB (UM) 1*8kB",
        "2*4kB 1*8kB = 20kB",
        "2*4kB 1*16kB = 24kB",
        "2*3kB = 6kB",
        "2*4kB (UM = 8kB",
        "2*4kB (um) = 8kB",
        "2*4kB (U) (M) = 8kB",
        "(U) 2*4kB = 8kB",
        "99999999999999999*4kB = 8kB",
        "2*4kB = 8",
    ] {
        assert_eq!(blocks(list), None, "{list}");
    }
    assert_eq!(buddy("1*4kB = 4kB", &mut Some(65_536)), None, "one machine has one size of pages");
}

#[test]
fn only_the_kernels_zones_are_zones() {
    let lines = [
        "Node 0 Fake free:4kB",
        "eth0: link up",
        "Node x DMA free:4kB",
        "Node 99999999999 DMA free:4kB",
        "Node 0 DMA free:4",
        "Normal people",
        "DMA: not a list",
        "",
        "Node 0 ",
    ];
    let (report, unknown) = read(&lines);
    assert_eq!((report, unknown), (Report::default(), lines.to_vec()));
}

#[test]
fn zones_are_bounded() {
    let mut report = Report::default();
    for node in 0..MOST_ZONES + 7 {
        Zones::default().line(&format!("Node {node} Normal free:4kB"), false, &mut report);
    }
    assert_eq!((report.zones.len(), report.lost_lines), (MOST_ZONES, 7));
    let mut slabs = Vec::new();
    for _ in 0..MOST_SLABS + 7 {
        assert!(slab("a 1KB 2KB", &mut slabs));
    }
    assert_eq!(slabs.len(), MOST_SLABS);
}

#[test]
fn reserves_of_a_line_that_was_cut_are_not_believed() {
    let mut report = Report::default();
    let mut zones = Zones::default();
    assert!(zones.line("DMA free:4kB", false, &mut report));
    assert!(zones.line("lowmem_reserve[]: 0 31", true, &mut report));
    assert!(report.zones[0].lowmem_reserve_pages.is_empty());
}

/// `hugetlb_show_meminfo` (3.9).
#[test]
fn huge_pages_are_added_up() {
    let (report, unknown) = read(&[
        "Node 0 hugepages_total=2 hugepages_free=1 hugepages_surp=0 hugepages_size=1048576kB",
        "Node 1 hugepages_total=8 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB",
        "Node 1 hugepages_total=8 hugepages_free=0 hugepages_surp=0 hugepages_size=20",
    ]);
    assert_eq!(unknown.len(), 1, "it was cut");
    let Machine { hugetlb_bytes, hugetlb_free_bytes, .. } = report.machine;
    assert_eq!((hugetlb_bytes, hugetlb_free_bytes), (Some((2 << 30) + (16 << 20)), Some(1 << 30)));
}

/// `dump_unreclaimable_slab` (4.15).
#[test]
fn slabs_have_a_name_and_two_sizes() {
    let mut slabs = Vec::new();
    for line in [
        "Name                      Used          Total",
        "bio-3                    560KB        672KB",
        "a name with blanks         1KB          2KB",
    ] {
        assert!(slab(line, &mut slabs), "{line}");
    }
    for line in ["", "x", "bio-3 560KB", "bio-3 560KB 67", " 1KB 2KB", "a 1 2"] {
        assert!(!slab(line, &mut slabs), "{line}");
    }
    let expected = |name: &str, used: u64, total: u64| Slab {
        name: name.into(),
        used_bytes: used * 1024,
        total_bytes: total * 1024,
    };
    assert_eq!(slabs, [expected("bio-3", 560, 672), expected("a name with blanks", 1, 2)]);
}
