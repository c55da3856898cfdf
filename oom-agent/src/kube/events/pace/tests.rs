use super::*;
use crate::kube::events::event::drafts;
use crate::sink::samples;
use serde_json::Value;

const SECOND: u64 = 1_000_000_000;

fn draft(pod: &str) -> Draft {
    let mut incident = samples::memcg();
    let victim = &mut incident.victims[0];
    victim.cgroup =
        Some(format!("/kubepods/burstable/pod3f21a0c4-8d1b-4c1e-9a55-0a1b2c3d4e5f/{}", "a".repeat(64)));
    samples::build::named(&mut incident, "payments", pod, "app");
    let mut draft = drafts(&incident, 7).0.remove(0);
    pod.clone_into(&mut draft.key.object);
    draft
}

fn failed(failure: &Failure) -> Result<(), Failure> {
    Err(failure.clone())
}

#[test]
fn what_happens_again_is_counted_in_the_event_that_is_there() {
    let mut pace = Pace::new(0);
    pace.offer(draft("a"), 0);
    let job = pace.next(0).unwrap();
    assert!(job.create && job.namespace == "payments");
    pace.offer(draft("a"), 1);
    pace.done(&job, Ok(()), 2);
    assert_eq!(pace.next(2), None, "not so soon");
    assert_eq!(pace.due_ns(), Some(2 + REST_NS));
    pace.offer(draft("a"), 3);
    let job = pace.next(2 + REST_NS).unwrap();
    let body: Value = serde_json::from_str(&job.body).unwrap();
    assert_eq!((job.create, &body["series"]["count"], &body["note"]), (false, &3.into(), &Value::Null));
    pace.done(&job, Ok(()), 5);
    assert_eq!((pace.due_ns(), pace.dropped()), (None, [0; 5]));
    // Long after that it is another Event.
    pace.offer(draft("a"), 2 + FORGET_NS + 3);
    assert!(pace.next(2 + FORGET_NS + 3).unwrap().create);
}

#[test]
fn another_object_is_another_event_and_there_are_never_many_at_once() {
    let mut pace = Pace::new(0);
    for number in 0..BURST + 5 {
        pace.offer(draft(&format!("p{number}")), number);
    }
    let mut written = 0;
    while let Some(job) = pace.next(100) {
        pace.done(&job, Ok(()), 100);
        written += 1;
    }
    assert_eq!((written, pace.due_ns()), (BURST, Some(REFILL_NS)));
    let mut later = 0;
    while let Some(job) = pace.next(2 * REFILL_NS) {
        pace.done(&job, Ok(()), 2 * REFILL_NS);
        later += 1;
    }
    assert_eq!(later, 2);
}

#[test]
fn no_more_are_kept_than_there_is_room_for() {
    let mut pace = Pace::new(0);
    for number in 0..=KEPT {
        pace.offer(draft(&format!("p{number}")), number as u64);
    }
    assert_eq!((pace.entries.len(), pace.dropped()[Dropped::Full as usize]), (KEPT, 1));
    let job = pace.next(1000).unwrap();
    assert_eq!(job.key.object, "p0", "the first that came");
    pace.done(&job, Ok(()), 1000);
    pace.offer(draft("more"), 1001);
    assert_eq!((pace.entries.len(), pace.dropped()[Dropped::Full as usize]), (KEPT, 1), "p0 made room");
    pace.offer(draft("late"), FORGET_NS + 2000);
    assert_eq!((pace.entries.len(), pace.dropped()[Dropped::TooOld as usize]), (1, KEPT as u64));
}

#[test]
fn a_server_that_fails_is_asked_again_later_and_nothing_is_lost() {
    let mut pace = Pace::new(0);
    pace.offer(draft("a"), 0);
    let unreachable = Failure::Unreachable("refused".into());
    let mut now = 0;
    for wait in [1, 2, 4, 8] {
        let job = pace.next(now).unwrap();
        pace.done(&job, failed(&unreachable), now);
        assert_eq!((pace.next(now), pace.due_ns()), (None, Some(now + wait * SECOND)));
        now += wait * SECOND;
    }
    let job = pace.next(now).unwrap();
    pace.done(&job, failed(&Failure::Busy(Some(Duration::from_secs(20)))), now);
    assert_eq!(pace.due_ns(), Some(now + 20 * SECOND), "as it asks");
    now += 20 * SECOND;
    // The answer before was lost.
    let job = pace.next(now).unwrap();
    pace.done(&job, Err(Failure::Refused(409, "exists".into())), now);
    assert_eq!((pace.due_ns(), pace.dropped()), (None, [0; 5]));
}

#[test]
fn an_event_that_the_server_has_forgotten_is_made_again() {
    let mut pace = Pace::new(0);
    pace.offer(draft("a"), 0);
    let job = pace.next(0).unwrap();
    pace.done(&job, Ok(()), 0);
    pace.offer(draft("a"), 1);
    let job = pace.next(REST_NS).unwrap();
    assert!(!job.create);
    pace.done(&job, Err(Failure::Refused(404, String::new())), REST_NS);
    let job = pace.next(REST_NS).unwrap();
    assert!(job.create && !job.body.contains("series"), "{}", job.body);
}

#[test]
fn what_is_not_taken_is_not_tried_again_and_who_may_not_stops() {
    let mut pace = Pace::new(0);
    pace.offer(draft("a"), 0);
    let job = pace.next(0).unwrap();
    pace.done(&job, Err(Failure::Refused(422, "invalid".into())), 0);
    assert_eq!((pace.due_ns(), pace.dropped()), (None, [0, 0, 0, 1, 0]));
    pace.offer(draft("a"), 1);
    pace.offer(draft("b"), 1);
    let job = pace.next(1).unwrap();
    pace.done(&job, Err(Failure::Forbidden("no".into())), 1);
    pace.offer(draft("c"), 2);
    assert_eq!((pace.next(2), pace.due_ns(), pace.dropped()), (None, None, [0, 0, 3, 1, 0]));
    pace.offer(draft("c"), 1 + FORBIDDEN_NS);
    assert!(pace.next(1 + FORBIDDEN_NS).is_some(), "perhaps it may by now");
}
