//! One hook: its ways, tried one after the other until one is taken.

use super::{HookStatus, Kernel, Link, Refusal};
use crate::kernel::probes::{Hook, Kind, Need, Program};
use anyhow::{Context as _, Result, anyhow};
use aya::programs::{self as aya_programs, ProgramError};
use std::collections::HashMap;

/// A program of a way, and what the object has of that name.
type Way<'a> = Vec<(&'static Program, Option<&'a mut aya_programs::Program>)>;

/// A hook that is being attached.
pub(super) struct Attaching<'a> {
    hook: &'static Hook,
    kernel: &'a Kernel,
    trampolines: bool,
    /// Those that are left; the first one is loaded.
    ways: std::vec::IntoIter<Way<'a>>,
    loaded: Option<Way<'a>>,
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
        let mut way = |way: &'static [Program]| -> Way<'a> {
            way.iter().map(|program| (program, programs.remove(program.name))).collect()
        };
        let ways: Vec<_> = hook.ways.iter().map(|it| way(it)).collect();
        let status = HookStatus { target: hook.target, gives: hook.gives, used: None, refused: Vec::new() };
        Self { hook, kernel, trampolines, ways: ways.into_iter(), loaded: None, status, links: Vec::new() }
    }

    /// Loads the programs of the first way that the kernel takes.
    pub(super) fn load(&mut self) {
        while self.loaded.is_none() {
            let Some(mut way) = self.ways.next() else { return };
            let Some(kind) = way.last().map(|(program, _)| program.kind) else { continue };
            let trampoline =
                way.iter().any(|(program, _)| matches!(program.kind, Kind::Fentry | Kind::Fexit));
            if trampoline && !self.trampolines {
                let error = "not wanted (--no-trampolines)".into();
                self.status.refused.push(Refusal { kind, error });
                continue;
            }
            let mut programs = way.iter_mut();
            match programs.try_for_each(|(program, entry)| load(self.hook, program, entry, self.kernel)) {
                Ok(()) => self.loaded = Some(way),
                Err(error) => self.status.refused.push(Refusal { kind, error: format!("{error:#}") }),
            }
        }
    }

    /// Attaches what is loaded, or the next way that can be.
    pub(super) fn attach(&mut self) {
        while let Some(mut way) = self.loaded.take() {
            let Some(kind) = way.last().map(|(program, _)| program.kind) else { continue };
            let attached: Result<Vec<_>> =
                way.iter_mut().map(|(program, entry)| attach(self.hook, program, entry)).collect();
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

fn entry<'a>(
    program: &Program,
    entry: &'a mut Option<&mut aya_programs::Program>,
) -> Result<&'a mut aya_programs::Program> {
    entry.as_deref_mut().with_context(|| format!("the BPF object has no program {}", program.name))
}

fn load(
    hook: &Hook,
    program: &Program,
    found: &mut Option<&mut aya_programs::Program>,
    kernel: &Kernel,
) -> Result<()> {
    let entry = entry(program, found)?;
    let loaded = match program.kind {
        Kind::Fentry => <&mut aya_programs::FEntry>::try_from(entry)?.load(hook.target, kernel.ids()?),
        Kind::Fexit => <&mut aya_programs::FExit>::try_from(entry)?.load(hook.target, kernel.ids()?),
        Kind::Kprobe | Kind::Kretprobe => <&mut aya_programs::KProbe>::try_from(entry)?.load(),
        Kind::RawTracepoint => <&mut aya_programs::RawTracePoint>::try_from(entry)?.load(),
    };
    loaded.map_err(plain)
}

fn attach(hook: &Hook, program: &Program, found: &mut Option<&mut aya_programs::Program>) -> Result<Link> {
    let entry = entry(program, found)?;
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

/// The verifier's log stays out of the message: its last line says what matters.
fn plain(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            // Figures stand at the end of it (`print_verification_stats`).
            let figures = ["processed ", "stack depth ", "verification time "];
            let last = log.lines().rev().find(|line| {
                !line.trim().is_empty() && figures.iter().all(|figure| !line.starts_with(figure))
            });
            match last {
                Some(line) => anyhow!("the kernel refused the program: {io_error}: {line}"),
                None => anyhow!("the kernel refused the program: {io_error}"),
            }
        }
        ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(ENOTSUPP) => {
            anyhow!("`{}` failed: {NO_TRAMPOLINES}", error.call)
        }
        other => anyhow::Error::new(other),
    }
}

/// The kernel's own error number, which reaches user space though it should not (include/linux/errno.h).
const ENOTSUPP: i32 = 524;
/// `register_ftrace_direct` where the architecture has no direct calls.
const NO_TRAMPOLINES: &str =
    "this kernel cannot call a program from a function (ENOTSUPP, 524; on arm64 it can from 6.4 on)";
