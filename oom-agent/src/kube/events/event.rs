//! An incident as Kubernetes Events (`events.k8s.io/v1`): one on each container that lost a process, one on the node where the
//! whole machine was full. Pure.

use crate::incident::diagnosis::Code;
use crate::incident::identity::{Identity, Pod};
use crate::incident::model::{Incident, ScopeKind, Victim};
use crate::sink::{
    escape,
    terminal::{self, diagnosis, words::who},
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Bytes of a note, at most (`NoteLengthLimit` in `pkg/apis/core/validation/events.go`).
const NOTE: usize = 1024;
/// Bytes of a name (`ReportingInstanceLengthLimit`, 128 there).
const INSTANCE: usize = 128;
/// Bytes of the object's name in the Event's own: names have 253 at most.
const NAME: usize = 200;
/// Digits of an incident's id.
const ID: usize = 26;
/// Events of one incident, at most: a group kill is within one pod, mostly.
const MOST: usize = 16;
/// Where Events on what is in no namespace are kept.
const DEFAULT: &str = "default";

/// Why there is an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// The main process of a container: Kubernetes says the same of the container then.
    OomKilled,
    /// Another process of a container, which goes on: Kubernetes says nothing.
    ProcessOomKilled,
    /// The whole machine was full.
    NodeOom,
}

impl Reason {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OomKilled => "OOMKilled",
            Self::ProcessOomKilled => "ProcessOOMKilled",
            Self::NodeOom => "NodeOOM",
        }
    }
}

/// What two Events have to have in common to be one that happened twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// UID of the pod, or name of the node.
    pub(super) object: String,
    /// The container.
    pub(super) container: Option<String>,
    /// Why.
    pub(super) reason: Reason,
    /// The first diagnosis: an Event's note cannot be changed.
    pub(super) diagnosis: Option<Code>,
}

/// An Event that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// What it is the same as.
    pub(super) key: Key,
    /// Where it is kept.
    pub(super) namespace: String,
    /// Its own name: the same incident has the same.
    pub(super) name: String,
    /// What it is on.
    regarding: Value,
    note: String,
    node: String,
    /// When it happened, microseconds since 1970.
    pub(super) time_us: i64,
}

/// The Events of an incident, and how many there cannot be for want of a pod's name. `now_us`: microseconds since 1970, for
/// an incident that does not know when it was.
pub(super) fn drafts(incident: &Incident, now_us: i64) -> (Vec<Draft>, u64) {
    let mut drafts = Drafts { incident, now_us, made: Vec::new(), nameless: 0 };
    let main = terminal::main_victim(incident);
    // The main process first: it says most.
    let mut victims: Vec<&Victim> = incident.victims.iter().collect();
    victims.sort_by_key(|victim| victim.main_process != Some(true));
    for victim in victims {
        drafts.victim(victim, main.is_some_and(|main| main.pid == victim.pid));
    }
    let is_wide = incident.scope.kind.is_some_and(|kind| kind != ScopeKind::Memcg);
    if let Some(node) = incident.node.as_deref().filter(|_| is_wide && !incident.victims.is_empty()) {
        drafts.node(node);
    }
    (drafts.made, drafts.nameless)
}

struct Drafts<'a> {
    incident: &'a Incident,
    now_us: i64,
    made: Vec<Draft>,
    nameless: u64,
}

