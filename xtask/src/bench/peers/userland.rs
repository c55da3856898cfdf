//! A disk with Debian's tools and all that they need, made of packages that are downloaded and unpacked, not installed.

use crate::{
    cache,
    debian::{Archive, Mirror, root},
    kernel::Kernel,
    machine::Machine,
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The release that the kernel is of, whose tools are measured: bcc compiles against the kernel's headers, and each release's
/// knows its own. `kernel`: its version.
fn suites(kernel: &str) -> &'static [&'static str] {
    let major_minor = |version: &str| {
        let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
        (parts.next(), parts.next())
    };
    match major_minor(kernel) {
        version if version <= (Some(6), Some(1)) => &["bookworm", "bookworm-security"],
        version if version <= (Some(6), Some(12)) => &["trixie", "trixie-security"],
        _ => &["forky"],
    }
}

/// Tools and their packages.
const TOOLS: [(&str, &str); 4] = [
    ("libbpf-tools oomkill", "libbpf-tools"),
    ("bpftrace oomkill.bt", "bpftrace"),
    (BCC, "bpfcc-tools"),
    ("node_exporter", "prometheus-node-exporter"),
];
/// It compiles against the kernel's headers.
const BCC: &str = "bcc oomkill";

/// The disk of one kernel.
#[derive(Debug)]
pub(super) struct Userland {
    /// An ext4 file system.
    pub(super) image: PathBuf,
    /// Bytes of each tool with everything that it needs, as its packages say.
    pub(super) sizes: BTreeMap<String, u64>,
}

/// Gives it from the cache, or makes it.
pub(super) fn get(kernel: &Kernel) -> Result<Userland> {
    let _lock = cache::lock("peers")?;
    let directory = cache::directory(&cache::root()?.join("peers"))?;
    let name = format!("{}-{}", kernel.version, suites(&kernel.version)[0]);
    let image = directory.join(format!("{name}.ext4"));
    let list = directory.join(format!("{name}.json"));
    if !list.exists() {
        let sizes = make(kernel, &directory, &image)?;
        fs::write(&list, serde_json::to_vec_pretty(&sizes)?)
            .with_context(|| format!("writing {}", list.display()))?;
    }
    let bytes = fs::read(&list).with_context(|| format!("reading {}", list.display()))?;
    let sizes = serde_json::from_slice(&bytes).with_context(|| format!("reading {}", list.display()))?;
    Ok(Userland { image, sizes })
}

fn make(kernel: &Kernel, directory: &Path, image: &Path) -> Result<BTreeMap<String, u64>> {
    let into = directory.join("root");
    root::create(&into)?;
    let suites = suites(&kernel.version);
    let archive = Archive::new(&format!("peers-{}", suites[0]), &Mirror::of_this_machine()?, suites)?;
    let debs = root::fetch(
        &archive,
        &TOOLS.map(|(_, package)| package),
        &directory.join(format!("debs-{}", suites[0])),
    )?;
    let mut bytes = BTreeMap::new();
    for deb in debs {
        let (name, size) = root::unpack(&deb, &into)?;
        bytes.insert(name, size);
    }
    let headers = headers(kernel, directory, &into)?;
    let mut sizes = BTreeMap::new();
    for (tool, package) in TOOLS {
        let packages = archive.closure(&[package])?;
        let sum: u64 = packages.iter().filter_map(|package| bytes.get(&package.name)).sum();
        sizes.insert(tool.to_owned(), sum + if tool == BCC { headers } else { 0 });
    }
    // Room for what the guest adds.
    let mib = (bytes.values().sum::<u64>() + headers) / (1 << 20) * 3 / 2 + 128;
    root::image(&into, image, mib)?;
    Ok(sizes)
}

/// Unpacks the kernel's headers, where the mirror has them. The bytes that they take.
fn headers(kernel: &Kernel, directory: &Path, into: &Path) -> Result<u64> {
    let package = kernel.package()?;
    let Some(abi) = ["linux-image-", "linux-binary-"].iter().find_map(|begin| package.strip_prefix(begin))
    else {
        bail!("the kernel's package has an unknown name: {package}");
    };
    let abi = abi.trim_end_matches("-unsigned");
    let common = abi.trim_end_matches("-cloud-amd64");
    let wanted = [format!("linux-headers-{abi}"), format!("linux-headers-{common}-common")];
    for archive in Archive::by_size(Machine::this())? {
        let archive = archive?;
        let mut packages = archive.packages(|name| wanted.iter().any(|wanted| wanted == name))?;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        packages.dedup_by(|a, b| a.name == b.name);
        if packages.len() < wanted.len() {
            continue;
        }
        let fetched = cache::directory(&directory.join(format!("headers-{}", kernel.version)))?;
        archive.download_all(&packages, &fetched)?;
        let unpacked =
            root::files(&fetched)?.iter().map(|deb| root::unpack(deb, into)).collect::<Result<Vec<_>>>()?;
        fs::remove_dir_all(&fetched).with_context(|| format!("removing {}", fetched.display()))?;
        return Ok(unpacked.iter().map(|(_, bytes)| bytes).sum());
    }
    eprintln!(
        "      note  the mirror has no headers of Linux {} (any more): bcc will not find them",
        kernel.version
    );
    Ok(0)
}
