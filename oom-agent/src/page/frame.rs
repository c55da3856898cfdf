//! What is around every page.

use super::assets::{SCRIPT, STYLE};
use crate::sink::escape;
use maud::{DOCTYPE, Markup, html};

/// A small flame-free icon: a bar that reached its limit.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' \
    height='16' rx='3' fill='%23b3261e'/%3E%3Cpath d='M3 3h10M4 13V9h2v4zM7 13V6h2v7zM10 13V4h2v9z' stroke='%23fff' \
    fill='%23fff'/%3E%3C/svg%3E";

/// What is true of all pages.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Name of the machine.
    pub node: Option<String>,
    /// What the agent sees of OOM kills, in words.
    pub sees: String,
    /// What an operator should know of the agent itself: it cannot store, it sees nothing.
    pub troubles: Vec<String>,
    /// How many incidents are stored. `None`: not known.
    pub stored: Option<u64>,
}

/// Which part of the site a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Incidents,
    Rank,
    Docs,
    Other,
}

/// A whole document. `title` is escaped already.
pub(super) fn document(about: &About, part: Part, title: &str, main: &Markup) -> String {
    let node = about.node.as_deref().map(escape::escape);
    let current = |this: Part| (this == part).then_some("page");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) @if let Some(node) = &node { " · " (node) } " · oom-agent" }
                link rel="icon" href=(ICON);
                link rel="stylesheet" href=(STYLE.path());
                script src=(SCRIPT.path()) defer {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href="/" { "oom-agent" }
                    @if let Some(node) = &node { span.node { span.vh { "on machine " } (node) } }
                    nav aria-label="Pages" {
                        a href="/" aria-current=[current(Part::Incidents)] { "Incidents" }
                        a href="/rank" aria-current=[current(Part::Rank)] { "Who is next" }
                        a href="/docs/oom-killer" aria-current=[current(Part::Docs)] { "Docs" }
                    }
                }
                @for trouble in &about.troubles {
                    p.trouble role="alert" { strong { "The agent: " } (escape::escape(trouble)) }
                }
                // New incidents are announced here by the script.
                div #news .news role="status" aria-live="polite" {}
                main #main tabindex="-1" { (main) }
                footer {
                    p {
                        @if !about.sees.is_empty() { "This agent sees " (escape::escape(&about.sees)) ". " }
                        "What was not seen is said to be " span.unknown { "unknown" } "; it is never 0."
                    }
                }
            }
        }
    };
    page.into_string()
}
