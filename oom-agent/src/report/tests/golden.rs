use super::super::{Chosen, Counter, Invocation, TaskRow};
use super::*;
use crate::incident::machine::Slab;
use crate::incident::model::{Limits, Memory};
use crate::report::line::Record;
use expect_test::expect_file;
use std::fmt::Write as _;

/// One line an event, in the report's own units turned into bytes; a `-` is unknown.
fn render(events: &[Event]) -> String {
    let mut out = String::new();
    for Event { time_ns, what } in events {
        let time = time_ns.map_or_else(|| "-".to_owned(), |ns| format!("{:.6}", ns as f64 / 1e9));
        write!(out, "{time} ").unwrap();
        match what {
            What::Invoked(asked) => writeln!(
                out,
                "invoked comm={:?} tid={} gfp={}({}) order={} adj={} release={}{}",
                asked.comm,
                or(asked.tid),
                asked.gfp_mask.map_or_else(|| "-".into(), |mask| format!("{mask:#x}")),
                asked.gfp_flags.join("|"),
                or(asked.order),
                or(asked.oom_score_adj),
                or(asked.kernel_release.as_deref()),
                asked_where(asked),
            ),
            What::Report(report) => write_report(&mut out, report),
            What::Killed(killed) => {
                let Killed { is_memcg, message, pid, comm, memory, uid, oom_score_adj, chosen } = &**killed;
                writeln!(
                    out,
                    "killed {message:?} memcg={} pid={pid} comm={comm:?} uid={} adj={} {}{}",
                    or(*is_memcg),
                    or(*uid),
                    or(*oom_score_adj),
                    bytes(memory),
                    chosen.as_ref().map_or_else(String::new, |chosen| format!(" for {}", score(chosen))),
                )
            }
            What::GroupKill { cgroup } => writeln!(out, "group {cgroup}"),
            What::Reaped { pid, comm } => writeln!(out, "reaped pid={pid} comm={comm:?}"),
            What::NotReaped { pid, comm } => writeln!(out, "not reaped pid={pid} comm={comm:?}"),
            What::Exiting { pid, comm } => writeln!(out, "exiting pid={pid} comm={comm:?}"),
            What::Sharing { pid, comm } => writeln!(out, "sharing pid={pid} comm={comm:?}"),
            What::Suppressed { reports } => writeln!(out, "suppressed {reports}"),
            What::Gap { records } => writeln!(out, "gap {}", or(*records)),
        }
        .unwrap();
    }
    out
}

/// What only older kernels say of the task that asked.
fn asked_where(asked: &Invocation) -> String {
    let values = [("nodemask", &asked.nodemask), ("cpuset", &asked.cpuset), ("mems", &asked.mems_allowed)];
    let known =
        values.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!(" {name}={value}")));
    known.collect()
}

fn score(chosen: &Chosen) -> String {
    format!("{:?} pid={} comm={:?} score={}", chosen.message, chosen.pid, chosen.comm, chosen.score)
}

fn write_report(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "report {:?} lost={} text_lines={}",
        report.outcome,
        report.lost_lines,
        report.text.lines().count()
    )?;
    if report.limits != Limits::default() {
        let Limits { memory_bytes, usage_bytes, swap_bytes, swap_usage_bytes, .. } = report.limits;
        let (limit, swap_limit) = (or(memory_bytes), or(swap_bytes));
        writeln!(
            out,
            "  limits memory={}/{limit} swap={}/{swap_limit}",
            or(usage_bytes),
            or(swap_usage_bytes)
        )?;
    }
    for (name, counter) in [("memsw", report.memsw), ("kmem", report.kmem)] {
        if counter != Counter::default() {
            writeln!(out, "  {name} {}/{}", or(counter.usage_bytes), or(counter.limit_bytes))?;
        }
    }
    write_machine(out, report)?;
    if !report.stats.is_empty() {
        let cgroup = or(report.stats_cgroup.as_deref());
        let stats: Vec<_> = report.stats.iter().map(|(name, value)| format!("{name}={value}")).collect();
        writeln!(out, "  stats {cgroup} {}", stats.join(" "))?;
    }
    for TaskRow { pid, tgid, uid, memory, oom_score_adj, comm } in &report.tasks {
        writeln!(
            out,
            "  task pid={pid} tgid={tgid} uid={uid} adj={oom_score_adj} {} comm={comm:?}",
            bytes(memory)
        )?;
    }
    if let Some(chosen) = &report.chosen {
        writeln!(out, "  chosen {}", score(chosen))?;
    }
    if let Some(kill) = &report.kill {
        writeln!(
            out,
            "  kill {:?} nodemask={} cpuset={} mems={} oom_memcg={} task_memcg={} comm={:?} pid={} uid={}",
            kill.constraint,
            or(kill.nodemask.as_deref()),
            or(kill.cpuset.as_deref()),
            or(kill.mems_allowed.as_deref()),
            or(kill.oom_memcg.as_deref()),
            or(kill.task_memcg.as_deref()),
            kill.comm,
            kill.pid,
            or(kill.uid),
        )?;
    }
    Ok(())
}

