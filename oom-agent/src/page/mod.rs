//! What a browser shows: HTML of incidents, of lists of them, and of who is next. PURE: no HTTP, no file, no clock.
//!
//! It is read by a person in a hurry, on a phone or a wide screen, with or without a script. So every page is whole as it
//! comes; the script (`assets/page.js`) only fetches the same pages again and swaps parts of them. Templates escape HTML,
//! `sink::escape` what a name could do beside that. No attribute holds a style or a script: the Content-Security-Policy
//! ([`POLICY`]) forbids both.
//!
//! # Layout
//! - [`list`]: the incidents. [`incident`]: one. [`rank`]: who is next. [`docs`]: how the kernel does it.
//! - `frame`: what is around them. [`assets`]: style sheet and script.
//! - `timeline`, `candidates`, `memory`, `hierarchy`, `zones`: parts of one incident. [`ticket`]: it as Markdown.
//! - `parts`: what they share.

pub mod assets;
mod candidates;
pub mod docs;
mod frame;
mod hierarchy;
pub mod incident;
pub mod list;
mod memory;
mod parts;
pub mod rank;
pub mod ticket;
mod timeline;
mod zones;

#[cfg(test)]
mod tests;

use crate::sink::escape;
pub use frame::About;
use frame::{Part, document};
use maud::html;

/// What a browser may do with a page: load its style sheet, its script and its icon, and ask this server.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page that says why there is none.
pub fn error(about: &About, title: &str, text: &str) -> String {
    let main = html! {
        h1 { (title) }
        p { (escape::escape(text)) }
        p { a href="/" { "All incidents" } }
    };
    document(about, Part::Other, title, &main)
}
