//! The reader on BTF that no kernel here has: rare kinds, damage, malice.

use super::{Answers, Bits, BtfError, Elem, Kind, Wanted, fixtures, read};
use proptest::prelude::*;

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const FLOAT: u32 = 16;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;
const KIND_FLAG: u32 = 1 << 7;

/// BTF by hand.
#[derive(Default)]
struct Builder {
    types: Vec<u32>,
    strings: Vec<u8>,
}

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let place = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        place
    }

    /// `kind` may have [`KIND_FLAG`].
    fn add(&mut self, name: &str, kind: u32, vlen: u32, target: u32, rest: &[u32]) -> &mut Self {
        let name = self.name(name);
        self.types.extend([name, kind << 24 | vlen, target]);
        self.types.extend(rest);
        self
    }

    fn structure(&mut self, name: &str, kind: u32, members: &[(&str, u32, u32)]) -> &mut Self {
        let rest: Vec<_> =
            members.iter().flat_map(|(name, id, place)| [self.name(name), *id, *place]).collect();
        self.add(name, kind, members.len() as u32, 64, &rest)
    }

    fn build(&mut self) -> Vec<u8> {
        self.name("");
        let types_len = self.types.len() as u32 * 4;
        let mut blob = 0xeb9f_u16.to_ne_bytes().to_vec();
        blob.extend([1, 0]);
        let header = [24, 0, types_len, types_len, self.strings.len() as u32];
        blob.extend(header.iter().chain(&self.types).flat_map(|word| word.to_ne_bytes()));
        blob.extend(&self.strings);
        blob
    }

    fn ask(&mut self, fields: &[&str]) -> Result<Answers, BtfError> {
        read(&self.build(), &Wanted { fields, ..Wanted::default() })
    }
}

#[test]
fn kinds_that_are_not_asked_for_are_stepped_over() {
    let answers = Builder::default()
        .add("float", FLOAT, 0, 4, &[])
        .add("tag", DECL_TAG, 0, 1, &[u32::MAX])
        .add("user", TYPE_TAG, 0, 1, &[])
        .add("long", ENUM64, 2, 8, &[0, 1, 2, 0, 3, 4])
        .add("var", VAR, 0, 1, &[1])
        .add(".data", DATASEC, 1, 8, &[5, 0, 8])
        .add("", PTR, 0, 3, &[])
        .structure("s", STRUCT, &[("f", 1, 0), ("tagged", 7, 64)])
        .ask(&["s.tagged", "s.f"])
        .unwrap();
    let tagged = answers.field("s.tagged").unwrap();
    assert_eq!((tagged.offset, tagged.type_name.as_str()), (8, "float *"));
    assert_eq!(answers.field("s.f").unwrap().kind, Kind::Float);
    assert_eq!(answers.type_count(), 8);
}

#[test]
fn enumerators_may_be_negative_and_64_bits_wide() {
    let mut builder = Builder::default();
    let [a, b, c] = ["A", "B", "C"].map(|name| builder.name(name));
    let blob = builder
        .add("small", ENUM | KIND_FLAG, 1, 4, &[a, -7_i32 as u32])
        .add("wide", ENUM64, 1, 8, &[b, 5, 1])
        .add("", ENUM, 1, 4, &[c, 9])
        .build();
    let enums = &[("small", "A"), ("wide", "B"), ("", "C"), ("small", "B")];
    let answers = read(&blob, &Wanted { enums, ..Wanted::default() }).unwrap();
    assert_eq!(answers.enumerator("small", "A"), Some(-7));
    assert_eq!(answers.enumerator("wide", "B"), Some(0x1_0000_0005));
    assert_eq!(answers.enumerator("", "C"), Some(9));
    assert_eq!(answers.enumerator("small", "B"), None);
}

#[test]
fn bit_fields_of_both_shapes() {
    let answers = Builder::default()
        .add("unsigned int", INT, 0, 4, &[32])
        .add("unsigned int", INT, 0, 4, &[3])
        .structure("new", STRUCT | KIND_FLAG, &[("whole", 1, 32), ("part", 1, (3 << 24) + 75)])
        .structure("old", STRUCT, &[("whole", 1, 32), ("part", 2, 75)])
        .ask(&["new.whole", "new.part", "old.whole", "old.part"])
        .unwrap();
    for name in ["new", "old"] {
        let whole = answers.field(&format!("{name}.whole")).unwrap();
        assert_eq!((whole.offset, whole.bits), (4, None));
        let part = answers.field(&format!("{name}.part")).unwrap();
        assert_eq!((part.offset, part.bits), (9, Some(Bits { shift: 3, width: 3 })));
    }
}

#[test]
fn arrays_of_arrays_have_a_size() {
    let answers = Builder::default()
        .add("u16", INT, 0, 2, &[16])
        .add("", ARRAY, 0, 0, &[1, 1, 5])
        .add("", CONST, 0, 2, &[])
        .add("", ARRAY, 0, 0, &[3, 1, 3])
        .structure("s", STRUCT, &[("table", 4, 16)])
        .ask(&["s.table"])
        .unwrap();
    let table = answers.field("s.table").unwrap();
    assert_eq!((table.offset, table.size, table.elem), (2, Some(30), Some(Elem { size: 10, count: 3 })));
}

#[test]
fn of_two_structs_with_one_name_the_one_with_the_field_answers() {
    let answers = Builder::default()
        .add("int", INT, 0, 4, &[32])
        .structure("s", STRUCT, &[("other", 1, 0)])
        .structure("s", STRUCT, &[("wanted", 1, 32)])
        .ask(&["s.wanted", "s.other"])
        .unwrap();
    assert_eq!(answers.field("s.wanted").unwrap().offset, 4);
    assert_eq!(answers.field("s.other").unwrap().offset, 0);
}

