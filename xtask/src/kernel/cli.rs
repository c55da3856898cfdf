//! `cargo xtask kernels`.

use std::process::ExitCode;

use anyhow::Result;

use super::{choice, store};
use crate::{
    cache,
    debian::{Archive, FULL_SUITES, Mirror, SMALL_SUITES},
};

/// Arguments of `cargo xtask kernels`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also ask the mirror for the series that it has (fetches about 40 MB of lists)
    #[arg(long)]
    available: bool,
}

/// Lists kernels on standard output, one a line.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let _lock = cache::lock("kernels")?;
    for kernel in store::all()? {
        println!("{}  cached  {}", kernel.version, kernel.vmlinux.display());
    }
    if args.available {
        let mirror = Mirror::of_this_machine()?;
        let mut packages = Vec::new();
        for (name, suites) in [("small", SMALL_SUITES), ("full", FULL_SUITES)] {
            let archive = Archive::new(name, &mirror, suites)?;
            archive.update()?;
            packages.extend(archive.packages(choice::is_cloud_image)?);
        }
        for version in choice::series(&packages) {
            println!("{version}  available");
        }
    }
    Ok(ExitCode::SUCCESS)
}