fn write_machine(out: &mut String, report: &Report) -> std::fmt::Result {
    let machine = &report.machine;
    if machine.ram_bytes.is_some() {
        let (ram, reserved) = (or(machine.ram_bytes), or(machine.reserved_bytes));
        let (free, total) = (or(machine.swap_free_bytes), or(machine.swap_total_bytes));
        writeln!(out, "  machine ram={ram} reserved={reserved} swap_free={free} swap_total={total}")?;
        writeln!(
            out,
            "  page_size={} swap_cache={} cma={} hwpoisoned={} hugetlb={} hugetlb_free={}",
            or(report.page_size),
            or(machine.swap_cache_bytes),
            or(machine.cma_bytes),
            or(machine.hwpoisoned_bytes),
            or(machine.hugetlb_bytes),
            or(machine.hugetlb_free_bytes)
        )?;
    }
    for zone in &report.zones {
        writeln!(
            out,
            "  zone {} {} free={} min={} low={} high={} present={} managed={} highatomic={} cma={} reserve={:?}",
            zone.node,
            zone.name,
            or(zone.free_bytes),
            or(zone.min_bytes),
            or(zone.low_bytes),
            or(zone.high_bytes),
            or(zone.present_bytes),
            or(zone.managed_bytes),
            or(zone.reserved_highatomic_bytes),
            or(zone.free_cma_bytes),
            zone.lowmem_reserve_pages,
        )?;
        writeln!(out, "    blocks {:?} {}", zone.free_blocks, zone.free_block_types.join(","))?;
    }
    for Slab { name, used_bytes, total_bytes } in &report.unreclaimable_slabs {
        writeln!(out, "  slab {name:?} {used_bytes}/{total_bytes}")?;
    }
    Ok(())
}

