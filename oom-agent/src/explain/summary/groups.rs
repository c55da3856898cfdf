//! Counting by name, with a bound on the names.

use std::collections::HashMap;
use std::hash::Hash;

/// Names that are told apart. The others are counted together.
const GROUPS: usize = 256;

/// Counts by key.
#[derive(Clone, Debug)]
pub(super) struct Groups<K, V> {
    by_key: HashMap<K, Group<V>>,
    /// What came when there was no room for another key.
    pub(super) others: u64,
}

/// What has one key.
#[derive(Clone, Debug)]
pub(super) struct Group<V> {
    pub(super) count: u64,
    /// The how manieth key it was.
    order: usize,
    pub(super) value: V,
}

impl<K, V> Default for Groups<K, V> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), others: 0 }
    }
}

impl<K: Eq + Hash, V: Default> Groups<K, V> {
    /// Counts one and brings its value up to date.
    pub(super) fn count(&mut self, key: K, update: impl FnOnce(&mut V)) {
        let order = self.by_key.len();
        if order >= GROUPS && !self.by_key.contains_key(&key) {
            self.others += 1;
            return;
        }
        let new = Group { count: 0, order, value: V::default() };
        let group = self.by_key.entry(key).or_insert(new);
        group.count += 1;
        update(&mut group.value);
    }

    /// Those with the highest counts first, else in the order in which they came.
    pub(super) fn sorted(&self) -> Vec<(&K, &Group<V>)> {
        let mut sorted: Vec<_> = self.by_key.iter().collect();
        sorted.sort_by_key(|(_, group)| (std::cmp::Reverse(group.count), group.order));
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let mut groups = Groups::<usize, ()>::default();
        for round in 0..2 {
            for key in 0..GROUPS + 10 {
                groups.count(key, |()| {});
            }
            assert_eq!(groups.others, 10 * (round + 1));
        }
        groups.count(7, |()| {});
        let sorted = groups.sorted();
        assert_eq!(sorted.len(), GROUPS);
        assert_eq!(
            sorted[..3].iter().map(|(key, group)| (**key, group.count)).collect::<Vec<_>>(),
            [(7, 3), (0, 2), (1, 2)]
        );
    }
}
