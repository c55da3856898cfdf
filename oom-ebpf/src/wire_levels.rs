//! How full the memory cgroups were: records of the bulk ring.

use crate::{Header, NAME_LEN};

/// Levels above a full cgroup that are told, itself included.
pub const LEVELS: usize = 12;
/// Children of a cgroup that are looked at.
pub const CHILDREN: usize = 128;

/// One memory cgroup: the full one, or one above it. Machine-wide: the root, for its children.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Level {
    /// [`crate::Kind::Level`].
    pub header: Header,
    /// Inode of the cgroup's directory, 0 if unknown.
    pub id: u64,
    /// `memory.current` in pages, or [`crate::UNKNOWN_U64`].
    pub usage_pages: u64,
    /// `memory.max` in pages, or [`crate::UNKNOWN_U64`].
    pub max_pages: u64,
    /// `memory.high` in pages, or [`crate::UNKNOWN_U64`].
    pub high_pages: u64,
    /// `memory.swap.current` in pages, or [`crate::UNKNOWN_U64`].
    pub swap_usage_pages: u64,
    /// `memory.swap.max` in pages, or [`crate::UNKNOWN_U64`].
    pub swap_max_pages: u64,
    /// 0: the full one, 1: its parent, and so on.
    pub depth: u32,
    /// 1: the root.
    pub root: u32,
    /// `memory.oom.group`, or [`crate::UNKNOWN_U32`].
    pub oom_group: u32,
    /// Children that were looked at, or [`crate::UNKNOWN_U32`] where they were not: above the full one.
    pub children: u32,
    /// Those of them that a [`Child`] was made for: they use memory or swap.
    pub children_sent: u32,
    /// Not 0: it has more than were looked at.
    pub children_rest: u32,
}

/// A child of the full cgroup (machine-wide: of the root) that uses memory or swap.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Child {
    /// [`crate::Kind::Child`].
    pub header: Header,
    /// Inode of the cgroup's directory, 0 if unknown.
    pub id: u64,
    /// `memory.current` in pages, or [`crate::UNKNOWN_U64`].
    pub usage_pages: u64,
    /// `memory.max` in pages, or [`crate::UNKNOWN_U64`].
    pub max_pages: u64,
    /// `memory.swap.current` in pages, or [`crate::UNKNOWN_U64`].
    pub swap_usage_pages: u64,
    /// Its own name, NUL-terminated. One of `NAME_LEN - 1` bytes may be cut.
    pub name: [u8; NAME_LEN],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_no_implicit_padding() {
        assert_eq!(size_of::<Level>(), 24 + 6 * 8 + 6 * 4);
        assert_eq!(size_of::<Child>(), 24 + 4 * 8 + NAME_LEN);
    }
}
