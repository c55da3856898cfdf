//! `cargo xtask tidy`: the project's invariants that a program can check. ARCHITECTURE.md says why they are kept.
//!
//! Formatting and lints have their own tools; this is for what they do not see.

mod source;
mod supply;

use anyhow::{Context as _, Result};
use source::{Line, has_word};
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// Lines of a Rust file, at most.
const LONGEST: usize = 500;
/// Lines of the middle one of all Rust files, at most.
const MEDIAN: usize = 150;
/// Files that are tables: one row a line, nothing to understand at once.
const TABLES: &[&str] = &[];

/// What no module outside of some may import.
struct Border {
    /// Beginnings of paths that the rule is about.
    within: &'static [&'static str],
    /// Beginnings of paths that it is not about.
    except: &'static [&'static str],
    /// Words that must not be in the code. Tests may use them.
    words: &'static [&'static str],
    /// The invariant.
    why: &'static str,
}

const BORDERS: &[Border] = &[
    Border {
        within: &[
            "oom-agent/src/identity/path",
            "oom-agent/src/backoff",
            "oom-agent/src/identity/names",
            "oom-agent/src/identity/fill",
            "oom-agent/src/incident/",
            "oom-agent/src/kube/events/event",
            "oom-agent/src/kube/events/pace",
            "oom-agent/src/kube/failure",
            "oom-agent/src/kube/parts",
            "oom-agent/src/kube/pod",
            "oom-agent/src/kube/quantity",
            "oom-agent/src/kube/watch.rs",
            "oom-agent/src/kube/workload",
            "oom-agent/src/logs/",
            "oom-agent/src/otlp/answer",
            "oom-agent/src/otlp/messages",
            "oom-agent/src/otlp/record",
            "oom-agent/src/page/",
            "oom-agent/src/report/",
            "oom-agent/src/rank/answer",
            "oom-agent/src/rank/facts",
            "oom-agent/src/rank/ranking",
            "oom-agent/src/rank/what_if",
        ],
        except: &[],
        words: &[
            "tokio",
            "std::fs",
            "std::net",
            "std::process",
            "std::env",
            "SystemTime",
            "Instant",
            "rustix",
        ],
        why: "incident/, the pure parts of identity/, kube/ and otlp/, logs/, page/, report/ and what rank computes are pure: no file system, no network, no clock; time is an argument",
    },
    Border {
        within: &["oom-agent/src/"],
        except: &["oom-agent/src/kernel/"],
        words: &["aya", "aya_log", "aya_obj"],
        why: "only kernel/ knows aya",
    },
    Border {
        within: &["oom-agent/src/"],
        except: &["oom-agent/src/sink/metrics", "oom-agent/src/sink/prometheus"],
        words: &["prometheus", "prometheus_client"],
        why: "only the metrics sink knows prometheus",
    },
    Border {
        within: &["oom-agent/src/"],
        except: &["oom-agent/src/web/"],
        words: &["axum", "tiny_http"],
        why: "only web/ serves HTTP",
    },
    Border {
        within: &["oom-agent/src/"],
        except: &["oom-agent/src/web/", "oom-agent/src/kube/", "oom-agent/src/otlp/", "oom-agent/src/tls.rs"],
        words: &["hyper", "rustls", "tokio_rustls"],
        why: "only web/, kube/ and otlp/ know HTTP",
    },
    Border {
        within: &["oom-agent/src/"],
        except: &["oom-agent/src/page/"],
        words: &["maud"],
        why: "only page/ knows HTML",
    },
    Border {
        within: &["oom-agent/src/page/"],
        except: &["oom-agent/src/page/docs.rs"],
        words: &["PreEscaped"],
        why: "templates escape",
    },
    Border {
        within: &["oom-agent/src/"],
        except: &["oom-agent/src/store/"],
        words: &["rusqlite"],
        why: "only store/ knows SQLite",
    },
    Border {
        within: &["oom-ebpf/src/lib.rs"],
        except: &[],
        words: &["aya_ebpf", "aya_log_ebpf", "std"],
        why: "the wire contract depends on nothing",
    },
];

