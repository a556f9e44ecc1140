//! The rules of dependencies: who may stand on whom, who may call the kernel, and how little a
//! user takes in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, TextFile};
use crate::workspace::Workspace;

/// What each package depends on within the workspace. The same table stands in ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    ("bifolio-sys", &[]),
    ("bifolio-map", &["bifolio-sys"]),
    ("bifolio-sync", &["bifolio-map", "bifolio-sys"]),
    ("bifolio-derive", &[]),
    ("bifolio-share", &["bifolio-derive", "bifolio-map", "bifolio-sync", "bifolio-sys"]),
    ("bifolio", &["bifolio-map", "bifolio-share"]),
    ("bifolio-cli", &["bifolio"]),
    ("memmap2", &["bifolio-map"]),
    ("sweep", &["bifolio-share", "bifolio-sync", "bifolio-sys"]),
    ("xtask", &[]),
];

/// The row that begins the table in ARCHITECTURE.md.
const TABLE_HEAD: &str = "| package | depends on |";
const TABLE_FILE: &str = "ARCHITECTURE.md";

/// Packages that reach the kernel, and the one that may list them.
const KERNEL_PACKAGES: &[&str] = &["libc", "rustix", "linux-raw-sys", "nix"];
const KERNEL_OWNER: &str = "bifolio-sys";
/// Stands beside the library, and does to processes what no library does.
const KERNEL_TESTER: &str = "sweep";
/// Packages that lie at the root.
const AT_ROOT: &[&str] = &["sweep", "xtask"];
/// The package whose dev-dependencies are held to the rules of the others.
const STRICT: &str = "bifolio-cli";

/// All that the facade without features may take from outside.
const FACADE: &str = "bifolio";
const FACADE_EXTERNALS: &[&str] = &["libc", "rustix", "zerocopy"];

type Edges = BTreeMap<String, BTreeSet<String>>;

/// All rules of this file.
pub(super) fn check(
    workspace: &Workspace,
    files: &[TextFile],
    findings: &mut Vec<Finding>,
) -> Result<(), String> {
    let metadata = workspace.cargo_output("metadata --locked --no-deps --format-version 1")?;
    let packages = packages(&metadata)?;
    let listing = "--no-default-features -e normal --prefix depth --no-dedupe -f {p}";
    let tree = workspace.cargo_output(&format!("tree --locked -p {FACADE} {listing}"))?;
    let table = files.iter().find(|file| file.path == TABLE_FILE);
    check_table(table.map_or("", |file| &file.text), findings);
    check_packages(&packages, findings);
    check_externals(&tree, &packages, findings);
    Ok(())
}

/// A package of the workspace and what its manifest lists.
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Listed under `dev-dependencies`.
    dev: bool,
}

impl Package {
    /// Where findings about its manifest are reported.
    fn manifest(&self) -> String {
        let directory = if AT_ROOT.contains(&&*self.name) { "" } else { "crates/" };
        format!("{directory}{}/Cargo.toml", self.name)
    }

    /// What it lists, dev-dependencies only of the one that is held to them.
    fn binding(&self) -> impl Iterator<Item = &str> {
        let bound = |dependency: &&Dependency| !dependency.dev || self.name == STRICT;
        self.dependencies.iter().filter(bound).map(|dependency| dependency.name.as_str())
    }
}

/// Reads what `cargo metadata` prints.
fn packages(metadata: &str) -> Result<Vec<Package>, String> {
    let metadata: Value = serde_json::from_str(metadata).map_err(|error| error.to_string())?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let dependency = |value: &Value| Dependency { name: name(value), dev: value["kind"] == "dev" };
    let package = |value: &Value| Package {
        name: name(value),
        dependencies: list(value, "dependencies").iter().map(dependency).collect(),
    };
    let packages: Vec<Package> = list(&metadata, "packages").iter().map(package).collect();
    if packages.is_empty() { Err("`cargo metadata` names no package".into()) } else { Ok(packages) }
}

fn expected() -> Edges {
    let row = |(name, targets): &(&str, &[&str])| {
        (String::from(*name), targets.iter().map(|target| String::from(*target)).collect())
    };
    EDGES.iter().map(row).collect()
}

/// The table in ARCHITECTURE.md is the one here.
fn check_table(document: &str, findings: &mut Vec<Finding>) {
    let head = document.lines().position(|line| line.trim() == TABLE_HEAD);
    let Some(head) = head else {
        let advice = format!("the table of dependencies is missing: it begins with `{TABLE_HEAD}`");
        findings.push(Finding::new(TABLE_FILE, 1, "edge", advice));
        return;
    };
    let rows = document.lines().skip(head + 2).take_while(|line| line.starts_with('|'));
    let written: Edges = rows.filter_map(row).collect();
    for (name, advice) in differences(&written, &expected(), "EDGES in xtask/src/tidy/edges.rs") {
        let line =
            document.lines().skip(head).position(|line| line.contains(&format!("| `{name}` |")));
        findings.push(Finding::new(TABLE_FILE, head + 1 + line.unwrap_or(0), "edge", advice));
    }
}

