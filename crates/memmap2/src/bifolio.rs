//! What this crate has and memmap2 has not: what becomes of a fault under a map.
//!
//! A page of a map can be gone when it is touched: another process has shortened the file, the
//! medium fails, a file with holes meets a full disk. The processor then raises SIGBUS, of which a
//! program under memmap2 dies with the words "Bus error". Here it is told apart by a policy of the
//! process:
//!
//! - [`OnFault::Abort`], the default: one line on the standard error says which file, which bytes
//!   and why; then the signal does what it would have done, which mostly ends the process.
//! - [`OnFault::Zero`]: zeros come in the place of the page, the fault is recorded
//!   ([`take_faults`]), and the program goes on. The first one is told on the standard error.
//!
//! The policy is that of the variable [`VARIABLE`] (`abort` or `zero`), read when the first map is
//! made, until [`set_on_fault`] is called.
//!
//! # What zeros mean
//!
//! The page is private memory from then on: what is written there is lost, and what others do to
//! the file is not seen there any more, until the file is mapped anew. Before Linux 5.14, where two
//! threads meet the fault of one page at the same moment, it may be zeroed a second time, over what
//! the first of them has just written. The slice changes under its reader, which Rust calls
//! undefined behaviour, as it does the shortening of the file: this is for programs of which one
//! would rather have a wrong byte than none, and not a way to make them right. Bifolio's own maps
//! make the fault an error.
//!
//! Memory ([`MmapMut::map_anon`](crate::MmapMut::map_anon)) and what
//! [`Mmap::map_if_safe`](crate::Mmap::map_if_safe) maps are lent as slices without `unsafe`, so
//! nothing of them is ever replaced. Nor are a write to a map that is read-only, a jump into one, a
//! broken memory module repaired: the default policy's line is all that is added to what they would
//! do.
//!
//! # Limits
//!
//! The line comes from a handler of SIGBUS and SIGSEGV that is put in front of the one that stands
//! when the first map is made, and hands it everything that is no fault of these maps. A handler
//! that is installed later and does not pass on what it does not know, and a thread that blocks the
//! signals, take that away: the process dies as it does under memmap2. Pages of the hugetlb pool
//! are replaced where the kernel tells their size (Linux 6.11), others not at all.
//!
//! ```
//! use memmap2::bifolio::{OnFault, on_fault, set_on_fault, take_faults};
//!
//! # fn main() -> std::io::Result<()> {
//! # let path = std::env::temp_dir().join(format!("bifolio-doc-{}", std::process::id()));
//! # std::fs::write(&path, [7; 10_000])?;
//! # let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
//! # std::fs::remove_file(&path)?;
//! set_on_fault(OnFault::Zero);
//! let map = memmap2::MmapOptions::new().map_raw_read_only(&file)?;
//! file.set_len(0)?;
//! // SAFETY: the byte is mapped, and read as no reference.
//! assert_eq!(unsafe { map.as_ptr().add(5000).read_volatile() }, 0);
//! let faults = take_faults();
//! assert_eq!(faults.list.len(), 1);
//! assert!(faults.list[0].addresses.contains(&(map.as_ptr() as usize + 5000)));
//! # Ok(())
//! # }
//! ```

pub use crate::fault::{Fault, Faults, OnFault, VARIABLE, on_fault, set_on_fault, take_faults};
