//! A BTF of which only a few functions' ids are the kernel's.
//!
//! aya looks up the id of a function in a BTF that it has parsed whole, which for the kernel's own costs some 20 MB. It
//! only ever uses the id, so types that say nothing else do as well.

use aya::Btf;
use aya_obj::btf::{BtfType, Func, FuncLinkage};

/// BTF with the functions of these names and ids; all other types up to the highest of them say nothing. An entry with id 0,
/// or one that another has, is left out.
pub fn stand_in(entries: &[(&str, u32)]) -> Btf {
    let mut functions = entries.to_vec();
    functions.sort_unstable_by_key(|(_, id)| *id);
    let mut btf = Btf::new();
    // Number 0 is there: `void`.
    let mut next = 1;
    for (name, id) in functions {
        for _ in next..id {
            btf.add_type(BtfType::Unknown);
        }
        if next <= id {
            let name = btf.add_string(name);
            btf.add_type(BtfType::Func(Func::new(name, 0, FuncLinkage::Static)));
            next = id + 1;
        }
    }
    btf
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya_obj::btf::BtfKind;

    #[test]
    fn aya_finds_the_ids_of_the_kernel() {
        let btf = stand_in(&[
            ("out_of_memory", 99_277),
            ("oom_kill_process", 15_534),
            ("oom_badness", 99_202),
            ("first", 1),
        ]);
        for (name, id) in
            [("out_of_memory", 99_277), ("oom_badness", 99_202), ("oom_kill_process", 15_534), ("first", 1)]
        {
            assert_eq!(btf.id_by_type_name_kind(name, BtfKind::Func).unwrap(), id, "{name}");
        }
    }

    #[test]
    fn a_name_that_the_kernel_does_not_have_is_not_found() {
        let btf = stand_in(&[("out_of_memory", 3), ("oom_badness", 0), ("twice", 3)]);
        for name in ["oom_badness", "twice", ""] {
            assert!(btf.id_by_type_name_kind(name, BtfKind::Func).is_err(), "{name}");
        }
        assert!(btf.id_by_type_name_kind("out_of_memory", BtfKind::Typedef).is_err());
        assert!(stand_in(&[]).id_by_type_name_kind("out_of_memory", BtfKind::Func).is_err());
    }
}
