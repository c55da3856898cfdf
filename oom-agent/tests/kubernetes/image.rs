//! Images made by hand: no registry is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What runs in the pods, under this name. `None`: the compiler cannot make it.
pub(crate) fn of_guest(dir: &Path, name: &str) -> Option<PathBuf> {
    let program = dir.join("guest");
    if let Some(guest) = std::env::var_os("OOM_POD_GUEST") {
        fs::copy(guest, &program).expect("a program for the pods");
    } else {
        compile(&program)?;
    }
    Some(of(&program, dir, name))
}

/// An archive as `docker save` writes it: one layer with one static program.
pub(crate) fn of(program: &Path, dir: &Path, name: &str) -> PathBuf {
    let file = program.file_name().and_then(|it| it.to_str()).expect("a name");
    let layer = dir.join(format!("{file}-layer"));
    fs::create_dir_all(layer.join("proc")).expect("a directory");
    fs::copy(program, layer.join(file)).expect("a program for the image");
    let tar = |archive: &Path, from: &Path, what: &[&str]| {
        let mut command = Command::new("tar");
        let status = command.arg("-cf").arg(archive).arg("-C").arg(from).args(what).status().expect("tar");
        assert!(status.success(), "tar failed");
    };
    let parts = dir.join(format!("{file}-parts"));
    fs::create_dir_all(&parts).expect("a directory");
    tar(&parts.join("layer.tar"), &layer, &[file, "proc"]);
    let hash = sha256(&parts.join("layer.tar"));
    let config = format!(
        "{{\"architecture\":\"{}\",\"os\":\"linux\",\"config\":{{\"Entrypoint\":[\"/{file}\"]}},\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:{hash}\"]}}}}",
        if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
    );
    fs::write(parts.join("config.json"), config).expect("a file");
    let manifest =
        format!("[{{\"Config\":\"config.json\",\"RepoTags\":[\"{name}\"],\"Layers\":[\"layer.tar\"]}}]");
    fs::write(parts.join("manifest.json"), manifest).expect("a file");
    let archive = dir.join(format!("{file}.tar"));
    tar(&archive, &parts, &["manifest.json", "config.json", "layer.tar"]);
    archive
}

/// `None`: the compiler cannot.
fn compile(program: &Path) -> Option<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/guest.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args([
        "--edition",
        "2021",
        "-O",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "strip=symbols",
        "-o",
    ]);
    let made = command.arg(program).arg(source).stderr(Stdio::null()).status();
    made.is_ok_and(|status| status.success()).then_some(())
}

fn sha256(path: &Path) -> String {
    let done = Command::new("sha256sum").arg(path).output().expect("sha256sum");
    String::from_utf8_lossy(&done.stdout).split(' ').next().expect("a sum").to_owned()
}
