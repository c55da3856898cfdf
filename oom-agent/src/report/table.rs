//! The task table (`mm/oom_kill.c:dump_task`). Its header says which columns this kernel has.

use super::TaskRow;
use super::scan::id;
use crate::incident::model::Memory;

/// A column that this agent knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Uid,
    Tgid,
    TotalVm,
    Rss,
    RssAnon,
    RssFile,
    RssShmem,
    PgtablesBytes,
    /// `nr_ptes`, `nr_pmds`, `nr_puds` (up to 4.14): tables of a page each.
    Pgtables,
    Swapents,
    OomScoreAdj,
    Unknown,
}

/// The columns between the bracketed pid and the name, in the header's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns(Vec<Column>);

impl Columns {
    /// `[  pid  ]   uid  tgid total_vm      rss ... oom_score_adj name`.
    pub(super) fn from_header(message: &str) -> Option<Self> {
        let (pid, rest) = message.strip_prefix('[')?.split_once(']')?;
        let names = rest.strip_suffix(" name")?;
        if pid.trim() != "pid" {
            return None;
        }
        let columns: Vec<_> = names
            .split_ascii_whitespace()
            .map(|name| match name {
                "uid" => Column::Uid,
                "tgid" => Column::Tgid,
                "total_vm" => Column::TotalVm,
                "rss" => Column::Rss,
                "rss_anon" => Column::RssAnon,
                "rss_file" => Column::RssFile,
                "rss_shmem" => Column::RssShmem,
                "pgtables_bytes" => Column::PgtablesBytes,
                "nr_ptes" | "nr_pmds" | "nr_puds" => Column::Pgtables,
                "swapents" => Column::Swapents,
                "oom_score_adj" => Column::OomScoreAdj,
                _ => Column::Unknown,
            })
            .collect();
        let needed = [Column::Uid, Column::Tgid, Column::Rss, Column::OomScoreAdj];
        needed.iter().all(|column| columns.contains(column)).then_some(Self(columns))
    }

    /// A row below this header. The name is whatever follows the last column and one space: it may begin with spaces.
    pub(super) fn row(&self, message: &str, page_size: u64) -> Option<TaskRow> {
        let (pid, mut rest) = message.strip_prefix('[')?.split_once(']')?;
        let mut row = TaskRow { pid: id(pid.trim_start())?, ..TaskRow::default() };
        let mut rss = None;
        for column in &self.0 {
            let blanks = rest.bytes().position(|byte| byte != b' ').unwrap_or(rest.len());
            rest = &rest[blanks..];
            let (word, after) =
                rest.split_at(rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len()));
            rest = after;
            let unsigned = || word.parse::<u64>().ok();
            let pages = || unsigned().and_then(|pages| pages.checked_mul(page_size));
            match column {
                Column::Uid => row.uid = id(word)?,
                Column::Tgid => row.tgid = id(word)?,
                Column::TotalVm => row.memory.total_vm_bytes = Some(pages()?),
                Column::Rss => rss = Some(pages()?),
                Column::RssAnon => row.memory.anon_bytes = Some(pages()?),
                Column::RssFile => row.memory.file_bytes = Some(pages()?),
                Column::RssShmem => row.memory.shmem_bytes = Some(pages()?),
                Column::PgtablesBytes => row.memory.pgtables_bytes = Some(unsigned()?),
                Column::Pgtables => {
                    let sum = row.memory.pgtables_bytes.unwrap_or(0).checked_add(pages()?);
                    row.memory.pgtables_bytes = Some(sum?);
                }
                Column::Swapents => row.memory.swap_bytes = Some(pages()?),
                Column::OomScoreAdj => row.oom_score_adj = word.parse().ok()?,
                Column::Unknown => _ = word.parse::<i64>().ok()?,
            }
        }
        let Memory { anon_bytes, file_bytes, shmem_bytes, .. } = row.memory;
        let split = anon_bytes.is_some() && file_bytes.is_some() && shmem_bytes.is_some();
        row.memory.rss_bytes = if split { None } else { rss };
        let comm = rest.strip_prefix(' ').unwrap_or(rest).to_owned();
        Some(TaskRow { comm, ..row })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name";
    const NEW: &str = "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents \
                       oom_score_adj name";

