//! System calls on memory: mappings, protection, advice, locks, residency.
