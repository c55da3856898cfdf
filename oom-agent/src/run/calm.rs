//! One line of log an incident, but not in a storm.

/// Lines in [`WINDOW_NS`], at most.
const LINES: u64 = 10;
/// As the kernel does with its own reports (`oom_rs` in `mm/oom_kill.c` is 10 in 5 s), twice as long.
const WINDOW_NS: u64 = 10_000_000_000;

/// Who may say something, and what was held back.
#[derive(Debug, Default)]
pub(super) struct Calm {
    began_ns: Option<u64>,
    said: u64,
    held: Held,
}

/// Incidents without a line of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) incidents: u64,
    pub(super) victims: u64,
}

impl Calm {
    /// Whether an incident with so many victims gets a line.
    pub(super) fn may_say(&mut self, now_ns: u64, victims: u64) -> bool {
        let over = |began: u64| now_ns.saturating_sub(began) >= WINDOW_NS;
        // While something is held back its line comes first.
        if self.began_ns.is_none_or(over) && self.held == Held::default() {
            (self.began_ns, self.said) = (Some(now_ns), 0);
        }
        if self.said < LINES {
            self.said += 1;
            return true;
        }
        self.held.incidents += 1;
        self.held.victims += victims;
        false
    }

    /// When to say what was held back, if anything was.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let began = self.began_ns.filter(|_| self.held != Held::default());
        began.map(|began| began.saturating_add(WINDOW_NS))
    }

    /// What was held back; another window begins.
    pub(super) fn take(&mut self, now_ns: u64) -> Held {
        // Its line is the first of the window.
        (self.began_ns, self.said) = (Some(now_ns), 1);
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn in_a_storm_ten_lines_and_then_one_for_the_rest() {
        let mut calm = Calm::default();
        let said = (0..100).filter(|at| calm.may_say(S + at, 2)).count();
        assert_eq!((said, calm.due_ns()), (10, Some(11 * S)));
        // Even where the timer is late.
        assert!(!calm.may_say(12 * S, 1));
        assert_eq!(calm.take(12 * S), Held { incidents: 91, victims: 181 });
        assert_eq!(calm.due_ns(), None);
        let said = (0..100).filter(|at| calm.may_say(13 * S + at, 1)).count();
        assert_eq!((said, calm.due_ns()), (9, Some(22 * S)));
    }

    #[test]
    fn now_and_then_every_one_is_said() {
        let mut calm = Calm::default();
        assert!((0..100).all(|at| calm.may_say(at * S * 2, 1)));
        assert_eq!(calm.due_ns(), None);
    }
}
