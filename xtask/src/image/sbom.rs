//! What the agent is made of, as `CycloneDX` 1.5: from cargo's own resolution and the checksums of Cargo.lock.
//!
//! No time and no serial number: the same lock file gives the same text.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::PathBuf,
};

/// The package whose parts are listed.
const ROOT: &str = "oom-agent";

/// What `cargo metadata` says, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Package {
    /// It runs in the compiler, and so does what it depends on.
    fn is_macro(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Debug, Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// Absent for what is linked, otherwise `build` or `dev`.
    kind: Option<String>,
}

/// A library that is linked in and that cargo does not know of.
#[derive(Debug)]
pub(super) struct Library {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) license: &'static str,
}

impl Metadata {
    /// The version of the SQLite that its crate compiles.
    ///
    /// # Errors
    /// There is no such crate, or it has no SQLite.
    pub(super) fn sqlite(&self) -> Result<String> {
        let package = self.packages.iter().find(|package| package.name == "libsqlite3-sys");
        let header = package.context("cargo metadata has no libsqlite3-sys")?;
        let header = header.manifest_path.with_file_name("sqlite3").join("sqlite3.h");
        let text = fs::read_to_string(&header).with_context(|| format!("reading {}", header.display()))?;
        let version = text.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION "));
        Ok(version.with_context(|| format!("{} has no version", header.display()))?.trim().replace('"', ""))
    }
}

/// The agent's parts: what is linked into it, crate by crate, and `libraries`. The metadata have to be for the kernel's
/// side too, which is in the agent's file; `built` is what cargo builds of it, by name and version.
///
/// # Errors
/// The metadata do not have the agent.
pub(super) fn cyclonedx(
    metadata: &Metadata,
    built: &BTreeSet<(String, String)>,
    lock: &str,
    libraries: &[Library],
) -> Result<String> {
    let checksums = checksums(lock);
    let packages: HashMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: HashMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let root = metadata.packages.iter().find(|it| it.name == ROOT && it.source.is_none());
    let root = root.with_context(|| format!("cargo metadata has no {ROOT}"))?;
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut stack = vec![root.id.as_str()];
    while let Some(id) = stack.pop() {
        if seen.contains_key(id) {
            continue;
        }
        let deps = nodes.get(id).map_or(&[][..], |node| &node.deps);
        let linked = deps.iter().filter(|dep| dep.dep_kinds.iter().any(|it| it.kind.is_none()));
        let linked = linked.map(|dep| dep.pkg.as_str());
        let is_part = |package: &Package| {
            !package.is_macro() && built.contains(&(package.name.clone(), package.version.clone()))
        };
        let linked: BTreeSet<&str> =
            linked.filter(|id| packages.get(id).is_some_and(|package| is_part(package))).collect();
        stack.extend(&linked);
        seen.insert(id, linked);
    }
    let purl = |package: &Package| format!("pkg:cargo/{}@{}", package.name, package.version);
    let purls = |ids: &BTreeSet<&str>| -> BTreeSet<String> {
        ids.iter().filter_map(|id| packages.get(id)).map(|it| purl(it)).collect()
    };
    let mut components: Vec<Value> = Vec::new();
    let mut dependencies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, linked) in &seen {
        let Some(package) = packages.get(id) else { continue };
        dependencies.insert(purl(package), purls(linked));
        if package.id != root.id {
            components.push(component(package, &checksums));
        }
    }
    components.extend(libraries.iter().map(|library| {
        json!({
            "type": "library",
            "bom-ref": format!("{}@{}", library.name, library.version),
            "name": library.name,
            "version": library.version,
            "licenses": [{ "expression": library.license }],
        })
    }));
    components.sort_by_key(|it| it["bom-ref"].as_str().unwrap_or_default().to_owned());
    let libraries = libraries.iter().map(|it| format!("{}@{}", it.name, it.version));
    dependencies.entry(purl(root)).or_default().extend(libraries);
    let dependencies: Vec<Value> =
        dependencies.iter().map(|(of, on)| json!({ "ref": of, "dependsOn": on })).collect();
    let mut agent = component(root, &checksums);
    agent["type"] = json!("application");
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": agent },
        "components": components,
        "dependencies": dependencies,
    });
    Ok(serde_json::to_string_pretty(&bom).context("cannot write the SBOM")? + "\n")
}

