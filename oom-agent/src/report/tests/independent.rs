//! Every number of every log, found a second time in the plain text: by cutting lines at words, with nothing of the
//! parser's.

use super::*;
use crate::incident::model::{Memory, ScopeKind};

/// The text after the last `key` up to the first of `ends`, or to the end of the line.
fn between<'a>(line: &'a str, key: &str, ends: &str) -> Option<&'a str> {
    let rest = &line[line.rfind(key)? + key.len()..];
    Some(&rest[..rest.find(|c| ends.contains(c)).unwrap_or(rest.len())])
}

fn kb(line: &str, key: &str) -> Option<u64> {
    Some(between(line, key, "k")?.parse::<u64>().unwrap() * 1024)
}

/// The lines of each report.
fn texts(sample: &Sample) -> Vec<Vec<String>> {
    let mut reports: Vec<Vec<String>> = Vec::new();
    let mut open = false;
    for message in sample.messages() {
        let begins = message.contains(" invoked oom-killer: ");
        // One kind of log begins in the middle of its first report.
        let part = ["memory: usage ", "Memory cgroup stats for ", "Tasks state "];
        if begins || (reports.is_empty() && part.iter().any(|part| message.starts_with(part))) {
            reports.push(Vec::new());
            open = true;
        }
        if open {
            let ends = message.starts_with("oom-kill:")
                || message.contains(" or sacrifice child")
                || message.starts_with("Kernel panic")
                || message.ends_with("no killable processes...");
            reports.last_mut().unwrap().push(message);
            open = !ends;
        }
    }
    reports
}

fn line<'a>(text: &'a [String], begin: &str) -> Option<&'a str> {
    text.iter().find(|line| line.starts_with(begin)).map(String::as_str)
}

#[test]
fn who_asked_is_in_the_text() {
    for sample in all_samples() {
        for (report, text) in reports(&sample.events()).into_iter().zip(texts(&sample)) {
            let Some((comm, rest)) = text[0].split_once(" invoked oom-killer: ") else {
                assert_eq!(report.invocation, None, "{}", sample.name);
                continue;
            };
            let asked = report.invocation.as_ref().unwrap();
            assert_eq!(asked.comm, comm);
            let mask = between(rest, "gfp_mask=0x", "(,").unwrap();
            assert_eq!(format!("{:x}", asked.gfp_mask.unwrap()), mask);
            assert_eq!(between(rest, "gfp_mask=", ",").unwrap().contains('('), !asked.gfp_flags.is_empty());
            assert_eq!(asked.order.unwrap().to_string(), between(rest, "order=", ",").unwrap());
            assert_eq!(
                asked.oom_score_adj.unwrap().to_string(),
                between(rest, "oom_score_adj=", " ").unwrap()
            );
            let cpu = text.iter().find(|line| line.starts_with("CPU: ") && line.contains("PID: ")).unwrap();
            assert_eq!(asked.tid.unwrap().to_string(), between(cpu, "PID: ", " ").unwrap());
            let words: Vec<_> = cpu.split_whitespace().collect();
            let release =
                words.iter().find(|word| word.contains('.') && word.starts_with(['3', '4', '5', '6', '7']));
            assert_eq!(asked.kernel_release.as_deref(), release.copied());
        }
    }
}

