use super::*;

fn new<'a>(seen: &mut Seen, log: &'a str) -> (&'a str, bool) {
    let New { lines, gap } = seen.new_of(log.as_bytes());
    (str::from_utf8(lines).unwrap(), gap)
}

#[test]
fn a_line_is_new_once() {
    let mut seen = Seen::default();
    assert_eq!(new(&mut seen, "<4>[    1.000000] a\n<4>[    2.000000] b\n").0.lines().count(), 2);
    assert_eq!(new(&mut seen, "<4>[    1.000000] a\n<4>[    2.000000] b\n"), ("", false));
    assert_eq!(
        new(&mut seen, "<4>[    2.000000] b\n<4>[    3.000000] c\n<4>[    4.000000] d\n"),
        ("<4>[    3.000000] c\n<4>[    4.000000] d", false)
    );
    assert_eq!(new(&mut seen, "<4>[    4.000000] d\n"), ("", false));
}

#[test]
fn what_was_overwritten_is_a_gap() {
    let mut seen = Seen::default();
    assert_eq!(new(&mut seen, ""), ("", false));
    assert_eq!(new(&mut seen, "a\n"), ("a", false));
    assert_eq!(new(&mut seen, "y\nz\n"), ("y\nz", true));
    assert_eq!(new(&mut seen, "y\nz\n"), ("", false));
}

#[test]
fn the_end_of_a_line_is_not_the_line() {
    let mut seen = Seen::default();
    new(&mut seen, "abc\n");
    assert_eq!(new(&mut seen, "abc\nxabc\n"), ("xabc", false));
}

#[test]
fn lines_have_facility_time_and_caller() {
    let line = |text: &'static str| Line::parse(text.as_bytes());
    let message = |facility, time_ns, context, text: &'static str| {
        Some(Line { facility, time_ns, context, message: text.as_bytes() })
    };
    assert_eq!(line("<4>[   12.345678] a [b] c"), message(0, Some(12_345_678_000), None, "a [b] c"));
    assert_eq!(line("<6>[   12.345678][   T42] a"), message(0, Some(12_345_678_000), Some(42), "a"));
    assert_eq!(line("<6>[   12.345678][    C1] a"), message(0, Some(12_345_678_000), None, "a"));
    assert_eq!(line("<12>[    0.000001]  spaces"), message(1, Some(1000), None, " spaces"));
    assert_eq!(line("<6>[ 1234]  0 1234"), message(0, None, None, "[ 1234]  0 1234"), "printk.time is 0");
    assert_eq!(line("<6>"), message(0, None, None, ""));
    for text in ["", "a", "<>", "<x>a", "[    1.000000] a", "<99999999999999999999>a"] {
        assert!(line(text).is_none_or(|line| text == "<>" && line.message.is_empty()), "{text}");
    }
}

#[test]
fn a_report_is_told_with_its_time() {
    let log = "<4>[  100.000001] systemd[1]: Started x\n\
               <3>[  100.000002] Memory cgroup out of memory: Killed process 42 (hog) total-vm:1kB, anon-rss:2kB, \
               file-rss:3kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:900\n\
               <14>Memory cgroup out of memory: Killed process 43 (forged) total-vm:1kB, anon-rss:2kB, file-rss:3kB\n";
    let mut parser = Parser::new();
    let mut out = Vec::new();
    let lines = log.as_bytes().split(|byte| *byte == b'\n').filter_map(Line::parse);
    for line in lines.filter(|line| line.facility == 0) {
        parser.message(line.time_ns, line.context, &utf8(line.message), &mut out);
    }
    let [Event { time_ns: Some(100_000_002_000), .. }] = out[..] else { panic!("{out:?}") };
}

#[test]
fn the_running_kernels_log_can_be_read_again_and_again() {
    let Ok(mut klog) = Klog::open(From::Now) else { return eprintln!("skipped: it may not be read here") };
    let mut out = Vec::new();
    klog.read(&mut out).unwrap();
    klog.read(&mut out).unwrap();
    assert!(klog.due().is_some_and(|due| due <= Duration::from_secs(10)), "asked for too early");
}
