//! The names that are asked for, and whether one stands at a place of the string section.

/// A name that is asked for, as a small number.
pub(super) type NameId = usize;

/// Marks in [`Names::begins`].
const MARKS: usize = 4096;

/// The wanted names.
pub(super) struct Names<'a> {
    /// Sorted.
    names: Vec<&'a str>,
    /// Whether a wanted name may begin like that: most of a kernel's 60,000 names are told apart by it.
    begins: Vec<bool>,
}

impl<'a> Names<'a> {
    pub(super) fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let mut names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        let mut begins = vec![false; MARKS];
        for name in &names {
            begins[mark(name.as_bytes())] = true;
        }
        Self { names, begins }
    }

    /// The wanted name that stands at a place of the string section.
    pub(super) fn at(&self, strings: &[u8], place: u32) -> Option<NameId> {
        let rest = strings.get(place as usize..)?;
        if !self.begins[mark(rest)] {
            return None;
        }
        let name = rest.get(..rest.iter().position(|byte| *byte == 0)?)?;
        self.names.binary_search_by(|wanted| wanted.as_bytes().cmp(name)).ok()
    }

    /// The number of a wanted name, whether it stands anywhere or not.
    pub(super) fn id(&self, name: &str) -> Option<NameId> {
        self.names.binary_search(&name).ok()
    }
}

/// Of a name's begin, which a NUL ends.
fn mark(bytes: &[u8]) -> usize {
    let begin = bytes.iter().take(6).take_while(|byte| **byte != 0);
    begin.fold(0_usize, |mark, byte| mark.wrapping_mul(33) ^ usize::from(*byte)) % MARKS
}

/// Whether a name stands at a place of the string section.
pub(super) fn stands(strings: &[u8], place: u32, name: &str) -> bool {
    let rest = strings.get(place as usize..).and_then(|rest| rest.strip_prefix(name.as_bytes()));
    rest.is_some_and(|rest| rest.first() == Some(&0))
}
