use super::{
    cgroup::{Layout, Memory},
    privilege::{Capability, Need},
    test_root::TestRoot,
    *,
};
use std::path::PathBuf;

fn unknown<T: std::fmt::Debug>(known: &Known<T>) -> &str {
    match known {
        Known::Unknown { unknown } => unknown,
        Known::Value(value) => panic!("{value:?} is known"),
    }
}

#[test]
fn nothing_that_can_be_read_is_nothing_known() {
    let root = TestRoot::new();
    let host = Host::read(root.path());
    assert_eq!(host.sysctls.len(), SYSCTLS.len());
    for sysctl in &host.sysctls {
        assert!(unknown(&sysctl.value).starts_with("reading /proc/sys/"), "{sysctl:?}");
    }
    assert_eq!(host.sysctl("vm.swappiness"), None);
    assert!(unknown(&host.node).contains("/proc/sys/kernel/hostname: No such file"), "{:?}", host.node);
    assert!(unknown(&host.kernel_release).contains("osrelease"));
    assert!(unknown(&host.boot_id).contains("boot_id"));
    assert!(unknown(&host.swap).contains("/proc/meminfo"));
    assert!(unknown(&host.psi).contains("procfs"));
    assert!(unknown(&host.mglru).contains("sysfs"));
    assert!(unknown(&host.lockdown).contains("securityfs"));
    assert!(unknown(&host.cgroups).contains("/proc/self/mounts"));
    assert_eq!(host.missing_for(Need::BpfTracing), None);
}

#[test]
fn cpus_are_counted() {
    for (list, expected) in
        [("0", Some(1)), ("0-3", Some(4)), ("0-1,4,6-7\n", Some(5)), ("", None), ("3-1", None), ("all", None)]
    {
        let root = TestRoot::new().file("sys/devices/system/cpu/online", list);
        assert_eq!(online_cpus(root.path()), expected, "{list}");
    }
    assert_eq!(online_cpus(TestRoot::new().path()), None);
}

#[test]
fn settings_and_names_are_read() {
    let root = TestRoot::new()
        .file("proc/sys/kernel/hostname", "node-7\n")
        .file("proc/sys/kernel/osrelease", "6.12.117\n")
        .file("proc/sys/kernel/random/boot_id", "4f1c0a9e-93bd-4b2c-a0b5-54e3a2c1d7aa\n")
        .file("proc/sys/vm/panic_on_oom", "0\n")
        .file("proc/sys/vm/min_free_kbytes", "67584\n")
        .file("proc/sys/vm/swappiness", "lots\n")
        .file("proc/sys/kernel/dmesg_restrict", "1\n")
        .file(
            "proc/meminfo",
            "MemTotal: 1 kB\nSwapCached:  7 kB\nSwapTotal:     2048 kB\nSwapFree:        1024 kB\n",
        );
    let host = Host::read(root.path());
    assert_eq!(host.node, Known::Value("node-7".to_owned()));
    assert_eq!(host.kernel_release, Known::Value("6.12.117".to_owned()));
    assert_eq!(host.boot_id, Known::Value("4f1c0a9e-93bd-4b2c-a0b5-54e3a2c1d7aa".to_owned()));
    assert_eq!(host.sysctl("vm.panic_on_oom"), Some(0));
    assert_eq!(host.sysctl("vm.min_free_kbytes"), Some(67_584));
    assert_eq!(host.sysctl("kernel.dmesg_restrict"), Some(1));
    assert_eq!(host.sysctl("vm.swappiness"), None);
    let swappiness = host.sysctls.iter().find(|sysctl| sysctl.name == "vm.swappiness").unwrap();
    assert_eq!(unknown(&swappiness.value), "/proc/sys/vm/swappiness holds \"lots\", not a number");
    assert_eq!(host.swap, Known::Value(Swap { total_bytes: 2 << 20, free_bytes: 1 << 20 }));
}

#[test]
fn no_swap_is_known_and_zero() {
    let root = TestRoot::new().file("proc/meminfo", "SwapTotal: 0 kB\nSwapFree: 0 kB\n");
    assert_eq!(Host::read(root.path()).swap, Known::Value(Swap { total_bytes: 0, free_bytes: 0 }));
    let root = TestRoot::new().file("proc/meminfo", "SwapTotal: 0 kB\n");
    assert_eq!(unknown(&Host::read(root.path()).swap), "/proc/meminfo has no SwapFree in kB");
}