impl Drafts<'_> {
    fn victim(&mut self, victim: &Victim, is_main: bool) {
        let Identity { container, pod, unit: _ } = &victim.identity;
        let Some(pod) = pod else { return };
        let Pod { namespace: Some(namespace), name: Some(name), uid, .. } = &**pod else {
            self.nameless += 1;
            return;
        };
        let container = container.as_ref().and_then(|container| container.name.as_deref());
        // Of several in one container the main process, which came first.
        if self.made.iter().any(|it| it.key.object == *uid && it.key.container.as_deref() == container) {
            return;
        }
        let (reason, after) = match victim.main_process {
            Some(true) => (Reason::OomKilled, ""),
            Some(false) => (Reason::ProcessOomKilled, " The container goes on without it."),
            None => (Reason::ProcessOomKilled, ""),
        };
        let headline = terminal::headline(self.incident);
        let said = if is_main {
            format!("{headline}{after}")
        } else {
            format!("{} was killed with others.{after} {headline}", who(&victim.comm, victim.pid))
        };
        let mut regarding =
            json!({ "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid });
        if let Some(container) = container {
            regarding["fieldPath"] = format!("spec.containers{{{container}}}").into();
        }
        self.add(uid, container, reason, namespace, name, regarding, &said);
    }

    fn node(&mut self, node: &str) {
        // The kubelet's own Events on a node have its name in the place of its UID, and `kubectl describe` looks for that.
        let regarding = json!({ "apiVersion": "v1", "kind": "Node", "name": node, "uid": node });
        let headline = terminal::headline(self.incident);
        self.add(node, None, Reason::NodeOom, DEFAULT, node, regarding, &headline);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is another part of one Event, and two callers give them"
    )]
    fn add(
        &mut self,
        object: &str,
        container: Option<&str>,
        reason: Reason,
        namespace: &str,
        name: &str,
        regarding: Value,
        said: &str,
    ) {
        if self.made.len() >= MOST {
            return;
        }
        let incident = self.incident;
        let first = incident.diagnosis.first();
        let diagnosis = first.map(|it| format!(" {}.", diagnosis::parts(incident, it).0)).unwrap_or_default();
        let end = format!("{diagnosis} Incident {}.", escape::escape(&incident.id));
        let time = incident.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        let number = self.made.len();
        let base = name[..name.floor_char_boundary(NAME)].trim_end_matches(['-', '.']);
        let node = incident.node.as_deref().unwrap_or("unknown");
        self.made.push(Draft {
            key: Key {
                object: object.to_owned(),
                container: container.map(str::to_owned),
                reason,
                diagnosis: first.map(|it| it.code),
            },
            namespace: namespace.to_owned(),
            name: format!("{base}.{}{number:x}", in_name(&incident.id)),
            regarding,
            note: note(said, &end),
            node: node[..node.floor_char_boundary(INSTANCE)].to_owned(),
            time_us: time.map_or(self.now_us, Timestamp::as_microsecond),
        });
    }
}

impl Draft {
    /// The Event. `count`: how often it happened by now, `last_us`: when for the last time.
    pub(super) fn body(&self, count: u64, last_us: i64) -> Value {
        let Self { key, namespace, name, regarding, note, node, time_us } = self;
        let mut body = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "namespace": namespace, "name": name },
            "eventTime": micro_time(*time_us),
            "reportingController": "oom-agent",
            "reportingInstance": node,
            "action": "Killing",
            "reason": key.reason.name(),
            "type": "Warning",
            "regarding": regarding,
            "note": note,
        });
        if count > 1 {
            body["series"] = series(count, last_us);
        }
        body
    }
}

/// What is changed when it happens again.
pub(super) fn again(count: u64, last_us: i64) -> Value {
    json!({ "series": series(count, last_us) })
}

fn series(count: u64, last_us: i64) -> Value {
    json!({ "count": count, "lastObservedTime": micro_time(last_us) })
}

/// An id as a part of a name.
fn in_name(id: &str) -> String {
    let digits = id.bytes().filter(u8::is_ascii_alphanumeric).take(ID);
    digits.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// `metav1.MicroTime` wants six digits.
fn micro_time(us: i64) -> String {
    let time = Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// What happened and how it ends, the first cut if both are too long.
fn note(said: &str, end: &str) -> String {
    let mut end = end;
    if end.len() > NOTE / 2 {
        end = &end[..end.floor_char_boundary(NOTE / 2)];
    }
    if said.len() + end.len() <= NOTE {
        return format!("{said}{end}");
    }
    let room = NOTE - end.len() - 3;
    format!("{}...{end}", &said[..said.floor_char_boundary(room)])
}

#[cfg(test)]
mod tests;
