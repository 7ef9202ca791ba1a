//! System calls that no safe wrapper covers. The only unsafe code of this program.
#![allow(unsafe_code)]
