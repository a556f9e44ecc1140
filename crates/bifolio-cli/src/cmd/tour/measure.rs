//! What the kernel counts for this process: page faults and memory, read from /proc.

use bifolio::page::page_size;
use std::time::Duration;

/// Page faults of the process so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faults {
    /// Served from memory.
    pub(super) minor: u64,
    /// Served from a disk.
    pub(super) major: u64,
}

impl Faults {
    /// As the kernel counts them now (proc_pid_stat(5)); nothing where it does not show them.
    pub(super) fn now() -> Option<Faults> {
        parse_faults(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The faults since `before`.
    pub(super) fn since(self, before: Faults) -> Faults {
        Faults { minor: self.minor - before.minor, major: self.major - before.major }
    }
}

/// The tenth and the twelfth field; the second is a name in parentheses, which may hold anything.
fn parse_faults(stat: &str) -> Option<Faults> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(7);
    let minor = fields.next()?.parse().ok()?;
    let major = fields.nth(1)?.parse().ok()?;
    Some(Faults { minor, major })
}

/// Memory of the process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// Addresses.
    pub(super) size: u64,
    /// Memory of its own.
    pub(super) anon: u64,
    /// Memory that is a file's too.
    pub(super) file: u64,
}

impl Memory {
    /// As the kernel counts it now (proc_pid_status(5)); nothing where it does not show it.
    pub(super) fn now() -> Option<Memory> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
            Some(kib << 10)
        };
        Some(Memory { size: field("VmSize:")?, anon: field("RssAnon:")?, file: field("RssFile:")? })
    }
}

/// Pages that hold so many bytes.
pub(super) fn pages_of(len_bytes: usize) -> usize {
    page_size().count(len_bytes).get()
}

/// A time as people read it: `3.2 us`.
pub(super) fn human_time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    let (value, unit) = match nanos {
        ..1e3 => return format!("{nanos:.0} ns"),
        ..1e6 => (nanos / 1e3, "us"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    format!("{value:.*} {unit}", usize::from(value < 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name_whatever_it_is() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 11 22 33 44 5 6";
        assert_eq!(parse_faults(stat), Some(Faults { minor: 11, major: 33 }));
        assert_eq!(parse_faults("7 (a) S 1"), None);
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        let before = Faults::now().unwrap();
        let touched = vec![1_u8; 1 << 20];
        assert!(touched[1 << 19] == 1 && Faults::now().unwrap().since(before).minor > 0);
        assert!(Memory::now().unwrap().anon >= 1 << 20);
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        for (nanos, text) in
            [(7, "7 ns"), (3_250, "3.2 us"), (250_000, "250 us"), (1 << 33, "8.6 s")]
        {
            assert_eq!(human_time(Duration::from_nanos(nanos)), text);
        }
    }
}
