//! The guest's one program: init when the kernel starts it as process 1, otherwise the test cases and their processes.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // A process of a case may be the first of a namespace.
    if std::process::id() == 1 && args.get(1).is_none_or(|arg| arg != "work") {
        oom_tests::init::main();
    }
    let result = match args.get(1).and_then(|a| a.to_str()) {
        Some("cases") => oom_tests::cases::main(args.get(1..).unwrap_or_default()),
        Some("demo") => oom_tests::cases::demo::main(args.get(1..).unwrap_or_default()),
        Some("work") => oom_tests::workload::main(args.get(1..).unwrap_or_default()),
        Some("bench") => oom_tests::bench::main(args.get(1..).unwrap_or_default()),
        Some("job") => oom_tests::init::service(),
        Some("judge") => oom_tests::judge::main(args.get(1..).unwrap_or_default()),
        _ => {
            eprintln!("usage: oom-guest bench|cases|demo|judge|work ...");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oom-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}
