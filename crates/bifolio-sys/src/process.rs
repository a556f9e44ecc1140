//! Processes: memory of others, file descriptors that stand for them.
