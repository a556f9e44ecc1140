//! The names of instructions: by addr2line where it is installed, otherwise the offset in the
//! program.

use std::process::Command;

/// The function and the line at this address of this process, whose children have it there too.
pub(crate) fn name(address: u64) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some((base, path)) = object(&maps, address) else { return format!("{address:#x}") };
    let offset = address - base;
    let file = path.rsplit('/').next().unwrap_or(path);
    lines(path, offset).unwrap_or_else(|| format!("{file}+{offset:#x}"))
}

/// Where the object begins that an address lies in, and its path.
fn object(maps: &str, address: u64) -> Option<(u64, &str)> {
    let lines = maps.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some((number(start)?, number(end)?, fields.nth(4).unwrap_or("?")))
    });
    let lines: Vec<(u64, u64, &str)> = lines.collect();
    let &(_, _, path) = lines.iter().find(|(start, end, _)| (*start..*end).contains(&address))?;
    let first = lines.iter().find(|(_, _, other)| *other == path)?;
    Some((first.0, path))
}

/// `function (file:line)`, those it was inlined into behind it; without the standard library's,
/// unless there are no others.
fn lines(path: &str, offset: u64) -> Option<String> {
    let output = Command::new("addr2line")
        .args(["-C", "-f", "-i", "-p", "-e", path, &format!("{offset:#x}")])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let frames: Vec<(bool, String)> = text.lines().map(frame).collect();
    let own = frames.iter().any(|(own, _)| *own);
    let kept = frames.into_iter().filter(|(is_own, _)| *is_own || !own).map(|(_, text)| text);
    let kept: Vec<String> = kept.take(4).collect();
    let known = kept.first().is_some_and(|first| !first.starts_with("??"));
    known.then(|| format!("{} [{offset:#x}]", kept.join(" < ")))
}

/// One line of addr2line, the path cut to its end; and whether it is not the standard library's.
fn frame(line: &str) -> (bool, String) {
    let line = line.trim().trim_start_matches("(inlined by) ");
    let (function, place) = line.split_once(" at ").unwrap_or((line, ""));
    let place = place.split(" (").next().unwrap_or_default();
    let mut parts: Vec<&str> = place.rsplit('/').take(3).collect();
    parts.reverse();
    let own = !["/rustc/", "/rustlib/"].iter().any(|library| place.contains(library));
    (own, format!("{function} ({})", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_by_its_object() {
        let maps = "1000-2000 r--p 0 0 1 /a/b\n2000-3000 r-xp 0 0 1 /a/b\n3000-4000 rw-p 0 0 0\n";
        assert_eq!(object(maps, 0x2010), Some((0x1000, "/a/b")));
        assert_eq!(object(maps, 0x3010), Some((0x3000, "?")));
        assert_eq!(object(maps, 0x5000), None);
        let here = an_address_is_known_by_its_object as fn() as usize as u64;
        assert!(name(here).contains("an_address_is_known") || name(here).contains("+0x"));
    }
}
