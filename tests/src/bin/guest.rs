//! The guest's one program: init when the kernel starts it as process 1, otherwise a tool of the test cases.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        oom_tests::init::main();
    }
    eprintln!("oom-guest: this is the first process of a test VM; it does nothing elsewhere");
    ExitCode::from(2)
}
