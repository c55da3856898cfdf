//! Aligned columns that fit into a width. What does not fit is dropped by rank, then cut; nothing overflows.

use super::escape;
use super::path;
use super::text::{Line, Prose, Tone};

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// What a column does when there is less or more room than its text needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Never cut.
    Whole,
    /// May be cut at its end down to so many columns.
    Cut(usize),
    /// A cgroup path: may be shortened down to so many columns.
    Path(usize),
    /// Continues on the next lines if it has less room than it needs, but has at least so many columns. Last column only.
    Wrap(usize),
    /// A bar between so many and so many columns.
    Bar(usize, usize),
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Where its text stands.
    pub align: Align,
    /// How it gives way.
    pub fit: Fit,
    /// 0 is always shown; where there is too little room the highest goes first.
    pub rank: u8,
}

impl Column {
    /// Words, always shown whole.
    pub const fn left(title: &'static str) -> Self {
        Self { title, align: Align::Left, fit: Fit::Whole, rank: 0 }
    }

    /// Numbers, always shown whole.
    pub const fn right(title: &'static str) -> Self {
        Self { title, align: Align::Right, fit: Fit::Whole, rank: 0 }
    }

    /// The same with another way to give way.
    #[must_use]
    pub const fn fit(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// The same with a rank.
    #[must_use]
    pub const fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }
}

/// What stands in a column.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Escaped text.
    Text(String),
    /// A bar: parts with their character, and the value that fills the column.
    Bar([(u64, char); 2], u64),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// One cell a column; missing ones are empty.
    pub cells: Vec<Cell>,
    /// Tone of the whole row.
    pub tone: Tone,
    /// Escaped text that stands in place of this column and all that follow.
    pub tail: Option<(usize, String)>,
}

/// Columns and rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

/// Widths of the columns that are shown (`None`: dropped), and the gap between them.
struct Layout {
    widths: Vec<Option<usize>>,
    gap: usize,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a row of escaped text.
    pub fn row(&mut self, tone: Tone, cells: Vec<String>) {
        self.push(Row { cells: cells.into_iter().map(Cell::Text).collect(), tone, tail: None });
    }

    /// The heading and the rows in at most `width` columns.
    pub fn lines(&self, width: usize) -> Vec<Line> {
        let layout = self.layout(width);
        let titles = self.columns.iter().map(|column| Cell::Text(column.title.to_owned())).collect();
        let heading = Row { cells: titles, tone: Tone::Faint, tail: None };
        std::iter::once(&heading)
            .chain(&self.rows)
            .flat_map(|row| self.row_lines(row, &layout, width))
            .collect()
    }

    fn layout(&self, width: usize) -> Layout {
        let natural: Vec<usize> = (0..self.columns.len()).map(|at| self.natural(at)).collect();
        let least: Vec<usize> =
            self.columns.iter().zip(&natural).map(|(column, &natural)| least(column, natural)).collect();
        let mut shown = vec![true; self.columns.len()];
        let mut gap = 2;
        let needed = |shown: &[bool], gap: usize| {
            let sum: usize =
                least.iter().zip(shown).filter(|(_, shown)| **shown).map(|(least, _)| least + gap).sum();
            sum.saturating_sub(gap)
        };
        // Rank 1 is worth more than wide gaps, what ranks higher is not.
        while needed(&shown, gap) > width {
            let worst =
                (0..self.columns.len()).filter(|&at| shown[at]).max_by_key(|&at| self.columns[at].rank);
            match worst.map(|at| (at, self.columns[at].rank)) {
                Some((at, 2..)) => shown[at] = false,
                _ if gap > 1 => gap = 1,
                Some((at, 1)) => shown[at] = false,
                _ => break,
            }
        }
        let mut spare = width.saturating_sub(needed(&shown, gap));
        let mut widths: Vec<Option<usize>> =
            shown.iter().zip(&least).map(|(shown, least)| shown.then_some(*least)).collect();
        for bars in [false, true] {
            for (at, column) in self.columns.iter().enumerate() {
                let wanted = match column.fit {
                    Fit::Bar(_, most) => {
                        if bars {
                            most
                        } else {
                            continue;
                        }
                    }
                    _ => natural[at],
                };
                if let Some(width) = &mut widths[at] {
                    let grown = wanted.saturating_sub(*width).min(spare);
                    *width += grown;
                    spare -= grown;
                }
            }
        }
        Layout { widths, gap }
    }

    /// Columns that the widest cell or the title takes.
    fn natural(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter(|row| row.tail.as_ref().is_none_or(|(from, _)| at < *from));
        let widest = cells.filter_map(|row| match row.cells.get(at) {
            Some(Cell::Text(text)) => Some(escape::width(text)),
            Some(Cell::Bar(..)) | None => None,
        });
        widest.max().unwrap_or(0).max(escape::width(self.columns[at].title))
    }

