//! The house rules that a compiler does not know, checked on the source text.
//!
//! rustfmt has been over the text (`scripts/test` makes sure), so indentation tells where a function ends.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};

use capture::ledger::{Counter, EncoderCounter, ViewCounter};
use common::verdict::Verdict;
use harness::tree;

/// Lines of a file at the most.
const FILE_LINES_MAX: usize = 500;

/// Lines of a function at the most, signature and closing brace included.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines of a module's opening documentation at the most.
const MODULE_DOC_LINES_MAX: usize = 8;

/// Lines above an `unsafe` block among which its SAFETY comment stands.
const SAFETY_DISTANCE_LINES_MAX: usize = 8;

/// Who may depend on which crate of the workspace; test dependencies are free.
const WALLS: &[(&str, &[&str])] = &[
    ("common", &[]),
    ("xdp-prog", &["common"]),
    ("storage", &[]),
    ("capture", &["common", "storage"]),
    ("bench", &["common", "storage", "capture"]),
    ("tests", &["common", "storage", "capture"]),
];

/// Crates that a part must not know, besides those behind its wall.
const STRANGERS: &[(&str, &[&str])] = &[("common", &["aya", "tokio"]), ("storage", &["aya", "tokio"])];

/// The only files with `unsafe` blocks, functions or impls in them.
pub(crate) const UNSAFE_FILES: &[&str] = &[
    "bench/src/traffic/kernel.rs",
    "bench/src/traffic/replay.rs",
    "capture/build.rs",
    "capture/src/allocator.rs",
    "capture/src/confine/attempts.rs",
    "capture/src/confine/names.rs",
    "capture/src/http/line_feeds.rs",
    "capture/src/http/line_sum.rs",
    "capture/src/idle.rs",
    "capture/src/redact/recycle.rs",
    "capture/src/settings/environment.rs",
    "capture/src/source/live/clock.rs",
    "capture/src/source/live/counters.rs",
    "capture/src/source/live/ethtool.rs",
    "capture/src/source/live/load.rs",
    "capture/src/source/live/netlink.rs",
    "capture/src/source/live/promiscuous.rs",
    "capture/src/source/live/ring.rs",
    "capture/src/source/pcap/input.rs",
    "capture/src/view/socket.rs",
    "storage/src/file/ring.rs",
    "storage/src/file/space.rs",
    "storage/src/prefetch.rs",
    "storage/src/search.rs",
    "storage/src/secret.rs",
    "tests/growth/heap.rs",
    "tests/harness/cable.rs",
    "tests/verdicts/cost.rs",
    "tests/verdicts/kernel.rs",
    "xdp-prog/src/frame.rs",
    "xdp-prog/src/main.rs",
    "xdp-prog/src/maps.rs",
    "xdp-prog/src/ring.rs",
];

/// Counters that tell of the work done; no frame, head, message or row ends in them.
const NO_OUTCOMES: &[&str] = &[
    "records",
    "records_invalid",
    "records_mark",
    "records_orphan",
    "records_duplicate",
    "records_misdirected",
    "heads_given_up",
    "transactions_given_up",
    "connections_evicted",
    "connections_aged",
    "batches",
    "files_published",
    "bytes_written",
    "rows_recovered",
    "rows_maybe_missing",
    "files_removed",
    "bytes_removed",
];

/// What no file of the tree says, each with the reason.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("crates", ".io/"), "a registry host"),
    (concat!("static.", "rust-lang"), "a registry host"),
    (concat!("pypi", ".org"), "a registry host"),
    (concat!("python", "hosted"), "a registry host"),
    (concat!("deb.", "debian"), "a registry host"),
    (concat!("npm", "js."), "a registry host"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/tm", "p/w/"), "a path of one machine"),
];

/// What no Rust file says, each with the reason.
const FORBIDDEN_IN_RUST: &[(&str, &str)] = &[
    (
        concat!("#[", "ignore]"),
        "a test that does not run proves nothing, unless another one starts it and it says so",
    ),
    (concat!("#[", "allow("), "a deviation is #[expect(lint, reason)]"),
    (concat!("todo", "!("), "no stub"),
    (concat!("unimple", "mented!("), "no stub"),
    (concat!("// --", "--"), "no banner"),
    (concat!("// ==", "=="), "no banner"),
];

struct Source {
    name: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.name.starts_with("tests/") || self.name.contains("/tests") || self.name.ends_with("/testing.rs")
    }
}

fn read(path: &Path) -> Option<Source> {
    let name = path.strip_prefix(tree::root()).expect("files of the tree are below its root");
    Some(Source { name: name.display().to_string(), text: fs::read_to_string(path).ok()? })
}

