//! Untrusted text for a terminal: what a process or a cgroup is called must not move the cursor, forge a line
//! or hide.
//!
//! [`escape`] leaves only characters that are at least one column wide and stay where they are written. ASCII
//! controls become `\xNN`, all others `\u{NNNN}`. A backslash stays as it is: systemd's unit names are full
//! of `\x2d`.

use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar;

/// Whether a terminal would do something else with this character than show it in its place.
///
/// Controls (C0, DEL, C1), everything without width (format characters, bidi overrides and isolates, joiners,
/// combining marks that pile up on their neighbours), line and paragraph separators, spaces other than the
/// ASCII one, characters that look empty, and letters written from right to left: where the terminal knows
/// bidi they reorder the numbers beside them.
pub fn is_unsafe(c: char) -> bool {
    if matches!(c, ' '..='~') {
        return false;
    }
    c.is_control()
        || c.is_whitespace()
        || c.width().unwrap_or(0) == 0
        || looks_empty(c)
        || is_right_to_left(c)
}

/// Characters with a width and nothing to see: soft hyphen, Hangul fillers, Braille blank, object
/// replacement.
fn looks_empty(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{fff9}'..='\u{fffc}'
    )
}

/// Blocks whose letters have the bidi class R or AL.
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// `text` with everything unsafe written out.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if !is_unsafe(c) {
            out.push(c);
        } else if c.is_ascii() {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    Cow::Owned(out)
}

/// A command name, escaped, and in quotes if it could be mistaken for the text around it.
pub fn name(comm: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:+@#%~\\{}".contains(c);
    let escaped = escape(comm);
    if !escaped.is_empty() && escaped.chars().all(plain) {
        escaped.into_owned()
    } else {
        format!("\"{}\"", escaped.replace('"', "\\x22"))
    }
}

/// Columns that escaped text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Escaped text in at most `columns` columns: the end is cut and marked with `..`. Never cuts through an
/// escape.
pub fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (head, _) = split(text, columns.saturating_sub(2));
    Cow::Owned(format!("{head}{}", &".."[..columns.min(2)]))
}

/// Escaped text in at most `columns` columns: the middle is cut, its end stays.
pub fn cut_middle(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(2);
    let (head, rest) = split(text, room - room / 3);
    // Measured once: a name in a log may be as long as its line.
    let (mut tail, mut left) = (rest, width(rest));
    while left > room / 3 {
        let (first, others) = tail.split_at(token(tail));
        left -= width(first);
        tail = others;
    }
    Cow::Owned(format!("{head}{}{tail}", &".."[..columns.min(2)]))
}

/// The longest beginning of escaped text that fits into `columns` without cutting through an escape, and the
/// rest.
pub fn split(text: &str, columns: usize) -> (&str, &str) {
    let (mut at, mut used) = (0, 0);
    while at < text.len() {
        let length = token(&text[at..]);
        used += width(&text[at..at + length]);
        if used > columns {
            break;
        }
        at += length;
    }
    text.split_at(at)
}

/// Bytes of the first character or escape of `text`.
fn token(text: &str) -> usize {
    let bytes = text.as_bytes();
    if text.starts_with("\\x") && bytes.len() >= 4 && bytes[2..4].iter().all(u8::is_ascii_hexdigit) {
        return 4;
    }
    if text.starts_with("\\u{")
        && let Some(end) = bytes.iter().take(10).position(|&b| b == b'}')
    {
        return end + 1;
    }
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_are_left_alone() {
        for text in
            ["java", "kworker/0:1+events", "system-getty\\x2dtty1.slice", "größe", "日本語", "we ird)[1] 5"]
        {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn fifteen_bytes_of_escape_sequence_are_shown() {
        assert_eq!(escape("\x1b[2J\x1b[1;1Hroot"), "\\x1b[2J\\x1b[1;1Hroot");
        assert_eq!(escape("\x1b]0;pwned\x07\r\n\t\x08\0"), "\\x1b]0;pwned\\x07\\x0d\\x0a\\x09\\x08\\x00");
        assert_eq!(escape("\x7f\u{9b}31m\u{85}"), "\\x7f\\u{9b}31m\\u{85}");
    }

    #[test]
    fn right_to_left_overrides_isolates_and_letters_are_shown() {
        assert_eq!(escape("\u{202e}gpj.exe\u{2066}\u{2069}"), "\\u{202e}gpj.exe\\u{2066}\\u{2069}");
        assert_eq!(escape("\u{5e9}\u{5dc}1"), "\\u{5e9}\\u{5dc}1");
        assert_eq!(escape("\u{61c}\u{200f}\u{627}"), "\\u{61c}\\u{200f}\\u{627}");
    }

    #[test]
    fn what_hides_or_breaks_lines_is_shown() {
        assert_eq!(escape("a\u{200b}\u{200d}\u{feff}\u{2060}b"), "a\\u{200b}\\u{200d}\\u{feff}\\u{2060}b");
        assert_eq!(escape("a\u{2028}b\u{2029}c\u{a0}d\u{3000}"), "a\\u{2028}b\\u{2029}c\\u{a0}d\\u{3000}");
        assert_eq!(escape("\u{3164}\u{2800}\u{ad}"), "\\u{3164}\\u{2800}\\u{ad}");
        assert_eq!(escape("e\u{301}\u{300}\u{e0041}"), "e\\u{301}\\u{300}\\u{e0041}");
    }

    #[test]
    fn ambiguous_names_are_quoted() {
        assert_eq!(name("java"), "java");
        assert_eq!(name("we ird)[1] 5"), "\"we ird)[1] 5\"");
        assert_eq!(name(""), "\"\"");
        assert_eq!(name(" "), "\" \"");
        assert_eq!(name("(sd-pam)"), "\"(sd-pam)\"");
        assert_eq!(name("a\"[1], \"b"), "\"a\\x22[1], \\x22b\"");
    }

    #[test]
    fn cuts_count_columns_and_keep_escapes_whole() {
        assert_eq!(cut("日本語日本語", 7), "日本..");
        assert_eq!(cut("ab\\x1b\\x1b", 7), "ab..");
        assert_eq!(cut("ab\\x1b\\x1b", 8), "ab\\x1b..");
        assert_eq!(cut("ab\\u{202e}xyzwv", 10), "ab..");
        assert_eq!(cut("abc", 1), ".");
        assert_eq!(cut_middle("cri-containerd-0123456789.scope", 20), "cri-containe...scope");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in any::<String>()) {
            let escaped = escape(&text).into_owned();
            prop_assert!(!escaped.chars().any(is_unsafe));
            prop_assert_eq!(escape(&escaped), escaped.as_str());
        }

        #[test]
        fn cuts_fit(text in any::<String>(), columns in 0_usize..40) {
            let escaped = escape(&text);
            prop_assert!(width(&cut(&escaped, columns)) <= columns);
            prop_assert!(width(&cut_middle(&escaped, columns)) <= columns);
            let (head, rest) = split(&escaped, columns);
            prop_assert_eq!(format!("{head}{rest}"), escaped.into_owned());
        }
    }
}
