//! File descriptors sent over a socket.