fn component(package: &Package, checksums: &HashMap<(&str, &str), &str>) -> Value {
    let purl = format!("pkg:cargo/{}@{}", package.name, package.version);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
    });
    if let Some(description) = &package.description {
        component["description"] = json!(description.trim());
    }
    if let Some(license) = &package.license {
        // Cargo's old way to write `OR`.
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(checksum) = checksums.get(&(package.name.as_str(), package.version.as_str())) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

/// Of each package's file, by name and version.
fn checksums(lock: &str) -> HashMap<(&str, &str), &str> {
    let value = |package: &'_ str, key: &str| -> Option<std::ops::Range<usize>> {
        let key = format!("\n{key} = \"");
        let begin = package.find(&key)? + key.len();
        Some(begin..begin + package[begin..].find('"')?)
    };
    let package = |text| {
        let range = |key| value(text, key);
        Some(((&text[range("name")?], &text[range("version")?]), &text[range("checksum")?]))
    };
    lock.split("[[package]]").filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"linked\"\nversion = \"1.2.3\"\nsource = \"x\"\n\
                        checksum = \"abc\"\n\n[[package]]\nname = \"oom-agent\"\nversion = \"0.1.0\"\n";

    fn metadata() -> Metadata {
        let package = |name: &str, version: &str, source: Option<&str>| {
            let kind = if name == "derive" { "proc-macro" } else { "lib" };
            json!({ "id": format!("{name}@{version}"), "name": name, "version": version,
                    "license": "MIT/Apache-2.0", "description": null, "source": source, "manifest_path": "/nowhere",
                    "targets": [{ "kind": [kind] }] })
        };
        let dep = |name: &str, kinds: &[Option<&str>]| {
            let kinds: Vec<_> = kinds.iter().map(|kind| json!({ "kind": kind, "target": null })).collect();
            json!({ "pkg": name, "dep_kinds": kinds })
        };
        let deps = [
            dep("linked@1.2.3", &[None]),
            dep("derive@1.0.0", &[None]),
            dep("compiler@1.0.0", &[Some("build")]),
            dep("tester@1.0.0", &[Some("dev")]),
            dep("elsewhere@1.0.0", &[None]),
        ];
        let node = |id: &str, deps: &[Value]| json!({ "id": id, "deps": deps });
        serde_json::from_value(json!({
            "packages": [
                package("oom-agent", "0.1.0", None),
                package("linked", "1.2.3", Some("registry")),
                package("deeper", "2.0.0", Some("registry")),
                package("derive", "1.0.0", Some("registry")),
                package("quote", "1.0.0", Some("registry")),
                package("compiler", "1.0.0", Some("registry")),
                package("tester", "1.0.0", Some("registry")),
                // Of a feature that another member of the workspace wants.
                package("elsewhere", "1.0.0", Some("registry")),
            ],
            "resolve": { "nodes": [
                node("oom-agent@0.1.0", &deps),
                node("linked@1.2.3", &[dep("deeper@2.0.0", &[None, Some("dev")])]),
                node("deeper@2.0.0", &[]),
                node("derive@1.0.0", &[dep("quote@1.0.0", &[None])]),
            ] },
        }))
        .unwrap()
    }

    fn bom() -> Value {
        let glibc = Library { name: "glibc", version: "2.36".into(), license: "LGPL-2.1-or-later" };
        let built = ["oom-agent 0.1.0", "linked 1.2.3", "deeper 2.0.0", "derive 1.0.0", "quote 1.0.0"];
        let built =
            built.map(|it| it.split_once(' ').unwrap()).map(|(name, version)| (name.into(), version.into()));
        serde_json::from_str(&cyclonedx(&metadata(), &built.into(), LOCK, &[glibc]).unwrap()).unwrap()
    }

    #[test]
    fn what_is_linked_is_listed_and_what_compiles_tests_or_is_not_asked_for_is_not() {
        let names: Vec<_> =
            bom()["components"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
        assert_eq!(names, ["glibc", "deeper", "linked"]);
    }

    #[test]
    fn a_part_has_its_version_licence_and_checksum() {
        let bom = bom();
        let linked = bom["components"].as_array().unwrap().iter().find(|it| it["name"] == "linked").unwrap();
        assert_eq!(linked["purl"], "pkg:cargo/linked@1.2.3");
        assert_eq!(linked["licenses"], json!([{ "expression": "MIT OR Apache-2.0" }]));
        assert_eq!(linked["hashes"], json!([{ "alg": "SHA-256", "content": "abc" }]));
        assert_eq!(bom["metadata"]["component"]["type"], "application");
    }

    #[test]
    fn who_depends_on_whom() {
        let bom = bom();
        let of = |of: &str| {
            let all = bom["dependencies"].as_array().unwrap();
            all.iter().find(|it| it["ref"] == of).unwrap()["dependsOn"].clone()
        };
        assert_eq!(of("pkg:cargo/oom-agent@0.1.0"), json!(["glibc@2.36", "pkg:cargo/linked@1.2.3"]));
        assert_eq!(of("pkg:cargo/linked@1.2.3"), json!(["pkg:cargo/deeper@2.0.0"]));
    }

    #[test]
    fn without_the_agent_there_is_no_list() {
        let empty = Metadata { packages: Vec::new(), resolve: Resolve { nodes: Vec::new() } };
        assert!(cyclonedx(&empty, &BTreeSet::new(), LOCK, &[]).is_err());
    }
}
