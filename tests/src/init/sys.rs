//! System calls that have no safe wrapper.

use std::{fs::File, io, path::Path};

use anyhow::{Context as _, Result};
use rustix::system::{RebootCommand, finit_module, reboot};

/// `SYSLOG_ACTION_READ_ALL` of syslog(2): every message that is still in the kernel's ring.
const READ_ALL: libc::c_int = 3;
/// `SYSLOG_ACTION_SIZE_BUFFER` of syslog(2).
const SIZE_BUFFER: libc::c_int = 10;

/// Powers the machine off, without stopping anything.
///
/// # Panics
/// If the kernel refuses.
pub(super) fn power_off() -> ! {
    let refused = reboot(RebootCommand::PowerOff);
    panic!("init: powering off: {refused:?}");
}

/// Brings `lo` up.
pub(super) fn loopback_up() -> Result<()> {
    // SAFETY: plain system calls on a descriptor that is closed below; `request` is a whole, initialised ifreq.
    let done = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error()).context("opening a socket to bring lo up");
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let done = libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request);
        let error = io::Error::last_os_error();
        libc::close(socket);
        if done == 0 { Ok(()) } else { Err(error) }
    };
    done.context("bringing lo up")
}

/// Loads a kernel module; the kernel unpacks it.
pub(super) fn load(module: &Path) -> Result<()> {
    /// `MODULE_INIT_COMPRESSED_FILE` (include/uapi/linux/module.h).
    const COMPRESSED: libc::c_int = 4;
    let file = File::open(module).with_context(|| format!("opening {}", module.display()))?;
    finit_module(file, c"", COMPRESSED).with_context(|| format!("loading {}", module.display()))
}

/// Starts swapping to `device`.
pub(super) fn swap_on(device: &Path) -> Result<()> {
    crate::workload::sys::swap_on(device).with_context(|| format!("swapping to {}", device.display()))
}

/// The kernel's log as `dmesg --raw` shows it, without the `<level>` in front of each line.
pub(super) fn kernel_log() -> Result<String> {
    // SAFETY: this action takes no buffer.
    let size = unsafe { libc::klogctl(SIZE_BUFFER, std::ptr::null_mut(), 0) };
    let mut buffer = vec![0_u8; usize::try_from(size).unwrap_or(1 << 20)];
    // SAFETY: the pointer and the length are those of `buffer`, which the kernel may write.
    let length = unsafe { libc::klogctl(READ_ALL, buffer.as_mut_ptr().cast(), buffer.len() as libc::c_int) };
    let length = usize::try_from(length)
        .map_err(|_| io::Error::last_os_error())
        .context("reading the kernel's log")?;
    let text = String::from_utf8_lossy(&buffer[..length]);
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        lines.push_str(without_level(line));
        lines.push('\n');
    }
    Ok(lines)
}

fn without_level(line: &str) -> &str {
    match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((level, rest)) if level.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::without_level;

    #[test]
    fn only_a_level_is_taken_off_a_line() {
        assert_eq!(without_level("<6>[    0.1] text"), "[    0.1] text");
        assert_eq!(without_level("<a>b"), "<a>b");
        assert_eq!(without_level("no level"), "no level");
    }
}
