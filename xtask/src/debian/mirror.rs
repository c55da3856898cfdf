//! Which mirror to use: the one that the machine's own apt sources name.

use std::{env, process::Command, time::Duration};

use anyhow::{Result, bail};

use crate::process;

/// The two archives that hold Debian's kernels, as URIs without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The archive of releases and backports.
    pub(crate) main: String,
    /// The archive of security updates.
    pub(crate) security: String,
}

impl Mirror {
    /// Asks apt for this machine's sources. `$OOM_DEBIAN_MIRROR` overrides it, for machines whose sources are not
    /// Debian's (Ubuntu).
    pub(crate) fn of_this_machine() -> Result<Self> {
        if let Ok(main) = env::var("OOM_DEBIAN_MIRROR") {
            return Ok(Self::beside(&main));
        }
        let format = "$(REPO_URI) $(RELEASE)";
        let targets = process::capture(
            Command::new("apt-get").args([
                "indextargets",
                "--no-release-info",
                "--format",
                format,
                "Created-By: Packages",
            ]),
            Duration::from_secs(20),
        )?
        .ok("asking apt for its sources")?;
        match Self::parse(&targets) {
            Some(mirror) => Ok(mirror),
            None => bail!(
                "this machine's apt sources name no Debian mirror, which the kernels for the VMs come from; \
                 set OOM_DEBIAN_MIRROR to the address of one (on Ubuntu also: apt-get install debian-archive-keyring)"
            ),
        }
    }

    /// Reads lines of `<URI> <suite>`. Debian's main archive ends in `/debian`, on every mirror.
    fn parse(lines: &str) -> Option<Self> {
        let sources = || lines.lines().filter_map(|line| line.trim().split_once(' '));
        let clean = |uri: &str| uri.trim_end_matches('/').to_owned();
        let main = sources().map(|(uri, _)| clean(uri)).find(|uri| uri.ends_with("/debian"))?;
        let security = sources()
            .find(|(uri, suite)| suite.ends_with("-security") && clean(uri).ends_with("/debian-security"));
        let security = security.map_or_else(|| Self::beside(&main).security, |(uri, _)| clean(uri));
        Some(Self { main, security })
    }

    /// The usual layout: security updates in a directory of that name beside the main archive.
    fn beside(main: &str) -> Self {
        let main = main.trim_end_matches('/').to_owned();
        Self { security: format!("{main}-security"), main }
    }

    /// The address that holds `suite`.
    pub(crate) fn of(&self, suite: &str) -> &str {
        if suite.ends_with("-security") { &self.security } else { &self.main }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_sources_name_both_archives() {
        let lines = "http://mirror.example/debian/ bookworm\n\
                     http://mirror.example/debian/ bookworm-updates\n\
                     http://sec.example/debian-security/ bookworm-security\n";
        let mirror = Mirror::parse(lines).unwrap();
        assert_eq!(mirror.of("trixie-backports"), "http://mirror.example/debian");
        assert_eq!(mirror.of("trixie-security"), "http://sec.example/debian-security");
    }

    #[test]
    fn without_a_security_source_it_is_looked_for_beside_the_main_archive() {
        let mirror = Mirror::parse("https://mirror.example/pub/debian/ trixie\n").unwrap();
        assert_eq!(mirror.security, "https://mirror.example/pub/debian-security");
    }

    #[test]
    fn sources_of_another_distribution_give_none() {
        assert_eq!(Mirror::parse("http://main.example/ubuntu/ noble\n"), None);
    }
}
