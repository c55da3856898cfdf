//! How a file is packed, by its first bytes. Never by its name: `logrotate` and people call files as they like.

/// A format that is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// RFC 1952.
    Gzip,
    /// The .xz file format.
    Xz,
    /// RFC 8878.
    Zstd,
    /// A frame of zstd without data for us (RFC 8878, 3.1.2); `pzstd` writes them.
    ZstdSkippable,
}

impl Packed {
    /// As people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd | Self::ZstdSkippable => "zstd",
        }
    }
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// It is packed.
    Packed(Packed),
    /// It is something else that holds logs; what to do about it.
    Foreign(&'static str),
    /// It is not, or as none of these.
    Plain,
    /// So few bytes do not tell.
    Short,
}

/// Bytes that are needed to tell the formats apart.
pub(super) const LONGEST: usize = 10;

/// What else logs are kept in: a journal (systemd's `journal-def.h`, `HEADER_SIGNATURE`), other packers, another encoding.
const FOREIGN: [(&[u8], &str); 6] = [
    (
        b"LPKSHHRH",
        "it is a journal: `journalctl --file FILE -o short-precise _TRANSPORT=kernel | oom-agent explain`",
    ),
    (b"\x04\x22\x4d\x18", "it is packed with lz4: `lz4 -dc FILE | oom-agent explain`"),
    (b"LZIP\x01", "it is packed with lzip: `lzip -dc FILE | oom-agent explain`"),
    (b"BZh91AY&SY", "it is packed with bzip2: `bzip2 -dc FILE | oom-agent explain`"),
    (b"\xff\xfe", UTF16),
    (b"\xfe\xff", UTF16),
];

/// A byte order mark, as PowerShell 5 writes it before what `>` puts in a file.
const UTF16: &str = "it is UTF-16: `iconv -f UTF-16 -t UTF-8 FILE | oom-agent explain`";

/// Looks at the first bytes.
pub(super) fn head(bytes: &[u8]) -> Head {
    // gzip: ID1, ID2 and CM = 8 (deflate), the only method that there is.
    let magics: [(&[u8], Packed); 3] =
        [(b"\x1f\x8b\x08", Packed::Gzip), (b"\xfd7zXZ\0", Packed::Xz), (b"\x28\xb5\x2f\xfd", Packed::Zstd)];
    let mut short = false;
    for (magic, packed) in magics {
        if bytes.starts_with(magic) {
            return Head::Packed(packed);
        }
        short |= magic.starts_with(bytes);
    }
    for (magic, what) in FOREIGN {
        if bytes.starts_with(magic) {
            return Head::Foreign(what);
        }
        short |= magic.starts_with(bytes);
    }
    // 0x184D2A50 to 0x184D2A5F, little endian.
    match bytes {
        [first, rest @ ..] if first & 0xf0 == 0x50 => {
            if rest.starts_with(b"\x2a\x4d\x18") {
                return Head::Packed(Packed::ZstdSkippable);
            }
            short |= b"\x2a\x4d\x18".starts_with(rest);
        }
        _ => {}
    }
    if short { Head::Short } else { Head::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_says_how_it_is_packed() {
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08\x00\x00"[..], Head::Packed(Packed::Gzip)),
            (b"\xfd7zXZ\0\0\x04", Head::Packed(Packed::Xz)),
            (b"\x28\xb5\x2f\xfd\x04", Head::Packed(Packed::Zstd)),
            (b"\x5a\x2a\x4d\x18\x00", Head::Packed(Packed::ZstdSkippable)),
            (b"", Head::Short),
            (b"\x1f", Head::Short),
            (b"\xfd7zX", Head::Short),
            (b"Z", Head::Short),
            (b"P*", Head::Short),
            (b"Process", Head::Plain),
            (b"\x1f\x8b\x00", Head::Plain),
            (b"[    7.5] x", Head::Plain),
            (b"BZh9", Head::Short),
            (b"BZh9 is a name", Head::Plain),
            (b"LPKSHHRH\0\0", Head::Foreign(FOREIGN[0].1)),
            (b"\xff", Head::Short),
            (b"\xff\xfe[\0 \0", Head::Foreign(UTF16)),
            (b"\xfe\xff\0[\0 ", Head::Foreign(UTF16)),
        ] {
            assert_eq!(head(bytes), expected, "{bytes:?}");
        }
    }
}
