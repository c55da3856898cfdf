//! Pieces that all pages share. Whatever a process, a cgroup or a log calls itself is escaped twice: what would not be
//! seen or would move what is beside it becomes visible (`sink::escape`), and HTML is the template's business.

use crate::incident::identity::Identity;
use crate::incident::model::{Incident, ScopeKind};
use crate::sink::terminal::whose;
use crate::sink::text::{Line, Tone};
use crate::sink::{escape, path, units};
use maud::{Markup, html};
use std::fmt::Write as _;

/// What was not seen. Never 0, never an empty place.
pub(super) fn unknown() -> Markup {
    html! { span.unknown { "unknown" } }
}

/// Text that is escaped already, or that it is unknown.
pub(super) fn known(text: Option<String>) -> Markup {
    html! { @match text { Some(text) => (text), None => (unknown()) } }
}

/// A size.
pub(super) fn bytes(bytes: Option<u64>) -> Markup {
    known(bytes.map(units::bytes))
}

/// A time span.
pub(super) fn span(ns: Option<u64>) -> Markup {
    known(ns.map(units::nanoseconds))
}

/// Text of the terminal, where a `?` stands for what was not seen.
pub(super) fn cell(text: &str) -> Markup {
    html! { @if text == units::UNKNOWN { (unknown()) } @else { (text) } }
}

/// A line with its tones.
pub(super) fn line(line: &Line) -> Markup {
    html! {
        @for span in line.spans() {
            @match span.tone {
                Tone::Plain => (span.text),
                Tone::Strong => strong { (span.text) },
                Tone::Alarm => strong.alarm { (span.text) },
                Tone::Faint => span.faint { (span.text) },
            }
        }
    }
}

/// Each line as a paragraph.
pub(super) fn paragraphs(lines: &[Line]) -> Markup {
    html! { @for it in lines { p { (line(it)) } } }
}

/// A cgroup's path as a whole. It may break after each of its names.
pub(super) fn whole_path(cgroup: &str) -> Markup {
    html! { code.path { (breakable(&path::shown(cgroup))) } }
}

/// A cgroup's path with containers' ids cut.
pub(super) fn short_path(cgroup: &str, columns: usize) -> Markup {
    html! { code.path { (breakable(&path::shorten(&path::shown(cgroup), columns))) } }
}

/// A container or a pod by its name; its cgroup is what a pointer shows. Both are escaped already.
pub(super) fn named(name: &str, cgroup: &str) -> Markup {
    html! { code.path title=(cgroup) { (breakable(name)) } }
}

fn breakable(text: &str) -> Markup {
    html! { @for part in text.split_inclusive('/') { (part) wbr; } }
}

/// What was full, in little room.
pub(super) fn place(incident: &Incident, columns: usize) -> Markup {
    let scope = &incident.scope;
    html! {
        @match (scope.kind, scope.cgroup.as_deref()) {
            (Some(ScopeKind::Memcg) | None, Some(cgroup)) => @match whose::cell(&scope.identity, &Identity::default()) {
                Some(name) => (named(&name, &path::shown(cgroup))),
                None => (short_path(cgroup, columns)),
            },
            (Some(ScopeKind::Memcg), None) => { "a memory cgroup " (unknown()) },
            (Some(ScopeKind::Global), _) => "the whole machine",
            (Some(ScopeKind::Cpuset), _) => "nodes of a cpuset",
            (Some(ScopeKind::MemoryPolicy), _) => "nodes of a NUMA policy",
            (Some(ScopeKind::Sysrq), _) => "the whole machine (sysrq-f)",
            (None, None) => (unknown()),
        }
    }
}

/// When it was. `when` is for people, and escaped. A script adds how long ago that is.
pub(super) fn time(incident: &Incident, when: Option<String>) -> Markup {
    // Times of a log may be anything.
    let machine = incident.time.as_deref().filter(|time| time.bytes().all(|b| b.is_ascii_graphic()));
    html! {
        @match (when, machine) {
            (Some(when), Some(machine)) => time datetime=(machine) { (when) },
            (Some(when), None) => (when),
            (None, _) => (unknown()),
        }
    }
}

/// Where `part` ends on a scale from 0 to 1000 that `whole` fills. Of nothing nothing is a part.
pub(super) fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    (u128::from(part.min(whole)) * 1000 / u128::from(whole)) as u64
}

/// Bars beside each other: how long each one is, from 0 to 1000, and its class. `said`: for who cannot see them.
pub(super) fn bar(parts: &[(u64, &str)], said: &str) -> Markup {
    let mut at = 0;
    let placed: Vec<(u64, u64, &str)> = parts
        .iter()
        .map(|(length, class)| {
            let length = (*length).min(1000 - at);
            at += length;
            (at - length, length, *class)
        })
        .collect();
    html! {
        svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(said) {
            rect.rest x="0" y="0" width="1000" height="10" {}
            @for (x, width, class) in placed {
                @if width > 0 { rect class=(class) x=(x) y="0" width=(width) height="10" {} }
            }
        }
    }
}

/// For a part of an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Text of several lines, each of them escaped.
pub(super) fn text(text: &str) -> String {
    text.lines().map(|line| escape::escape(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_never_leave_their_scale() {
        assert_eq!((share(1, 0), share(0, 5), share(9, 5), share(1, 2)), (0, 0, 1000, 500));
        assert_eq!(share(u64::MAX, u64::MAX), 1000);
        let drawn = bar(&[(900, "a"), (900, "b"), (900, "c")], "<").into_string();
        assert!(drawn.contains(r#"class="b" x="900" y="0" width="100""#), "{drawn}");
        assert!(!drawn.contains(r#"class="c""#) && drawn.contains(r#"aria-label="&lt;""#), "{drawn}");
    }

    #[test]
    fn addresses_and_texts_are_harmless() {
        assert_eq!(encoded("/a b&c=\u{e9}\"#%"), "/a%20b%26c%3D%C3%A9%22%23%25");
        assert_eq!(text("a\x1b[2J\nb\u{202e}"), "a\\x1b[2J\nb\\u{202e}");
        let path = whole_path("/a/<b> c").into_string();
        assert_eq!(path, "<code class=\"path\">/<wbr>a/<wbr>&lt;b&gt;\\x20c<wbr></code>");
    }
}
