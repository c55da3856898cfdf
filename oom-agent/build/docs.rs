//! docs/oom-killer.md as HTML: the page that diagnoses link to.

use anyhow::{Context as _, Result};
use pulldown_cmark::{Alignment, CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd, html};
use std::{collections::HashSet, fs, path::Path};

/// Reads `from` and writes `to`.
pub(super) fn write(from: &Path, to: &Path) -> Result<()> {
    let text = fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    fs::write(to, html(&text)).with_context(|| format!("cannot write {}", to.display()))
}

fn html(text: &str) -> String {
    let events: Vec<Event<'_>> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    let mut drawing = false;
    for (at, event) in events.iter().enumerate() {
        match event {
            // Comments.
            Event::Html(_)
            | Event::InlineHtml(_)
            | Event::Start(Tag::HtmlBlock)
            | Event::End(TagEnd::HtmlBlock) => {}
            // It would take a library to draw it.
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) if &**kind == "mermaid" => {
                drawing = true;
            }
            Event::End(TagEnd::CodeBlock) if drawing => drawing = false,
            _ if drawing => {}
            Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                let mut id = slug(&events[at + 1..]);
                while !seen.insert(id.clone()) {
                    id.push('-');
                }
                let (level, id) = (*level, Some(CowStr::from(id)));
                out.push(Event::Start(Tag::Heading {
                    level,
                    id,
                    classes: classes.clone(),
                    attrs: attrs.clone(),
                }));
            }
            // Right or left would be a style, which the page's policy forbids.
            Event::Start(Tag::Table(columns)) => {
                out.push(Event::Start(Tag::Table(vec![Alignment::None; columns.len()])));
            }
            other => out.push(other.clone()),
        }
    }
    let mut text = String::new();
    html::push_html(&mut text, out.into_iter());
    text
}

/// The name of a heading in addresses, as the usual viewers make it.
fn slug(events: &[Event<'_>]) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            Event::Text(part) | Event::Code(part) => text.push_str(part),
            Event::End(TagEnd::Heading(_)) => break,
            _ => {}
        }
    }
    let letter = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    };
    text.to_lowercase().chars().filter_map(letter).collect()
}
