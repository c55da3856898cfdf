use super::*;
use crate::report::What;
use std::collections::VecDeque;

/// `/dev/kmsg` as a list of what each read gives; then there is nothing more.
struct Reads(VecDeque<Result<Vec<u8>, i32>>);

const EAGAIN: i32 = 11;
const EINTR: i32 = 4;
const EINVAL: i32 = 22;
const EIO: i32 = 5;
const EPIPE: i32 = 32;

impl Reads {
    fn new<const N: usize>(reads: [Result<&str, i32>; N]) -> Self {
        Self(reads.into_iter().map(|read| read.map(|text| text.as_bytes().to_vec())).collect())
    }
}

impl Read for Reads {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let record = self.0.pop_front().unwrap_or(Err(EAGAIN)).map_err(io::Error::from_raw_os_error)?;
        buffer[..record.len()].copy_from_slice(&record);
        Ok(record.len())
    }
}

fn drain(mut reads: Reads) -> Vec<Event> {
    let mut out = Vec::new();
    assert_eq!(Follower::new().drain(&mut reads, &mut out).unwrap(), Drained::All);
    assert!(reads.0.is_empty(), "left unread: {:?}", reads.0);
    out
}

fn gaps(events: &[Event]) -> Vec<Option<u64>> {
    let gap = |event: &Event| match event.what {
        What::Gap { records } => Some(records),
        _ => None,
    };
    events.iter().filter_map(gap).collect()
}

const KILLED: &str = "Out of memory: Killed process 5 (h\\xc3\\xa9) total-vm:8kB, anon-rss:4kB, file-rss:0kB, \
                      shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";

#[test]
fn a_kill_has_its_time_and_its_name() {
    let events =
        drain(Reads::new([Ok("6,7,1000,-;usb 1-1: new device\n"), Ok(&format!("3,8,2000,-;{KILLED}\n"))]));
    let [Event { time_ns: Some(2_000_000), what: What::Killed(killed) }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((killed.pid, killed.comm.as_str()), (5, "hé"));
}

#[test]
fn a_process_cannot_forge_a_kill() {
    assert_eq!(drain(Reads::new([Ok(&format!("11,8,2000,-;{KILLED}\n"))])), []);
}

#[test]
fn lost_records_are_counted() {
    let events = drain(Reads::new([Ok("6,7,1,-;a"), Err(EPIPE), Ok("6,12,2,-;b"), Ok("6,13,3,-;c")]));
    assert_eq!(gaps(&events), [Some(4)]);
}

#[test]
fn records_may_be_lost_before_the_first_one() {
    assert_eq!(gaps(&drain(Reads::new([Err(EPIPE), Ok("6,12,2,-;b")]))), [None]);
}

#[test]
fn a_jump_in_the_numbers_is_a_gap_even_if_nobody_says_so() {
    assert_eq!(gaps(&drain(Reads::new([Ok("6,7,1,-;a"), Ok("6,9,2,-;b")]))), [Some(1)]);
}

#[test]
fn a_record_that_is_too_large_is_one_lost_record() {
    assert_eq!(gaps(&drain(Reads::new([Ok("6,7,1,-;a"), Err(EINVAL), Ok("6,9,2,-;b")]))), [Some(1)]);
}

#[test]
fn the_first_number_says_whether_the_log_is_whole() {
    let mut follower = Follower::new();
    assert_eq!(follower.first_seq(), None);
    let mut reads = Reads::new([Ok("6,7,1,-;a"), Ok("6,8,2,-;b")]);
    follower.drain(&mut reads, &mut Vec::new()).unwrap();
    assert_eq!(follower.first_seq(), Some(7));
}

#[test]
fn a_signal_does_not_matter() {
    assert_eq!(drain(Reads::new([Ok("6,7,1,-;a"), Err(EINTR), Ok("6,8,2,-;b")])), []);
}

#[test]
fn a_record_that_is_none_is_lost() {
    assert_eq!(gaps(&drain(Reads::new([Ok("6,7,1,-;a"), Ok("what?"), Ok("6,9,2,-;b")]))), [Some(1)]);
}

#[test]
fn another_error_is_told() {
    let error = Follower::new().drain(&mut Reads::new([Err(EIO)]), &mut Vec::new()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(EIO));
}

#[test]
fn a_flood_is_read_in_batches() {
    let records = (0..=BATCH as u64).map(|seq| Ok(format!("6,{seq},1,-;flood").into_bytes()));
    let mut reads = Reads(records.collect());
    let mut follower = Follower::new();
    let mut out = Vec::new();
    assert_eq!(follower.drain(&mut reads, &mut out).unwrap(), Drained::More);
    assert_eq!(follower.drain(&mut reads, &mut out).unwrap(), Drained::All);
    assert_eq!(out, []);
}

#[test]
fn what_was_told_before_is_skipped_but_counted() {
    let killed = |seq: u32| format!("3,{seq},{seq}000,-;{KILLED}\n");
    let mut follower = Follower::new();
    follower.skip_before(8);
    let mut out = Vec::new();
    let (old, new) = (killed(7), killed(8));
    follower.drain(&mut Reads::new([Ok(&old), Ok(&new)]), &mut out).unwrap();
    assert!(matches!(&out[..], [Event { time_ns: Some(8_000_000), what: What::Killed(_) }]), "{out:?}");
    assert_eq!(
        (follower.first_seq(), follower.next_seq(), follower.settled_seq()),
        (Some(7), Some(9), Some(9))
    );
    let report = "4,9,1,-;x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n";
    follower.drain(&mut Reads::new([Ok(report)]), &mut out).unwrap();
    assert_eq!((follower.next_seq(), follower.settled_seq()), (Some(10), None), "in the middle of a report");
}