fn or(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

fn bytes(memory: &Memory) -> String {
    let Memory { anon_bytes, file_bytes, shmem_bytes, rss_bytes, swap_bytes, pgtables_bytes, total_vm_bytes } =
        memory;
    let values = [
        ("vm", total_vm_bytes),
        ("rss", rss_bytes),
        ("anon", anon_bytes),
        ("file", file_bytes),
        ("shmem", shmem_bytes),
        ("tables", pgtables_bytes),
        ("swap", swap_bytes),
    ];
    let known = values.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
    known.collect::<Vec<_>>().join(" ")
}

/// `UPDATE_EXPECT=1 cargo test` writes them anew; read the difference.
#[test]
fn every_log_is_read_as_expected() {
    for sample in all_samples() {
        let golden = sample.path.with_extension("expect");
        let events = render(&sample.events());
        expect_file![golden].assert_eq(&events);
    }
}

/// `/dev/kmsg` escapes what dmesg prints as it is.
#[test]
fn a_log_gives_the_same_events_as_records_of_kmsg() {
    for sample in all_samples() {
        let mut parser = Parser::new();
        let mut out = Vec::new();
        for (seq, line) in lines(&sample.text).enumerate() {
            let line = crate::logs::line::parse(line);
            let escape = |byte| match byte {
                b'\\' | 0..b' ' | 127.. => format!("\\x{byte:02x}"),
                byte => char::from(byte).to_string(),
            };
            let message: String = line.message.bytes().map(escape).collect();
            let record = format!("4,{seq},{},-;{message}\n SUBSYSTEM=oom\n", line.boot_ns.unwrap() / 1000);
            let record = Record::parse(record.as_bytes()).unwrap();
            if parser.wants(record.message) {
                parser.message(Some(record.time_ns), record.context, &record.text(), &mut out);
            }
        }
        parser.finish(&mut out);
        assert_eq!(out, sample.events(), "{}", sample.name);
    }
}

#[test]
fn every_report_is_told_once_with_its_beginning_and_its_end() {
    for sample in samples() {
        let (messages, events) = (sample.messages(), sample.events());
        let count = |text: &str| messages.iter().filter(|line| line.contains(text)).count();
        let invoked = events.iter().filter(|event| matches!(event.what, What::Invoked(_))).count();
        let reports = reports(&events);
        assert_eq!(invoked, count(" invoked oom-killer: "), "{}", sample.name);
        assert_eq!(
            reports.len(),
            count("oom-kill:constraint=") + count("no killable processes"),
            "{}",
            sample.name
        );
        // One kind of log begins in the middle of its first report.
        let cut = usize::from(sample.name.ends_with("nokillable"));
        assert_eq!(
            reports.iter().filter(|report| report.invocation.is_none()).count(),
            cut,
            "{}",
            sample.name
        );
        for asked in reports.iter().filter_map(|report| report.invocation.as_ref()) {
            let line = format!(" PID: {} Comm: {} ", asked.tid.unwrap(), asked.comm);
            assert!(
                messages.iter().any(|message| message.starts_with("CPU: ") && message.contains(&line)),
                "{line}"
            );
            let release = sample.name.split('-').next().unwrap();
            let series = release.split('.').take(2).collect::<Vec<_>>().join(".");
            assert!(asked.kernel_release.as_ref().unwrap().starts_with(&format!("{series}.")), "{release}");
        }
    }
}

#[test]
fn a_reports_text_is_all_that_stands_between_its_beginning_and_its_end() {
    for sample in samples() {
        let mut expected = Vec::new();
        let mut report: Option<String> = None;
        for message in sample.messages() {
            if message.contains(" invoked oom-killer: ") {
                report = Some(String::new());
            }
            if let Some(text) = &mut report {
                text.push_str(&message);
                text.push('\n');
                if message.starts_with("oom-kill:") || message.ends_with("no killable processes...") {
                    expected.extend(report.take());
                }
            }
        }
        let events = sample.events();
        let reports = reports(&events);
        let begun = reports.iter().filter(|report| report.invocation.is_some());
        let texts: Vec<_> = begun.map(|report| report.text.clone()).collect();
        assert_eq!(texts, expected, "{}", sample.name);
    }
}

#[test]
fn the_same_case_has_the_same_scope_on_all_kernels() {
    use crate::incident::model::ScopeKind;

    for sample in samples() {
        let (_, case) = sample.name.split_once('-').unwrap();
        let expected = match case {
            "cpuset" => ScopeKind::Cpuset,
            "mempolicy" => ScopeKind::MemoryPolicy,
            "alloctask" | "global" | "swap-global" | "sysrq-f" | "zram-global" => ScopeKind::Global,
            _ => ScopeKind::Memcg,
        };
        let events = sample.events();
        for kill in reports(&events).iter().filter_map(|report| report.kill.as_ref()) {
            assert_eq!(kill.constraint, Some(expected), "{}", sample.name);
            assert_eq!(kill.oom_memcg.is_some(), expected == ScopeKind::Memcg, "{}", sample.name);
        }
        let orders = reports(&events)
            .iter()
            .filter_map(|report| report.invocation.as_ref()?.order)
            .collect::<Vec<_>>();
        assert!(
            orders.iter().all(|order| *order == if case == "sysrq-f" { -1 } else { 0 }),
            "{}",
            sample.name
        );
    }
}
