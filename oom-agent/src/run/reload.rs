//! SIGHUP: the file is read again, and what can change while the daemon runs does.

use super::{config::Config, daemon::Daemon, retention};
use crate::{
    explain::Usage,
    kernel::host::Host,
    live::Live,
    note::{self, note, warn},
};
use anyhow::Result;

/// Keys that take effect now. All others do at the next start.
const NOW: [&str; 5] = ["keep", "keep-mib", "log-format", "log-level", "sample-every"];

/// Reads the file again. What is wrong with it is said, and nothing changes.
pub(super) fn reload(config: &mut Config, daemon: &mut Daemon, live: &mut Live, host: &Host) {
    let Some(file) = config.file().map(|file| file.display().to_string()) else {
        note("nothing to reload: there is no --config");
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
    let mut said = match &now[..] {
        [] => format!("reloaded {file}: nothing changes"),
        now => format!("reloaded {file}: {} changed", now.join(", ")),
    };
    if !later.is_empty() {
        said += &format!("; {} at the next start", later.join(", "));
    }
    let sampling = now.contains(&"sample-every");
    config.take(new, &NOW);
    if let Err(error) = apply(config, daemon, live, host, sampling) {
        warn(&format!("{error:#}"));
    }
    note(&said);
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
