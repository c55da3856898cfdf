//! Small made-up trees, each with one thing wrong.

use super::*;

fn found(path: &str, text: &str) -> Vec<String> {
    let sources = [Source { path: path.to_owned(), text: text.to_owned() }];
    check(&sources).iter().map(ToString::to_string).collect()
}

#[test]
fn the_pure_parts_import_no_clock_and_no_file_system() {
    let text = "use std::fs;\n// std::net is spoken of only\nfn now() -> Instant { todo() }\n";
    let pure = "incident/, the pure parts of identity/, kube/ and otlp/, logs/, page/, report/ and what rank computes are pure: no file system, no network, no clock; time is an argument";
    assert_eq!(
        found("oom-agent/src/incident/clock.rs", text),
        [
            format!("oom-agent/src/incident/clock.rs:1: `std::fs` here: {pure}"),
            format!("oom-agent/src/incident/clock.rs:3: `Instant` here: {pure}"),
        ]
    );
    assert_eq!(found("oom-agent/src/source/clock.rs", text), [""; 0]);
}

#[test]
fn their_tests_may_read_files() {
    let text = "fn pure() {}\n\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
    assert_eq!(found("oom-agent/src/report/line.rs", text), [""; 0]);
    assert_eq!(found("oom-agent/src/report/tests.rs", "use std::fs;\n"), [""; 0]);
}

#[test]
fn aya_stays_in_kernel() {
    let text = "use aya::Ebpf;\n";
    assert_eq!(found("oom-agent/src/kernel/load.rs", text), [""; 0]);
    assert_eq!(
        found("oom-agent/src/main.rs", text),
        ["oom-agent/src/main.rs:1: `aya` here: only kernel/ knows aya"]
    );
}

#[test]
fn the_wire_contract_depends_on_nothing() {
    let text = "[package]\nname = \"oom-ebpf\"\n[dependencies]\nlibc = \"1\"\n\
        [target.'cfg(target_arch = \"bpf\")'.dependencies]\naya-ebpf = { workspace = true }\n";
    assert_eq!(
        found("oom-ebpf/Cargo.toml", text),
        ["oom-ebpf/Cargo.toml:4: `libc`: the lib of oom-ebpf has no dependencies"]
    );
    assert_eq!(found("oom-ebpf/src/lib.rs", "use aya_ebpf::x;\n").len(), 1);
    assert_eq!(found("oom-ebpf/src/main.rs", "use aya_ebpf::x;\n"), [""; 0]);
}

#[test]
fn aya_ebpf_is_for_the_bpf_target_only() {
    let text = "[dependencies]\naya-ebpf.workspace = true\naya = \"0.14\"\n";
    assert_eq!(
        found("oom-agent/Cargo.toml", text),
        [
            "oom-agent/Cargo.toml:2: `aya-ebpf` belongs under [target.'cfg(target_arch = \"bpf\")'.dependencies]"
        ]
    );
    assert_eq!(found("Cargo.toml", "[workspace.dependencies]\naya-ebpf = \"0.2\"\n"), [""; 0]);
}

#[test]
fn a_lint_is_expected_and_not_allowed() {
    let text = "#[allow(dead_code)]\nfn a() {}\n#[expect(dead_code, reason = \"b\")]\nfn b() {}\nfn c() { allow(1) }\n";
    assert_eq!(found("x.rs", text), ["x.rs:1: `allow`: write #[expect(lint, reason = \"...\")]"]);
}

#[test]
fn each_unsafe_says_why_it_is_safe() {
    let text = "fn a() {\n    let x = unsafe { f() };\n}\n";
    assert_eq!(found("x.rs", text), ["x.rs:2: `unsafe` without a SAFETY comment"]);
    for good in [
        "// SAFETY: f has no conditions.\nlet x = unsafe { f() };\n",
        "// SAFETY: f has no conditions,\n// really.\n#[expect(x)]\nlet x =\n    unsafe { f() };\n",
        "unsafe {\n    // SAFETY: f has no conditions.\n    f();\n}\n",
        "// SAFETY: bytes only.\nunsafe impl Pod for X {}\n",
        "#[unsafe(no_mangle)]\nfn a() {}\n",
        "let text = \"unsafe { f() }\"; // unsafe { f() }\n",
    ] {
        assert_eq!(found("x.rs", good), [""; 0], "{good}");
    }
    let apart = "// SAFETY: of the first.\nlet x = unsafe { f() };\nlet y = unsafe { f() };\n";
    assert_eq!(found("x.rs", apart), ["x.rs:3: `unsafe` without a SAFETY comment"]);
}

#[test]
fn files_are_short() {
    let long = "//! x\n".repeat(LONGEST + 1);
    assert_eq!(found("x.rs", &long)[1], "x.rs: 501 lines, at most 500: cut it, or list it as a table");
    assert_eq!(found("x.md", &long), [""; 0]);
}

#[test]
fn most_files_are_much_shorter() {
    let file = |name: &str, lines: usize| Source { path: name.to_owned(), text: "//! x\n".repeat(lines) };
    assert_eq!(check(&[file("a.rs", 400), file("b.rs", 150), file("c.rs", 10)]), []);
    let found = check(&[file("a.rs", 400), file("b.rs", 151), file("c.rs", 10)]);
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().contains("half of the Rust files have 151 lines"), "{}", found[0]);
}

#[test]
fn paths_and_addresses_of_one_machine_are_found_in_every_text() {
    assert_eq!(
        found("docs/a.md", "fine\nsee /work/notes.md\n"),
        ["docs/a.md:2: \"/work/\" means nothing outside of one machine"]
    );
    assert_eq!(found("deploy/Containerfile", "RUN curl https://Deb.example.org/x\n").len(), 1);
}

#[test]
fn a_tree_is_read_without_what_is_built_in_it() {
    let root = std::env::temp_dir().join(format!("xtask-tidy-{}", std::process::id()));
    fs::create_dir_all(root.join("target")).unwrap();
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("target/built.rs"), "#[allow(x)]\n").unwrap();
    fs::write(root.join("src/main.rs"), "#[allow(x)]\n").unwrap();
    fs::write(root.join("src/picture"), [0xff, 0xfe]).unwrap();
    let found = violations(&root).unwrap();
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(found.iter().map(|violation| violation.path.as_str()).collect::<Vec<_>>(), ["src/main.rs"]);
}
