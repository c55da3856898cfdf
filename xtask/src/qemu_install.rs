//! QEMU, installed where it is missing and nothing else has to change for it.
//!
//! Every installation is simulated first, and refused if it would remove, upgrade or downgrade anything. On a machine
//! whose other QEMU packages are from another release (backports), apt would remove those to install its own choice:
//! there the matching version is downloaded apart (see [`crate::debian`]) and installed by file name, so that all else
//! still comes from the machine's own sources.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    apt,
    debian::{Archive, Package, version},
    machine::Machine,
    process,
    vm::qemu,
};

/// What has to be of one version with the package for a machine.
const SAME_VERSION: [&str; 2] = ["qemu-system-common", "qemu-system-data"];
/// The firmware that [`package`] needs for x86-64, versioned apart.
const FIRMWARE: &str = "seabios";
/// Packages that are built with [`package`] and are often installed without it.
const SIBLINGS: [&str; 3] = ["qemu-utils", "qemu-system-common", "qemu-system-data"];

/// The package with QEMU for `machine`.
const fn package(machine: Machine) -> &'static str {
    match machine {
        Machine::Amd64 => "qemu-system-x86",
        Machine::Arm64 => "qemu-system-arm",
    }
}

/// Makes sure that QEMU for `machine` is there: looks, and installs it only if it is missing.
///
/// # Errors
/// It is missing, and installing it takes another user, another distribution, or changes to installed packages.
pub(crate) fn ensure_qemu(machine: Machine) -> Result<()> {
    let (program, package) = (qemu::program(machine), package(machine));
    if Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let by_hand = format!("install it by hand: apt-get install --no-install-recommends {package}");
    if !rustix::process::geteuid().is_root() {
        bail!("{program} is missing, and only root can install it; {by_hand}");
    }
    let _lock = crate::cache::lock("qemu")?;
    let plan = plan(package).with_context(|| format!("{program} is missing; {by_hand}"))?;
    process::run(
        &format!("QEMU: installing {} packages", plan.added.len()),
        apt::get(&["install", "--no-remove"]).args(&plan.arguments),
        apt::INSTALL,
        &crate::cache::root()?.join("qemu-install.log"),
    )
}

/// An installation that was simulated and only adds packages.
#[derive(Debug)]
struct Plan {
    /// What to name to apt.
    arguments: Vec<String>,
    /// The packages that it adds.
    added: Vec<String>,
}

fn plan(package: &str) -> Result<Plan> {
    let own = vec![package.to_owned()];
    let simulation = apt::simulate(&own).or_else(|_| {
        // The lists were never fetched, or are older than the mirror's packages.
        eprintln!("      qemu  apt-get update");
        process::capture(&mut apt::get(&["update"]), apt::DOWNLOAD)?.ok("apt-get update")?;
        apt::simulate(&own)
    });
    let arguments = match simulation {
        Ok(simulation) => match simulation.changes() {
            None => return Ok(Plan { arguments: own, added: simulation.new }),
            Some(changes) => {
                matching_siblings(package).with_context(|| format!("apt's own choice would {changes}"))?
            }
        },
        // What is installed may also keep it from any choice.
        Err(error) => matching_siblings(package).with_context(|| format!("{error:#}"))?,
    };
    let simulation = apt::simulate(&arguments)?;
    if let Some(changes) = simulation.changes() {
        bail!("installing it would {changes}");
    }
    Ok(Plan { arguments, added: simulation.new })
}

/// Downloads `package` in the version of its siblings that are installed, with the firmware of the same release.
fn matching_siblings(package: &str) -> Result<Vec<String>> {
    let (sibling, wanted) = SIBLINGS
        .iter()
        .find_map(|sibling| Some((sibling, installed_version(sibling)?)))
        .ok_or_else(|| anyhow!("no other QEMU package is installed whose version could be matched"))?;
    eprintln!("      qemu  {sibling} is {wanted}: looking for that version of {package}");
    for archive in Archive::by_size(Machine::this())? {
        let archive = archive?;
        archive.update()?;
        let packages =
            archive.packages(|name| name == package || SAME_VERSION.contains(&name) || name == FIRMWARE)?;
        if let Some(chosen) = choose(&packages, package, &wanted) {
            let debs: Vec<PathBuf> =
                chosen.into_iter().map(|package| archive.download(package)).collect::<Result<_>>()?;
            return Ok(debs.into_iter().map(|deb| deb.display().to_string()).collect());
        }
    }
    bail!("the mirror no longer has {package} {wanted}, which matches {sibling}")
}

/// `package` and everything of [`SAME_VERSION`] in version `wanted`, and the newest firmware of that version's release.
fn choose<'a>(packages: &'a [Package], package: &str, wanted: &str) -> Option<Vec<&'a Package>> {
    let find = |name: &str| packages.iter().find(|package| package.name == name && package.version == wanted);
    let names = [package].into_iter().chain(SAME_VERSION);
    let mut chosen: Vec<&Package> = names.map(find).collect::<Option<_>>()?;
    if package != self::package(Machine::Amd64) {
        return Some(chosen);
    }
    let release = backport(wanted);
    let firmware = packages
        .iter()
        .filter(|package| package.name == FIRMWARE && backport(&package.version) == release)
        .max_by(|a, b| version::compare(&a.version, &b.version));
    // Without one of that release, the machine's own sources have to do.
    chosen.extend(firmware);
    Some(chosen)
}

/// `~bpo12` of a version that was built for Debian 12's backports.
fn backport(version: &str) -> Option<&str> {
    let (_, tail) = version.split_at(version.rfind("~bpo")?);
    Some(tail.split('+').next().unwrap_or(tail))
}

fn installed_version(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Version}", package])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix("installed ").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_installed_siblings_is_taken_with_its_releases_firmware() {
        let offer =
            |name: &str, version: &str| Package { name: name.into(), version: version.into(), bytes: 1 };
        let wanted = "1:10.0.2+ds-2+deb13u1~bpo12+1";
        let mut packages = vec![
            offer("qemu-system-x86", "1:11.1.3+ds-1~bpo13+1"),
            offer("qemu-system-x86", wanted),
            offer("qemu-system-common", wanted),
            offer("seabios", "1.17.0-1~bpo13+1"),
            offer("seabios", "1.16.3-2~bpo12+1"),
            offer("seabios", "1.17.0-1"),
        ];
        assert_eq!(choose(&packages, "qemu-system-x86", wanted), None, "qemu-system-data is missing");
        packages.push(offer("qemu-system-data", wanted));
        let chosen = choose(&packages, "qemu-system-x86", wanted).unwrap();
        let versions: Vec<&str> = chosen.iter().map(|package| package.version.as_str()).collect();
        assert_eq!(versions, [wanted, wanted, wanted, "1.16.3-2~bpo12+1"]);
    }
}
