//! A disk with Debian's tools and all that they need, made of packages that are downloaded and unpacked, not installed.

use crate::{
    cache,
    debian::{Archive, FULL_SUITES, Mirror, SMALL_SUITES},
    kernel::Kernel,
    process,
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The release whose tools are measured.
const SUITES: &[&str] = &["bookworm", "bookworm-security"];
/// Tools and their packages.
const TOOLS: [(&str, &str); 4] = [
    ("libbpf-tools oomkill", "libbpf-tools"),
    ("bpftrace oomkill.bt", "bpftrace"),
    (BCC, "bpfcc-tools"),
    ("node_exporter", "prometheus-node-exporter"),
];
/// It compiles against the kernel's headers.
const BCC: &str = "bcc oomkill";
const UNPACK: Duration = Duration::from_mins(2);

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
    let image = directory.join(format!("{}.ext4", kernel.version));
    let list = directory.join(format!("{}.json", kernel.version));
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
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    }
    let archive = Archive::new("peers", &Mirror::of_this_machine()?, SUITES)?;
    let debs = directory.join("debs");
    if !debs.exists() {
        let fetched = cache::directory(&directory.join("debs.new"))?;
        archive.update()?;
        let packages = archive.closure(&TOOLS.map(|(_, package)| package))?;
        archive.download_all(&packages, &fetched)?;
        fs::rename(&fetched, &debs).with_context(|| format!("naming {}", debs.display()))?;
    }
    let mut bytes = BTreeMap::new();
    for deb in files(&debs)? {
        let (name, size) = unpack(&deb, &root)?;
        bytes.insert(name, size);
    }
    let headers = headers(kernel, directory, &root)?;
    let mut sizes = BTreeMap::new();
    for (tool, package) in TOOLS {
        let packages = archive.closure(&[package])?;
        let sum: u64 = packages.iter().filter_map(|package| bytes.get(&package.name)).sum();
        sizes.insert(tool.to_owned(), sum + if tool == BCC { headers } else { 0 });
    }
    // Room for what the guest adds.
    let mib = (bytes.values().sum::<u64>() + headers) / (1 << 20) * 3 / 2 + 128;
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-O", "^has_journal", "-d"]).arg(&root).arg(image).arg(format!("{mib}M"));
    process::capture(&mut mkfs, UNPACK)?.ok("making the file system (mkfs.ext4, of e2fsprogs)")?;
    fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    Ok(sizes)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Unpacks a package. Its name, and the bytes that it takes when installed.
fn unpack(deb: &Path, root: &Path) -> Result<(String, u64)> {
    process::capture(Command::new("dpkg-deb").arg("-x").arg(deb).arg(root), UNPACK)?
        .ok(&format!("unpacking {}", deb.display()))?;
    let mut ask = Command::new("dpkg-deb");
    ask.args(["--show", "--showformat", "${Package} ${Installed-Size}"]).arg(deb);
    let answer = process::capture(&mut ask, UNPACK)?.ok("asking for a package's size")?;
    let (name, kib) = answer.split_once(' ').with_context(|| format!("dpkg-deb said {answer:?}"))?;
    let kib: u64 = kib.trim().parse().with_context(|| format!("the size of {name}: {kib:?}"))?;
    Ok((name.to_owned(), kib << 10))
}

/// Unpacks the kernel's headers, where the mirror has them. The bytes that they take.
fn headers(kernel: &Kernel, directory: &Path, root: &Path) -> Result<u64> {
    let package = kernel.package()?;
    let Some(abi) = ["linux-image-", "linux-binary-"].iter().find_map(|begin| package.strip_prefix(begin))
    else {
        bail!("the kernel's package has an unknown name: {package}");
    };
    let abi = abi.trim_end_matches("-unsigned");
    let common = abi.trim_end_matches("-cloud-amd64");
    let wanted = [format!("linux-headers-{abi}"), format!("linux-headers-{common}-common")];
    let mirror = Mirror::of_this_machine()?;
    for (name, suites) in [("small", SMALL_SUITES), ("full", FULL_SUITES)] {
        let archive = Archive::new(name, &mirror, suites)?;
        let mut packages = archive.packages(|name| wanted.iter().any(|wanted| wanted == name))?;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        packages.dedup_by(|a, b| a.name == b.name);
        if packages.len() < wanted.len() {
            continue;
        }
        let into = cache::directory(&directory.join(format!("headers-{}", kernel.version)))?;
        archive.download_all(&packages, &into)?;
        let unpacked = files(&into)?.iter().map(|deb| unpack(deb, root)).collect::<Result<Vec<_>>>()?;
        fs::remove_dir_all(&into).with_context(|| format!("removing {}", into.display()))?;
        return Ok(unpacked.iter().map(|(_, bytes)| bytes).sum());
    }
    eprintln!(
        "      note  the mirror has no headers of Linux {} (any more): bcc will not find them",
        kernel.version
    );
    Ok(0)
}
