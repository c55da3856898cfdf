//! The style sheet and the script. Their names say what is in them, so that a browser may keep them for ever.

/// A file of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Content type.
    pub kind: &'static str,
    /// What is in it.
    pub text: &'static str,
    stem: &'static str,
    end: &'static str,
    hash: u64,
}

impl Asset {
    const fn new(kind: &'static str, text: &'static str, stem: &'static str, end: &'static str) -> Self {
        Self { kind, text, stem, end, hash: hash(text.as_bytes()) }
    }

    /// Its path on the server.
    pub fn path(&self) -> String {
        format!("/assets/{}", self.name())
    }

    /// Its name: another one for other contents.
    pub fn name(&self) -> String {
        format!("{}.{:016x}.{}", self.stem, self.hash, self.end)
    }
}

/// How the pages look.
pub const STYLE: Asset =
    Asset::new("text/css; charset=utf-8", include_str!("assets/page.css"), "page", "css");
/// What they can do beyond being read.
pub const SCRIPT: Asset =
    Asset::new("text/javascript; charset=utf-8", include_str!("assets/page.js"), "page", "js");

/// The file of that name below `/assets/`.
pub fn find(name: &str) -> Option<Asset> {
    [STYLE, SCRIPT].into_iter().find(|asset| asset.name() == name)
}

/// FNV-1a.
const fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_their_names_and_are_small() {
        assert_eq!(find(&STYLE.name()), Some(STYLE));
        assert_eq!(find(SCRIPT.path().trim_start_matches("/assets/")), Some(SCRIPT));
        assert_eq!(find("page.css"), None);
        assert_ne!(hash(b"a"), hash(b"b"));
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
        let bytes = STYLE.text.len() + SCRIPT.text.len();
        assert!(bytes < 40 << 10, "{bytes}");
        assert!(!STYLE.text.contains("://") && !STYLE.text.contains("@import"), "nothing from elsewhere");
        assert!(!SCRIPT.text.contains("://"), "nothing from elsewhere");
    }
}
