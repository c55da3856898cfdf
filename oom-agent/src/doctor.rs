//! `oom-agent doctor`: what this kernel, these privileges and these settings allow.
use anyhow::Result;
use clap::Args;

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {}

/// Runs it.
pub fn run(_args: &DoctorArgs) -> Result<()> {
    Ok(())
}
