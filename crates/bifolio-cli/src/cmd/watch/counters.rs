//! Faults and memory, from the text files of proc(5).

use super::source::{Counters, Rss};

/// The faults of the machine since it started (`/proc/vmstat`).
pub(super) fn of_machine() -> Option<Counters> {
    machine(&std::fs::read_to_string("/proc/vmstat").ok()?)
}

/// The faults of a process since it started, and its memory; `None` when it has ended.
pub(super) fn of_process(id: u32) -> Option<Counters> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).ok();
    process(&read("stat")?, &read("status")?)
}

/// When a process began, in ticks of the machine's clock: it tells two of the same number apart.
pub(super) fn start_of_process(id: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat_field(&stat, 22)
}

fn machine(vmstat: &str) -> Option<Counters> {
    let count = |name: &str| field(vmstat, name);
    let major_faults = count("pgmajfault")?;
    Some(Counters {
        // `pgfault` counts both.
        minor_faults: count("pgfault")?.saturating_sub(major_faults),
        major_faults,
        refaults: count("workingset_refault_file"),
        rss: None,
    })
}

fn process(stat: &str, status: &str) -> Option<Counters> {
    let bytes = |name: &str| field(status, name).map(|kib: u64| kib << 10);
    // A process that is ending has no memory any more, and a thread of the kernel never had.
    let rss = bytes("RssAnon:").map(|anon_bytes| Rss {
        anon_bytes,
        file_bytes: bytes("RssFile:").unwrap_or(0),
        shmem_bytes: bytes("RssShmem:").unwrap_or(0),
        swap_bytes: bytes("VmSwap:").unwrap_or(0),
    });
    Some(Counters {
        minor_faults: stat_field(stat, 10)?,
        major_faults: stat_field(stat, 12)?,
        refaults: None,
        rss,
    })
}

/// A field of proc_pid_stat(5) by its number there, which is 3 at least. The name before it may
/// hold anything, so that one counts from the last parenthesis.
fn stat_field(stat: &str, number: usize) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

/// The number after a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_ascii_whitespace);
    words.find_map(|mut words| (words.next() == Some(name)).then(|| words.next())?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_kernel_are_read_by_their_names() {
        let vmstat = "pgfault 1000\npgmajfault 10\nworkingset_refault_anon 1\n\
                      workingset_refault_file 2\n";
        let read = machine(vmstat).unwrap();
        assert_eq!((read.minor_faults, read.major_faults, read.refaults), (990, 10, Some(2)));
        assert_eq!(machine("pgfault 1\n"), None);
        let stat = "812 (a) b) c) S 1 2 3 4 5 6 777 8 99 10 11 12";
        let status = "Name:\ta\nRssAnon:\t  12 kB\nRssFile:\t 3 kB\nRssShmem:\t 0 kB\n";
        let read = process(stat, status).unwrap();
        assert_eq!((read.minor_faults, read.major_faults), (777, 99));
        let rss = read.rss.unwrap();
        assert_eq!((rss.anon_bytes, rss.file_bytes, rss.swap_bytes), (12 << 10, 3 << 10, 0));
        assert_eq!(process("812 (a", status), None);
        assert_eq!(process(stat, "Name:\ta\n").unwrap().rss, None);
    }

    #[test]
    fn this_machine_and_this_process_are_counted() {
        assert!(of_machine().unwrap().minor_faults > 0);
        let before = of_process(std::process::id()).unwrap();
        // More than malloc keeps.
        std::hint::black_box(vec![1_u8; 40 << 20]);
        let after = of_process(std::process::id()).unwrap();
        assert!(after.minor_faults > before.minor_faults && after.rss.is_some());
        assert_eq!(of_process(u32::MAX), None);
    }
}
