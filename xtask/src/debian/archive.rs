//! An apt of its own: lists and downloads in a directory, the machine's package state out of reach.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{FULL_SUITES, Mirror, Package, SMALL_SUITES};
use crate::{cache, machine::Machine, process};

/// Signs every release that is asked for, also on machines of another release.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Unpacks lists, however apt packed them.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";
const LISTS_LIMIT: Duration = Duration::from_mins(3);
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(5);

/// Some suites of Debian's archive, as seen by an apt configuration of its own.
#[derive(Debug)]
pub(crate) struct Archive {
    directory: PathBuf,
    suites: Vec<String>,
}

impl Archive {
    /// Packages for this machine: [`Archive::of`].
    pub(crate) fn new(name: &str, mirror: &Mirror, suites: &[&str]) -> Result<Self> {
        Self::of(Machine::this(), name, mirror, suites)
    }

    /// Where to look for a package of `machine`, one after the other: in the small suites, then in the full releases.
    pub(crate) fn by_size(machine: Machine) -> Result<impl Iterator<Item = Result<Self>>> {
        let mirror = Mirror::of_this_machine()?;
        let kinds = [("small", SMALL_SUITES), ("full", FULL_SUITES)];
        Ok(kinds.into_iter().map(move |(name, suites)| Self::of(machine, name, &mirror, suites)))
    }

    /// The same with source packages.
    pub(crate) fn with_sources(name: &str, mirror: &Mirror, suites: &[&str]) -> Result<Self> {
        Self::of_kinds(&["deb", "deb-src"], Machine::this(), name, mirror, suites)
    }

    /// Sets up the configuration for `machine`'s packages, in a directory below `<cache>/apt`. Does not touch the network.
    pub(crate) fn of(machine: Machine, name: &str, mirror: &Mirror, suites: &[&str]) -> Result<Self> {
        Self::of_kinds(&["deb"], machine, name, mirror, suites)
    }

