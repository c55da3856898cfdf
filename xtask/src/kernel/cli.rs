//! `cargo xtask kernels`.

use std::process::ExitCode;

use anyhow::Result;

use super::{Wanted, choice, store};
use crate::{cache, debian::Archive, machine::Machine};

/// Arguments of `cargo xtask kernels`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of which machine
    #[arg(long, value_enum, default_value_t = Machine::this())]
    arch: Machine,
    /// Also ask the mirror for the series that it has (fetches about 40 MB of lists)
    #[arg(long)]
    available: bool,
}

/// Lists kernels on standard output, one a line.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let _lock = cache::lock("kernels")?;
    for kernel in store::all(args.arch)? {
        println!("{}  cached  {}", kernel.version, kernel.vmlinux.display());
    }
    if args.available {
        let wanted: Wanted = "newest".parse().map_err(anyhow::Error::msg)?;
        let mut packages = Vec::new();
        for archive in Archive::by_size(args.arch)? {
            let archive = archive?;
            archive.update()?;
            packages.extend(archive.packages(|name| wanted.is_image(args.arch, name))?);
        }
        for version in choice::series(&packages) {
            println!("{version}  available");
        }
    }
    Ok(ExitCode::SUCCESS)
}
