//! Who would be killed now.

use super::candidates::{self, Sheet};
use super::frame::{About, Part, document};
use super::parts::{self, bar, bytes, share, unknown};
use crate::incident::model::Candidate;
use crate::rank::{
    answer::Answer,
    facts::{Bound, Level},
    text,
};
use crate::sink::text::Prose;
use crate::sink::{escape, path, units};
use maud::{Markup, html};

/// The page. `asked`: the cgroup as it was typed; what does not work is said by `Err`.
pub fn page(about: &About, asked: &str, answer: Result<&Answer, &str>) -> String {
    let main = html! {
        h1 { "Who is next" }
        p.lead { "Whom the kernel would kill if memory ran out now, by its own arithmetic, if nobody grows first." }
        form.search method="get" action="/rank" {
            label for="cgroup" { "In the memory cgroup" }
            input #cgroup type="search" name="cgroup" value=(escape::escape(asked)) autocomplete="off" spellcheck="false" maxlength="4096"
                placeholder="the whole machine" aria-keyshortcuts="/";
            button { "Show" }
        }
        div #rank data-live="4" {
            @match answer { Ok(answer) => (shown(answer)), Err(why) => p.trouble { (escape::escape(why)) } }
        }
    };
    document(about, Part::Rank, "Who is next", &main)
}

fn prose(prose: &Prose) -> Markup {
    html! { @for line in prose.wrap(usize::MAX) { (parts::line(&line)) } }
}

fn shown(answer: &Answer) -> Markup {
    let ranking = &answer.now;
    let victim = ranking.decision.as_ref().and_then(|decision| decision.pid);
    let group = ranking.group.as_ref();
    let killed = |candidate: &Candidate| victim == Some(candidate.pid);
    let dies = |candidate: &Candidate| group.is_some_and(|group| group.pids.contains(&candidate.pid));
    let marks = |candidate: &Candidate| match (killed(candidate), dies(candidate)) {
        (true, _) => vec!["first"],
        (false, true) => vec!["with it"],
        (false, false) => Vec::new(),
    };
    let sheet = Sheet {
        candidates: &ranking.candidates,
        base: ranking.scope.cgroup.as_deref(),
        full: &ranking.scope.identity,
        total_pages: ranking.total_pages,
        page_size: answer.page_size(),
        marks: &marks,
        alarm: &killed,
        always: &|_| false,
    };
    let exempt = ranking.candidates.iter().filter(|it| !it.eligible).count() as u64;
    let count = units::plural(ranking.candidates.len() as u64, "process", "processes");
    html! {
        p.asof {
            "As of " @match &answer.time { Some(time) => time datetime=(time) data-clock="" { (escape::escape(&time.replace('T', " "))) }, None => (unknown()) }
            " " a.refresh href="" { "Refresh" }
            " " button.script type="button" data-pause="" aria-pressed="false" hidden { "Pause" }
        }
        p.headline { (prose(&text::headline(answer))) }
        dl.facts {
            dt { "Where" } dd { (prose(&text::place_words(answer, ranking))) (levels(&ranking.levels, ranking.scope.cgroup.as_deref())) }
            dt { "Why" } dd { (prose(&text::why(ranking))) }
            dt { "Not seen" } dd { @for note in &answer.notes { p { (escape::escape(note)) } } @if answer.notes.is_empty() { "nothing" } }
            dt { "Evidence" } dd.evidence { (prose(&text::evidence(answer))) }
        }
        h2 { (count) ", " (units::count(exempt)) " exempt" }
        p.faint { "~ computed from /proc as the kernel would" }
        (candidates::list(&sheet))
    }
}

/// What limits it, from the root down.
fn levels(levels: &[Level], ranked: Option<&str>) -> Markup {
    html! {
        @if !levels.is_empty() {
            ol.levels { @for (depth, level) in levels.iter().rev().enumerate() {
                li class=(format!("d{}", depth.min(6))) {
                    div.level.full[ranked == Some(level.cgroup.as_str())] {
                        span.name { code.path { (path::shorten(&path::shown(&level.cgroup), 60)) }
                            @if ranked == Some(level.cgroup.as_str()) { " " span.badge { "ranked" } }
                            @if level.oom_group == Some(true) { " " span.badge { "memory.oom.group" } }
                        }
                        span.of { (bytes(level.usage_bytes)) " of "
                            @match level.memory_max_bytes { Some(Bound::Bytes(max)) => (units::bytes(max)), Some(Bound::Max(_)) => "no limit", None => (unknown()) }
                        }
                        @if let (Some(usage), Some(max)) = (level.usage_bytes, level.limit_bytes()) {
                            (bar(&[(share(usage, max), "mem")], &format!("{} per cent", share(usage, max) / 10)))
                        }
                    }
                }
            } }
        }
    }
}
