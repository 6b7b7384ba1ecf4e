//! `docs/reference/envd.md` against the calls, the routes and the tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All text of the files below `path` with this extension.
fn texts(path: &str, extension: &str) -> String {
    let mut text = String::new();
    let mut pending = vec![repository().join(path)];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|known| known == extension) {
                text.push_str(&fs::read_to_string(&path).expect("text"));
            }
        }
    }
    text
}

/// The rows of the table of rules: what it is about, and the named tests.
fn rows(document: &str) -> Vec<(String, Vec<String>)> {
    let (_, table) = document
        .split_once("| RPC or route | Rule | Test |")
        .expect("the table of rules");
    let lines = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let tests = cells[2]
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect();
            (cells[0].to_owned(), tests)
        })
        .collect()
}

/// The names of the tests in Rust sources.
fn test_names(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        Some(
            line.trim()
                .split_once("fn ")?
                .1
                .split_once('(')?
                .0
                .to_owned(),
        )
    };
    let lines: Vec<&str> = text.lines().collect();
    let marked = lines.windows(2).filter(|pair| {
        pair[0].trim().starts_with("#[test]") || pair[0].trim().starts_with("#[tokio::test")
    });
    marked.filter_map(|pair| name(pair[1])).collect()
}

#[test]
fn every_named_test_exists_and_every_row_has_one() {
    let rust = test_names(&(texts("crates/envd/src", "rs") + &texts("crates/envd/tests", "rs")));
    let typescript = texts("tests/envd", "ts");
    for (about, tests) in rows(&read("docs/reference/envd.md")) {
        assert!(!tests.is_empty(), "no test for {about}");
        for test in tests {
            assert!(
                rust.contains(&test) || typescript.contains(&format!("it(\"{test}\"")),
                "{about}: no test is called '{test}'"
            );
        }
    }
}

#[test]
fn every_call_and_route_has_a_rule() {
    let document = read("docs/reference/envd.md");
    let about: Vec<String> = rows(&document)
        .into_iter()
        .map(|(about, _)| about)
        .collect();
    for (file, service) in [
        ("process/process.proto", "process.Process"),
        ("filesystem/filesystem.proto", "filesystem.Filesystem"),
    ] {
        let proto = read(&format!("packages/protocol/proto/{file}"));
        let calls = proto
            .lines()
            .filter_map(|line| line.trim().strip_prefix("rpc ")?.split_once('('))
            .map(|(call, _)| call);
        for call in calls {
            let name = format!("{service}/{call}");
            assert!(
                about.iter().any(|about| about.contains(&name)),
                "no rule for {name}"
            );
        }
    }
    let router = read("crates/envd/src/http/router.rs");
    let routes = router
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| text.starts_with('/') && !text.ends_with('/'));
    for route in routes {
        assert!(
            about
                .iter()
                .any(|about| about.split(", ").any(|about| about.ends_with(route))),
            "no rule for {route}"
        );
    }
}

#[test]
fn every_test_with_the_real_agent_proves_a_rule() {
    let named: BTreeSet<String> = rows(&read("docs/reference/envd.md"))
        .into_iter()
        .flat_map(|(_, tests)| tests)
        .collect();
    for entry in fs::read_dir(repository().join("crates/envd/tests"))
        .expect("readable")
        .flatten()
    {
        let path = entry.path();
        let is_about_documents = path.file_stem().is_some_and(|stem| stem == "documentation");
        if path.extension().is_some_and(|extension| extension == "rs") && !is_about_documents {
            for test in test_names(&fs::read_to_string(&path).expect("text")) {
                assert!(named.contains(&test), "{test} is in no row");
            }
        }
    }
}
