//! Line feeds that rsyslog wrote as `#012`.

use super::text::count_digits;
use std::borrow::Cow;

const ESCAPED: &str = "#012";

/// Undoes the escaping of line feeds where it is certain.
///
/// rsyslog does not escape `#` itself, so a name may hold the same text. The messages of the kernel's that have several
/// lines (`show_free_areas`, `mem_cgroup_print_oom_meminfo`) are made of counters only, with no name in them.
pub(super) fn unescape(message: Cow<'_, str>) -> Cow<'_, str> {
    // Most messages have no `#` at all.
    if !message.as_bytes().contains(&b'#')
        || !message.contains(ESCAPED)
        || !message.split(ESCAPED).all(is_counters)
    {
        return message;
    }
    Cow::Owned(message.replace(ESCAPED, "\n"))
}

/// ` slab_reclaimable:194 slab_unreclaimable:2095` or `anon_thp 46137344`.
fn is_counters(line: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_number = |text: &str| !text.is_empty() && count_digits(text.as_bytes()) == text.len();
    if let Some((name, value)) = line.split_once(' ')
        && is_name(name)
    {
        return is_number(value);
    }
    let is_counter = |word: &str| {
        let counter = word.split_once(':');
        counter.is_some_and(|(name, value)| {
            is_name(name) && is_number(value.strip_suffix("kB").unwrap_or(value))
        })
    };
    line.strip_prefix(' ').unwrap_or(line).split(' ').all(is_counter)
}
