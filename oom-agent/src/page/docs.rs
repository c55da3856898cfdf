//! docs/oom-killer.md, which diagnoses link to. It is made into HTML when the agent is built (`build/docs.rs`).

use super::frame::{About, Part, document};
use maud::{PreEscaped, html};

const TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/oom-killer.html"));

/// The page.
pub fn page(about: &About) -> String {
    let main = html! { article.doc { (PreEscaped(TEXT)) } };
    document(about, Part::Docs, "How Linux runs out of memory", &main)
}
