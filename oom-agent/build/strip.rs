//! Takes what is for debuggers out of the BPF object: it is two thirds of it, and the agent locks itself into memory.
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

/// The object without sections whose names begin with `.debug_` or `.rel.debug_`.
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
        let for_debuggers = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
        let bytes = if for_debuggers { &[] } else { body(&section)? };
        out.resize(out.len().next_multiple_of(16), 0);
        if for_debuggers {
            order.put(&mut section, 32..40, 0)?;
        }
        let at = out.len() as u64;
        order.put(&mut section, 24..32, if index == 0 { 0 } else { at })?;
        out.extend_from_slice(bytes);
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
