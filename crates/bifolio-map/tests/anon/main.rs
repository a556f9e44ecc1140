//! Memory without a file, attacked: forks, limits, occupied addresses, calls that fail halfway.
//!
//! What changes a whole process (limits, users, the number of its areas) is tried in a process of
//! its own: this binary run again for one test with `BIFOLIO_ALONE` set.
//!
//! # Safety
//!
//! Unsafe code forks, and makes the raw accesses and system calls of the attackers.
#![allow(unsafe_code, reason = "the attacks are made of raw memory and raw calls")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

mod cut;
mod exec;
mod guarded;
mod limits;
mod reservation;
mod slice;
mod states;

use bifolio_map::{ExecMap, Mapping, page};
use std::process::{Command, Stdio};

/// The size of a page in bytes.
fn page() -> usize {
    bifolio_map::page::page_size().bytes()
}

/// Runs `child` in a forked process, and returns whether it returned true there.
///
/// The child allocates nothing: another thread may have held the allocator's lock.
fn fork(child: impl FnOnce() -> bool) -> bool {
    match unsafe { libc::fork() } {
        0 => {
            let ok = child();
            unsafe { libc::_exit(if ok { 0 } else { 1 }) }
        }
        pid => {
            assert!(pid > 0);
            let mut status = 0;
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            status == 0
        }
    }
}

/// Runs the test `name` again in a process of its own, where this returns true; `before` is a line
/// of shell that prepares that process.
fn alone(name: &str, before: &str) -> bool {
    if std::env::var_os("BIFOLIO_ALONE").is_some() {
        return true;
    }
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("{before} && exec \"$0\" --exact {name} --nocapture --test-threads=1"))
        .arg(std::env::current_exe().unwrap())
        .env("BIFOLIO_ALONE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{name} is the name of no test: {text}");
    for line in text.lines().filter(|line| line.contains("skipped")) {
        println!("{line}");
    }
    false
}

/// How many areas of memory the process has.
fn areas() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Whether a page at `addr` is mapped.
fn is_mapped(addr: usize) -> bool {
    let page_addr = addr & !(page() - 1);
    let ret = unsafe { libc::msync(page_addr as *mut _, page(), libc::MS_ASYNC) };
    ret == 0
}

/// Whether the byte at `addr` can be read, asked as a debugger does.
fn is_readable(addr: usize) -> bool {
    let mut byte = 0_u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: addr as *mut _, iov_len: 1 };
    unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) == 1 }
}

/// Writes a byte to `addr` without any guard.
fn write_raw(addr: usize) {
    unsafe { (addr as *mut u8).write_volatile(4) };
}

/// How many pages of the mapping are in memory.
fn resident(map: &impl Mapping) -> usize {
    let mut pages = vec![0; map.len().div_ceil(page())];
    let ret = unsafe { libc::mincore(map.as_ptr() as *mut _, map.len(), pages.as_mut_ptr()) };
    assert_eq!(ret, 0);
    pages.iter().filter(|page| **page & 1 == 1).count()
}

/// Calls the function at `offset`.
fn call(code: &ExecMap, offset: usize) -> u32 {
    unsafe { code.function::<extern "C" fn() -> u32>(offset)() }
}

/// Calls what lies at `addr`.
fn call_raw(addr: usize) -> u32 {
    let function: extern "C" fn() -> u32 = unsafe { std::mem::transmute(addr) };
    function()
}

/// The pool of huge pages, enlarged for a test, and made what it was when dropped.
struct Pool {
    page_bytes: usize,
    before: String,
}

impl Pool {
    const FILE: &str = "/proc/sys/vm/nr_hugepages";

    /// Gives the pool `pages` free pages; `None` where that cannot be done.
    fn with_pages(pages: usize) -> Option<Pool> {
        let (Ok(size), Ok(before)) =
            (page::default_huge_page_size(), std::fs::read_to_string(Pool::FILE))
        else {
            println!("skipped: no huge pages here");
            return None;
        };
        if before.trim() != "0" {
            println!("skipped: the pool is in use");
            return None;
        }
        let pool = Pool { page_bytes: size.bytes(), before };
        let _ = std::fs::write(Pool::FILE, pages.to_string());
        match page::HugePagePool::of(size) {
            Ok(now) if now.free.get() == pages => Some(pool),
            now => {
                println!("skipped: the pool cannot be enlarged: {now:?}");
                None
            }
        }
    }
}

impl Pool {
    /// How many of its pages nobody uses.
    fn free(&self) -> usize {
        let size = page::PageSize::new(self.page_bytes).unwrap();
        page::HugePagePool::of(size).unwrap().free.get()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = std::fs::write(Pool::FILE, &self.before);
    }
}

/// Stops being root, and says whether that worked.
fn become_nobody() -> bool {
    unsafe { libc::setgid(65534) | libc::setuid(65534) == 0 || libc::getuid() != 0 }
}

/// The value of `field` of the area at `addr`, of `/proc/self/smaps`.
fn smaps(addr: usize, field: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    for line in text.lines() {
        let range = line.split(' ').next().unwrap().split_once('-').and_then(|(start, end)| {
            Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
        });
        if let Some((start, end)) = range {
            inside = start <= addr && addr < end;
        } else if inside && let Some(value) = line.strip_prefix(field) {
            return value.trim_start_matches(':').trim().to_owned();
        }
    }
    panic!("no {field} at {addr:#x}");
}

/// The seed of a random test: of `BIFOLIO_SEED`, or a new one; printed for the next time.
fn seed() -> u64 {
    let seed = match std::env::var("BIFOLIO_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => {
            let now = std::time::SystemTime::now();
            now.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
        }
    };
    println!("BIFOLIO_SEED={seed}");
    seed
}

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 |= 1 << 63;
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}
