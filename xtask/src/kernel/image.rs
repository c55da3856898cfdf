//! From the `vmlinuz` that a distribution ships to the image inside it.
//!
//! QEMU boots the uncompressed image, on x86-64 through its PVH entry, which spares an emulated machine the
//! decompression: a second of three. Layouts: `Documentation/arch/x86/boot.rst`, `Documentation/arch/arm64/booting.rst`
//! and, for arm64 images that unpack themselves on EFI, `drivers/firmware/efi/libstub/zboot-header.S` of the kernel.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::machine::Machine;

/// `HdrS`, and where it stands in a bzImage.
const MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
const SETUP_SECTS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const ELF: &[u8] = b"\x7fELF";
/// Where arm64's `Image` says what it is.
const ARM64: (usize, &[u8]) = (56, b"ARMd");
/// An image in an EFI program that unpacks it: offset and length of the payload follow.
const ZBOOT: (usize, &[u8]) = (4, b"zimg");
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LZ4_LEGACY: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
const GZIP: &[u8] = &[0x1f, 0x8b];
/// The most that a block of the legacy LZ4 format unpacks to.
const LZ4_BLOCK: usize = 8 << 20;

/// Finds a file by its name below `root`. The image is under `boot/`, in some packages from 7.x on under
/// `usr/lib/modules/`.
pub(super) fn find(root: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    let mut pending = vec![root.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
            let entry = entry.with_context(|| format!("reading {}", directory.display()))?;
            let kind = entry.file_type().with_context(|| format!("looking at {}", entry.path().display()))?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && is_wanted(&entry.file_name().to_string_lossy()) {
                return Ok(Some(entry.path()));
            }
        }
    }
    Ok(None)
}

/// Takes out of a `vmlinuz` what QEMU boots.
pub(super) fn uncompressed(machine: Machine, vmlinuz: &[u8]) -> Result<Vec<u8>> {
    match machine {
        Machine::Amd64 => of_bzimage(vmlinuz),
        Machine::Arm64 => of_arm64(vmlinuz),
    }
}

fn says(bytes: &[u8], magic: (usize, &[u8])) -> bool {
    bytes.get(magic.0..magic.0 + magic.1.len()) == Some(magic.1)
}

/// Takes the `Image` out of whatever it is packed in; Debian's is not packed at all.
fn of_arm64(vmlinuz: &[u8]) -> Result<Vec<u8>> {
    let image = if says(vmlinuz, ZBOOT) {
        let (start, length) = (number(vmlinuz, 8)?, number(vmlinuz, 12)?);
        unpack(vmlinuz.get(start..start + length).context("the payload reaches beyond the file's end")?)?
    } else if vmlinuz.starts_with(GZIP) {
        unpack(vmlinuz)?
    } else {
        vmlinuz.to_vec()
    };
    if !says(&image, ARM64) {
        bail!("it is no arm64 kernel image");
    }
    Ok(image)
}

/// Takes the ELF image out of a bzImage.
fn of_bzimage(bzimage: &[u8]) -> Result<Vec<u8>> {
    if !says(bzimage, MAGIC) {
        bail!("it is not an x86 kernel image (no HdrS)");
    }
    // No setup sectors means four, for the oldest of boot loaders.
    let sectors = match bzimage[SETUP_SECTS] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + number(bzimage, PAYLOAD_OFFSET)?;
    let payload = bzimage
        .get(start..start + number(bzimage, PAYLOAD_LENGTH)?)
        .context("the compressed image reaches beyond the file's end")?;
    let image = unpack(payload)?;
    if !image.starts_with(ELF) {
        bail!("what was unpacked is no ELF image");
    }
    Ok(image)
}

fn unpack(payload: &[u8]) -> Result<Vec<u8>> {
    let mut image = Vec::new();
    if payload.starts_with(ZSTD) {
        ruzstd::decoding::StreamingDecoder::new(payload)
            .context("reading the zstd header")?
            .read_to_end(&mut image)
            .context("unpacking zstd")?;
    } else if let Some(blocks) = payload.strip_prefix(LZ4_LEGACY) {
        unpack_lz4(blocks, &mut image)?;
    } else if payload.starts_with(GZIP) {
        flate2::read::GzDecoder::new(payload).read_to_end(&mut image).context("unpacking gzip")?;
    } else {
        bail!("it is compressed in a way that is not known here (starts with {:02x?})", payload.get(..6));
    }
    Ok(image)
}

/// The legacy frame: blocks, each after its packed length. The kernel's build appends the image's size as a last word.
fn unpack_lz4(mut blocks: &[u8], image: &mut Vec<u8>) -> Result<()> {
    while blocks.len() > 4 {
        let length = number(blocks, 0)?;
        let block = blocks.get(4..4 + length).context("an LZ4 block is cut short")?;
        image.extend(lz4_flex::block::decompress(block, LZ4_BLOCK).context("unpacking LZ4")?);
        blocks = &blocks[4 + length..];
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize) -> Result<usize> {
    let word: [u8; 4] = bytes.get(at..at + 4).context("the image is cut short")?.try_into()?;
    Ok(u32::from_le_bytes(word) as usize)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[SETUP_SECTS] = 1;
        image[MAGIC.0..MAGIC.0 + 4].copy_from_slice(MAGIC.1);
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16_u32.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend([0; 16]);
        image.extend(payload);
        image
    }

    #[test]
    fn gzip_payload_gives_the_elf_image() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"\x7fELF and so on").unwrap();
        let packed = bzimage(&gz.finish().unwrap());
        assert_eq!(uncompressed(Machine::Amd64, &packed).unwrap(), b"\x7fELF and so on");
    }

    #[test]
    fn lz4_payload_of_several_blocks_is_joined_and_its_trailing_size_ignored() {
        let mut payload = LZ4_LEGACY.to_vec();
        for part in [&b"\x7fELF one, "[..], b"two"] {
            // A block of literals only: token, bytes.
            let mut block = vec![(part.len() as u8) << 4];
            block.extend(part);
            payload.extend((block.len() as u32).to_le_bytes());
            payload.extend(block);
        }
        payload.extend(13_u32.to_le_bytes());
        assert_eq!(uncompressed(Machine::Amd64, &bzimage(&payload)).unwrap(), b"\x7fELF one, two");
    }

    #[test]
    fn an_arm64_image_is_found_as_it_is_and_in_what_it_is_packed_in() {
        let mut image = vec![0; 64];
        image[ARM64.0..ARM64.0 + 4].copy_from_slice(ARM64.1);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&image).unwrap();
        let gz = gz.finish().unwrap();
        let mut zboot = b"MZ\0\0zimg".to_vec();
        zboot.extend(16_u32.to_le_bytes());
        zboot.extend((gz.len() as u32).to_le_bytes());
        zboot.extend(&gz);
        for vmlinuz in [&image, &gz, &zboot] {
            assert_eq!(uncompressed(Machine::Arm64, vmlinuz).unwrap(), image);
        }
    }

    #[test]
    fn anything_else_is_an_error_not_a_panic() {
        let unknown = uncompressed(Machine::Amd64, &bzimage(b"?????????")).unwrap_err();
        assert!(unknown.to_string().contains("not known"), "{unknown}");
        for machine in [Machine::Amd64, Machine::Arm64] {
            assert!(uncompressed(machine, b"").is_err());
        }
        let mut cut = bzimage(b"\x1f\x8b");
        cut.truncate(0x300);
        assert!(uncompressed(Machine::Amd64, &cut).is_err());
        assert!(uncompressed(Machine::Arm64, b"MZ\0\0zimg\x10\0\0\0\xff\xff\xff\xff").is_err());
    }
}
