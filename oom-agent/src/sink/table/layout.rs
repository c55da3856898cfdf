//! How wide each column is.

use super::{Cell, Column, Fit, Row};
use crate::sink::{escape, path};

/// Ranks up to here are worth more than wide gaps.
const SQUEEZED: u8 = 2;

/// Widths of the columns that are shown (`None`: dropped), and the gap between them.
pub(super) struct Layout {
    pub(super) widths: Vec<Option<usize>>,
    pub(super) gap: usize,
}

impl Layout {
    /// Drops what is not worth its room, then gives what is left to those who can use it: text first, bars
    /// last.
    pub(super) fn new(columns: &[Column], rows: &[Row], width: usize) -> Self {
        let natural: Vec<usize> = (0..columns.len()).map(|at| natural(columns, rows, at)).collect();
        let pairs = columns.iter().zip(&natural);
        let least: Vec<usize> = pairs.map(|(column, &natural)| least(column, natural)).collect();
        let with_tails = claim_tails(&least, rows);
        let mut shown = vec![true; columns.len()];
        let mut gap = 2;
        while needed(&with_tails, &shown, gap) > width && drop_worst(columns, &mut shown, SQUEEZED + 1) {}
        if needed(&least, &shown, gap) > width {
            gap = 1;
        }
        while needed(&least, &shown, gap) > width && drop_worst(columns, &mut shown, 1) {}

        let mut spare = width.saturating_sub(needed(&least, &shown, gap));
        let mut widths: Vec<Option<usize>> =
            shown.iter().zip(&least).map(|(shown, least)| shown.then_some(*least)).collect();
        // Tails first: why somebody was exempt is worth more than the end of a long name.
        for (from, tail) in rows.iter().filter_map(|row| row.tail.as_ref()) {
            let room = widths
                .iter()
                .skip(*from)
                .flatten()
                .map(|width| width + gap)
                .sum::<usize>()
                .saturating_sub(gap);
            if let Some(Some(width)) = widths.get_mut(*from) {
                let grown = escape::width(tail).saturating_sub(room).min(spare);
                *width += grown;
                spare -= grown;
            }
        }
        for bars in [false, true] {
            for (at, column) in columns.iter().enumerate() {
                let Some(width) = &mut widths[at] else { continue };
                let most = *width + spare;
                let wanted = match column.fit {
                    Fit::Bar(_, most) if bars => most,
                    Fit::Bar(..) => continue,
                    // Shortened, it may need less than it could have.
                    Fit::Path(_) if natural[at] > most => shortened(rows, at, most),
                    Fit::Path(_) | Fit::Whole | Fit::Cut(_) | Fit::Wrap(_) => natural[at],
                };
                let grown = wanted.saturating_sub(*width).min(spare);
                *width += grown;
                spare -= grown;
            }
        }
        Self { widths, gap }
    }
}

/// Texts of a column, without those that a tail hides.
fn texts(rows: &[Row], at: usize) -> impl Iterator<Item = &str> {
    rows.iter().filter(move |row| row.tail.as_ref().is_none_or(|(from, _)| at < *from)).filter_map(
        move |row| match row.cells.get(at) {
            Some(Cell::Text(text)) => Some(text.as_str()),
            Some(Cell::Bar(..)) | None => None,
        },
    )
}

/// Columns that the widest text or the title takes.
fn natural(columns: &[Column], rows: &[Row], at: usize) -> usize {
    texts(rows, at).map(escape::width).max().unwrap_or(0).max(escape::width(columns[at].title))
}

/// Columns that the widest path takes once all are shortened to `most`.
fn shortened(rows: &[Row], at: usize, most: usize) -> usize {
    texts(rows, at).map(|text| escape::width(&path::shorten(text, most))).max().unwrap_or(0)
}

/// Columns that it must have.
fn least(column: &Column, natural: usize) -> usize {
    match column.fit {
        Fit::Whole => natural,
        Fit::Cut(least) | Fit::Path(least) | Fit::Wrap(least) => {
            natural.min(least.max(escape::width(column.title)))
        }
        Fit::Bar(least, _) => least,
    }
}

/// The same with room for the rows' tails.
fn claim_tails(least: &[usize], rows: &[Row]) -> Vec<usize> {
    let mut claimed = least.to_vec();
    for (from, tail) in rows.iter().filter_map(|row| row.tail.as_ref()) {
        let behind: usize = least.iter().skip(from + 1).map(|least| least + 2).sum();
        if let Some(claimed) = claimed.get_mut(*from) {
            *claimed = escape::width(tail).saturating_sub(behind).max(*claimed);
        }
    }
    claimed
}

fn needed(widths: &[usize], shown: &[bool], gap: usize) -> usize {
    let widths = widths.iter().zip(shown).filter(|(_, shown)| **shown);
    widths.map(|(width, _)| width + gap).sum::<usize>().saturating_sub(gap)
}

/// Drops the highest rank that is shown, if it is at least `from`.
fn drop_worst(columns: &[Column], shown: &mut [bool], from: u8) -> bool {
    let ranks = columns.iter().zip(shown.iter()).filter(|(_, shown)| **shown).map(|(column, _)| column.rank);
    let Some(worst) = ranks.max().filter(|worst| *worst >= from) else { return false };
    for (shown, column) in shown.iter_mut().zip(columns) {
        *shown &= column.rank < worst;
    }
    true
}
