//! Takes what is for debuggers out of the BPF object: it is most of it, and the agent locks itself into memory. Line numbers
//! too: they would be read, handed over and checked at every start, for the verifier's log alone.
//!
//! Sections stay where they are in the table, since others name them by number; those for debuggers become empty. (ELF64,
//! `Elf64_Ehdr` and `Elf64_Shdr` of elf(5).)

use anyhow::{Context as _, Result, ensure};
use std::ops::Range;

const MAGIC: &[u8] = b"\x7fELF\x02";
const EHDR: usize = 64;
const SHDR: usize = 64;
const LITTLE: u8 = 1;
/// A section without bytes in the file (`SHT_NOBITS`).
const NOBITS: u64 = 8;

/// The object without sections whose names begin with `.debug_` or `.rel.debug_`, and without line numbers.
pub(crate) fn strip(object: &[u8]) -> Result<Vec<u8>> {
    ensure!(object.starts_with(MAGIC) && object.len() >= EHDR, "it is no 64-bit ELF object");
    let order = Order { little: object.get(5) == Some(&LITTLE) };
    let table = order.number(object, 40..48)? as usize;
    let count = order.number(object, 60..62)? as usize;
    let names = order.number(object, 62..64)? as usize;
    ensure!(order.number(object, 58..60)? as usize == SHDR, "its section headers have another size");
    let header = |index: usize| {
        let at = table + index * SHDR;
        object.get(at..at + SHDR).context("its section headers are cut off")
    };
    let body = |header: &[u8]| -> Result<&[u8]> {
        let (at, size) = (order.number(header, 24..32)? as usize, order.number(header, 32..40)? as usize);
        let empty = order.number(header, 4..8)? == NOBITS;
        object.get(at..at + if empty { 0 } else { size }).context("a section is cut off")
    };
    let strings = body(header(names)?)?;
    let mut out = object.get(..EHDR).context("its header is cut off")?.to_vec();
    let mut headers = Vec::new();
    for index in 0..count {
        let mut section = header(index)?.to_vec();
        let name = strings.get(order.number(&section, 0..4)? as usize..).context("a section has no name")?;
        let begins = |with: &[&[u8]]| with.iter().any(|begin| name.starts_with(begin));
        // What is relocated in `.BTF.ext` are places in sections, which are right as they are: all of them begin at 0.
        let bytes = if begins(&[b".debug_", b".rel.debug_", b".rel.BTF.ext\0"]) {
            order.put(&mut section, 32..40, 0)?;
            Vec::new()
        } else if begins(&[b".BTF.ext\0"]) {
            let bytes = order.without_lines(body(&section)?)?;
            order.put(&mut section, 32..40, bytes.len() as u64)?;
            bytes
        } else {
            body(&section)?.to_vec()
        };
        out.resize(out.len().next_multiple_of(16), 0);
        let at = out.len() as u64;
        order.put(&mut section, 24..32, if index == 0 { 0 } else { at })?;
        out.extend(bytes);
        headers.extend(section);
    }
    out.resize(out.len().next_multiple_of(16), 0);
    let table = out.len() as u64;
    order.put(&mut out, 40..48, table)?;
    out.extend(headers);
    Ok(out)
}

/// How the machine writes numbers.
#[derive(Clone, Copy)]
struct Order {
    little: bool,
}

impl Order {
    fn number(self, bytes: &[u8], at: Range<usize>) -> Result<u64> {
        let bytes = bytes.get(at).context("a number is cut off")?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Ok(if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
    }

    /// `.BTF.ext` with its functions only (`struct btf_ext_header`, `tools/lib/bpf/libbpf_internal.h`). Places count from the
    /// header's end; CO-RE relocations, which come last, there are none.
    fn without_lines(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let header = self.number(bytes, 4..8)?;
        let (functions, functions_len) = (self.number(bytes, 8..12)?, self.number(bytes, 12..16)?);
        let lines = self.number(bytes, 16..20)?;
        let relocations = if header < 32 { 0 } else { self.number(bytes, 28..32)? };
        ensure!(functions + functions_len == lines && relocations == 0, "its `.BTF.ext` is in another order");
        let mut kept = bytes.get(..(header + lines) as usize).context("its `.BTF.ext` is cut off")?.to_vec();
        self.put(&mut kept, 20..24, 0)?;
        if header >= 32 {
            self.put(&mut kept, 24..28, lines)?;
        }
        Ok(kept)
    }

    fn put(self, bytes: &mut [u8], at: Range<usize>, value: u64) -> Result<()> {
        let bytes = bytes.get_mut(at).context("a number is cut off")?;
        let length = bytes.len();
        for (index, byte) in bytes.iter_mut().enumerate() {
            let place = if self.little { index } else { length - 1 - index };
            *byte = (value >> (8 * place)) as u8;
        }
        Ok(())
    }
}
