//! The diagnosis for a person.

use super::{Bpf, Diagnosis, LogBy, advice, levels, settings};
use crate::{
    kernel::{
        btf::VMLINUX,
        host::{Known, privilege::Need},
        load::HookStatus,
        probes::Kind,
    },
    sink::{
        escape::escape,
        table::{Column, Fit, Table},
        terminal::Style,
        text::{Line, Prose, Tone},
        units,
    },
};

/// Columns that a section is indented by.
const INDENT: usize = 2;
/// Columns of a label within a section.
const LABEL: usize = 14;
/// Sentences are not wider than this.
const PROSE: usize = 120;

/// The diagnosis as text. No line is longer than [`Style::width`], or 80 if that is less.
pub fn render(diagnosis: &Diagnosis, style: &Style) -> String {
    let width = style.width.max(80) - INDENT;
    let mut lines = headline(diagnosis, width);
    for (title, section) in [
        ("Levels", level_table(diagnosis).lines(width)),
        ("Hooks", hook_table(diagnosis).lines(width)),
        ("Why not better", refusals(diagnosis, width)),
        ("Sources", sources(diagnosis, width)),
        ("Settings", setting_table(diagnosis).lines(width)),
        ("To get more", advised(diagnosis, width)),
    ] {
        if section.is_empty() {
            continue;
        }
        lines.push(Line::default());
        lines.push(Line::new(Tone::Strong, title));
        lines.extend(section.into_iter().map(|line| indented(INDENT, line)));
    }
    let mut out = String::new();
    for line in lines {
        line.write(&mut out, style.color);
    }
    out
}

fn headline(diagnosis: &Diagnosis, width: usize) -> Vec<Line> {
    let host = &diagnosis.host;
    let known =
        |value: &Known<String>| value.value().map_or(units::UNKNOWN.to_owned(), |it| escape(it).into_owned());
    let mut first = Prose::new();
    first.say(Tone::Faint, &format!("oom-agent {} on ", env!("CARGO_PKG_VERSION")));
    first.atom(Tone::Faint, &known(&host.node));
    first.say(Tone::Faint, &format!(", Linux {}", known(&host.kernel_release)));
    let mut second = Prose::new();
    second.say(Tone::Strong, &levels::sentence(diagnosis));
    first.wrap(width).into_iter().chain(second.wrap(width)).collect()
}

fn level_table(diagnosis: &Diagnosis) -> Table {
    let mut table = Table::new(vec![
        Column::left("LEVEL"),
        Column::left("HERE"),
        Column::left("SHOWS").fit(Fit::Wrap(30)),
    ]);
    for (level, shows) in levels::LEVELS {
        let here = levels::here(diagnosis, level);
        let tone = if matches!(here, "used" | "yes") { Tone::Plain } else { Tone::Faint };
        table.row(tone, vec![levels::name(Some(level)).into(), here.into(), shows.into()]);
    }
    table
}

fn hook_table(diagnosis: &Diagnosis) -> Table {
    let mut table = Table::new(vec![
        Column::left("HOOK"),
        Column::left("USED"),
        Column::left("GIVES").fit(Fit::Wrap(24)),
    ]);
    for hook in &diagnosis.hooks {
        let used = match (hook.used, &diagnosis.bpf) {
            (Some(kind), _) => kind.name(),
            (None, Bpf::NotTried(_)) => "not tried",
            (None, Bpf::Attached(_) | Bpf::Refused(_)) => "no",
        };
        let tone = if hook.used.is_some() { Tone::Plain } else { Tone::Faint };
        table.row(tone, vec![hook.target.into(), used.into(), hook.gives.into()]);
    }
    table
}

/// What was refused, once for each reason.
fn refusals(diagnosis: &Diagnosis, width: usize) -> Vec<Line> {
    let mut reasons = Vec::new();
    match &diagnosis.bpf {
        Bpf::NotTried(missing) => {
            reasons.push(format!("not tried: {} missing", advice::names(missing, " and ")));
        }
        Bpf::Refused(error) => reasons.push(error.clone()),
        Bpf::Attached(_) => {
            for (error, kinds, hooks) in by_reason(&diagnosis.hooks) {
                let kinds: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                reasons.push(format!("{} ({}): {error}", kinds.join(", "), hooks.join(", ")));
            }
            let kprobe = |kind| matches!(kind, Kind::Kprobe | Kind::Kretprobe);
            if diagnosis.hooks.iter().any(|hook| hook.used.is_some_and(kprobe)) {
                reasons.push("kprobes are used instead: they see the same, at a higher cost".to_owned());
            }
            let idle = diagnosis.hooks.iter().filter(|hook| hook.used.is_none() && hook.refused.is_empty());
            let idle: Vec<_> = idle.map(|hook| hook.target).collect();
            if !idle.is_empty() {
                reasons.push(format!(
                    "{}: of no use without the other hooks of the full level",
                    idle.join(", ")
                ));
            }
        }
    }
    reasons.iter().flat_map(|reason| bullet(&escape(reason), width)).collect()
}

