//! What can be wrong with BTF.

use std::fmt;

/// Why BTF could not be read. Every place is a byte offset into the input.
#[derive(Debug)]
pub enum BtfError {
    /// The input ends early.
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it should have been.
        at: u64,
    },
    /// The input does not begin with BTF's magic.
    NotBtf {
        /// What it begins with.
        magic: u16,
    },
    /// BTF of a machine with the other byte order.
    ByteOrder,
    /// A BTF version other than 1.
    Version(u8),
    /// A type of a kind that this reader does not know, so what follows it cannot be found.
    UnknownKind {
        /// `BTF_KIND_*`.
        kind: u32,
        /// Where.
        at: u64,
    },
    /// It contradicts itself or is larger than any kernel's.
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: u64,
    },
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { what, at } => {
                write!(f, "reading BTF, {what}: the input is cut off, it has no byte {at}")
            }
            Self::NotBtf { magic } => {
                write!(f, "reading BTF: the input begins with {magic:#06x}, not with 0xeb9f")
            }
            Self::ByteOrder => write!(f, "reading BTF: it has the other byte order than this machine"),
            Self::Version(version) => write!(f, "reading BTF: version {version}, only 1 is known"),
            Self::UnknownKind { kind, at } => {
                write!(
                    f,
                    "reading BTF: the type at byte {at} has kind {kind}, which this agent does not know"
                )
            }
            Self::Malformed { what, at } => write!(f, "reading BTF: {what}, at byte {at}"),
        }
    }
}

impl std::error::Error for BtfError {}
