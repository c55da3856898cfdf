//! libFuzzer over `oom_agent::fuzz`. `OOM_FUZZ` names the target; all others are compiled once only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        let wanted = std::env::var("OOM_FUZZ").unwrap_or_default();
        let found = oom_agent::fuzz::TARGETS.iter().find(|(name, _)| *name == wanted);
        let (_, target) = found.unwrap_or_else(|| panic!("OOM_FUZZ={wanted:?} is no target"));
        let _ = TARGET.set(*target);
    },
    |data: &[u8]| {
        if let Some(target) = TARGET.get() {
            target(data);
        }
    }
);