    fn row_lines(&self, row: &Row, layout: &Layout, width: usize) -> Vec<Line> {
        let mut line = Line::default();
        let mut rest: Vec<Line> = Vec::new();
        let mut x = 0;
        for (at, column) in self.columns.iter().enumerate() {
            if let Some((from, text)) = &row.tail
                && *from <= at
            {
                line.pad(x);
                line.push(row.tone, escape::cut(text, width.saturating_sub(x)));
                return vec![line];
            }
            let Some(columns) = layout.widths[at] else { continue };
            if x >= width {
                break;
            }
            let columns = columns.min(width.saturating_sub(x));
            line.pad(x);
            match row.cells.get(at) {
                Some(Cell::Bar(parts, full)) => line.push(row.tone, bar(parts, *full, columns)),
                Some(Cell::Text(text)) => match column.fit {
                    Fit::Wrap(_) => {
                        let mut prose = Prose::new();
                        let mut lines = prose.say(row.tone, text).wrap(columns).into_iter();
                        line.append(lines.next().unwrap_or_default());
                        rest = lines.map(|more| indented(x, more)).collect();
                    }
                    Fit::Path(_) => line.push(row.tone, path::shorten(text, columns)),
                    Fit::Whole | Fit::Cut(_) | Fit::Bar(..) => {
                        let text = escape::cut(text, columns);
                        if column.align == Align::Right {
                            line.pad(x + columns - escape::width(&text));
                        }
                        line.push(row.tone, text);
                    }
                },
                None => {}
            }
            x += columns + layout.gap;
        }
        std::iter::once(line).chain(rest).collect()
    }
}

fn least(column: &Column, natural: usize) -> usize {
    match column.fit {
        Fit::Whole => natural,
        Fit::Cut(least) | Fit::Path(least) | Fit::Wrap(least) => {
            natural.min(least.max(escape::width(column.title)))
        }
        Fit::Bar(least, _) => least.max(escape::width(column.title)),
    }
}

/// A line that begins at column `x`.
fn indented(x: usize, line: Line) -> Line {
    let mut out = Line::default();
    out.pad(x);
    out.append(line);
    out
}

/// A bar of at most `columns`; any value above zero has at least one column.
fn bar(parts: &[(u64, char); 2], full: u64, columns: usize) -> String {
    let scale = |value: u64| {
        let share = u128::from(value) * columns as u128 * 2 / u128::from(full.max(1));
        (share.div_ceil(2) as usize).min(columns).max(usize::from(value > 0 && columns > 0))
    };
    let [(first, first_mark), (second, second_mark)] = *parts;
    let whole = scale(first.saturating_add(second));
    let head = scale(first).min(whole);
    let mut out = first_mark.to_string().repeat(head);
    out.extend(std::iter::repeat_n(second_mark, whole - head));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn table() -> Table {
        let mut table = Table::new(vec![
            Column::left("HOOK"),
            Column::right("COUNT"),
            Column::left("EXTRA").rank(2),
            Column::left("WHY NOT BETTER").fit(Fit::Wrap(12)),
        ]);
        table.row(
            Tone::Plain,
            vec!["out_of_memory".into(), "1,024".into(), "x".into(), "it works as it should".into()],
        );
        table.row(Tone::Plain, vec!["日本語".into(), "7".into(), "y".into(), String::new()]);
        table
    }

    fn check(width: usize, expected: &Expect) {
        let mut out = String::new();
        for line in table().lines(width) {
            assert!(line.width() <= width);
            line.write(&mut out, false);
        }
        expected.assert_eq(&out);
    }

    #[test]
    fn columns_align_also_with_wide_characters() {
        check(
            80,
            &expect![[r"
            HOOK           COUNT  EXTRA  WHY NOT BETTER
            out_of_memory  1,024  x      it works as it should
            日本語             7  y
        "]],
        );
    }

    #[test]
    fn ranked_columns_go_first_and_the_last_one_wraps() {
        check(
            38,
            &expect![[r"
            HOOK           COUNT  WHY NOT BETTER
            out_of_memory  1,024  it works as it
                                  should
            日本語             7
        "]],
        );
    }

    #[test]
    fn every_width_is_kept() {
        for width in 0..120 {
            for line in table().lines(width) {
                assert!(line.width() <= width, "{width}");
            }
        }
    }

    #[test]
    fn a_bar_shows_any_value_above_zero() {
        assert_eq!(bar(&[(1, '#'), (0, '+')], 1_000_000, 10), "#");
        assert_eq!(bar(&[(0, '#'), (0, '+')], 1_000_000, 10), "");
        assert_eq!(bar(&[(50, '#'), (50, '+')], 100, 10), "#####+++++");
        assert_eq!(bar(&[(u64::MAX, '#'), (u64::MAX, '+')], 100, 4), "####");
    }
}
