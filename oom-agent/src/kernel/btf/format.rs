//! The format: header, types and what follows them (`include/uapi/linux/btf.h`).

use super::BtfError;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// Bytes of the header's part that every version of the format has.
pub(super) const HEADER_LEN: usize = 24;
/// Bytes of `struct btf_type`.
pub(super) const TYPE_LEN: u64 = 12;
/// `BTF_MAX_TYPE`: the kernel itself has no more types than this.
pub(super) const MAX_TYPES: usize = 0x000f_ffff;
/// `BTF_MAX_NAME_OFFSET`: the kernel's string section is no longer than this.
const MAX_STRINGS: u32 = 0x00ff_ffff;

/// `BTF_KIND_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Type id 0.
    Void,
    /// Integer, `char` or `bool`.
    Int,
    /// Pointer.
    Ptr,
    /// Array.
    Array,
    /// `struct`.
    Struct,
    /// `union`.
    Union,
    /// `enum` with 32-bit values.
    Enum,
    /// Forward declaration.
    Fwd,
    /// `typedef`.
    Typedef,
    /// `volatile`.
    Volatile,
    /// `const`.
    Const,
    /// `restrict`.
    Restrict,
    /// Function.
    Func,
    /// Signature of a function.
    FuncProto,
    /// Variable.
    Var,
    /// Section of variables.
    DataSec,
    /// Floating point number.
    Float,
    /// Tag on a declaration.
    DeclTag,
    /// Tag on a type, e.g. `__user`.
    TypeTag,
    /// `enum` with 64-bit values.
    Enum64,
}

impl Kind {
    fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::DataSec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            _ => return None,
        })
    }

    /// Bytes of each of the `vlen` items that follow the type, and of what follows once.
    const fn trailer(self) -> (u64, u64) {
        match self {
            Self::Int | Self::Var | Self::DeclTag => (0, 4),
            Self::Array => (0, 12),
            Self::Struct | Self::Union | Self::DataSec | Self::Enum64 => (12, 0),
            Self::Enum | Self::FuncProto => (8, 0),
            Self::Void
            | Self::Ptr
            | Self::Fwd
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Func
            | Self::Float
            | Self::TypeTag => (0, 0),
        }
    }
}

/// Where the sections lie, as offsets into the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sections {
    /// First byte of the types.
    pub(super) types: u64,
    /// First byte after them.
    pub(super) types_end: u64,
    /// First byte of the strings.
    pub(super) strings: u64,
    /// First byte after them.
    pub(super) strings_end: u64,
}

impl Sections {
    pub(super) fn parse(header: &[u8; HEADER_LEN]) -> Result<Self, BtfError> {
        let magic = u16::from_ne_bytes([header[0], header[1]]);
        if magic == MAGIC.swap_bytes() {
            return Err(BtfError::ByteOrder);
        }
        if magic != MAGIC {
            return Err(BtfError::NotBtf { magic });
        }
        if header[2] != 1 {
            return Err(BtfError::Version(header[2]));
        }
        let [header_len, type_off, type_len, str_off, str_len] =
            [4, 8, 12, 16, 20].map(|at| word(header, at));
        if (header_len as usize) < HEADER_LEN {
            return Err(BtfError::Malformed {
                what: "the header says that it is shorter than a header",
                at: 4,
            });
        }
        if str_len > MAX_STRINGS {
            return Err(BtfError::Malformed {
                what: "the string section is larger than any kernel's",
                at: 20,
            });
        }
        let types = u64::from(header_len) + u64::from(type_off);
        let strings = u64::from(header_len) + u64::from(str_off);
        Ok(Self {
            types,
            types_end: types + u64::from(type_len),
            strings,
            strings_end: strings + u64::from(str_len),
        })
    }

    /// The string section, where the input has all of it and of the types.
    pub(super) fn strings<'a>(&self, input: &'a [u8]) -> Result<&'a [u8], BtfError> {
        for (what, end) in [("the types", self.types_end), ("the strings", self.strings_end)] {
            if end > input.len() as u64 {
                return Err(BtfError::Truncated { what, at: input.len() as u64 });
            }
        }
        Ok(input.get(self.strings as usize..self.strings_end as usize).unwrap_or_default())
    }
}

/// `struct btf_type`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    /// Where it stands in the input.
    pub(super) at: u64,
    /// Name, as offset into the string section.
    pub(super) name: u32,
    pub(super) kind: Kind,
    /// Number of members, enumerators or parameters.
    pub(super) vlen: u32,
    /// `kind_flag`: members of a struct are bit fields, an enum is signed, a forward declaration is a union's.
    pub(super) flag: bool,
    /// The id of the type that it refers to, or its own size in bytes, depending on the kind.
    pub(super) target: u32,
}

impl Type {
    /// Type id 0.
    pub(super) const VOID: Self = Self { at: 0, name: 0, kind: Kind::Void, vlen: 0, flag: false, target: 0 };

    pub(super) fn parse(bytes: &[u8; TYPE_LEN as usize], at: u64) -> Result<Self, BtfError> {
        let info = word(bytes, 4);
        // The bits above vlen and kind are reserved and zero, so a wider reading is the same on today's kernels and
        // does not take a longer struct for a short one where they get a meaning.
        let raw = info >> 24 & 0x7f;
        let kind = Kind::from_raw(raw).ok_or(BtfError::UnknownKind { kind: raw, at })?;
        Ok(Self {
            at,
            name: word(bytes, 0),
            kind,
            vlen: info & 0x00ff_ffff,
            flag: info >> 31 == 1,
            target: word(bytes, 8),
        })
    }

    /// Where what follows the type begins.
    pub(super) const fn trailer(&self) -> u64 {
        self.at + TYPE_LEN
    }

    /// Bytes of the type with all that follows.
    pub(super) fn len(&self) -> u64 {
        let (each, once) = self.kind.trailer();
        TYPE_LEN + each * u64::from(self.vlen) + once
    }
}

/// The `u32` at a place in a slice that is long enough (callers pass arrays of fixed length).
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
