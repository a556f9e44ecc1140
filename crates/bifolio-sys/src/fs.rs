//! System calls on files: sizes, holes, the page cache, memory files.
