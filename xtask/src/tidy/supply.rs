//! What the project is made of, without a network: where its crates come from, whether each direct one has a reason, and under
//! which licences they are. `cargo deny check` looks closer, and at advisories.

use super::Source;
use crate::{machine::Machine, process};
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
const REASONS: &str = "docs/dependencies.md";
/// What comes after the crates there.
const TOOLS: &str = "\n## Tools";
const QUESTION: Duration = Duration::from_mins(1);

/// Crates that are from elsewhere than crates.io, or that nobody can check.
pub(super) fn lock(text: &str, report: &mut impl FnMut(usize, &str)) {
    let (mut name, mut source) = ("", None);
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let value = value.trim_matches('"');
        match key {
            "name" => (name, source) = (value, None),
            "source" if value != CRATES_IO => report(number + 1, &format!("`{name}` is from {value}")),
            "source" => source = Some(number + 1),
            "checksum" => source = None,
            _ => {}
        }
        if let (Some(at), None | Some((_, ""))) = (source, lines.peek()) {
            report(at, &format!("`{name}` has no checksum"));
            source = None;
        }
    }
}

/// Direct dependencies without a reason, and reasons for none.
pub(super) fn reasons(sources: &[Source]) -> Vec<(String, usize, String)> {
    let Some(reasons) = sources.iter().find(|source| source.path == REASONS) else { return Vec::new() };
    let crates = reasons.text.split(TOOLS).next().unwrap_or_default();
    let rows: BTreeMap<&str, usize> = crates
        .lines()
        .enumerate()
        .filter_map(|(number, line)| Some((number + 1, line.strip_prefix("| `")?.split(['(', '|']).next()?)))
        .flat_map(|(number, cell)| cell.split(", ").map(move |name| (name.trim_matches([' ', '`']), number)))
        .collect();
    let mut found = Vec::new();
    let mut named = BTreeSet::new();
    for Source { path, text } in sources {
        if Path::new(path).file_name().is_none_or(|name| name != "Cargo.toml") {
            continue;
        }
        for (line, name) in dependencies(text) {
            named.insert(name);
            if !rows.contains_key(name) && !name.starts_with("oom-") {
                found.push((path.clone(), line, format!("`{name}` has no row in {REASONS}")));
            }
        }
    }
    let idle = rows.iter().filter(|(name, _)| !named.contains(*name));
    found.extend(idle.map(|(name, line)| (REASONS.to_owned(), *line, format!("`{name}` is no dependency"))));
    found
}

/// Names of the dependencies of a manifest, with their lines.
pub(super) fn dependencies(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut within = false;
    manifest.lines().enumerate().filter_map(move |(number, line)| {
        if let Some(section) = line.strip_prefix('[') {
            within = section.ends_with("dependencies]");
            return None;
        }
        let (name, _) = line.split_once('=').filter(|_| within)?;
        Some((number + 1, name.trim().trim_matches('"').split('.').next()?))
    })
}

/// What `cargo metadata` says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

/// Crates under licences that deny.toml does not allow, of those that cargo builds for this machine and for the kernel.
///
/// # Errors
/// Not everything has been fetched, or there is no cargo.
pub(super) fn licences(deny: &str) -> Result<Vec<String>> {
    let mut cargo = process::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    cargo.args(["--filter-platform", Machine::this().target(), "--filter-platform", "bpfel-unknown-none"]);
    let said = process::capture(cargo.current_dir(process::workspace()), QUESTION)?.ok("cargo metadata")?;
    let metadata: Metadata = serde_json::from_str(&said).context("cargo metadata")?;
    Ok(refused(&metadata, &allowed(deny)))
}

/// The list of deny.toml.
fn allowed(deny: &str) -> BTreeSet<&str> {
    let list = deny.split_once("\n[licenses]").and_then(|(_, rest)| rest.split_once("\nallow = ["));
    let list = list.and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).collect()
}

fn refused(metadata: &Metadata, allowed: &BTreeSet<&str>) -> Vec<String> {
    let foreign = metadata.packages.iter().filter(|package| package.source.is_some());
    let refused = foreign.filter_map(|Package { name, version, license, .. }| match license {
        Some(license) if fits(license, allowed) => None,
        Some(license) => Some(format!("{name} {version} is under {license}")),
        None => Some(format!("{name} {version} says nothing of its licence")),
    });
    refused.collect()
}

