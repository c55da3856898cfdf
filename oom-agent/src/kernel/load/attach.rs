//! One hook: its ways, tried one after the other until one is taken.

use super::{HookStatus, Kernel, Link, Refusal};
use crate::kernel::probes::{Hook, Kind, Need, Program};
use anyhow::{Context as _, Result, anyhow};
use aya::programs::{self as aya_programs, ProgramError};
use std::{
    collections::HashMap,
    error::Error,
    fmt::{self, Display, Formatter},
};

/// A hook that is being attached.
pub(super) struct Attaching<'a> {
    hook: &'static Hook,
    kernel: &'a Kernel,
    trampolines: bool,
    /// What the object has of the hook's programs. Several ways may share one.
    programs: HashMap<&'static str, &'a mut aya_programs::Program>,
    /// Those that are left.
    ways: std::slice::Iter<'static, &'static [Program]>,
    /// The one whose programs are loaded.
    loaded: Option<&'static [Program]>,
    /// The verifier did not take one of them.
    refused: bool,
    status: HookStatus,
    links: Vec<Link>,
}

impl<'a> Attaching<'a> {
    /// Takes the hook's programs out of the object's.
    pub(super) fn new(
        hook: &'static Hook,
        kernel: &'a Kernel,
        trampolines: bool,
        programs: &mut HashMap<&str, &'a mut aya_programs::Program>,
    ) -> Self {
        let own = hook.ways.iter().copied().flatten();
        let own = own.filter_map(|program| Some((program.name, programs.remove(program.name)?)));
        let status = HookStatus { target: hook.target, gives: hook.gives, used: None, refused: Vec::new() };
        Self {
            hook,
            kernel,
            trampolines,
            programs: own.collect(),
            ways: hook.ways.iter(),
            loaded: None,
            refused: false,
            status,
            links: Vec::new(),
        }
    }

    /// Loads the programs of the first way that the kernel takes.
    pub(super) fn load(&mut self) {
        while self.loaded.is_none() {
            let Some(way) = self.ways.next() else { return };
            let Some(kind) = way.last().map(|program| program.kind) else { continue };
            if is_trampoline(way) && !self.trampolines {
                let error = "not wanted (--no-trampolines)".into();
                self.status.refused.push(Refusal { kind, error });
                continue;
            }
            let loaded = way.iter().try_for_each(|program| {
                load(self.hook, program, found(&mut self.programs, program)?, self.kernel)
            });
            match loaded {
                Ok(()) => self.loaded = Some(way),
                Err(error) => {
                    self.refused |= error.is::<Refused>();
                    self.status.refused.push(Refusal { kind, error: format!("{error:#}") });
                }
            }
        }
    }

    /// Whether none of its programs could be loaded, and one because of the verifier.
    pub(super) const fn is_refused(&self) -> bool {
        self.refused && self.loaded.is_none() && self.status.used.is_none()
    }

    /// Attaches what is loaded, or the next way that can be.
    pub(super) fn attach(&mut self) {
        while let Some(way) = self.loaded.take() {
            let Some(kind) = way.last().map(|program| program.kind) else { continue };
            let programs = &mut self.programs;
            let attached: Result<Vec<_>> =
                way.iter().map(|program| attach(self.hook, program, found(programs, program)?)).collect();
            match attached {
                Ok(links) => {
                    self.links = links;
                    self.status.used = Some(kind);
                    // A program that this kernel does not take has a stand-in of its kind: nothing is lost by it.
                    self.status.refused.retain(|refusal| refusal.kind != kind);
                }
                Err(error) => {
                    self.status.refused.push(Refusal { kind, error: format!("{error:#}") });
                    self.load();
                }
            }
        }
    }

    /// Whether it is not attached though it is needed.
    pub(super) fn is_missed(&self) -> bool {
        self.status.used.is_none() && self.hook.need != Need::Optional
    }

    /// How it ended up.
    pub(super) fn end(self) -> (HookStatus, Vec<Link>) {
        (self.status, self.links)
    }
}

fn is_trampoline(way: &[Program]) -> bool {
    way.iter().any(|program| program.kind.is_trampoline())
}

