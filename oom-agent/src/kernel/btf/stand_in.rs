//! A small BTF in which a few names have the kernel's type ids.
//!
//! aya looks up the id of a function or tracepoint in a BTF that it has parsed whole, which for the kernel's own costs
//! some 20 MB. It only ever uses the id, so a blob that says nothing else does as well.

use super::Kind;

const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;

/// BTF with the given ids, for [`Kind::Func`] and [`Kind::Typedef`] (tracepoints: `btf_trace_NAME`); all other types
/// up to the highest of them say nothing. An entry of another kind or with id 0 is left out.
pub fn stand_in(entries: &[(&str, u32, Kind)]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut named = Vec::new();
    for (name, id, kind) in entries {
        let kind = match kind {
            Kind::Func => FUNC,
            Kind::Typedef => TYPEDEF,
            _ => continue,
        };
        if *id == 0 {
            continue;
        }
        named.push((*id, kind, strings.len() as u32));
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    named.sort_unstable();
    named.dedup_by_key(|(id, ..)| *id);
    let last = named.last().map_or(0, |(id, ..)| *id);
    // A function needs a signature; it comes after the others, where it moves no id.
    let proto = last + 1;

    let mut types = Vec::with_capacity(proto as usize * 12);
    let mut named = named.into_iter().peekable();
    for id in 1..=last {
        let (name, kind, target) = match named.next_if(|(next, ..)| *next == id) {
            Some((_, kind, name)) => (name, kind, if kind == FUNC { proto } else { 0 }),
            None => (0, FWD, 0),
        };
        push_words(&mut types, &[name, kind << 24, target]);
    }
    push_words(&mut types, &[0, FUNC_PROTO << 24, 0]);

    let mut blob = Vec::with_capacity(24 + types.len() + strings.len());
    blob.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
    blob.extend_from_slice(&[1, 0]);
    push_words(&mut blob, &[24, 0, types.len() as u32, types.len() as u32, strings.len() as u32]);
    blob.append(&mut types);
    blob.append(&mut strings);
    blob
}

fn push_words(blob: &mut Vec<u8>, words: &[u32]) {
    blob.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya::{Btf, Endianness};
    use aya_obj::btf::BtfKind;

    #[test]
    fn aya_finds_the_ids_of_the_kernel() {
        let blob = stand_in(&[
            ("out_of_memory", 99_277, Kind::Func),
            ("btf_trace_mark_victim", 15_534, Kind::Typedef),
            ("oom_badness", 99_202, Kind::Func),
        ]);
        let btf = Btf::parse(&blob, Endianness::default()).unwrap();
        assert_eq!(btf.id_by_type_name_kind("out_of_memory", BtfKind::Func).unwrap(), 99_277);
        assert_eq!(btf.id_by_type_name_kind("oom_badness", BtfKind::Func).unwrap(), 99_202);
        assert_eq!(btf.id_by_type_name_kind("btf_trace_mark_victim", BtfKind::Typedef).unwrap(), 15_534);
    }

    #[test]
    fn a_name_that_the_kernel_does_not_have_is_not_found() {
        let blob = stand_in(&[("out_of_memory", 3, Kind::Func), ("oom_badness", 0, Kind::Func)]);
        let btf = Btf::parse(&blob, Endianness::default()).unwrap();
        assert!(btf.id_by_type_name_kind("oom_badness", BtfKind::Func).is_err());
        assert!(btf.id_by_type_name_kind("out_of_memory", BtfKind::Typedef).is_err());
    }

    #[test]
    fn nothing_to_stand_in_for_is_valid_btf() {
        Btf::parse(&stand_in(&[]), Endianness::default()).unwrap();
    }
}
