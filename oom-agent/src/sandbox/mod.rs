//! What the daemon gives up once it is attached: capabilities, files that it does not need, system calls that it never makes.
//!
//! Everything here is for good. Each part is done as far as the kernel can, and says what it could not.
//!
//! # Layout
//! - [`confine`]: does it all. [`Confined`]: what is in force.
//! - `capabilities`: all go that are not needed, by trying.
//! - `files`: Landlock. `calls`: seccomp.

mod calls;
mod capabilities;
mod files;

pub use files::{Files, landlock};

use crate::{kernel::host::privilege::Capability, units};
use std::{fmt, fs};

/// What is in force, or why it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// What was kept.
    pub capabilities: Result<Vec<Capability>, String>,
    /// No program gives more privileges (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privs: Result<(), String>,
    /// Which version of Landlock.
    pub files: Result<u8, String>,
    /// How many system calls are refused.
    pub calls: Result<usize, String>,
}

/// Gives up everything that is not needed from here on. `log`: the kernel's log is read by syslog(2). `works`: whether the
/// BPF maps can be read. Called while there is one thread, once everything is open that needs privileges.
pub fn confine(files: &Files<'_>, log: bool, works: impl Fn() -> bool) -> Confined {
    let no_new_privs = rustix::thread::set_no_new_privs(true);
    let no_new_privs = no_new_privs.map_err(|error| format!("no_new_privs cannot be set: {error}"));
    // Others would keep what they have.
    let alone = alone();
    Confined {
        capabilities: alone.clone().and_then(|()| capabilities::drop(log, &works)),
        no_new_privs,
        files: alone.and_then(|()| files::restrict(files)),
        // For all threads.
        calls: calls::refuse(log),
    }
}

fn alone() -> Result<(), String> {
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => Ok(()),
        Ok(threads) => Err(format!("{threads} threads are running")),
        Err(error) => Err(format!("cannot count threads: {error}")),
    }
}

impl Confined {
    /// What could not be done.
    pub fn lacks(&self) -> impl Iterator<Item = String> {
        let Self { capabilities, no_new_privs, files, calls } = self;
        let lacks = [
            capabilities.as_ref().err().map(|why| format!("capabilities are kept: {why}")),
            no_new_privs.as_ref().err().cloned(),
            files.as_ref().err().map(|why| format!("files are not restricted: {why}")),
            calls.as_ref().err().map(|why| format!("system calls are not restricted: {why}")),
        ];
        lacks.into_iter().flatten()
    }
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capabilities, no_new_privs, files, calls } = self;
        let mut parts = Vec::new();
        match capabilities {
            Ok(kept) if kept.is_empty() => parts.push("no capabilities".to_owned()),
            Ok(kept) => {
                let kept: Vec<_> = kept.iter().map(ToString::to_string).collect();
                parts.push(format!(
                    "no capabilities but {} (for the BPF maps on this kernel, or its log)",
                    kept.join(" and ")
                ));
            }
            Err(_) => parts.push("CAPABILITIES KEPT".to_owned()),
        }
        parts.extend(no_new_privs.as_ref().ok().map(|()| "no_new_privs".to_owned()));
        parts.push(files.as_ref().map_or_else(|_| "no Landlock".to_owned(), |abi| format!("Landlock {abi}")));
        parts.push(calls.as_ref().map_or_else(
            |_| "no seccomp".to_owned(),
            |calls| {
                format!("seccomp ({} refused)", units::plural(*calls as u64, "system call", "system calls"))
            },
        ));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_and_what_is_not_is_said() {
        let all = Confined { capabilities: Ok(vec![]), no_new_privs: Ok(()), files: Ok(6), calls: Ok(60) };
        assert_eq!(
            all.to_string(),
            "no capabilities, no_new_privs, Landlock 6, seccomp (60 system calls refused)"
        );
        assert_eq!(all.lacks().count(), 0);
        let old =
            Confined { capabilities: Ok(vec![Capability::CapBpf]), files: Err("no".into()), ..all.clone() };
        assert!(old.to_string().starts_with("no capabilities but CAP_BPF (for"), "{old}");
        assert_eq!(old.lacks().collect::<Vec<_>>(), ["files are not restricted: no"]);
        let none = Confined { capabilities: Err("why".into()), ..all };
        assert!(none.to_string().starts_with("CAPABILITIES KEPT, "), "{none}");
    }
}
