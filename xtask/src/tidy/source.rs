//! Rust text split into code and comments, so that a rule about code is not broken by a sentence about it.

/// A line of a Rust file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Code. The contents of literals are left out.
    pub(super) code: String,
    /// Comments, without the marks of block comments.
    pub(super) comment: String,
}

/// Where in the text we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    LineComment,
    /// Block comments nest.
    BlockComment(usize),
    Text,
    /// Ends with a quote and this many `#`.
    RawText(usize),
}

/// Splits a file. Knows as much of Rust's grammar as that takes and no more.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let mut lines = vec![Line::default()];
    let mut state = State::Code;
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let next = chars.get(at + 1).copied().unwrap_or('\n');
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if c == '\n' {
            if state == State::LineComment {
                state = State::Code;
            }
            lines.push(Line::default());
            at += 1;
            continue;
        }
        let mut step = 1;
        match state {
            State::Code if c == '/' && next == '/' => state = State::LineComment,
            State::Code if c == '/' && next == '*' => (state, step) = (State::BlockComment(1), 2),
            State::Code if c == '"' => {
                line.code.push('"');
                state = match raw_marks(&line.code) {
                    Some(marks) => State::RawText(marks),
                    None => State::Text,
                };
            }
            State::Code if c == '\'' => {
                line.code.push('\'');
                step = char_literal(&chars[at..]);
            }
            State::Code => line.code.push(c),
            State::BlockComment(depth) if c == '*' && next == '/' => {
                state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
                step = 2;
            }
            State::BlockComment(depth) if c == '/' && next == '*' => {
                (state, step) = (State::BlockComment(depth + 1), 2);
            }
            State::LineComment | State::BlockComment(_) => line.comment.push(c),
            // A backslash at the end of a line must leave the line's end to the branch above.
            State::Text if c == '\\' && next != '\n' => step = 2,
            State::Text if c == '"' => {
                line.code.push('"');
                state = State::Code;
            }
            State::RawText(marks)
                if c == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= marks =>
            {
                line.code.push('"');
                (state, step) = (State::Code, 1 + marks);
            }
            State::Text | State::RawText(_) => {}
        }
        at += step;
    }
    lines
}

/// `r##"`: 2. Not raw: `None`.
fn raw_marks(code: &str) -> Option<usize> {
    let before = code.strip_suffix('"')?;
    let prefix = before.trim_end_matches('#');
    let marks = before.len() - prefix.len();
    let word = prefix.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    matches!(word, "r" | "br" | "cr").then_some(marks)
}

/// The length of `'x'` or `'\n'`; 1 for the quote of a lifetime.
fn char_literal(chars: &[char]) -> usize {
    if chars.get(1) == Some(&'\\') {
        return chars.iter().skip(3).position(|c| *c == '\'').map_or(1, |end| end + 4);
    }
    if chars.get(2) == Some(&'\'') { 3 } else { 1 }
}

/// Whether `code` uses the identifier, as a whole word.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(part)
            && !code[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code.trim().to_owned()).collect()
    }

    #[test]
    fn comments_are_not_code() {
        let lines = lines("let a = 1; // unsafe\n/* a /* nested */ unsafe */ b");
        assert_eq!(lines[0], Line { code: "let a = 1; ".to_owned(), comment: "/ unsafe".to_owned() });
        assert_eq!((lines[1].code.as_str(), lines[1].comment.as_str()), (" b", " a  nested  unsafe "));
    }

    #[test]
    fn literals_are_not_code() {
        assert_eq!(code(r#"f("un\"safe", 'x', '"', '\'', b"y")"#), [r#"f("", ', ', ', b"")"#]);
        assert_eq!(code("r#\"a \" unsafe\n unsafe\"# + z"), ["r#\"", "\" + z"]);
        assert_eq!(code("\"a\\\n unsafe\" + z"), ["\"", "\" + z"]);
    }

    #[test]
    fn a_lifetime_opens_no_literal() {
        assert_eq!(code("fn f<'a>(x: &'a str) {} // 'q"), ["fn f<'a>(x: &'a str) {}"]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("use aya::Ebpf;", "aya"));
        assert!(!has_word("use aya_log::x; let payaya = 1;", "aya"));
    }
}
