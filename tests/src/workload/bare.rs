//! A program with fewer privileges.

use anyhow::{Context, Result, bail};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities, set_thread_gid, set_thread_groups, set_thread_uid,
};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Drops capabilities for good, then becomes another program.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Bare {
    /// Capabilities to drop, by number.
    #[arg(long)]
    drop: Vec<u32>,
    /// Become this user and group, with no capabilities but those of `--only`.
    #[arg(long)]
    uid: Option<u32>,
    /// Capabilities to keep as another user, by number.
    #[arg(long, requires = "uid")]
    only: Vec<u32>,
    /// `oom_score_adj`, below which only `CAP_SYS_RESOURCE` leads.
    #[arg(long, allow_negative_numbers = true)]
    adj: Option<i32>,
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
        if let Some(adj) = self.adj {
            super::set_adj(adj)?;
        }
        if let Some(uid) = self.uid {
            become_user(uid, &self.only)?;
        }
        let [program, args @ ..] = self.program.as_slice() else { bail!("no program") };
        let error = Command::new(program).args(args).exec();
        Err(error).with_context(|| format!("becoming {}", program.display()))
    }
}

/// As a service manager does for a service with a user and ambient capabilities.
fn become_user(uid: u32, only: &[u32]) -> Result<()> {
    let bit = |number: u32| CapabilitySet::from_bits_retain(1 << number);
    let others = (0..=40).filter(|number| !only.contains(number));
    for number in others {
        // Kernels differ in how many they have.
        let _ = remove_capability_from_bounding_set(bit(number));
    }
    set_keep_capabilities(true).context("PR_SET_KEEPCAPS")?;
    set_thread_groups(&[]).context("setgroups")?;
    set_thread_gid(Gid::from_raw(uid)).with_context(|| format!("setgid({uid})"))?;
    set_thread_uid(Uid::from_raw(uid)).with_context(|| format!("setuid({uid})"))?;
    let all = only.iter().map(|number| bit(*number)).collect();
    set_capabilities(None, CapabilitySets { effective: all, permitted: all, inheritable: all })
        .context("capset")?;
    for number in only {
        configure_capability_in_ambient_set(bit(*number), true)
            .with_context(|| format!("making the capability {number} ambient"))?;
    }
    Ok(())
}
