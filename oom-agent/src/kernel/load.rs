//! Loading and attaching: every hook in the best way that this kernel allows, chosen by trying.
//!
//! The kernel's types are read while the command line is. The verifier is most of the rest, and what is not waits for the kernel's
//! code to be patched. Two threads share it. A third puts the first trampoline somewhere, which may take longer than everything else.
//!
//! # Layout
//! - [`Ahead`]: what can be begun before anything is known.
//! - [`load()`]: what is done in which order.
//! - `attach`: one hook.

mod attach;

use super::{
    btf::{self, Answers},
    decode::Decoder,
    fields,
    probes::{self, HOOKS, Hook, Kind, Need},
    ring::{Mapped, Ring},
    windows::{self, Windows},
};
use crate::incident::model::Level;
use anyhow::{Context as _, Result, anyhow, bail};
use attach::Attaching;
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, MapData, PerCpuArray},
    programs::{FEntry, RawTracePoint},
};
use oom_ebpf::ABSENT;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use std::{
    any::Any,
    array,
    collections::{HashMap, VecDeque},
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::{self, JoinHandle},
};

/// What may be used.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Not more than this level.
    pub max_level: Level,
    /// Trampolines (fentry, fexit); without them kprobes.
    pub trampolines: bool,
    /// Messages of the BPF programs themselves go to the `log` crate.
    pub bpf_log: bool,
    /// Bytes of the small ring; a power of two of at least a page.
    pub events_bytes: u32,
    /// Bytes of the bulk ring; a power of two of at least a page.
    pub bulk_bytes: u32,
    /// No thread of the start is left when it is done.
    pub alone: bool,
}

impl Default for Options {
    fn default() -> Self {
        // A call and its kill are about 4.5 KiB in the small ring. A candidate is 184 bytes in the other: a scan
        // of 20,000 processes, and 280 cgroups' names, finds room though the agent may not run before its end.
        Self {
            max_level: Level::Full,
            trampolines: true,
            bpf_log: false,
            events_bytes: 1 << 20,
            bulk_bytes: 4 << 20,
            alone: false,
        }
    }
}

/// How a hook ended up.
#[derive(Clone, Debug, Serialize)]
pub struct HookStatus {
    /// The kernel's function or tracepoint.
    pub target: &'static str,
    /// What it is for.
    pub gives: &'static str,
    /// How it is attached; absent if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Kind>,
    /// What was tried before and why it failed.
    pub refused: Vec<Refusal>,
}

/// A way that did not work.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// How it was tried.
    pub kind: Kind,
    /// What the kernel said.
    pub error: String,
}

/// Reader of the BPF programs' log.
pub type Logger = aya_log::EbpfLogger<&'static dyn log::Log>;

/// What is attached. Dropping it detaches everything.
pub struct Loaded {
    /// [`Level::Full`] or [`Level::Tracepoint`].
    pub level: Level,
    /// Every hook of the table.
    pub hooks: Vec<HookStatus>,
    /// What must never be lost.
    pub events: Ring,
    /// Candidates and cgroup names.
    pub bulk: Ring,
    /// Records that could not be sent, by ring.
    pub drops: PerCpuArray<MapData, u64>,
    /// For the rings' records.
    pub decoder: Decoder,
    /// Sums of reclaim.
    pub windows: Windows,
    /// Kernel fields that this kernel does not have.
    pub missing_fields: Vec<&'static str>,
    /// Log of the BPF programs.
    pub logger: Option<Logger>,
    /// What keeps the programs attached.
    pub links: Vec<Link>,
}

/// What keeps a program attached.
pub type Link = Box<dyn Any + Send>;

/// What a start can begin with before it knows what is wanted.
pub struct Ahead {
    /// One for each attempt.
    builders: [EbpfLoader<'static>; ATTEMPTS],
    /// `None`: there was no thread to be had.
    types: Option<JoinHandle<Result<Answers>>>,
}

impl Ahead {
    /// Begins to read the kernel's types, in a thread of its own. Called before there is any other thread.
    pub fn begin() -> Self {
        let builders = array::from_fn(|_| loader_without_btf());
        let types = thread::Builder::new().name("types".into()).stack_size(STACK);
        Self { builders, types: types.spawn(read_types).ok() }
    }

