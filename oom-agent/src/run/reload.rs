//! SIGHUP: the file is read again, and what can change while the daemon runs does.

use super::{config::Config, daemon::Daemon, retention};
use crate::{
    explain::Usage,
    kernel::host::Host,
    live::Live,
    note::{self, note, warn},
    web::Access,
};
use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Keys that take effect now. All others do at the next start.
const NOW: [&str; 5] = ["keep", "keep-mib", "log-format", "log-level", "sample-every"];

/// What is read again when somebody asks for it.
pub(super) struct Reload<'a> {
    asked: Signal,
    pub(super) config: Config,
    host: &'a Host,
}

impl<'a> Reload<'a> {
    /// From now on SIGHUP asks for it, within a tokio runtime.
    pub(super) fn new(config: Config, host: &'a Host) -> Result<Self> {
        let asked = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
        Ok(Self { asked, config, host })
    }

    /// Waits until somebody asks. Cancel-safe.
    pub(super) async fn asked(&mut self) {
        self.asked.recv().await;
    }

    /// Reads all files again. What is wrong with one is said, and nothing that it is for changes.
    pub(super) fn reload(&mut self, daemon: &mut Daemon, live: &mut Live, access: &Access) {
        if let Err(error) = access.reload() {
            warn(&format!("the old certificates, passwords and tokens hold: {error:#}"));
        }
        self.configuration(daemon, live);
    }

    fn configuration(&mut self, daemon: &mut Daemon, live: &mut Live) {
        let Self { config, host, .. } = self;
        let Some(file) = config.file().map(|file| file.display().to_string()) else {
            note("reloaded: certificates, passwords and tokens, if any; there is no --config");
            return;
        };
        let new = match config.again() {
            Ok(new) => new,
            Err(Usage(why)) => {
                warn(&format!("not reloaded, everything stays as it was: {why}"));
                return;
            }
        };
        let differences = config.differences(&new);
        let (now, later): (Vec<&str>, Vec<&str>) = differences.iter().partition(|key| NOW.contains(key));
        let sampling = now.contains(&"sample-every");
        let now =
            if now.is_empty() { "nothing changes".into() } else { format!("{} changed", now.join(", ")) };
        let later = if later.is_empty() {
            String::new()
        } else {
            format!("; {} at the next start", later.join(", "))
        };
        config.take(new, &NOW);
        if let Err(error) = apply(config, daemon, live, host, sampling) {
            warn(&format!("{error:#}"));
        }
        note(&format!("reloaded {file}: {now}{later}"));
    }
}

fn apply(config: &Config, daemon: &mut Daemon, live: &mut Live, host: &Host, sampling: bool) -> Result<()> {
    let args = &config.args;
    note::set(args.log_format, args.log_level);
    daemon.retain(retention(args));
    if sampling { live.sample_every(host, args.uses.sample_every.0) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_now_is_a_key() {
        let command = super::super::config::command();
        for key in NOW {
            assert!(command.get_arguments().any(|arg| arg.get_long() == Some(key)), "{key}");
        }
    }
}