#[test]
fn the_scope_is_in_the_text() {
    for sample in all_samples() {
        let (found, texts) = (sample.events(), texts(&sample));
        let found = reports(&found);
        assert_eq!(found.len(), texts.len(), "{}", sample.name);
        for (report, text) in found.into_iter().zip(texts) {
            let kill = report.kill.as_ref();
            if let Some(line) = line(&text, "oom-kill:") {
                let kill = kill.unwrap();
                let kind = match between(line, "constraint=", ",").unwrap() {
                    "CONSTRAINT_NONE" => ScopeKind::Global,
                    "CONSTRAINT_MEMCG" => ScopeKind::Memcg,
                    "CONSTRAINT_CPUSET" => ScopeKind::Cpuset,
                    "CONSTRAINT_MEMORY_POLICY" => ScopeKind::MemoryPolicy,
                    other => panic!("{other}"),
                };
                assert_eq!(kill.constraint, Some(kind));
                let (before, tail) = line.rsplit_once(",task=").unwrap();
                assert_eq!(tail, format!("{},pid={},uid={}", kill.comm, kill.pid, kill.uid.unwrap()));
                let (before, task) = before.rsplit_once(",task_memcg=").unwrap();
                assert_eq!(kill.task_memcg.as_deref(), Some(task));
                let limit = before.split_once(",oom_memcg=").map(|(_, limit)| limit);
                assert_eq!(kill.oom_memcg.as_deref(), limit);
                assert_eq!(kill.nodemask.as_deref(), between(line, "nodemask=", ","));
                assert_eq!(kill.cpuset.as_deref(), between(line, ",cpuset=", ","));
            } else if let Some(line) = line(&text, "Task in ") {
                let (task, limit) =
                    line["Task in ".len()..].split_once(" killed as a result of limit of ").unwrap();
                let kill = kill.unwrap();
                assert_eq!(
                    (kill.task_memcg.as_deref(), kill.oom_memcg.as_deref()),
                    (Some(task), Some(limit))
                );
                assert_eq!(kill.constraint, Some(ScopeKind::Memcg));
            } else {
                assert!(kill.is_none_or(|kill| kill.oom_memcg.is_none()), "{}", sample.name);
            }
        }
    }
}

#[test]
fn limits_and_counters_are_in_the_text() {
    for sample in all_samples() {
        for (report, text) in reports(&sample.events()).into_iter().zip(texts(&sample)) {
            let limit = |begin: &str| {
                let line = line(&text, begin);
                let unlimited = |bytes: &u64| *bytes < 9_000_000_000_000_000 * 1024;
                (
                    line.and_then(|line| kb(line, "usage ")),
                    line.and_then(|line| kb(line, "limit ").filter(unlimited)),
                )
            };
            let Report { limits, memsw, kmem, .. } = report;
            assert_eq!((limits.usage_bytes, limits.memory_bytes), limit("memory: "));
            assert_eq!((limits.swap_usage_bytes, limits.swap_bytes), limit("swap: "));
            assert_eq!((memsw.usage_bytes, memsw.limit_bytes), limit("memory+swap: "));
            assert_eq!((kmem.usage_bytes, kmem.limit_bytes), limit("kmem: "));

            let at = text.iter().position(|line| line.starts_with("Memory cgroup stats for "));
            let Some(at) = at else {
                assert_eq!(report.stats_cgroup, None);
                continue;
            };
            let (path, old) = text[at]["Memory cgroup stats for ".len()..].split_once(':').unwrap();
            assert_eq!(report.stats_cgroup.as_deref(), Some(path));
            let mut count = 0;
            for word in old.split_whitespace() {
                let (name, value) = word.split_once(':').unwrap();
                let value: u64 = value.strip_suffix("KB").unwrap().parse().unwrap();
                assert_eq!(report.stats.get(name), Some(&(value * 1024)), "{}: {name}", sample.name);
                count += 1;
            }
            for line in text[at + 1..].iter().filter(|_| old.is_empty()) {
                let words: Vec<_> = line.split(' ').collect();
                let [name, value] = words[..] else { break };
                let Ok(value) = value.parse::<u64>() else { break };
                assert_eq!(report.stats.get(name), Some(&value), "{}: {name}", sample.name);
                count += 1;
            }
            assert!(count > 0 && report.stats.len() == count, "{}", sample.name);
        }
    }
}

