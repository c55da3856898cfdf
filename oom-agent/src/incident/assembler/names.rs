//! Paths of cgroups by their id, for candidates that name theirs by id only.

use crate::incident::fact::CgroupPath;
use std::collections::HashMap;

/// Names in one generation. At most twice as many are kept.
const GENERATION: usize = 2048;

/// A bounded cache: names that nobody asked for during a whole generation go.
#[derive(Debug, Default)]
pub(super) struct Names {
    young: HashMap<u64, CgroupPath>,
    old: HashMap<u64, CgroupPath>,
}

impl Names {
    /// Remembers a name. An id that is used anew (the directory is gone) gets its new name.
    pub(super) fn insert(&mut self, id: u64, path: CgroupPath) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&id);
        self.young.insert(id, path);
    }

    /// The path of a cgroup, if it was told lately.
    pub(super) fn get(&mut self, id: u64) -> Option<CgroupPath> {
        if let Some(path) = self.young.get(&id) {
            return Some(path.clone());
        }
        let path = self.old.remove(&id)?;
        self.insert(id, path.clone());
        Some(path)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(id: u64) -> CgroupPath {
        CgroupPath { path: format!("/{id}"), cut: false }
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut names = Names::default();
        for id in 1..100_000 {
            names.insert(id, path(id));
            assert_eq!(names.get(1), Some(path(1)));
            assert!(names.len() <= 2 * GENERATION);
        }
        assert_eq!(names.get(2), None);
        assert_eq!(names.get(99_999), Some(path(99_999)));
    }

    #[test]
    fn an_id_used_anew_has_its_new_name() {
        let mut names = Names::default();
        names.insert(1, path(1));
        names.insert(1, path(2));
        assert_eq!(names.get(1), Some(path(2)));
    }
}
