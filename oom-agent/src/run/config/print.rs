//! What is in effect as a file that says the same.

use super::{Config, Origin, Setting, command, keys, name};
use std::fmt::Write as _;

impl Config {
    /// TOML, with what each key is for and where its value comes from. `otel`: names of OpenTelemetry's variables in the
    /// environment; their values may be secret.
    pub(crate) fn print(&self, otel: &[String]) -> String {
        let command = command();
        let mut out = String::from(
            "# What is in effect for `oom-agent run`: its flags, then a file (--config), then the environment, then defaults.\n",
        );
        if !otel.is_empty() {
            let names = otel.join(", ");
            let _ = writeln!(
                out,
                "# For what no key below that begins with otlp says, these count as well: {names}."
            );
        }
        for (arg, setting) in keys(&command).zip(&self.settings) {
            debug_assert_eq!(name(arg), setting.key);
            out.push('\n');
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines() {
                let _ = writeln!(out, "# {line}");
            }
            let possible = arg.get_possible_values();
            if !possible.is_empty() {
                let names: Vec<_> = possible.iter().map(clap::builder::PossibleValue::get_name).collect();
                let _ = writeln!(out, "# One of: {}.", names.join(", "));
            }
            let _ = match (setting.origin, &self.file) {
                (Origin::CommandLine, _) => writeln!(out, "# (by a flag)"),
                (Origin::File(line), Some(file)) => {
                    writeln!(out, "# ({:?}, line {line})", file.display().to_string())
                }
                (Origin::Environment, _) => {
                    let variable = arg.get_env().unwrap_or_default().to_string_lossy();
                    writeln!(out, "# (by {variable} in the environment)")
                }
                (Origin::File(_) | Origin::Default, _) => writeln!(out, "# (default)"),
            };
            out.push_str(&assignment(setting, matches!(arg.get_action(), clap::ArgAction::Append)));
        }
        out
    }
}

fn assignment(setting: &Setting, several: bool) -> String {
    let Setting { key, values, origin: _ } = setting;
    let values: Vec<_> = values.iter().map(|value| literal(&value.to_string_lossy())).collect();
    match &values[..] {
        [] => format!("# {key} is not set\n"),
        _ if several => format!("{key} = [{}]\n", values.join(", ")),
        [value, ..] => format!("{key} = {value}\n"),
    }
}

/// A value of TOML.
fn literal(value: &str) -> String {
    if value == "true"
        || value == "false"
        || value.parse::<i64>().is_ok_and(|number| number.to_string() == value)
    {
        return value.to_owned();
    }
    // JSON has the same strings, but for DEL.
    serde_json::Value::from(value).to_string().replace('\u{7f}', "\\u007f")
}
