//! Answers: members, signatures, enumerators.

use super::{
    Arg, ArgKind, Bits, BtfError, Elem, Field, Func, Kind, Tracepoint,
    format::{Sections, Type, word},
    index::{Index, enumerator},
    names::{Names, stands},
    source::array,
};

const WHAT: &str = "a type's details";
/// Types and members looked at for all questions together. The agent needs a few thousand.
const BUDGET: u32 = 500_000;
/// Anonymous structs in each other, modifiers on each other.
const MAX_DEPTH: u32 = 32;

pub(super) struct Resolver<'a> {
    pub(super) input: &'a [u8],
    /// The string section of it.
    pub(super) strings: &'a [u8],
    pub(super) sections: Sections,
    pub(super) names: Names<'a>,
    pub(super) index: Index,
    pub(super) steps: u32,
}

/// A member on the way to a field: its place from the begin of the struct that was asked for.
struct Found {
    bit: u64,
    width: Option<u8>,
    type_id: u32,
}

impl Resolver<'_> {
    /// Every type of these kinds with this name.
    fn roots(&self, name: &str, kinds: &[Kind]) -> Vec<u32> {
        let Some(name) = self.names.id(name) else { return Vec::new() };
        let roots = self.index.roots.iter();
        roots.filter(|root| root.name == name && kinds.contains(&root.kind)).map(|root| root.id).collect()
    }

    fn get(&mut self, id: u32) -> Result<Type, BtfError> {
        self.step()?;
        self.index.get(self.input, &self.sections, id)
    }

    fn step(&mut self) -> Result<(), BtfError> {
        self.steps += 1;
        if self.steps > BUDGET {
            return Err(BtfError::Malformed { what: "its types are too entangled", at: self.sections.types });
        }
        Ok(())
    }

    fn too_deep<T>(this: &Type) -> Result<T, BtfError> {
        Err(BtfError::Malformed { what: "types nest too deep or in a circle", at: this.at })
    }

    /// The type under typedefs and modifiers.
    fn bare(&mut self, mut id: u32) -> Result<Type, BtfError> {
        for _ in 0..MAX_DEPTH {
            let this = self.get(id)?;
            match this.kind {
                Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag => {
                    id = this.target;
                }
                _ => return Ok(this),
            }
        }
        let this = self.get(id)?;
        Self::too_deep(&this)
    }

    /// Answers `struct.member|alias.member`; several types of that name are tried in their order.
    pub(super) fn field(&mut self, path: &str) -> Result<Option<Field>, BtfError> {
        let mut parts = path.split('.');
        let first = parts.next().unwrap_or_default();
        for alias in first.split('|') {
            for id in self.roots(alias, &[Kind::Struct, Kind::Union, Kind::Typedef]) {
                if let Some(found) = self.walk(id, parts.clone())? {
                    return self.describe(&found).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn walk<'p>(
        &mut self,
        root: u32,
        parts: impl Iterator<Item = &'p str>,
    ) -> Result<Option<Found>, BtfError> {
        let mut here = Found { bit: 0, width: None, type_id: root };
        for part in parts {
            let this = self.bare(here.type_id)?;
            let mut next = None;
            for alias in part.split('|') {
                next = self.member(&this, alias, here.bit, 0)?;
                if next.is_some() {
                    break;
                }
            }
            match next {
                Some(found) => here = found,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// A member of a struct or union, or of an anonymous one in it.
    fn member(&mut self, this: &Type, name: &str, base: u64, depth: u32) -> Result<Option<Found>, BtfError> {
        if !matches!(this.kind, Kind::Struct | Kind::Union) {
            return Ok(None);
        }
        if depth > MAX_DEPTH {
            return Self::too_deep(this);
        }
        for number in 0..this.vlen {
            self.step()?;
            let raw = array::<12>(self.input, this.trailer() + u64::from(number) * 12, WHAT)?;
            let [name_at, type_id, place] = [0, 4, 8].map(|at| word(&raw, at));
            let (bit, width) = if this.flag { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
            let bit = base + u64::from(bit);
            if name_at == 0 {
                let inner = self.bare(type_id)?;
                if let Some(found) = self.member(&inner, name, bit, depth + 1)? {
                    return Ok(Some(found));
                }
            } else if stands(self.strings, name_at, name) {
                let width = u8::try_from(width).ok().filter(|width| *width != 0);
                return Ok(Some(Found { bit, width, type_id }));
            }
        }
        Ok(None)
    }

    fn describe(&mut self, found: &Found) -> Result<Field, BtfError> {
        let bare = self.bare(found.type_id)?;
        let malformed = |what| BtfError::Malformed { what, at: bare.at };
        let mut bit = found.bit;
        let mut width = found.width;
        if bare.kind == Kind::Int && width.is_none() {
            // Before kind_flag, a bit field was an integer with fewer bits than its size has.
            let raw = word(&array::<4>(self.input, bare.trailer(), WHAT)?, 0);
            let bits = raw & 0xff;
            if bits != 0 && u64::from(bits) < u64::from(bare.target) * 8 && !bit_is_bool(&bare, raw) {
                bit += u64::from(raw >> 16 & 0xff);
                width = Some(bits as u8);
            }
        }
        if width.is_none() && !bit.is_multiple_of(8) {
            return Err(malformed("a member that is no bit field begins within a byte"));
        }
        let offset = u32::try_from(bit / 8).map_err(|_| malformed("a struct is larger than memory"))?;
        let elem = self.elem(&bare)?;
        Ok(Field {
            offset,
            bits: width.map(|width| Bits { shift: (bit % 8) as u8, width }),
            size: self.size(&bare, 0)?,
            elem,
            kind: bare.kind,
            type_name: self.spell(found.type_id, 0)?,
        })
    }

    fn array(&mut self, bare: &Type) -> Result<(u32, u32), BtfError> {
        let raw = array::<12>(self.input, bare.trailer(), WHAT)?;
        Ok((word(&raw, 0), word(&raw, 8)))
    }

    fn elem(&mut self, bare: &Type) -> Result<Option<Elem>, BtfError> {
        if bare.kind != Kind::Array {
            return Ok(None);
        }
        let (type_id, count) = self.array(bare)?;
        let elem = self.bare(type_id)?;
        Ok(self.size(&elem, 0)?.map(|size| Elem { size, count }))
    }

    /// `sizeof`; `None` for what has none.
    fn size(&mut self, bare: &Type, depth: u32) -> Result<Option<u32>, BtfError> {
        if depth > MAX_DEPTH {
            return Self::too_deep(bare);
        }
        Ok(match bare.kind {
            Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                Some(bare.target)
            }
            Kind::Ptr => Some(size_of::<usize>() as u32),
            Kind::Array => {
                let (type_id, count) = self.array(bare)?;
                let elem = self.bare(type_id)?;
                self.size(&elem, depth + 1)?.and_then(|size| size.checked_mul(count))
            }
            _ => None,
        })
    }

    /// A function by name.
    pub(super) fn func(&mut self, name: &str) -> Result<Option<Func>, BtfError> {
        let Some(id) = self.roots(name, &[Kind::Func]).first().copied() else { return Ok(None) };
        let func = self.get(id)?;
        let proto = self.bare(func.target)?;
        let returns = self.spell(proto.target, 0)?;
        Ok(self.args(&proto)?.map(|args| Func { id, args, returns }))
    }

    /// A tracepoint by name: `typedef void (*btf_trace_NAME)(void *, ...)`.
    pub(super) fn tracepoint(&mut self, typedef: &str) -> Result<Option<Tracepoint>, BtfError> {
        let Some(id) = self.roots(typedef, &[Kind::Typedef]).first().copied() else { return Ok(None) };
        let pointer = self.bare(id)?;
        if pointer.kind != Kind::Ptr {
            return Ok(None);
        }
        let proto = self.bare(pointer.target)?;
        Ok(self.args(&proto)?.map(|mut args| {
            // The first one is the probe's own data, which a BPF program does not get.
            args.drain(..args.len().min(1));
            Tracepoint { id, args }
        }))
    }

    fn args(&mut self, proto: &Type) -> Result<Option<Vec<Arg>>, BtfError> {
        /// A BPF program sees at most 12, and no kernel function that is asked for has more.
        const MAX_ARGS: u32 = 32;
        if proto.kind != Kind::FuncProto {
            return Ok(None);
        }
        let mut args = Vec::new();
        for number in 0..proto.vlen.min(MAX_ARGS) {
            let raw = array::<8>(self.input, proto.trailer() + u64::from(number) * 8, WHAT)?;
            let type_id = word(&raw, 4);
            let bare = self.bare(type_id)?;
            let kind = match bare.kind {
                Kind::Int | Kind::Enum | Kind::Enum64 => ArgKind::Int { size: bare.target },
                Kind::Ptr => ArgKind::Pointer,
                _ => ArgKind::Other,
            };
            args.push(Arg { kind, type_name: self.spell(type_id, 0)? });
        }
        Ok(Some(args))
    }

    /// Value of an enumerator; an `enum` without a name is asked for with an empty one.
    pub(super) fn enumerator(&mut self, enumeration: &str, name: &str) -> Result<Option<i64>, BtfError> {
        if enumeration.is_empty() {
            let Some(wanted) = self.names.id(name) else { return Ok(None) };
            return Ok(self.index.loose.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value));
        }
        for id in self.roots(enumeration, &[Kind::Enum, Kind::Enum64]) {
            let this = self.get(id)?;
            for number in 0..this.vlen {
                self.step()?;
                let (at, value) = enumerator(self.input, &this, number)?;
                if stands(self.strings, at, name) {
                    return Ok(Some(value));
                }
            }
        }
        Ok(None)
    }

    /// The type as C spells it, near enough to compare and to read.
    fn spell(&mut self, id: u32, depth: u32) -> Result<String, BtfError> {
        let this = self.get(id)?;
        if depth > MAX_DEPTH {
            return Self::too_deep(&this);
        }
        let prefix = match this.kind {
            Kind::Union => "union ",
            Kind::Fwd if this.flag => "union ",
            Kind::Struct | Kind::Fwd => "struct ",
            Kind::Enum | Kind::Enum64 => "enum ",
            Kind::Int | Kind::Float | Kind::Typedef => "",
            Kind::Const => return Ok(format!("const {}", self.spell(this.target, depth + 1)?)),
            Kind::Volatile => return Ok(format!("volatile {}", self.spell(this.target, depth + 1)?)),
            Kind::Restrict | Kind::TypeTag => return self.spell(this.target, depth + 1),
            Kind::Ptr => return Ok(format!("{} *", self.spell(this.target, depth + 1)?)),
            Kind::Array => {
                let (elem, count) = self.array(&this)?;
                return Ok(format!("{}[{count}]", self.spell(elem, depth + 1)?));
            }
            Kind::FuncProto => return Ok("fn(...)".to_owned()),
            Kind::Void | Kind::Func | Kind::Var | Kind::DataSec | Kind::DeclTag => {
                return Ok("void".to_owned());
            }
        };
        Ok(format!("{prefix}{}", self.string(this.name)?))
    }

    /// A type's name; one that is longer than any in a kernel is cut.
    fn string(&mut self, place: u32) -> Result<String, BtfError> {
        const LONGEST: usize = 128;
        if place == 0 {
            return Ok("{anon}".to_owned());
        }
        let rest = self.strings.get(place as usize..).unwrap_or_default();
        let length = rest.iter().take(LONGEST).position(|byte| *byte == 0);
        let Some(bytes) = rest.get(..length.unwrap_or(LONGEST)) else {
            let at = self.sections.strings_end;
            return Err(BtfError::Malformed { what: "a name reaches beyond the string section", at });
        };
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// `BTF_INT_BOOL` in the integer's encoding: some compilers give `_Bool` 1 bit of its 8.
fn bit_is_bool(bare: &Type, raw: u32) -> bool {
    raw >> 24 & 4 != 0 && bare.target == 1
}
