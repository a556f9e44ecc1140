//! The one handler of SIGBUS and SIGSEGV.