/// The names in backticks of one row: the package, then what it depends on.
fn row(line: &str) -> Option<(String, BTreeSet<String>)> {
    let mut names = line.split('`').skip(1).step_by(2).map(String::from);
    Some((names.next()?, names.collect()))
}

fn check_packages(packages: &[Package], findings: &mut Vec<Finding>) {
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let edges = |package: &Package| {
        let inside = package.binding().filter(|name| members.contains(name));
        (package.name.clone(), inside.map(String::from).collect())
    };
    let actual: Edges = packages.iter().map(edges).collect();
    for (name, advice) in differences(&actual, &expected(), "EDGES and ARCHITECTURE.md") {
        let package = packages.iter().find(|package| package.name == name);
        let path = package.map_or(TABLE_FILE.into(), Package::manifest);
        findings.push(Finding::new(&path, 1, "edge", advice));
    }
    let free = [KERNEL_OWNER, KERNEL_TESTER];
    for package in packages.iter().filter(|package| !free.contains(&&*package.name)) {
        for name in package.binding().filter(|name| KERNEL_PACKAGES.contains(name)) {
            let advice = format!("only {KERNEL_OWNER} lists `{name}`: add there what is missing");
            findings.push(Finding::new(&package.manifest(), 1, "kernel", advice));
        }
    }
}

/// Where two sets of edges part, as advice by package.
fn differences(found: &Edges, wanted: &Edges, place: &str) -> Vec<(String, String)> {
    let none = BTreeSet::new();
    let mut all = Vec::new();
    for name in found.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
        match (found.get(name), wanted.get(name)) {
            (None, Some(_)) => {
                all.push((name.clone(), format!("{name} is in {place} but not here")))
            }
            (Some(_), None) => {
                all.push((name.clone(), format!("{name} is here but not in {place}")))
            }
            _ => {}
        }
        let (here, there) = (found.get(name).unwrap_or(&none), wanted.get(name).unwrap_or(&none));
        if found.contains_key(name) && wanted.contains_key(name) {
            for target in here.difference(there) {
                all.push((name.clone(), format!("{name} -> {target} is not in {place}")));
            }
            for target in there.difference(here) {
                all.push((name.clone(), format!("{name} -> {target} is in {place} but not here")));
            }
        }
    }
    all
}

/// What the facade without features takes from outside, directly or through the other members.
fn check_externals(tree: &str, packages: &[Package], findings: &mut Vec<Finding>) {
    let members: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for (name, owner) in direct_externals(tree, &members) {
        if !FACADE_EXTERNALS.contains(&name.as_str()) {
            let package = packages.iter().find(|package| package.name == owner);
            let path = package.map_or(TABLE_FILE.into(), Package::manifest);
            let advice = format!(
                "`{name}` comes with {FACADE} without features, which stands on {} alone",
                FACADE_EXTERNALS.join(", ")
            );
            findings.push(Finding::new(&path, 1, "externals", advice));
        }
    }
}