#[test]
fn pointers_are_not_followed() {
    let answers = Builder::default()
        .add("int", INT, 0, 4, &[32])
        .structure("inner", STRUCT, &[("x", 1, 0)])
        .add("", PTR, 0, 2, &[])
        .structure("s", STRUCT, &[("p", 3, 0)])
        .ask(&["s.p", "s.p.x"])
        .unwrap();
    assert!(answers.field("s.p").is_some());
    assert_eq!(answers.field("s.p.x"), None);
}

#[test]
fn types_that_lead_in_a_circle_are_an_error() {
    let mut typedefs = Builder::default();
    typedefs.add("a", TYPEDEF, 0, 2, &[]).add("b", TYPEDEF, 0, 1, &[]).structure("s", STRUCT, &[("x", 1, 0)]);
    let mut arrays = Builder::default();
    arrays.add("", ARRAY, 0, 0, &[1, 1, 2]).structure("s", STRUCT, &[("x", 1, 0)]);
    let mut pointers = Builder::default();
    pointers.add("", PTR, 0, 1, &[]).structure("s", STRUCT, &[("x", 1, 0)]);
    let mut anonymous = Builder::default();
    anonymous.structure("", STRUCT, &[("", 1, 0), ("", 1, 0), ("", 1, 0)]).structure(
        "s",
        STRUCT,
        &[("", 1, 0)],
    );
    for (what, mut builder) in
        [("typedefs", typedefs), ("arrays", arrays), ("pointers", pointers), ("anonymous structs", anonymous)]
    {
        let error = builder.ask(&["s.x"]).unwrap_err();
        assert!(matches!(error, BtfError::Malformed { .. }), "{what}: {error}");
    }
}

/// 40 levels of two anonymous structs each would be 2^40 places to look at.
#[test]
fn a_tree_that_is_too_wide_is_an_error_and_not_an_endless_search() {
    let mut builder = Builder::default();
    builder.add("int", INT, 0, 4, &[32]);
    for level in 1..30 {
        builder.structure("", STRUCT, &[("", level, 0), ("", level, 0)]);
    }
    let error = builder.structure("s", STRUCT, &[("", 30, 0)]).ask(&["s.x"]).unwrap_err();
    assert!(error.to_string().contains("too entangled"), "{error}");
}

#[test]
fn a_type_id_that_is_not_there_is_an_error() {
    let error = Builder::default().structure("s", STRUCT, &[("x", 77, 0)]).ask(&["s.x"]).unwrap_err();
    assert!(error.to_string().contains("named that is not there"), "{error}");
}

#[test]
fn lengths_are_not_believed() {
    // A struct with more members than the section holds.
    let error = Builder::default().add("s", STRUCT, 0xffff, 8, &[]).ask(&["s.x"]).unwrap_err();
    assert!(error.to_string().contains("reaches beyond the type section"), "{error}");
    // Sections that are longer than the input.
    for place in [12, 20] {
        let mut blob = Builder::default().add("int", INT, 0, 4, &[32]).build();
        blob[place..place + 4].copy_from_slice(&0x00ff_ffff_u32.to_ne_bytes());
        assert!(read(&blob, &Wanted::default()).is_err());
    }
}

#[test]
fn other_files_are_told_apart() {
    let read = |bytes: &[u8]| read(bytes, &Wanted::default()).unwrap_err();
    let mut other_order = 0xeb9f_u16.swap_bytes().to_ne_bytes().to_vec();
    other_order.extend([1; 22]);
    assert!(matches!(read(&other_order), BtfError::ByteOrder));
    assert!(matches!(read(b"\x7fELF and what follows in such a file"), BtfError::NotBtf { .. }));
    assert!(matches!(read(&[]), BtfError::Truncated { at: 0, .. }));
    let mut version = Builder::default().build();
    version[2] = 2;
    assert!(matches!(read(&version), BtfError::Version(2)));
    let error = Builder::default().add("x", 99, 0, 0, &[]).ask(&[]).unwrap_err();
    assert!(matches!(error, BtfError::UnknownKind { kind: 99, at: 24 }));
}

#[test]
fn a_truncated_kernel_btf_is_an_error_that_says_where() {
    let whole = fixtures::btf_of("6.12.117");
    for length in (0..whole.len()).step_by(61) {
        let error = read(&whole[..length], &fixtures::WANTED).unwrap_err();
        let BtfError::Truncated { at, .. } = error else { panic!("cut to {length} bytes: {error}") };
        assert!(at >= length as u64 && at <= whole.len() as u64, "cut to {length} bytes: {error}");
    }
}

proptest! {
    /// Whatever is damaged: an answer or an error, neither a panic nor an endless search.
    #[test]
    fn damage_does_no_harm(places in prop::collection::vec((0..21_000_usize, any::<u8>()), 1..40)) {
        let mut blob = fixtures::btf_of("6.12.117").to_vec();
        for (place, byte) in places {
            let place = place % blob.len();
            blob[place] = byte;
        }
        let _ = read(&blob, &fixtures::WANTED);
    }

    #[test]
    fn noise_after_a_header_does_no_harm(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut blob = Builder::default().build();
        let length = noise.len() as u32 / 2;
        for (place, value) in [(12, length), (16, length), (20, noise.len() as u32 - length)] {
            blob[place..place + 4].copy_from_slice(&value.to_ne_bytes());
        }
        blob.truncate(24);
        blob.extend(noise);
        let _ = read(&blob, &fixtures::WANTED);
    }
}