type Reason<'a> = (&'a str, Vec<Kind>, Vec<&'static str>);

fn by_reason(hooks: &[HookStatus]) -> Vec<Reason<'_>> {
    let mut reasons: Vec<Reason<'_>> = Vec::new();
    for hook in hooks {
        for refusal in &hook.refused {
            let at = reasons.iter().position(|(error, ..)| *error == refusal.error).unwrap_or_else(|| {
                reasons.push((&refusal.error, Vec::new(), Vec::new()));
                reasons.len() - 1
            });
            let (_, kinds, targets) = &mut reasons[at];
            if !kinds.contains(&refusal.kind) {
                kinds.push(refusal.kind);
            }
            if !targets.contains(&hook.target) {
                targets.push(hook.target);
            }
        }
    }
    reasons
}

fn sources(diagnosis: &Diagnosis, width: usize) -> Vec<Line> {
    let Diagnosis { host, btf, kernel_log, .. } = diagnosis;
    let mut parts = vec![(
        "BTF",
        match &btf.types {
            Known::Value(types) => format!("{VMLINUX}, {} types", units::count(u64::from(*types))),
            Known::Unknown { unknown } => unknown.clone(),
        },
    )];
    for (fields, without) in [
        (&btf.missing_required, "without these BPF cannot be used"),
        (&btf.missing_optional, "what they tell is missing in incidents"),
    ] {
        if !fields.is_empty() {
            parts.push(("fields", format!("this kernel has no {}: {without}", fields.join(", "))));
        }
    }
    parts.push((
        "kernel's log",
        match kernel_log {
            Ok(LogBy::Device) => "/dev/kmsg can be read".to_owned(),
            Ok(LogBy::Syslog) => {
                "read by syslog(2) once BPF tells of a kill: /dev/kmsg cannot be opened".to_owned()
            }
            Err(error) => error.clone(),
        },
    ));
    parts.push(("capabilities", held(diagnosis)));
    for (need, what) in [(Need::BpfTracing, "BPF"), (Need::KernelLog, "the kernel's log")] {
        if let Some(missing) = host.missing_for(need).filter(|missing| !missing.is_empty()) {
            parts.push(("", format!("{} missing, for {what}", advice::names(&missing, " and "))));
        }
    }
    parts.iter().flat_map(|(label, text)| labelled(label, &escape(text), width)).collect()
}

fn held(diagnosis: &Diagnosis) -> String {
    let privileges = &diagnosis.host.privileges;
    let elsewhere = match &privileges.initial_user_namespace {
        Known::Value(false) => ", but not in the initial user namespace, where they would count",
        Known::Value(true) | Known::Unknown { .. } => "",
    };
    match &privileges.effective {
        Known::Value(held) if held.is_empty() => "none that matter here are held".to_owned(),
        Known::Value(held) => format!("{} held{elsewhere}", advice::names(held, ", ")),
        Known::Unknown { unknown } => format!("not known: {unknown}"),
    }
}

fn setting_table(diagnosis: &Diagnosis) -> Table {
    let mut table = Table::new(vec![
        Column::left("NAME"),
        Column::left("VALUE"),
        Column::left("WHAT IT MEANS FOR AN OOM").fit(Fit::Wrap(28)),
    ]);
    for setting in settings::all(&diagnosis.host, &diagnosis.landlock) {
        table.row(
            Tone::Plain,
            vec![
                setting.name.into(),
                escape(&setting.value).into_owned(),
                escape(&setting.means).into_owned(),
            ],
        );
    }
    table
}

fn advised(diagnosis: &Diagnosis, width: usize) -> Vec<Line> {
    advice::lines(diagnosis).iter().flat_map(|line| bullet(&escape(line), width)).collect()
}

fn bullet(text: &str, width: usize) -> Vec<Line> {
    hanging(Line::new(Tone::Plain, "-"), 2, text, width)
}

fn labelled(label: &str, text: &str, width: usize) -> Vec<Line> {
    hanging(Line::new(Tone::Plain, label), LABEL, text, width)
}

/// Text beside a first line's begin, its other lines below each other.
fn hanging(begin: Line, at: usize, text: &str, width: usize) -> Vec<Line> {
    let mut prose = Prose::new();
    prose.say(Tone::Plain, text);
    let mut begin = Some(begin);
    let lines = prose.wrap((width - at).min(PROSE)).into_iter();
    lines
        .map(|line| {
            let mut out = begin.take().unwrap_or_default();
            out.pad(at);
            out.append(line);
            out
        })
        .collect()
}

fn indented(at: usize, line: Line) -> Line {
    let mut out = Line::default();
    out.pad(at);
    out.append(line);
    out
}
