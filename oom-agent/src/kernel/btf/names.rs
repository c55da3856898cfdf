//! First pass: where the wanted names stand in the string section.

use super::{BtfError, format::Sections, source::Source};
use std::io::{Read, Seek};

/// A name that is asked for, as a small number.
pub(super) type NameId = usize;

/// More places than this for the wanted names are not a kernel's: its strings stand there once.
const MAX_PLACES: usize = 4096;

/// The wanted names and where they stand. Linkers could share the tails of strings; the tools that make the kernel's
/// BTF (pahole, libbpf) do not, so a name is looked for as a whole string only.
pub(super) struct Names<'a> {
    /// Sorted.
    names: Vec<&'a str>,
    /// Offsets into the string section, ascending.
    places: Vec<(u32, NameId)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let mut names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        Self { names, places: Vec::new() }
    }

    /// Reads the string section from end to end.
    pub(super) fn find<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        sections: &Sections,
    ) -> Result<(), BtfError> {
        const WHAT: &str = "the strings";
        let longest = self.names.iter().map(|name| name.len()).max().unwrap_or(0);
        // The begin of a string that the last chunk did not end, no longer than tells it from every wanted name.
        let mut begun: Vec<u8> = Vec::with_capacity(longest + 1);
        let mut begun_at = sections.strings;
        let mut at = sections.strings;
        while at < sections.strings_end {
            let left = sections.strings_end - at;
            let chunk = source.some(at, WHAT)?;
            let chunk = &chunk[..chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            let mut rest = chunk;
            while let Some(end) = rest.iter().position(|byte| *byte == 0) {
                let (string, after) = (&rest[..end], &rest[end + 1..]);
                let string = if begun.is_empty() {
                    string
                } else {
                    keep(&mut begun, string, longest);
                    &begun
                };
                if let Ok(id) = self.names.binary_search_by(|name| name.as_bytes().cmp(string)) {
                    self.places.push(((begun_at - sections.strings) as u32, id));
                    if self.places.len() > MAX_PLACES {
                        return Err(BtfError::Malformed {
                            what: "the same names stand there too often",
                            at: begun_at,
                        });
                    }
                }
                begun.clear();
                begun_at = at + (chunk.len() - after.len()) as u64;
                rest = after;
            }
            keep(&mut begun, rest, longest);
            at += chunk.len() as u64;
        }
        Ok(())
    }

    /// The wanted name that stands at an offset into the string section.
    pub(super) fn at(&self, place: u32) -> Option<NameId> {
        let index = self.places.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        Some(self.places[index].1)
    }

    /// The number of a wanted name, whether it stands there or not.
    pub(super) fn id(&self, name: &str) -> Option<NameId> {
        self.names.binary_search(&name).ok()
    }
}

fn keep(begun: &mut Vec<u8>, bytes: &[u8], longest: usize) {
    let room = (longest + 1).saturating_sub(begun.len());
    begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
}
