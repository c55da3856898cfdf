//! OpenTelemetry's collector. Nobody packages its program for Debian, but forky has its source with all that it needs, and a
//! Go to compile it: unpacked into the cache, nothing is installed.

use crate::{
    cache,
    debian::{Archive, Mirror},
    process,
};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const SUITE: &str = "forky";
const SOURCE: &str = "golang-opentelemetry-collector-dev";
const UNPACK: Duration = Duration::from_mins(1);
const BUILD: Duration = Duration::from_mins(15);

/// Its program, with what `tests/otelcol/main.go` names; built once for each.
///
/// # Errors
/// It cannot be had.
pub(crate) fn otelcol() -> Result<PathBuf> {
    let root = cache::directory(&cache::root()?.join("otelcol"))?;
    let _lock = cache::lock("otelcol")?;
    let source = process::workspace().join("tests/otelcol/main.go");
    let main = fs::read_to_string(&source).with_context(|| format!("reading {}", source.display()))?;
    let (program, built) = (root.join("otelcol"), root.join("built.go"));
    if program.exists() && fs::read_to_string(&built).is_ok_and(|had| had == main) {
        return Ok(program);
    }
    let unpacked = root.join("root");
    let done = root.join("unpacked");
    if !done.exists() {
        let _ = fs::remove_dir_all(&unpacked);
        unpack(&unpacked)?;
        fs::write(&done, "").with_context(|| format!("writing {}", done.display()))?;
    }
    let package = cache::directory(&root.join("gopath/src/otelcol"))?;
    fs::write(package.join("main.go"), &main).context("writing main.go")?;
    let go = go(&unpacked)?;
    let path = [root.join("gopath"), unpacked.join("usr/share/gocode")];
    let path = std::env::join_paths(path).context("the cache's path has a colon")?;
    let mut compile = Command::new(go.join("bin/go"));
    compile.args(["build", "-o"]).arg(&program).arg("otelcol").current_dir(&root);
    compile.env("GO111MODULE", "off").env("GOPATH", path).env("GOROOT", &go).env("CGO_ENABLED", "0");
    compile.env("GOCACHE", root.join("gocache")).env_remove("GOFLAGS");
    process::run("OpenTelemetry's collector", &mut compile, BUILD, &root.join("build.log"))?;
    fs::write(&built, main).with_context(|| format!("writing {}", built.display()))?;
    Ok(program)
}

fn unpack(into: &Path) -> Result<()> {
    let archive = Archive::new("otelcol", &Mirror::of_this_machine()?, &[SUITE])?;
    archive.update()?;
    let [go, library] = compiler(&archive)?;
    let mut packages = archive.closure(&[SOURCE, &go, &library])?;
    let is_source = |name: &str| name.starts_with("golang-") && name.ends_with("-dev");
    packages.retain(|package| is_source(&package.name) || [&go, &library].contains(&&package.name));
    // Some hundreds of megabytes.
    let fetched = cache::directory(&into.with_extension("fetched"))?;
    archive.download_all(&packages, &fetched)?;
    for file in fs::read_dir(&fetched).context("reading what was downloaded")? {
        let file = file.context("reading what was downloaded")?.path();
        let mut dpkg = Command::new("dpkg");
        process::capture(dpkg.arg("-x").arg(&file).arg(into), UNPACK)?.ok("unpacking a package")?;
    }
    let _ = fs::remove_dir_all(&fetched);
    Ok(())
}

/// The newest Go of the suite: the compiler and the source of its library.
fn compiler(archive: &Archive) -> Result<[String; 2]> {
    let of = |name: &str| name.strip_prefix("golang-1.")?.strip_suffix("-go")?.parse::<u32>().ok();
    let all = archive.packages(|name| of(name).is_some())?;
    let newest = all.iter().filter_map(|package| of(&package.name)).max();
    let newest = newest.with_context(|| format!("{SUITE} has no Go"))?;
    Ok([format!("golang-1.{newest}-go"), format!("golang-1.{newest}-src")])
}

/// `usr/lib/go-1.26`, whose `src` is a link to what the other package has.
fn go(unpacked: &Path) -> Result<PathBuf> {
    let lib = unpacked.join("usr/lib");
    let found = fs::read_dir(&lib).with_context(|| format!("reading {}", lib.display()))?;
    let mut found = found.filter_map(|it| Some(it.ok()?.path()));
    found.find(|path| path.join("bin/go").exists()).context("no bin/go in what was unpacked")
}
