//! Loops, in the ways that verifiers take. Each object has its own, see `way`.

/// How a loop is made.
pub(crate) trait Walk: Sized {
    /// Whether the same program clears and copies by helpers. What 5.10's verifier makes of loops within BTF programs hangs on
    /// small things: there they do so as the compiler has it, byte by byte, and like that it takes them.
    const WHOLE: bool;
    /// Whether a loop ends early where going on does no harm. To a verifier that looks at every round each of these ends is
    /// another path through all that follows.
    const ENDS: bool;

    /// A round after the other, `MOST` of them, until one says that there are no more.
    #[inline(always)]
    fn rounds<R: Round, const MOST: u32>(round: &mut R) {
        for index in 0..MOST {
            if !round.next::<Self>(index) {
                break;
            }
        }
    }
}

/// What to walk along.
pub(crate) trait Round {
    /// Goes on by one, the `index`-th time. Whether there may be more.
    fn next<W: Walk>(&mut self, index: u32) -> bool;
}
