//! Which package is the kernel that was asked for.

use std::{cmp::Ordering, fmt, str::FromStr};

use crate::{
    debian::{Package, version},
    machine::Machine,
};

/// Packages that are smaller only depend on the one that holds the image.
const IMAGE_BYTES: u64 = 1 << 20;

/// What was asked for: `newest`, a series (`6.1`) or a version (`5.10.218`); with `-16k` behind it arm64's kernel with pages
/// of 16 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Numbers that the upstream version begins with. `None`: the newest that the mirror has, in the suites that are
    /// looked at first.
    numbers: Option<String>,
    /// Not the cloud's kernel.
    large_pages: bool,
}

/// What tells kernels with large pages, and what is asked for of them.
const LARGE_PAGES: &str = "-16k";

impl Wanted {
    /// Whether the upstream version `upstream` is one of those asked for. Release candidates never are.
    pub(crate) fn matches(&self, upstream: &str) -> bool {
        if upstream.contains('~') {
            return false;
        }
        self.numbers.as_ref().is_none_or(|numbers| {
            upstream.strip_prefix(numbers).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// What the kernel of this upstream version is called, if it is what is asked for.
    pub(crate) fn name(&self, upstream: &str) -> String {
        format!("{upstream}{}", if self.large_pages { LARGE_PAGES } else { "" })
    }

    /// Whether the kernel that is called `name` is one of those asked for.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let upstream = name.strip_suffix(LARGE_PAGES);
        upstream.is_some() == self.large_pages && self.matches(upstream.unwrap_or(name))
    }

    /// Bytes of its pages.
    pub(crate) fn page_bytes(&self) -> u64 {
        if self.large_pages { 16 << 10 } else { 4 << 10 }
    }

    /// The one kernel that it can mean.
    pub(crate) fn exact(&self) -> Option<String> {
        let numbers = self.numbers.as_ref().filter(|numbers| numbers.split('.').count() == 3)?;
        Some(self.name(numbers))
    }

    /// Whether a package of this name may hold such a kernel: `linux-image-*` up to 6.18, `linux-binary-*` from 6.19 on.
    pub(crate) fn is_image(&self, machine: Machine, name: &str) -> bool {
        let name = name.strip_suffix("-unsigned").unwrap_or(name);
        let flavour = if self.large_pages {
            name.ends_with(&format!("-{}{LARGE_PAGES}", machine.name()))
        } else {
            name.ends_with(&format!("-cloud-{}", machine.name()))
        };
        flavour && (name.starts_with("linux-image-") || name.starts_with("linux-binary-"))
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (version, large_pages) = match text.strip_suffix(LARGE_PAGES) {
            Some(version) => (version, true),
            None => (text, false),
        };
        if version == "newest" {
            return Ok(Self { numbers: None, large_pages });
        }
        let numbers: Vec<&str> = version.split('.').collect();
        let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if (2..=3).contains(&numbers.len()) && numbers.iter().all(number) {
            return Ok(Self { numbers: Some(version.to_owned()), large_pages });
        }
        Err("a kernel is a series like 6.1, a version like 5.10.218, or newest; of arm64 with pages of 16 KiB: 6.12-16k".to_owned())
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name(self.numbers.as_deref().unwrap_or("newest")))
    }
}

/// Of packages that [`Wanted::is_image`] lets through, the one with the newest kernel that is `wanted`; of equal ones the signed one, which is always kept longest.
pub(crate) fn newest<'a>(packages: &'a [Package], wanted: &Wanted) -> Option<&'a Package> {
    images(packages)
        .filter(|package| wanted.matches(version::upstream(&package.version)))
        .max_by(|a, b| order(a, b))
}

/// The newest version of each series that `packages` hold, oldest series first.
pub(crate) fn series(packages: &[Package]) -> Vec<String> {
    let mut images: Vec<&Package> = images(packages).filter(|image| !image.version.contains("~rc")).collect();
    images.sort_by(|a, b| order(b, a));
    let mut versions: Vec<&str> =
        images.into_iter().map(|package| version::upstream(&package.version)).collect();
    versions.dedup_by_key(|version| series_of(version));
    versions.reverse();
    versions.into_iter().map(str::to_owned).collect()
}

/// `6.1` of `6.1.192`.
fn series_of(upstream: &str) -> &str {
    upstream.match_indices('.').nth(1).map_or(upstream, |(at, _)| &upstream[..at])
}

fn images(packages: &[Package]) -> impl Iterator<Item = &Package> {
    packages.iter().filter(|package| package.bytes >= IMAGE_BYTES)
}

