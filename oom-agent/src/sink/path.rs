//! Cgroup paths in little room.

use super::escape;

/// Hexadecimal digits of a container id that tools show.
const SHORT_ID: usize = 12;
/// Runs of at least so many digits are ids.
const LONG_ID: usize = 32;

/// A cgroup path, escaped, blanks too (as systemd writes them): it must not look like the columns beside it.
pub fn shown(path: &str) -> String {
    escape::escape(path).replace(' ', "\\x20")
}

/// An escaped cgroup path in at most `columns` columns. Container ids lose their ends first, then the middle
/// of the path goes, then its begin; the leaf stays as long as it fits.
pub fn shorten(path: &str, columns: usize) -> String {
    if escape::width(path) <= columns {
        return path.to_owned();
    }
    let short = shorten_ids(path);
    if escape::width(&short) <= columns {
        return short;
    }
    let absolute = short.starts_with('/');
    let parts: Vec<&str> = short.split('/').filter(|part| !part.is_empty()).collect();
    let [first, rest @ ..] = &parts[..] else { return escape::cut_middle(&short, columns).into_owned() };
    let begin = format!("{}{first}/...", if absolute { "/" } else { "" });
    for skipped in 1..rest.len() {
        let tail = rest[skipped..].join("/");
        for head in [begin.as_str(), "..."] {
            let candidate = format!("{head}/{tail}");
            if escape::width(&candidate) <= columns {
                return candidate;
            }
        }
    }
    let leaf = rest.last().unwrap_or(first);
    let dotted = format!(".../{leaf}");
    if escape::width(&dotted) <= columns && !rest.is_empty() {
        return dotted;
    }
    if columns < 30 {
        return escape::cut_middle(leaf, columns).into_owned();
    }
    let begin = if !rest.is_empty() {
        ".../"
    } else if absolute {
        "/"
    } else {
        ""
    };
    format!("{begin}{}", escape::cut_middle(leaf, columns - 4))
}

/// The last name of a path; `/` for the root.
pub fn leaf(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().filter(|leaf| !leaf.is_empty()).unwrap_or("/")
}

/// `path` as seen from `base`: `.` for itself, `./x` for what is below, whole for the rest.
pub fn relative(path: &str, base: Option<&str>) -> String {
    let Some(base) = base.map(|base| base.trim_end_matches('/')).filter(|base| !base.is_empty()) else {
        return path.to_owned();
    };
    match path.strip_prefix(base) {
        Some("" | "/") => ".".to_owned(),
        Some(below) if below.starts_with('/') => format!(".{below}"),
        _ => path.to_owned(),
    }
}

/// A path with `*` in place of container ids: what is another one each time that a container is made. As a glob it
/// matches all of them.
pub fn without_ids(path: &str) -> String {
    replace_ids(path, |_| "*".to_owned())
}

fn shorten_ids(path: &str) -> String {
    replace_ids(path, |id| format!("{}..", &id[..SHORT_ID]))
}

fn replace_ids(path: &str, with: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let run = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if run >= LONG_ID {
            out.push_str(&with(&rest[..run]));
            rest = &rest[run..];
        } else {
            let taken = run.max(c.len_utf8());
            out.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POD: &str = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3f21a0c4_8d1b_4c1e_9a55_0a1b2c3d4e5f.slice/\
        cri-containerd-9d1f0c3b5a7e8d6c4b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a697887766.scope";

    #[test]
    fn the_leaf_stays() {
        for (columns, expected) in [
            (300, POD),
            (
                170,
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3f21a0c4_8d1b_4c1e_9a55_0a1b2c3d4e5f.slice/\
                 cri-containerd-9d1f0c3b5a7e...scope",
            ),
            (
                130,
                "/kubepods.slice/.../kubepods-burstable-pod3f21a0c4_8d1b_4c1e_9a55_0a1b2c3d4e5f.slice/\
                 cri-containerd-9d1f0c3b5a7e...scope",
            ),
            (69, "/kubepods.slice/.../cri-containerd-9d1f0c3b5a7e...scope"),
            (40, ".../cri-containerd-9d1f0c3b5a7e...scope"),
            (20, "cri-containe...scope"),
        ] {
            assert_eq!(shorten(POD, columns), expected, "{columns}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_cgroup_that_was_full() {
        assert_eq!(relative("/p/c2", Some("/p")), "./c2");
        assert_eq!(relative("/p", Some("/p")), ".");
        assert_eq!(relative("/pc", Some("/p")), "/pc");
        assert_eq!(relative("/p/c2", None), "/p/c2");
        assert_eq!(relative("/p/c2", Some("/")), "/p/c2");
        assert_eq!(
            without_ids(POD),
            POD.replace("9d1f0c3b5a7e8d6c4b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a697887766", "*")
        );
        assert_eq!(leaf("/p/c2"), "c2");
        assert_eq!(leaf("/"), "/");
    }

    proptest! {
        #[test]
        fn shortened_paths_fit(path in "[/a-f0-9.é日\\\\x]{0,120}", columns in 0_usize..90) {
            prop_assert!(escape::width(&shorten(&path, columns)) <= columns);
        }
    }
}
