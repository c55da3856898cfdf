//! A program with fewer privileges.

use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Drops capabilities for good, then becomes another program.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Bare {
    /// Capabilities to drop, by number.
    #[arg(long)]
    drop: Vec<u32>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

impl Bare {
    /// Does not return unless something fails.
    pub(super) fn run(&self) -> Result<()> {
        for number in &self.drop {
            // What is not in the bounding set is not gained by root's execve (capabilities(7)).
            let capability = CapabilitySet::from_bits_retain(1 << number);
            remove_capability_from_bounding_set(capability)
                .with_context(|| format!("dropping the capability {number}"))?;
        }
        let [program, args @ ..] = self.program.as_slice() else { bail!("no program") };
        let error = Command::new(program).args(args).exec();
        Err(error).with_context(|| format!("becoming {}", program.display()))
    }
}
