//! The commands for where `cargo xtask setup` cannot help: not root, offline, another distribution.

use super::toolchain::{LINKED, LINKER, Machine};
use super::{debian, linker};

/// Both ways, as one would type them.
pub(super) fn commands(machine: &Machine) -> String {
    let packages = debian::Packages::resolve().unwrap_or_default();
    let llvm = packages.llvm;
    let version = linker::VERSION;
    let names = packages.names().join(" ");
    let link = match &machine.rustup_home {
        Some(_) => format!(
            "\n    rustup toolchain link {LINKED} \"$({} --print sysroot)\"",
            packages.rustc().display()
        ),
        None => String::new(),
    };
    format!(
        "By hand, one of these:
  Debian or Ubuntu (apt-get as root, the rest as the user who builds):
    apt-get update
    apt-get install --no-install-recommends {names}{link}
    LLVM_PREFIX=/usr/lib/llvm-{llvm} cargo install {LINKER} --version {version} --locked --no-default-features --features llvm-{llvm}
  Any distribution, with rustup and cargo-binstall:
    rustup toolchain install nightly --profile minimal --component rust-src
    cargo binstall {LINKER}@{version}
Then look again: cargo xtask setup --check"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_typed_as_it_is() {
        let machine = Machine { rustup_home: Some("/opt/rustup".into()), cargo_home: None, path: Vec::new() };
        let text = commands(&machine);
        assert!(text.contains("    rustup toolchain link bpf \"$(/usr/bin/rustc"), "{text}");
        assert!(text.contains("    apt-get install --no-install-recommends rustc"), "{text}");
        assert!(text.contains("    rustup toolchain install nightly "), "{text}");
    }
}
