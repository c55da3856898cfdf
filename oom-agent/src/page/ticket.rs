//! An incident as Markdown, to be pasted into a ticket.
//!
//! There a name may be more than text: a link, an image, somebody who is notified. So whatever is not plainly a word or a
//! number is set as code, and the whole incident is a block of code with a fence that nothing in it ends.

use crate::incident::model::Incident;
use crate::sink::escape;
use crate::sink::terminal::{self, Sentences, Show, Style, diagnosis, headline};
use crate::sink::text::Line;
use std::fmt::Write as _;

/// Columns of the incident in full: what a ticket shows without scrolling.
const WIDTH: usize = 100;

/// The whole ticket.
pub fn markdown(incident: &Incident) -> String {
    let Sentences { headline: what, facts, missing, .. } = Sentences::of(incident);
    let mut out = String::new();
    let when = headline::when(incident).unwrap_or_else(|| "at an unknown time".to_owned());
    let node = incident.node.as_deref().map(|node| format!(" on {}", prose(&escape::escape(node))));
    let _ = writeln!(out, "## {}, {}{}\n", headline::title(incident), prose(&when), node.unwrap_or_default());
    let _ = writeln!(out, "**{}**\n", joined(&what));
    for (label, lines) in
        facts.iter().filter(|(label, _)| matches!(*label, "Where" | "Failed" | "Kill" | "No kill" | "Why"))
    {
        let _ = writeln!(out, "- **{label}**: {}", joined(lines));
    }
    for it in incident.diagnosis.iter().take(3) {
        let (title, because) = diagnosis::parts(incident, it);
        let because = because.map(|because| format!(" {}.", prose(&because))).unwrap_or_default();
        let _ = writeln!(out, "\n**Diagnosis**: {}.{because}", prose(&title));
        let _ = writeln!(out, "What helps: {}", prose(&escape::escape(&it.advice)));
    }
    let _ = writeln!(out, "\n**Not seen**: {}", joined(&missing));
    let text = terminal::render(incident, &Style { width: WIDTH, color: false, candidates: Show::Top(10) });
    let fence = fence(&text);
    let _ = writeln!(
        out,
        "\n<details><summary>The incident in full</summary>\n\n{fence}text\n{text}{fence}\n\n</details>\n"
    );
    let _ = writeln!(out, "Incident {}", prose(&escape::escape(&incident.id)));
    out
}

fn joined(lines: &[Line]) -> String {
    let text = |line: &Line| line.spans().iter().map(|span| span.text.as_str()).collect::<String>();
    prose(&lines.iter().map(text).collect::<Vec<_>>().join("; "))
}

/// Words as they are, all else as code.
fn prose(text: &str) -> String {
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn word(word: &str) -> String {
    // Punctuation of our sentences stays outside.
    let inner = word.trim_start_matches('(').trim_end_matches([',', '.', ';', ':', ')']);
    let begin = word.len() - word.trim_start_matches('(').len();
    if inner.is_empty() || word.len() < begin + inner.len() || is_plain(inner) {
        return if word.chars().all(|c| ",.;:()".contains(c)) || is_plain(inner) {
            word.to_owned()
        } else {
            code(word)
        };
    }
    format!("{}{}{}", &word[..begin], code(inner), &word[begin + inner.len()..])
}

/// A word or a number, and nothing that any Markdown would make more of.
fn is_plain(word: &str) -> bool {
    let digits = word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b':' | b'-' | b'+'));
    let letters = word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '%' | '\''));
    (digits || letters) && !word.is_empty() && word != "-" && word != "+" && !word.starts_with("--")
}

/// A span of code with a fence that is longer than any in it.
fn code(text: &str) -> String {
    let longest = runs(text);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn fence(text: &str) -> String {
    "`".repeat(runs(text).max(2) + 1)
}

/// The longest run of backticks.
fn runs(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_code_and_words_are_words() {
        assert_eq!(
            prose("java[1], holding 474 MiB (12 %), was killed: 5,120 of /a/b."),
            "`java[1]`, holding 474 MiB (12 %), was killed: 5,120 of `/a/b`."
        );
        for (hostile, shown) in [
            ("@everyone", "`@everyone`"),
            ("#12", "`#12`"),
            ("[x](http://y)", "`[x](http://y`)"),
            ("![x]", "`![x]`"),
            ("<img>", "`<img>`"),
            ("a`b``c", "```a`b``c```"),
            ("`", "`` ` ``"),
            ("www.x.io", "`www.x.io`"),
            ("**b**", "`**b**`"),
            ("_", "`_`"),
            ("-", "`-`"),
            ("...", "..."),
        ] {
            assert_eq!(prose(hostile), shown, "{hostile}");
        }
    }

    #[test]
    fn nothing_ends_the_block_of_code() {
        let mut incident = crate::sink::samples::memcg();
        incident.victims[0].comm = "````\n# x".into();
        let text = markdown(&incident);
        let fence = text.lines().find(|line| line.ends_with("text") && line.starts_with('`')).unwrap();
        let fence = fence.trim_end_matches("text");
        assert!(fence.len() > 4, "{fence}");
        assert_eq!(text.lines().filter(|line| *line == fence).count(), 1);
        assert_eq!(text.matches("<details>").count(), 1);
    }
}
