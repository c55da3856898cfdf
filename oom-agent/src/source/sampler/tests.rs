//! A cgroupfs in files. Directories of a file system in memory have as many links as cgroups.

use super::*;
use crate::incident::model::{Limits, Scope, ScopeKind};
use crate::kernel::host::test_root::TestRoot;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;
const EVERY: Duration = Duration::from_secs(10);

struct Machine {
    root: TestRoot,
    v2: bool,
    now_ns: u64,
}

impl Machine {
    fn new(v2: bool) -> Self {
        let root = TestRoot::new();
        fs::create_dir(root.path().join("proc")).unwrap();
        let machine = Self { root, v2, now_ns: 0 };
        machine.available(600);
        machine.group("", None, 0);
        machine
    }

    fn available(&self, mib: u64) {
        let kib = mib * 1024;
        let text = format!("MemTotal: 1024000 kB\nMemFree: 17 kB\nMemAvailable: {kib} kB\nBuffers: 8 kB\n");
        fs::write(self.root.path().join("proc/meminfo"), text).unwrap();
    }

    fn dir(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join("sys/fs/cgroup/").join(path)
    }

    fn group(&self, path: &str, limit: Option<u64>, mib: u64) {
        let dir = self.dir(path);
        fs::create_dir_all(&dir).unwrap();
        let (max, current, none, refaults) = if self.v2 {
            ("memory.max", "memory.current", "max".to_owned(), "workingset_refault_file")
        } else {
            let none = 9_223_372_036_854_771_712_u64.to_string();
            ("memory.limit_in_bytes", "memory.usage_in_bytes", none, "total_workingset_refault_file")
        };
        let limit = limit.map_or(none, |mib| (mib * MIB).to_string());
        fs::write(dir.join(max), limit + "\n").unwrap();
        fs::write(dir.join(current), format!("{}\n", mib * MIB)).unwrap();
        fs::write(dir.join("memory.stat"), format!("anon 1\n{refaults} {mib}\nfile 2\n")).unwrap();
    }

    fn sampler(&self) -> Sampler {
        let mount = "/sys/fs/cgroup".into();
        let memory = if self.v2 { Memory::V2(mount) } else { Memory::V1(mount) };
        Sampler::start(self.root.path(), Some(&memory), EVERY).unwrap()
    }

    fn sample(&mut self, sampler: &mut Sampler) {
        self.now_ns += 10 * SECOND;
        sampler.sample(self.now_ns).unwrap();
    }

    fn growth(&self, sampler: &Sampler, path: &str) -> Option<Vec<u64>> {
        let incident = Incident {
            boottime_ns: Some(self.now_ns),
            scope: Scope {
                kind: Some(ScopeKind::Memcg),
                cgroup: Some(format!("/{path}")),
                ..Scope::default()
            },
            limits: Limits::default(),
            ..Incident::default()
        };
        Some(sampler.growth(&incident)?.samples.iter().map(|sample| sample.1 / MIB).collect())
    }
}

fn run(test: impl AsyncFnOnce()) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
}

#[test]
fn what_has_a_limit_is_sampled() {
    for v2 in [true, false] {
        run(async || {
            let mut machine = Machine::new(v2);
            machine.group("pods/a/one", Some(100), 50);
            machine.group("pods/a/free", None, 40);
            let mut sampler = machine.sampler();
            sampler.due().await.unwrap();
            machine.sample(&mut sampler);
            machine.group("pods/a/one", Some(100), 60);
            // Made, and limited a moment later.
            machine.group("pods/b/two", None, 7);
            machine.sample(&mut sampler);
            machine.group("pods/b/two", Some(10), 9);
            machine.sample(&mut sampler);
            assert_eq!(machine.growth(&sampler, "pods/a/one"), Some(vec![50, 60, 60]));
            assert_eq!(machine.growth(&sampler, "pods/a/free"), None);
            assert_eq!(machine.growth(&sampler, "pods/b/two"), Some(vec![9]));
            assert_eq!(machine.growth(&sampler, "pods/b/none"), None);
            let mut standings: Vec<_> = sampler.standings().collect();
            standings.sort_by(|a, b| a.0.cmp(&b.0));
            let standing = |path: &str, usage: u64, limit: u64, bytes_per_second| {
                let (usage_bytes, limit_bytes) = (usage * MIB, limit * MIB);
                (path.to_owned(), Standing { usage_bytes, limit_bytes, bytes_per_second })
            };
            let grows = Some(MIB as f64 / 2.0);
            let expected = [standing("/pods/a/one", 60, 100, grows), standing("/pods/b/two", 9, 10, None)];
            assert_eq!(standings, expected);

            // Known by id after it was removed.
            let id = fs::metadata(machine.dir("pods/b/two")).unwrap().ino();
            fs::remove_dir_all(machine.dir("pods/b")).unwrap();
            for _ in 0..6 {
                machine.sample(&mut sampler);
            }
            let incident = Incident {
                boottime_ns: Some(machine.now_ns),
                scope: Scope { kind: Some(ScopeKind::Memcg), cgroup_id: Some(id), ..Scope::default() },
                ..Incident::default()
            };
            assert!(sampler.growth(&incident).is_some());
            assert_eq!(machine.growth(&sampler, "pods/b/two"), None, "no such path any more");
            assert_eq!(sampler.warning(), None);
        });
    }
}

