//! What the service manager is told: `sd_notify(3)`'s protocol, a datagram on a Unix socket.

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use std::{
    env,
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::{Duration, Instant},
};

/// A service manager, or none.
#[derive(Debug, Default)]
pub(super) struct Manager {
    socket: Option<UnixDatagram>,
    /// Half of the time within which it wants to hear something.
    pulse: Option<Duration>,
}

impl Manager {
    /// The one that started this process, if it wants to be told.
    ///
    /// # Errors
    /// It does, and cannot be.
    pub(super) fn find() -> Result<Self> {
        let Some(address) = env::var_os("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let mine = |pid: &str| pid.parse() == Ok(std::process::id());
        let meant = env::var("WATCHDOG_PID").map_or(true, |pid| mine(&pid));
        let within = env::var("WATCHDOG_USEC").ok().filter(|_| meant);
        Self::at(&address, within.and_then(|text| text.parse().ok()))
            .with_context(|| format!("cannot tell the service manager at {} anything", address.display()))
    }

    /// Connected, so that later its path need not be within reach. `within_us`: it wants to hear something that often.
    fn at(address: &OsStr, within_us: Option<u64>) -> Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => bail!("not the address of a Unix socket"),
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // Whoever does not read must not stop the agent.
        socket.set_nonblocking(true)?;
        let pulse =
            within_us.filter(|within| *within > 0).map(|within| Duration::from_micros((within / 2).max(1)));
        Ok(Self { socket: Some(socket), pulse })
    }

    /// The start, or a reload, is over.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// Shown by `systemctl status`.
    pub(super) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", line(status)));
    }

    /// A reload begins; [`Self::ready`] ends it.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let us = now.tv_sec.saturating_mul(1_000_000) + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Waits until it has to hear again that the agent is alive. For ever, if it does not want to.
    /// `last`: when it heard it.
    pub(super) fn pulse(&self, last: Instant) -> impl Future<Output = ()> + use<> {
        let due = self.pulse.map(|pulse| last + pulse);
        async move {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        }
    }

    /// It is alive.
    pub(super) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // There is nobody to tell that it failed; a watchdog notices.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// On one line: what follows a line's end would be another message.
fn line(text: &str) -> String {
    crate::sink::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn everything_arrives_at_a_path_and_at_an_abstract_name() {
        let path = env::temp_dir().join(format!("oom-agent-notify-{}", std::process::id()));
        let name = format!("@oom-agent-notify-{}", std::process::id());
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name[1..]).unwrap()).unwrap(),
                name.into(),
            ),
        ];
        for (socket, address) in sockets {
            let manager = Manager::at(&address, None).unwrap();
            manager.ready("seen\nWATCHDOG=trigger");
            assert_eq!(heard(&socket), "READY=1\nSTATUS=seen\\x0aWATCHDOG=trigger");
            manager.reloading();
            let said = heard(&socket);
            let us = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(us.parse::<u64>().unwrap() > 0);
            manager.status("one incident");
            manager.alive();
            manager.stopping();
            assert_eq!(
                [heard(&socket), heard(&socket), heard(&socket)],
                ["STATUS=one incident", "WATCHDOG=1", "STOPPING=1"]
            );
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_address_is_an_error_and_no_manager_is_none() {
        for wrong in ["", "relative", "vsock:2:9", "/not/there"] {
            assert!(Manager::at(OsStr::new(wrong), None).is_err(), "{wrong}");
        }
        Manager::default().ready("nobody");
    }

    #[test]
    fn a_watchdog_hears_twice_in_its_time() {
        let name = format!("@oom-agent-watchdog-{}", std::process::id());
        let _socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name[1..]).unwrap()).unwrap();
        let pulse = |us| Manager::at(OsStr::new(&name), us).unwrap().pulse;
        assert_eq!(pulse(Some(30_000_000)), Some(Duration::from_secs(15)));
        assert_eq!((pulse(None), pulse(Some(0))), (None, None));
    }
}
