//! Debian's archive, read without touching the machine's package state.
//!
//! Kernels of other releases, and now and then a package of another release that fits what is installed, are
//! downloaded through an apt configuration of its own: own lists, own cache, no knowledge of installed packages. It
//! can only update its lists and download; nothing is ever installed through it.

mod archive;
mod mirror;
mod package;
pub(crate) mod root;
pub(crate) mod version;

pub(crate) use self::{archive::Archive, mirror::Mirror, package::Package};

/// The suites that are small (about 2 MB of lists together) and hold the newest kernel of nearly every series.
pub(crate) const SMALL_SUITES: &[&str] =
    &["bullseye-security", "bookworm-security", "trixie-security", "bookworm-backports", "trixie-backports"];

/// The full releases (about 10 MB of lists each): older point releases, and series that the small suites dropped.
pub(crate) const FULL_SUITES: &[&str] = &["bullseye", "bookworm", "trixie", "forky"];