/// Whether one may choose only licences that are allowed (SPDX: `AND` binds before `OR`; `/` is an old `OR`).
fn fits(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let fits = any(&mut words, allowed);
    // What is not understood is not allowed.
    fits == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut fits = all(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        fits |= all(words, allowed)?;
    }
    Some(fits)
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut fits = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        fits &= one(words, allowed)?;
    }
    Some(fits)
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let fits = any(words, allowed)?;
        return words.next_if_eq(&")").map(|_| fits);
    }
    // An exception is a licence of its own.
    let exception = words.next_if_eq(&"WITH").is_some().then(|| words.next());
    match exception {
        Some(exception) => Some(allowed.contains(&*format!("{word} WITH {}", exception?))),
        None => Some(allowed.contains(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(text: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        lock(text, &mut |line, what| found.push((line, what.to_owned())));
        found
    }

    #[test]
    fn crates_come_from_crates_io_with_a_checksum() {
        let package =
            |more: &str| format!("version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n{more}");
        let registry = format!("source = \"{CRATES_IO}\"\n");
        let whole = package(&format!("{registry}checksum = \"abc\"\ndependencies = [\n \"b\",\n]\n"));
        assert_eq!(locked(&whole), []);
        assert_eq!(locked(&package("")), [], "one of our own");
        let of = |line, what: &str| vec![(line, what.to_owned())];
        assert_eq!(locked(&package(&registry)), of(6, "`a` has no checksum"));
        assert_eq!(locked(&package(&format!("{registry}\n[[package]]\n"))), of(6, "`a` has no checksum"));
        assert_eq!(
            locked(&package("source = \"git+https://example.com/a#1\"\n")),
            of(6, "`a` is from git+https://example.com/a#1")
        );
    }

    #[test]
    fn every_dependency_has_a_reason_and_every_reason_a_dependency() {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let docs = "| crate | why |\n|---|---|\n| `a`, `b` (`c`) | x |\n| `gone` | x |\n\n## Tools that are no crates\n| `tool` | x |\n";
        let manifest = "[package]\nname = \"z\"\n[dependencies]\na = \"1\"\nb.workspace = true\noom-x = { path = \"x\" }\n\
                        c = \"1\"\n[features]\nd = []\n[target.'cfg(x = \"y\")'.dev-dependencies]\ne = \"1\"\n";
        let found = reasons(&[source(REASONS, docs), source("z/Cargo.toml", manifest)]);
        let found: Vec<_> =
            found.iter().map(|(path, line, what)| (path.as_str(), *line, what.as_str())).collect();
        assert_eq!(
            found,
            [
                ("z/Cargo.toml", 7, "`c` has no row in docs/dependencies.md"),
                ("z/Cargo.toml", 11, "`e` has no row in docs/dependencies.md"),
                (REASONS, 4, "`gone` is no dependency"),
            ]
        );
    }

    #[test]
    fn a_licence_fits_if_one_may_choose_it() {
        let deny = "[advisories]\nallow = [\n \"X\"\n]\n\n[licenses]\nversion = 2\n# Some.\nallow = [\n    \"MIT\",\n    \"ISC\",\n]\n";
        let allowed = allowed(deny);
        assert_eq!(allowed, BTreeSet::from(["ISC", "MIT"]));
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "MIT AND ISC",
            "(GPL-2.0 OR ISC) AND MIT",
            "X AND Y OR MIT",
        ] {
            assert!(fits(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "MIT AND (GPL-2.0 OR X)",
            "MIT WITH exception",
            "MIT ISC",
            "(MIT",
            "MIT OR",
        ] {
            assert!(!fits(bad, &allowed), "{bad}");
        }
        let package = |name: &str, license: Option<&str>, source: Option<&str>| Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
        };
        let packages = vec![
            package("good", Some("MIT OR X"), Some(CRATES_IO)),
            package("bad", Some("GPL-3.0"), Some(CRATES_IO)),
            package("silent", None, Some(CRATES_IO)),
            package("ours", None, None),
        ];
        assert_eq!(
            refused(&Metadata { packages }, &allowed),
            ["bad 1.0.0 is under GPL-3.0", "silent 1.0.0 says nothing of its licence"]
        );
    }
}
