//! Which memory cgroups have series, and how many processes were killed in each.
//!
//! A counter that begins with 1 is invisible to `increase()`, and one that vanishes with its container takes the kill
//! with it. So a cgroup has its series from when it is seen until some time after it is gone. How many there may be is
//! bounded: what finds no room is counted together.
//!
//! A series keeps the names that it began with: else one cgroup would have two. So one of a pod whose names are not known yet
//! has to wait for them, for a short time.

use crate::{identity::Labels, incident::model::Role, sink::escape};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// All roles, with their names in the JSON.
pub(super) const ROLES: [(Role, &str); 4] = [
    (Role::Selected, "selected"),
    (Role::Group, "group"),
    (Role::SharedMemory, "shared_memory"),
    (Role::AlreadyDying, "already_dying"),
];
/// What found no room. A path begins with a slash, so no cgroup is called that.
pub(super) const OTHER: &str = "(other)";
/// Those of which the cgroup is not known.
pub(super) const UNKNOWN: &str = "(unknown)";
/// Bytes of a label's value, about. A container's path has less than 200.
const LONGEST: usize = 512;

/// For so long a cgroup waits for the names of its pod. The kubelet writes them down when it has started the container.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Victims by role, in the order of [`ROLES`].
pub(super) type Victims = [u64; ROLES.len()];

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Cgroups that have series of their own, at most.
    pub cgroups: usize,
    /// For how long a cgroup that is gone has them, nanoseconds.
    pub retention_ns: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { cgroups: 4096, retention_ns: 3_600_000_000_000 }
    }
}

/// Memory cgroups and their victims.
#[derive(Debug)]
pub(super) struct Cgroups {
    bounds: Bounds,
    /// By label, see [`label`].
    known: BTreeMap<String, Cgroup>,
    /// Those that wait for names, and since when.
    waiting: BTreeMap<String, u64>,
    other: Victims,
    unknown: Victims,
    /// Of those that were seen the last time.
    without_series: u64,
    looks: u64,
}

#[derive(Debug, Default)]
struct Cgroup {
    labels: Labels,
    victims: Victims,
    /// Absent: it is there.
    gone_ns: Option<u64>,
    /// The last look that saw it.
    seen: u64,
}

impl Cgroups {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            known: BTreeMap::new(),
            waiting: BTreeMap::new(),
            other: Victims::default(),
            unknown: Victims::default(),
            without_series: 0,
            looks: 0,
        }
    }

    /// These are there, and no others are. `names` is asked for those that are new.
    pub(super) fn seen<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a str>,
        now_ns: u64,
        mut names: impl FnMut(&str) -> Labels,
    ) {
        self.looks += 1;
        let mut new = Vec::new();
        let mut waited = std::mem::take(&mut self.waiting);
        for path in paths {
            let label = label(path);
            if let Some(known) = self.known.get_mut(&label) {
                (known.gone_ns, known.seen) = (None, self.looks);
                continue;
            }
            let labels = names(path);
            let since = waited.remove(&label).unwrap_or(now_ns);
            if labels.incomplete && now_ns.saturating_sub(since) < PATIENCE_NS {
                self.waiting.insert(label, since);
            } else {
                new.push((label, labels));
            }
        }
        for cgroup in self.known.values_mut().filter(|cgroup| cgroup.seen != self.looks) {
            cgroup.gone_ns.get_or_insert(now_ns);
        }
        self.expire(now_ns);
        self.make_room(new.len());
        self.without_series = 0;
        for (label, labels) in new {
            if self.known.len() < self.bounds.cgroups {
                self.known.insert(label, Cgroup { labels, seen: self.looks, ..Cgroup::default() });
            } else {
                self.without_series += 1;
            }
        }
    }

    /// A process was killed there. `labels`: if the cgroup has no series yet.
    pub(super) fn victim(&mut self, cgroup: Option<&str>, role: Role, labels: Labels) {
        let victims = match cgroup.map(label) {
            None => &mut self.unknown,
            Some(label) => {
                if !self.known.contains_key(&label) {
                    self.make_room(1);
                    self.waiting.remove(&label);
                }
                if self.known.len() < self.bounds.cgroups || self.known.contains_key(&label) {
                    let new = || Cgroup { labels, ..Cgroup::default() };
                    &mut self.known.entry(label).or_insert_with(new).victims
                } else {
                    &mut self.other
                }
            }
        };
        let at = ROLES.iter().position(|(it, _)| *it == role);
        if let Some(count) = at.and_then(|at| victims.get_mut(at)) {
            *count += 1;
        }
    }

    /// It has series from now on, if there is room.
    fn appear(&mut self, label: &str, labels: &Labels) {
        if !self.known.contains_key(label) {
            self.make_room(1);
            if self.known.len() < self.bounds.cgroups {
                self.known.insert(label.to_owned(), Cgroup { labels: labels.clone(), ..Cgroup::default() });
            }
        }
    }

    /// All of these have series from now on.
    pub(super) fn appear_all(&mut self, others: &Self) {
        others.known.iter().for_each(|(label, cgroup)| self.appear(label, &cgroup.labels));
    }

    /// Adds what others have counted.
    pub(super) fn add_all(&mut self, others: &Self) {
        self.appear_all(others);
        for (label, cgroup) in &others.known {
            add(
                self.known.get_mut(label).map_or(&mut self.other, |known| &mut known.victims),
                &cgroup.victims,
            );
        }
        add(&mut self.other, &others.other);
        add(&mut self.unknown, &others.unknown);
    }

    /// The label of one that is there and has series.
    pub(super) fn there(&self, path: &str) -> Option<String> {
        let label = label(path);
        self.known.get(&label).is_some_and(|cgroup| cgroup.gone_ns.is_none()).then_some(label)
    }

    /// All labels of one, by its own.
    pub(super) fn labels<'a>(&'a self, label: &'a str) -> Vec<(&'static str, &'a str)> {
        labels(label, self.known.get(label).map_or(&NAMELESS, |cgroup| &cgroup.labels))
    }

    fn expire(&mut self, now_ns: u64) {
        let Self { known, bounds, .. } = self;
        known.retain(|_, it| it.gone_ns.is_none_or(|gone| now_ns.saturating_sub(gone) < bounds.retention_ns));
    }

    /// Where many containers come and go, those that went without a kill go first: their series say nothing.
    fn make_room(&mut self, wanted: usize) {
        let lacking = (self.known.len() + wanted).saturating_sub(self.bounds.cgroups);
        if lacking == 0 {
            return;
        }
        let idle = self.known.iter().filter(|(_, cgroup)| cgroup.victims == Victims::default());
        let mut idle: Vec<(u64, String)> =
            idle.filter_map(|(label, cgroup)| Some((cgroup.gone_ns?, label.clone()))).collect();
        idle.sort_unstable();
        for (_, label) in idle.into_iter().take(lacking) {
            self.known.remove(&label);
        }
    }

    /// What is told of each, in the order of their names.
    pub(super) fn victims(&self) -> impl Iterator<Item = (Vec<(&'static str, &str)>, &Victims)> {
        let known = self.known.iter().map(|(label, cgroup)| (labels(label, &cgroup.labels), &cgroup.victims));
        let nameless = [(OTHER, &self.other), (UNKNOWN, &self.unknown)];
        known.chain(nameless.map(|(label, victims)| (labels(label, &NAMELESS), victims)))
    }

    /// How many have series.
    pub(super) fn number(&self) -> u64 {
        self.known.len() as u64
    }

    /// How many may have.
    pub(super) const fn limit(&self) -> u64 {
        self.bounds.cgroups as u64
    }

    /// How many of those that were seen last have none.
    pub(super) const fn without_series(&self) -> u64 {
        self.without_series
    }
}

