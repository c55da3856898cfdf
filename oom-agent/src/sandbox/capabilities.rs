//! Capabilities: all are given up, but those that this kernel wants for what the agent still does.

use crate::kernel::host::privilege::Capability;
use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
        clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    },
};

/// Gives up what is not needed, from all sets. What is kept. `log`: the kernel's log is read by syslog(2), each time.
///
/// Before 5.19 every use of bpf(2) wants `CAP_BPF` where `kernel.unprivileged_bpf_disabled` is set, reading a map that is
/// open as well (`__sys_bpf`, kernel/bpf/syscall.c). Whether this kernel does is found out by trying: what is permitted but
/// not effective does not count, and can still be kept.
pub(super) fn drop(log: bool, works: &dyn Fn() -> bool) -> Result<Vec<Capability>, String> {
    let failed = |what: &'static str| move |error: Errno| format!("{what}: {error}");
    let had = capabilities(None).map_err(failed("capget"))?.permitted;
    leave_bounding_set();
    // Since Linux 4.3.
    let _ = clear_ambient_capability_set();
    let syslog = Some(Capability::CapSyslog).filter(|it| log && had.contains(bit(*it)));
    let set_of = |kept: &[Capability]| kept.iter().fold(CapabilitySet::empty(), |set, it| set | bit(*it));
    let mut kept: Vec<Capability> = syslog.into_iter().collect();
    set(set_of(&kept), had).map_err(failed("capset"))?;
    let worked = works();
    if !worked {
        kept.extend(stand_in(had));
    }
    set(set_of(&kept), set_of(&kept)).map_err(failed("capset"))?;
    if !worked && !works() {
        return Err("the BPF maps cannot be read any more".to_owned());
    }
    Ok(kept)
}

/// What can be kept for bpf(2).
fn stand_in(had: CapabilitySet) -> Option<Capability> {
    [Capability::CapBpf, Capability::CapSysAdmin]
        .into_iter()
        .find(|capability| had.contains(bit(*capability)))
}

fn bit(capability: Capability) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << capability as u32)
}

fn set(effective: CapabilitySet, permitted: CapabilitySet) -> Result<(), Errno> {
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() })
}

/// What is not in it is not gained by another program. Needs `CAP_SETPCAP`; without it `no_new_privs` has to do.
fn leave_bounding_set() {
    let all = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
    // The kernel's last capability is followed by EINVAL.
    for capability in all.take_while(|capability| capability_is_in_bounding_set(*capability).is_ok()) {
        let _ = remove_capability_from_bounding_set(capability);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(capability: Capability) -> bool {
        capabilities(None).unwrap().effective.contains(bit(capability))
    }

    /// What is kept, and all sets, in a thread of its own: capabilities are a thread's.
    fn dropped(works: fn() -> bool) -> (Result<Vec<Capability>, String>, CapabilitySets) {
        let thread = std::thread::spawn(move || (drop(false, &works), capabilities(None).unwrap()));
        thread.join().unwrap()
    }

    #[test]
    fn nothing_is_kept_unless_the_kernel_wants_it() {
        let only =
            |set| CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() };
        assert_eq!(dropped(|| true), (Ok(vec![]), only(CapabilitySet::empty())));
        if !has(Capability::CapBpf) {
            eprintln!("not tested: what is kept, without CAP_BPF");
            return;
        }
        // As before Linux 5.19.
        let bpf = dropped(|| has(Capability::CapBpf));
        assert_eq!(bpf, (Ok(vec![Capability::CapBpf]), only(bit(Capability::CapBpf))));
        let (kept, sets) = dropped(|| false);
        assert_eq!(kept, Err("the BPF maps cannot be read any more".to_owned()));
        assert_eq!(sets, only(bit(Capability::CapBpf)));
    }
}
