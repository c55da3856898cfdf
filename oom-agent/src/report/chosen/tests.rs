use super::*;

/// `oom_kill_process` of 3.10 (`%d`), 4.4 and 4.19 (`%u`).
#[test]
fn the_chosen_one_has_a_score() {
    let read = |line| chosen(line).map(|it| (it.message, it.pid, it.comm, it.score));
    let told =
        |message: &str, pid, comm: &str, score| Some((message.to_owned(), pid, comm.to_owned(), score));
    assert_eq!(
        read("Out of memory: Kill process 3161 (mysqld) score 626 or sacrifice child"),
        told("Out of memory", 3161, "mysqld", 626)
    );
    assert_eq!(
        read("Memory cgroup out of memory: Kill process 7 (a) score 1) score 1001 or sacrifice child"),
        told("Memory cgroup out of memory", 7, "a) score 1", 1001)
    );
    assert_eq!(
        read("Out of memory (oom_kill_allocating_task): Kill process 7 (a) score 0 or sacrifice child"),
        told("Out of memory (oom_kill_allocating_task)", 7, "a", 0)
    );
    for line in [
        "x: Kill process 7 (a) score 0 or sacrifice child",
        "Out of memory: Kill process 7 (a) score 0 or sacrifice",
        "Out of memory: Kill process 7 (a) score",
        "Out of memory: Kill process 99999999999 (a) score 0 or sacrifice child",
    ] {
        assert_eq!(read(line), None, "{line}");
    }
}

/// `oom_kill_process` of 3.10.
#[test]
fn sharers_of_the_memory_are_named() {
    let line = "Kill process 3781 (a) b) sharing same memory";
    assert_eq!(sharing(line), Some((3781, "a) b")));
    assert_eq!(sharing("Kill process 3781 (a) sharing same mem"), None);
}

/// `mem_cgroup_print_oom_info` of 3.10 and 4.19.
#[test]
fn both_cgroups_are_read() {
    assert_eq!(cgroups("Task in /a/b killed as a result of limit of /a"), Some((Some("/a/b"), "/a")));
    assert_eq!(cgroups("Task in /a killed as a result of limit of /"), Some((Some("/a"), "/")));
    assert_eq!(cgroups("Memory limit reached of cgroup /syz0"), Some((None, "/syz0")));
    for line in ["Task in x", "Task in /x", "Task in /x killed", "Memory limit reached of cgroup "] {
        assert_eq!(cgroups(line), None, "{line}");
    }
}

#[test]
fn a_cgroup_may_be_named_like_the_line() {
    let name = "/x killed as a result of limit of /y";
    let line = format!("Task in {name}/c killed as a result of limit of {name}");
    assert_eq!(cgroups(&line), Some((Some(&*format!("{name}/c")), name)));
}

fn told(pid: u32) -> Chosen {
    Chosen { pid, ..Chosen::default() }
}

#[test]
fn a_kill_is_of_the_one_that_it_names_or_of_the_only_one() {
    let take = |waiting: &[u32], pid| {
        let mut all = Waiting::default();
        for &pid in waiting {
            all.push(told(pid));
        }
        (all.take(pid).map(|chosen| chosen.pid), all.0.iter().map(|chosen| chosen.pid).collect::<Vec<_>>())
    };
    assert_eq!(take(&[5], 5), (Some(5), vec![]));
    assert_eq!(take(&[5], 6), (Some(5), vec![]), "its child");
    assert_eq!(take(&[5, 7], 5), (Some(5), vec![7]), "on two CPUs");
    assert_eq!(take(&[5, 7], 7), (Some(7), vec![]), "the first was dying");
    assert_eq!(take(&[5, 7], 9), (None, vec![]), "whose child is not known");
    assert_eq!(take(&[], 9), (None, vec![]));
}

const GLOBAL: &str = "Out of memory";

#[test]
fn where_nothing_else_can_be_the_reason_the_whole_machine_is() {
    let kind = |message: &str, nodemask: Option<&str>, cpuset: Option<&str>, limit| {
        let own = |text: &str| text.to_owned();
        let asked =
            Invocation { nodemask: nodemask.map(own), cpuset: cpuset.map(own), ..Invocation::default() };
        let chosen = Chosen { message: message.into(), ..Chosen::default() };
        summary(&chosen, Some(&asked), limit, None).constraint
    };
    assert_eq!(kind(GLOBAL, Some("(null)"), Some("/"), None), Some(ScopeKind::Global));
    // 4.9 prints the cpuset's nodes for no mask; 3.10 and 4.4 print no mask.
    assert_eq!(kind(GLOBAL, Some("0"), Some("/"), None), None);
    assert_eq!(kind(GLOBAL, None, Some("/"), None), None);
    assert_eq!(kind(GLOBAL, Some("(null)"), Some("box"), None), None);
    assert_eq!(kind("Memory cgroup out of memory", None, None, None), Some(ScopeKind::Memcg));
    assert_eq!(kind(GLOBAL, None, None, Some("/a")), Some(ScopeKind::Memcg));
}