fn rust_sources() -> Vec<Source> {
    let sources: Vec<Source> =
        tree::files(&tree::root(), ".rs").iter().filter_map(|path| read(path)).collect();
    assert!(sources.len() > 10, "the tree was not found");
    sources
}

/// Everything a person wrote: no lock file, no binary, not the pointer that a linked work tree has in place of `.git/`.
fn written_sources() -> Vec<Source> {
    let mut paths: Vec<PathBuf> = tree::files(&tree::root(), "");
    paths.extend(tree::files(&tree::root().join(".ci"), ""));
    let is_written = |path: &&PathBuf| !path.ends_with("Cargo.lock") && !path.ends_with(".git");
    paths.iter().filter(is_written).filter_map(|path| read(path)).collect()
}

fn assert_none<T: Display>(broken: impl IntoIterator<Item = T>, rule: &str) {
    let broken: Vec<String> = broken.into_iter().map(|place| place.to_string()).collect();
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn walls_stand_in_the_manifests() {
    let members = WALLS.iter().map(|(member, _)| *member);
    let broken = WALLS.iter().flat_map(|(member, allowed)| {
        let manifest = fs::read_to_string(tree::root().join(member).join("Cargo.toml")).unwrap();
        let strangers =
            STRANGERS.iter().filter(move |(part, _)| part == member).flat_map(|(_, crates)| *crates);
        let walled = members.clone().filter(move |other| !allowed.contains(other)).chain(strangers.copied());
        walled
            .filter(|name| dependencies(&manifest).iter().any(|dependency| dependency == name))
            .map(move |name| format!("{member} depends on {name}"))
            .collect::<Vec<_>>()
    });
    assert_none(broken, "DESIGN: who may import whom");
}

/// Names in `[dependencies]` and `[build-dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = matches!(line, "[dependencies]" | "[build-dependencies]");
        } else if inside {
            names.extend(
                line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty()).map(str::to_owned),
            );
        }
    }
    names
}

#[test]
fn walls_stand_in_the_sources() {
    let broken = rust_sources().into_iter().flat_map(|source| {
        let strangers = STRANGERS.iter().filter(|(part, _)| source.name.starts_with(&format!("{part}/")));
        let imports = strangers.flat_map(|(_, crates)| *crates).filter(|name| imports(&source.text, name));
        imports.map(|name| format!("{} uses {name}", source.name)).collect::<Vec<_>>()
    });
    assert_none(broken, "DESIGN: who may import whom");
}

fn imports(text: &str, name: &str) -> bool {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(&format!("{name}::"))
            .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[test]
fn files_are_a_sitting() {
    let broken = rust_sources().into_iter().filter(|source| source.text.lines().count() > FILE_LINES_MAX);
    assert_none(broken.map(|source| source.name), "STYLE 11: at most 500 lines a file");
}

#[test]
fn functions_fit_a_screen() {
    let broken = rust_sources().into_iter().flat_map(|source| {
        let long = long_functions(&source.text, FUNCTION_LINES_MAX);
        long.into_iter().map(move |(line, lines)| format!("{}:{line} has {lines} lines", source.name))
    });
    assert_none(broken, "STYLE 11: at most 70 lines a function");
}

/// First line and length of each function longer than `lines_max`.
fn long_functions(text: &str, lines_max: usize) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| begins_function(line));
    let functions = starts.filter_map(|(start, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        let length = lines[start..].iter().position(|line| {
            **line == closing
                || line.ends_with(';') && line.starts_with(indent) && !line[indent.len()..].starts_with(' ')
        })? + 1;
        Some((start + 1, length))
    });
    functions.filter(|(_, length)| *length > lines_max).collect()
}

fn begins_function(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let keyword = words.iter().position(|word| *word == "fn");
    keyword.is_some_and(|at| {
        words[..at].iter().all(|word| {
            matches!(*word, "pub" | "const" | "unsafe" | "async" | "extern" | "\"C\"")
                || word.starts_with("pub(")
        })
    })
}

#[test]
fn modules_open_with_what_they_do() {
    let broken = rust_sources().into_iter().filter_map(|source| {
        let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
        (lines == 0 || lines > MODULE_DOC_LINES_MAX)
            .then(|| format!("{} opens with {lines} lines of //!", source.name))
    });
    assert_none(broken, "STYLE 12: a module opens with what it does, in at most 8 lines");
}