    /// Nothing of it is wanted. No thread is left.
    pub fn end(self) {
        self.types.map(JoinHandle::join);
    }
}

fn read_types() -> Result<Answers> {
    let types = btf::Vmlinux::open().with_context(|| {
        format!("cannot read {}: the kernel's type data (CONFIG_DEBUG_INFO_BTF) are needed", btf::VMLINUX)
    })?;
    let functions = functions();
    let paths = fields::paths();
    let wanted = fields::wanted(&paths, &functions, &["mark_victim", "mm_compaction_end"]);
    btf::read(&types, &wanted).with_context(|| format!("cannot make sense of {}", btf::VMLINUX))
}

/// What BTF says about this kernel.
struct Kernel {
    answers: Answers,
    fields: fields::Resolved,
    /// See [`Kernel::ids`].
    ids: OnceLock<Btf>,
}

/// Attaches what this kernel and these privileges allow. `cgroup_v2`: the memory controller is on the v2 hierarchy.
///
/// # Errors
/// BPF cannot be used at all: the message names the hook or field, the errno and what to do.
pub fn load(cgroup_v2: bool, options: &Options, ahead: Ahead) -> Result<Loaded> {
    // Since 5.11 BPF memory is accounted to the memory cgroup; before, RLIMIT_MEMLOCK counts. A refusal shows up as EPERM at the maps.
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    let goes_first = options.trampolines && options.max_level >= Level::Full;
    let Ahead { mut builders, types } = ahead;
    // What aya wants to know of the kernel is asked for here rather than at the first load.
    aya::features();
    let objects = super::objects()?;
    let first = if goes_first { builders[0].load(objects.first).ok() } else { None };
    let answers = match types.map(JoinHandle::join) {
        Some(Ok(answers)) => answers?,
        Some(Err(_)) | None => read_types()?,
    };
    let kernel = Arc::new(Kernel::new(answers, cgroup_v2));
    if let [first, ..] = kernel.fields.missing_required[..] {
        bail!("this kernel's BTF has no {first}, without which no BPF program of the agent makes sense");
    }
    let (builders, objects) = (builders.into_iter(), &objects.all[..]);
    let mut attempts = Attempts { kernel: &kernel, options, builders, objects };
    let mut refused = Vec::new();
    if options.max_level >= Level::Full {
        let first = first.and_then(|object| go_first(object, Arc::clone(&kernel)).ok());
        let attached = attempts.attach(true, &HOOKS.iter());
        let first = first.map(|first| kept(first, options.alone));
        match attached? {
            Ok(mut loaded) => {
                loaded.links.extend(first);
                return Ok(loaded);
            }
            Err(hooks) => refused = hooks,
        }
    }
    // Calls cannot be seen, so the programs must tell them apart in another way: they are loaded anew.
    let within_calls = ["oom_badness", "exit_mmap"];
    let others = HOOKS.iter().filter(|hook| hook.need != Need::Full && !within_calls.contains(&hook.target));
    let mut loaded = attempts.attach(false, &others)?.map_err(|hooks| {
        let optional = |target| HOOKS.iter().any(|hook| hook.target == target && hook.need == Need::Optional);
        let failed = hooks.iter().find(|hook| hook.used.is_none() && !optional(hook.target));
        let why = failed.and_then(|hook| hook.refused.last()).map_or("", |refusal| &refusal.error);
        anyhow!("cannot attach to {}: {why}", failed.map_or("any hook", |hook| hook.target))
    })?;
    for hook in HOOKS {
        if loaded.hooks.iter().any(|status| status.target == hook.target) {
            continue;
        }
        let tried = refused.iter().find(|status| status.target == hook.target);
        let refused = tried.map(|status| status.refused.clone()).unwrap_or_default();
        loaded.hooks.push(HookStatus { target: hook.target, gives: hook.gives, used: None, refused });
    }
    Ok(loaded)
}

impl Kernel {
    fn new(answers: Answers, cgroup_v2: bool) -> Self {
        let fields = fields::resolve(&answers, cgroup_v2);
        Self { answers, fields, ids: OnceLock::new() }
    }

    /// The ids of functions that trampolines are put on.
    fn ids(&self) -> &Btf {
        self.ids.get_or_init(|| {
            let ids = functions().into_iter().filter_map(|name| Some((name, self.answers.func(name)?.id)));
            btf::stand_in(&ids.collect::<Vec<_>>())
        })
    }

    /// `COMPACT_SUCCESS`, and which argument of `mm_compaction_end` is the result: the last one, `int status`.
    fn compact_success(&self) -> Option<(u64, u64)> {
        let (enumeration, name) = fields::COMPACT_SUCCESS;
        let value = u32::try_from(self.answers.enumerator(enumeration, name)?).ok()?;
        let args = self.answers.tracepoint("mm_compaction_end")?.args.len();
        Some((value.into(), u64::try_from(args).ok()?.checked_sub(1).filter(|last| matches!(last, 4 | 5))?))
    }