fn found<'a>(
    programs: &'a mut HashMap<&'static str, &mut aya_programs::Program>,
    program: &Program,
) -> Result<&'a mut aya_programs::Program> {
    let found = programs.get_mut(program.name).map(|found| &mut **found);
    found.with_context(|| format!("the BPF object has no program {}", program.name))
}

fn load(hook: &Hook, program: &Program, entry: &mut aya_programs::Program, kernel: &Kernel) -> Result<()> {
    let loaded = match program.kind {
        Kind::Fentry => <&mut aya_programs::FEntry>::try_from(entry)?.load(hook.target, kernel.ids()),
        Kind::Fexit => <&mut aya_programs::FExit>::try_from(entry)?.load(hook.target, kernel.ids()),
        Kind::Kprobe | Kind::Kretprobe => <&mut aya_programs::KProbe>::try_from(entry)?.load(),
        Kind::RawTracepoint => <&mut aya_programs::RawTracePoint>::try_from(entry)?.load(),
    };
    match loaded {
        // For a way before, which could not be attached.
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        loaded => loaded.map_err(plain),
    }
}

fn attach(hook: &Hook, program: &Program, entry: &mut aya_programs::Program) -> Result<Link> {
    Ok(match program.kind {
        Kind::Fentry => {
            let entry: &mut aya_programs::FEntry = entry.try_into()?;
            let id = entry.attach().map_err(plain)?;
            Box::new(entry.take_link(id)?)
        }
        Kind::Fexit => {
            let entry: &mut aya_programs::FExit = entry.try_into()?;
            let id = entry.attach().map_err(plain)?;
            Box::new(entry.take_link(id)?)
        }
        Kind::Kprobe | Kind::Kretprobe => {
            let entry: &mut aya_programs::KProbe = entry.try_into()?;
            let id = entry.attach(hook.target, 0).map_err(plain)?;
            Box::new(entry.take_link(id)?)
        }
        Kind::RawTracepoint => {
            let entry: &mut aya_programs::RawTracePoint = entry.try_into()?;
            let id = entry.attach(hook.target).map_err(plain)?;
            Box::new(entry.take_link(id)?)
        }
    })
}

/// The verifier does not take a program, and why.
#[derive(Debug)]
struct Refused(String);

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel refused the program: {}", self.0)
    }
}

impl Error for Refused {}

/// The verifier's log stays out of the message: its last line says what matters.
fn plain(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => match reason(&verifier_log.to_string()) {
            Some(line) => Refused(format!("{io_error}: {line}")).into(),
            None => Refused(io_error.to_string()).into(),
        },
        ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(ENOTSUPP) => {
            anyhow!("`{}` failed: {NO_TRAMPOLINES}", error.call)
        }
        other => anyhow::Error::new(other),
    }
}

/// The last line of the verifier's log that is not a figure: these stand at its end (`print_verification_stats`,
/// kernel/bpf/verifier.c; 7.3 has one for each function).
fn reason(log: &str) -> Option<&str> {
    let figures = ["processed ", "stack depth ", "verification time ", "subprog "];
    log.lines()
        .rev()
        .find(|line| !line.trim().is_empty() && figures.iter().all(|figure| !line.starts_with(figure)))
}

/// The kernel's own error number, which reaches user space though it should not (include/linux/errno.h).
const ENOTSUPP: i32 = 524;
/// `register_ftrace_direct` where the architecture has no direct calls.
const NO_TRAMPOLINES: &str =
    "this kernel cannot call a program from a function (ENOTSUPP, 524; on arm64 it can from 6.4 on)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_no_reason() {
        let refused = "12: (0f) r1 += r2\nmath between ptr_ pointer and 108086391056891904 is not allowed\n";
        let old = "verification time 90 usec\nstack depth 40\nprocessed 17 insns (limit 1000000) max_states_per_insn 0\n\n";
        let new = "subprog 0 (t_leave_oom_evaluate_task) main insns_self 19 insns_total 19 stack 40\n";
        let reason = |figures: &[&str]| reason(&[&[refused], figures].concat().concat()).map(str::to_owned);
        let expected = Some("math between ptr_ pointer and 108086391056891904 is not allowed".into());
        assert_eq!(reason(&[old]), expected);
        assert_eq!(reason(&[old, new]), expected);
        assert_eq!(super::reason("\n"), None);
    }
}
