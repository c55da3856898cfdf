//! Makes the fixtures: BTF in, BTF out with only what [`super::fixtures::WANTED`] needs. See `testdata/README.md`.

use super::{
    Kind,
    fixtures::WANTED,
    format::{HEADER_LEN, Sections, TYPE_LEN, Type, word},
};
use std::collections::{BTreeMap, BTreeSet};

struct Input<'a> {
    bytes: &'a [u8],
    sections: Sections,
    /// By id.
    types: Vec<Type>,
}

impl<'a> Input<'a> {
    fn parse(bytes: &'a [u8]) -> Self {
        let sections = Sections::parse(bytes[..HEADER_LEN].try_into().unwrap()).unwrap();
        let mut types = vec![Type::VOID];
        let mut at = sections.types;
        while at < sections.types_end {
            let raw = &bytes[at as usize..][..TYPE_LEN as usize];
            let this = Type::parse(raw.try_into().unwrap(), at).unwrap();
            types.push(this);
            at += this.len();
        }
        Self { bytes, sections, types }
    }

    fn name(&self, place: u32) -> &'a str {
        let bytes = &self.bytes[self.sections.strings as usize + place as usize..];
        str::from_utf8(bytes.split(|byte| *byte == 0).next().unwrap()).unwrap()
    }

    /// What follows a type, as words.
    fn trailer(&self, this: &Type) -> Vec<u32> {
        let bytes = &self.bytes[this.trailer() as usize..(this.at + this.len()) as usize];
        (0..bytes.len()).step_by(4).map(|at| word(bytes, at)).collect()
    }

    /// Types whose members, enumerators or parameters are kept.
    fn whole(&self) -> BTreeSet<u32> {
        let structs: BTreeSet<_> =
            WANTED.fields.iter().flat_map(|path| path.split('.').next().unwrap().split('|')).collect();
        let funcs: BTreeSet<_> = WANTED.funcs.iter().copied().collect();
        let typedefs: BTreeSet<_> =
            WANTED.tracepoints.iter().map(|name| format!("btf_trace_{name}")).collect();
        let mut todo = Vec::new();
        for (id, this) in self.types.iter().enumerate() {
            let name = self.name(this.name);
            let wanted = match this.kind {
                Kind::Struct | Kind::Union => structs.contains(name),
                Kind::Func => funcs.contains(name),
                Kind::Typedef => typedefs.contains(name),
                Kind::Enum | Kind::Enum64 => WANTED.enums.iter().any(|(enumeration, enumerator)| {
                    let each = if this.kind == Kind::Enum { 2 } else { 3 };
                    name == *enumeration
                        && self.trailer(this).chunks(each).any(|item| self.name(item[0]) == *enumerator)
                }),
                _ => false,
            };
            if wanted {
                todo.push(id as u32);
            }
        }
        let mut whole = BTreeSet::new();
        while let Some(id) = todo.pop() {
            if id == 0 || !whole.insert(id) {
                continue;
            }
            let this = &self.types[id as usize];
            match this.kind {
                Kind::Struct | Kind::Union => {
                    todo.extend(
                        self.trailer(this).chunks(3).filter(|member| member[0] == 0).map(|member| member[1]),
                    );
                }
                // From the typedef of a tracepoint through the pointer to the signature.
                Kind::Typedef | Kind::Ptr if self.leads_to_proto(this) => todo.push(this.target),
                Kind::Func | Kind::Const | Kind::Volatile => todo.push(this.target),
                _ => {}
            }
        }
        whole
    }

    fn leads_to_proto(&self, this: &Type) -> bool {
        let target = &self.types[this.target as usize];
        target.kind == Kind::FuncProto || (this.kind == Kind::Typedef && target.kind == Kind::Ptr)
    }

    /// What is left of a type: its `vlen`, what follows it, and the places in that which are type ids.
    fn cut(&self, id: u32, whole: &BTreeSet<u32>) -> (u32, Vec<u32>, Vec<usize>) {
        let this = &self.types[id as usize];
        let words = self.trailer(this);
        match this.kind {
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::FuncProto
                if !whole.contains(&id) =>
            {
                (0, Vec::new(), Vec::new())
            }
            Kind::Struct | Kind::Union => {
                let ids = (0..this.vlen as usize).map(|number| number * 3 + 1).collect();
                (this.vlen, words, ids)
            }
            Kind::FuncProto => {
                let ids = (0..this.vlen as usize).map(|number| number * 2 + 1).collect();
                (this.vlen, words, ids)
            }
            Kind::Array => (0, words, vec![0, 1]),
            _ => (this.vlen, words, Vec::new()),
        }
    }
}