    fn of_kinds(
        kinds: &[&str],
        machine: Machine,
        name: &str,
        mirror: &Mirror,
        suites: &[&str],
    ) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!(
                "{KEYRING} is missing, so packages could not be verified: apt-get install debian-archive-keyring"
            );
        }
        let name = if machine.is_this() { name.to_owned() } else { format!("{name}-{}", machine.name()) };
        let directory = cache::directory(&cache::root()?.join("apt").join(name))?;
        for sub in ["lists/partial", "cache/archives/partial", "download"] {
            cache::directory(&directory.join(sub))?;
        }
        let mut sources = String::new();
        for suite in suites {
            let uri = mirror.of(suite);
            for kind in kinds {
                let arch = machine.name();
                let _ = writeln!(sources, "{kind} [arch={arch} signed-by={KEYRING}] {uri} {suite} main");
            }
        }
        write(&directory.join("sources.list"), &sources)?;
        write(&directory.join("status"), "")?;
        write(&directory.join("apt.conf"), &configuration(&directory, machine))?;
        Ok(Self { directory, suites: suites.iter().map(|&suite| suite.to_owned()).collect() })
    }

    /// Fetches the suites' lists. A suite that the mirror does not have (any more) is left out with a note.
    pub(crate) fn update(&self) -> Result<()> {
        let start = Instant::now();
        eprintln!("     lists  of {}", self.suites.join(", "));
        let ended = process::capture(self.apt("apt-get").arg("update"), LISTS_LIMIT)?;
        for line in ended.stderr.lines().filter(|line| line.starts_with("E: ")) {
            eprintln!("            {line}");
        }
        let mut bytes = 0;
        for entry in
            fs::read_dir(self.directory.join("lists")).context("reading the fetched lists")?.flatten()
        {
            if entry.file_name().to_string_lossy().contains("_Packages") {
                bytes += entry.metadata().map_or(0, |metadata| metadata.len());
            }
        }
        if bytes == 0 {
            bail!(
                "no package list could be fetched from the mirror in this machine's apt sources: {}",
                ended.stderr.trim()
            );
        }
        eprintln!("            {} MB in {:.1} s", bytes / 1_000_000, start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Every version of every package of the suites whose name passes `wanted`.
    pub(crate) fn packages(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Package>> {
        let targets = ["indextargets", "--format", "$(FILENAME)", "Created-By: Packages"];
        let lists = process::capture(self.apt("apt-get").args(targets), Duration::from_mins(1))?
            .ok("apt-get indextargets")?;
        if lists.trim().is_empty() {
            return Ok(Vec::new());
        }
        // `apt-cache dumpavail` would show one version of each package only.
        let unpack = process::capture(
            self.apt(APT_HELPER).arg("cat-file").args(lists.lines()),
            Duration::from_mins(1),
        )?;
        Ok(Package::parse_index(&unpack.ok("unpacking the package lists")?, wanted))
    }

    /// These packages and all that they need, as if nothing was installed.
    pub(crate) fn closure(&self, names: &[&str]) -> Result<Vec<Package>> {
        let mut simulate = self.apt("apt-get");
        simulate.args(["install", "--simulate", "--no-install-recommends"]).args(names);
        let plan =
            process::capture(&mut simulate, Duration::from_mins(1))?.ok("apt-get install --simulate")?;
        // `Inst libc6 (2.36-9 Debian:12/oldstable [amd64])`
        let chosen: Vec<(&str, &str)> = plan
            .lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split_once(" ("))
            .filter_map(|(name, rest)| Some((name, rest.split(' ').next()?)))
            .collect();
        let mut packages = self.packages(|name| chosen.iter().any(|(chosen, _)| *chosen == name))?;
        packages.retain(|package| chosen.contains(&(&package.name, &package.version)));
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        packages.dedup();
        Ok(packages)
    }

    /// Downloads packages (verified by apt) into a directory.
    pub(crate) fn download_all(&self, packages: &[Package], into: &Path) -> Result<()> {
        let start = Instant::now();
        let bytes: u64 = packages.iter().map(|package| package.bytes).sum();
        eprintln!("  download  {} packages ({:.1} MB)", packages.len(), bytes as f64 / 1e6);
        let specs = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        let mut download = self.apt("apt-get");
        download.arg("download").args(specs).current_dir(into);
        process::capture(&mut download, DOWNLOAD_LIMIT)?.ok("downloading packages")?;
        eprintln!("            in {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Downloads the files of a source package (verified by apt) into a directory.
    pub(crate) fn download_source(&self, name: &str, into: &Path) -> Result<()> {
        eprintln!("  download  source of {name}");
        let mut source = self.apt("apt-get");
        source.args(["source", "--download-only", name]).current_dir(into);
        process::capture(&mut source, DOWNLOAD_LIMIT)?.ok(&format!("downloading the source of {name}"))?;
        Ok(())
    }

    /// Downloads `package` in `version` (verified by apt) and gives the path of the `.deb`.
    pub(crate) fn download(&self, package: &Package) -> Result<PathBuf> {
        let start = Instant::now();
        let spec = format!("{}={}", package.name, package.version);
        eprintln!("  download  {spec} ({:.1} MB)", package.bytes as f64 / 1e6);
        let into = self.directory.join("download");
        process::capture(self.apt("apt-get").args(["download", &spec]).current_dir(&into), DOWNLOAD_LIMIT)?
            .ok(&format!("downloading {spec}"))?;
        let prefix = format!("{}_", package.name);
        let version = package.version.replace(':', "%3a");
        for entry in fs::read_dir(&into).context("reading the download directory")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) && name.contains(&version) {
                eprintln!("            in {:.1} s", start.elapsed().as_secs_f64());
                return Ok(entry.path());
            }
        }
        bail!("apt downloaded {spec} but left no {prefix}*.deb in {}", into.display())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.directory.join("apt.conf")).env("LC_ALL", "C.UTF-8");
        command
    }
}

/// Read last (`apt -c`), so that it wins over the machine's own files.
fn configuration(directory: &Path, machine: Machine) -> String {
    let at = |sub: &str| directory.join(sub).display().to_string();
    // apt hands root's downloads to a user of its own, who may not enter the directory they go to.
    let sandbox = if rustix::process::geteuid().is_root() { "APT::Sandbox::User \"root\";\n" } else { "" };
    format!(
        "Dir::Etc::sourcelist \"{}\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         Dir::State \"{}\";\n\
         Dir::State::lists \"{}\";\n\
         Dir::State::status \"{}\";\n\
         Dir::Cache \"{}\";\n\
         #clear APT::Update::Pre-Invoke;\n\
         #clear APT::Update::Post-Invoke;\n\
         #clear APT::Update::Post-Invoke-Success;\n\
         APT::Architecture \"{name}\";\n\
         APT::Architectures {{ \"{name}\"; }};\n\
         Acquire::Languages \"none\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
         Acquire::Retries \"2\";\n\
         Acquire::http::Timeout \"20\";\n\
         Acquire::https::Timeout \"20\";\n\
         {sandbox}",
        at("sources.list"),
        directory.display(),
        at("lists"),
        at("status"),
        at("cache"),
        name = machine.name(),
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
