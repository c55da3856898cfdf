//! Texts for HTTP, of which only so many are held at a time: who reads slowly holds one until the end.

use std::sync::{Arc, Weak};

/// Different texts that readers hold at a time.
const MOST: usize = 4;

/// The texts that somebody still reads, the newest last.
#[derive(Debug, Default)]
pub(super) struct Texts(Vec<Weak<Vec<u8>>>);

impl Texts {
    /// A new one, or the newest where too many are being read: a slow reader gives up its own after seconds.
    pub(super) fn get(&mut self, make: impl FnOnce() -> Vec<u8>) -> Arc<Vec<u8>> {
        self.0.retain(|text| text.strong_count() > 0);
        if self.0.len() >= MOST
            && let Some(newest) = self.0.last().and_then(Weak::upgrade)
        {
            return newest;
        }
        let text = Arc::new(make());
        self.0.push(Arc::downgrade(&text));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_readers_share() {
        let mut texts = Texts::default();
        let mut held: Vec<_> = (0..10_u8).map(|at| texts.get(|| vec![at])).collect();
        let seen: Vec<u8> = held.iter().map(|text| text[0]).collect();
        assert_eq!(seen, [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]);
        held.remove(0);
        assert_eq!(*texts.get(|| vec![99]), [99]);
        held.clear();
        assert_eq!(*texts.get(|| vec![7]), [7]);
        assert_eq!(texts.0.len(), 1);
    }
}