#[test]
fn features_are_on_off_or_absent() {
    let mglru = |text| Host::read(TestRoot::new().file("sys/kernel/mm/lru_gen/enabled", text).path()).mglru;
    assert_eq!(mglru("0x0007\n"), Known::Value(Feature::On));
    assert_eq!(mglru("0x0006\n"), Known::Value(Feature::Off));
    assert_eq!(mglru("0x0000\n"), Known::Value(Feature::Off));
    assert_eq!(unknown(&mglru("y\n")), "/sys/kernel/mm/lru_gen/enabled holds \"y\", not a mask");
    let without = TestRoot::new().file("sys/kernel/mm/transparent_hugepage/enabled", "");
    assert_eq!(Host::read(without.path()).mglru, Known::Value(Feature::Absent));

    let without = without.file("proc/sys/vm/swappiness", "60\n");
    assert_eq!(Host::read(without.path()).psi, Known::Value(Feature::Absent));
    let with = without.file("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    assert_eq!(Host::read(with.path()).psi, Known::Value(Feature::On));
}

#[test]
fn lockdown_is_the_mode_in_brackets() {
    let lockdown =
        |text| Host::read(TestRoot::new().file("sys/kernel/security/lockdown", text).path()).lockdown;
    assert_eq!(lockdown("[none] integrity confidentiality\n"), Known::Value(Lockdown::None));
    assert_eq!(lockdown("none [integrity] confidentiality\n"), Known::Value(Lockdown::Integrity));
    assert_eq!(lockdown("none integrity [confidentiality]\n"), Known::Value(Lockdown::Confidentiality));
    assert!(unknown(&lockdown("none integrity [paranoia]\n")).contains("no mode that is known"));
    assert!(unknown(&lockdown("none integrity\n")).contains("no mode that is known"));

    let without_securityfs = TestRoot::new().file("proc/cmdline", "quiet lockdown=integrity panic=-1\n");
    let host = Host::read(without_securityfs.path());
    assert!(
        unknown(&host.lockdown).ends_with("it was booted with lockdown=integrity"),
        "{:?}",
        host.lockdown
    );
}

const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n";
const V1_CPU: &str = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\n";
const V1_MEMORY: &str = "cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,memory 0 0\n";

fn cgroups(mounts: &[&str], controllers: &str, proc_cgroups: &str) -> (Layout, Memory) {
    let root = TestRoot::new()
        .file("proc/self/mounts", &mounts.concat())
        .file("sys/fs/cgroup/cgroup.controllers", controllers)
        .file("proc/cgroups", proc_cgroups);
    let cgroups = Host::read(root.path()).cgroups.value().unwrap().clone();
    (cgroups.layout, cgroups.memory)
}

#[test]
fn the_memory_controller_is_found_where_it_lives() {
    let v1 = || Memory::V1(PathBuf::from("/sys/fs/cgroup/memory"));
    assert_eq!(
        cgroups(&["proc /proc proc rw 0 0\n", V2], "cpuset cpu io memory pids\n", ""),
        (Layout::Unified, Memory::V2(PathBuf::from("/sys/fs/cgroup")))
    );
    assert_eq!(cgroups(&[V1_CPU, V1_MEMORY], "", ""), (Layout::Legacy, v1()));
    assert_eq!(cgroups(&[V2, V1_MEMORY], "cpu pids\n", ""), (Layout::Hybrid, v1()));
    assert_eq!(
        cgroups(&[V1_CPU, V2], "memory\n", "memory 0 88 1\n"),
        (Layout::Hybrid, Memory::V2(PathBuf::from("/sys/fs/cgroup")))
    );
    assert_eq!(cgroups(&[V2], "cpu memory_fake\n", ""), (Layout::Unified, Memory::NotFound));
    assert_eq!(cgroups(&["proc /proc proc rw 0 0\n"], "", ""), (Layout::None, Memory::NotFound));
}

#[test]
fn proc_cgroups_tells_why_there_is_no_memory_controller() {
    let header = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";
    let memory = |row: &str| cgroups(&[V1_CPU], "", &format!("{header}cpu\t3\t70\t1\n{row}")).1;
    assert_eq!(memory("memory\t0\t1\t0\n"), Memory::Disabled);
    assert_eq!(memory("memory\t11\t170\t1\n"), Memory::V1NotMounted);
    assert_eq!(memory("memory\t0\t170\t1\n"), Memory::NotFound);
    assert_eq!(memory("memoryless\t11\t170\t1\n"), Memory::NotFound);
}

#[test]
fn a_mount_point_may_hold_a_space_and_the_words_of_another() {
    let mounts =
        ["cgroup /a\\040cgroup\\134x cgroup rw,memory 0 0\n", "tmpfs /cgroup2 tmpfs rw,memory 0 0\n"];
    assert_eq!(cgroups(&mounts, "", ""), (Layout::Legacy, Memory::V1(PathBuf::from("/a cgroup\\x"))));
}

#[test]
fn controllers_that_cannot_be_read_are_unknown_and_not_absent() {
    let root = TestRoot::new().file("proc/self/mounts", V2);
    let host = Host::read(root.path());
    assert!(
        unknown(&host.cgroups).starts_with("reading /sys/fs/cgroup/cgroup.controllers: "),
        "{:?}",
        host.cgroups
    );
}

fn host_with(capabilities: &str, uid_map: &str, dmesg_restrict: &str) -> Host {
    let root = TestRoot::new()
        .file("proc/self/status", &format!("Name:\tCapEff: 0\nCapPrm:\t0\nCapEff:\t{capabilities}\n"))
        .file("proc/self/uid_map", uid_map)
        .file("proc/sys/kernel/dmesg_restrict", dmesg_restrict);
    Host::read(root.path())
}

const INITIAL: &str = "         0          0 4294967295\n";

#[test]
fn capabilities_are_enough_or_named() {
    use Capability::{CapBpf, CapPerfmon, CapSysAdmin, CapSysResource, CapSyslog};
    let full = host_with("000001ffffffffff", INITIAL, "1\n");
    assert_eq!(full.privileges.effective, Known::Value(Capability::ALL.to_vec()));
    assert_eq!(full.missing_for(Need::BpfTracing), Some(vec![]));
    assert_eq!(full.missing_for(Need::KernelLog), Some(vec![]));

    let none = host_with("0000000000000000", INITIAL, "1\n");
    assert_eq!(none.missing_for(Need::BpfTracing), Some(vec![CapBpf, CapPerfmon]));
    assert_eq!(none.missing_for(Need::KernelLog), Some(vec![CapSyslog]));

    // Bits 39, 38 and 24.
    let least = host_with("000000c001000000", INITIAL, "0\n");
    assert_eq!(least.privileges.effective, Known::Value(vec![CapBpf, CapPerfmon, CapSysResource]));
    assert_eq!(least.privileges.has(CapSysAdmin), Some(false));
    assert_eq!(least.missing_for(Need::BpfTracing), Some(vec![]));
    assert_eq!(least.missing_for(Need::KernelLog), Some(vec![]));

    // Only bit 21, as on kernels before 5.8.
    let admin = host_with("0000000000200000", INITIAL, "1\n");
    assert_eq!(admin.missing_for(Need::BpfTracing), Some(vec![]));
    assert_eq!(admin.missing_for(Need::KernelLog), Some(vec![]));
}

#[test]
fn all_capabilities_of_another_user_namespace_are_worth_nothing() {
    let rootless = host_with("000001ffffffffff", "0 1000 1\n1 100000 65536\n", "1\n");
    assert_eq!(rootless.privileges.initial_user_namespace, Known::Value(false));
    let missing = rootless.missing_for(Need::BpfTracing);
    assert_eq!(missing, Some(vec![Capability::CapBpf, Capability::CapPerfmon]));
    assert_eq!(rootless.missing_for(Need::KernelLog), Some(vec![Capability::CapSyslog]));
}

#[test]
fn a_log_that_may_be_restricted_is_taken_as_restricted() {
    let host = host_with("0000000000000000", INITIAL, "\n");
    assert_eq!(host.missing_for(Need::KernelLog), Some(vec![Capability::CapSyslog]));
}

#[test]
fn json_has_the_value_or_the_reason() {
    let root = TestRoot::new().file("proc/sys/kernel/hostname", "node-7\n");
    let json = serde_json::to_value(Host::read(root.path())).unwrap();
    assert_eq!(json["node"], "node-7");
    assert!(json["boot_id"]["unknown"].as_str().unwrap().contains("boot_id"));
    let capability = serde_json::to_value(Capability::CapSysAdmin).unwrap();
    assert_eq!(capability, Capability::CapSysAdmin.to_string());
}
