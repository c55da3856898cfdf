//! The reader on real kernels' BTF.

use super::{
    Answers, ArgKind, Bits, Elem, Kind,
    fixtures::{KERNELS, WANTED, btf_of},
    read,
};

fn answers(kernel: &str) -> Answers {
    read(btf_of(kernel), &WANTED).unwrap()
}

fn type_name(kernel: &str, path: &str) -> Option<String> {
    answers(kernel).field(path).map(|field| field.type_name.clone())
}

/// As C has it, or `-` where the kernel has no such tracepoint.
fn args(kernel: &str, tracepoint: &str) -> String {
    let answers = answers(kernel);
    let Some(tracepoint) = answers.tracepoint(tracepoint) else { return "-".to_owned() };
    tracepoint.args.iter().map(|arg| arg.type_name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Kernels with an answer, next to it, in the order of the kernels.
fn by_kernel<T: PartialEq>(answer: impl Fn(&str) -> T) -> Vec<(Vec<&'static str>, T)> {
    let mut groups: Vec<(Vec<&str>, T)> = Vec::new();
    for kernel in KERNELS {
        let this = answer(kernel);
        match groups.iter_mut().find(|(_, answer)| *answer == this) {
            Some((kernels, _)) => kernels.push(kernel),
            None => groups.push((vec![kernel], this)),
        }
    }
    groups
}

#[test]
fn offsets_are_those_that_another_reader_finds() {
    let mut rows = include_str!("testdata/offsets.txt").lines().skip(1);
    let header: Vec<_> = rows.next().unwrap().split_whitespace().collect();
    assert_eq!(header[1..], KERNELS);
    let answers = KERNELS.map(answers);
    let mut compared = 0;
    for row in rows {
        let mut cells = row.split_whitespace();
        let path = cells.next().unwrap();
        for ((kernel, answers), expected) in KERNELS.iter().zip(&answers).zip(cells) {
            let found = match answers.field(path) {
                None => "-".to_owned(),
                Some(field) => match field.bits {
                    None => field.offset.to_string(),
                    Some(Bits { shift, width }) => format!("{}:{shift}:{width}", field.offset),
                },
            };
            assert_eq!(found, expected, "{path} of {kernel}");
            compared += 1;
        }
    }
    let paths = WANTED.fields.iter().filter(|path| path.contains('.')).count();
    assert_eq!(compared, paths * KERNELS.len(), "every path that is asked for is compared");
}

#[test]
fn rss_stat_is_an_array_of_atomics_or_of_percpu_counters() {
    assert_eq!(
        by_kernel(|kernel| type_name(kernel, "mm_struct.rss_stat").unwrap()),
        [
            (vec!["5.10.218", "5.10.262", "6.1.192"], "struct mm_rss_stat".to_owned()),
            (vec!["6.12.117", "6.18.15", "7.3.4"], "struct percpu_counter[4]".to_owned()),
        ]
    );
    let old = answers("6.1.192");
    assert_eq!(old.field("mm_struct.rss_stat").unwrap().kind, Kind::Struct);
    assert_eq!(old.field("mm_rss_stat.count").unwrap().elem, Some(Elem { size: 8, count: 4 }));
    let new = answers("7.3.4");
    let elem = new.field("mm_struct.rss_stat").unwrap().elem.unwrap();
    assert_eq!(elem, Elem { size: 40, count: 4 });
    assert_eq!(new.field("percpu_counter").unwrap().size, Some(elem.size));
    assert_eq!(new.field("mm_rss_stat"), None);
}

#[test]
fn a_renamed_member_is_found_under_either_name() {
    assert_eq!(
        by_kernel(|kernel| type_name(kernel, "kernfs_node.__parent|parent").unwrap()),
        [(KERNELS.to_vec(), "struct kernfs_node *".to_owned())]
    );
}

#[test]
fn types_are_spelled_as_in_c() {
    assert_eq!(
        by_kernel(|kernel| type_name(kernel, "mm_struct.flags").unwrap()),
        [
            (vec!["5.10.218", "5.10.262", "6.1.192", "6.12.117"], "long unsigned int".to_owned()),
            (vec!["6.18.15", "7.3.4"], "mm_flags_t".to_owned()),
        ]
    );
    assert_eq!(
        by_kernel(|kernel| type_name(kernel, "css_set.subsys").unwrap()),
        [
            (vec!["5.10.218", "5.10.262"], "struct cgroup_subsys_state *[13]".to_owned()),
            (vec!["6.1.192", "6.12.117", "6.18.15", "7.3.4"], "struct cgroup_subsys_state *[14]".to_owned()),
        ]
    );
    assert_eq!(
        by_kernel(|kernel| type_name(kernel, "oom_control.nodemask").unwrap()),
        [
            (vec!["5.10.218", "5.10.262", "6.1.192", "6.12.117", "6.18.15"], "nodemask_t *".to_owned()),
            (vec!["7.3.4"], "const nodemask_t *".to_owned()),
        ]
    );
    for (path, spelled) in [
        ("oom_control.gfp_mask", "const gfp_t"),
        ("oom_control.constraint", "enum oom_constraint"),
        ("task_struct.comm", "char[16]"),
        ("task_struct.real_cred", "const struct cred *"),
        ("mem_cgroup.memory.usage", "atomic_long_t"),
        ("kernfs_node.name", "const char *"),
        ("cred.uid", "kuid_t"),
    ] {
        for kernel in KERNELS {
            assert_eq!(type_name(kernel, path).as_deref(), Some(spelled), "{path} of {kernel}");
        }
    }
}

#[test]
fn the_result_of_compaction_is_the_last_argument() {
    let last = |kernel: &str| {
        let args = args(kernel, "mm_compaction_end");
        let value = answers(kernel).enumerator("compact_result", "COMPACT_SUCCESS");
        (args.split(", ").count() - 1, args.rsplit(", ").next().map(str::to_owned), value)
    };
    let int = || Some("int".to_owned());
    let expected = [
        (vec!["5.10.218", "5.10.262"], (5, int(), Some(8))),
        (vec!["6.1.192", "6.12.117", "6.18.15", "7.3.4"], (4, int(), Some(8))),
    ];
    assert_eq!(by_kernel(last), expected);
}

#[test]
fn mark_victim_was_backported_within_5_10() {
    assert_eq!(
        by_kernel(|kernel| args(kernel, "mark_victim")),
        [
            (vec!["5.10.218"], "int".to_owned()),
            (
                vec!["5.10.262", "6.1.192", "6.12.117", "6.18.15", "7.3.4"],
                "struct task_struct *, uid_t".to_owned()
            ),
        ]
    );
    let answers = answers("5.10.262");
    let kinds: Vec<_> = answers.tracepoint("mark_victim").unwrap().args.iter().map(|arg| arg.kind).collect();
    assert_eq!(kinds, [ArgKind::Pointer, ArgKind::Int { size: 4 }]);
}

#[test]
fn tracepoint_arguments_are_those_of_the_kernel() {
    for kind in ["direct", "memcg"] {
        assert_eq!(
            by_kernel(|kernel| args(kernel, &format!("mm_vmscan_{kind}_reclaim_begin"))),
            [
                (vec!["5.10.218", "5.10.262", "6.1.192", "6.12.117", "6.18.15"], "int, gfp_t".to_owned()),
                (vec!["7.3.4"], "gfp_t, int, struct mem_cgroup *".to_owned()),
            ]
        );
        assert_eq!(
            by_kernel(|kernel| args(kernel, &format!("mm_vmscan_{kind}_reclaim_end"))),
            [
                (
                    vec!["5.10.218", "5.10.262", "6.1.192", "6.12.117", "6.18.15"],
                    "long unsigned int".to_owned()
                ),
                (vec!["7.3.4"], "long unsigned int, struct mem_cgroup *".to_owned()),
            ]
        );
    }
    assert_eq!(
        by_kernel(|kernel| args(kernel, "sched_process_exit")),
        [
            (vec!["5.10.218", "5.10.262", "6.1.192", "6.12.117"], "struct task_struct *".to_owned()),
            (vec!["6.18.15", "7.3.4"], "struct task_struct *, bool".to_owned()),
        ]
    );
    assert_eq!(
        by_kernel(|kernel| args(kernel, "signal_generate")),
        [(KERNELS.to_vec(), "int, struct kernel_siginfo *, struct task_struct *, int, int".to_owned())]
    );
    assert_eq!(
        by_kernel(|kernel| args(kernel, "mm_vmscan_throttled")),
        [
            (vec!["5.10.218", "5.10.262"], "-".to_owned()),
            (vec!["6.1.192", "6.12.117", "6.18.15", "7.3.4"], "int, int, int, int".to_owned()),
        ]
    );
}

#[test]
fn functions_have_their_signatures() {
    for kernel in KERNELS {
        let answers = answers(kernel);
        let signature = |name| {
            let func = answers.func(name).unwrap_or_else(|| panic!("{name} of {kernel}"));
            let args: Vec<_> = func.args.iter().map(|arg| arg.type_name.as_str()).collect();
            format!("{}({})", func.returns, args.join(", "))
        };
        assert_eq!(signature("out_of_memory"), "bool(struct oom_control *)");
        assert_eq!(signature("oom_evaluate_task"), "int(struct task_struct *, void *)");
        assert_eq!(signature("oom_badness"), "long int(struct task_struct *, long unsigned int)");
        assert_eq!(signature("oom_kill_process"), "void(struct oom_control *, const char *)");
        assert_eq!(signature("mark_oom_victim"), "void(struct task_struct *)");
    }
    assert_eq!(answers("5.10.262").func("try_charge_memcg"), None);
    assert!(answers("6.1.192").func("try_charge_memcg").is_some());
}

#[test]
fn enumerators_have_their_values() {
    for kernel in KERNELS {
        let answers = answers(kernel);
        assert_eq!(answers.enumerator("oom_constraint", "CONSTRAINT_MEMCG"), Some(3), "{kernel}");
        let rss = ["MM_FILEPAGES", "MM_ANONPAGES", "MM_SWAPENTS", "MM_SHMEMPAGES"];
        assert_eq!(rss.map(|name| answers.enumerator("", name)), [0, 1, 2, 3].map(Some), "{kernel}");
        assert_eq!(answers.enumerator("oom_constraint", "memory_cgrp_id"), None);
        // It is used as an index of css_set.subsys.
        let id = answers.enumerator("cgroup_subsys_id", "memory_cgrp_id").unwrap();
        assert!((1..12).contains(&id), "{kernel}: {id}");
    }
}

#[test]
#[ignore = "needs a kernel that shows its BTF"]
fn this_machine_has_the_ids_that_aya_finds() {
    let answers = read(&super::Vmlinux::open().unwrap(), &WANTED).unwrap();
    assert!(answers.type_count() > 10_000);
    assert_eq!(answers.field("oom_control.chosen").unwrap().type_name, "struct task_struct *");
    let id = answers.func("out_of_memory").unwrap().id;
    assert!(id <= answers.type_count());
    let btf = aya::Btf::from_sys_fs().unwrap();
    let kind = aya_obj::btf::BtfKind::Func;
    assert_eq!(btf.id_by_type_name_kind("out_of_memory", kind).unwrap(), id);
    let kind = aya_obj::btf::BtfKind::Typedef;
    let tracepoint = answers.tracepoint("mark_victim").unwrap();
    assert_eq!(btf.id_by_type_name_kind("btf_trace_mark_victim", kind).unwrap(), tracepoint.id);
}
