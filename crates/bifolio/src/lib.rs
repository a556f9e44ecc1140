//! Memory mapping for Rust on Linux: everything that mmap can do, without what makes it dangerous.

pub use bifolio_map::{
    Access, AccessMut, Advice, AnonMap, Discard, Errno, Error, ErrorKind, FileKind, FileMap,
    HugePages, Mapping, Object, Operation, Options, Pages, Protection, Result, Sharing, View,
    ViewMut, fault, features, page,
    Access, AccessMut, Advice, AnonMap, DataRanges, Discard, Error, ErrorKind, FileKind, FileMap,
    HugePages, Mapping, Object, Operation, Options, Pages, Protection, Result, Sharing, View,
    ViewMut,
};