fn order(a: &Package, b: &Package) -> Ordering {
    let unsigned = |package: &Package| package.name.contains("unsigned");
    version::compare(&a.version, &b.version).then_with(|| unsigned(b).cmp(&unsigned(a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, bytes: u64) -> Package {
        Package { name: name.to_owned(), version: version.to_owned(), bytes }
    }

    fn archive() -> Vec<Package> {
        vec![
            package("linux-image-5.10.0-30-cloud-amd64", "5.10.218-1", 20_962_008),
            package("linux-image-5.10.0-46-cloud-amd64", "5.10.262-1", 21_521_796),
            package("linux-image-6.1.0-55-cloud-amd64", "6.1.192-1", 26_714_844),
            package("linux-image-6.1.0-56-cloud-amd64-unsigned", "6.1.192-2", 26_714_428),
            package("linux-image-6.1.0-56-cloud-amd64", "6.1.192-2", 26_713_492),
            package("linux-image-6.1-cloud-amd64", "6.1.192-2", 1_500),
            package("linux-image-6.12.117+deb12-cloud-amd64", "6.12.117-1~deb12u1", 34_307_256),
            package("linux-image-6.12.117+deb13-cloud-amd64", "6.12.117-1", 34_671_208),
            package("linux-image-7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1", 1_924),
            package("linux-binary-7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1", 13_389_360),
            package("linux-binary-unsigned-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1", 13_602_692),
            package("linux-binary-7.4-cloud-amd64", "7.4~rc7-1~exp1", 13_885_624),
        ]
    }

    fn name(wanted: &str) -> Option<String> {
        newest(&archive(), &wanted.parse().unwrap()).map(|package| package.name.clone())
    }

    #[test]
    fn a_series_is_its_newest_point_release() {
        assert_eq!(name("5.10").as_deref(), Some("linux-image-5.10.0-46-cloud-amd64"));
        assert_eq!(name("6.12").as_deref(), Some("linux-image-6.12.117+deb13-cloud-amd64"));
    }

    #[test]
    fn a_series_is_not_a_prefix_of_letters() {
        assert_eq!(name("6.1").as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"), "not 6.12");
        assert_eq!(
            name("7.2").as_deref(),
            Some("linux-binary-7.2.12+deb13-cloud-amd64"),
            "not the empty linux-image"
        );
    }

    #[test]
    fn an_exact_version_is_that_one_or_none() {
        assert_eq!(name("5.10.218").as_deref(), Some("linux-image-5.10.0-30-cloud-amd64"));
        assert_eq!(name("5.10.21"), None);
    }

    #[test]
    fn the_newest_is_no_release_candidate() {
        assert_eq!(name("newest").as_deref(), Some("linux-binary-unsigned-7.3.4+deb13-cloud-amd64"));
    }

    #[test]
    fn the_series_on_offer_are_listed_oldest_first() {
        assert_eq!(series(&archive()), ["5.10.262", "6.1.192", "6.12.117", "7.2.12", "7.3.4"]);
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "6", "six", "6.", "6.1.2.3", "6.1/..", "latest", "-16k"] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }

    #[test]
    fn debug_symbols_and_other_flavours_are_not_images() {
        let is_image =
            |wanted: &str, machine, name| wanted.parse::<Wanted>().unwrap().is_image(machine, name);
        let amd64 = |name| is_image("newest", Machine::Amd64, name);
        assert!(amd64("linux-image-6.1.0-56-cloud-amd64-unsigned"));
        assert!(!amd64("linux-image-6.1.0-56-cloud-amd64-dbg"));
        assert!(!amd64("linux-image-6.1.0-56-amd64"));
        assert!(!amd64("linux-headers-6.1.0-56-cloud-amd64"));
        assert!(!amd64("linux-image-6.1.0-56-cloud-arm64"));
        assert!(is_image("7.2", Machine::Arm64, "linux-binary-7.2.12+deb13-cloud-arm64"));
        assert!(is_image("7.2-16k", Machine::Arm64, "linux-binary-unsigned-7.2.12+deb13-arm64-16k"));
        assert!(!is_image("7.2", Machine::Arm64, "linux-binary-7.2.12+deb13-arm64-16k"));
    }

    #[test]
    fn kernels_with_large_pages_are_others() {
        let (small, large): (Wanted, Wanted) = ("6.12".parse().unwrap(), "6.12-16k".parse().unwrap());
        assert_eq!((large.to_string(), large.name("6.12.118")), ("6.12-16k".into(), "6.12.118-16k".into()));
        assert!(large.is_called("6.12.118-16k") && !large.is_called("6.12.118"));
        assert!(small.is_called("6.12.118") && !small.is_called("6.12.118-16k"));
        assert_eq!("6.12.118-16k".parse::<Wanted>().unwrap().exact().as_deref(), Some("6.12.118-16k"));
        assert_eq!(large.exact(), None);
    }
}