/// What is true on one machine only, and addresses that a machine's own configuration knows.
const NOT_OURS: &[&str] = &[
    "/work/",
    "/users/",
    "../shared/",
    "://deb.",
    "://ftp.",
    "://archive.",
    "://security.",
    "://snapshot.",
    "://index.crates.io",
    "://static.crates.io",
    "://10.",
    "://192.168.",
    // A text speaks of the project, not of how it came to be.
    "this session",
];

/// Which licences are allowed.
const DENY: &str = "deny.toml";

/// A file of the project.
#[derive(Debug)]
struct Source {
    /// From the root, with `/`.
    path: String,
    text: String,
}

/// A place where an invariant is not kept.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what } = self;
        if *line == 0 { write!(f, "{path}: {what}") } else { write!(f, "{path}:{line}: {what}") }
    }
}

/// Runs `cargo xtask tidy`.
pub(crate) fn main() -> Result<ExitCode> {
    let workspace = crate::process::workspace();
    let mut found = violations(&workspace)?;
    let deny = fs::read_to_string(workspace.join(DENY)).with_context(|| format!("cannot read {DENY}"))?;
    match supply::licences(&deny) {
        Ok(refused) => {
            found.extend(refused.into_iter().map(|what| Violation { path: DENY.to_owned(), line: 0, what }));
        }
        Err(error) => eprintln!("note: licences were not looked at: {error:#}"),
    }
    for violation in &found {
        eprintln!("{violation}");
    }
    eprintln!("tidy: {} violations", found.len());
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks the files below `root`.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn violations(root: &Path) -> Result<Vec<Violation>> {
    let mut sources = Vec::new();
    read(root, root, &mut sources)?;
    Ok(check(&sources))
}

/// Text files, without what is built and what git keeps.
fn read(root: &Path, dir: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let context = || format!("cannot read {}", dir.display());
    for entry in fs::read_dir(dir).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let kind = fs::symlink_metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // `.git` is a file in a linked worktree.
        if matches!(relative.rsplit('/').next(), Some("target" | ".git" | "node_modules")) {
            continue;
        }
        if kind.is_dir() {
            read(root, &path, sources)?;
        } else if kind.is_file() {
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            // What is not text has no rules here.
            if let Ok(text) = String::from_utf8(bytes) {
                sources.push(Source { path: relative, text });
            }
        }
    }
    Ok(())
}

fn check(sources: &[Source]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut lengths = Vec::new();
    for source in sources {
        let Source { path, text } = source;
        let mut report =
            |line, what: &str| found.push(Violation { path: path.clone(), line, what: what.to_owned() });
        ours(path, text, &mut report);
        match Path::new(path).file_name().and_then(|name| name.to_str()) {
            Some("Cargo.toml") => manifest(path, text, &mut report),
            Some("Cargo.lock") => supply::lock(text, &mut report),
            _ => {}
        }
        if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
            let lines = source::lines(text);
            borders(path, &lines, &mut report);
            attributes(&lines, &mut report);
            safety(&lines, &mut report);
            if !TABLES.contains(&path.as_str()) {
                length(text, &mut report);
                lengths.push(text.lines().count());
            }
        }
    }
    let reasons = supply::reasons(sources).into_iter();
    found.extend(reasons.map(|(path, line, what)| Violation { path, line, what }));
    lengths.sort_unstable();
    if let Some(median) = lengths.get(lengths.len() / 2)
        && *median > MEDIAN
    {
        let what =
            format!("half of the Rust files have {median} lines or more; at most {MEDIAN} are meant to");
        found.push(Violation { path: ".".to_owned(), line: 0, what });
    }
    found.sort();
    found
}

