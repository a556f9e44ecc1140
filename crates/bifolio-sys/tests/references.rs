//! Every system call that the crate offers says where it is described and which kernel brought it:
//! its own wrappers under `# References`, what it re-exports in the table of the module.

use std::path::Path;

/// The modules of system calls.
const FILES: &[&str] = &[
    "fault/dispatch.rs",
    "fault/probe.rs",
    "fs.rs",
    "fs/lease.rs",
    "fs/ofd.rs",
    "fs/table.rs",
    "mm.rs",
    "mm/advice.rs",
    "mm/maps.rs",
    "mm/numa.rs",
    "mm/pagemap.rs",
    "mm/userfaultfd.rs",
    "net.rs",
    "page.rs",
    "process.rs",
    "process/itself.rs",
    "robust.rs",
    "signal.rs",
    "signal/real_time.rs",
    "time.rs",
];

/// What makes no system call, or none but that of another function here.
const NO_CALL: &[&str] = &["handle", "major", "map_hugetlb", "minor", "register"];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// The name of the public function, outside of any `impl`, that this line declares.
fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ")?;
    let rest = rest.strip_prefix("unsafe ").unwrap_or(rest).strip_prefix("fn ")?;
    Some(&rest[..rest.find(['(', '<']).unwrap()])
}

/// Whether it is the name of a system call, and not of a type or a constant.
fn is_call(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase()) && !NO_CALL.contains(&name)
}

#[test]
fn every_wrapper_cites_its_manual_and_its_kernel() {
    let (mut seen, mut missing) = (0, Vec::new());
    for file in FILES {
        let text = read(file);
        let mut comment = String::new();
        for line in text.lines() {
            if line.starts_with("///") {
                comment += line;
            } else if let Some(name) = function(line).filter(|name| is_call(name)) {
                let references = comment.split_once("# References").unwrap_or_default().1;
                if !references.contains("https://") || !references.contains("Linux") {
                    missing.push(format!("{file}: {name}"));
                }
                seen += 1;
            }
            if !line.starts_with("///") && !line.starts_with("#[") {
                comment.clear();
            }
        }
    }
    assert_eq!(missing, [""; 0], "they cite no manual or no kernel");
    assert!(seen > 25, "{seen} wrappers");
}

#[test]
fn every_call_of_rustix_stands_in_the_table_of_its_module() {
    let (mut seen, mut missing) = (0, Vec::new());
    for file in FILES {
        let text = read(file);
        for list in text.split("pub use rustix::").skip(1) {
            let list = &list[..list.find(';').unwrap()];
            let Some((_, names)) = list.split_once('{') else { continue };
            let names = names.trim_end_matches('}').split(',').map(str::trim);
            for name in names.filter(|name| is_call(name)) {
                let is_listed = text
                    .lines()
                    .any(|line| line.starts_with("//! |") && line.contains(&format!("[`{name}`]")));
                if !is_listed {
                    missing.push(format!("{file}: {name}"));
                }
                seen += 1;
            }
        }
    }
    assert_eq!(missing, [""; 0], "they stand in no table");
    assert!(seen > 25, "{seen} calls");
}