    #[test]
    fn the_sum_is_kept_where_only_the_sum_is_known() {
        let row = "[    104]     0   105     2808     2722    57344        3          -500 hog";
        let row = Columns::from_header(OLD).unwrap().row(row, 4096).unwrap();
        let memory = Memory {
            rss_bytes: Some(2722 * 4096),
            swap_bytes: Some(3 * 4096),
            pgtables_bytes: Some(57344),
            total_vm_bytes: Some(2808 * 4096),
            ..Memory::default()
        };
        let expected =
            TaskRow { pid: 104, tgid: 105, uid: 0, memory, oom_score_adj: -500, comm: "hog".into() };
        assert_eq!(row, expected);
    }

    #[test]
    fn newer_kernels_tell_the_parts() {
        let row = "[    121]  1000   121     2298     2224     2061        1       162    53248        0 \
                   -1000 we ird)[1] 5";
        let row = Columns::from_header(NEW).unwrap().row(row, 4096).unwrap();
        let memory = Memory {
            anon_bytes: Some(2061 * 4096),
            file_bytes: Some(4096),
            shmem_bytes: Some(162 * 4096),
            rss_bytes: None,
            swap_bytes: Some(0),
            pgtables_bytes: Some(53248),
            total_vm_bytes: Some(2298 * 4096),
        };
        let expected = TaskRow {
            pid: 121,
            tgid: 121,
            uid: 1000,
            memory,
            oom_score_adj: -1000,
            comm: "we ird)[1] 5".into(),
        };
        assert_eq!(row, expected);
    }

    #[test]
    fn a_name_is_the_rest_of_the_line() {
        let columns = Columns::from_header(OLD).unwrap();
        for comm in ["", " ", "  a ", "7 8 9", "[1] 2 3", "a\nb"] {
            let row = columns.row(&format!("[1] 0 2 3 4 5 6 -7 {comm}"), 4096).unwrap();
            assert_eq!((row.comm.as_str(), row.oom_score_adj), (comm, -7));
        }
    }

    /// `dump_tasks` of 3.10, of 4.4, and of 4.14 (with five levels of page tables).
    #[test]
    fn older_kernels_count_page_tables() {
        for (header, row, tables) in [
            (
                "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name",
                "[  9]  0  9  20  10  3  1  0 sh",
                3,
            ),
            (
                "[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name",
                "[  9]  0  9  20  10  3  2  1  0 sh",
                5,
            ),
            (
                "[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds nr_puds swapents oom_score_adj name",
                "[  9]  0  9  20  10  3  2  1  1  0 sh",
                6,
            ),
        ] {
            let memory = Columns::from_header(header).unwrap().row(row, 4096).unwrap().memory;
            assert_eq!((memory.swap_bytes, memory.pgtables_bytes), (Some(4096), Some(tables * 4096)));
        }
    }

    #[test]
    fn columns_of_other_kernels_are_passed_over() {
        let header = "[ pid ]   uid  tgid total_vm      rss cpu oom_adj oom_score_adj name";
        let row =
            Columns::from_header(header).unwrap().row("[  9]  0  9  20  10  3 -17  -5 sh", 65_536).unwrap();
        assert_eq!((row.memory.rss_bytes, row.oom_score_adj, row.comm.as_str()), (Some(655_360), -5, "sh"));
    }

    #[test]
    fn other_lines_are_neither_header_nor_row() {
        let columns = Columns::from_header(OLD).unwrap();
        for line in ["", "[", "[x] 1", "[1] 0 2 3 4 5 6", "[1] 0 2 3 4 x 6 7 a", "[  pid  ] a name"] {
            assert_eq!(columns.row(line, 4096), None, "{line}");
            assert_eq!(Columns::from_header(line), None, "{line}");
        }
    }
}
