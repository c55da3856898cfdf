//! The machines that the agent is built for and tested on.

use std::env;

/// A kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Machine {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Machine {
    /// What this program runs on. On any other processor everything is built and emulated for `x86_64`.
    pub(crate) fn this() -> Self {
        if Self::Arm64.is_this() { Self::Arm64 } else { Self::Amd64 }
    }

    /// Rust's name of it.
    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The name that Debian and images have for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Debian's compiler for it, where this machine is another.
    pub(crate) const fn cross_compiler(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// The packages with that compiler and a C library for it.
    pub(crate) const fn cross_packages(self) -> [&'static str; 2] {
        match self {
            Self::Amd64 => ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Arm64 => ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        }
    }

    /// Whether this program runs on it.
    pub(crate) fn is_this(self) -> bool {
        self.target().split('-').next() == Some(env::consts::ARCH)
    }
}
