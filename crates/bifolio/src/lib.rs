//! Memory mapping for Rust on Linux: everything that mmap can do, without what makes it dangerous.
