//! The kubelet, the API server, its controllers and its scheduler, for tests. Nobody packages them where this project's
//! packages are from, but Debian 12 has their source with all that it needs, and a Go to compile it: unpacked into the cache,
//! nothing is installed. Another version's programs: `$OOM_KUBERNETES`, a directory.

use crate::{
    cache,
    debian::{Archive, Mirror, root},
    process,
};
use anyhow::{Context as _, Result};
use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const SUITE: &str = "bookworm";
const SOURCE: &str = "kubernetes";
const GO: [&str; 2] = ["golang-1.19-go", "golang-1.19-src"];
/// What Debian's source package is a version of.
const VERSION: &str = "v1.20.2";
/// The programs, as the tests start them.
pub(crate) const PROGRAMS: [&str; 4] =
    ["kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// Its types' descriptions are made when it is built: for which packages of it.
const OPENAPI: [(&str, &[&str]); 3] = [
    ("pkg/generated/openapi", &["vendor/k8s.io", "pkg", "cmd", "plugin"]),
    (
        "staging/src/k8s.io/apiextensions-apiserver/pkg/generated/openapi",
        &["vendor/k8s.io/api/autoscaling/v1"],
    ),
    ("staging/src/k8s.io/kube-aggregator/pkg/generated/openapi", &["vendor/k8s.io/kube-aggregator"]),
];
const META: [&str; 3] = [
    "vendor/k8s.io/apimachinery/pkg/apis/meta/v1",
    "vendor/k8s.io/apimachinery/pkg/runtime",
    "vendor/k8s.io/apimachinery/pkg/version",
];
const NOT_SERVED: [&str; 2] = ["code-generator", "sample-"];
const TAG: &str = "+k8s:openapi-gen=";
const HEADER: &str = "vendor/k8s.io/code-generator/hack/boilerplate.go.txt";
const UNPACK: Duration = Duration::from_mins(2);
const GENERATE: Duration = Duration::from_mins(10);
const BUILD: Duration = Duration::from_mins(30);

/// A disk (ext4) with the programs; made once.
///
/// # Errors
/// They cannot be had.
pub(crate) fn disk() -> Result<PathBuf> {
    let root = cache::directory(&cache::root()?.join("kubernetes"))?;
    let _lock = cache::lock("kubernetes")?;
    let (from, image) = match env::var_os("OOM_KUBERNETES") {
        Some(other) => (PathBuf::from(other), root.join("other.ext4")),
        None => (root.join(VERSION), root.join(format!("{VERSION}.ext4"))),
    };
    if env::var_os("OOM_KUBERNETES").is_none() && !from.exists() {
        build(&root, &from)?;
    }
    if env::var_os("OOM_KUBERNETES").is_some() || !image.exists() {
        let files = root.join("files");
        let _ = fs::remove_dir_all(&files);
        cache::directory(&files)?;
        let mut bytes = 0;
        for name in PROGRAMS {
            let program = from.join(name);
            bytes += fs::copy(&program, files.join(name))
                .with_context(|| format!("copying {}", program.display()))?;
        }
        let temporary = image.with_extension("new");
        root::image(&files, &temporary, bytes / (1 << 20) + 64)?;
        fs::rename(&temporary, &image).with_context(|| format!("naming {}", image.display()))?;
    }
    Ok(image)
}

fn build(root: &Path, into: &Path) -> Result<()> {
    let work = root.join("build");
    let _ = fs::remove_dir_all(&work);
    let source = cache::directory(&work.join("gopath/src/k8s.io/kubernetes"))?;
    fetch(&work, &source)?;
    // Beside it: what is compiled stays where the whole was interrupted.
    let cache = root.join("gocache");
    let go = Go { root: work.join("go/usr/lib/go-1.19"), work: work.clone(), cache: cache.clone(), source };
    let generator = work.join("openapi-gen");
    go.build(&generator, "./vendor/k8s.io/kube-openapi/cmd/openapi-gen")?;
    for (package, directories) in OPENAPI {
        go.openapi(&generator, package, directories)?;
    }
    let built = cache::directory(&work.join("built"))?;
    for name in PROGRAMS {
        go.build(&built.join(name), &format!("./cmd/{name}"))?;
    }
    fs::rename(&built, into).with_context(|| format!("naming {}", into.display()))?;
    // Gigabytes.
    for directory in [work, cache] {
        fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    Ok(())
}

fn fetch(work: &Path, source: &Path) -> Result<()> {
    let archive = Archive::with_sources("kubernetes", &Mirror::of_this_machine()?, &[SUITE])?;
    archive.update()?;
    let fetched = cache::directory(&work.join("fetched"))?;
    let packages = archive.packages(|name| GO.contains(&name))?;
    archive.download_all(&packages, &fetched)?;
    for deb in root::files(&fetched)? {
        root::unpack(&deb, &work.join("go"))?;
    }
    let sources = cache::directory(&work.join("sources"))?;
    archive.download_source(SOURCE, &sources)?;
    // What Debian changes is in kubectl only.
    let files = root::files(&sources)?;
    let original = files.iter().find(|it| it.to_string_lossy().ends_with(".orig.tar.gz"));
    let original = original.with_context(|| format!("{SOURCE} has no .orig.tar.gz"))?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(original).arg("-C").arg(source).arg("--strip-components=1");
    process::capture(&mut tar, UNPACK)?.ok(&format!("unpacking {}", original.display()))?;
    Ok(())
}

/// A compiler, and what it compiles.
struct Go {
    root: PathBuf,
    work: PathBuf,
    cache: PathBuf,
    source: PathBuf,
}

impl Go {
    fn build(&self, program: &Path, package: &str) -> Result<()> {
        // As the compiler calls what is vendored: the programs' own version, and what the API server says.
        let mut flags = "-s -w".to_owned();
        for package in ["component-base/version", "client-go/pkg/version"] {
            for (name, value) in [("Version", VERSION), ("Major", "1"), ("Minor", "20")] {
                let _ = write!(flags, " -X k8s.io/kubernetes/vendor/k8s.io/{package}.git{name}={value}");
            }
        }
        let mut go = Command::new(self.root.join("bin/go"));
        go.args(["build", "-tags", "providerless", "-ldflags", &flags, "-o"]).arg(program).arg(package);
        self.run(&format!("Kubernetes' {}", package.trim_start_matches("./")), &mut go, BUILD)
    }

    /// Describes the types of the packages below `directories` that are marked for it, in `package`.
    fn openapi(&self, generator: &Path, package: &str, directories: &[&str]) -> Result<()> {
        let mut inputs: Vec<String> = META.map(str::to_owned).into();
        for directory in directories {
            self.marked(directory, &mut inputs)?;
        }
        inputs.sort();
        inputs.dedup();
        let inputs: Vec<String> = inputs.iter().map(|input| format!("k8s.io/kubernetes/{input}")).collect();
        let mut command = Command::new(generator);
        command.args(["--logtostderr", "-O", "zz_generated.openapi", "-h", HEADER, "-i", &inputs.join(",")]);
        command.args(["-p", &format!("k8s.io/kubernetes/{package}"), "-r"]).arg(self.work.join("violations"));
        self.run(package, &mut command, GENERATE)
    }

    /// Adds the directories below with a file that is marked. Links are followed: `vendor/k8s.io` is made of them.
    fn marked(&self, directory: &str, into: &mut Vec<String>) -> Result<()> {
        let path = self.source.join(directory);
        let mut is_marked = false;
        for entry in fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
            let entry = entry.with_context(|| format!("reading {}", path.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                if !NOT_SERVED.iter().any(|it| name.starts_with(it)) {
                    self.marked(&format!("{directory}/{name}"), into)?;
                }
            } else if entry.path().extension().is_some_and(|it| it == "go") && !name.ends_with("_test.go") {
                is_marked |= fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(TAG));
            }
        }
        if is_marked {
            into.push(directory.to_owned());
        }
        Ok(())
    }

    fn run(&self, title: &str, command: &mut Command, limit: Duration) -> Result<()> {
        command.current_dir(&self.source).env("GOROOT", &self.root).env("GOPATH", self.work.join("gopath"));
        command.env("GOCACHE", &self.cache).env("GO111MODULE", "off").env("CGO_ENABLED", "0");
        process::run(title, command.env_remove("GOFLAGS"), limit, &self.work.join("log"))
    }
}
