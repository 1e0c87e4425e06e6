//! What hdrcap is made of, as far as it can be checked without tools: sources, licences, duplicates, reasons.
//!
//! `scripts/supply-chain` checks the same and more with cargo-deny, whose configuration is read here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use harness::{run, tree};
use serde_json::Value;

/// Every package that is built for this machine, from Cargo.lock alone.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--locked", "--offline", "--format-version", "1"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(tree::root());
    let metadata: Value = serde_json::from_slice(&run(&mut command).stdout).unwrap();
    let resolved = metadata["resolve"]["nodes"].as_array().unwrap();
    let built: BTreeSet<&str> = resolved.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.filter(|package| built.contains(package["id"].as_str().unwrap())).cloned().collect()
}

/// Quoted words of the list that follows `key = [` in deny.toml.
fn denied(key: &str) -> Vec<String> {
    let text = fs::read_to_string(tree::root().join("deny.toml")).unwrap();
    let list = text.split(&format!("\n{key} = [")).nth(1).and_then(|rest| rest.split(']').next());
    let list = list.unwrap_or_else(|| panic!("deny.toml has no list {key}"));
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether a licence expression can be met with the licences allowed; parentheses hold alternatives only.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    let is_one = |licence: &str| allowed.iter().any(|name| name == licence.trim());
    flat.split(" AND ").all(|part| part.split(" OR ").any(is_one))
}

#[test]
fn every_package_is_from_the_registry_under_an_allowed_licence() {
    let allowed = denied("allow");
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let Some(source) = package["source"].as_str() else { continue };
        assert!(source.starts_with("registry+"), "{name} is from {source}");
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence, &allowed), "{name} is under {licence}: deny.toml allows {allowed:?}");
    }
}

#[test]
fn no_package_is_built_in_two_versions_but_those_that_are_said() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    let doubled: BTreeMap<_, _> = versions.into_iter().filter(|(_, versions)| versions.len() > 1).collect();
    let text = fs::read_to_string(tree::root().join("deny.toml")).unwrap();
    let unsaid: Vec<_> =
        doubled.iter().filter(|(name, _)| !text.contains(&format!("crate = \"{name}@"))).collect();
    assert!(unsaid.is_empty(), "built twice, and deny.toml gives no reason (bans.skip): {unsaid:?}");
}

#[test]
fn every_dependency_stands_under_its_reason() {
    let text = fs::read_to_string(tree::root().join("Cargo.toml")).unwrap();
    let list = text.split("[workspace.dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let mut reason = "";
    for line in list.lines() {
        match line.strip_prefix('#') {
            Some(comment) => reason = comment.trim(),
            None if line.contains("path =") => {}
            None => assert!(reason.len() >= 5 || line.is_empty(), "no reason for {line}"),
        }
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for good in ["MIT", "Apache-2.0 OR MIT", "MIT/Apache-2.0", "ISC AND (MIT OR Apache-2.0)"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "ISC AND Apache-2.0", "none", "MIT AND (Apache-2.0 OR GPL-3.0)"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
