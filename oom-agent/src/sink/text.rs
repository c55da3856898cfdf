//! Lines of toned text and prose that wraps. Everything that goes in is escaped already.

use super::escape;

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    #[default]
    Plain,
    /// The headline: bold.
    Strong,
    /// A victim: bold red.
    Alarm,
    /// An exempt process, evidence: dim.
    Faint,
}

impl Tone {
    /// The SGR sequence that switches it on.
    fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Alarm => "\x1b[1;31m",
            Self::Faint => "\x1b[2m",
        }
    }
}

/// Text in one tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What is shown.
    pub text: String,
    /// How.
    pub tone: Tone,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    spans: Vec<Span>,
    /// Its columns: prose asks for them at each word.
    width: usize,
}

impl Line {
    /// A line of one span.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        let mut line = Self::default();
        line.push(tone, text);
        line
    }

    /// Appends.
    pub fn push(&mut self, tone: Tone, text: impl Into<String>) {
        let text = text.into();
        self.width += escape::width(&text);
        match self.spans.last_mut() {
            Some(last) if last.tone == tone => last.text.push_str(&text),
            _ => self.spans.push(Span { text, tone }),
        }
    }

    /// Appends blanks up to `column`.
    pub fn pad(&mut self, column: usize) {
        let blanks = column.saturating_sub(self.width());
        if blanks > 0 {
            self.push(Tone::Plain, " ".repeat(blanks));
        }
    }

    /// What it is made of.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Columns.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Appends all of another line.
    pub fn append(&mut self, other: Self) {
        for span in other.spans {
            self.push(span.tone, span.text);
        }
    }

    /// Writes it with a line feed, without blanks at its end.
    pub fn write(&self, out: &mut String, color: bool) {
        let blank = |span: &Span| span.text.bytes().all(|b| b == b' ');
        let end = self.spans.iter().rposition(|span| !blank(span)).map_or(0, |at| at + 1);
        for (index, span) in self.spans[..end].iter().enumerate() {
            let text = if index + 1 == end { span.text.trim_end_matches(' ') } else { &span.text };
            if color && span.tone != Tone::Plain {
                out.push_str(span.tone.sgr());
                out.push_str(text);
                out.push_str("\x1b[0m");
            } else {
                out.push_str(text);
            }
        }
        out.push('\n');
    }
}

/// Sentences that wrap at blanks.
#[derive(Clone, Debug, Default)]
pub struct Prose {
    words: Vec<Line>,
}

impl Prose {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends text that may break at its blanks. Without a blank at its begin it is glued to what came
    /// before.
    pub fn say(&mut self, tone: Tone, text: &str) -> &mut Self {
        for (index, word) in text.split(' ').enumerate() {
            if index > 0 && self.words.last().is_none_or(|last| last.width() > 0) {
                self.words.push(Line::default());
            }
            if !word.is_empty() {
                self.atom(tone, word);
            }
        }
        self
    }

    /// Appends text that does not break at its blanks: a name.
    pub fn atom(&mut self, tone: Tone, text: &str) -> &mut Self {
        match self.words.last_mut() {
            Some(last) => last.push(tone, text),
            None => self.words.push(Line::new(tone, text)),
        }
        self
    }

    /// Lines of at most `width` columns.
    pub fn wrap(&self, width: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = Line::default();
        for word in &self.words {
            let length = word.width();
            if length == 0 {
                continue;
            }
            if line.width() > 0 && line.width() + 1 + length > width {
                lines.push(std::mem::take(&mut line));
            }
            if line.width() > 0 {
                let tone = shared_tone(&line, word);
                line.push(tone, " ");
            }
            if length <= width {
                line.append(word.clone());
            } else {
                break_word(word, width, &mut line, &mut lines);
            }
        }
        if line.width() > 0 {
            lines.push(line);
        }
        lines
    }
}

/// The tone of a blank between two words: theirs, if they agree, so that a bold sentence is one span.
fn shared_tone(before: &Line, after: &Line) -> Tone {
    match (before.spans.last(), after.spans.first()) {
        (Some(a), Some(b)) if a.tone == b.tone => a.tone,
        _ => Tone::Plain,
    }
}

/// Breaks a word that is wider than a line.
fn break_word(word: &Line, width: usize, line: &mut Line, lines: &mut Vec<Line>) {
    for span in &word.spans {
        let mut rest = span.text.as_str();
        while !rest.is_empty() {
            let (head, tail) = escape::split(rest, width.saturating_sub(line.width()));
            if head.is_empty() && line.width() == 0 {
                // Not even one character fits: a width that nothing can be written in.
                return;
            }
            line.push(span.tone, head);
            rest = tail;
            if !rest.is_empty() {
                lines.push(std::mem::take(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.spans().iter().map(|span| span.text.as_str()).collect()).collect()
    }

    #[test]
    fn prose_wraps_at_blanks_but_not_inside_names() {
        let mut prose = Prose::new();
        prose
            .atom(Tone::Alarm, "\"a b c\"[12]")
            .say(Tone::Strong, " was killed, since")
            .say(Tone::Plain, " so.");
        assert_eq!(plain(&prose.wrap(16)), ["\"a b c\"[12] was", "killed, since", "so."]);
        assert_eq!(plain(&prose.wrap(6)), ["\"a b c", "\"[12]", "was", "killed", ",", "since", "so."]);
    }

    #[test]
    fn colour_is_switched_off_again_on_every_span() {
        let mut prose = Prose::new();
        prose.atom(Tone::Alarm, "java[1]").say(Tone::Strong, " was killed.");
        let mut out = String::new();
        prose.wrap(80)[0].write(&mut out, true);
        assert_eq!(out, "\x1b[1;31mjava[1]\x1b[0m \x1b[1mwas killed.\x1b[0m\n");
    }
}