fn ours(path: &str, text: &str, report: &mut impl FnMut(usize, &str)) {
    // The list itself and its tests; the lock file's sources are cargo's.
    if path.starts_with("xtask/src/tidy") || path == "Cargo.lock" {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let line = line.to_lowercase();
        for word in NOT_OURS.iter().filter(|word| line.contains(**word)) {
            report(number + 1, &format!("\"{word}\" means nothing outside of one machine"));
        }
    }
}

/// The lines before the file's test module, which is its end.
fn without_tests(lines: &[Line]) -> &[Line] {
    let end = lines.windows(2).position(|pair| {
        pair[0].code.trim() == "#[cfg(test)]" && pair[1].code.trim_start().starts_with("mod ")
    });
    &lines[..end.unwrap_or(lines.len())]
}

fn borders(path: &str, lines: &[Line], report: &mut impl FnMut(usize, &str)) {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return;
    }
    for Border { within, except, words, why } in BORDERS {
        if !begins(within) || begins(except) {
            continue;
        }
        for (number, line) in without_tests(lines).iter().enumerate() {
            for word in words.iter().filter(|word| has_word(&line.code, word)) {
                report(number + 1, &format!("`{word}` here: {why}"));
            }
        }
    }
}

fn attributes(lines: &[Line], report: &mut impl FnMut(usize, &str)) {
    for (number, Line { code, .. }) in lines.iter().enumerate() {
        if code.contains("#[allow(") || code.contains("#![allow(") || code.contains(", allow(") {
            report(number + 1, "`allow`: write #[expect(lint, reason = \"...\")]");
        }
    }
}

/// Clippy checks this too, but not what is compiled for the kernel only.
fn safety(lines: &[Line], report: &mut impl FnMut(usize, &str)) {
    for (number, Line { code, .. }) in lines.iter().enumerate() {
        let opens = ["{", "impl"].iter().any(|what| {
            code.split_once("unsafe").is_some_and(|(before, after)| {
                has_word(code, "unsafe") && !before.ends_with('_') && after.trim_start().starts_with(what)
            })
        });
        if opens && !explained(lines, number) {
            report(number + 1, "`unsafe` without a SAFETY comment");
        }
    }
}

/// A SAFETY comment on the line, above its statement, or first in its block.
fn explained(lines: &[Line], at: usize) -> bool {
    let says = |line: &Line| line.comment.contains("SAFETY:");
    if says(&lines[at]) || lines.get(at + 1).is_some_and(says) {
        return true;
    }
    for line in lines[..at].iter().rev() {
        if says(line) {
            return true;
        }
        let code = line.code.trim();
        let ends_statement = code.ends_with([';', '{', '}']) || code.is_empty() && line.comment.is_empty();
        if ends_statement {
            return false;
        }
    }
    false
}

fn length(text: &str, report: &mut impl FnMut(usize, &str)) {
    let lines = text.lines().count();
    if lines > LONGEST {
        report(0, &format!("{lines} lines, at most {LONGEST}: cut it, or list it as a table"));
    }
}

/// aya-ebpf in the agent would replace libc's `memcpy` with its own; the wire contract stays free of dependencies.
fn manifest(path: &str, text: &str, report: &mut impl FnMut(usize, &str)) {
    let mut section = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let Some((name, _)) = line.split_once('=') else { continue };
        let name = name.trim().trim_matches('"').split('.').next().unwrap_or_default();
        let for_bpf = section == "[target.'cfg(target_arch = \"bpf\")'.dependencies]";
        let is_member = section.ends_with("dependencies]") && section != "[workspace.dependencies]";
        if is_member && matches!(name, "aya-ebpf" | "aya-log-ebpf") && !for_bpf {
            report(
                number + 1,
                &format!("`{name}` belongs under [target.'cfg(target_arch = \"bpf\")'.dependencies]"),
            );
        } else if is_member && path == "oom-ebpf/Cargo.toml" && !for_bpf {
            report(number + 1, &format!("`{name}`: the lib of oom-ebpf has no dependencies"));
        }
    }
}

#[cfg(test)]
mod tests;
