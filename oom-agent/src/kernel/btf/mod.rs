//! What the agent must know of the kernel's own structures, from BTF.
//!
//! `/sys/kernel/btf/vmlinux` holds some 150,000 types in 5 MB. The agent wants the offsets of about fifty fields, so no
//! type graph is built: one pass over the types notes where each stands (half a megabyte) and which has a wanted name; the
//! rest is looked up. All of it is dropped at the end.
//!
//! The input is not trusted: whatever is wrong with it is a [`BtfError`] that says what and where.
//!
//! # Layout
//! - `format`: header, types and what follows them.
//! - [`Vmlinux`]: the running kernel's, in memory.
//! - `names`, `index`, `resolve`: what is wanted, the pass, answers.
//! - [`stand_in`]: a small BTF with the kernel's ids, for aya.

mod error;
#[cfg(test)]
pub(crate) mod fixtures;
mod format;
mod index;
#[cfg(test)]
mod minimise;
mod names;
#[cfg(test)]
mod odd_input;
#[cfg(test)]
mod real_kernels;
mod resolve;
mod source;
mod stand_in;

pub use error::BtfError;
pub use format::Kind;
pub use source::Vmlinux;
pub use stand_in::stand_in;

use format::Sections;
use index::Index;
use names::Names;
use resolve::Resolver;
use source::array;
use std::collections::BTreeMap;

/// Where the kernel shows its BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The questions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Paths of fields: `task_struct.signal`, through anonymous structs as C does, with `|` between alternative names
    /// (`kernfs_node.__parent|parent`), through structs that are embedded (`mem_cgroup.memory.usage`) but not through
    /// pointers. A struct alone (`percpu_counter`) asks for its size.
    pub fields: &'a [&'a str],
    /// Functions.
    pub funcs: &'a [&'a str],
    /// Tracepoints, without `btf_trace_`.
    pub tracepoints: &'a [&'a str],
    /// `enum` and enumerator; an empty `enum` name is any that has none.
    pub enums: &'a [(&'a str, &'a str)],
}

/// A field of a kernel struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the begin of the struct that the path names; of a bit field, the byte with its lowest bit.
    pub offset: u32,
    /// Set for a bit field.
    pub bits: Option<Bits>,
    /// Bytes of its type (of a bit field, of the type it is declared with). `None`: it has no size.
    pub size: Option<u32>,
    /// Set for an array.
    pub elem: Option<Elem>,
    /// What it is under typedefs and modifiers.
    pub kind: Kind,
    /// Its type as C spells it: `struct percpu_counter[4]`, `const gfp_t`, `struct css_set *`.
    pub type_name: String,
}

/// Which bits a bit field has, from the lowest bit of the byte at its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Bits below it.
    pub shift: u8,
    /// Its own.
    pub width: u8,
}

/// What an array is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elem {
    /// Bytes of one.
    pub size: u32,
    /// How many.
    pub count: u32,
}

/// A kernel function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Func {
    /// Its BTF type id.
    pub id: u32,
    /// Its parameters.
    pub args: Vec<Arg>,
    /// What it returns, as C spells it.
    pub returns: String,
}

/// A kernel tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracepoint {
    /// BTF type id of the typedef `btf_trace_NAME`.
    pub id: u32,
    /// What a BPF program gets: `args[0]` is its argument 0.
    pub args: Vec<Arg>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// What it is under typedefs and modifiers.
    pub kind: ArgKind,
    /// As C spells it: `struct task_struct *`, `gfp_t`.
    pub type_name: String,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// An integer, `bool` or `enum`.
    Int {
        /// Bytes.
        size: u32,
    },
    /// A pointer.
    Pointer,
    /// Something else, e.g. a struct by value.
    Other,
}

/// The answers. What this kernel does not have is `None`.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    fields: BTreeMap<String, Field>,
    funcs: BTreeMap<String, Func>,
    tracepoints: BTreeMap<String, Tracepoint>,
    enums: BTreeMap<(String, String), i64>,
    type_count: u32,
}

impl Answers {
    /// A field, by the path that was asked for.
    pub fn field(&self, path: &str) -> Option<&Field> {
        self.fields.get(path)
    }

    /// A function.
    pub fn func(&self, name: &str) -> Option<&Func> {
        self.funcs.get(name)
    }

    /// A tracepoint, without `btf_trace_`.
    pub fn tracepoint(&self, name: &str) -> Option<&Tracepoint> {
        self.tracepoints.get(name)
    }

    /// Value of an enumerator.
    pub fn enumerator(&self, enumeration: &str, name: &str) -> Option<i64> {
        self.enums.get(&(enumeration.to_owned(), name.to_owned())).copied()
    }

    /// How many types this kernel's BTF has (without `void`): also the highest type id.
    pub const fn type_count(&self) -> u32 {
        self.type_count
    }
}

/// Answers the questions from BTF in this machine's byte order. A name that is not there is not an error.
pub fn read(input: &[u8], wanted: &Wanted<'_>) -> Result<Answers, BtfError> {
    let typedefs: Vec<_> = wanted.tracepoints.iter().map(|name| format!("btf_trace_{name}")).collect();
    // Members and most enumerators are looked for in their types.
    let structs = wanted.fields.iter().flat_map(|path| path.split('.').next().unwrap_or_default().split('|'));
    let enums = wanted.enums.iter();
    let enums = enums.map(|(enumeration, name)| if enumeration.is_empty() { *name } else { *enumeration });
    let funcs = wanted.funcs.iter().copied();
    let names = Names::new(structs.chain(enums).chain(funcs).chain(typedefs.iter().map(String::as_str)));

    let sections = Sections::parse(&array(input, 0, "the header")?)?;
    let strings = sections.strings(input)?;
    let index = Index::read(input, &sections, &names)?;

    let mut answers = Answers { type_count: index.count(), ..Answers::default() };
    let mut resolver = Resolver { input, strings, sections, names, index, steps: 0 };
    for path in wanted.fields {
        if let Some(field) = resolver.field(path)? {
            answers.fields.insert((*path).to_owned(), field);
        }
    }
    for name in wanted.funcs {
        if let Some(func) = resolver.func(name)? {
            answers.funcs.insert((*name).to_owned(), func);
        }
    }
    for (name, typedef) in wanted.tracepoints.iter().zip(&typedefs) {
        if let Some(tracepoint) = resolver.tracepoint(typedef)? {
            answers.tracepoints.insert((*name).to_owned(), tracepoint);
        }
    }
    for (enumeration, name) in wanted.enums {
        if let Some(value) = resolver.enumerator(enumeration, name)? {
            answers.enums.insert(((*enumeration).to_owned(), (*name).to_owned()), value);
        }
    }
    Ok(answers)
}