#[test]
fn every_column_of_every_row_is_in_the_text() {
    let mut rows = 0;
    for sample in all_samples() {
        for (report, text) in reports(&sample.events()).into_iter().zip(texts(&sample)) {
            let page = if sample.name.ends_with("-64k") { 65_536 } else { 4096 };
            let header = text.iter().position(|line| line.starts_with('[') && line.ends_with(" name"));
            assert_eq!(report.has_table, header.is_some());
            let Some(header) = header else {
                assert!(report.tasks.is_empty());
                continue;
            };
            let after = |line: &str| line.split_once(']').unwrap().1.to_owned();
            let names = after(&text[header]);
            let names: Vec<_> = names.split_whitespace().collect();
            let lines = text[header + 1..].iter().filter(|line| {
                let rest = line.trim_start_matches(['[', ' ']);
                line.starts_with('[') && rest.starts_with(|c: char| c.is_ascii_digit())
            });
            let lines: Vec<_> = lines.collect();
            assert_eq!(report.tasks.len(), lines.len(), "{}", sample.name);
            for (row, line) in report.tasks.iter().zip(lines) {
                let words = after(line);
                let words: Vec<_> = words.split_whitespace().collect();
                let get = |name: &str| -> Option<i64> {
                    let at = names.iter().position(|known| *known == name)?;
                    Some(words[at].parse().unwrap())
                };
                let pages = |name: &str| get(name).map(|pages| pages as u64 * page);
                let tables = ["nr_ptes", "nr_pmds", "nr_puds"].iter().filter_map(|name| pages(name));
                let tables = get("pgtables_bytes").map_or_else(|| tables.sum(), |bytes| bytes as u64);
                let split = pages("rss_anon").is_some();
                let memory = Memory {
                    anon_bytes: pages("rss_anon"),
                    file_bytes: pages("rss_file"),
                    shmem_bytes: pages("rss_shmem"),
                    rss_bytes: pages("rss").filter(|_| !split),
                    swap_bytes: pages("swapents"),
                    pgtables_bytes: Some(tables),
                    total_vm_bytes: pages("total_vm"),
                };
                assert_eq!(row.memory, memory, "{}: {line}", sample.name);
                assert_eq!(Some(i64::from(row.tgid)), get("tgid"));
                assert_eq!(Some(i64::from(row.uid)), get("uid"));
                assert_eq!(Some(i64::from(row.oom_score_adj)), get("oom_score_adj"));
                assert_eq!(row.pid.to_string(), line[1..].split(']').next().unwrap().trim());
                assert!(line.ends_with(&format!(" {}", row.comm)));
                rows += 1;
            }
        }
    }
    assert!(rows >= 400, "only {rows}");
}

#[test]
fn every_number_of_a_kill_is_in_the_text() {
    let mut seen = 0;
    for sample in all_samples() {
        let lines: Vec<_> =
            sample.messages().into_iter().filter(|line| line.contains("Killed process ")).collect();
        let events = sample.events();
        let kills = kills(&events);
        assert_eq!(kills.len(), lines.len(), "{}", sample.name);
        for (killed, line) in kills.into_iter().zip(&lines) {
            let memory = &killed.memory;
            assert_eq!(killed.pid.to_string(), between(line, "Killed process ", " ").unwrap());
            assert_eq!(memory.total_vm_bytes, kb(line, "total-vm:"));
            assert_eq!(memory.anon_bytes, kb(line, "anon-rss:"));
            assert_eq!(memory.file_bytes, kb(line, "file-rss:"));
            assert_eq!(memory.shmem_bytes, kb(line, "shmem-rss:"));
            // There they are bytes.
            let tables = kb(line, "pgtables:").filter(|_| !sample.name.starts_with("5.4-"));
            assert_eq!(memory.pgtables_bytes, tables);
            let uid = between(line, "UID:", " ").or_else(|| between(line, "UID ", ","));
            assert_eq!(killed.uid.map(|uid| uid.to_string()).as_deref(), uid);
            let adj = between(line, "oom_score_adj:", " ");
            assert_eq!(killed.oom_score_adj.map(|adj| adj.to_string()).as_deref(), adj);
            assert!(line.contains(&format!(" ({})", killed.comm)), "{line}");
            // Up to 5.0 the line before says it.
            if !line.starts_with("Killed process ") {
                assert_eq!(killed.is_memcg, Some(line.starts_with("Memory cgroup")), "{line}");
            }
            seen += 1;
        }
        let groups = events.iter().filter(|event| matches!(event.what, What::GroupKill { .. })).count();
        assert_eq!(groups, sample.messages().iter().filter(|line| line.starts_with("Tasks in /")).count());
    }
    assert!(seen >= 180, "only {seen}");
}