#[test]
fn a_limit_that_comes_late_is_seen_at_the_next_look_at_everything() {
    run(async || {
        let mut machine = Machine::new(true);
        machine.group("late", None, 40);
        let mut sampler = machine.sampler();
        machine.sample(&mut sampler);
        machine.group("late", Some(90), 50);
        for _ in 0..5 {
            machine.sample(&mut sampler);
        }
        assert_eq!(machine.growth(&sampler, "late"), None);
        machine.sample(&mut sampler);
        assert_eq!(machine.growth(&sampler, "late"), Some(vec![50]));
        machine.group("late", None, 60);
        for _ in 0..7 {
            machine.sample(&mut sampler);
        }
        assert_eq!(
            machine.growth(&sampler, "late").map(|samples| samples.len()),
            Some(6),
            "no limit any more"
        );
    });
}

#[test]
fn it_rests_longer_while_nothing_changes() {
    run(async || {
        let mut machine = Machine::new(true);
        machine.group("a", Some(100), 50);
        let mut sampler = machine.sampler();
        let mut rests = Vec::new();
        for step in 0..8 {
            if step == 6 {
                machine.available(500);
            }
            machine.sample(&mut sampler);
            rests.push(sampler.rest.as_secs());
        }
        assert_eq!(rests, [10, 20, 40, 60, 60, 60, 10, 20]);
    });
}

#[test]
fn those_that_are_nearly_full_are_asked_in_turns() {
    run(async || {
        let mut machine = Machine::new(true);
        for group in 0..20 {
            machine.group(&format!("g{group}"), Some(100), 90);
        }
        machine.group("half", Some(100), 50);
        let mut sampler = machine.sampler();
        for _ in 0..5 {
            machine.sample(&mut sampler);
        }
        let told = (0..20).filter(|group| {
            let id = fs::metadata(machine.dir(&format!("g{group}"))).unwrap().ino();
            let incident = Incident {
                boottime_ns: Some(machine.now_ns),
                scope: Scope { kind: Some(ScopeKind::Memcg), cgroup_id: Some(id), ..Scope::default() },
                ..Incident::default()
            };
            sampler.growth(&incident).unwrap().file_refaults == Some(0)
        });
        assert_eq!(told.count(), 20);
    });
}

#[test]
fn numbers_are_found_by_their_name() {
    for (text, name, value) in [
        (&b"a 1\nab 2\n"[..], "ab ", Some(2)),
        (b"MemTotal:     16 kB\n", "MemTotal:", Some(16)),
        (b"MemTotal: x", "MemTotal:", None),
        (b"", "a", None),
    ] {
        assert_eq!(number(text, name), value);
    }
}

#[test]
fn what_was_swapped_since_the_oldest_sample() {
    let root = TestRoot::new();
    fs::create_dir(root.path().join("proc")).unwrap();
    let write = |input: u64, output: u64| {
        let text = format!("nr_free_pages 7\npswpin {input}\npswpout {output}\npgfault 9\n");
        fs::write(root.path().join("proc/vmstat"), text).unwrap();
    };
    write(10, 100);
    let mut swap = Swap::open(root.path());
    assert_eq!(swap.until_now(5), None, "no sample yet");
    swap.sample(10);
    write(12, 150);
    swap.sample(20);
    write(15, 400);
    let told = swap.until_now(25).map(|it| (it.in_pages, it.out_pages));
    assert_eq!(told, Some((5, 300)));
    assert_eq!(swap.until_now(10), None, "sampled after the kill only");
    for at in 30..30 + SAMPLES as u64 {
        swap.sample(at);
    }
    assert_eq!(swap.until_now(1000).map(|it| it.out_pages), Some(0), "the oldest are forgotten");
}