#[test]
fn unsafe_stays_in_its_files() {
    let broken = rust_sources().into_iter().flat_map(|source| {
        let allowed = UNSAFE_FILES.contains(&source.name.as_str());
        let places = unsafe_places(&source.text).into_iter();
        let unsound = places.filter(move |(_, explained)| !allowed || !explained);
        unsound
            .map(|(line, explained)| format!("{}:{line} (SAFETY comment: {explained})", source.name))
            .collect::<Vec<_>>()
    });
    assert_none(broken, "STYLE 8: unsafe lives in UNSAFE_FILES, each with its SAFETY comment");
}

/// Line of each `unsafe` block, function or impl, and whether its reason stands above it.
fn unsafe_places(text: &str) -> Vec<(usize, bool)> {
    let lines: Vec<&str> = text.lines().collect();
    let places = lines.iter().enumerate().filter(|(_, line)| {
        let code = line.split("//").next().unwrap_or_default();
        [concat!("unsafe ", "{"), concat!("unsafe ", "fn "), concat!("unsafe ", "impl ")]
            .iter()
            .any(|word| code.contains(word))
    });
    places
        .map(|(at, _)| {
            let above = &lines[at.saturating_sub(SAFETY_DISTANCE_LINES_MAX)..=at];
            (at + 1, above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")))
        })
        .collect()
}

#[test]
fn every_outcome_is_in_a_test() {
    let tests: Vec<Source> =
        rust_sources().into_iter().filter(|source| source.name != "tests/tidy.rs").collect();
    let verdicts = Verdict::ALL.iter().map(|verdict| (format!("Verdict::{verdict:?}"), verdict.name()));
    let counters = Counter::ALL.iter().map(|counter| (format!("Counter::{counter:?}"), counter.name()));
    let encoders =
        EncoderCounter::ALL.iter().map(|counter| (format!("EncoderCounter::{counter:?}"), counter.name()));
    let viewers =
        ViewCounter::ALL.iter().map(|counter| (format!("ViewCounter::{counter:?}"), counter.name()));
    let untested = verdicts.chain(counters).chain(encoders).chain(viewers).filter(|(variant, name)| {
        let quoted = format!("\"{name}\"");
        !NO_OUTCOMES.contains(name)
            && !tests.iter().map(tested_part).any(|code| code.contains(variant) || code.contains(&quoted))
    });
    assert_none(untested.map(|(_, name)| name), "STYLE 14: every outcome that is counted appears in a test");
}

/// What of a file is test code: all of it, or what stands behind `#[cfg(test)]`.
fn tested_part(source: &Source) -> &str {
    if source.is_test() {
        &source.text
    } else {
        source.text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests)
    }
}

#[test]
fn tests_wait_for_conditions() {
    let sources = rust_sources();
    let sleepers = sources.iter().filter(|source| tested_part(source).contains(concat!("sle", "ep(")));
    assert_none(sleepers.map(|source| &source.name), "a test waits for a condition, never for a time");
}

#[test]
fn rust_says_nothing_forbidden() {
    let broken = rust_sources().into_iter().flat_map(|source| said(&source, FORBIDDEN_IN_RUST));
    assert_none(broken, "forbidden in Rust files");
}

#[test]
fn nothing_names_a_machine_or_a_registry() {
    let broken = written_sources().into_iter().flat_map(|source| said(&source, FORBIDDEN));
    assert_none(broken, "forbidden in every file");
}

fn said(source: &Source, forbidden: &[(&str, &str)]) -> Vec<String> {
    let lines = source.text.lines().enumerate();
    let found = lines.flat_map(|(at, line)| {
        let words = forbidden.iter().filter(move |(word, _)| line.contains(word));
        words.map(move |(word, reason)| format!("{}:{} says '{word}': {reason}", source.name, at + 1))
    });
    found.collect()
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert_eq!(long_functions("fn f() {\n    g();\n}\n\npub(crate) const fn g() {}\n", 2), [(1, 3)]);
    assert_eq!(long_functions("    fn of_trait(\n        &self,\n    ) -> u8;\n", 3), []);
    assert_eq!(
        dependencies("[dependencies]\naya.workspace = true\n\n[dev-dependencies]\ntokio = \"1\"\n"),
        ["aya"]
    );
    assert!(imports("use tokio::time;", "tokio") && imports("    tokio::spawn(x);", "tokio"));
    assert!(!imports("// tokio::spawn", "tokio") && !imports("mytokio::spawn()", "tokio"));
    let code = concat!("let x = unsafe ", "{ y() };\n// SAFETY: z\nunsafe ", "{ z() }\n");
    assert_eq!(unsafe_places(code), [(1, false), (3, true)]);
    let source = Source { name: "a.rs".to_owned(), text: "see pypi.example".replace("example", "org") };
    assert_eq!(said(&source, FORBIDDEN).len(), 1);
}
