//! The one pass over the types: where each stands, and which of them have a wanted name.

use super::{
    BtfError,
    format::{Kind, MAX_TYPES, Sections, TYPE_LEN, Type, word},
    names::{NameId, Names},
    source::array,
};

/// More types with a wanted name than this are not a kernel's.
const MAX_ROOTS: usize = 4096;
const WHAT: &str = "the types";

/// A type with a wanted name.
pub(super) struct Root {
    pub(super) name: NameId,
    pub(super) kind: Kind,
    pub(super) id: u32,
}

/// What the pass leaves in memory, dropped after the answers are found.
pub(super) struct Index {
    /// Offsets of the types into the type section; type id 1 comes first.
    offsets: Vec<u32>,
    /// In the order of their ids.
    pub(super) roots: Vec<Root>,
    /// Enumerators with a wanted name in an `enum` without one.
    pub(super) loose: Vec<(NameId, i64)>,
}

impl Index {
    /// Goes through the type section from end to end.
    pub(super) fn read(input: &[u8], sections: &Sections, names: &Names<'_>) -> Result<Self, BtfError> {
        let mut index = Self { offsets: Vec::new(), roots: Vec::new(), loose: Vec::new() };
        // A type has 12 bytes at least, 26 on average.
        index.offsets.reserve(((sections.types_end - sections.types) / 24).min(MAX_TYPES as u64) as usize);
        let strings = sections.strings(input)?;
        let mut at = sections.types;
        while at < sections.types_end {
            let this = type_at(input, sections, at)?;
            if index.offsets.len() == MAX_TYPES {
                return Err(BtfError::Malformed { what: "there are more types than in any kernel", at });
            }
            index.offsets.push((at - sections.types) as u32);
            index.note(input, strings, names, &this)?;
            at += this.len();
        }
        Ok(index)
    }

    fn note(&mut self, input: &[u8], strings: &[u8], names: &Names<'_>, this: &Type) -> Result<(), BtfError> {
        match this.kind {
            Kind::Enum | Kind::Enum64 if this.name == 0 => {
                for number in 0..this.vlen {
                    let (name, value) = enumerator(input, this, number)?;
                    if let Some(name) = names.at(strings, name) {
                        self.loose.push((name, value));
                    }
                }
            }
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Typedef | Kind::Func => {
                if let Some(name) = names.at(strings, this.name) {
                    self.roots.push(Root { name, kind: this.kind, id: self.count() });
                }
            }
            _ => {}
        }
        if self.roots.len() > MAX_ROOTS || self.loose.len() > MAX_ROOTS {
            return Err(BtfError::Malformed { what: "too many types have the same names", at: this.at });
        }
        Ok(())
    }

    /// Number of types; as type id 0 is `void`, also the id of the last one.
    pub(super) fn count(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// The type with an id.
    pub(super) fn get(&self, input: &[u8], sections: &Sections, id: u32) -> Result<Type, BtfError> {
        let Some(slot) = id.checked_sub(1) else { return Ok(Type::VOID) };
        let Some(offset) = self.offsets.get(slot as usize) else {
            return Err(BtfError::Malformed {
                what: "a type is named that is not there",
                at: sections.types_end,
            });
        };
        type_at(input, sections, sections.types + u64::from(*offset))
    }
}

fn type_at(input: &[u8], sections: &Sections, at: u64) -> Result<Type, BtfError> {
    let this = Type::parse(&array::<{ TYPE_LEN as usize }>(input, at, WHAT)?, at)?;
    if at + this.len() > sections.types_end {
        return Err(BtfError::Malformed { what: "a type reaches beyond the type section", at });
    }
    Ok(this)
}

/// Name and value of an enumerator. `number` is below `this.vlen`.
pub(super) fn enumerator(input: &[u8], this: &Type, number: u32) -> Result<(u32, i64), BtfError> {
    let number = u64::from(number);
    if this.kind == Kind::Enum64 {
        let raw = array::<12>(input, this.trailer() + number * 12, WHAT)?;
        return Ok((word(&raw, 0), (u64::from(word(&raw, 8)) << 32 | u64::from(word(&raw, 4))) as i64));
    }
    let raw = array::<8>(input, this.trailer() + number * 8, WHAT)?;
    let value = word(&raw, 4);
    // Kernels before 6.0 do not flag signed ones: their negative values come out as large ones.
    let value = if this.flag { i64::from(value as i32) } else { i64::from(value) };
    Ok((word(&raw, 0), value))
}
