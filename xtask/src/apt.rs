//! apt-get on this machine: asked first what it would do, so that nothing that is installed is upgraded or removed.

use crate::process;
use anyhow::Result;
use std::process::Command;
use std::time::Duration;

/// Questions to the local package lists.
pub(crate) const QUESTION: Duration = Duration::from_mins(1);
/// Downloads: 300 MB of packages over a slow line.
pub(crate) const DOWNLOAD: Duration = Duration::from_mins(10);
/// Unpacking and configuring, which a slow disk and another apt-get (see `DPkg::Lock::Timeout`) delay.
pub(crate) const INSTALL: Duration = Duration::from_mins(10);

/// `apt-get`, which asks nothing, waits for another one's lock but not forever, and takes no more than is needed.
pub(crate) fn get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--yes", "--no-install-recommends"])
        .args(["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold"])
        .args([
            "-o",
            "Acquire::http::Timeout=30",
            "-o",
            "Acquire::https::Timeout=30",
            "-o",
            "Acquire::Retries=2",
        ])
        .args(args);
    command
}

/// Asks apt-get what installing `packages` (names, or paths of files) would do.
pub(crate) fn simulate<S: AsRef<str>>(packages: &[S]) -> Result<Plan> {
    let mut command = get(&["install", "--simulate"]);
    command.args(packages.iter().map(AsRef::as_ref));
    Ok(Plan::parse(&process::capture(&mut command, QUESTION)?.ok("apt-get install --simulate")?))
}

/// What apt-get would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Packages that would be added.
    pub(crate) new: Vec<String>,
    /// Packages that are installed and would be replaced by another version.
    upgraded: Vec<String>,
    /// Packages that are installed and would go.
    removed: Vec<String>,
}

impl Plan {
    /// What it would change besides adding packages, in words: `upgrade libc6 and remove rustc`.
    pub(crate) fn changes(&self) -> Option<String> {
        let Self { new: _, upgraded, removed } = self;
        let changes: Vec<_> = [("upgrade", upgraded), ("remove", removed)]
            .into_iter()
            .filter(|(_, packages)| !packages.is_empty())
            .map(|(verb, packages)| format!("{verb} {}", packages.join(", ")))
            .collect();
        (!changes.is_empty()).then(|| changes.join(" and "))
    }

    /// From `Inst new (1.2 ...)`, `Inst upgraded [1.1] (1.2 ...)`, `Remv removed [1.1]` and `Purg removed [1.1]`.
    fn parse(simulation: &str) -> Self {
        let mut plan = Self::default();
        for line in simulation.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("Inst"), Some(name), Some(version)) if version.starts_with('[') => {
                    plan.upgraded.push(name.to_owned());
                }
                (Some("Inst"), Some(name), _) => plan.new.push(name.to_owned()),
                (Some("Remv" | "Purg"), Some(name), _) => plan.removed.push(name.to_owned()),
                _ => {}
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_more_than_it_adds_is_named() {
        let plan = Plan::parse("Inst rustc-web (1.96 X)\nInst libc6 [2.36] (2.37 X)\nRemv rustc [1.63]\n");
        assert_eq!(plan.changes().as_deref(), Some("upgrade libc6 and remove rustc"));
        assert_eq!(Plan::parse("Inst rustc-web (1.96 X)\n").changes(), None);
    }

    #[test]
    fn new_upgraded_and_removed_packages_are_told_apart() {
        let simulation = "\
NOTE: This is only a simulation!
Inst debootstrap (1.0.128 Debian:12.15/oldstable [all])
Inst jq [1.6-2.1+deb12u1] (1.6-2.1+deb12u3 Debian-Security:12/oldstable-security [amd64]) []
Remv rustc [1.63.0+dfsg1-2]
Conf debootstrap (1.0.128 Debian:12.15/oldstable [all])
";
        let plan = Plan {
            new: vec!["debootstrap".to_owned()],
            upgraded: vec!["jq".to_owned()],
            removed: vec!["rustc".to_owned()],
        };
        assert_eq!(Plan::parse(simulation), plan);
    }

    #[test]
    fn a_removal_and_an_upgrade_are_seen_among_additions() {
        let output = "Reading package lists...\n\
                      Remv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]\n\
                      Inst libfdt1 (1.6.1-4+b1 Debian:12.15/oldstable [amd64])\n\
                      Inst libc6 [2.36-9] (2.41-12 Debian:13 [amd64])\n\
                      Inst qemu-system-x86 (1:10.0.2 local-deb [amd64])\n\
                      Purg old-one [1.0]\n\
                      Conf libfdt1 (1.6.1-4+b1 Debian:12.15/oldstable [amd64])\n";
        let plan = Plan::parse(output);
        assert_eq!(plan.new, ["libfdt1", "qemu-system-x86"]);
        assert_eq!(
            (plan.upgraded, plan.removed),
            (vec!["libc6".to_owned()], vec!["qemu-utils".to_owned(), "old-one".to_owned()])
        );
    }
}
