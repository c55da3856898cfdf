//! As much of HTML as it takes to see that a page is well formed and does what the policy allows.

use crate::sink::escape;
use std::collections::HashSet;

const VOID: [&str; 6] = ["meta", "link", "input", "br", "wbr", "!DOCTYPE"];

/// What is wrong with a page.
pub(super) fn check(page: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut ids = HashSet::new();
    let mut wanted = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        text(&rest[..at])?;
        let end = rest[at..].find('>').ok_or("a tag without an end")? + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("</{name}> ends {last:?}"));
            }
            continue;
        }
        let name = tag.split(' ').next().unwrap_or_default();
        let attributes = attributes(&tag[name.len()..])?;
        let names: HashSet<&str> = attributes.iter().map(|(name, _)| *name).collect();
        if names.len() != attributes.len() {
            return Err(format!("an attribute twice in <{tag}>"));
        }
        for (attribute, value) in attributes {
            match attribute {
                "style" => return Err(format!("a style in <{tag}>")),
                _ if attribute.starts_with("on") => return Err(format!("a script in <{tag}>")),
                "id" if !ids.insert(value) => return Err(format!("{value} twice")),
                "for" | "aria-labelledby" | "aria-describedby" => wanted.extend(value.split(' ')),
                "href" | "src" | "action"
                    if !value.is_empty()
                        && !value.starts_with(['/', '#'])
                        && !value.starts_with("data:image/svg+xml,") =>
                {
                    return Err(format!("{value} is elsewhere"));
                }
                _ => {}
            }
        }
        if !VOID.contains(&name) {
            open.push(name);
        }
    }
    text(rest)?;
    if let Some(id) = wanted.into_iter().find(|id| !ids.contains(id)) {
        return Err(format!("no {id}"));
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} not closed")) }
}

/// Nothing that a name could do is left in a text or an attribute.
fn text(text: &str) -> Result<(), String> {
    if text.contains('>') {
        return Err(format!("{text}: not escaped"));
    }
    match text.chars().find(|c| *c != '\n' && escape::is_unsafe(*c)) {
        Some(c) => Err(format!("{c:?} in {text}")),
        None => Ok(()),
    }
}

fn attributes(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        let mut value = "";
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let end = quoted.find('"').ok_or("a value without an end")?;
            value = &quoted[..end];
            rest = &quoted[end + 1..];
        }
        self::text(value)?;
        found.push((name, value));
        rest = rest.trim_start();
    }
    Ok(found)
}
