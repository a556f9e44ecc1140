//! The interface of memmap2, written down once and compiled over both crates: every function with
//! its type, every variant, every trait.
//!
//! What stands here is compared with the source of the peer, so that nothing is left out.

/// Uses every public name of a crate that has memmap2's.
macro_rules! api {
    ($memmap2:ident) => {
        /// Compiles, or the interface is another.
        #[allow(dead_code, reason = "it is there to be compiled")]
        pub fn compiles() {
            use std::fmt::{Debug, Display};
            use std::fs::File;
            use std::hash::Hash;
            use std::io::Result;
            use std::ops::{Deref, DerefMut};
            use std::os::fd::RawFd;
            use std::panic::{RefUnwindSafe, UnwindSafe};
            use $memmap2::{Advice, MapIfSafeError, Mmap, MmapAsRawDesc, MmapMut, MmapOptions};
            use $memmap2::{MmapRaw, MmapRawDescriptor, RemapOptions, UncheckedAdvice};

            fn is_plain<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
            is_plain::<Mmap>();
            is_plain::<MmapMut>();
            is_plain::<MmapRaw>();
            is_plain::<MmapOptions>();
            is_plain::<RemapOptions>();
            is_plain::<Advice>();
            is_plain::<UncheckedAdvice>();
            is_plain::<MmapRawDescriptor>();
            fn is_error<T: std::error::Error + Debug + Display + Send + Sync + 'static>() {}
            is_error::<MapIfSafeError>();
            let _: fn(MapIfSafeError) -> std::io::Error = From::from;
            let _: fn(&MapIfSafeError) -> bool = MapIfSafeError::not_supported;
            let _: fn(&MapIfSafeError) -> bool = MapIfSafeError::not_safe;
            let _: fn(&MapIfSafeError) -> bool = MapIfSafeError::map_failed;

            fn is_descriptor<T: MmapAsRawDesc>() {}
            is_descriptor::<RawFd>();
            is_descriptor::<&File>();
            is_descriptor::<&std::os::fd::OwnedFd>();
            let _: fn(&RawFd) -> MmapRawDescriptor = MmapAsRawDesc::as_raw_desc;

            fn is_builder<T: Clone + Debug + Default>() {}
            is_builder::<MmapOptions>();
            is_builder::<RemapOptions>();
            type Setter = for<'a> fn(&'a mut MmapOptions) -> &'a mut MmapOptions;
            type Make<T> = fn(&MmapOptions, RawFd) -> Result<T>;
            type UnsafeMake<T> = unsafe fn(&MmapOptions, RawFd) -> Result<T>;
            let _: fn() -> MmapOptions = MmapOptions::new;
            let _: for<'a> fn(&'a mut MmapOptions, u64) -> &'a mut MmapOptions =
                MmapOptions::offset;
            let _: for<'a> fn(&'a mut MmapOptions, usize) -> &'a mut MmapOptions = MmapOptions::len;
            let _: for<'a> fn(&'a mut MmapOptions, Option<u8>) -> &'a mut MmapOptions =
                MmapOptions::huge;
            let _: Setter = MmapOptions::stack;
            let _: Setter = MmapOptions::populate;
            let _: Setter = MmapOptions::no_reserve_swap;
            let _: Setter = MmapOptions::no_probe_handle;
            let _: UnsafeMake<Mmap> = MmapOptions::map::<RawFd>;
            let _: UnsafeMake<Mmap> = MmapOptions::map_exec::<RawFd>;
            let _: UnsafeMake<MmapMut> = MmapOptions::map_mut::<RawFd>;
            let _: UnsafeMake<MmapMut> = MmapOptions::map_copy::<RawFd>;
            let _: UnsafeMake<Mmap> = MmapOptions::map_copy_read_only::<RawFd>;
            let _: fn(&MmapOptions, RawFd) -> std::result::Result<Mmap, MapIfSafeError> =
                MmapOptions::map_if_safe::<RawFd>;
            let _: fn(&MmapOptions) -> Result<MmapMut> = MmapOptions::map_anon;
            let _: Make<MmapRaw> = MmapOptions::map_raw::<RawFd>;
            let _: Make<MmapRaw> = MmapOptions::map_raw_read_only::<RawFd>;

            let _: unsafe fn(RawFd) -> Result<Mmap> = Mmap::map::<RawFd>;
            let _: fn(RawFd) -> std::result::Result<Mmap, MapIfSafeError> =
                Mmap::map_if_safe::<RawFd>;
            let _: fn(Mmap) -> Result<MmapMut> = Mmap::make_mut;
            let _: fn(&Mmap, Advice) -> Result<()> = Mmap::advise;
            let _: unsafe fn(&Mmap, UncheckedAdvice) -> Result<()> = Mmap::unchecked_advise;
            let _: fn(&Mmap, Advice, usize, usize) -> Result<()> = Mmap::advise_range;
            let _: unsafe fn(&Mmap, UncheckedAdvice, usize, usize) -> Result<()> =
                Mmap::unchecked_advise_range;
            let _: fn(&Mmap) -> Result<()> = Mmap::lock;
            let _: fn(&Mmap) -> Result<()> = Mmap::unlock;
            let _: unsafe fn(&mut Mmap, usize, RemapOptions) -> Result<()> = Mmap::remap;
            fn is_slice<T>()
            where
                T: Deref<Target = [u8]> + AsRef<[u8]> + Debug + stable_deref_trait::StableDeref,
            {
            }
            is_slice::<Mmap>();
            is_slice::<MmapMut>();
            fn is_mutable_slice<T: DerefMut + AsMut<[u8]>>() {}
            is_mutable_slice::<MmapMut>();

            let _: unsafe fn(RawFd) -> Result<MmapMut> = MmapMut::map_mut::<RawFd>;
            let _: fn(usize) -> Result<MmapMut> = MmapMut::map_anon;
            let _: fn(&MmapMut) -> Result<()> = MmapMut::flush;
            let _: fn(&MmapMut) -> Result<()> = MmapMut::flush_async;
            let _: fn(&MmapMut, usize, usize) -> Result<()> = MmapMut::flush_range;
            let _: fn(&MmapMut, usize, usize) -> Result<()> = MmapMut::flush_async_range;
            let _: fn(MmapMut) -> Result<Mmap> = MmapMut::make_read_only;
            let _: fn(MmapMut) -> Result<Mmap> = MmapMut::make_exec;
            let _: fn(&MmapMut, Advice) -> Result<()> = MmapMut::advise;
            let _: unsafe fn(&MmapMut, UncheckedAdvice) -> Result<()> = MmapMut::unchecked_advise;
            let _: fn(&MmapMut, Advice, usize, usize) -> Result<()> = MmapMut::advise_range;
            let _: unsafe fn(&MmapMut, UncheckedAdvice, usize, usize) -> Result<()> =
                MmapMut::unchecked_advise_range;
            let _: fn(&MmapMut) -> Result<()> = MmapMut::lock;
            let _: fn(&MmapMut) -> Result<()> = MmapMut::unlock;
            let _: unsafe fn(&mut MmapMut, usize, RemapOptions) -> Result<()> = MmapMut::remap;

            let _: fn(RawFd) -> Result<MmapRaw> = MmapRaw::map_raw::<RawFd>;
            let _: fn(&MmapRaw) -> *const u8 = MmapRaw::as_ptr;
            let _: fn(&MmapRaw) -> *mut u8 = MmapRaw::as_mut_ptr;
            let _: fn(&MmapRaw) -> usize = MmapRaw::len;
            let _: fn(&MmapRaw) -> Result<()> = MmapRaw::flush;
            let _: fn(&MmapRaw) -> Result<()> = MmapRaw::flush_async;
            let _: fn(&MmapRaw, usize, usize) -> Result<()> = MmapRaw::flush_range;
            let _: fn(&MmapRaw, usize, usize) -> Result<()> = MmapRaw::flush_async_range;
            let _: fn(&MmapRaw, Advice) -> Result<()> = MmapRaw::advise;
            let _: unsafe fn(&MmapRaw, UncheckedAdvice) -> Result<()> = MmapRaw::unchecked_advise;
            let _: fn(&MmapRaw, Advice, usize, usize) -> Result<()> = MmapRaw::advise_range;
            let _: unsafe fn(&MmapRaw, UncheckedAdvice, usize, usize) -> Result<()> =
                MmapRaw::unchecked_advise_range;
            let _: fn(&MmapRaw) -> Result<()> = MmapRaw::lock;
            let _: fn(&MmapRaw) -> Result<()> = MmapRaw::unlock;
            let _: unsafe fn(&mut MmapRaw, usize, RemapOptions) -> Result<()> = MmapRaw::remap;
            let _: fn(Mmap) -> MmapRaw = From::from;
            let _: fn(MmapMut) -> MmapRaw = From::from;
            fn is_debug<T: Debug>() {}
            is_debug::<MmapRaw>();

            fn is_value<T: Copy + Clone + Debug + Eq + PartialEq + Hash>() {}
            is_value::<Advice>();
            is_value::<UncheckedAdvice>();
            let _: fn() -> RemapOptions = RemapOptions::new;
            let _: fn(RemapOptions, bool) -> RemapOptions = RemapOptions::may_move;
            let _: fn(Advice) -> bool = Advice::is_supported;
            let _: fn(UncheckedAdvice) -> bool = UncheckedAdvice::is_supported;
        }

        /// Every advice with its number: a variant more or less does not compile.
        pub fn advice() -> Vec<(String, i32)> {
            use $memmap2::{Advice, UncheckedAdvice};
            let mut all = Vec::new();
            let mut next = Some(Advice::Normal);
            while let Some(advice) = next {
                all.push((format!("{advice:?}"), advice as i32));
                next = match advice {
                    Advice::Normal => Some(Advice::Random),
                    Advice::Random => Some(Advice::Sequential),
                    Advice::Sequential => Some(Advice::WillNeed),
                    Advice::WillNeed => Some(Advice::DontFork),
                    Advice::DontFork => Some(Advice::DoFork),
                    Advice::DoFork => Some(Advice::Mergeable),
                    Advice::Mergeable => Some(Advice::Unmergeable),
                    Advice::Unmergeable => Some(Advice::HugePage),
                    Advice::HugePage => Some(Advice::NoHugePage),
                    Advice::NoHugePage => Some(Advice::DontDump),
                    Advice::DontDump => Some(Advice::DoDump),
                    Advice::DoDump => Some(Advice::HwPoison),
                    Advice::HwPoison => Some(Advice::PopulateRead),
                    Advice::PopulateRead => Some(Advice::PopulateWrite),
                    Advice::PopulateWrite => None,
                };
            }
            let mut next = Some(UncheckedAdvice::DontNeed);
            while let Some(advice) = next {
                all.push((format!("{advice:?}"), advice as i32));
                next = match advice {
                    UncheckedAdvice::DontNeed => Some(UncheckedAdvice::Free),
                    UncheckedAdvice::Free => Some(UncheckedAdvice::Remove),
                    UncheckedAdvice::Remove => None,
                };
            }
            all
        }
    };
}

