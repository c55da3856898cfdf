//! The archive format of an initramfs: cpio "newc" (`Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// Writes one archive. Parents must be added before what is in them.
#[derive(Debug)]
pub(super) struct Writer<W> {
    into: W,
    inode: u32,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(into: W) -> Self {
        Self { into, inode: 0 }
    }

    /// Adds a directory.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY, (0, 0), b"")
    }

    /// Adds a file that may be run.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.entry(path, PROGRAM, (0, 0), content)
    }

    /// Adds a symbolic link to `target`.
    pub(super) fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, SYMLINK, (0, 0), target.as_bytes())
    }

    /// Adds a character device.
    pub(super) fn character_device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.entry(path, CHARACTER_DEVICE, (major, minor), b"")
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), b"")?;
        Ok(self.into)
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let name = path.trim_start_matches('/');
        let too_large =
            || io::Error::new(io::ErrorKind::FileTooLarge, format!("{name} does not fit into a cpio"));
        let size = u32::try_from(content.len()).map_err(|_| too_large())?;
        let name_size = u32::try_from(name.len() + 1).map_err(|_| too_large())?;
        self.inode += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            use std::fmt::Write as _;
            let _ = write!(header, "{field:08X}");
        }
        self.into.write_all(header.as_bytes())?;
        self.into.write_all(name.as_bytes())?;
        self.into.write_all(b"\0")?;
        self.pad(header.len() + name.len() + 1)?;
        self.into.write_all(content)?;
        self.pad(content.len())
    }

    /// Name and content each end at a multiple of 4.
    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.into.write_all(&[0; 3][..length.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_the_format_says_byte_by_byte() {
        let mut writer = Writer::new(Vec::new());
        writer.file("/init", b"run!!").unwrap();
        let bytes = writer.finish().unwrap();
        let first = "07070100000001000081ED000000000000000000000001000000000000000500000000000000000000000000000000\
                     0000000600000000";
        assert_eq!(std::str::from_utf8(&bytes[..110]).unwrap(), first);
        assert_eq!(&bytes[110..116], b"init\0\0"[..5].iter().chain(b"\0").copied().collect::<Vec<_>>());
        assert_eq!(&bytes[116..124], b"run!!\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(11).any(|window| window == b"TRAILER!!!\0"));
    }

    #[test]
    fn entries_start_at_multiples_of_four() {
        for length in 0..9 {
            let mut writer = Writer::new(Vec::new());
            writer.file(&"n".repeat(length + 1), &vec![b'c'; length]).unwrap();
            writer.directory("d").unwrap();
            let bytes = writer.finish().unwrap();
            let starts: Vec<usize> =
                bytes.windows(6).enumerate().filter(|(_, w)| w == b"070701").map(|(at, _)| at).collect();
            assert_eq!(starts.len(), 3);
            assert!(starts.iter().all(|at| at % 4 == 0), "{starts:?}");
        }
    }

    #[test]
    fn a_device_carries_its_numbers_and_a_link_its_target() {
        let mut writer = Writer::new(Vec::new());
        writer.character_device("dev/console", 5, 1).unwrap();
        writer.symlink("bin/sh", "busybox").unwrap();
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        assert_eq!(&text[6 + 9 * 8..6 + 11 * 8], "0000000500000001");
        assert!(text.contains("busybox"));
    }
}