    /// Whether `mark_victim` hands over the task: `(void *, struct task_struct *, uid_t)` instead of `(void *, int)`.
    fn mark_has_task(&self) -> bool {
        let args = self.answers.tracepoint("mark_victim").map_or(&[][..], |tracepoint| &tracepoint.args);
        args.first().is_some_and(|arg| arg.kind == btf::ArgKind::Pointer)
    }
}

/// Two levels, and one more object.
const ATTEMPTS: usize = 3;

/// Attempts, with one object until the kernel takes none of its programs for a hook, then with the next.
struct Attempts<'a> {
    kernel: &'a Kernel,
    options: &'a Options,
    builders: array::IntoIter<EbpfLoader<'static>, ATTEMPTS>,
    objects: &'a [&'static [u8]],
}

impl Attempts<'_> {
    /// Attaches the hooks. If one failed that this level cannot do without, how far each got.
    fn attach(
        &mut self,
        calls: bool,
        hooks: &(impl Iterator<Item = &'static Hook> + Clone),
    ) -> Result<Result<Loaded, Vec<HookStatus>>> {
        loop {
            let (Some(builder), [object, others @ ..]) = (self.builders.next(), self.objects) else {
                bail!("no attempt is left");
            };
            let attempt = Attempt::new(builder, object, self.kernel, self.options, calls)?;
            match attempt.attach(hooks.clone(), others.is_empty()) {
                Ok(loaded) => return Ok(Ok(loaded)),
                Err(Failed::Missed(hooks)) => return Ok(Err(hooks)),
                Err(Failed::Refused) => self.objects = others,
            }
        }
    }
}

/// Why an attempt came to nothing.
enum Failed {
    /// The verifier takes no program of this object for one of the hooks.
    Refused,
    /// A hook that it cannot do without: how far each got.
    Missed(Vec<HookStatus>),
}

/// One load of an object.
struct Attempt<'a> {
    kernel: &'a Kernel,
    options: &'a Options,
    calls: bool,
    object: Ebpf,
}

impl<'a> Attempt<'a> {
    fn new(
        loader: EbpfLoader<'_>,
        object: &[u8],
        kernel: &'a Kernel,
        options: &'a Options,
        calls: bool,
    ) -> Result<Self> {
        let (success, arg) = kernel.compact_success().unwrap_or((ABSENT, ABSENT));
        let values = [
            ("CALLS_SEEN", u64::from(calls)),
            ("MARK_HAS_TASK", u64::from(kernel.mark_has_task())),
            ("COMPACT_SUCCESS", success),
            ("COMPACT_STATUS_ARG", arg),
        ];
        // It borrows the values from here on.
        let mut loader = loader;
        for (global, value) in &values {
            loader.override_global(global, value, true);
        }
        loader.override_global("OFFSETS", &kernel.fields.offsets[..], true);
        loader.map_max_entries("EVENTS", options.events_bytes).map_max_entries("BULK", options.bulk_bytes);
        loader.map_max_entries("CGROUPS", windows::cgroup_buckets());
        if !options.bpf_log {
            loader.map_max_entries("AYA_LOGS", rustix::param::page_size() as u32);
        }
        let object = loader.load(object).with_context(no_maps)?;
        Ok(Self { kernel, options, calls, object })
    }

