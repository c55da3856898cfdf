use super::*;
use crate::startup::MaxLevel;
use clap::ArgAction;
use std::{fs, net::SocketAddr, time::Duration};

/// A file that goes with the test.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oom-agent-config-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn with(&self, flags: &[&str]) -> Result<Config, Usage> {
        let file = format!("--config={}", self.0.display());
        Config::new(&command().try_get_matches_from([&[file.as_str()], flags].concat()).unwrap())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn flags(flags: &[&str]) -> Config {
    Config::new(&command().try_get_matches_from(flags).unwrap()).unwrap()
}

/// What is wrong, by line.
fn wrong(text: &str) -> Vec<(usize, String)> {
    file::parse(text, &command()).expect_err(text)
}

#[test]
fn every_flag_is_a_key_and_has_a_name_a_help_and_one_value() {
    let command = command();
    for arg in command.get_arguments() {
        assert!(arg.get_long().is_some() && arg.get_help().is_some(), "{arg:?}");
        if !NOT_KEYS.contains(&name(arg)) {
            // A flag that takes no value could not be switched off again by another.
            assert!(matches!(arg.get_action(), ArgAction::Set | ArgAction::Append), "{arg:?}");
        }
    }
    let printed = flags(&[]).print(&[]);
    for arg in keys(&command) {
        let key = name(arg);
        let line =
            |line: &str| line.starts_with(&format!("{key} = ")) || line == format!("# {key} is not set");
        assert_eq!(printed.lines().filter(|it| line(it)).count(), 1, "{key}: {printed}");
    }
    assert!(NOT_KEYS.iter().all(|key| command.get_arguments().any(|arg| name(arg) == *key)));
}

#[test]
fn what_is_printed_says_the_same_when_it_is_read() {
    let given = ["--state-dir=/a \"b\"\\c", "--keep=12h", "--no-trampolines", "--max-level=tracepoint"];
    for given in [&given[..], &[]] {
        let first = flags(given);
        let file = Written::new(&format!("again{}", given.len()), &first.print(&[]));
        let second = file.with(&[]).unwrap();
        assert_eq!(first.differences(&second), [""; 0]);
        assert_eq!(
            format!("{:?}", RunArgs { config: None, ..second.args.clone() }),
            format!("{:?}", first.args)
        );
        let values =
            |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert_eq!(values(&first.print(&[])), values(&second.print(&[])));
    }
}

#[test]
fn flags_win_and_the_rest_is_default() {
    let file =
        Written::new("win", "listen = \"[::1]:0\"\nkeep-mib = 0x10\nno-trampolines = true\nkeep = '1h'\n");
    let config = file.with(&["--keep-mib=7", "--no-trampolines=false", "--max-level", "kmsg"]).unwrap();
    let args = &config.args;
    assert_eq!(args.listen, "[::1]:0".parse::<SocketAddr>().unwrap());
    assert_eq!((args.keep, args.keep_mib), (Duration::from_hours(1), 7));
    assert_eq!((args.uses.max_level, args.uses.no_trampolines), (MaxLevel::Kmsg, false));
    assert_eq!(args.config.as_deref(), Some(file.0.as_path()));
    let printed = config.print(&[]);
    let origin = |key: &str| {
        let lines: Vec<_> = printed.lines().collect();
        let at = lines.iter().position(|line| line.starts_with(&format!("{key} = "))).unwrap();
        lines[at - 1].to_owned()
    };
    assert_eq!(origin("keep-mib"), "# (by a flag)");
    assert_eq!(origin("bpf-log"), "# (default)");
    assert!(!printed.contains("these count as well"));
    assert!(
        config.print(&["OTEL_A".into(), "OTEL_B".into()]).contains("these count as well: OTEL_A, OTEL_B.\n")
    );
    assert!(origin("keep").ends_with(".toml\", line 4)"), "{}", origin("keep"));
}

#[test]
fn a_file_that_changed_is_read_again_below_the_same_flags() {
    let file = Written::new("changed", "keep-mib = 1\nkeep = \"1h\"");
    let before = file.with(&["--keep-mib=7"]).unwrap();
    fs::write(&file.0, "keep-mib = 2\nkeep = \"2h\"\nlisten = \"127.0.0.1:0\"").unwrap();
    let after = before.again().unwrap();
    assert_eq!((after.args.keep_mib, after.args.keep), (7, Duration::from_hours(2)));
    assert_eq!(before.differences(&after), ["listen", "keep"]);
    let mut running = before.clone();
    running.take(after.clone(), &["keep"]);
    assert_eq!(running.args.keep, Duration::from_hours(2));
    assert_eq!(running.differences(&after), ["listen"], "it is not in effect yet");
    fs::write(&file.0, "keep-mib = ").unwrap();
    let Usage(why) = before.again().unwrap_err();
    assert!(why.contains(".toml:1: "), "{why}");
}

#[test]
fn everything_that_is_wrong_is_said_with_its_line() {
    let text = "# a comment\nstate_dir = \"/x\"\nkeep = \"old\"\n\nfrobnicate = 1\nconfig = \"/y\"\nkeep-mib = 0\n\
        max-level = \"best\"\nlisten = \"localhost\"\n[sample-every]\nx = 1";
    let expected = [
        (2, "unknown key state_dir; state-dir is one"),
        (3, "keep = \"old\" cannot be: not a time such as 30s, 5m or 1h30m; expected TIME"),
        (5, "unknown key frobnicate; `oom-agent run --print-config` shows all"),
        (6, "config is for the command line only"),
        (7, "keep-mib = \"0\" cannot be: 0 is not in 1..=1048576; expected MIB"),
        (8, "max-level = \"best\" cannot be; expected full, tracepoint, kmsg"),
        (9, "listen = \"localhost\" cannot be: invalid socket address syntax; expected ADDRESS:PORT"),
        (10, "sample-every is a table; expected TIME|off"),
    ];
    assert_eq!(wrong(text), expected.map(|(line, why)| (line, why.to_owned())));
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    for (text, line) in
        [("keep-mib = 1\nkeep-mib = 2", 2), ("a\n", 1), ("\n\nkeep = 90d", 3), ("keep = \"", 1)]
    {
        let wrong = wrong(text);
        assert_eq!(wrong[0].0, line, "{wrong:?}");
    }
    assert_eq!(wrong("keep-mib = [1]")[0].1, "keep-mib is an array; expected MIB");
    assert_eq!(wrong("keep = 2026-11-20")[0].1, "keep is a date; expected TIME");
    let Usage(why) = Config::new(&command().get_matches_from(["--config=/not/there"])).unwrap_err();
    assert!(why.contains("cannot read the configuration /not/there: No such file"), "{why}");
}