/// The packages outside the workspace that a member depends on, with that member.
fn direct_externals(tree: &str, members: &[&str]) -> BTreeSet<(String, String)> {
    let mut ancestors: Vec<&str> = Vec::new();
    let mut found = BTreeSet::new();
    for line in tree.lines() {
        let digits = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len());
        let Ok(depth) = line[..digits].parse::<usize>() else { continue };
        let name = line[digits..].split(' ').next().unwrap_or_default();
        ancestors.truncate(depth);
        if let Some(parent) = ancestors.last()
            && members.contains(parent)
            && !members.contains(&name)
        {
            found.insert((name.to_owned(), String::from(*parent)));
        }
        ancestors.push(name);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The workspace as it should be, in the form of `cargo metadata`, with more dependencies.
    fn metadata(more: &[(&str, &str, &str)]) -> String {
        let mut packages = Vec::new();
        for (name, targets) in EDGES {
            let wanted = targets.iter().map(|target| (*target, "null"));
            let added = more.iter().filter(|(package, ..)| package == name);
            let listed = wanted.chain(added.map(|(_, target, kind)| (*target, *kind)));
            let listed =
                listed.map(|(target, kind)| format!(r#"{{"name":"{target}","kind":{kind}}}"#));
            let listed = listed.collect::<Vec<_>>().join(",");
            packages.push(format!(r#"{{"name":"{name}","dependencies":[{listed}]}}"#));
        }
        format!(r#"{{"packages":[{}]}}"#, packages.join(","))
    }

    fn found(more: &[(&str, &str, &str)]) -> Vec<String> {
        let mut findings = Vec::new();
        check_packages(&packages(&metadata(more)).unwrap(), &mut findings);
        findings.iter().map(|f| format!("{} {}", f.rule, f.path)).collect()
    }

    fn table(change: impl Fn(&str, &[&str]) -> Option<String>) -> String {
        let mut text = format!("# A\n\n{TABLE_HEAD}\n|---|---|\n");
        for (name, targets) in EDGES {
            text.push_str(&change(name, targets).unwrap_or_default());
        }
        text + "\n| `other` | `table` |\n"
    }

    fn row_text(name: &str, targets: &[&str]) -> String {
        let targets: Vec<String> = targets.iter().map(|target| format!("`{target}`")).collect();
        format!("| `{name}` | {} |\n", targets.join(", "))
    }

    fn table_findings(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check_table(text, &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_workspace_as_drawn_passes() {
        assert_eq!(found(&[]), [""; 0]);
        assert_eq!(
            found(&[("bifolio-sys", "libc", "null"), ("xtask", "serde_json", "null")]),
            [""; 0]
        );
    }

    #[test]
    fn an_arrow_not_drawn_is_found() {
        let map = "crates/bifolio-map/Cargo.toml";
        assert_eq!(found(&[("bifolio-map", "bifolio", "null")]), [format!("edge {map}")]);
        assert_eq!(found(&[("bifolio-map", "bifolio", "\"build\"")]), [format!("edge {map}")]);
        assert_eq!(found(&[("bifolio-map", "bifolio", "\"dev\"")]), [""; 0]);
        let cli = "crates/bifolio-cli/Cargo.toml";
        assert_eq!(found(&[("bifolio-cli", "bifolio-map", "\"dev\"")]), [format!("edge {cli}")]);
    }

    #[test]
    fn a_package_missing_or_unknown_is_found() {
        let mut findings = Vec::new();
        let known = packages(&metadata(&[])).unwrap().into_iter().skip(1).collect::<Vec<_>>();
        check_packages(&known, &mut findings);
        // bifolio-sys itself, and each arrow to it.
        let arrows = EDGES.iter().filter(|(_, targets)| targets.contains(&EDGES[0].0)).count();
        assert_eq!(findings.len(), 1 + arrows);
        let unknown = metadata(&[]).replace("\"name\":\"xtask\"", "\"name\":\"xtusk\"");
        findings.clear();
        check_packages(&packages(&unknown).unwrap(), &mut findings);
        assert_eq!(findings.len(), 2);
        assert!(packages("{}").is_err());
    }

    #[test]
    fn the_kernel_has_one_door() {
        let map = "kernel crates/bifolio-map/Cargo.toml";
        assert_eq!(found(&[("bifolio-map", "libc", "null")]), [map]);
        assert_eq!(found(&[("bifolio-map", "rustix", "\"dev\"")]), [""; 0]);
        let cli = "kernel crates/bifolio-cli/Cargo.toml";
        assert_eq!(found(&[("bifolio-cli", "rustix", "\"dev\"")]), [cli]);
    }

    #[test]
    fn the_written_table_is_the_same() {
        assert_eq!(table_findings(&table(|n, t| Some(row_text(n, t)))), [""; 0]);
        assert!(table_findings("# A\n")[0].contains("is missing"));
        let without = table(|n, t| (n != "xtask").then(|| row_text(n, t)));
        assert!(table_findings(&without)[0].contains("xtask is in EDGES"));
        let more = table(|n, t| Some(row_text(n, if n == "xtask" { &["bifolio"] } else { t })));
        // Behind a title, an empty line and the head of the table, xtask has the last row.
        let place = format!("ARCHITECTURE.md:{}: edge: xtask -> bifolio", 4 + EDGES.len());
        assert!(table_findings(&more)[0].starts_with(&place));
        let less = table(|n, _| Some(row_text(n, &[])));
        let arrows: usize = EDGES.iter().map(|(_, targets)| targets.len()).sum();
        assert_eq!(table_findings(&less).len(), arrows);
    }

    #[test]
    fn the_facade_takes_three_packages_from_outside() {
        let inside = "0bifolio v0.1.0 (x)\n1bifolio-map v0.1.0 (x)\n2bifolio-sys v0.1.0 (x)\n";
        let outside = "3libc v0.2\n3rustix v1.1\n4bitflags v2.9\n2zerocopy v0.8\n";
        let tree = &format!("{inside}{outside}");
        let run = |tree: &str| {
            let mut findings = Vec::new();
            check_externals(tree, &packages(&metadata(&[])).unwrap(), &mut findings);
            findings.iter().map(|f| format!("{} {}", f.rule, f.path)).collect::<Vec<_>>()
        };
        assert_eq!(run(tree), [""; 0]);
        let more = format!("{tree}2memchr v2.7\n");
        assert_eq!(run(&more), ["externals crates/bifolio-map/Cargo.toml"]);
    }
}
