//! Each crate built by itself, and the promise of `no_std` kept by all that it stands on.
//!
//! A build of the whole workspace gives every crate the features that any other crate asked for:
//! one that forgot to ask for its own compiles there and nowhere else. That a `no_std` crate says
//! so in its source is checked by `tidy`.

use crate::workspace::Workspace;

/// The libraries, lowest first.
const LIBRARIES: &[&str] = &["bifolio-sys", "bifolio-map", "bifolio", "memmap2"];

/// The crates whose core needs neither `std` nor `alloc`.
pub(crate) const NO_STD_CRATES: &[&str] = &["bifolio-sys", "bifolio-map"];

/// The step `alone`.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    for name in LIBRARIES {
        for features in ["--no-default-features", "", "--all-features"] {
            workspace.cargo(format!("build --locked --quiet -p {name} {features}").trim_end())?;
        }
    }
    workspace.cargo("build --locked --quiet -p bifolio-cli")?;
    for name in NO_STD_CRATES {
        let tree = format!("tree --locked -p {name} --no-default-features -e normal,no-proc-macro");
        let listing = workspace.cargo_output(&format!("{tree} --prefix none -f {{p}}|{{f}}"))?;
        if let Some(line) = needs_std(&listing) {
            return Err(format!(
                "{name} without features stands on std: {line}; repeat: cargo {tree}"
            ));
        }
    }
    Ok(())
}

/// The first package in a listing of `package|features` that was asked for std or alloc.
fn needs_std(listing: &str) -> Option<&str> {
    listing.lines().find(|line| {
        let features = line.split_once('|').map_or("", |(_, features)| features);
        features.split(',').any(|feature| matches!(feature, "std" | "alloc"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn std_anywhere_in_the_tree_is_seen() {
        let clean =
            "bifolio-map v0.1.0 (crates/bifolio-map)|\nlibc v0.2.177|\nrustix v1.1.6|fs,mm,no_std";
        assert_eq!(needs_std(clean), None);
        let hidden = "bifolio-map v0.1.0|\nlibc v0.2.177|default,std\nrustix v1.1.6|fs";
        assert_eq!(needs_std(hidden), Some("libc v0.2.177|default,std"));
        assert!(needs_std("rustix v1.1.6|alloc,fs (*)").is_some());
    }
}
