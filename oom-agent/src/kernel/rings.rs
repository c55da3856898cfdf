//! The rings' records as facts, in an order that makes sense: candidates before the end of their call.

use super::{
    decode::Decoder,
    load::{Link, Loaded},
    ring::Ring,
    windows::Windows,
};
use crate::incident::{
    escalation::{Skipped, Totals},
    fact::Fact,
};
use anyhow::{Context as _, Result};
use aya::maps::{MapData, PerCpuArray};
use oom_ebpf::{RING_BULK, RING_EVENTS};
use tokio::io::{Interest, unix::AsyncFd};

/// The rings of attached programs. Dropping it detaches them.
pub struct Rings {
    events: AsyncFd<Ring>,
    bulk: AsyncFd<Ring>,
    drops: PerCpuArray<MapData, u64>,
    decoder: Decoder,
    windows: Windows,
    dropped: Dropped,
    undecodable: u64,
    _links: Vec<Link>,
}

/// Records that found no room since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Of the small ring.
    pub events: u64,
    /// Candidates and cgroup names.
    pub bulk: u64,
}

fn register(ring: Ring) -> Result<AsyncFd<Ring>> {
    // SAFETY: a ring keeps its descriptor, open, for its whole life. `Rings` keeps it here and puts no other in its place.
    let registered = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
    registered.map_err(std::io::Error::from).context("cannot wait for a BPF ring buffer")
}

impl Rings {
    /// Registers the rings with the runtime.
    pub fn new(loaded: Loaded) -> Result<Self> {
        let Loaded { events, bulk, drops, decoder, windows, links, .. } = loaded;
        let (events, bulk) = (register(events)?, register(bulk)?);
        Ok(Self {
            events,
            bulk,
            drops,
            decoder,
            windows,
            dropped: Dropped::default(),
            undecodable: 0,
            _links: links,
        })
    }

    /// Waits until there is something to [`Rings::drain`]. Cancel-safe.
    pub async fn readable(&mut self) -> Result<()> {
        let Self { events, bulk, .. } = self;
        // Readiness is cleared first: what comes in from here on is seen by the drain or wakes again.
        tokio::select! {
            guard = events.readable_mut() => guard.context("cannot wait for a BPF ring buffer")?.clear_ready(),
            guard = bulk.readable_mut() => guard.context("cannot wait for a BPF ring buffer")?.clear_ready(),
        }
        Ok(())
    }

    /// Hands over what is there.
    pub fn drain(&mut self, mut push: impl FnMut(Fact)) -> Result<()> {
        let Self { events, bulk, decoder, windows, undecodable, .. } = self;
        let (events, bulk) = (events.get_mut(), bulk.get_mut());
        let mut known = |fact: Option<Fact>| {
            *undecodable += u64::from(fact.is_none());
            fact
        };
        loop {
            let event = events.next().map(|record| {
                let mut fact = known(decoder.fact(record));
                if let (Some(Fact::Escalation(fact)), Some(record)) = (&mut fact, Decoder::escalation(record))
                {
                    windows.add(&record, fact);
                }
                fact
            });
            // What the kernel wrote to the bulk ring before that record is there by now.
            while let Some(record) = bulk.next() {
                decoder.facts(record).filter_map(&mut known).for_each(&mut push);
            }
            match event {
                None => break,
                Some(Some(fact)) => push(fact),
                Some(None) => {}
            }
        }
        bulk.release();
        let now = self.read_drops()?;
        // Two programs that drop at once on one CPU may set its counter back.
        let records = now.events.saturating_sub(self.dropped.events) + std::mem::take(&mut self.undecodable);
        if records > 0 {
            push(Fact::Lost { records });
        }
        self.dropped = now;
        Ok(())
    }

    /// Records that found no room since start, as of the last drain.
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Reclaim on the machine since the start.
    pub fn reclaim(&mut self) -> Result<Totals> {
        self.windows.totals()
    }

    /// See [`Windows::look`].
    pub fn look(&mut self, now_ns: u64) {
        self.windows.look(now_ns);
    }

    /// Runs of programs that the kernel has skipped since the start. `None`: it does not count them.
    pub fn skipped(&self) -> Option<Skipped> {
        self.windows.skipped()
    }

    /// Whether maps can be read.
    pub fn reads_maps(&self) -> bool {
        self.read_drops().is_ok()
    }

    fn read_drops(&self) -> Result<Dropped> {
        let sum = |ring| -> Result<u64> {
            let by_cpu = self.drops.get(&ring, 0).context("cannot read the BPF drop counters")?;
            Ok(by_cpu.iter().sum())
        };
        Ok(Dropped { events: sum(RING_EVENTS)?, bulk: sum(RING_BULK)? })
    }
}