static NAMELESS: Labels = Labels::NONE;

fn add(victims: &mut Victims, more: &Victims) {
    victims.iter_mut().zip(more).for_each(|(count, more)| *count += more);
}

/// All labels that say which cgroup it is.
fn labels<'a>(cgroup: &'a str, labels: &'a Labels) -> Vec<(&'static str, &'a str)> {
    let Labels { namespace, pod, container, workload, incomplete: _ } = labels;
    let all = [("namespace", namespace), ("pod", pod), ("container", container)];
    let mut all: Vec<_> = all.into_iter().map(|(name, value)| (name, value.as_str())).collect();
    all.push(("cgroup", cgroup));
    // Only where Kubernetes' API is watched: an empty label is the same as none.
    if !workload.is_empty() {
        all.push(("workload", workload));
    }
    all
}

/// A path as a label's value: without what a terminal would act on, and not longer than a path that anybody uses. One that
/// is cut ends with a number that tells it from others that begin and end alike.
fn label(path: &str) -> String {
    let shown = escape::escape(path);
    if shown.len() <= LONGEST {
        return shown.into_owned();
    }
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let half = (LONGEST - 20) / 2;
    let begin = &shown[..shown.floor_char_boundary(half)];
    let end = &shown[shown.ceil_char_boundary(shown.len() - half)..];
    format!("{begin}...{end}#{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn table(cgroups: usize) -> Cgroups {
        Cgroups::new(Bounds { cgroups, retention_ns: HOUR })
    }

    fn selected(cgroups: &Cgroups) -> Vec<(&str, u64)> {
        cgroups.victims().map(|(labels, victims)| (labels[3].1, victims[0])).collect()
    }

    fn nameless(_: &str) -> Labels {
        Labels::default()
    }

    fn named(pod: &str, incomplete: bool) -> Labels {
        Labels {
            namespace: "payments".into(),
            pod: pod.into(),
            container: "app".into(),
            workload: "Deployment/checkout".into(),
            incomplete,
        }
    }

    #[test]
    fn a_series_begins_with_its_names() {
        let mut cgroups = table(8);
        let names = |pod: &'static str, incomplete| move |_: &str| named(pod, incomplete);
        cgroups.seen(["/a", "/b"].into_iter(), 0, names("", true));
        assert_eq!(selected(&cgroups), [(OTHER, 0), (UNKNOWN, 0)]);
        cgroups.seen(["/a", "/b"].into_iter(), 5, names("checkout", false));
        cgroups.seen(["/a", "/b"].into_iter(), 6, names("other", false));
        cgroups.victim(Some("/a"), Role::Selected, named("third", false));
        let (labels, victims) = cgroups.victims().next().unwrap();
        assert_eq!((victims[0], cgroups.number()), (1, 2));
        let expected = [
            ("namespace", "payments"),
            ("pod", "checkout"),
            ("container", "app"),
            ("cgroup", "/a"),
            ("workload", "Deployment/checkout"),
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn names_are_waited_for_a_short_time() {
        let mut cgroups = table(8);
        let unknown = |_: &str| named("", true);
        cgroups.seen(["/a", "/b", "/gone"].into_iter(), 0, unknown);
        cgroups.victim(Some("/b"), Role::Selected, named("checkout", false));
        cgroups.seen(["/a", "/b"].into_iter(), PATIENCE_NS - 1, unknown);
        assert_eq!(selected(&cgroups), [("/b", 1), (OTHER, 0), (UNKNOWN, 0)]);
        cgroups.seen(["/a", "/b", "/gone"].into_iter(), PATIENCE_NS, unknown);
        assert_eq!(selected(&cgroups), [("/a", 0), ("/b", 1), (OTHER, 0), (UNKNOWN, 0)], "one came back");
    }

    #[test]
    fn a_cgroup_is_there_from_when_it_is_seen_until_an_hour_after_it_is_gone() {
        let mut cgroups = table(8);
        cgroups.seen(["/a", "/b"].into_iter(), 10, nameless);
        assert_eq!(selected(&cgroups), [("/a", 0), ("/b", 0), (OTHER, 0), (UNKNOWN, 0)]);
        cgroups.victim(Some("/a"), Role::Selected, Labels::default());
        cgroups.seen(["/b"].into_iter(), 20, nameless);
        cgroups.seen(["/b"].into_iter(), 20 + HOUR - 1, nameless);
        assert_eq!(selected(&cgroups), [("/a", 1), ("/b", 0), (OTHER, 0), (UNKNOWN, 0)]);
        cgroups.seen(["/b"].into_iter(), 20 + HOUR, nameless);
        assert_eq!(selected(&cgroups), [("/b", 0), (OTHER, 0), (UNKNOWN, 0)]);
    }

    #[test]
    fn one_that_comes_back_goes_on_counting() {
        let mut cgroups = table(8);
        cgroups.victim(Some("/a"), Role::Selected, Labels::default());
        cgroups.seen([].into_iter(), 0, nameless);
        cgroups.seen(["/a"].into_iter(), HOUR - 1, nameless);
        cgroups.seen(["/a"].into_iter(), 3 * HOUR, nameless);
        cgroups.victim(Some("/a"), Role::Group, Labels::default());
        assert_eq!(cgroups.victims().next().unwrap().1, &[1, 1, 0, 0]);
    }

    #[test]
    fn what_finds_no_room_is_counted_together() {
        let mut cgroups = table(2);
        cgroups.seen(["/a", "/b", "/c", "/d"].into_iter(), 0, nameless);
        assert_eq!((cgroups.number(), cgroups.without_series()), (2, 2));
        for cgroup in [Some("/a"), Some("/c"), Some("/e"), None] {
            cgroups.victim(cgroup, Role::Selected, Labels::default());
        }
        assert_eq!(selected(&cgroups), [("/a", 1), ("/b", 0), (OTHER, 2), (UNKNOWN, 1)]);
        // The one that is gone without a kill makes room; the one with a kill stays.
        cgroups.seen(["/c", "/d"].into_iter(), 1, nameless);
        assert_eq!(selected(&cgroups), [("/a", 1), ("/c", 0), (OTHER, 2), (UNKNOWN, 1)]);
        assert_eq!((cgroups.number(), cgroups.without_series()), (2, 1));
    }

    #[test]
    fn the_oldest_of_the_idle_ones_goes_first() {
        let mut cgroups = table(3);
        cgroups.seen(["/x", "/a", "/b"].into_iter(), 0, nameless);
        cgroups.seen(["/a", "/b"].into_iter(), 1, nameless);
        cgroups.seen(["/b"].into_iter(), 2, nameless);
        cgroups.victim(Some("/new"), Role::Selected, Labels::default());
        assert_eq!(selected(&cgroups)[..3], [("/a", 0), ("/b", 0), ("/new", 1)]);
    }

    #[test]
    fn labels_are_short_and_differ() {
        assert_eq!(label("/system.slice/a\\x2db.service"), "/system.slice/a\\x2db.service");
        assert_eq!(label("/\u{1b}[2J\n\u{202e}"), "/\\x1b[2J\\x0a\\u{202e}");
        let long = |middle: &str| format!("/{}{middle}{}", "é/".repeat(300), "日".repeat(300));
        let (one, other) = (label(&long("1")), label(&long("2")));
        assert!(one.len() <= LONGEST && one != other, "{one}");
    }
}