pub mod ours {
    //! The interface, over this project's crate.
    api!(bifolio_memmap2);
}

pub mod peer {
    //! The interface, over the crate of crates.io.
    api!(memmap2);
}

/// The public functions of the peer's source that nobody uses above, as `Type::function`.
pub fn forgotten(source: &str) -> Vec<String> {
    let used = include_str!("api.rs");
    let mut owner = "";
    let mut forgotten = Vec::new();
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("impl ") {
            owner = rest.split([' ', '<', '{']).next().unwrap_or_default();
        }
        let code = line.trim_start();
        let function = code.strip_prefix("pub fn ").or(code.strip_prefix("pub unsafe fn "));
        if let Some(function) = function {
            let name = function.split(['(', '<']).next().unwrap_or_default();
            let path = format!("{owner}::{name}");
            let is_used = used.match_indices(&path).any(|(at, _)| {
                let after = used[at + path.len()..].chars().next();
                !after.is_some_and(|after| after.is_alphanumeric() || after == '_')
            });
            if !is_used {
                forgotten.push(path);
            }
        }
        for kind in ["pub struct ", "pub enum ", "pub trait "] {
            if let Some(rest) = code.strip_prefix(kind) {
                let name = rest.split(['(', '<', ' ', '{', ';']).next().unwrap_or_default();
                if !used.contains(name) {
                    forgotten.push(name.to_owned());
                }
            }
        }
    }
    forgotten
}
