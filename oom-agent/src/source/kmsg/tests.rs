use super::*;
use rustix::io::Errno;
use std::io::Write as _;
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The log, or `None` after saying why not.
fn kmsg(from: From) -> Option<Kmsg> {
    match Kmsg::open(from) {
        Ok(kmsg) => Some(kmsg),
        Err(error) => {
            // Past the test harness, which swallows what a passing test prints.
            let _ =
                writeln!(io::stderr(), "SKIPPED {}: {error:#}", std::thread::current().name().unwrap_or("?"));
            None
        }
    }
}

#[test]
fn errors_say_what_helps() {
    for (errno, help) in [
        (Errno::PERM, "dmesg_restrict"),
        (Errno::PERM, "list of devices"),
        (Errno::NOENT, "--device=/dev/kmsg"),
        (Errno::ACCESS, "SELinux"),
    ] {
        let advice = open_advice(errno);
        assert!(advice.contains(help) && advice.contains(PATH), "{advice}");
    }
}

#[test]
fn outside_of_a_runtime_it_is_an_error() {
    assert!(format!("{:#}", Kmsg::open(From::Now).unwrap_err()).contains("tokio runtime"));
}

#[test]
fn the_whole_log_can_be_read_without_waiting() {
    runtime().block_on(async {
        let Some(mut kmsg) = kmsg(From::Start) else { return };
        let mut out = Vec::new();
        kmsg.read_available(&mut out).unwrap();
        let seq = kmsg.follower.next_seq();
        assert!(seq.is_some_and(|seq| seq > 0), "a running kernel has logged something: {seq:?}");
    });
}

#[test]
fn it_wakes_up_for_a_new_record_and_waits_on_if_that_means_nothing() {
    runtime().block_on(async {
        let Some(mut kmsg) = kmsg(From::Now) else { return };
        let Ok(mut log) = File::options().write(true).open(PATH) else {
            let _ = writeln!(io::stderr(), "SKIPPED: cannot write to {PATH}");
            return;
        };
        let mut out = Vec::new();
        assert_eq!(kmsg.follower.next_seq(), None);
        // `next` waits on, for these records mean nothing; the timeout also tries that it can be cancelled. The kernel
        // wakes readers with its next tick, which may take long on an idle virtual machine.
        for _ in 0..100 {
            log.write_all(b"oom-agent: a record of its own tests").unwrap();
            if let Ok(woken) = tokio::time::timeout(Duration::from_millis(100), kmsg.next(&mut out)).await {
                woken.unwrap();
            }
            if kmsg.follower.next_seq().is_some() {
                return;
            }
        }
        panic!("a new record was not seen");
    });
}

#[test]
fn after_it_was_read_it_is_left_alone_for_a_while() {
    runtime().block_on(async {
        let Some(mut kmsg) = kmsg(From::Start) else { return };
        kmsg.pause_between_reads(Duration::from_hours(1)).unwrap();
        let mut out = Vec::new();
        kmsg.read_available(&mut out).unwrap();
        assert!(kmsg.first_seq() <= kmsg.follower.next_seq());
        let events = out.len();
        // Not registered, so no record wakes it, whatever is logged meanwhile.
        let rests = |kmsg: &Kmsg| kmsg.watch.is_none() && kmsg.pause.as_ref().is_some_and(Pause::runs);
        assert!(rests(&kmsg));
        let waited = tokio::time::timeout(Duration::from_millis(1), kmsg.next(&mut out)).await;
        assert!(waited.is_err() && rests(&kmsg) && out.len() == events);

        // When that is over, it waits for the next record.
        kmsg.pause_between_reads(Duration::from_nanos(1)).unwrap();
        kmsg.read_available(&mut out).unwrap();
        let pause = kmsg.pause.as_mut().unwrap();
        pause.end().await.unwrap();
        assert!(!pause.runs());
        kmsg.pause = None;
        kmsg.read_available(&mut out).unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(1), kmsg.next(&mut out)).await;
        assert!(kmsg.watch.is_some());
    });
}
