//! The OOM agent: every OOM kill as one incident.
//!
//! # Layout
//! - [`incident`]: PURE. The model, the kernel's arithmetic, the assembler.
//! - [`identity`]: whose a cgroup is: container, pod, unit.
//! - [`kube`]: Kubernetes' API server: pods are watched, Events written.
//! - [`report`]: PURE. The kernel's OOM report as text.
//! - [`logs`]: PURE. Logs as text: what stands around the kernel's messages, and the incidents that they tell of.
//! - [`kernel`]: the only place that knows aya and BTF; what this machine allows.
//! - [`source`]: the kernel's log, which memory cgroups there are.
//! - [`live`]: sources, assembler and clock put together: incidents as they happen.
//! - [`resident`]: the agent's own memory.
//! - [`sandbox`]: what the daemon gives up.
//! - [`sink`]: an incident as text or JSON.
//! - [`store`]: incidents on disk.
//! - [`page`]: PURE. What a browser shows.
//! - [`web`]: the only place that serves HTTP. [`otlp`]: sends incidents to a collector of OpenTelemetry. [`grpc`]: calls. [`tls`],
//!   [`backoff`]: what they share.
//! - [`trace`], [`run`], [`explain`], [`incidents`], [`rank`], [`doctor`]: the commands.
//! - [`startup`]: what those that follow the running kernel share.
//! - [`filter`], [`print`](mod@print): what those that show incidents share.
//! - [`note`]: what they say on stderr.
//! - [`files`]: files that the configuration names.
//! - [`units`]: PURE. Quantities as people read them.

pub mod backoff;
pub mod clock;
pub mod doctor;
pub mod explain;
pub mod files;
pub mod filter;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod grpc;
pub mod identity;
pub mod incident;
pub mod incidents;
pub mod kernel;
pub mod kube;
pub mod live;
pub mod logs;
pub mod note;
pub mod otlp;
pub mod page;
pub mod print;
pub mod rank;
pub mod report;
pub mod resident;
pub mod run;
pub mod sandbox;
pub mod sink;
pub mod source;
pub mod startup;
pub mod store;
pub mod tls;
pub mod trace;
pub mod units;
pub mod watched;
pub mod web;
