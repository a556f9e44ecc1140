//! Atomics of core, or of the model checker: everything lock-free in Bifolio takes them from here.
