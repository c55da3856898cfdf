//! What every BPF object needs.

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a program that can get here.
    loop {}
}

/// `bpf_probe_read_kernel` and the BTF tracing programs are for GPL-compatible programs only (the project is MIT or Apache-2.0).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