const fn refers(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Ptr
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::FuncProto
            | Kind::TypeTag
    )
}

/// Names of what follows a type stand at every so many words.
const fn name_stride(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Struct | Kind::Union | Kind::Enum64 => Some(3),
        Kind::Enum | Kind::FuncProto => Some(2),
        _ => None,
    }
}

fn minimise(bytes: &[u8]) -> Vec<u8> {
    let input = Input::parse(bytes);
    let whole = input.whole();

    let mut kept = BTreeSet::new();
    let mut todo: Vec<u32> = whole.iter().copied().collect();
    while let Some(id) = todo.pop() {
        if id == 0 || !kept.insert(id) {
            continue;
        }
        let this = &input.types[id as usize];
        let (_, words, ids) = input.cut(id, &whole);
        todo.extend(ids.iter().map(|place| words[*place]));
        let is_cut_proto = this.kind == Kind::FuncProto && !whole.contains(&id);
        if refers(this.kind) && !is_cut_proto {
            todo.push(this.target);
        }
    }

    // The order stays, so that of two types with one name the same comes first.
    let mut ids: BTreeMap<u32, u32> = kept.iter().zip(1..).map(|(old, new)| (*old, new)).collect();
    ids.insert(0, 0);
    let mut strings = Strings::default();
    let mut types: Vec<u32> = Vec::new();
    for id in &kept {
        let this = &input.types[*id as usize];
        let (vlen, mut words, places) = input.cut(*id, &whole);
        for place in places {
            words[place] = ids[&words[place]];
        }
        if let Some(stride) = name_stride(this.kind) {
            for place in (0..words.len()).step_by(stride) {
                words[place] = strings.place(input.name(words[place]));
            }
        }
        let target =
            if refers(this.kind) { ids.get(&this.target).copied().unwrap_or(0) } else { this.target };
        let info = word(&bytes[this.at as usize..], 4);
        types.extend([strings.place(input.name(this.name)), info & 0xff00_0000 | vlen, target]);
        types.append(&mut words);
    }

    let mut output = bytes[..4].to_vec();
    let types_len = types.len() as u32 * 4;
    let header = [24, 0, types_len, types_len, strings.bytes.len() as u32];
    output.extend(header.iter().chain(&types).flat_map(|word| word.to_ne_bytes()));
    output.append(&mut strings.bytes);
    output
}

struct Strings {
    bytes: Vec<u8>,
    places: BTreeMap<String, u32>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { bytes: vec![0], places: BTreeMap::from([(String::new(), 0)]) }
    }
}

impl Strings {
    fn place(&mut self, name: &str) -> u32 {
        *self.places.entry(name.to_owned()).or_insert_with(|| {
            let place = self.bytes.len() as u32;
            self.bytes.extend(name.bytes().chain([0]));
            place
        })
    }
}

#[test]
#[ignore = "makes fixtures: BTF_IN and BTF_OUT name the files"]
fn make_fixture() {
    let path = |name| std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set"));
    let whole = std::fs::read(path("BTF_IN")).unwrap();
    let small = minimise(&whole);
    let read = |bytes: &[u8]| super::read(bytes, &WANTED).unwrap();
    read(&whole).assert_same(&read(&small));
    std::fs::write(path("BTF_OUT"), small).unwrap();
}

#[test]
fn a_minimised_btf_stays_the_same() {
    for kernel in super::fixtures::KERNELS {
        let fixture = super::fixtures::btf_of(kernel);
        assert!(minimise(fixture) == fixture, "{kernel}: the fixture was not made from this list");
    }
}

impl super::Answers {
    /// Asserts equality in all but the type ids.
    fn assert_same(&self, other: &Self) {
        assert_eq!(self.fields, other.fields);
        assert_eq!(self.enums, other.enums);
        let funcs = |answers: &Self| -> Vec<_> {
            answers
                .funcs
                .iter()
                .map(|(name, func)| (name.clone(), func.args.clone(), func.returns.clone()))
                .collect()
        };
        assert_eq!(funcs(self), funcs(other));
        let tracepoints = |answers: &Self| -> Vec<_> {
            answers
                .tracepoints
                .iter()
                .map(|(name, tracepoint)| (name.clone(), tracepoint.args.clone()))
                .collect()
        };
        assert_eq!(tracepoints(self), tracepoints(other));
    }
}