#[test]
fn every_zone_is_in_the_text() {
    let mut zones = 0;
    for sample in all_samples() {
        for (report, text) in reports(&sample.events()).into_iter().zip(texts(&sample)) {
            let states: Vec<_> =
                text.iter().filter(|line| line.contains(" free:") && line.contains(" min:")).collect();
            let reserves: Vec<_> = text.iter().filter(|line| line.starts_with("lowmem_reserve[]:")).collect();
            let lists: Vec<_> =
                text.iter().filter(|line| line.contains("*4kB ") || line.contains("*64kB ")).collect();
            assert_eq!(report.zones.len(), states.len(), "{}", sample.name);
            for (at, zone) in report.zones.iter().enumerate() {
                let line = states[at];
                let name = format!("{} free:", zone.name);
                assert!(line.starts_with(&name) || line.starts_with(&format!("Node {} {name}", zone.node)));
                assert_eq!(zone.free_bytes, kb(line, " free:"));
                assert_eq!(zone.min_bytes, kb(line, " min:"));
                assert_eq!(zone.low_bytes, kb(line, " low:"));
                assert_eq!(zone.high_bytes, kb(line, " high:"));
                assert_eq!(zone.present_bytes, kb(line, " present:"));
                assert_eq!(zone.managed_bytes, kb(line, " managed:"));
                assert_eq!(zone.free_cma_bytes, kb(line, " free_cma:"));
                let highatomic = between(line, " reserved_highatomic:", "kK");
                assert_eq!(
                    zone.reserved_highatomic_bytes,
                    highatomic.map(|kb| kb.parse::<u64>().unwrap() * 1024)
                );
                let words =
                    |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
                let pages: Vec<_> = zone.lowmem_reserve_pages.iter().map(u64::to_string).collect();
                assert_eq!(pages, words(reserves[at]));
                let list = lists[at];
                let counts: Vec<_> = list
                    .split_whitespace()
                    .filter_map(|word| word.split_once('*'))
                    .map(|(count, _)| count.parse::<u64>().unwrap())
                    .collect();
                assert_eq!(zone.free_blocks, counts, "{list}");
                let letters: String =
                    list.split('(').skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
                assert_eq!(zone.free_block_types.concat(), letters, "{list}");
                zones += 1;
            }
        }
    }
    assert!(zones >= 60, "only {zones}");
}

#[test]
fn the_machine_is_in_the_text() {
    for sample in all_samples() {
        let page = if sample.name.ends_with("-64k") { 65_536 } else { 4096 };
        for (report, text) in reports(&sample.events()).into_iter().zip(texts(&sample)) {
            let pages = |end: &str| {
                let line = text.iter().find(|line| line.ends_with(end))?;
                Some(line.split(' ').next().unwrap().parse::<u64>().unwrap() * page)
            };
            let swap = |begin: &str| line(&text, begin).and_then(|line| kb(line, "= "));
            let machine = &report.machine;
            assert_eq!(machine.ram_bytes, pages(" pages RAM"), "{}", sample.name);
            assert_eq!(machine.reserved_bytes, pages(" pages reserved"));
            assert_eq!(machine.swap_cache_bytes, pages(" pages in swap cache"));
            assert_eq!(machine.cma_bytes, pages(" pages cma reserved"));
            assert_eq!(machine.hwpoisoned_bytes, pages(" pages hwpoisoned"));
            assert_eq!(machine.swap_free_bytes, swap("Free swap"));
            assert_eq!(machine.swap_total_bytes, swap("Total swap"));
            let Some(at) = text.iter().position(|line| line == "Mem-Info:") else { continue };
            let is_counter = |line: &&String| {
                line.split_whitespace()
                    .all(|word| word.split(':').nth(1).is_some_and(|n| n.parse::<u64>().is_ok()))
            };
            let lines = text[at + 1..].iter().filter(is_counter);
            let mut count = 0;
            for word in lines.flat_map(|line| line.split_whitespace()) {
                let (name, value) = word.split_once(':').unwrap();
                let known =
                    [name, &format!("file_{name}")].iter().find_map(|name| report.stats.get(*name).copied());
                assert_eq!(known, Some(value.parse::<u64>().unwrap() * page), "{}: {word}", sample.name);
                count += 1;
            }
            assert_eq!(report.stats.len(), count, "{}", sample.name);
        }
    }
}