    /// Attaches the hooks. `is_last`: there is no other object that a refused program may be in.
    fn attach(mut self, hooks: impl Iterator<Item = &'static Hook>, is_last: bool) -> Result<Loaded, Failed> {
        let mut programs: HashMap<&str, _> = self.object.programs_mut().collect();
        let (kernel, trampolines) = (self.kernel, self.options.trampolines);
        let attaching = hooks.map(|hook| Attaching::new(hook, kernel, trampolines, &mut programs));
        let all = Mutex::new(attaching.enumerate().collect::<VecDeque<_>>());
        let next = |which: Next| {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            match which {
                Next::Front => all.pop_front(),
                Next::Back => all.pop_back(),
            }
        };
        let one = |which| {
            let (number, mut hook) = next(which)?;
            hook.load();
            if !is_last && hook.is_refused() {
                // What is attached of the rest goes with the attempt.
                all.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            hook.attach();
            Some((number, hook))
        };
        let work = |which| std::iter::from_fn(|| one(which)).collect::<Vec<_>>();
        // What takes the verifier longest stands at both ends of the table.
        let (mut done, others) = beside(|| work(Next::Front), || work(Next::Back));
        done.extend(others.into_iter().flatten());
        if !is_last && done.iter().any(|(_, hook)| hook.is_refused()) {
            return Err(Failed::Refused);
        }
        done.sort_unstable_by_key(|(number, _)| *number);
        let (mut statuses, mut links, mut failed) = (Vec::new(), Vec::new(), false);
        for (_, hook) in done {
            failed |= hook.is_missed();
            let (status, mut kept) = hook.end();
            statuses.push(status);
            links.append(&mut kept);
        }
        if failed {
            return Err(Failed::Missed(statuses));
        }
        let level = if self.calls { Level::Full } else { Level::Tracepoint };
        self.finish(level, statuses, links).map_err(|error| {
            let refusal = Refusal { kind: Kind::RawTracepoint, error: format!("{error:#}") };
            let rings = HookStatus { target: "rings", gives: "records", used: None, refused: vec![refusal] };
            Failed::Missed(vec![rings])
        })
    }

    fn finish(mut self, level: Level, hooks: Vec<HookStatus>, mut links: Vec<Link>) -> Result<Loaded> {
        let logger = if self.options.bpf_log {
            let program = self.object.program_mut(LOG).with_context(|| format!("there is no {LOG}"))?;
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
            let id = program.attach("mark_victim")?;
            links.push(Box::new(program.take_link(id)?));
            Some(aya_log::EbpfLogger::init(&mut self.object)?)
        } else {
            None
        };
        if self.calls {
            // Of a call that began before, the end is not told either.
            let open = self.object.map_mut("OPEN").context("the BPF object has no map OPEN")?;
            Array::try_from(open)?.set(0, 1_u32, 0)?;
        }
        let windows = Windows::new(&mut self.object, &hooks, self.kernel.compact_success().is_some())?;
        let mut map = |name: &str| {
            self.object.take_map(name).with_context(|| format!("the BPF object has no map {name}"))
        };
        Ok(Loaded {
            level,
            hooks,
            events: Ring::new(map("EVENTS")?, Mapped::Always)?,
            bulk: Ring::new(map("BULK")?, Mapped::WhileRead)?,
            drops: PerCpuArray::try_from(map("DROPS")?)?,
            decoder: Decoder { page_size: rustix::param::page_size() as u64 },
            windows,
            missing_fields: self.kernel.fields.missing_optional.clone(),
            logger,
            links,
        })
    }
}

/// Which hook is to be attached next.
#[derive(Clone, Copy)]
enum Next {
    Front,
    Back,
}

/// The program that writes the log.
const LOG: &str = "log_mark_victim";

/// The function of the program that does nothing.
const FIRST: &str = "oom_killer_disable";

/// Functions that trampolines are put on.
fn functions() -> Vec<&'static str> {
    [probes::functions(), vec![FIRST]].concat()
}

/// Puts the first trampoline there, in a thread of its own. Where no function has one, 6.1 (not 6.12) waits for a grace period
/// when it is in force already (`synchronize_rcu_tasks` in `register_ftrace_direct_multi`, kernel/trace/ftrace.c): 0.2 s in which
/// others are attached without a wait. Nothing depends on it.
fn go_first(mut object: Ebpf, kernel: Arc<Kernel>) -> io::Result<JoinHandle<Option<Ebpf>>> {
    let first = move || {
        let program: &mut FEntry = object.program_mut("first")?.try_into().ok()?;
        program.load(FIRST, kernel.ids()).ok()?;
        drop(kernel);
        program.attach().ok()?;
        Some(object)
    };
    thread::Builder::new().name("first".into()).stack_size(STACK).spawn(first)
}

/// What keeps it attached. A handle of its thread has the thread's result.
fn kept(first: JoinHandle<Option<Ebpf>>, alone: bool) -> Link {
    if alone { Box::new(first.join()) } else { Box::new(first) }
}

/// Stack of a thread that loads too. What it does not use costs nothing.
const STACK: usize = 512 << 10;

/// Both at the same time. `None`: there was no thread to be had.
fn beside<T, U: Send>(here: impl FnOnce() -> T, there: impl FnOnce() -> U + Send) -> (T, Option<U>) {
    thread::scope(|scope| {
        let other = thread::Builder::new().name("load".into()).stack_size(STACK);
        let other = other.spawn_scoped(scope, there);
        let here = here();
        (here, other.ok().and_then(|other| other.join().ok()))
    })
}

fn no_maps() -> String {
    let limited = getrlimit(Resource::Memlock).current.map(|limit| {
        let limit = crate::units::bytes(limit);
        format!(
            " (RLIMIT_MEMLOCK is {limit}; before 5.11 they count against it, and CAP_SYS_RESOURCE raises it)"
        )
    });
    format!("cannot create the BPF maps{}", limited.unwrap_or_default())
}

/// A loader that has not parsed the kernel's BTF.
///
/// `EbpfLoader::new` always does, and throws it away at `.btf(None)`: 20 MB and a good part of the start for
/// relocations that these programs do not have. It takes a failure to open the file for "no BTF", so for that moment
/// no file can be opened. Called before any other thread is started.
fn loader_without_btf<'a>() -> EbpfLoader<'a> {
    let limit = getrlimit(Resource::Nofile);
    let closed = setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: limit.maximum }).is_ok();
    let mut loader = EbpfLoader::new();
    if closed {
        // Raising the soft limit back to what it was needs no privilege.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    loader.btf(None);
    loader
}
