//! One entry of a `Packages` index.

/// A package as the archive offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its Debian version, with epoch and revision.
    pub(crate) version: String,
    /// The size of its `.deb`, in bytes.
    pub(crate) bytes: u64,
}

impl Package {
    /// Reads the stanzas of an index (deb822) whose package name is `wanted`. One that lacks a field that is needed
    /// here is left out.
    pub(crate) fn parse_index(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Self> {
        text.split("\n\n").filter_map(|stanza| Self::parse(stanza, &wanted)).collect()
    }

    fn parse(stanza: &str, wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        let name = field("Package").filter(|name| wanted(name))?;
        Some(Self { name, version: field("Version")?, bytes: field("Size")?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_gives_its_packages_and_skips_what_is_damaged() {
        let index = "Package: linux-image-6.1.0-56-cloud-amd64\nArchitecture: amd64\nVersion: 6.1.192-2\n\
                     Description: Linux 6.1\n Package: not a field\nSize: 26713492\n\n\
                     Package: cut-short\nVersion: 1\n\n\
                     Package: qemu-utils\nVersion: 1:10.0.2+ds-2\nSize: 12\n";
        let packages = Package::parse_index(index, |_| true);
        assert_eq!(packages.len(), 2);
        assert_eq!(packages[0].name, "linux-image-6.1.0-56-cloud-amd64");
        assert_eq!((packages[0].version.as_str(), packages[0].bytes), ("6.1.192-2", 26_713_492));
        assert_eq!(packages[1].version, "1:10.0.2+ds-2");
        assert_eq!(Package::parse_index(index, |name| name.starts_with("qemu")).len(), 1);
    }
}
